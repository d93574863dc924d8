//! The `sidekick` binary.

fn main() -> std::process::ExitCode {
    sidekick::cli::main()
}
