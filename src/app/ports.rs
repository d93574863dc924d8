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

/// For crash bundles: which records no sink has yet.
pub struct UploadFacts(pub Buffer);

impl BundleFacts for UploadFacts {
    fn facts<'a>(&'a self, _server: &'a ServerId) -> BoxFuture<'a, Value> {
        let streams: Vec<Value> = self
            .0
            .streams()
            .into_iter()
            .filter_map(|stream| {
                let uploaded = stream.cursors.iter().map(|(_, cursor)| *cursor).min()?;
                (uploaded < stream.last).then(|| {
                    json!({"stream": stream.name.to_string(), "from": uploaded + 1, "to": stream.last})
                })
            })
            .collect();
        Box::pin(async move { json!({ "not_uploaded": streams }) })
    }
}
