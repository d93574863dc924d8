//! One shell: a process whose group leader is the caller's terminal, and its prompt loop.
//!
//! It ends when the operator leaves, when there is no more input, when the group leader ends, or when the caller's
//! node is lost; its process ends with it, so that nothing stays behind. What an operator started goes on.

use super::answers;
use super::asking::Sidekick;
use super::commands::{self, Command};
use super::follow;
use super::terminal::{Event, Gone, Line, Terminal, is_tagged};
use crate::etf::{Pid, Reference, Term};
use crate::node::NodeName;
use std::time::Duration;

/// How long the caller's node may take to begin, to answer, and to end.
const PATIENCE: Duration = Duration::from_secs(10);
/// Text that one command shows at most.
const TEXT_MAX: usize = 1 << 20;

/// How a shell was begun.
#[derive(Debug, Clone, PartialEq)]
pub enum Begun {
    /// `erl -remsh`, or a job of a running node.
    Erlang,
    /// A job of a running `iex`.
    Job,
    /// `iex --remsh`: the parent is to be told first, and waited for.
    Remote(Pid, Reference),
}

/// One shell.
pub struct Shell {
    /// Its terminal.
    pub terminal: Terminal,
    /// Whom it asks.
    pub sidekick: Sidekick,
    /// How it was begun.
    pub begun: Begun,
    /// Where there are too many shells already: only this is said.
    pub refusal: Option<String>,
}

impl Shell {
    /// Runs until it ends.
    pub async fn run(mut self) {
        // That the terminal is gone is the usual end.
        let _ = self.serve().await;
    }

    async fn serve(&mut self) -> Result<(), Gone> {
        self.terminal.set_up().await?;
        if let Begun::Remote(parent, reference) = self.begun.clone() {
            self.synchronise(&parent, &reference).await?;
        }
        let name = self.terminal.node().name().to_string();
        if let Some(refusal) = self.refusal.take() {
            self.terminal.print(&refusal).await?;
            return self.leave(1).await;
        }
        self.terminal
            .print(&format!(
                "Operator's prompt of {name}: help lists the commands, Tab completes, exit leaves\n"
            ))
            .await?;
        let prompt = format!("{name}> ");
        let mut typed = None;
        loop {
            let line = match typed.take() {
                Some(line) => line,
                None => self.terminal.read_line(&prompt).await?,
            };
            match line {
                Line::Text(line) => match commands::parse(&line) {
                    Ok(Command::Exit) => break,
                    Ok(command) => typed = self.obey(command).await?,
                    Err(error) => self.terminal.print(&format!("{error}\n")).await?,
                },
                Line::Interrupted => self.terminal.print("\n").await?,
                Line::Eof => break,
            }
        }
        self.leave(0).await
    }

    /// `iex --remsh` runs what its command line says before the shell may speak.
    async fn synchronise(&mut self, parent: &Pid, reference: &Reference) -> Result<(), Gone> {
        let (me, reference) = (
            Term::Pid(self.terminal.pid().clone()),
            Term::Ref(reference.clone()),
        );
        let begin = Term::tuple([Term::atom("begin"), reference.clone(), me]);
        self.terminal.node().send(parent, begin);
        let done = Term::tuple([Term::atom("done"), reference]);
        loop {
            if matches!(self.terminal.next().await?, Event::Told(message) if message == done) {
                return Ok(());
            }
        }
    }

    /// Does a command; gives what was typed to end it, where that was more than Enter.
    async fn obey(&mut self, command: Command) -> Result<Option<Line>, Gone> {
        self.terminal.forget();
        match follow::begin(&self.sidekick, &command).await {
            Some(Ok(following)) => {
                let ended = follow::follow(&mut self.terminal, &self.sidekick, following).await?;
                let nothing = matches!(&ended, Line::Text(text) if text.trim().is_empty());
                return Ok((!nothing).then_some(ended));
            }
            Some(Err(refusal)) => {
                let text = answers::explain(&self.sidekick, &refusal).await;
                self.terminal.print(&text).await?;
            }
            None => {
                if let Some(text) = self.work(command).await? {
                    self.terminal.print(&cut(text)).await?;
                } else {
                    self.terminal
                        .print("interrupted; the work itself goes on\n")
                        .await?;
                }
            }
        }
        Ok(None)
    }

    /// The answer of a command; none where the operator did not wait for it. The work goes on in any case.
    async fn work(&mut self, command: Command) -> Result<Option<String>, Gone> {
        let sidekick = self.sidekick.clone();
        let mut work = tokio::spawn(async move { answers::answer(&sidekick, command).await });
        loop {
            tokio::select! {
                done = &mut work => {
                    return Ok(Some(done.unwrap_or_else(|_| "failed; see sidekick's log\n".to_owned())));
                }
                event = self.terminal.next() => {
                    if matches!(event?, Event::Interrupted) {
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// Ends the caller's node where it was started for this shell alone; else just this shell ends.
    async fn leave(&mut self, status: i64) -> Result<(), Gone> {
        if !self.is_whole_node().await {
            return Ok(());
        }
        let leader = self.terminal.leader().clone();
        let Ok(node) = leader.node.as_str().parse::<NodeName>() else {
            return Ok(());
        };
        let arguments = Term::list([Term::int(status)]);
        let stop = [
            Term::atom("cast"),
            Term::atom("init"),
            Term::atom("stop"),
            arguments,
            Term::Pid(leader),
        ];
        let cast = Term::tuple([Term::atom("$gen_cast"), Term::tuple(stop)]);
        let sender = self.terminal.pid().clone();
        let _ = self
            .terminal
            .node()
            .send_name(Some(&sender), "rex", &node, cast);
        // Ended now, OTP would print that the shell was terminated: the terminal goes first.
        let gone = async { while self.terminal.next().await.is_ok() {} };
        let _ = tokio::time::timeout(PATIENCE, gone).await;
        Ok(())
    }

    /// Whether the caller's node was started with `-remsh` or `--remsh`.
    async fn is_whole_node(&self) -> bool {
        let leader = self.terminal.leader();
        let Ok(node) = leader.node.as_str().parse::<NodeName>() else {
            return false;
        };
        match self.begun {
            Begun::Remote(..) => true,
            Begun::Job => false,
            Begun::Erlang => {
                let argument = Term::list([Term::atom("remsh")]);
                let ask = [
                    Term::atom("call"),
                    Term::atom("init"),
                    Term::atom("get_argument"),
                    argument,
                    Term::Pid(leader.clone()),
                ];
                let answer = self
                    .terminal
                    .node()
                    .call("rex", &node, Term::tuple(ask), PATIENCE)
                    .await;
                answer.is_ok_and(|answer| is_tagged(&answer, "ok"))
            }
        }
    }
}

/// Nobody reads a megabyte at a prompt.
fn cut(mut text: String) -> String {
    if text.len() > TEXT_MAX {
        let end = (0..=TEXT_MAX).rev().find(|end| text.is_char_boundary(*end));
        text.truncate(end.unwrap_or(0));
        text += "\n... cut here; ask for less at once, or use sidekick ctl\n";
    }
    text
}
