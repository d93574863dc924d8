//! Damage is refused by name or repaired as documented, never silently wrong. `SIDEKICK_DAMAGE_ROUNDS` makes it longer (default
//! 24 of each kind), `SIDEKICK_DAMAGE_SEED` repeats a run.

#[path = "support/buffers.rs"]
mod buffers;
#[path = "support/damage.rs"]
mod damage;
#[path = "support/generations.rs"]
mod generations;

use buffers::*;
use damage::*;
use generations::in_use;
use rand::Rng;
use sidekick::buffer::{Change, Options, inspect};
use std::fs::{self, OpenOptions};
use std::path::Path;

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_bit_is_refused_with_file_and_offset() {
    let mut random = seeded();
    let dir = tempfile::tempdir().expect("temporary directory");
    let (options, expected) = filled(dir.path()).await;
    let files = segments(&options);
    assert!(files.len() > 4);
    let ends: Vec<u64> = files
        .iter()
        .map(|file| used_bytes(&options, file))
        .collect();
    for round in 0..rounds() {
        if round % 2 == 0 && options.dir.join("index").exists() {
            without_index(&options);
        }
        let n = random.random_range(0..files.len());
        // Damage to the very last commit looks like an unfinished write; the next test is about that.
        let end = if n + 1 == files.len() {
            ends[n] - 2000
        } else {
            ends[n]
        };
        let bit = random.random_range(0..end * 8);
        flip(&files[n], bit);
        let (file, offset, reason) = refusal(&options).await;
        assert_eq!(file, files[n], "bit {bit}: {reason}");
        assert!(
            offset <= bit / 8 && bit / 8 < offset + 4096,
            "bit {bit} is not near byte {offset}: {reason}"
        );
        assert!(
            !inspect::verify(&options.dir)
                .expect("reads")
                .problems
                .is_empty()
        );
        if round < 2 {
            independent(&options.dir).expect_err("the independent reader refuses too");
        }
        flip(&files[n], bit);
    }
    assert_eq!(
        answers(&options).await,
        expected,
        "nothing was changed by refusing"
    );
}

/// What only the checksums can tell: a flipped bit under checksums made to fit is answered as if it had been written so.
#[tokio::test(flavor = "multi_thread")]
async fn without_checksums_a_flipped_bit_would_be_believed() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let (options, expected) = filled(dir.path()).await;
    let file = segments(&options).remove(1);
    let mut bytes = fs::read(&file).expect("reads");
    let blank = bytes.windows(100).position(|part| part == [b' '; 100]);
    let blank = blank.expect("an event");
    let word = |bytes: &[u8], at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    let (mut at, mut next) = (0, 4096);
    while next <= blank {
        at = next;
        next += (word(&bytes, at + 4) as usize + 24).next_multiple_of(8);
    }
    bytes[blank + 50] ^= 1;
    overwrite(&file, 0, &bytes);
    assert_eq!(refusal(&options).await.1, at as u64);

    let body = crc32c::crc32c(&bytes[at + 24..next]);
    bytes[at + 20..at + 24].copy_from_slice(&body.to_le_bytes());
    let salt = [&bytes[16..24], &(at as u64).to_le_bytes()].concat();
    let header = crc32c::crc32c_append(crc32c::crc32c(&salt), &bytes[at + 4..at + 24]);
    bytes[at..at + 4].copy_from_slice(&header.to_le_bytes());
    overwrite(&file, 0, &bytes);
    assert_ne!(answers(&options).await, expected);
}

/// A disk that loses, repeats or misplaces whole blocks.
#[tokio::test(flavor = "multi_thread")]
async fn blocks_out_of_place_are_refused() {
    let mut random = seeded();
    let dir = tempfile::tempdir().expect("temporary directory");
    let (options, expected) = filled(dir.path()).await;
    let files = segments(&options);
    let good: Vec<Vec<u8>> = files
        .iter()
        .map(|file| fs::read(file).expect("reads"))
        .collect();
    let mut damaged = 0;
    for round in 0..rounds() {
        if round % 2 == 0 && options.dir.join("index").exists() {
            without_index(&options);
        }
        let n = random.random_range(0..files.len() - 1);
        let block = [512, 4096][round % 2];
        let blocks = used_bytes(&options, &files[n]) as usize / block;
        let mut somewhere = || random.random_range(0..blocks) * block;
        let (to, from) = (somewhere(), somewhere());
        let other = &good[(n + 1) % (files.len() - 1)];
        let bytes = match round % 3 {
            0 => vec![0; block],
            1 => good[n][from..from + block].to_vec(),
            _ => other[to..to + block].to_vec(),
        };
        overwrite(&files[n], to as u64, &bytes);
        if bytes != good[n][to..to + block] {
            damaged += 1;
            let (file, offset, reason) = refusal(&options).await;
            assert_eq!(file, files[n], "block at {to}: {reason}");
            assert!(offset < (to + block) as u64, "block at {to}: {reason}");
        }
        overwrite(&files[n], to as u64, &good[n][to..to + block]);
    }
    assert!(damaged > rounds() / 2);
    assert_eq!(answers(&options).await, expected);
}

/// As if the write from a commit of several frames on had been torn: its beginning is lost, its rest reached the disk. All frames
/// of later commits are taken away too, for those prove that it was acknowledged. Tells how many frames stand before it, from
/// `first` on.
fn tear_a_shared_commit(options: &Options, file: &Path, first: u64) -> usize {
    let end = used_bytes(options, file);
    let mut kept = 0;
    let bytes = fs::read(file).expect("reads");
    let commit_of = |offset: u64| {
        u64::from_le_bytes(
            bytes[offset as usize + 8..offset as usize + 16]
                .try_into()
                .expect("8 bytes"),
        )
    };
    let framed = |offset: u64| {
        let length = u32::from_le_bytes(
            bytes[offset as usize + 4..offset as usize + 8]
                .try_into()
                .expect("4 bytes"),
        );
        (u64::from(length) + 24).next_multiple_of(8)
    };
    let mut offsets = vec![first];
    while let Some(next) = offsets
        .last()
        .map(|last| last + framed(*last))
        .filter(|next| *next < end)
    {
        offsets.push(next);
    }
    let torn = offsets
        .iter()
        .map(|offset| commit_of(*offset))
        .find(|commit| {
            kept = offsets
                .iter()
                .filter(|offset| commit_of(**offset) < *commit)
                .count();
            offsets
                .iter()
                .filter(|offset| commit_of(**offset) == *commit)
                .count()
                > 3
        });
    let torn = torn.expect("some appends shared a commit");
    for (n, offset) in offsets.iter().enumerate() {
        if commit_of(*offset) > torn || n == kept + 1 {
            overwrite(file, *offset, &vec![0xaa; framed(*offset) as usize]);
        }
    }
    kept
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unfinished_write_is_cut_and_does_not_come_back() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let options = options(dir.path());
    let buffer = open(&options).await;
    buffer
        .append(&stream("log"), vec![payload("kept")], None)
        .await
        .expect("appends");
    let whole = {
        let report = inspect::verify(&options.dir).expect("reads");
        assert!(report.in_use);
        report.segments[0].used_bytes
    };
    // Many at once share a commit, at least in part.
    let log = stream("log");
    let many = (0..200).map(|n| buffer.append(&log, vec![payload(&format!("{n:>100}"))], None));
    futures::future::join_all(many)
        .await
        .into_iter()
        .for_each(|appended| assert!(appended.is_ok(), "{appended:?}"));
    buffer.close().await;
    without_index(&options);
    let file = segments(&options).pop().expect("has one");
    let kept = tear_a_shared_commit(&options, &file, whole);
    let buffer = open(&options).await;
    assert!(buffer.info().opened.cut_bytes > 0);
    let last = buffer.stream(&log).expect("known").last;
    assert_eq!(last, 1 + kept as u64, "commits are whole or not there");
    for n in 0..20 {
        buffer
            .append(&log, vec![payload(&n.to_string())], None)
            .await
            .expect("appends");
    }
    buffer.close().await;
    without_index(&options);
    let buffer = open(&options).await;
    assert_eq!(
        buffer.stream(&log).expect("known").last,
        last + 20,
        "nothing of the torn write came back"
    );
    let expected = witnessed(&buffer).await;
    buffer.close().await;
    let theirs = independent(&options.dir).expect("reads");
    assert_eq!(beyond_cursors(&theirs), beyond_cursors(&expected));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tail_that_the_index_has_seen_is_not_cut() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let (options, _) = filled(dir.path()).await;
    let file = segments(&options).pop().expect("has some");
    let end = used_bytes(&options, &file);
    overwrite(&file, end - 8, &[0xff; 8]);
    let (_, _, reason) = refusal(&options).await;
    assert!(reason.contains("acknowledged data is gone"), "{reason}");
    without_index(&options);
    open(&options).await.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn segments_out_of_place_are_refused_or_ignored() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let (options, expected) = filled(dir.path()).await;
    let files = segments(&options);
    let aside = dir.path().join("aside");

    fs::rename(&files[1], &aside).expect("renames");
    let (_, _, reason) = refusal(&options).await;
    assert!(reason.contains("missing"), "{reason}");
    fs::rename(&aside, &files[1]).expect("renames");

    fs::rename(&files[1], &aside)
        .and_then(|()| fs::rename(&files[2], &files[1]))
        .and_then(|()| fs::rename(&aside, &files[2]))
        .expect("swaps");
    let (file, ..) = refusal(&options).await;
    assert_eq!(file, files[1]);
    fs::rename(&files[1], &aside)
        .and_then(|()| fs::rename(&files[2], &files[1]))
        .and_then(|()| fs::rename(&aside, &files[2]))
        .expect("swaps back");

    let copy = options.dir.join("journal/00000000000000ff.seg");
    fs::copy(&files[2], &copy).expect("copies");
    assert_eq!(refusal(&options).await.0, copy);
    fs::remove_file(&copy).expect("removes");

    let length = fs::metadata(&files[1]).expect("is there").len();
    let bytes = fs::read(&files[1]).expect("reads");
    for length in [
        0,
        100,
        4096,
        length / 2,
        length - 1,
        length + 1,
        length + 4096,
    ] {
        OpenOptions::new()
            .write(true)
            .open(&files[1])
            .and_then(|file| file.set_len(length))
            .expect("resizes");
        assert_eq!(refusal(&options).await.0, files[1], "{length} bytes");
        fs::write(&files[1], &bytes).expect("writes");
    }

    let elsewhere = tempfile::tempdir().expect("temporary directory");
    let (other, _) = filled(elsewhere.path()).await;
    fs::copy(&segments(&other)[1], &files[1]).expect("copies");
    assert!(refusal(&options).await.2.contains("another buffer"));
    fs::write(&files[1], &bytes).expect("writes");

    fs::copy(&files[2], options.dir.join("journal/spare")).expect("copies");
    assert_eq!(answers(&options).await, expected, "a spare means nothing");

    for file in segments(&options) {
        fs::remove_file(file).expect("removes");
    }
    assert!(
        refusal(&options)
            .await
            .2
            .contains("all segments are missing")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_state_of_the_journal_is_refused() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let (options, expected) = filled(dir.path()).await;
    let files = segments(&options);
    // As it was before its last records were written: put back by a backup, or by a disk that dropped writes it had confirmed.
    for file in [&files[1], files.last().expect("some")] {
        let now = fs::read(file).expect("reads");
        let end = used_bytes(&options, file);
        overwrite(
            file,
            end - 5000,
            &vec![0; (now.len() as u64 - end + 5000) as usize],
        );
        assert_eq!(refusal(&options).await.0, *file, "an older state of it");
        fs::write(file, &now).expect("writes");
    }

    let aside = dir.path().join("aside");
    let newest = segments(&options).pop().expect("some");
    fs::rename(&newest, &aside).expect("renames");
    let (_, _, reason) = refusal(&options).await;
    assert!(reason.contains("acknowledged data is gone"), "{reason}");
    fs::rename(&aside, &newest).expect("renames");
    assert_eq!(answers(&options).await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_segment_put_back_is_ignored() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let (mut options, _) = filled(dir.path()).await;
    let first = segments(&options).remove(0);
    let bytes = fs::read(&first).expect("reads");
    options
        .sinks
        .push(sink_rule("khepri", sidekick::buffer::Start::First));
    let buffer = open(&options).await;
    for k in 0..40 {
        buffer
            .change(&scope("lobby"), vec![Change::Delete(key(&format!("k{k}")))])
            .await
            .expect("changes");
    }
    let last = buffer.stream(&stream("log")).expect("known").last;
    buffer
        .advance(&sink("khepri"), &stream("log"), last)
        .await
        .expect("advances");
    until(&buffer, "shrinks", |buffer| buffer.info().segments <= 3).await;
    buffer.close().await;
    assert!(!first.exists());
    fs::write(&first, &bytes).expect("writes");
    without_index(&options);
    let buffer = open(&options).await;
    assert_eq!(
        buffer.state(&scope("lobby")).await,
        Ok(vec![]),
        "no key came back"
    );
    assert!(!first.exists(), "the leftover is gone");
    buffer.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_doubtful_index_is_moved_aside_and_rebuilt() {
    let mut random = seeded();
    let dir = tempfile::tempdir().expect("temporary directory");
    let (options, expected) = filled(dir.path()).await;
    let index = options.dir.join("index");
    let good = fs::read(in_use(&options).join("db")).expect("sled's file");
    let check = async |what: &str, doubt: bool| {
        let buffer = open(&options).await;
        let rebuilt = buffer.info().opened.index_rebuilt;
        assert!(rebuilt.is_some() || !doubt, "{what}: taken for good");
        assert_eq!(witnessed(&buffer).await, expected, "{what}: {rebuilt:?}");
        buffer.close().await;
    };
    check("untouched", false).await;
    without_index(&options);
    check("deleted", true).await;
    fs::write(in_use(&options).join("db"), &good[..good.len() / 2]).expect("writes");
    check("truncated", false).await;
    fs::write(in_use(&options).join("db"), vec![0x5a; good.len()]).expect("writes");
    check("garbled", true).await;
    fs::write(in_use(&options).join("conf"), "nonsense").expect("writes");
    check("its configuration garbled", false).await;
    assert!(
        options.dir.join("index.bad").exists(),
        "moved aside, not thrown away"
    );
    for _ in 0..rounds() / 2 {
        let db = in_use(&options).join("db");
        let length = fs::metadata(&db).expect("sled's file").len();
        let bit = random.random_range(0..length * 8);
        flip(&db, bit);
        check(&format!("bit {bit}"), false).await;
    }
    fs::write(options.dir.join("index.doubt"), "a test").expect("writes");
    check("doubted while in use", true).await;
    let elsewhere = tempfile::tempdir().expect("temporary directory");
    let (other, _) = filled(elsewhere.path()).await;
    without_index(&options);
    fs::rename(other.dir.join("index"), &index).expect("renames");
    check("of another buffer", true).await;
}
