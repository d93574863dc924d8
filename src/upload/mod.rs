//! Cursor to batches to sink to acknowledgement.
