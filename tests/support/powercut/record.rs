//! The record that the preload library keeps: every change of a directory, in order, and what its processes said meanwhile.

use std::path::PathBuf;

/// One entry of the record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    Create {
        path: PathBuf,
        inode: u64,
    },
    MakeDir {
        path: PathBuf,
        inode: u64,
    },
    Write {
        inode: u64,
        offset: u64,
        data: Vec<u8>,
    },
    Resize {
        inode: u64,
        len: u64,
    },
    Sync {
        inode: u64,
    },
    SyncDir {
        path: PathBuf,
    },
    Rename {
        from: PathBuf,
        to: PathBuf,
    },
    Unlink {
        path: PathBuf,
    },
    RemoveDir {
        path: PathBuf,
    },
    Said(Vec<u8>),
    SyncFailed {
        inode: u64,
    },
    Begin,
}

/// Reads a record. An entry that its writer's end cut short never happened.
pub fn parse(mut bytes: &[u8]) -> Vec<Entry> {
    let mut entries = Vec::new();
    while let Some((head, rest)) = bytes.split_at_checked(32) {
        let word = |at: usize| u64::from_le_bytes(head[at..at + 8].try_into().expect("8 bytes"));
        let (op, path_len) = (word(0) as u32, (word(0) >> 32) as usize);
        let (inode, offset, len) = (word(8), word(16), word(24) as usize);
        let Some((path, rest)) = rest.split_at_checked(path_len) else {
            break;
        };
        let Some((data, rest)) = rest.split_at_checked(len) else {
            break;
        };
        bytes = rest;
        let of = |bytes: &[u8]| PathBuf::from(String::from_utf8(bytes.to_vec()).expect("text"));
        let path = of(path);
        entries.push(match op {
            1 => Entry::Create { path, inode },
            2 => Entry::MakeDir { path, inode },
            3 => Entry::Write {
                inode,
                offset,
                data: data.to_vec(),
            },
            4 => Entry::Resize { inode, len: offset },
            5 => Entry::Sync { inode },
            6 => Entry::SyncDir { path },
            7 => Entry::Rename {
                from: path,
                to: of(data),
            },
            8 => Entry::Unlink { path },
            9 => Entry::RemoveDir { path },
            10 => Entry::Said(data.to_vec()),
            11 => Entry::SyncFailed { inode },
            12 => Entry::Begin,
            other => panic!("unknown entry {other}"),
        });
    }
    entries
}
