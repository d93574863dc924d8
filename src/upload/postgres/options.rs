//! What a sink of kind `postgres` is started with, and the connection string taken apart.
//!
//! `sslmode` means what libpq means by it. Where the string does not say it: `prefer` for a database on this machine,
//! `verify-full` for any other.

pub(super) use crate::config::{Columns, PayloadForm, Tables};
use crate::config::{PostgresConfig, UrlSource};
use crate::types::SinkName;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};

/// How long opening a connection to one address may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// After this long without a word a peer is asked whether it is still there.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// Where the database is and how its tables look.
#[derive(Debug, Clone)]
pub struct PostgresOptions {
    sink: SinkName,
    source: UrlSource,
    database: tokio_postgres::Config,
    pub(super) verify: Verify,
    /// Files of certificates.
    pub tls: PostgresTls,
    /// The form of payloads and values.
    pub payload: PayloadForm,
    /// Names of the tables.
    pub tables: Tables,
    /// Names of the columns of the table of records.
    pub columns: Columns,
    /// Uploads under way at once.
    pub connections: usize,
}

/// Files of certificates, all PEM.
#[derive(Debug, Clone, Default)]
pub struct PostgresTls {
    /// The CAs one of which signed the database's certificate.
    pub ca: Option<PathBuf>,
    /// Our own certificate, and those between it and the CA.
    pub cert: Option<PathBuf>,
    /// Its key.
    pub key: Option<PathBuf>,
}

/// How much of the database's certificate is verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verify {
    /// Nothing: the conversation is encrypted, with whomever.
    Nothing,
    /// That a known CA signed it.
    Authority,
    /// And that it is that of the host.
    Host,
}

/// The connection string or the files beside it are of no use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("sink {sink}: {why}")]
pub struct PostgresOptionsError {
    sink: String,
    why: String,
}

impl PostgresOptions {
    /// Takes the connection string apart and reads the certificates, to say what is wrong with them.
    ///
    /// # Errors
    /// Says the remedy, and nothing of the string itself, which may hold a password.
    pub fn new(sink: SinkName, config: &PostgresConfig) -> Result<Self, PostgresOptionsError> {
        let name = sink.to_string();
        let refuse = |why: String| PostgresOptionsError {
            sink: name.clone(),
            why,
        };
        let mut tls = PostgresTls {
            ca: config.ca_file.clone(),
            cert: config.cert_file.clone(),
            key: config.key_file.clone(),
        };
        let (plain, mode) = split(config.url.expose(), &mut tls).map_err(refuse)?;
        let parsed = plain.parse::<tokio_postgres::Config>();
        let mut database =
            parsed.map_err(|error| refuse(format!("{}; {FORM}", super::failure::text(&error))))?;
        let local = database.get_hosts().iter().all(is_local);
        let (mode, verify) = sslmode(mode.as_deref(), local, &tls).map_err(refuse)?;
        if database.get_hosts().is_empty() {
            return Err(refuse(format!(
                "the connection string names no host; {FORM}"
            )));
        }
        if database.get_application_name().is_none() {
            database.application_name("sidekick");
        }
        database
            .ssl_mode(mode)
            .keepalives_idle(KEEPALIVE)
            .tcp_user_timeout(2 * KEEPALIVE)
            // A standby may be behind: what it says of a watermark is no proof, and it stores nothing.
            .target_session_attrs(TargetSessionAttrs::ReadWrite);
        let options = Self {
            sink,
            source: config.url.source().clone(),
            database,
            verify,
            tls,
            payload: config.payload,
            tables: config.tables.clone(),
            columns: config.columns.clone(),
            connections: config.connections as usize,
        };
        super::tls::Connector::new(&options).map_err(refuse)?;
        Ok(options)
    }

    pub(super) fn database(&self) -> &tokio_postgres::Config {
        &self.database
    }

    /// How long connecting to one address may take, where a request may take `whole`: so that another host is tried in time
    /// where one does not answer. What the connection string says holds.
    pub(super) fn connect_timeout(&self, whole: Duration) -> Duration {
        let hosts = self.database.get_hosts().len().max(1) as u32;
        let share = CONNECT_TIMEOUT.min(whole * 2 / 3 / hosts);
        let said = self.database.get_connect_timeout().copied();
        said.unwrap_or(share)
    }

    pub(super) fn sink(&self) -> &SinkName {
        &self.sink
    }

    /// Where the connection string is, for people.
    pub(super) fn source(&self) -> String {
        match &self.source {
            UrlSource::File(file) => file.display().to_string(),
            UrlSource::Environment(name) => format!("the variable {name}"),
        }
    }

    /// Whether connections are never encrypted.
    pub(super) fn is_plain(&self) -> bool {
        self.database.get_ssl_mode() == SslMode::Disable
    }

    /// Where it is: hosts, ports and database.
    pub(in crate::upload) fn label(&self) -> String {
        let ports = self.database.get_ports();
        let hosts = self.database.get_hosts().iter().enumerate();
        let hosts: Vec<String> = hosts
            .map(|(index, host)| {
                let port = ports.get(index).or(ports.first()).unwrap_or(&5432);
                match host {
                    Host::Tcp(host) => format!("{host}:{port}"),
                    Host::Unix(path) => format!("{}:{port}", path.display()),
                }
            })
            .collect();
        let database = self.database.get_dbname().unwrap_or_default();
        format!("{}/{database}", hosts.join(","))
    }

    /// What to do where tables or columns are missing.
    pub(super) fn remedy(&self) -> String {
        format!("run  sidekick ctl sink init {}", self.sink)
    }
}

const FORM: &str = "write it as postgres://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=verify-full";

impl fmt::Display for Verify {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nothing => "require",
            Self::Authority => "verify-ca",
            Self::Host => "verify-full",
        })
    }
}

/// Takes out what is ours to see to: `sslmode` and the files. The string's files give way to those of the configuration.
fn split(url: &str, tls: &mut PostgresTls) -> Result<(String, Option<String>), String> {
    if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
        return Err(format!("the connection string is no URL; {FORM}"));
    }
    let (base, query) = url.split_once('?').unwrap_or((url, ""));
    let mut mode = None;
    let mut rest = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (file, ours) = match key {
            "sslmode" => {
                mode = Some(value.to_owned());
                continue;
            }
            "sslrootcert" => (&mut tls.ca, "ca_file"),
            "sslcert" => (&mut tls.cert, "cert_file"),
            "sslkey" => (&mut tls.key, "key_file"),
            _ => {
                rest.push(pair);
                continue;
            }
        };
        if value.contains('%') {
            return Err(format!(
                "`{key}` is written with %; name the file by `{ours}` in the sink"
            ));
        }
        file.get_or_insert_with(|| value.into());
    }
    let plain = if rest.is_empty() {
        base.to_owned()
    } else {
        format!("{base}?{}", rest.join("&"))
    };
    Ok((plain, mode))
}

fn sslmode(
    mode: Option<&str>,
    local: bool,
    tls: &PostgresTls,
) -> Result<(SslMode, Verify), String> {
    let known = match mode {
        None if local && tls.ca.is_none() => (SslMode::Prefer, Verify::Nothing),
        Some("disable") => (SslMode::Disable, Verify::Nothing),
        Some("prefer") => (SslMode::Prefer, Verify::Nothing),
        // As libpq has it: whoever names a CA means it.
        Some("require") if tls.ca.is_none() => (SslMode::Require, Verify::Nothing),
        Some("require" | "verify-ca") => (SslMode::Require, Verify::Authority),
        None | Some("verify-full") => (SslMode::Require, Verify::Host),
        Some(_) => {
            return Err("`sslmode` in the connection string is not known; write disable, prefer, require, verify-ca or verify-full".to_owned());
        }
    };
    if known.1 != Verify::Nothing && tls.ca.is_none() {
        return Err(format!(
            "sslmode {} needs `ca_file`, the CA that signed the database's certificate; on a network of your own \
             sslmode=require encrypts without verifying, and sslmode=disable does neither",
            known.1
        ));
    }
    Ok(known)
}

fn is_local(host: &Host) -> bool {
    match host {
        Host::Unix(_) => true,
        Host::Tcp(host) => {
            host == "localhost"
                || host
                    .parse::<std::net::IpAddr>()
                    .is_ok_and(|address| address.is_loopback())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{DatabaseUrl, UrlSource};

    fn options(url: &str) -> Result<PostgresOptions, String> {
        let config = PostgresConfig {
            url: DatabaseUrl::new(url, UrlSource::Environment("URL".to_owned())),
            ca_file: None,
            cert_file: None,
            key_file: None,
            payload: PayloadForm::Jsonb,
            connections: 4,
            tables: Tables::default(),
            columns: Columns::default(),
        };
        PostgresOptions::new(SinkName::try_from("db").unwrap(), &config)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn what_leaves_the_machine_is_verified_unless_said_otherwise() {
        let near = options("postgres://me:hush@127.0.0.1:5433/game").unwrap();
        assert_eq!(near.database.get_ssl_mode(), SslMode::Prefer);
        assert_eq!(near.label(), "127.0.0.1:5433/game");
        let far = options("postgres://me:hush@db.example/game").unwrap_err();
        assert!(far.contains("verify-full needs `ca_file`"), "{far}");
        let said =
            options("postgresql://me@db.example/game?connect_timeout=3&sslmode=require").unwrap();
        assert_eq!(said.database.get_ssl_mode(), SslMode::Require);
        assert_eq!(said.verify, Verify::Nothing);
        // What the string says holds; else each of several hosts gets its share of the time.
        let second = Duration::from_secs(1);
        assert_eq!(said.connect_timeout(second), 3 * second);
        assert_eq!(near.connect_timeout(60 * second), 5 * second);
        let two = options("postgres://me@127.0.0.1:1,127.0.0.1:2/game").unwrap();
        assert_eq!(two.connect_timeout(3 * second), second);
        assert_eq!(two.label(), "127.0.0.1:1,127.0.0.1:2/game");
        assert!(
            options("postgres://me@db.example/game?sslmode=disable")
                .unwrap()
                .is_plain()
        );
    }

    #[test]
    fn what_is_wrong_is_said_without_the_password() {
        for (url, part) in [
            ("host=db password=hush", "is no URL"),
            (
                "postgres://me:hush@127.0.0.1:x/game",
                "write it as postgres://",
            ),
            (
                "postgres://me:hush@127.0.0.1/game?sslmode=maybe",
                "`sslmode` in the",
            ),
            ("postgres://me:hush@127.0.0.1/game?colour=red", "colour"),
            (
                "postgres://me:hush@127.0.0.1/game?sslmode=verify-full&sslrootcert=/no/ca.pem",
                "/no/ca.pem",
            ),
            (
                "postgres://me:hush@127.0.0.1/game?sslrootcert=a%20b",
                "`ca_file`",
            ),
            ("postgres:///game", "names no host"),
        ] {
            let error = options(url).unwrap_err();
            assert!(
                error.contains(part) && !error.contains("hush"),
                "{url}: {error}"
            );
        }
        let shown = format!(
            "{:?}",
            options("postgres://me:hush@127.0.0.1/game").unwrap()
        );
        assert!(!shown.contains("hush"), "{shown}");
    }
}
