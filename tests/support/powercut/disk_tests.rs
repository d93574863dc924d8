//! The emulator itself: what must be there is always there, what may be missing is missing now and then, and torn at sectors.

use super::super::record::parse;
use super::*;
use rand::SeedableRng;
use std::collections::BTreeSet;

type Image = BTreeMap<PathBuf, Option<Vec<u8>>>;

fn at(path: &str) -> PathBuf {
    Path::new("/disk").join(path)
}

fn create(path: &str, inode: u64) -> Entry {
    Entry::Create {
        path: at(path),
        inode,
    }
}

fn fill(inode: u64, offset: u64, byte: u8, len: usize) -> Entry {
    let data = vec![byte; len];
    Entry::Write {
        inode,
        offset,
        data,
    }
}

fn sync_dir() -> Entry {
    Entry::SyncDir { path: at("") }
}

/// What may be there after these entries: the images of many cuts.
fn cuts(entries: &[Entry], honours: Honours) -> BTreeSet<Image> {
    let mut disk = Disk::new(&at(""), honours);
    for entry in entries {
        disk.apply(entry);
    }
    let mut random = StdRng::seed_from_u64(7);
    (0..300).map(|_| disk.cut(&mut random)).collect()
}

fn bytes<'i>(image: &'i Image, path: &str) -> &'i [u8] {
    image[Path::new(path)].as_deref().expect("a file")
}

#[test]
fn what_was_synced_is_there() {
    let entries = [
        create("a", 1),
        fill(1, 0, b'x', 1500),
        Entry::Sync { inode: 1 },
        sync_dir(),
    ];
    let images = cuts(&entries, Honours::ALL);
    assert_eq!(images.len(), 1, "nothing is left to chance");
    assert_eq!(bytes(images.first().expect("one"), "a"), vec![b'x'; 1500]);
    let without = Honours {
        file_syncs: false,
        ..Honours::ALL
    };
    assert!(cuts(&entries, without).len() > 1);
    let without = Honours {
        dir_syncs: false,
        ..Honours::ALL
    };
    assert!(cuts(&entries, without).contains(&Image::new()));
}

#[test]
fn a_write_is_torn_at_sectors() {
    let entries = [
        create("a", 1),
        fill(1, 0, b'o', 2048),
        Entry::Sync { inode: 1 },
        sync_dir(),
        fill(1, 100, b'n', 1400),
    ];
    let images = cuts(&entries, Honours::ALL);
    // 100..512, 512..1024, 1024..1500: eight ways, each of which happens.
    assert_eq!(images.len(), 8);
    for image in &images {
        let bytes = bytes(image, "a");
        assert_eq!(bytes.len(), 2048);
        assert!(
            bytes[..100]
                .iter()
                .chain(&bytes[1500..])
                .all(|b| *b == b'o')
        );
        for part in [100..512, 512..1024, 1024..1500] {
            assert!(bytes[part.clone()].iter().all(|b| *b == bytes[part.start]));
        }
    }
}

#[test]
fn names_arrive_in_order_and_whole() {
    let entries = [
        create("spare", 1),
        sync_dir(),
        Entry::Rename {
            from: at("spare"),
            to: at("segment"),
        },
        create("next", 2),
        Entry::Unlink {
            path: at("segment"),
        },
    ];
    let names: BTreeSet<Vec<String>> = cuts(&entries, Honours::ALL)
        .iter()
        .map(|image| {
            image
                .keys()
                .map(|path| path.display().to_string())
                .collect()
        })
        .collect();
    let expected: [&[&str]; 4] = [&["spare"], &["segment"], &["next", "segment"], &["next"]];
    let expected = expected.map(|names| names.iter().map(ToString::to_string).collect());
    assert_eq!(names, BTreeSet::from(expected));
}

#[test]
fn a_file_in_a_directory_that_is_lost_is_lost() {
    let entries = [
        Entry::MakeDir {
            path: at("d"),
            inode: 5,
        },
        create("d/a", 1),
        fill(1, 0, b'x', 10),
        Entry::Sync { inode: 1 },
        Entry::SyncDir { path: at("d") },
    ];
    let images = cuts(&entries, Honours::ALL);
    assert!(images.contains(&Image::new()));
    assert!(images.iter().any(|image| image.len() == 2));
}

#[test]
fn a_failed_sync_forgets_and_only_what_is_written_again_is_kept() {
    let mut entries = vec![
        create("a", 1),
        fill(1, 0, b'o', 8192),
        Entry::Sync { inode: 1 },
        sync_dir(),
        fill(1, 0, b'n', 8192),
        Entry::SyncFailed { inode: 1 },
        Entry::Sync { inode: 1 },
    ];
    let old = |image: &Image, part: std::ops::Range<usize>| bytes(image, "a")[part].contains(&b'o');
    assert!(
        cuts(&entries, Honours::ALL)
            .iter()
            .any(|image| old(image, 0..8192)),
        "a later sync does not mend it"
    );
    entries.extend([fill(1, 100, b'm', 10), Entry::Sync { inode: 1 }]);
    let images = cuts(&entries, Honours::ALL);
    for image in &images {
        let page = &bytes(image, "a")[..4096];
        assert!(page[100..110].iter().all(|byte| *byte == b'm'));
        let rest = page[..100].iter().chain(&page[110..]);
        assert!(rest.into_iter().all(|byte| *byte == b'n'));
    }
    assert!(images.iter().any(|image| old(image, 4096..8192)));
}

#[test]
fn a_record_that_was_cut_short_is_read_as_far_as_it_goes() {
    let mut bytes = Vec::new();
    for word in [3_u64, 9, 4096, 3] {
        bytes.extend_from_slice(&word.to_le_bytes());
    }
    bytes.extend_from_slice(b"abc");
    let whole = bytes.clone();
    bytes.extend_from_slice(&whole[..34]);
    let write = Entry::Write {
        inode: 9,
        offset: 4096,
        data: b"abc".to_vec(),
    };
    assert_eq!(parse(&bytes), [write]);
}
