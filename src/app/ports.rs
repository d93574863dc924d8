//! The ports between rooms that do not know each other, over the buffer.

use super::secret;
use crate::buffer::Buffer;
use crate::ports::{Activation, Activations, BoxFuture, BundleFacts, PortError};
use crate::types::{ServerId, Token};
use serde_json::{Value, json};

/// Epochs and tokens, journalled before they are used.
pub struct BufferActivations(pub Buffer);

impl Activations for BufferActivations {
    fn activate<'a>(
        &'a self,
        server: &'a ServerId,
    ) -> BoxFuture<'a, Result<Activation, PortError>> {
        self.promote(server, Token::new(secret::fresh()))
    }

    fn promote<'a>(
        &'a self,
        server: &'a ServerId,
        token: Token,
    ) -> BoxFuture<'a, Result<Activation, PortError>> {
        Box::pin(async move {
            let epoch = self.0.activate(&server.scope(), token.clone()).await;
            let epoch = epoch
                .map_err(|error| PortError(format!("{server} cannot be activated: {error}")))?;
            Ok(Activation { epoch, token })
        })
    }

    fn current<'a>(
        &'a self,
        server: &'a ServerId,
    ) -> BoxFuture<'a, Result<Option<Activation>, PortError>> {
        let activated = self.0.activation(&server.scope());
        Box::pin(async move {
            Ok(activated.map(|a| Activation {
                epoch: a.epoch,
                token: a.token,
            }))
        })
    }
}

/// Ranges in one bundle: more would say nothing more.
const RANGES_MAX: usize = 256;

/// For crash bundles: which records each sink lacks.
pub struct UploadFacts(pub Buffer);

impl BundleFacts for UploadFacts {
    fn facts<'a>(&'a self, _server: &'a ServerId) -> BoxFuture<'a, Value> {
        let streams = self.0.streams();
        let lacking = streams.iter().flat_map(|stream| {
            let behind = stream
                .cursors
                .iter()
                .filter(|(_, cursor)| *cursor < stream.last);
            behind.map(|(sink, cursor)| {
                json!({
                    "stream": stream.name.to_string(),
                    "sink": sink.to_string(),
                    "from": (cursor + 1).max(stream.first),
                    "to": stream.last,
                })
            })
        });
        let streams: Vec<Value> = lacking.take(RANGES_MAX).collect();
        Box::pin(async move { json!({ "not_uploaded": streams }) })
    }
}
