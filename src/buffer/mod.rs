//! The durable buffer: journal (truth) and index (rebuildable).

mod codec;
mod committer;
mod error;
mod facts;
mod frame;
mod handle;
mod index;
pub mod inspect;
mod journal;
mod keeper;
mod lock;
mod model;
mod open;
mod options;
mod plan;
mod queue;
mod read;
mod record;
mod recovery;
mod replay;
mod room;
mod scan;
mod segment;
mod serve;
mod shared;
mod tables;
mod walk;

pub use error::{AppendError, OpenError, ReadError};
pub use handle::Buffer;
pub use model::{
    Activated, Appended, Change, Committed, Info, Opened, Producer, Record, Restored, SessionBatch,
    StateDelta, StreamInfo, TailEvent,
};
pub use options::{
    Keep, Options, RESERVE_BYTES, SEGMENT_BYTES, SinkRule, Start, StreamRule, WhenFull,
};
