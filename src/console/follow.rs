//! Following: lines come while the prompt waits, until the operator ends it.
//!
//! A read request stands at the caller's terminal the whole time, and writes go on beside it: OTP's own shells print
//! messages the same way. So the prompt stays below what comes, and Enter is the key that ends it; a command typed
//! there ends it too and is then done.
//!
//! What a slow terminal has not taken yet waits in one buffer; beyond its bound lines are dropped and counted.

use super::answers;
use super::asking::Sidekick;
use super::commands::Command;
use super::events::Lines;
use super::json::{Refused, reply};
use super::terminal::{Event, Gone, Line, Terminal};
use crate::etf::{Reference, Term};
use crate::show;
use crate::telemetry::live::{self, Seen};

/// Text that waits for the terminal.
const TEXT_MAX: usize = 256 << 10;

/// What is followed.
pub struct Following {
    /// How the prompt names it.
    title: String,
    topics: Vec<Term>,
    log: Option<live::Following>,
    /// Shown first.
    before: String,
    named: bool,
    cursor: u64,
}

/// What a command follows; none where it follows nothing.
pub async fn begin(sidekick: &Sidekick, command: &Command) -> Option<Result<Following, Refused>> {
    let following = |title: &str, topics| Following {
        title: title.to_owned(),
        topics,
        log: None,
        before: String::new(),
        named: true,
        cursor: 0,
    };
    Some(Ok(match command {
        Command::Logs {
            server: Some(id),
            follow: true,
            lines,
        } => {
            return Some(one_log(sidekick, id, *lines).await);
        }
        Command::Logs {
            server: None,
            follow: true,
            ..
        } => following("every log", log_topics(&sidekick.servers().await)),
        Command::Events { logs } => {
            let mut topics = ["servers", "crashes", "buffer", "peers"]
                .map(Term::atom)
                .to_vec();
            if *logs {
                topics.extend(log_topics(&sidekick.servers().await));
            }
            following(if *logs { "everything" } else { "events" }, topics)
        }
        Command::Trace(Some(level)) => Following {
            log: Some(live::follow(level.parse().unwrap_or(tracing::Level::DEBUG))),
            ..following("trace", vec![])
        },
        _ => return None,
    }))
}

fn log_topics(servers: &[String]) -> Vec<Term> {
    let topic = |id: &String| Term::tuple([Term::atom("logs"), Term::text(id)]);
    servers.iter().map(topic).collect()
}

async fn one_log(sidekick: &Sidekick, id: &str, lines: u64) -> Result<Following, Refused> {
    let before = answers::logs(sidekick, id, lines).await?;
    let last = before.as_array().and_then(|lines| lines.last());
    Ok(Following {
        title: format!("log of {id}"),
        topics: log_topics(&[id.to_owned()]),
        log: None,
        before: show::log_lines(&before),
        named: false,
        cursor: last.and_then(|line| line["cursor"].as_u64()).unwrap_or(0),
    })
}

/// Follows until the operator ends it; gives what was typed.
pub async fn follow(
    terminal: &mut Terminal,
    sidekick: &Sidekick,
    following: Following,
) -> Result<Line, Gone> {
    let subscription = match subscribe(terminal, sidekick, &following.topics).await {
        Ok(subscription) => subscription,
        Err(refusal) => {
            let text = answers::explain(sidekick, &refusal).await;
            terminal.print(&text).await?;
            return Ok(Line::Text(String::new()));
        }
    };
    let mut screen = Screen::default();
    screen.add(&following.before);
    let reference = subscription.clone();
    let mut lines = reference.map(|of| Lines::new(of, following.named, following.cursor));
    let ended = watch(
        terminal,
        &mut screen,
        &following.title,
        &mut lines,
        following.log,
    )
    .await;
    if let Some(subscription) = subscription {
        sidekick
            .term("unsubscribe", vec![Term::Ref(subscription)])
            .await;
    }
    if ended.is_ok() {
        screen.finish(terminal).await?;
    }
    ended
}

async fn subscribe(
    terminal: &Terminal,
    sidekick: &Sidekick,
    topics: &[Term],
) -> Result<Option<Reference>, Refused> {
    if topics.is_empty() {
        return Ok(None);
    }
    let arguments = vec![Term::Pid(terminal.pid().clone()), Term::list(topics)];
    let answer = sidekick.term("subscribe", arguments).await;
    reply(&answer)?;
    Ok(answer
        .as_tuple()
        .and_then(|answer| answer.get(1)?.as_ref().cloned()))
}

async fn watch(
    terminal: &mut Terminal,
    screen: &mut Screen,
    title: &str,
    lines: &mut Option<Lines>,
    mut log: Option<live::Following>,
) -> Result<Line, Gone> {
    let read = terminal.begin_line(&format!("({title}; Enter ends) "));
    loop {
        screen.write(terminal);
        let seen = async {
            match &mut log {
                Some(log) => log.next().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            event = terminal.next() => match event? {
                Event::Reply(reference, reply) if reference == read => {
                    return terminal.finish_line(&reply).await;
                }
                Event::Reply(reference, _) => screen.written(&reference),
                Event::Told(message) => {
                    if let Some(text) = lines.as_mut().and_then(|lines| lines.line(&message)) {
                        screen.add(&text);
                    }
                }
                Event::Interrupted => {}
            },
            seen = seen => match seen {
                Seen::Line(text) => screen.add(&(show::harmless(&text) + "\n")),
                Seen::Missed(count) => screen.missed += count,
            },
        }
        screen.missed += terminal.take_missed();
    }
}

/// What is on its way to the terminal.
#[derive(Default)]
struct Screen {
    text: String,
    writing: Option<Reference>,
    missed: u64,
}

impl Screen {
    fn add(&mut self, text: &str) {
        if self.text.len() + text.len() > TEXT_MAX {
            self.missed += 1;
        } else {
            self.text += text;
        }
    }

    /// Begins the next write unless one is under way.
    fn write(&mut self, terminal: &Terminal) {
        if self.writing.is_some() {
            return;
        }
        if self.text.is_empty() && self.missed > 0 {
            self.text = format!(
                "... {} lines were missed: they came faster than this terminal takes them\n",
                self.missed
            );
            self.missed = 0;
        }
        if self.text.is_empty() {
            return;
        }
        let (reference, rest) = terminal.begin_write(&self.text);
        let rest = rest.to_owned();
        self.text = rest;
        self.writing = Some(reference);
    }

    fn written(&mut self, reference: &Reference) {
        self.writing.take_if(|writing| *writing == *reference);
    }

    /// Writes what is left.
    async fn finish(mut self, terminal: &mut Terminal) -> Result<(), Gone> {
        loop {
            self.write(terminal);
            match self.writing.take() {
                Some(writing) => terminal.answer(&writing).await?,
                None => return Ok(()),
            };
        }
    }
}
