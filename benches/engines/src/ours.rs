//! sidekick's buffer, as a part of sidekick uses it.

use crate::engines::Engine;
use sidekick::buffer::{Buffer, Options, SinkRule, Start};
use sidekick::types::{Payload, SinkName, StreamName};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::runtime::Runtime;

pub struct Ours {
    runtime: Runtime,
    buffer: Buffer,
    stream: StreamName,
    sink: SinkName,
    next: AtomicU64,
}

impl Ours {
    pub fn open(dir: &Path) -> Self {
        let sink = SinkName::try_from("drain").expect("valid");
        let mut options = Options::new(dir.join("buffer"));
        options.sinks.push(SinkRule {
            name: sink.clone(),
            patterns: vec!["*".to_owned()],
            start: Start::First,
        });
        Self {
            runtime: tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()
                .expect("a runtime"),
            buffer: Buffer::open(options).expect("opens"),
            stream: StreamName::try_from("log").expect("valid"),
            sink,
            next: AtomicU64::new(1),
        }
    }
}

impl Engine for Ours {
    fn append(&self, record: &[u8], count: usize) {
        let payloads = vec![Payload::copy_from_slice(record); count];
        let appended = self.buffer.append(&self.stream, payloads, None);
        self.runtime.block_on(appended).expect("appends");
    }

    fn drain(&self, limit: usize) -> usize {
        self.runtime.block_on(async {
            let from = self.next.load(Ordering::Relaxed);
            // Before the first append there is no such stream.
            let read = self.buffer.read(&self.stream, from, limit, 4 << 20).await;
            let records = read.unwrap_or_default();
            if let Some(last) = records.last() {
                self.next.store(last.seq + 1, Ordering::Relaxed);
                let advanced = self.buffer.advance(&self.sink, &self.stream, last.seq);
                advanced.await.expect("advances");
            }
            records.len()
        })
    }

    fn close(&self) {
        self.runtime.block_on(self.buffer.close());
    }
}
