//! Node names and the cookie.

use crate::etf::Atom;
use std::fmt;
use std::str::FromStr;

/// A full node name, `name@host`, at most 255 bytes.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeName {
    full: Atom,
    at: usize,
}

/// A node name did not have the form `name@host`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a node name; it must look like name@host, at most 255 bytes, the name of letters, digits, _ and -"
)]
pub struct InvalidNodeName(pub String);

impl NodeName {
    /// The part before the `@`.
    pub fn name(&self) -> &str {
        &self.full.as_str()[..self.at]
    }

    /// The part after the `@`.
    pub fn host(&self) -> &str {
        &self.full.as_str()[self.at + 1..]
    }

    /// The whole name.
    pub fn as_str(&self) -> &str {
        self.full.as_str()
    }

    /// The whole name as an atom, as it stands in pids.
    pub fn atom(&self) -> &Atom {
        &self.full
    }

    /// Whether the host part is fully qualified (or an address), as `erl -name` wants it; else it is a short name.
    pub fn is_long(&self) -> bool {
        self.host().contains(['.', ':'])
    }
}

impl FromStr for NodeName {
    type Err = InvalidNodeName;

    fn from_str(text: &str) -> Result<Self, InvalidNodeName> {
        let invalid = || InvalidNodeName(text.to_owned());
        let at = text.find('@').ok_or_else(invalid)?;
        let (name, host) = (&text[..at], &text[at + 1..]);
        let name_ok = !name.is_empty()
            && name
                .chars()
                .all(|c| c.is_alphanumeric() || matches!(c, '_' | '-'));
        let host_ok = !host.is_empty()
            && !host.contains('@')
            && !host.contains(|c: char| c.is_whitespace() || c.is_control());
        if text.len() > 255 || !name_ok || !host_ok {
            return Err(invalid());
        }
        Ok(Self {
            full: Atom::new(text),
            at,
        })
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The shared secret of a cluster. Never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Cookie(String);

impl Cookie {
    /// Takes the secret; surrounding white space, as a cookie file may end with, is cut off.
    pub fn new(secret: &str) -> Self {
        Self(secret.trim().to_owned())
    }

    /// The secret itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Cookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cookie(***)")
    }
}
