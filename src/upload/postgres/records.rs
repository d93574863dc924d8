//! The transaction that stores records, and the question for the watermark.

use super::super::outcome::{Outcome, StoreId};
use super::connection::Connection;
use super::failure::Trouble;
use super::options::PayloadForm;
use super::pieces::Piece;
use super::{Upload, names};
use crate::buffer::Record;
use crate::types::{Origin, Sequence, StreamName};
use uuid::Uuid;

/// Stores what lies above the watermark, and the new watermark, in one transaction.
pub(super) async fn upload(
    connection: &mut Connection,
    form: PayloadForm,
    upload: &Upload<'_>,
) -> Result<Outcome, Trouble> {
    let origin = Uuid::from_bytes(*upload.origin.as_bytes());
    let stream = names::text(upload.stream.as_bytes());
    let of: [Parameter<'_>; 2] = [&origin, &stream];
    let cockroach = connection.is_cockroach();
    let (client, sql) = connection.parts();
    let transaction = client.transaction().await?;
    // Of statements that go together the first that fails says why; the others only say that it did (25P02).
    let (store, held) = tokio::join!(
        transaction.query_opt(&sql.store, &[]),
        transaction.query_opt(&sql.lock_watermark, &of),
    );
    let (store, held) = (store_id(store?)?, held?);
    let held = if let Some(row) = held {
        row
    } else {
        // Whoever else begins this stream waits here, and then sees what was stored.
        transaction.execute(&sql.new_watermark, &of).await?;
        transaction.query_one(&sql.lock_watermark, &of).await?
    };
    let watermark = held.try_get::<_, i64>(0)?;
    let held = watermark as Sequence;
    if held >= upload.last {
        transaction.rollback().await?;
        return Ok(stored(store, held));
    }
    let Some(fresh) = fresh(held, upload.last, upload.records, upload.dropped) else {
        transaction.rollback().await?;
        let store = Some(store);
        return Ok(Outcome::Gap {
            store,
            watermark: held,
        });
    };
    let seqs: Vec<i64> = fresh.iter().map(|record| record.seq as i64).collect();
    let at: Vec<i64> = fresh.iter().map(|record| record.at_ms as i64).collect();
    let payloads = fresh.iter().map(|record| (0, &record.payload));
    let (pieces, last_piece) = Piece::all(payloads, form)?;
    let insert = async |piece: &Piece<'_>| {
        let (seqs, at) = (&seqs[piece.range()], &at[piece.range()]);
        let rows: [Parameter<'_>; 6] = [
            &origin,
            &stream,
            &upload.node,
            &seqs,
            &at,
            piece.parameter(),
        ];
        let inserted = transaction.execute(&sql.records, &rows).await;
        inserted.map_err(|error| Trouble::sending(error, piece.bytes(), cockroach))
    };
    let last = upload.last as i64;
    let to: [Parameter<'_>; 4] = [&origin, &stream, &last, &watermark];
    for piece in &pieces {
        insert(piece).await?;
    }
    let (inserted, moved) = tokio::join!(
        insert(&last_piece),
        transaction.execute(&sql.move_watermark, &to),
    );
    inserted?;
    if moved? != 1 {
        return Err(Trouble::NotDone(
            "the watermark was moved by another".to_owned(),
        ));
    }
    transaction.commit().await.map_err(Trouble::Commit)?;
    Ok(stored(store, upload.last))
}

/// Asks for the watermark.
pub(super) async fn watermark(
    connection: &mut Connection,
    origin: Origin,
    stream: &StreamName,
) -> Result<Outcome, Trouble> {
    let origin = Uuid::from_bytes(*origin.as_bytes());
    let stream = names::text(stream.as_bytes());
    let of: [Parameter<'_>; 2] = [&origin, &stream];
    let (client, sql) = connection.parts();
    let (store, held) = tokio::try_join!(
        client.query_opt(&sql.store, &[]),
        client.query_opt(&sql.watermark, &of),
    )?;
    let held = held.map_or(Ok(0), |row| row.try_get::<_, i64>(0))?;
    Ok(stored(store_id(store)?, held as Sequence))
}

/// Any value of a statement.
pub(super) type Parameter<'a> = &'a (dyn tokio_postgres::types::ToSql + Sync);

/// How the database names itself.
pub(super) fn store_id(row: Option<tokio_postgres::Row>) -> Result<StoreId, Trouble> {
    let nameless = || Trouble::Schema("no row names the store".to_owned());
    let id: Uuid = row.ok_or_else(nameless)?.try_get(0)?;
    Ok(id.to_string().into())
}

fn stored(store: StoreId, watermark: Sequence) -> Outcome {
    Outcome::Stored { store, watermark }
}

/// The records above the watermark; none where a sequence up to `last` is neither among them nor dropped.
fn fresh<'a>(
    watermark: Sequence,
    last: Sequence,
    records: &'a [Record],
    dropped: &[(Sequence, Sequence)],
) -> Option<&'a [Record]> {
    let begin = records.partition_point(|record| record.seq <= watermark);
    let fresh = &records[begin..];
    let mut dropped = dropped.iter();
    let mut next = watermark + 1;
    // Up to each record, and at last up to the end, all that is missing must have been dropped.
    let ends = fresh.iter().map(|record| record.seq).chain([last + 1]);
    let mut range = dropped.next();
    for end in ends {
        while next < end {
            let (from, to) = range?;
            if *from > next {
                return None;
            }
            next = next.max(to + 1).min(end);
            if *to < end {
                range = dropped.next();
            }
        }
        next = end + 1;
    }
    Some(fresh)
}

#[cfg(test)]
mod tests {
    use super::fresh;
    use crate::buffer::Record;

    fn seqs(
        watermark: u64,
        last: u64,
        records: &[u64],
        dropped: &[(u64, u64)],
    ) -> Option<Vec<u64>> {
        let records: Vec<Record> = records
            .iter()
            .map(|&seq| Record {
                seq,
                at_ms: 1,
                payload: vec![131, 106].into(),
            })
            .collect();
        let fresh = fresh(watermark, last, &records, dropped)?;
        Some(fresh.iter().map(|record| record.seq).collect())
    }

    #[test]
    fn only_what_lies_above_is_fresh() {
        assert_eq!(seqs(0, 3, &[1, 2, 3], &[]), Some(vec![1, 2, 3]));
        assert_eq!(seqs(2, 3, &[1, 2, 3], &[]), Some(vec![3]));
        assert_eq!(
            seqs(0, 6, &[2, 3, 6], &[(1, 1), (4, 5)]),
            Some(vec![2, 3, 6])
        );
        assert_eq!(seqs(4, 9, &[], &[(1, 9)]), Some(vec![]));
        assert_eq!(seqs(4, 9, &[6], &[(1, 3), (5, 5), (7, 9)]), Some(vec![6]));
    }

    #[test]
    fn a_hole_is_a_gap() {
        assert_eq!(seqs(0, 3, &[2, 3], &[]), None);
        assert_eq!(seqs(0, 3, &[1, 3], &[]), None);
        assert_eq!(seqs(0, 4, &[1, 2, 3], &[]), None);
        assert_eq!(seqs(0, 9, &[5], &[(2, 4), (6, 9)]), None);
        assert_eq!(seqs(0, 9, &[5], &[(1, 3), (6, 9)]), None);
        assert_eq!(seqs(0, 9, &[5], &[(1, 4), (6, 8)]), None);
    }
}
