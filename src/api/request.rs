//! Requests as values, parsed once from their terms.
//!
//! The same table serves `GenServer.call({:sidekick, node}, request)` (an atom, or a tuple that begins with
//! one) and the remote functions of module `sidekick` (name and arguments).

use crate::api::error::ApiError;
use crate::api::topic::{Topic, topic};
use crate::etf::{Pid, Reference, Term};
use crate::types::{Key, Scope, Sequence, ServerId, SinkName, StreamName};
use bytes::Bytes;

/// Most records that one `append` may bring.
const MAX_APPEND: usize = 10_000;
/// Most lines or records that one reply may hold.
pub const MAX_LIMIT: usize = 10_000;
/// How long a drain may take where the caller does not say.
const DRAIN_MS: u64 = 60_000;
/// Lines given where the caller names no limit.
const DEFAULT_LIMIT: usize = 100;

/// A parsed request of the table in DESIGN.md, "Contracts".
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)] // the names are the table's own
pub enum Request {
    Info,
    Reload {
        plan: bool,
    },
    Servers,
    Server(ServerId),
    StartServer(ServerId),
    StopServer(ServerId),
    RestartServer(ServerId),
    RollingRestart(String),
    DrainServer(ServerId),
    KillServer(ServerId),
    Logs {
        id: ServerId,
        limit: usize,
        after: Option<u64>,
    },
    Crashes(ServerId),
    Crash(ServerId, u64),
    Append {
        stream: StreamName,
        payloads: Vec<Term>,
        producer: Option<(Bytes, u64)>,
    },
    Read {
        stream: StreamName,
        from: Sequence,
        limit: usize,
    },
    Streams,
    Stream(StreamName),
    PutState(Scope, Key, Term),
    DeleteState(Scope, Key),
    GetState(Scope, Key),
    State(Scope),
    StateHistory(Scope, Key),
    Sinks,
    ForgetSink(SinkName),
    InitSink {
        sink: SinkName,
        sql: bool,
    },
    DrainSinks {
        timeout_ms: u64,
    },
    /// Of one sink, or of all.
    DrainSink {
        sink: Option<SinkName>,
        timeout_ms: u64,
    },
    RetrySink(SinkName, bool),
    DeadLetters(SinkName),
    /// One letter, or all.
    RedriveDead(SinkName, Option<u64>),
    DiscardDead(SinkName, Option<u64>),
    Subscribe {
        pid: Pid,
        topics: Vec<Topic>,
    },
    Unsubscribe(Reference),
}

impl Request {
    /// Parses the term of a gen call.
    ///
    /// # Errors
    /// An unknown request or an argument that does not fit; the error names it.
    pub fn from_term(term: Term) -> Result<Self, ApiError> {
        match term {
            Term::Atom(name) => Self::parse(name.as_str(), Vec::new()),
            Term::Tuple(mut elements) if !elements.is_empty() => {
                let arguments = elements.split_off(1);
                match elements[0].as_atom() {
                    Some(name) => Self::parse(name.as_str(), arguments),
                    None => Err(ApiError::UnknownRequest(elements[0].to_string())),
                }
            }
            other => Err(ApiError::UnknownRequest(other.to_string())),
        }
    }

    /// Parses a request given as its name and arguments.
    ///
    /// # Errors
    /// As [`Request::from_term`].
    pub fn parse(name: &str, arguments: Vec<Term>) -> Result<Self, ApiError> {
        let count = arguments.len();
        let mut a = Arguments {
            values: arguments.into_iter(),
        };
        let request = match (name, count) {
            ("info", 0) => Self::Info,
            ("reload", 0 | 1) => Self::Reload {
                plan: a.flag_option("plan", "a map with :plan, true or false")?,
            },
            ("servers", 0) => Self::Servers,
            ("server", 1) => Self::Server(a.server()?),
            ("start_server", 1) => Self::StartServer(a.server()?),
            ("stop_server", 1) => Self::StopServer(a.server()?),
            ("restart_server", 1) => Self::RestartServer(a.server()?),
            ("rolling_restart", 1) => Self::RollingRestart(a.group()?),
            ("drain_server", 1) => Self::DrainServer(a.server()?),
            ("kill_server", 1) => Self::KillServer(a.server()?),
            ("logs", 1 | 2) => {
                let id = a.server()?;
                let (limit, after) = a.log_options()?;
                Self::Logs { id, limit, after }
            }
            ("crashes", 1) => Self::Crashes(a.server()?),
            ("crash", 2) => Self::Crash(a.server()?, a.number("number")?),
            ("append", 2 | 3) => a.append()?,
            ("read", 3) => Self::Read {
                stream: a.stream()?,
                from: a.number("from_seq")?,
                limit: a.limit()?,
            },
            ("streams", 0) => Self::Streams,
            ("stream", 1) => Self::Stream(a.stream()?),
            ("put_state", 3) => Self::PutState(a.scope()?, a.key()?, a.term()),
            ("delete_state", 2) => Self::DeleteState(a.scope()?, a.key()?),
            ("get_state", 2) => Self::GetState(a.scope()?, a.key()?),
            ("state", 1) => Self::State(a.scope()?),
            ("state_history", 2) => Self::StateHistory(a.scope()?, a.key()?),
            ("sinks", 0) => Self::Sinks,
            ("forget_sink", 1) => Self::ForgetSink(a.sink()?),
            ("init_sink", 1 | 2) => Self::InitSink {
                sink: a.sink()?,
                sql: a.flag_option("sql", "a map with :sql, true or false")?,
            },
            ("drain_sinks", 1) => Self::DrainSinks {
                timeout_ms: a.number("timeout_ms")?,
            },
            ("drain_sink", 1 | 2) => Self::DrainSink {
                sink: a.sink_or_all()?,
                timeout_ms: a.timeout_option()?,
            },
            ("retry_sink", 1 | 2) => {
                let expected = "a map with :accept_loss, true or false";
                Self::RetrySink(a.sink()?, a.flag_option("accept_loss", expected)?)
            }
            ("dead_letters", 1) => Self::DeadLetters(a.sink()?),
            ("redrive_dead", 2) => Self::RedriveDead(a.sink()?, a.number_or_all("number")?),
            ("discard_dead", 2) => Self::DiscardDead(a.sink()?, a.number_or_all("number")?),
            ("subscribe", 2) => Self::Subscribe {
                pid: a.pid()?,
                topics: a.topics()?,
            },
            ("unsubscribe", 1) => Self::Unsubscribe(a.reference()?),
            _ => return Err(ApiError::UnknownRequest(format!("{name}/{count}"))),
        };
        Ok(request)
    }
}

/// Takes the arguments one by one and says which did not fit.
struct Arguments {
    values: std::vec::IntoIter<Term>,
}

impl Arguments {
    fn term(&mut self) -> Term {
        self.values.next().unwrap_or_else(Term::nil)
    }

    fn bytes(&mut self, what: &'static str) -> Result<Bytes, ApiError> {
        text(&self.term()).ok_or(ApiError::argument(what, "a binary of 1 to 255 bytes"))
    }

    fn server(&mut self) -> Result<ServerId, ApiError> {
        server_id(&self.term())
    }

    fn group(&mut self) -> Result<String, ApiError> {
        let name = self.bytes("group")?;
        String::from_utf8(name.into()).map_err(|_| ApiError::argument("group", "a name in UTF-8"))
    }

    fn stream(&mut self) -> Result<StreamName, ApiError> {
        StreamName::new(self.bytes("stream")?)
            .map_err(|_| ApiError::argument("stream", "a binary of 1 to 255 bytes"))
    }

    fn scope(&mut self) -> Result<Scope, ApiError> {
        Scope::new(self.bytes("scope")?)
            .map_err(|_| ApiError::argument("scope", "a binary of 1 to 255 bytes"))
    }

    fn key(&mut self) -> Result<Key, ApiError> {
        Key::new(self.bytes("key")?)
            .map_err(|_| ApiError::argument("key", "a binary of 1 to 255 bytes"))
    }

    fn sink(&mut self) -> Result<SinkName, ApiError> {
        SinkName::new(self.bytes("sink")?)
            .map_err(|_| ApiError::argument("sink", "a binary of 1 to 255 bytes"))
    }

    /// The atom `all` is no name here; the binary is.
    fn sink_or_all(&mut self) -> Result<Option<SinkName>, ApiError> {
        if self
            .values
            .as_slice()
            .first()
            .is_some_and(|term| term.is_atom("all"))
        {
            self.term();
            return Ok(None);
        }
        self.sink().map(Some)
    }

    fn number_or_all(&mut self, what: &'static str) -> Result<Option<u64>, ApiError> {
        let term = self.term();
        let number = term.as_u64();
        if number.is_none() && !term.is_atom("all") {
            let expected = "the number of a dead letter, or :all";
            return Err(ApiError::argument(what, expected));
        }
        Ok(number)
    }

    fn timeout_option(&mut self) -> Result<u64, ApiError> {
        let Some(options) = self.values.next() else {
            return Ok(DRAIN_MS);
        };
        let timeout = options.map_get("timeout_ms").and_then(Term::as_u64);
        timeout.ok_or(ApiError::argument("options", "a map with :timeout_ms"))
    }

    fn number(&mut self, what: &'static str) -> Result<u64, ApiError> {
        self.term()
            .as_u64()
            .ok_or(ApiError::argument(what, "a non-negative integer"))
    }

    fn limit(&mut self) -> Result<usize, ApiError> {
        let limit = self.number("limit")?;
        Ok(usize::try_from(limit)
            .unwrap_or(MAX_LIMIT)
            .clamp(1, MAX_LIMIT))
    }

    fn flag_option(&mut self, name: &str, expected: &'static str) -> Result<bool, ApiError> {
        let Some(options) = self.values.next() else {
            return Ok(false);
        };
        let flag = options.map_get(name).and_then(Term::as_bool);
        flag.ok_or(ApiError::argument("options", expected))
    }

    fn log_options(&mut self) -> Result<(usize, Option<u64>), ApiError> {
        let Some(options) = self.values.next() else {
            return Ok((DEFAULT_LIMIT, None));
        };
        if !matches!(options, Term::Map(_)) {
            return Err(ApiError::argument(
                "options",
                "a map with :limit and :after",
            ));
        }
        let field = |name| match options.map_get(name) {
            None => Ok(None),
            Some(value) if value.is_atom("nil") => Ok(None),
            Some(value) => value
                .as_u64()
                .map(Some)
                .ok_or(ApiError::argument(name, "a non-negative integer")),
        };
        let limit =
            field("limit")?.map_or(DEFAULT_LIMIT, |n| usize::try_from(n).unwrap_or(MAX_LIMIT));
        Ok((limit.clamp(1, MAX_LIMIT), field("after")?))
    }

    fn append(&mut self) -> Result<Request, ApiError> {
        let stream = self.stream()?;
        let payloads = match self.term() {
            Term::List(payloads) if (1..=MAX_APPEND).contains(&payloads.len()) => payloads,
            _ => return Err(ApiError::argument("records", "a list of 1 to 10000 terms")),
        };
        let producer = self
            .values
            .next()
            .map(|options| producer(&options))
            .transpose()?;
        Ok(Request::Append {
            stream,
            payloads,
            producer,
        })
    }

    fn pid(&mut self) -> Result<Pid, ApiError> {
        match self.term() {
            Term::Pid(pid) => Ok(pid),
            _ => Err(ApiError::argument("pid", "a pid on the caller's node")),
        }
    }

    fn reference(&mut self) -> Result<Reference, ApiError> {
        match self.term() {
            Term::Ref(reference) => Ok(reference),
            _ => Err(ApiError::argument(
                "ref",
                "the reference that subscribe returned",
            )),
        }
    }

    fn topics(&mut self) -> Result<Vec<Topic>, ApiError> {
        match self.term() {
            Term::List(topics) if (1..=64).contains(&topics.len()) => {
                topics.iter().map(topic).collect()
            }
            _ => Err(ApiError::argument("topics", "a list of 1 to 64 topics")),
        }
    }
}

fn producer(options: &Term) -> Result<(Bytes, u64), ApiError> {
    let name = options
        .map_get("producer")
        .and_then(text)
        .filter(|n| (1..=255).contains(&n.len()));
    let batch = options
        .map_get("batch")
        .and_then(Term::as_u64)
        .filter(|n| *n > 0);
    name.zip(batch).ok_or(ApiError::argument(
        "options",
        "a map with :producer (binary) and :batch (positive integer)",
    ))
}

/// A server id given as an atom or a binary.
pub fn server_id(term: &Term) -> Result<ServerId, ApiError> {
    let text = text(term).ok_or(ApiError::argument("id", "a server id, atom or binary"))?;
    let text =
        std::str::from_utf8(&text).map_err(|_| ApiError::argument("id", "a server id in UTF-8"))?;
    ServerId::new(text).map_err(|error| ApiError::NotFound {
        what: "server",
        name: text.to_owned(),
        detail: error.to_string(),
    })
}

/// Text given as an atom or a binary.
pub(super) fn text(term: &Term) -> Option<Bytes> {
    match term {
        Term::Binary(bytes) => Some(bytes.clone()),
        Term::Atom(atom) => Some(Bytes::copy_from_slice(atom.as_str().as_bytes())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(elements: Vec<Term>) -> Result<Request, ApiError> {
        Request::from_term(Term::tuple(elements))
    }

    #[test]
    fn atoms_and_tuples_are_requests() {
        assert_eq!(Request::from_term(Term::atom("info")), Ok(Request::Info));
        let lobby = ServerId::new("lobby").expect("valid");
        for id in [Term::atom("lobby"), Term::text("lobby")] {
            assert_eq!(
                call(vec![Term::atom("server"), id]),
                Ok(Request::Server(lobby.clone()))
            );
        }
    }

    #[test]
    fn unknown_requests_are_named() {
        let error = call(vec![Term::atom("explode"), Term::int(1)]).expect_err("unknown");
        assert_eq!(error, ApiError::UnknownRequest("explode/1".into()));
        assert!(Request::from_term(Term::int(7)).is_err());
        assert!(Request::from_term(Term::tuple(vec![])).is_err());
    }

    #[test]
    fn arguments_that_do_not_fit_are_named() {
        let bad = |elements| match call(elements) {
            Err(ApiError::BadArgument { argument, .. }) => argument,
            other => panic!("expected a bad argument, got {other:?}"),
        };
        assert_eq!(
            bad(vec![
                Term::atom("append"),
                Term::text("s"),
                Term::list(vec![])
            ]),
            "records"
        );
        assert_eq!(
            bad(vec![
                Term::atom("append"),
                Term::text(""),
                Term::list(vec![Term::int(1)])
            ]),
            "stream"
        );
        assert_eq!(
            bad(vec![
                Term::atom("read"),
                Term::text("s"),
                Term::int(-1),
                Term::int(1)
            ]),
            "from_seq"
        );
        assert_eq!(
            bad(vec![
                Term::atom("subscribe"),
                Term::atom("me"),
                Term::list(vec![])
            ]),
            "pid"
        );
        let options = Term::map([("producer", Term::text("p")), ("batch", Term::int(0))]);
        assert_eq!(
            bad(vec![
                Term::atom("append"),
                Term::text("s"),
                Term::list(vec![Term::int(1)]),
                options
            ]),
            "options"
        );
    }

    #[test]
    fn an_id_that_no_server_can_have_is_not_found() {
        let error = call(vec![Term::atom("server"), Term::text("No Such")]).expect_err("bad id");
        assert!(
            matches!(error, ApiError::NotFound { what: "server", .. }),
            "{error:?}"
        );
    }

    #[test]
    fn limits_are_clamped() {
        let request = call(vec![
            Term::atom("read"),
            Term::text("s"),
            Term::int(1),
            Term::int(1_000_000),
        ]);
        assert!(
            matches!(
                request,
                Ok(Request::Read {
                    limit: MAX_LIMIT,
                    ..
                })
            ),
            "{request:?}"
        );
        let options = Term::map([("limit", Term::int(0)), ("after", Term::nil())]);
        let request = call(vec![Term::atom("logs"), Term::text("lobby"), options]);
        assert!(
            matches!(
                request,
                Ok(Request::Logs {
                    limit: 1,
                    after: None,
                    ..
                })
            ),
            "{request:?}"
        );
    }
}
