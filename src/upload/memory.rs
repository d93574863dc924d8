//! Which store a sink's records went to so far, remembered in a scope of our own.

use super::outcome::StoreId;
use super::requests::Requests;
use crate::buffer::Change;
use crate::etf::{self, Term};
use crate::types::{Key, Scope, SinkName};

/// The scope of our own in which sinks remember their stores. It is not uploaded.
const MEMORY: &str = ".sidekick.sinks";

/// The store that this sink's records went to so far.
pub(super) async fn recall(requests: &Requests) -> Result<Option<StoreId>, String> {
    let (scope, key) = memory(&requests.options.name);
    let held = requests.buffer.get_state(&scope, &key).await;
    let held = held.map_err(|error| error.to_string())?;
    let store = held.and_then(|payload| etf::decode(payload).ok());
    Ok(store.and_then(|term| term.as_binary().cloned()))
}

/// Remembers it.
pub(super) async fn remember(requests: &Requests, store: &StoreId) -> Result<(), String> {
    let (scope, key) = memory(&requests.options.name);
    let payload = etf::encode(&Term::binary(store.clone()));
    let change = vec![Change::Put(key, payload)];
    let revision = requests.buffer.change(&scope, change).await;
    revision.map(|_| ()).map_err(|error| error.to_string())
}

fn memory(sink: &SinkName) -> (Scope, Key) {
    let scope = Scope::try_from(MEMORY).expect("the name is a few bytes long");
    let key = Key::new(sink.to_bytes()).expect("sinks and keys have the same bounds");
    (scope, key)
}
