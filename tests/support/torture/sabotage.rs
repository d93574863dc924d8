//! What a test takes away to see that the check would notice: the product has no switch for it.

use super::World;
use crate::beam::eventually;
use crate::postgres;
use sidekick::buffer::{Buffer, Options, SinkRule, Start};
use sidekick::types::{SinkName, StreamName};

/// The database stores again what it has, and its watermarks stay where they are.
const FORGET: &str = "ALTER TABLE sidekick_records DROP CONSTRAINT sidekick_records_pkey;
    CREATE FUNCTION forget() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN NEW.seq := OLD.seq; RETURN NEW; END $$;
    CREATE TRIGGER forget BEFORE UPDATE ON sidekick_watermarks FOR EACH ROW EXECUTE FUNCTION forget()";

impl World {
    /// Takes the check of the watermark out of the store and out of the database.
    pub async fn forget(&mut self) {
        let source = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/support/torture/forgetful.erl"
        );
        let out = self.dir.path().to_str().unwrap().to_owned();
        let member = &mut self.members[0];
        eventually("a member serves", async || {
            let serves = member
                .eval("whereis('Elixir.Sidekick.Ingest') =/= undefined.")
                .await;
            serves.as_bool() == Some(true)
        })
        .await;
        // The store extracts the function from the file of its module.
        member
            .eval(&format!(
                "{{ok, forgetful}} = compile:file({source:?}, [{{outdir, {out:?}}}]),
                 true = code:add_patha({out:?}),
                 forgetful:install()."
            ))
            .await;
        postgres::sql(&self.postgres.url("postgres"), FORGET)
            .await
            .unwrap();
    }

    /// While sidekick is down, says in its buffer that every sink has all of a stream, and waits until the journal has let it
    /// go: what happens where something is trimmed before it is acknowledged.
    pub async fn trim_early(&self, stream: &str) {
        assert!(!self.sidekick.runs(), "sidekick holds its buffer");
        let mut options = Options::new(self.dir.path().join("buffer"));
        options.segment_bytes = 1 << 20;
        let sinks = ["khepri", "db"].map(|name| SinkName::try_from(name).unwrap());
        let rule = |name: &SinkName| SinkRule {
            name: name.clone(),
            patterns: vec!["*".to_owned()],
            start: Start::First,
        };
        options.sinks = sinks.iter().map(rule).collect();
        let opened = tokio::task::spawn_blocking(|| Buffer::open(options)).await;
        let buffer = opened.unwrap().unwrap();
        let stream = StreamName::try_from(stream).unwrap();
        let info = buffer.stream(&stream).unwrap();
        for sink in &sinks {
            buffer.advance(sink, &stream, info.last).await.unwrap();
        }
        let all = info.last - info.first;
        eventually("most of it is trimmed", async || {
            let now = buffer.stream(&stream).unwrap();
            now.first > info.first + all / 2
        })
        .await;
        buffer.close().await;
    }
}
