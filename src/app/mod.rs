//! Wiring: builds every part from the configuration and runs them.

/// Why sidekick could not start or had to end.
#[derive(Debug, thiserror::Error)]
#[error("this build has no application")]
pub struct AppError;

impl AppError {
    /// The documented exit code.
    pub fn exit_code(&self) -> u8 {
        1
    }
}

/// Runs until a signal.
pub fn run(_config: crate::config::Config) -> Result<(), AppError> {
    Err(AppError)
}
