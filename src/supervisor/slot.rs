//! The two places that the processes of one server have in the run directory: one plays, the other is its standby, or on its way
//! out. A promotion moves nothing; the places change their parts.

/// One of the two places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slot {
    /// Named like the server.
    First,
    /// Named like the server with [`SECOND`] behind it.
    Second,
}

/// No server id holds a hyphen, so no server is named like another's second place.
const SECOND: &str = "-2";

impl Slot {
    /// Both.
    pub const ALL: [Self; 2] = [Self::First, Self::Second];

    /// The other one.
    pub fn other(self) -> Self {
        match self {
            Self::First => Self::Second,
            Self::Second => Self::First,
        }
    }

    /// The name of a server's files and of its guard in this place.
    pub fn name(self, server: &str) -> String {
        match self {
            Self::First => server.to_owned(),
            Self::Second => format!("{server}{SECOND}"),
        }
    }

    /// The server that has such a name.
    pub fn server(name: &str) -> &str {
        name.strip_suffix(SECOND).unwrap_or(name)
    }
}
