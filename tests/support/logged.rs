//! What the code under test logs, for tests that promise a line.

#![allow(dead_code, clippy::unwrap_used)]

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tracing::subscriber::DefaultGuard;

/// Gathers the log of this thread (a `tokio::test` has one) while it lives.
pub struct Logged {
    lines: Lines,
    _guard: DefaultGuard,
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Logged {
    pub fn start() -> Self {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        Self {
            lines,
            _guard: tracing::subscriber::set_default(subscriber),
        }
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.lines.0.lock().unwrap().clone()).unwrap()
    }

    /// Lines that contain this.
    pub fn count(&self, part: &str) -> usize {
        self.text()
            .lines()
            .filter(|line| line.contains(part))
            .count()
    }

    /// Waits for a line that contains this.
    pub async fn wait(&self, part: &str) {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
        while self.count(part) == 0 {
            assert!(
                tokio::time::Instant::now() < deadline,
                "no line with {part:?} in\n{}",
                self.text()
            );
            // sleep: the pause between two looks at a log that tells nobody of its growth
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}
