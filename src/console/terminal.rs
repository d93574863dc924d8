//! The caller's terminal: its group leader, spoken to by the Erlang I/O protocol.
//!
//! Every request carries a reference of ours and is answered by `{io_reply, Reference, Reply}`. Lines are to be in the
//! caller's own history. From OTP 28 on a `get_line` request does that. Up to 27 only `get_until` does, and names a
//! function **of the caller's node** that takes the line: `io_lib:collect_chars` asked for no character takes none and
//! puts the whole line back, from where a `get_line` without echo has it ([`Reader::PutBack`]).
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
enum Reader {
    /// By `get_line`.
    Plain,
    /// By a `get_until` that leaves the line to a `get_line`.
    PutBack,
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
    pub fn new(node: Node, process: Process, leader: Pid) -> Self {
        Self {
            gone: node.watch(&leader),
            node,
            process,
            leader,
            reader: Reader::Plain,
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

    /// Forgets what waited: it belonged to what was done before.
    pub fn forget(&mut self) {
        self.pending.clear();
        self.missed = 0;
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
                Signal::Exit {
                    linked: false,
                    kill: false,
                    reason,
                    ..
                } if reason.is_atom("interrupt") => {
                    return Ok(Event::Interrupted);
                }
                Signal::Exit {
                    linked: false,
                    kill: false,
                    reason,
                    ..
                } if reason.is_atom("normal") => {}
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
        let answered = |event: &Event| matches!(event, Event::Reply(to, _) if to == reference);
        if let Some(at) = self.pending.iter().position(answered) {
            if let Some(Event::Reply(_, reply)) = self.pending.remove(at) {
                return Ok(reply);
            }
        }
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
        let put = [
            Term::atom("put_chars"),
            Term::atom("unicode"),
            Term::text(now),
        ];
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

    /// Lines are binaries in UTF-8 from now on. How they are read depends on what the terminal says of itself: one
    /// that does not echo (input from a pipe) has no history.
    pub async fn set_up(&mut self) -> Result<(), Gone> {
        self.set(&[
            ("binary", Term::bool(true)),
            ("encoding", Term::atom("unicode")),
        ])
        .await?;
        let options = self.request(Term::atom("getopts")).await?;
        let option = |name: &str| {
            let options = options.as_list().unwrap_or_default().iter();
            let mut options = options.filter_map(Term::as_tuple);
            options.find_map(|option| match option {
                [key, value] if key.is_atom(name) => Some(value),
                _ => None,
            })
        };
        let echo = option("echo").and_then(Term::as_bool) == Some(true);
        if echo && option("line_history").is_none() {
            self.reader = Reader::PutBack;
        }
        Ok(())
    }

    async fn set(&mut self, options: &[(&str, Term)]) -> Result<(), Gone> {
        let options = options
            .iter()
            .map(|(name, value)| Term::tuple([Term::atom(name), value.clone()]))
            .collect::<Vec<_>>();
        let request = Term::tuple([Term::atom("setopts"), Term::list(options)]);
        self.request(request).await.map(|_| ())
    }

    /// Reads a line.
    pub async fn read_line(&mut self, prompt: &str) -> Result<Line, Gone> {
        let reference = self.begin_line(prompt);
        let reply = self.answer(&reference).await?;
        self.finish_line(&reply).await
    }

    /// Begins to read a line while other things happen; [`Terminal::finish_line`] wants the answer.
    pub fn begin_line(&self, prompt: &str) -> Reference {
        self.ask(match self.reader {
            Reader::Plain => get_line(prompt),
            Reader::PutBack => Term::tuple([
                Term::atom("get_until"),
                Term::atom("unicode"),
                Term::charlist(prompt),
                Term::atom("io_lib"),
                Term::atom("collect_chars"),
                Term::list([Term::atom("unicode"), Term::int(0)]),
            ]),
        })
    }

    /// The line that was read.
    pub async fn finish_line(&mut self, reply: &Term) -> Result<Line, Gone> {
        if self.reader == Reader::Plain || line(reply) == Line::Interrupted {
            return Ok(line(reply));
        }
        self.set(&[("echo", Term::bool(false))]).await?;
        let reply = self.request(get_line("")).await?;
        self.set(&[("echo", Term::bool(true))]).await?;
        Ok(line(&reply))
    }
}

/// The line that an answer holds. What is no line and no interrupt means that nothing can be read any more.
fn line(reply: &Term) -> Line {
    match reply {
        Term::Binary(bytes) => {
            let text = String::from_utf8_lossy(bytes);
            Line::Text(text.trim_end_matches(['\n', '\r']).to_owned())
        }
        Term::Tuple(error) if error.last().is_some_and(|why| why.is_atom("interrupted")) => {
            Line::Interrupted
        }
        _ => Line::Eof,
    }
}

fn get_line(prompt: &str) -> Term {
    Term::tuple([
        Term::atom("get_line"),
        Term::atom("unicode"),
        Term::charlist(prompt),
    ])
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
