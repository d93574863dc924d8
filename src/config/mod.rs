//! TOML file to one validated, frozen value.
//!
//! [`Config::load`] reads a file, lays the [`Overrides`] of command line and environment over it and checks
//! everything that can be checked without starting anything. What comes out is plain data that no room can
//! find invalid later; what is refused names the thing, its line and column, and the remedy.
//!
//! Precedence: command line, environment, file, default. Relative paths in the file are relative to the
//! file's own directory, those of the command line and environment to the working directory; a leading `~`
//! is the home directory. The cookie never appears in `Debug` output nor in [`Config::effective`].

mod model;

pub use model::{
    AllowStart, Backoff, BufferConfig, Config, Cookie, EpmdConfig, Keep, LogConfig, LogFormat,
    NodeConfig, OnExit, Restart, RunConfig, ServerConfig, SessionConfig, SinkConfig, SinkKind,
    SinkLimits, SinkStart, StreamRule, WhenFull,
};
