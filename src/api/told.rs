//! Requests as the log tells them: what is asked and about what, never the data itself.

use crate::api::Request;
use std::fmt;

/// A request for the log.
pub struct Told<'a>(pub &'a Request);

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Request::Info => f.write_str("info"),
            Request::Reload { plan } => write!(f, "reload, plan: {plan}"),
            Request::Servers => f.write_str("servers"),
            Request::Server(id) => write!(f, "server {id}"),
            Request::StartServer(id) => write!(f, "start_server {id}"),
            Request::StopServer(id) => write!(f, "stop_server {id}"),
            Request::RestartServer(id) => write!(f, "restart_server {id}"),
            Request::RollingRestart(group) => write!(f, "rolling_restart {group}"),
            Request::DrainServer(id) => write!(f, "drain_server {id}"),
            Request::KillServer(id) => write!(f, "kill_server {id}"),
            Request::Logs { id, .. } => write!(f, "logs {id}"),
            Request::Crashes(id) => write!(f, "crashes {id}"),
            Request::Crash(id, number) => write!(f, "crash {id} {number}"),
            Request::Append {
                stream, payloads, ..
            } => {
                write!(f, "append {stream}, {} records", payloads.len())
            }
            Request::Read {
                stream,
                from,
                limit,
            } => write!(f, "read {stream} {from} {limit}"),
            Request::Streams => f.write_str("streams"),
            Request::Stream(stream) => write!(f, "stream {stream}"),
            Request::PutState(scope, key, _) => write!(f, "put_state {scope} {key}"),
            Request::DeleteState(scope, key) => write!(f, "delete_state {scope} {key}"),
            Request::GetState(scope, key) => write!(f, "get_state {scope} {key}"),
            Request::State(scope) => write!(f, "state {scope}"),
            Request::StateHistory(scope, key) => write!(f, "state_history {scope} {key}"),
            Request::Sinks => f.write_str("sinks"),
            Request::ForgetSink(sink) => write!(f, "forget_sink {sink}"),
            Request::InitSink { sink, sql } => write!(f, "init_sink {sink} sql={sql}"),
            Request::DrainSinks { timeout_ms } => write!(f, "drain_sinks {timeout_ms}"),
            Request::DrainSink { sink, timeout_ms } => {
                let sink = sink
                    .as_ref()
                    .map_or_else(|| "all".to_owned(), ToString::to_string);
                write!(f, "drain_sink {sink} {timeout_ms}")
            }
            Request::RetrySink(sink, accept_loss) => {
                write!(f, "retry_sink {sink}")?;
                let more = if *accept_loss { " accept_loss" } else { "" };
                f.write_str(more)
            }
            Request::DeadLetters(sink) => write!(f, "dead_letters {sink}"),
            Request::RedriveDead(sink, number) => write!(f, "redrive_dead {sink} {number:?}"),
            Request::DiscardDead(sink, number) => write!(f, "discard_dead {sink} {number:?}"),
            Request::Subscribe { topics, .. } => write!(f, "subscribe {topics:?}"),
            Request::Unsubscribe(_) => f.write_str("unsubscribe"),
        }
    }
}
