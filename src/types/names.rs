//! Names that users choose for data: 1 to 255 bytes, any bytes.

use bytes::Bytes;
use std::fmt;

/// A name was empty or longer than 255 bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a {kind} name is 1 to 255 bytes long, this one has {length}")]
pub struct InvalidName {
    /// What the name was for.
    pub kind: &'static str,
    /// How many bytes it had.
    pub length: usize,
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type(Bytes);

        impl $type {
            /// Checks the length and takes the name.
            ///
            /// # Errors
            /// Where it is empty or over 255 bytes.
            pub fn new(name: impl Into<Bytes>) -> Result<Self, InvalidName> {
                let name = name.into();
                match name.len() {
                    1..=255 => Ok(Self(name)),
                    length => Err(InvalidName { kind: $kind, length }),
                }
            }

            /// The bytes of the name.
            pub fn as_bytes(&self) -> &[u8] {
                &self.0
            }

            /// The bytes of the name, shared.
            pub fn to_bytes(&self) -> Bytes {
                self.0.clone()
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&String::from_utf8_lossy(&self.0))
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", String::from_utf8_lossy(&self.0))
            }
        }

        impl TryFrom<&str> for $type {
            type Error = InvalidName;

            fn try_from(name: &str) -> Result<Self, InvalidName> {
                Self::new(Bytes::copy_from_slice(name.as_bytes()))
            }
        }
    };
}

name!(
    /// Name of an append-only stream of records.
    StreamName,
    "stream"
);
name!(
    /// Name of a set of state keys; a Godot server's scope is its id.
    Scope,
    "scope"
);
name!(
    /// Name of one value within a [`Scope`].
    Key,
    "key"
);
name!(
    /// Name of a sink; it keys the sink's cursors.
    SinkName,
    "sink"
);
