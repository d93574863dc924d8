//! The caller's terminal: its group leader, spoken to by the Erlang I/O protocol.
//!
//! Every request carries a reference of ours and is answered by `{io_reply, Reference, Reply}`. A line is asked for in
//! the way that keeps the caller's own line editing, completion and history: OTP's `group` (up to 27) puts into its
//! history only what a `get_until` request read, and `get_until` names a function **of the caller's node**. Elixir has
//! one that takes any line. OTP alone has `io_lib:fread`, which with the format `~0tc` takes no character at all and
//! puts the whole line back; it is then read from there without an echo ([`Reader::Erlang`]).
//!
//! Nothing queues without bound: one write is under way at a time, and what arrives meanwhile waits in the mailbox or
//! in [`Terminal::pending`], which drops the oldest.

use crate::etf::{Atom, Pid, Reference, Term};
use crate::node::{Node, Process, Signal, Watch};
use std::collections::VecDeque;

/// Messages that wait while a request is answered; older ones are dropped beyond.
const PENDING_MAX: usize = 1_024;
/// Bytes of one write, so that a slow terminal is noticed between two of them.
const WRITE_BYTES: usize = 16 << 10;

/// The caller is no longer there: the shell has to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gone;

/// What happened.
#[derive(Debug)]
pub enum Event {
    /// A request was answered.
    Reply(Reference, Term),
    /// Any other message.
    Told(Term),
    /// The operator interrupted.
    Interrupted,
}

/// What reading a line gave.
#[derive(Debug, Clone, PartialEq)]
pub enum Line {
    /// A line without its end.
    Text(String),
    /// There is no more input.
    Eof,
    /// The operator interrupted.
    Interrupted,
}

/// How lines are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    /// By the function of IEx that takes a line as it is.
    Elixir,
    /// By `io_lib:fread`.
    Erlang,
    /// By `get_line`: no history on OTP up to 27, but nothing is needed for it.
    Plain,
}

/// The caller's terminal, as one shell process sees it.
pub struct Terminal {
    node: Node,
    process: Process,
    leader: Pid,
    gone: Watch,
    reader: Reader,
    pending: VecDeque<Event>,
    missed: u64,
}

impl Terminal {
    /// The terminal behind a group leader. It is gone once the leader ends or its node is lost.
    pub fn new(node: Node, process: Process, leader: Pid, reader: Reader) -> Self {
        Self {
            gone: node.watch(&leader),
            node,
            process,
            leader,
            reader,
            pending: VecDeque::new(),
            missed: 0,
        }
    }

    /// The shell's own process.
    pub fn pid(&self) -> &Pid {
        self.process.pid()
    }

    /// The process that stands for the terminal.
    pub fn leader(&self) -> &Pid {
        &self.leader
    }

    /// The node whose shell this is.
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// Messages dropped since the last question because the terminal was slow.
    pub fn take_missed(&mut self) -> u64 {
        std::mem::take(&mut self.missed)
    }

    /// What happens next. Cancel-safe.
    pub async fn next(&mut self) -> Result<Event, Gone> {
        if let Some(event) = self.pending.pop_front() {
            return Ok(event);
        }
        loop {
            let signal = tokio::select! {
                signal = self.process.recv() => signal.ok_or(Gone)?,
                _ = &mut self.gone => return Err(Gone),
            };
            match signal {
                Signal::Message { term, .. } => return Ok(sort(term)),
                Signal::Exit { linked: false, kill: false, reason, .. } if reason.is_atom("interrupt") => {
                    return Ok(Event::Interrupted);
                }
                Signal::Exit { linked: false, kill: false, reason, .. } if reason.is_atom("normal") => {}
                Signal::Exit { .. } => return Err(Gone),
            }
        }
    }

    /// Sends a request; its answer comes by [`Terminal::next`].
    pub fn ask(&self, request: Term) -> Reference {
        let reference = self.node.make_ref();
        let message = Term::tuple([
            Term::atom("io_request"),
            Term::Pid(self.pid().clone()),
            Term::Ref(reference.clone()),
            request,
        ]);
        self.node.send(&self.leader, message);
        reference
    }

    /// Waits for the answer of a request; what else happens waits. An interrupt is remembered, not obeyed.
    pub async fn answer(&mut self, reference: &Reference) -> Result<Term, Gone> {
        let mut meanwhile = std::mem::take(&mut self.pending);
        let answer = loop {
            match self.next().await {
                Ok(Event::Reply(to, reply)) if to == *reference => break Ok(reply),
                Ok(event) if meanwhile.len() < PENDING_MAX => meanwhile.push_back(event),
                Ok(event) => {
                    meanwhile.pop_front();
                    meanwhile.push_back(event);
                    self.missed += 1;
                }
                Err(gone) => break Err(gone),
            }
        };
        self.pending = meanwhile;
        answer
    }

    /// Asks and waits for the answer.
    pub async fn request(&mut self, request: Term) -> Result<Term, Gone> {
        let reference = self.ask(request);
        self.answer(&reference).await
    }

    /// Begins to write text, at most so much at once; gives back the rest.
    pub fn begin_write<'a>(&self, text: &'a str) -> (Reference, &'a str) {
        let mut end = text.len().min(WRITE_BYTES);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let (now, rest) = text.split_at(end);
        let put = [Term::atom("put_chars"), Term::atom("unicode"), Term::text(now)];
        (self.ask(Term::tuple(put)), rest)
    }

    /// Writes text.
    pub async fn print(&mut self, text: &str) -> Result<(), Gone> {
        let mut rest = text;
        while !rest.is_empty() {
            let (reference, left) = self.begin_write(rest);
            self.answer(&reference).await?;
            rest = left;
        }
        Ok(())
    }

    /// Lines are binaries in UTF-8 from now on; a terminal that does not echo by itself (input from a pipe) is read
    /// plainly.
    pub async fn set_up(&mut self) -> Result<(), Gone> {
        let options = [("binary", Term::bool(true)), ("encoding", Term::atom("unicode"))];
        self.set(&options).await?;
        let options = self.request(Term::atom("getopts")).await?;
        let echo = options.as_list().unwrap_or_default().iter().any(|option| {
            let option = option.as_tuple().unwrap_or_default();
            option.first().is_some_and(|name| name.is_atom("echo"))
                && option.get(1).and_then(Term::as_bool) == Some(true)
        });
        if !echo {
            self.reader = Reader::Plain;
        }
        Ok(())
    }

    async fn set(&mut self, options: &[(&str, Term)]) -> Result<(), Gone> {
        self.request(set_options(options)).await.map(|_| ())
    }

    /// Reads a line with history.
    pub async fn read_line(&mut self, prompt: &str) -> Result<Line, Gone> {
        loop {
            let request = match self.reader {
                Reader::Elixir => get_until(prompt, "Elixir.IEx.Server", "__parse__", vec![]),
                Reader::Erlang => get_until(prompt, "io_lib", "fread", vec![Term::charlist("~0tc")]),
                Reader::Plain => get_line(prompt),
            };
            let reply = self.request(request).await?;
            match line(&reply) {
                Some(line) => return Ok(line),
                None if self.reader == Reader::Erlang && is_put_back(&reply) => {
                    return self.read_back().await;
                }
                // The caller's node has no such function.
                None if self.reader != Reader::Plain => self.reader = Reader::Plain,
                None => return Ok(Line::Eof),
            }
        }
    }

    /// Reads the line that was put back, without showing it again.
    async fn read_back(&mut self) -> Result<Line, Gone> {
        let silent = set_options(&[("echo", Term::bool(false))]);
        let requests = Term::list([silent, get_line("")]);
        let reply = self.request(Term::tuple([Term::atom("requests"), requests])).await?;
        self.set(&[("echo", Term::bool(true))]).await?;
        Ok(line(&reply).unwrap_or(Line::Interrupted))
    }

    /// Begins to read a line while other things happen; any answer to it is understood by [`line`].
    pub fn begin_line(&self, prompt: &str) -> Reference {
        self.ask(match self.reader {
            Reader::Elixir => get_until(prompt, "Elixir.IEx.Server", "__parse__", vec![]),
            Reader::Erlang | Reader::Plain => get_line(prompt),
        })
    }
}

/// The line that an answer holds; none where it is no answer of that kind.
pub fn line(reply: &Term) -> Option<Line> {
    match reply {
        Term::Binary(bytes) => {
            let text = String::from_utf8_lossy(bytes);
            Some(Line::Text(text.trim_end_matches(['\n', '\r']).to_owned()))
        }
        Term::Atom(atom) if *atom == "eof" => Some(Line::Eof),
        Term::Tuple(error) => match error.as_slice() {
            [error, why] if error.is_atom("error") && why.is_atom("interrupted") => Some(Line::Interrupted),
            [error, why] if error.is_atom("error") && why.is_atom("terminated") => Some(Line::Eof),
            _ => None,
        },
        _ => None,
    }
}

/// `{ok, _}`: what `io_lib:fread` says when it took nothing.
fn is_put_back(reply: &Term) -> bool {
    matches!(reply.as_tuple(), Some([ok, _]) if ok.is_atom("ok"))
}

fn get_line(prompt: &str) -> Term {
    Term::tuple([Term::atom("get_line"), Term::atom("unicode"), Term::charlist(prompt)])
}

fn get_until(prompt: &str, module: &str, function: &str, arguments: Vec<Term>) -> Term {
    Term::tuple([
        Term::atom("get_until"),
        Term::atom("unicode"),
        Term::charlist(prompt),
        Term::atom(module),
        Term::atom(function),
        Term::list(arguments),
    ])
}

fn set_options(options: &[(&str, Term)]) -> Term {
    let options = options
        .iter()
        .map(|(name, value)| Term::tuple([Term::atom(name), value.clone()]))
        .collect::<Vec<_>>();
    Term::tuple([Term::atom("setopts"), Term::list(options)])
}

fn sort(message: Term) -> Event {
    match message.as_tuple() {
        Some([reply, Term::Ref(reference), value]) if reply.is_atom("io_reply") => {
            Event::Reply(reference.clone(), value.clone())
        }
        _ => Event::Told(message),
    }
}

/// `{Tag, _, ...}`: whether a message has this tag.
pub fn is_tagged(message: &Term, tag: &str) -> bool {
    message
        .as_tuple()
        .and_then(<[Term]>::first)
        .and_then(Term::as_atom)
        .map(Atom::as_str)
        == Some(tag)
}
