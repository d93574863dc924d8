//! The durable buffer: what it acknowledged survives `kill -9` and a power cut.
//!
//! ```text
//! append, commit, change ─▶ queue ─▶ committer ─▶ journal ─▶ fdatasync ─▶ tables, index ─▶ answer
//!                                                    ▲                        │
//!                    keeper: spare segments, trimming, moving, index ◀────────┘
//! read, restore, state ◀── index says where, the journal says what (checked)
//! ```
//!
//! * `journal`: append-only, checksummed segments; **the truth**. Everything below can be rebuilt from it.
//! * `committer`: the one thread that writes. It takes all that waits, numbers and fences it, writes it with one
//!   `fdatasync`, lets it take effect, and only then answers.
//! * `tables`: what the records say, in memory. Live and recovered buffers apply records by the same code.
//! * `index`: where events and values lie; sled holds it between runs. Any doubt: moved aside and rebuilt.
//! * `keeper`: the thread for all that nobody waits for.
//!
//! Architecture Invariants: nothing is acknowledged before it is durable. Only `journal` writes segments, only the committer
//! calls it. No answer comes from the index without the journal's checksum over it. After a failed sync nothing is
//! written any more. Data streams are bounded by `max_bytes`, queues by permits, reads by the caller.

mod committer;
mod dirs;
mod error;
mod handle;
mod history;
mod index;
pub mod inspect;
mod journal;
mod keeper;
mod lanes;
mod lock;
mod model;
mod open;
mod options;
mod read;
pub mod salvage;
mod shared;
mod tables;

pub use error::{AppendError, OpenError, ReadError};
pub use handle::Buffer;
pub use model::{
    Activated, Appended, Change, Committed, Info, Opened, Past, Producer, Record, Restored,
    SessionBatch, StateDelta, StreamInfo, TailEvent,
};
pub use options::{
    HISTORY_MAX, Keep, Limit, Options, RESERVE_BYTES, Rule, SEGMENT_BYTES, SinkRule, Start,
    StateRule, StreamRule, WhenFull,
};
