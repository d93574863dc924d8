//! Places where a test lets a real process die or stop: every transition of supervisor, guard and stub.
//!
//! Only a build with debug assertions (`cargo test`) has them; in a release build [`hit`] is empty and the names are not in the binary.
//!
//! `SIDEKICK_FAILPOINTS="guard.identity_written=kill supervisor.hello=stop@2"` says what happens where: SIGKILL or SIGSTOP to the
//! process that passes it as the first, or as the second for `@2`. Passings are numbered over all processes: each makes a file `POINT.NUMBER`
//! in `SIDEKICK_FAILPOINTS_DIR` with its process id in it, until the number is reached. So a test sees it, and a point acts once.

#[cfg(debug_assertions)]
pub use armed::{environment, hit};

/// Passes a point.
#[cfg(not(debug_assertions))]
#[inline(always)]
#[allow(clippy::inline_always)] // So that the names of the points go too.
pub fn hit(_point: &str) {}

/// What a child process needs to have the same points.
#[cfg(not(debug_assertions))]
pub fn environment() -> Vec<(String, String)> {
    Vec::new()
}

#[cfg(debug_assertions)]
mod armed {
    use rustix::process::{Signal, getpid, kill_process};
    use std::fs::OpenOptions;
    use std::io::Write;
    use std::path::PathBuf;
    use std::sync::OnceLock;

    const POINTS: &str = "SIDEKICK_FAILPOINTS";
    const DIR: &str = "SIDEKICK_FAILPOINTS_DIR";

    struct Point {
        name: String,
        signal: Signal,
        at: u32,
    }

    struct Armed {
        points: Vec<Point>,
        dir: PathBuf,
    }

    /// The environment is read once: a point costs an atomic load where nothing is armed.
    fn armed() -> Option<&'static Armed> {
        static ARMED: OnceLock<Option<Armed>> = OnceLock::new();
        ARMED
            .get_or_init(|| {
                let points = std::env::var(POINTS).ok()?;
                let dir =
                    std::env::var_os(DIR).expect("SIDEKICK_FAILPOINTS_DIR says where the marks go");
                let points = points.split_ascii_whitespace().map(parse).collect();
                Some(Armed {
                    points,
                    dir: dir.into(),
                })
            })
            .as_ref()
    }

    /// Panics on nonsense: a test that arms nothing would prove nothing.
    fn parse(text: &str) -> Point {
        let (name, action) = text.split_once('=').expect("a failpoint is NAME=ACTION");
        let (action, at) = action.split_once('@').unwrap_or((action, "1"));
        let signal = match action {
            "kill" => Signal::KILL,
            "stop" => Signal::STOP,
            other => panic!("a failpoint's action is kill or stop, not {other}"),
        };
        Point {
            name: name.to_owned(),
            signal,
            at: at.parse().expect("@ is followed by a number"),
        }
    }

    /// Passes a point.
    pub fn hit(name: &str) {
        let Some(armed) = armed() else { return };
        for point in armed.points.iter().filter(|point| point.name == name) {
            if number(armed, point) == Some(point.at) {
                act(point);
            }
        }
    }

    /// The number of this passing; `None` beyond the one that counts.
    fn number(armed: &Armed, point: &Point) -> Option<u32> {
        (1..=point.at).find(|number| {
            let mark = armed.dir.join(format!("{}.{number}", point.name));
            let file = OpenOptions::new().write(true).create_new(true).open(mark);
            file.is_ok_and(|mut file| writeln!(file, "{}", std::process::id()).is_ok())
        })
    }

    fn act(point: &Point) {
        let _ = kill_process(getpid(), point.signal);
        if point.signal == Signal::KILL {
            // The signal reaches every thread, this one perhaps a moment later: it does nothing any more.
            loop {
                std::thread::park();
            }
        }
    }

    /// What a child process needs to have the same points.
    pub fn environment() -> Vec<(String, String)> {
        let of = |name: &str| Some((name.to_owned(), std::env::var(name).ok()?));
        [POINTS, DIR].into_iter().filter_map(of).collect()
    }
}
