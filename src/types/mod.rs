//! The vocabulary every room shares: identifiers and counters.
//!
//! Counters are plain integers under a name: [`Sequence`], [`Epoch`], [`BatchNumber`], [`Revision`].
//! Identifiers are parsed once, at the border, and valid ever after.

mod contain;
mod names;
mod origin;
mod server_id;

pub use contain::{Contain, Limits, UNLIMITED, looks_secret, matches};
pub use names::{InvalidName, Key, Scope, SinkName, StreamName};
pub use origin::Origin;
pub use server_id::{InvalidServerId, ServerId};

use bytes::Bytes;
use std::sync::OnceLock;

/// Position of a record in its stream: from 1, consecutive, never reused within an [`Origin`].
pub type Sequence = u64;
/// Counts the activations of a process as the owner of a server's scope, from 1.
pub type Epoch = u64;
/// Number of a batch within one `(server, epoch)`, from 1; what makes sending again harmless.
pub type BatchNumber = u64;
/// Counts the commits that changed a state scope, from 1.
pub type Revision = u64;
/// Wall clock in milliseconds since the Unix epoch.
pub type UnixMillis = u64;
/// One external term (Erlang external term format) with its leading version byte 131.
pub type Payload = Bytes;

/// The secret by which one activation of a server proves who it is. Never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// Wraps a secret read from the journal or freshly made.
    pub fn new(secret: impl Into<String>) -> Self {
        Self(secret.into())
    }

    /// The secret itself, for the environment of the process it belongs to.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(***)")
    }
}

static VERSION: OnceLock<&str> = OnceLock::new();

/// What this process calls its version, everywhere.
pub fn version() -> &'static str {
    VERSION.get().unwrap_or(&env!("CARGO_PKG_VERSION"))
}

/// Set by `main`, before anything asks: so that a build under another name compiles no library anew.
pub fn set_version(version: &'static str) {
    let _ = VERSION.set(version);
}

/// The current wall clock.
pub fn now_ms() -> UnixMillis {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |d| d.as_millis() as u64)
}
