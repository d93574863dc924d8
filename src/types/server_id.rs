//! Identity of a supervised server.

use crate::types::Scope;
use std::fmt;
use std::sync::Arc;

/// Names that other processes on the node hold, so no server may have them.
const RESERVED: [&str; 12] = [
    "sidekick",
    "sidekick_sup",
    "net_kernel",
    "rex",
    "init",
    "global_name_server",
    "code_server",
    "application_controller",
    "user",
    "undefined",
    "nil",
    "self",
];

/// Id of a supervised server: `[a-z][a-z0-9_]{0,63}`. Also its registered name on the node and its state scope.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerId(Arc<str>);

/// A server id did not have the documented form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidServerId {
    /// Wrong characters or length.
    #[error(
        "server id {0:?} must be a lower-case letter followed by at most 63 lower-case letters, digits or _"
    )]
    Form(String),
    /// The name belongs to a process of the node itself.
    #[error("server id {0:?} is reserved for a process of the node; choose another")]
    Reserved(String),
}

impl ServerId {
    /// Checks the form and takes the id.
    ///
    /// # Errors
    /// Where the form is wrong or the name is reserved.
    pub fn new(id: &str) -> Result<Self, InvalidServerId> {
        let mut bytes = id.bytes();
        let head = bytes.next().is_some_and(|b| b.is_ascii_lowercase());
        let tail = bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        if !head || !tail || id.len() > 64 {
            return Err(InvalidServerId::Form(id.to_owned()));
        }
        if RESERVED.contains(&id) {
            return Err(InvalidServerId::Reserved(id.to_owned()));
        }
        Ok(Self(id.into()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The state scope of this server: its id.
    ///
    /// # Panics
    /// Never: an id is as long as a scope may be.
    pub fn scope(&self) -> Scope {
        Scope::try_from(self.as_str()).expect("a server id is 1 to 64 bytes long")
    }
}

impl fmt::Display for ServerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ServerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}
