//! A game process in Rust, which says exactly what it is told to say.

use crate::session::{PATIENCE, Stage};
use sidekick::godot::frame::{FrameReader, frame};
use sidekick::godot::variant::{self, Precision, Variant};
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

/// A game process that says what it is told to say.
pub struct Player {
    frames: FrameReader<OwnedReadHalf>,
    pub sink: OwnedWriteHalf,
}

impl Player {
    pub async fn connect(stage: &Stage) -> Self {
        let stream = UnixStream::connect(stage.socket()).await.unwrap();
        let (source, sink) = stream.into_split();
        Self {
            frames: FrameReader::new(source, 64 << 20),
            sink,
        }
    }

    pub async fn say(&mut self, message: Variant) {
        self.sink.write_all(&frame(&message)).await.unwrap();
    }

    /// The next message, or `None` at the end of the connection.
    pub async fn hear(&mut self) -> Option<Variant> {
        let next = tokio::time::timeout(PATIENCE, self.frames.next())
            .await
            .unwrap();
        next.ok()
            .flatten()
            .map(|bytes| variant::decode(bytes).unwrap())
    }

    pub async fn hear_type(&mut self, kind: &str) -> Variant {
        loop {
            let message = self
                .hear()
                .await
                .unwrap_or_else(|| panic!("no {kind} before the end"));
            if message.get("type").and_then(Variant::as_str) == Some(kind) {
                return message;
            }
        }
    }

    /// Waits until everything up to `batch` is acknowledged.
    pub async fn acked(&mut self, batch: u64) {
        while number(&self.hear_type("ack").await, "batch") < batch {}
    }

    pub async fn refused(&mut self) -> (String, bool) {
        let message = self.hear_type("refused").await;
        let code = message
            .get("code")
            .and_then(Variant::as_str)
            .unwrap()
            .to_owned();
        (
            code,
            message.get("retry").and_then(Variant::as_bool).unwrap(),
        )
    }

    /// A process with the right token, welcomed.
    pub async fn join(stage: &Stage, secret: &str, resumed: bool) -> (Self, Variant) {
        let mut player = Self::connect(stage).await;
        player.say(hello("lobby", secret, 0, resumed)).await;
        let welcome = player.hear_type("welcome").await;
        (player, welcome)
    }
}

pub fn number(message: &Variant, field: &str) -> u64 {
    message.get(field).and_then(Variant::as_u64).unwrap()
}

pub fn hello(server: &str, token: &str, epoch: i64, resumed: bool) -> Variant {
    Variant::record([
        ("type", Variant::text("hello")),
        ("protocol", Variant::Int(1)),
        ("server", Variant::text(server)),
        ("token", Variant::text(token)),
        ("epoch", Variant::Int(epoch)),
        ("os_pid", Variant::Int(1)),
        ("engine", Variant::text("test")),
        ("resumed", Variant::Bool(resumed)),
    ])
}

pub fn bytes(value: &Variant) -> Variant {
    Variant::Bytes(variant::encode(value, Precision::Single))
}

/// A batch with one event, the batch's number itself.
pub fn batch(number: i64) -> Variant {
    batch_of(number, bytes(&Variant::Int(number)))
}

pub fn batch_of(number: i64, value: Variant) -> Variant {
    Variant::record([
        ("type", Variant::text("batch")),
        ("batch", Variant::Int(number)),
        (
            "events",
            Variant::array(vec![Variant::text("events"), value]),
        ),
    ])
}
