//! The journal: the truth. See `docs/FORMAT.md` for its format and `docs/adr/0001-journal-is-the-truth.md` for why it is ours.
//!
//! From small to large: [`codec`] fields, [`record`] and [`facts`] bodies, [`frame`] checksums, [`segment`] files;
//! [`writer`] appends; [`scan`] and [`walk`] read; [`recovery`], [`replay`] and [`mend`] open.

pub(super) mod codec;
pub(super) mod facts;
pub(super) mod frame;
mod mend;
pub(super) mod record;
pub(super) mod recovery;
pub(super) mod replay;
pub(super) mod scan;
pub(super) mod segment;
pub(super) mod walk;
pub(super) mod writer;
