//! The operator's prompt: `iex --remsh sidekick@host` and `erl -remsh sidekick@host` on a Rust node.
//!
//! ```text
//! iex / erl ──erpc──▶ ConsoleFunctions ──spawns──▶ Shell ──▶ Terminal ◀──io_request/io_reply──▶ the caller's group
//!                          │ all else                │ commands
//!                          ▼                         ▼
//!                     functions behind ◀──── module `sidekick` (the requests that everybody uses)
//! ```
//!
//! Line editing, history and the screen are the caller's own; ours are the words. Nothing here does anything to a
//! server itself: every command is a request of module `sidekick`, shown by `show` as `ctl` shows it.
//!
//! Architecture Invariants: a shell ends with its terminal; peers hold at most 16 of them; a slow terminal loses lines
//! (and is told how many), never memory.

mod answers;
mod asking;
mod commands;
mod complete;
mod events;
mod follow;
mod functions;
mod json;
mod shell;
mod sinks;
mod table;
mod terminal;
mod words;

pub use functions::ConsoleFunctions;
