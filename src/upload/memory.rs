//! What a sink remembers for good, in scopes of our own, which are not uploaded: which store its records went to so far, and where
//! it began in each stream of which that store acknowledged something. By the latter a store that lost all of a stream is told
//! from one that never saw it.

use super::outcome::StoreId;
use super::requests::Requests;
use crate::buffer::{AppendError, Buffer, Change};
use crate::etf::{self, Term};
use crate::types::{Key, Scope, Sequence, SinkName, StreamName};
use std::collections::BTreeMap;

/// The scope in which sinks remember their stores.
const STORES: &str = ".sidekick.sinks";
/// How the name of the scope begins in which a sink remembers where it began.
const BEGAN: &[u8] = b".sidekick.from.";

/// What a sink remembers.
#[derive(Debug, Clone, Default)]
pub(super) struct Memory {
    /// The store that acknowledged so far.
    pub(super) store: Option<StoreId>,
    /// Where the sink began in each stream of which it acknowledged something.
    pub(super) began: BTreeMap<StreamName, Sequence>,
}

impl From<Option<StoreId>> for Memory {
    fn from(store: Option<StoreId>) -> Self {
        Self {
            store,
            ..Self::default()
        }
    }
}

/// What this sink remembers from before.
pub(super) async fn recall(requests: &Requests) -> Result<Memory, String> {
    let (buffer, sink) = (&requests.buffer, &requests.options.name);
    let held = buffer.get_state(&stores(), &key(sink)).await;
    let held = held.map_err(|error| error.to_string())?;
    let store = held.and_then(|payload| etf::decode(payload).ok());
    let store = store.and_then(|term| term.as_binary().cloned());
    let Some(scope) = began_scope(sink) else {
        return Ok(store.into());
    };
    let kept = buffer.state(&scope).await;
    let kept = kept.map_err(|error| error.to_string())?;
    let origin = buffer.origin().to_string();
    let began = kept.into_iter().filter_map(|(key, value)| {
        let stream = StreamName::new(key.to_bytes()).ok()?;
        let term = etf::decode(value).ok()?;
        // What a salvaged buffer brings with it was acknowledged of its parent's records.
        match term.as_tuple()? {
            [of, began] if of.as_text()? == origin => Some((stream, began.as_u64()?)),
            _ => None,
        }
    });
    let began = began.collect();
    Ok(Memory { store, began })
}

/// Remembers the store.
pub(super) async fn remember(requests: &Requests, store: &StoreId) -> Result<(), String> {
    let payload = etf::encode(&Term::binary(store.clone()));
    let change = vec![Change::Put(key(&requests.options.name), payload)];
    let revision = requests.buffer.change(&stores(), change).await;
    revision.map(|_| ()).map_err(|error| error.to_string())
}

/// Remembers where the sink began in a stream.
pub(super) async fn remember_began(
    requests: &Requests,
    stream: &StreamName,
    began: Sequence,
) -> Result<(), String> {
    // Without a scope nothing is remembered; the configuration refuses names that are so long.
    let Some(scope) = began_scope(&requests.options.name) else {
        return Ok(());
    };
    let key = Key::new(stream.to_bytes()).expect("streams and keys have the same bounds");
    let origin = Term::text(&requests.buffer.origin().to_string());
    let value = etf::encode(&Term::tuple([origin, Term::int(began)]));
    let change = vec![Change::Put(key, value)];
    let revision = requests.buffer.change(&scope, change).await;
    revision.map(|_| ()).map_err(|error| error.to_string())
}

/// Forgets all of it: a sink that comes again under this name begins anew.
pub(super) async fn forget(buffer: &Buffer, sink: &SinkName) -> Result<(), AppendError> {
    let change = vec![Change::Delete(key(sink))];
    buffer.change(&stores(), change).await?;
    let Some(scope) = began_scope(sink) else {
        return Ok(());
    };
    let kept = buffer.state(&scope).await;
    let kept = kept.map_err(|error| AppendError::Stopped(error.to_string()))?;
    let keys: Vec<Key> = kept.into_iter().map(|(key, _)| key).collect();
    for part in keys.chunks(FORGOTTEN_AT_ONCE) {
        let changes = part.iter().cloned().map(Change::Delete).collect();
        buffer.change(&scope, changes).await?;
    }
    Ok(())
}

/// One commit is bounded.
const FORGOTTEN_AT_ONCE: usize = 256;

fn stores() -> Scope {
    Scope::try_from(STORES).expect("the name is a few bytes long")
}

fn key(sink: &SinkName) -> Key {
    Key::new(sink.to_bytes()).expect("sinks and keys have the same bounds")
}

fn began_scope(sink: &SinkName) -> Option<Scope> {
    Scope::new([BEGAN, sink.as_bytes()].concat()).ok()
}
