//! The transaction that applies changes of state.

use super::super::outcome::{StateOutcome, StoreId};
use super::connection::Connection;
use super::failure::Trouble;
use super::names;
use super::options::PayloadForm;
use super::pieces::Piece;
use super::records::{Parameter, store_id};
use crate::buffer::StateDelta;
use crate::types::{Origin, Revision, Scope};
use uuid::Uuid;

/// Keys that one statement removes.
const KEYS: usize = 4096;

/// Applies changes where they start at the stored revision and come from no earlier owner. What was applied already is
/// answered, not applied again. To `replace` is to apply the whole of a scope wherever it stands.
pub(super) async fn upload(
    connection: &mut Connection,
    form: PayloadForm,
    origin: Origin,
    scope: &Scope,
    delta: &StateDelta,
    replace: bool,
) -> Result<StateOutcome, Trouble> {
    let origin = Uuid::from_bytes(*origin.as_bytes());
    let scope = names::text(scope.as_bytes());
    let cockroach = connection.is_cockroach();
    let (client, sql) = connection.parts();
    let transaction = client.transaction().await?;
    let of: [Parameter<'_>; 2] = [&origin, &scope];
    let (store, held) = tokio::join!(
        transaction.query_opt(&sql.store, &[]),
        transaction.query_opt(&sql.lock_scope, &of),
    );
    let (store, held) = (store_id(store?)?, held?);
    let held = if let Some(row) = held {
        row
    } else {
        transaction.execute(&sql.new_scope, &of).await?;
        transaction.query_one(&sql.lock_scope, &of).await?
    };
    let epoch = held.try_get::<_, i64>(0)? as u64;
    let rev = held.try_get::<_, i64>(1)? as u64;
    if let Some(outcome) = answered(&store, epoch, rev, delta, replace) {
        transaction.rollback().await?;
        return Ok(outcome);
    }
    let gone: Vec<String> = delta
        .delete
        .iter()
        .map(|key| names::text(key.as_bytes()))
        .collect();
    let keys: Vec<String> = delta
        .put
        .iter()
        .map(|(key, _)| names::text(key.as_bytes()))
        .collect();
    let values = keys.iter().map(String::len);
    let values = values.zip(delta.put.iter().map(|(_, value)| value));
    let (pieces, last_piece) = Piece::all(values, form)?;
    let (epoch, rev) = (delta.epoch as i64, delta.rev as i64);
    let delete = async |gone: &[String]| {
        let deleted: [Parameter<'_>; 3] = [&origin, &scope, &gone];
        transaction.execute(&sql.delete_state, &deleted).await
    };
    let put = async |piece: &Piece<'_>| {
        let keys = &keys[piece.range()];
        let put: [Parameter<'_>; 5] = [&origin, &scope, &rev, &keys, piece.parameter()];
        let put = transaction.execute(&sql.put_state, &put).await;
        put.map_err(|error| Trouble::sending(error, piece.bytes(), cockroach))
    };
    let moved: [Parameter<'_>; 4] = [&origin, &scope, &epoch, &rev];
    if replace {
        transaction.execute(&sql.clear_state, &of).await?;
    }
    for gone in gone.chunks(KEYS) {
        delete(gone).await?;
    }
    for piece in &pieces {
        put(piece).await?;
    }
    let (put, moved) = tokio::join!(
        put(&last_piece),
        transaction.execute(&sql.move_scope, &moved)
    );
    put?;
    moved?;
    transaction.commit().await.map_err(Trouble::Commit)?;
    let rev = delta.rev;
    Ok(StateOutcome::Stored { store, rev })
}

/// Whether a scope stands where it was acknowledged.
pub(super) async fn holds(
    connection: &mut Connection,
    origin: Origin,
    scope: &Scope,
    acknowledged: Revision,
) -> Result<StateOutcome, Trouble> {
    let origin = Uuid::from_bytes(*origin.as_bytes());
    let scope = names::text(scope.as_bytes());
    let of: [Parameter<'_>; 2] = [&origin, &scope];
    let (client, sql) = connection.parts();
    let (store, held) = tokio::try_join!(
        client.query_opt(&sql.store, &[]),
        client.query_opt(&sql.scope, &of),
    )?;
    let store = store_id(store)?;
    let rev = held.map_or(Ok(0), |row| row.try_get::<_, i64>(0))? as u64;
    Ok(if rev < acknowledged {
        let after = acknowledged;
        StateOutcome::Gap { after, rev }
    } else {
        StateOutcome::Stored { store, rev }
    })
}

/// What is to be said of changes that are not applied on what is stored.
fn answered(
    store: &StoreId,
    epoch: u64,
    rev: u64,
    delta: &StateDelta,
    replace: bool,
) -> Option<StateOutcome> {
    if delta.epoch < epoch {
        Some(StateOutcome::StaleEpoch { stored: epoch })
    } else if rev >= delta.rev {
        let store = store.clone();
        Some(StateOutcome::Stored { store, rev })
    } else if rev != delta.after && !replace {
        let after = delta.after;
        Some(StateOutcome::Gap { after, rev })
    } else {
        None
    }
}
