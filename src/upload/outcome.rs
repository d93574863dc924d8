//! What became of a request to a sink, whatever its kind.

use crate::types::{Epoch, Revision, Sequence};
use bytes::Bytes;

/// Identity of a store, as it says itself.
pub(super) type StoreId = Bytes;

/// What became of an upload of records, or of a question for the watermark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Everything up to the watermark is stored.
    Stored {
        /// Which store says so.
        store: StoreId,
        /// The last sequence it holds.
        watermark: Sequence,
    },
    /// Nothing was stored: records between the watermark and these are missing.
    Gap {
        /// Which store says so, where it says that.
        store: Option<StoreId>,
        /// The last sequence the store holds.
        watermark: Sequence,
    },
    /// Nothing was stored, as the sink refuses what these records hold, and will again.
    Refused {
        /// What it said.
        reason: String,
        /// The first and the last record of the request, where it had any.
        records: Option<(Sequence, Sequence)>,
    },
    /// It went wrong in a way that all requests share.
    Failed(Failure),
}

/// What became of a state upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum StateOutcome {
    /// There was nothing to send.
    Clean,
    /// Applied, now or before.
    Stored {
        /// Which store says so.
        store: StoreId,
        /// The revision it holds.
        rev: Revision,
    },
    /// Not applied: the store holds another revision than the changes start from.
    Gap {
        /// The revision the changes started from.
        after: Revision,
        /// The revision the store holds.
        rev: Revision,
    },
    /// Not applied: the store has seen a later owner than this origin ever had.
    StaleEpoch {
        /// The epoch it holds.
        stored: Epoch,
    },
    /// It went wrong in a way that all requests share.
    Failed(Failure),
}

/// A failure that says nothing about the data.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) enum Failure {
    /// Nothing was done, for sure: worth another try.
    NotDone(String),
    /// It may have been done: the watermark must be asked.
    Unknown(String),
    /// The same, as no answer came in time: less at once may get one.
    Late(String),
    /// The sink refuses what the request holds: it will refuse it every time, and may take another.
    Refused(String),
    /// Going on could hide a loss or store something twice.
    Fatal(String),
    /// Our own buffer failed; the sink can do nothing about it.
    Buffer(String),
}

/// Why a record could not be put among the dead letters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum BuryError {
    /// There is no place for it, which an operator has to make, or it is not wanted there.
    NoPlace(String),
    /// Our own buffer failed.
    Buffer(String),
}
