//! A sink does what its core says.

use super::core::{Action, Input};
use super::memory::{remember, remember_began};
use super::outcome::StoreId;
use super::requests::Wanted;
use super::sink::{Done, Sink};
use super::status::Halt;
use crate::buffer::AppendError;
use crate::types::{Revision, Scope};

impl Sink {
    /// Does it in this order; where the sink halts over one the rest is left.
    pub(super) async fn act(&mut self, actions: Vec<Action>) {
        for action in actions {
            let requests = self.requests.clone();
            let done = match action {
                // Before any advance that follows: else a changed store could go unnoticed.
                Action::Remember(store) => self.remember(&store).await,
                // Inline: the next changes of the scope start from here.
                Action::AdvanceState(scope, rev) => self.advance_state(scope, rev).await,
                Action::Bury {
                    stream,
                    seq,
                    reason,
                    attempts,
                } => {
                    self.bury(stream, seq, reason, attempts).await;
                    Ok(())
                }
                Action::Ask(node, stream) => self.begin(requests.ask(node, stream)),
                Action::Send {
                    node,
                    stream,
                    watermark,
                    after,
                    limit,
                    bytes,
                } => {
                    let wanted = Wanted {
                        watermark,
                        after,
                        limit,
                        bytes,
                    };
                    self.begin(requests.send(node, stream, wanted))
                }
                Action::SendState(node, scope) => {
                    // In a drain a database is asked even where it lacks nothing.
                    let prove = self.core.draining;
                    self.begin(requests.send_state(node, scope, prove))
                }
                Action::SendWhole(node, scope) => self.begin(requests.send_whole(node, scope)),
                Action::Advance(stream, seq) => self.begin(requests.advance(stream, seq)),
                // Beside the uploads: it may wait for space that only they can make.
                Action::Begin { stream, began, seq } => self.begin(async move {
                    match remember_began(&requests, &stream, began).await {
                        Ok(()) => requests.advance(stream, seq).await,
                        Err(reason) => Input::BufferFailed(reason),
                    }
                }),
                Action::Tell(news) => {
                    self.teller.tell(news);
                    Ok(())
                }
            };
            if let Err(halt) = done {
                self.core.halt_with(halt);
                return;
            }
        }
    }

    /// A request begins, and nothing can go wrong with that.
    #[expect(
        clippy::unnecessary_wraps,
        reason = "it stands among actions of which some fail"
    )]
    fn begin(&self, request: impl Future<Output = Input> + Send + 'static) -> Result<(), Halt> {
        self.under_way
            .push(Box::pin(async { Done::Core(request.await) }));
        Ok(())
    }

    async fn remember(&mut self, store: &StoreId) -> Result<(), Halt> {
        remember(&self.requests, store).await.map_err(Halt::Buffer)
    }

    async fn advance_state(&mut self, scope: Scope, rev: Revision) -> Result<(), Halt> {
        let (buffer, sink) = (&self.requests.buffer, &self.requests.options.name);
        let advanced = buffer.advance_state(sink, &scope, rev).await;
        advanced.map_err(|error| match error {
            AppendError::BeyondEnd { last } => Halt::StateBeyondEnd {
                scope: scope.to_string(),
                stored: rev,
                last,
            },
            error => Halt::Buffer(error.to_string()),
        })
    }
}
