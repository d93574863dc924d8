//! The handle by which all others use the buffer. Clones are cheap and share one committer.

use super::{
    Activated, AppendError, Appended, Change, Committed, Info, OpenError, Options, Producer,
    ReadError, Record, Restored, SessionBatch, StateDelta, StreamInfo,
};
use crate::types::{
    Epoch, Key, Origin, Payload, Revision, Scope, Sequence, SinkName, StreamName, Token,
};
use tokio::sync::watch;

/// A clonable handle to an open buffer.
#[derive(Clone)]
pub struct Buffer {
    _private: (),
}

#[expect(
    clippy::unused_async,
    clippy::todo,
    unused_variables,
    missing_docs,
    reason = "skeleton"
)]
impl Buffer {
    /// Opens (or makes) the buffer of a directory: takes the lock, checks the whole journal, brings the index up to
    /// date, counts the incarnation durably, starts the threads. Blocking; call it before or beside the runtime.
    pub fn open(options: Options) -> Result<Self, OpenError> {
        todo!()
    }
    pub fn origin(&self) -> Origin {
        todo!()
    }
    pub fn incarnation(&self) -> u64 {
        todo!()
    }
    pub async fn append(
        &self,
        stream: &StreamName,
        payloads: Vec<Payload>,
        producer: Option<Producer>,
    ) -> Result<Appended, AppendError> {
        todo!()
    }
    pub async fn commit(&self, batch: SessionBatch) -> Result<Committed, AppendError> {
        todo!()
    }
    pub async fn activate(&self, scope: &Scope, token: Token) -> Result<Epoch, AppendError> {
        todo!()
    }
    pub fn activation(&self, scope: &Scope) -> Option<Activated> {
        todo!()
    }
    pub async fn restore(&self, scope: &Scope) -> Result<Restored, ReadError> {
        todo!()
    }
    pub async fn change(
        &self,
        scope: &Scope,
        changes: Vec<Change>,
    ) -> Result<Revision, AppendError> {
        todo!()
    }
    pub async fn get_state(&self, scope: &Scope, key: &Key) -> Result<Option<Payload>, ReadError> {
        todo!()
    }
    pub async fn state(&self, scope: &Scope) -> Result<Vec<(Key, Payload)>, ReadError> {
        todo!()
    }
    pub fn scopes(&self) -> Vec<Scope> {
        todo!()
    }
    pub async fn read(
        &self,
        stream: &StreamName,
        from: Sequence,
        limit: usize,
        max_bytes: usize,
    ) -> Result<Vec<Record>, ReadError> {
        todo!()
    }
    pub fn streams(&self) -> Vec<StreamInfo> {
        todo!()
    }
    pub fn stream(&self, stream: &StreamName) -> Option<StreamInfo> {
        todo!()
    }
    pub async fn advance(
        &self,
        sink: &SinkName,
        stream: &StreamName,
        seq: Sequence,
    ) -> Result<(), AppendError> {
        todo!()
    }
    pub fn dropped_ranges(&self, stream: &StreamName) -> Vec<(Sequence, Sequence)> {
        todo!()
    }
    pub async fn state_delta(
        &self,
        sink: &SinkName,
        scope: &Scope,
    ) -> Result<Option<StateDelta>, ReadError> {
        todo!()
    }
    pub async fn advance_state(
        &self,
        sink: &SinkName,
        scope: &Scope,
        rev: Revision,
    ) -> Result<(), AppendError> {
        todo!()
    }
    pub async fn forget_sink(&self, sink: &SinkName) -> Result<(), AppendError> {
        todo!()
    }
    pub fn committed(&self) -> watch::Receiver<u64> {
        todo!()
    }
    pub fn info(&self) -> Info {
        todo!()
    }
    pub fn failure(&self) -> watch::Receiver<Option<String>> {
        todo!()
    }
    pub async fn close(&self) {
        todo!()
    }
}
