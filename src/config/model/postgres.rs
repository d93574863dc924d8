//! `[[sink]] kind = "postgres"`: which database, and which tables in it.

use serde::{Deserialize, Serialize, Serializer};
use std::fmt;
use std::path::PathBuf;

/// A database that gets uploads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PostgresConfig {
    /// How to reach it.
    #[serde(flatten)]
    pub url: DatabaseUrl,
    /// The CAs one of which signed the database's certificate, PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// Our own certificate, and those between it and the CA, PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cert_file: Option<PathBuf>,
    /// Its key, PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_file: Option<PathBuf>,
    /// The form of payloads and values.
    pub payload: PayloadForm,
    /// Uploads under way at once, each on a connection of its own.
    pub connections: u32,
    /// Names of the tables.
    pub tables: Tables,
    /// Names of the columns of the table of records.
    pub columns: Columns,
}

/// A connection string, which may hold a password. Its `Debug` is masked, and it is written as the place it came from.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl {
    secret: String,
    source: UrlSource,
}

/// Where a connection string came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum UrlSource {
    /// A file.
    #[serde(rename = "url_file")]
    File(PathBuf),
    /// A variable of the environment.
    #[serde(rename = "url_env")]
    Environment(String),
}

impl DatabaseUrl {
    /// Wraps a secret, and where it was read from.
    pub fn new(secret: impl Into<String>, source: UrlSource) -> Self {
        let secret = secret.into();
        Self { secret, source }
    }

    /// The secret itself.
    pub fn expose(&self) -> &str {
        &self.secret
    }

    /// Where it came from.
    pub fn source(&self) -> &UrlSource {
        &self.source
    }
}

impl Serialize for DatabaseUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.source.serialize(serializer)
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DatabaseUrl(*** from {:?})", self.source)
    }
}

/// In which form payloads and values are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PayloadForm {
    /// JSON that the database can search.
    #[default]
    Jsonb,
    /// The external term itself.
    Bytea,
}

impl PayloadForm {
    /// The type of the column.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Jsonb => "jsonb",
            Self::Bytea => "bytea",
        }
    }
}

/// `[sink.tables]`: names of the tables, each with its schema where that is not the first of the search path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tables {
    /// Records.
    pub records: String,
    /// How far each stream is stored.
    pub watermarks: String,
    /// The latest state.
    pub state: String,
    /// How far each scope's state is stored.
    pub scopes: String,
    /// The identity of the store.
    pub store: String,
}

impl Default for Tables {
    fn default() -> Self {
        Self {
            records: "sidekick_records".to_owned(),
            watermarks: "sidekick_watermarks".to_owned(),
            state: "sidekick_state".to_owned(),
            scopes: "sidekick_scopes".to_owned(),
            store: "sidekick_store".to_owned(),
        }
    }
}

impl Tables {
    /// What each is for, and its name.
    pub fn each(&self) -> [(&'static str, &str); 5] {
        [
            ("records", &self.records),
            ("watermarks", &self.watermarks),
            ("state", &self.state),
            ("scopes", &self.scopes),
            ("store", &self.store),
        ]
    }
}

/// `[sink.columns]`: names of the columns of the table of records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Columns {
    /// The buffer that a record was written to; `uuid`.
    pub origin: String,
    /// Its stream; `text`.
    pub stream: String,
    /// Its number within the stream; `int8`.
    pub seq: String,
    /// When it was committed, in milliseconds since 1970; `int8`.
    pub at_ms: String,
    /// The node that uploaded it; `text`.
    pub node: String,
    /// Its payload; `jsonb` or `bytea`.
    pub payload: String,
}

impl Default for Columns {
    fn default() -> Self {
        Self {
            origin: "origin".to_owned(),
            stream: "stream".to_owned(),
            seq: "seq".to_owned(),
            at_ms: "at_ms".to_owned(),
            node: "node".to_owned(),
            payload: "payload".to_owned(),
        }
    }
}

impl Columns {
    /// What each is for, and its name, in the order in which records are inserted.
    pub fn each(&self) -> [(&'static str, &str); 6] {
        [
            ("origin", &self.origin),
            ("stream", &self.stream),
            ("seq", &self.seq),
            ("at_ms", &self.at_ms),
            ("node", &self.node),
            ("payload", &self.payload),
        ]
    }
}
