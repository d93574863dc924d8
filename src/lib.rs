//! sidekick: the process that stands beside a Godot game server.
//!
//! ```text
//! supervisor(Godot) → session → buffer → upload → node → BEAM / SQL
//!         ↑──── control ←──── node ←────────────────────┘
//! ```
//!
//! Data reads left to right, control right to left. `docs/ARCHITECTURE.md` holds the whole drawing and
//! its invariants; `tests/tidy.rs` enforces which module may import which.

pub mod api;
pub mod app;
pub mod buffer;
pub mod cli;
pub mod config;
pub mod console;
pub mod ctl;
pub mod dist;
pub mod etf;
pub mod failpoints;
pub mod godot;
pub mod guard;
pub mod node;
pub mod ports;
pub mod show;
pub mod shutdown;
pub mod supervisor;
pub mod telemetry;
pub mod types;
pub mod upload;
