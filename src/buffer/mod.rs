//! The durable buffer: journal (truth) and index (rebuildable).

mod error;
mod handle;
pub mod inspect;
mod model;
mod options;

pub use error::{AppendError, OpenError, ReadError};
pub use handle::Buffer;
pub use model::{
    Activated, Appended, Change, Committed, Info, Opened, Producer, Record, Restored, SessionBatch,
    StateDelta, StreamInfo, TailEvent,
};
pub use options::{
    Keep, Options, RESERVE_BYTES, SEGMENT_BYTES, SinkRule, Start, StreamRule, WhenFull,
};
