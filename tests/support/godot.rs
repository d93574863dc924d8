//! A real Godot for tests: where it is, and how it is run headless with a home of its own.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The engine's binary: `SIDEKICK_GODOT`, as `eval "$(./scripts/setup --env)"` sets it.
pub fn godot() -> PathBuf {
    let path = std::env::var_os("SIDEKICK_GODOT").map(PathBuf::from);
    path.filter(|path| path.exists())
        .expect("these tests need Godot: eval \"$(./scripts/setup --env)\"")
}

/// A directory of the repository.
pub fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// A headless Godot on a project, its home and output in `dir`. Output goes to files: a Godot whose reader ends dies.
pub fn command(project: &Path, dir: &Path) -> Command {
    let home = dir.join("home");
    std::fs::create_dir_all(&home).expect("a home for Godot");
    let log = |name: &str| {
        let options = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(dir.join(name));
        Stdio::from(options.expect("an output file for Godot"))
    };
    let mut command = Command::new(godot());
    command
        .args(["--headless", "--path"])
        .arg(project)
        .env("HOME", &home)
        .env_remove("SIDEKICK_SOCKET")
        .env_remove("SIDEKICK_ADDR")
        .env_remove("SIDEKICK_SERVER")
        .env_remove("SIDEKICK_TOKEN")
        .stdin(Stdio::null())
        .stdout(log("stdout"))
        .stderr(log("stderr"));
    command
}

/// Everything Godot said so far.
pub fn output(dir: &Path) -> String {
    let read = |name: &str| std::fs::read_to_string(dir.join(name)).unwrap_or_default();
    format!("{}\n{}", read("stdout"), read("stderr"))
}

/// Waits for what only a file or a process can show; `what` is for the failure.
pub fn until<T>(what: impl Fn() -> String, mut look: impl FnMut() -> Option<T>) -> T {
    let started = std::time::Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(started.elapsed().as_secs() < 20, "{}", what());
        // sleep: between two looks at another process
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}
