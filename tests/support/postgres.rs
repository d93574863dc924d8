//! A real PostgreSQL for tests: a cluster of its own on loopback, which may be killed and started again; and what stands between
//! it and a client to cut them apart.
//!
//! Where `SIDEKICK_TEST_COCKROACH_URL` is set, tests that need no server of their own run against that database as well.

#![allow(dead_code, clippy::unwrap_used)]

#[allow(
    clippy::duplicate_mod,
    reason = "each part of the support stands alone"
)]
#[path = "ports.rs"]
mod ports;

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio_postgres::{Client, NoTls};

/// How long a server may take to start.
const PATIENCE: Duration = Duration::from_secs(30);
/// `nobody`: the server refuses to run as root.
const NOBODY: u32 = 65534;

/// A program of the server, run as somebody it accepts.
fn program(name: &str) -> Command {
    let bin = std::env::var_os("SIDEKICK_PG_BIN").unwrap_or_else(|| {
        panic!(r#"SIDEKICK_PG_BIN is not set; run: eval "$(./scripts/setup --env)""#)
    });
    let mut command = Command::new(PathBuf::from(bin).join(name));
    command
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    if nix::unistd::geteuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}

/// A cluster. Dropped, it is ended at once and removed.
pub struct Postgres {
    pub port: u16,
    dir: TempDir,
    child: Option<Child>,
}

impl Postgres {
    /// A fresh one that runs, for the user `sidekick` without a password.
    pub async fn start() -> Self {
        let mut postgres = Self::prepared(&[]);
        postgres.run().await;
        postgres
    }

    /// A fresh one that has yet to run, with these lines in its configuration.
    pub fn prepared(lines: &[&str]) -> Self {
        let dir = TempDir::new().unwrap();
        own(dir.path());
        let postgres = Self {
            port: ports::free_port(),
            dir,
            child: None,
        };
        let data = postgres.data();
        let made = program("initdb")
            .arg("-D")
            .arg(&data)
            .args(["-U", "sidekick", "-A", "trust", "--no-sync", "-E", "UTF8"])
            .status();
        assert!(made.unwrap().success(), "initdb failed");
        let mut text = format!(
            "listen_addresses = '127.0.0.1'\nport = {}\nunix_socket_directories = ''\nmax_connections = 60\n",
            postgres.port
        );
        for line in lines {
            text += line;
            text += "\n";
        }
        std::fs::write(data.join("postgresql.auto.conf"), text).unwrap();
        postgres
    }

    /// Where its files are.
    pub fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// Starts it and waits until it lets clients in. What a killed one left behind is still ending at first, so that the
    /// server may have to be started more than once.
    pub async fn run(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            assert!(Instant::now() < deadline, "PostgreSQL does not start");
            let ended = |child: &mut Child| child.try_wait().unwrap().is_some();
            if self.child.as_mut().is_none_or(ended) {
                let mut server = program("postgres");
                server.arg("-D").arg(self.data());
                self.child = Some(server.spawn().unwrap());
            }
            let open = tokio::net::TcpStream::connect(("127.0.0.1", self.port)).await;
            if open.is_ok() && ready(&self.url("postgres")).await {
                return;
            }
            pause().await;
        }
    }

    /// `kill -9` of the server; its other processes end by themselves.
    pub fn kill(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Sends a signal to the server and to every process of its own: stopped it holds its connections and answers nothing.
    pub fn signal(&self, signal: nix::sys::signal::Signal) {
        let server = self.child.as_ref().unwrap().id();
        let parent = |pid: u32| {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            // The name may hold anything; what follows its last bracket is state and parent.
            let (_, rest) = stat.rsplit_once(')')?;
            rest.split_whitespace().nth(1)?.parse::<u32>().ok()
        };
        let pids = std::fs::read_dir("/proc").unwrap();
        let pids = pids.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        let children = pids.filter(|pid| parent(*pid) == Some(server));
        // The server first: nothing new is started by one that stands still.
        for pid in std::iter::once(server).chain(children) {
            let pid = nix::unistd::Pid::from_raw(i32::try_from(pid).unwrap());
            let _ = nix::sys::signal::kill(pid, signal);
        }
    }

    /// The pid of its first process, the parent of the others.
    pub fn pid(&self) -> i32 {
        self.child.as_ref().unwrap().id() as i32
    }

    /// How to reach a database of it.
    pub fn url(&self, database: &str) -> String {
        url(self.port, database)
    }
}

/// How to reach a database behind a port of this machine.
pub fn url(port: u16, database: &str) -> String {
    format!("postgres://sidekick@127.0.0.1:{port}/{database}")
}

/// Whether it lets clients in. A server that asks for certificates says so, and is ready as well.
async fn ready(url: &str) -> bool {
    match tokio_postgres::connect(url, NoTls).await {
        Ok(_) => true,
        Err(error) => error.code().is_some_and(|code| code.code() == "28000"),
    }
}

async fn pause() {
    // sleep: the pause between two looks at a server that tells nobody that it is ready
    tokio::time::sleep(Duration::from_millis(20)).await;
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let pid = nix::unistd::Pid::from_raw(child.id() as i32);
            let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGQUIT);
            let _ = child.wait();
        }
    }
}

/// Gives a file or directory to the user that runs the server.
pub fn own(path: &Path) {
    if nix::unistd::geteuid().is_root() {
        std::os::unix::fs::chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    }
}

/// A database for one scenario.
pub struct Place {
    pub name: &'static str,
    pub url: String,
    server: Option<Postgres>,
}

impl Place {
    /// Fresh databases: one of a PostgreSQL of its own, and, where it is told, one of CockroachDB.
    pub async fn all() -> Vec<Self> {
        let server = Postgres::start().await;
        let mut places = vec![Self {
            name: "postgres",
            url: server.url("postgres"),
            server: Some(server),
        }];
        if let Ok(url) = std::env::var("SIDEKICK_TEST_COCKROACH_URL") {
            places.push(Self {
                name: "cockroach",
                url: fresh_database(&url).await,
                server: None,
            });
        }
        places
    }

    /// Another fresh database of the same server.
    pub async fn another(&self) -> String {
        fresh_database(&self.url).await
    }

    /// Whether it is CockroachDB.
    pub fn is_cockroach(&self) -> bool {
        self.server.is_none()
    }

    /// The address, and the same URL with another port.
    pub fn through(&self, port: u16) -> (String, String) {
        let config: tokio_postgres::Config = self.url.parse().unwrap();
        let tokio_postgres::config::Host::Tcp(host) = &config.get_hosts()[0] else {
            panic!("{} is no TCP address", self.url)
        };
        let old = config.get_ports().first().copied().unwrap_or(5432);
        let address = format!("{host}:{old}");
        let there = format!("127.0.0.1:{port}");
        (address.clone(), self.url.replacen(&address, &there, 1))
    }
}

/// Makes a database beside this one, and gives its URL.
async fn fresh_database(url: &str) -> String {
    let database = format!("sidekick_{:08x}", rand::random::<u32>());
    let made = sql(url, &format!("CREATE DATABASE {database}")).await;
    made.unwrap();
    let (base, query) = url.split_once('?').unwrap_or((url, ""));
    let server = base.rsplit_once('/').map_or(base, |(server, _)| server);
    format!("{server}/{database}?{query}")
}

/// A client of the test's own.
pub async fn client(url: &str) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

/// Runs statements.
pub async fn sql(url: &str, statements: &str) -> Result<(), tokio_postgres::Error> {
    client(url).await?.batch_execute(statements).await
}
