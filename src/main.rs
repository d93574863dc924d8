//! The `sidekick` binary.

/// Who packages sidekick may name the build: `SIDEKICK_VERSION=0.1.0+git.abc cargo build --release`.
const VERSION: &str = match option_env!("SIDEKICK_VERSION") {
    Some(version) => version,
    None => env!("CARGO_PKG_VERSION"),
};

fn main() -> std::process::ExitCode {
    sidekick::types::set_version(VERSION);
    sidekick::cli::main()
}
