//! The others. Each is used as its documentation says for "durable when the call returns"; what the reader removes need not be
//! durable at once, so there the cheapest setting is taken.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// What is compared.
pub trait Engine: Send + Sync {
    /// Appends so many copies of a record; durable when it returns.
    fn append(&self, record: &[u8], count: usize);
    /// Reads the oldest records, at most `limit`, and removes them. How many there were.
    fn drain(&self, limit: usize) -> usize;
    /// Ends what runs beside it.
    fn close(&self) {}
}

/// A preallocated, zeroed file, written round and round; `fdatasync` after each commit.
pub struct Raw {
    file: File,
    written: AtomicU64,
    read: AtomicU64,
    group: Mutex<Vec<u8>>,
}

const RAW_BYTES: u64 = 64 << 20;

impl Raw {
    pub fn open(dir: &Path) -> Self {
        let file = OpenOptions::new()
            .create(true)
            .truncate(true)
            .read(true)
            .write(true)
            .open(dir.join("raw"))
            .expect("opens");
        let zeros = vec![0; 1 << 20];
        (0..RAW_BYTES >> 20).for_each(|n| file.write_all_at(&zeros, n << 20).expect("writes"));
        file.sync_all().expect("syncs");
        Self {
            file,
            written: AtomicU64::new(0),
            read: AtomicU64::new(0),
            group: Mutex::default(),
        }
    }
}

impl Engine for Raw {
    fn append(&self, record: &[u8], count: usize) {
        let mut group = self.group.lock().expect("not poisoned");
        group.clear();
        (0..count).for_each(|_| group.extend_from_slice(record));
        let length = group.len() as u64;
        let mut at = self.written.load(Ordering::Relaxed);
        if at % RAW_BYTES + length > RAW_BYTES {
            at = at.next_multiple_of(RAW_BYTES);
        }
        self.file
            .write_all_at(&group, at % RAW_BYTES)
            .expect("writes");
        self.file.sync_data().expect("syncs");
        self.written.store(at + length, Ordering::Release);
    }

    fn drain(&self, _: usize) -> usize {
        let (read, written) = (
            self.read.load(Ordering::Relaxed),
            self.written.load(Ordering::Acquire),
        );
        let at = read % RAW_BYTES;
        let mut bytes = vec![0; (written - read).min(256 << 10).min(RAW_BYTES - at) as usize];
        self.file.read_exact_at(&mut bytes, at).expect("reads");
        self.read
            .store(read + bytes.len() as u64, Ordering::Relaxed);
        bytes.len()
    }
}

/// fjall: a batch and `fdatasync` of its journal.
pub struct Fjall {
    db: fjall::Database,
    log: fjall::Keyspace,
    next: AtomicU64,
}

impl Fjall {
    pub fn open(dir: &Path) -> Self {
        let db = fjall::Database::builder(dir.join("fjall"))
            .open()
            .expect("opens");
        let log = db
            .keyspace("log", fjall::KeyspaceCreateOptions::default)
            .expect("opens");
        Self {
            db,
            log,
            next: AtomicU64::new(0),
        }
    }
}

impl Engine for Fjall {
    fn append(&self, record: &[u8], count: usize) {
        let mut batch = self
            .db
            .batch()
            .durability(Some(fjall::PersistMode::SyncData));
        for _ in 0..count {
            let key = self.next.fetch_add(1, Ordering::Relaxed).to_be_bytes();
            batch.insert(&self.log, key, record);
        }
        batch.commit().expect("commits");
    }

    fn drain(&self, limit: usize) -> usize {
        let read: Vec<_> = self
            .log
            .iter()
            .take(limit)
            .map(|item| item.into_inner().expect("reads"))
            .collect();
        let mut batch = self.db.batch();
        for (key, _) in &read {
            batch.remove(&self.log, key.clone());
        }
        batch.commit().expect("commits");
        read.len()
    }
}

/// redb: a write transaction with `Durability::Immediate`.
pub struct Redb {
    db: redb::Database,
    next: AtomicU64,
}

const LOG: redb::TableDefinition<u64, &[u8]> = redb::TableDefinition::new("log");

impl Redb {
    pub fn open(dir: &Path) -> Self {
        let db = redb::Database::create(dir.join("redb")).expect("opens");
        let made = db.begin_write().expect("begins");
        made.open_table(LOG).expect("makes a table");
        made.commit().expect("commits");
        Self {
            db,
            next: AtomicU64::new(0),
        }
    }
}

impl Engine for Redb {
    fn append(&self, record: &[u8], count: usize) {
        let write = self.db.begin_write().expect("begins");
        {
            let mut table = write.open_table(LOG).expect("opens");
            for _ in 0..count {
                let key = self.next.fetch_add(1, Ordering::Relaxed);
                table.insert(key, record).expect("inserts");
            }
        }
        write.commit().expect("commits");
    }

    fn drain(&self, limit: usize) -> usize {
        let mut write = self.db.begin_write().expect("begins");
        write
            .set_durability(redb::Durability::None)
            .expect("can be set");
        let mut count = 0;
        {
            let mut table = write.open_table(LOG).expect("opens");
            while count < limit && table.pop_first().expect("pops").is_some() {
                count += 1;
            }
        }
        write.commit().expect("commits");
        count
    }
}

/// SQLite: WAL with `synchronous = FULL`; the reader has a connection of its own, with `NORMAL`.
pub struct Sqlite {
    writer: Mutex<rusqlite::Connection>,
    reader: Mutex<rusqlite::Connection>,
}

impl Sqlite {
    pub fn open(dir: &Path) -> Self {
        let connect = |synchronous: &str| {
            let connection = rusqlite::Connection::open(dir.join("log.sqlite")).expect("opens");
            connection
                .busy_timeout(std::time::Duration::from_secs(60))
                .expect("can be set");
            connection
                .pragma_update(None, "journal_mode", "WAL")
                .expect("can be set");
            connection
                .pragma_update(None, "synchronous", synchronous)
                .expect("can be set");
            connection
        };
        let writer = connect("FULL");
        writer
            .execute_batch(
                "create table if not exists log (seq integer primary key, body blob not null)",
            )
            .expect("makes a table");
        Self {
            writer: Mutex::new(writer),
            reader: Mutex::new(connect("NORMAL")),
        }
    }
}

impl Engine for Sqlite {
    fn append(&self, record: &[u8], count: usize) {
        let writer = self.writer.lock().expect("not poisoned");
        writer.execute_batch("begin immediate").expect("begins");
        {
            let mut insert = writer
                .prepare_cached("insert into log (body) values (?1)")
                .expect("prepares");
            for _ in 0..count {
                insert.execute([record]).expect("inserts");
            }
        }
        writer.execute_batch("commit").expect("commits");
    }

    fn drain(&self, limit: usize) -> usize {
        let reader = self.reader.lock().expect("not poisoned");
        let rows: Vec<(i64, Vec<u8>)> = reader
            .prepare_cached("select seq, body from log order by seq limit ?1")
            .expect("prepares")
            .query_map([limit as i64], |row| Ok((row.get(0)?, row.get(1)?)))
            .expect("reads")
            .map(|row| row.expect("a row"))
            .collect();
        if let Some((last, _)) = rows.last() {
            reader
                .prepare_cached("delete from log where seq <= ?1")
                .expect("prepares")
                .execute([last])
                .expect("deletes");
        }
        rows.len()
    }
}

/// sled 0.34 with `flush`, which is **not** safe against power cuts (see docs/adr/0002).
pub struct Sled {
    db: sled::Db,
    next: AtomicU64,
}

impl Sled {
    pub fn open(dir: &Path) -> Self {
        let config = sled::Config::new()
            .path(dir.join("sled"))
            .flush_every_ms(None);
        Self {
            db: config.open().expect("opens"),
            next: AtomicU64::new(0),
        }
    }
}

impl Engine for Sled {
    fn append(&self, record: &[u8], count: usize) {
        let mut batch = sled::Batch::default();
        for _ in 0..count {
            let key = self.next.fetch_add(1, Ordering::Relaxed).to_be_bytes();
            batch.insert(&key, record);
        }
        self.db.apply_batch(batch).expect("applies");
        self.db.flush().expect("flushes");
    }

    fn drain(&self, limit: usize) -> usize {
        let read: Vec<_> = self
            .db
            .iter()
            .take(limit)
            .map(|item| item.expect("reads"))
            .collect();
        let mut batch = sled::Batch::default();
        read.iter().for_each(|(key, _)| batch.remove(key));
        self.db.apply_batch(batch).expect("applies");
        read.len()
    }
}
