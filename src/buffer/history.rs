//! Reading a key's history.

use super::index::{Entry, IndexError};
use super::model::Past;
use super::read::Wanted;
use super::shared::Shared;
use super::{Buffer, ReadError};
use crate::types::{Key, Payload, Revision, Scope};
use std::collections::HashMap;

impl Buffer {
    /// A key's value and its earlier ones, newest first, removals included: the newest change and as many before it as the
    /// scope's [`StateRule`](super::StateRule) keeps. Empty where the key is not known (any more).
    ///
    /// The history of a removed key ends once its removal is moved in the journal, which is some time after.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub async fn history(&self, scope: &Scope, key: &Key) -> Result<Vec<Past>, ReadError> {
        let (scope, key) = (scope.clone(), key.clone());
        self.blocking(move |shared| shared.read_history(&scope, &key))
            .await
    }
}

impl Shared {
    fn read_history(&self, scope: &Scope, key: &Key) -> Result<Vec<Past>, ReadError> {
        self.insist(|| {
            let entries = self.revisions(scope, key)?;
            let set = entries.iter().filter(|entry| !entry.deleted);
            let wanted: Vec<Wanted> = set.map(|entry| (key.clone(), *entry)).collect();
            let mut values: HashMap<Revision, Payload> = HashMap::with_capacity(wanted.len());
            self.each_value(scope, wanted, |_, rev, value| {
                values.insert(rev, value);
            })?;
            let past = |entry: &Entry| Past {
                rev: entry.rev,
                value: values.get(&entry.rev).cloned(),
            };
            Ok(entries.iter().map(past).collect())
        })
    }

    /// Where the revisions of a key lie, newest first.
    fn revisions(&self, scope: &Scope, key: &Key) -> Result<Vec<Entry>, IndexError> {
        let tables = self.tables();
        let (name, key) = (scope.as_bytes(), key.as_bytes());
        let mut entries: Vec<Entry> = tables.entry(name, key)?.into_iter().collect();
        let pasts = tables.pasts(name, key)?;
        for (_, value) in pasts.iter().rev().take(tables.history_of(name)) {
            entries.push(Entry::decode(value)?);
        }
        Ok(entries)
    }
}
