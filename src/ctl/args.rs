//! What can be typed after `sidekick ctl`.

use clap::{Args, Subcommand};
use std::path::PathBuf;
use std::time::Duration;

/// `sidekick ctl`
#[derive(Debug, Args)]
pub struct CtlArgs {
    /// Configuration of the sidekick to talk to [default: ./sidekick.toml]
    #[arg(
        long,
        short,
        global = true,
        value_name = "FILE",
        env = "SIDEKICK_CONFIG"
    )]
    pub config: Option<PathBuf>,
    /// Its runtime directory, in place of the configuration's
    #[arg(long, global = true, value_name = "DIR", env = "SIDEKICK_RUN_DIR")]
    pub run_dir: Option<PathBuf>,
    /// Print JSON
    #[arg(long, global = true)]
    pub json: bool,
    /// Give up waiting for an answer after this long; the work itself goes on
    #[arg(long, global = true, value_name = "DURATION", default_value = "60s", value_parser = humantime::parse_duration)]
    pub timeout: Duration,
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// A command to a running sidekick.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Servers, sinks, peers and the buffer at a glance, or one server in detail
    Status {
        /// One server
        server: Option<String>,
    },
    /// Name, version, identity and buffer of the sidekick itself
    Info,
    /// Read the configuration again: servers are added, changed and removed, all others play on
    Reload {
        /// Tell what would be done, and do nothing
        #[arg(long)]
        plan: bool,
    },
    /// Start a server that is stopped or quarantined
    Start {
        /// Its id
        server: String,
    },
    /// Stop a server gracefully
    Stop {
        /// Its id
        server: String,
    },
    /// Stop a server gracefully and start it again
    Restart {
        /// Restart a group in its place, one server at a time, the next once the one before plays
        #[arg(long)]
        rolling: bool,
        /// Its id, or with --rolling the name of the group
        server: String,
    },
    /// Kill a server's process; the restart policy applies afterwards
    Kill {
        /// Its id
        server: String,
    },
    /// Ask a server to finish by itself, then stop it
    Drain {
        /// Its id
        server: String,
    },
    /// The last lines a server wrote
    Logs {
        /// Its id
        server: String,
        /// How many
        #[arg(long, short = 'n', default_value_t = 100, value_name = "LINES")]
        limit: u32,
        /// Go on with new lines until interrupted
        #[arg(long, short)]
        follow: bool,
    },
    /// Crash bundles of a server, or one of them whole
    Crashes {
        /// Its id
        server: String,
        /// Number of one bundle
        number: Option<u64>,
    },
    /// Streams with their ranges and cursors
    Streams,
    /// Records of a stream
    Read {
        /// Its name
        stream: String,
        /// First sequence
        #[arg(long, default_value_t = 1, value_name = "SEQ")]
        from: u64,
        /// How many
        #[arg(long, short = 'n', default_value_t = 100, value_name = "RECORDS")]
        limit: u32,
    },
    /// State of a scope (a server's id), or one value of it
    State {
        /// The scope
        scope: String,
        /// One key
        key: Option<String>,
        /// Its earlier values too, as many as the configuration keeps
        #[arg(long, requires = "key")]
        history: bool,
    },
    /// Sinks and their cursors
    Sink {
        /// What to do
        #[command(subcommand)]
        command: SinkCommand,
    },
}

/// A command about sinks.
#[derive(Debug, Subcommand)]
pub enum SinkCommand {
    /// Where each sink stands
    List,
    /// Make the tables of a sink of kind "postgres" where they are missing, and check those that are there
    Init {
        /// Its name
        sink: String,
        /// Print the statements, and do nothing
        #[arg(long)]
        sql: bool,
    },
    /// Try at once what is open, paused or halted: the circuit breaker closes, a halt is lifted and its reason looked at anew
    Retry {
        /// Its name
        sink: String,
        /// Give up records that its store had acknowledged and lost, and over which it halted
        #[arg(long)]
        accept_loss: bool,
    },
    /// Wait until everything up to now is stored, by what the store itself says; within --timeout, less two seconds
    Drain {
        /// One sink; without a name all
        sink: Option<String>,
    },
    /// Records that a sink refused for what they hold
    Dead {
        /// Its name
        sink: String,
    },
    /// Offer dead letters again, each at the end of its stream, for this sink alone
    Redrive {
        /// Its name
        sink: String,
        /// The number of one letter; without it all
        #[arg(long, value_name = "NUMBER")]
        seq: Option<u64>,
    },
    /// Remove dead letters for good
    Discard {
        /// Its name
        sink: String,
        /// The number of one letter
        #[arg(long, value_name = "NUMBER", required_unless_present = "all")]
        seq: Option<u64>,
        /// All of them
        #[arg(long, conflicts_with = "seq")]
        all: bool,
    },
    /// Give up the cursors of a sink that the configuration no longer holds, so that they stop pinning data
    Forget {
        /// Its name
        sink: String,
    },
}
