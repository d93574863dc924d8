//! Places where a test lets a real process die or stop: every transition of supervisor, guard and stub.
//!
//! Only a build with debug assertions (`cargo test`) has them; in a release build [`hit`] is empty and the names are not in the binary.
//!
//! `SIDEKICK_FAILPOINTS="guard.identity_written=kill supervisor.hello=stop@2"` says what happens where: SIGKILL or SIGSTOP to the
//! process that passes, at its second passing for `@2`. `SIDEKICK_FAILPOINTS_DIR` is where a file of the point's name is made before, with
//! the process id in it: so a test sees that the point was reached, and it acts once, however many processes pass it.

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
    use std::sync::atomic::{AtomicU32, Ordering};

    const POINTS: &str = "SIDEKICK_FAILPOINTS";
    const DIR: &str = "SIDEKICK_FAILPOINTS_DIR";

    struct Point {
        name: String,
        signal: Signal,
        at: u32,
        passed: AtomicU32,
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
            passed: AtomicU32::new(0),
        }
    }

    /// Passes a point.
    pub fn hit(name: &str) {
        let Some(armed) = armed() else { return };
        let points = armed.points.iter().filter(|point| point.name == name);
        for point in points {
            if point.passed.fetch_add(1, Ordering::Relaxed) + 1 == point.at {
                act(armed, point);
            }
        }
    }

    fn act(armed: &Armed, point: &Point) {
        let mark = armed.dir.join(&point.name);
        // Another process was here before: this is its successor.
        let Ok(mut file) = OpenOptions::new().write(true).create_new(true).open(mark) else {
            return;
        };
        let _ = writeln!(file, "{}", std::process::id());
        let _ = kill_process(getpid(), point.signal);
        while point.signal == Signal::KILL {
            // The signal reaches every thread, this one perhaps a moment later: it does nothing any more.
            std::thread::park();
        }
    }

    /// What a child process needs to have the same points.
    pub fn environment() -> Vec<(String, String)> {
        let of = |name: &str| Some((name.to_owned(), std::env::var(name).ok()?));
        [POINTS, DIR].into_iter().filter_map(of).collect()
    }
}
