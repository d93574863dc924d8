//! Events of subscriptions as lines for people.

use super::json::json;
use crate::etf::{Reference, Term};
use crate::show::{harmless, log_line, plain, time};
use serde_json::{Map, Value};

/// Fields that say nothing to a person, or are shown in a place of their own.
const LEFT_OUT: [&str; 9] = [
    "topic", "type", "seq", "at_ms", "at_ns", "exit_ns", "pid", "id", "cursor",
];

/// Makes lines of one subscription's events.
pub struct Lines {
    subscription: Reference,
    /// Whether log lines say whose they are.
    named: bool,
    /// The last log line that was shown already.
    cursor: u64,
    /// What was last told of the buffer; its size alone is no news.
    buffer: Option<(Value, Value, Value)>,
}

impl Lines {
    /// For this subscription; log lines up to `cursor` were shown before.
    pub fn new(subscription: Reference, named: bool, cursor: u64) -> Self {
        Self {
            subscription,
            named,
            cursor,
            buffer: None,
        }
    }

    /// The line of a message with its end; none where it is none of ours or no news.
    pub fn line(&mut self, message: &Term) -> Option<String> {
        match message.as_tuple()? {
            [tag, _, Term::Ref(reference), event]
                if tag.is_atom("sidekick_event") && *reference == self.subscription =>
            {
                let Value::Object(event) = json(event) else {
                    return None;
                };
                self.event(event)
            }
            _ => None,
        }
    }

    fn event(&mut self, mut event: Map<String, Value>) -> Option<String> {
        let field = |name: &str| event.get(name).unwrap_or(&Value::Null);
        let kind = plain(field("type"));
        match kind.as_str() {
            "line" => return self.log(&Value::Object(event)),
            "lagged" => return Some(format!("... {} were missed\n", plain(field("missed")))),
            "level" => {
                let buffer = field("buffer");
                let now = (
                    buffer["full"].clone(),
                    buffer["dropped"].clone(),
                    field("failure").clone(),
                );
                let first = self.buffer.replace(now.clone());
                first.filter(|before| *before != now)?;
            }
            _ => {}
        }
        let who = event.get("id").map_or_else(|| plain(field("topic")), plain);
        let at = time(field("at_ms"));
        event.retain(|name, value| !LEFT_OUT.contains(&name.as_str()) && !value.is_null());
        let facts: Vec<String> = event
            .iter()
            .map(|(name, value)| format!("{name}: {}", plain(value)))
            .collect();
        let line = format!("{at}  {who:<8}  {kind:<8}  {}", facts.join(", "));
        Some(line.trim_end().to_owned() + "\n")
    }

    fn log(&mut self, line: &Value) -> Option<String> {
        if !self.named && line["cursor"].as_u64()? <= self.cursor {
            return None;
        }
        let text = log_line(line);
        if self.named {
            let id = harmless(line["id"].as_str().unwrap_or_default());
            return Some(format!("{id:<8}  {text}"));
        }
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::etf::Atom;

    fn reference(number: u32) -> Reference {
        Reference::new(Atom::new("s@h"), 1, &[number]).expect("one word")
    }

    fn told(of: u32, event: Term) -> Term {
        let tag = Term::atom("sidekick_event");
        Term::tuple([tag, Term::atom("s@h"), Term::Ref(reference(of)), event])
    }

    fn fields(kind: &str, more: Vec<(&'static str, Term)>) -> Term {
        let mut fields = vec![
            ("type", Term::atom(kind)),
            ("at_ms", Term::int(0)),
            ("id", Term::text("lobby")),
        ];
        fields.extend(more);
        Term::map(fields)
    }

    #[test]
    fn an_event_is_a_line() {
        let mut lines = Lines::new(reference(1), false, 0);
        let reason = Term::tuple([Term::atom("signal"), Term::atom("sigsegv")]);
        let event = fields("ended", vec![("reason", reason), ("detail", Term::nil())]);
        assert_eq!(
            lines.line(&told(1, event.clone())).as_deref(),
            Some("1970-01-01T00:00:00.000Z  lobby     ended     reason: signal sigsegv\n")
        );
        assert_eq!(lines.line(&told(2, event)), None, "of another subscription");
    }

    #[test]
    fn log_lines_shown_before_are_not_repeated() {
        let line = |cursor: u64, text| {
            let source = ("source", Term::atom("stdout"));
            let event = fields(
                "line",
                vec![
                    source,
                    ("line", Term::text(text)),
                    ("cursor", Term::int(cursor)),
                ],
            );
            told(1, event)
        };
        let mut lines = Lines::new(reference(1), false, 7);
        assert_eq!(lines.line(&line(7, "old")), None);
        assert_eq!(
            lines.line(&line(8, "größe")).as_deref(),
            Some("1970-01-01T00:00:00.000Z  stdout    größe\n")
        );
        let mut lines = Lines::new(reference(1), true, 0);
        assert_eq!(
            lines.line(&line(1, "x")).as_deref(),
            Some("lobby     1970-01-01T00:00:00.000Z  stdout    x\n")
        );
    }

    #[test]
    fn the_buffers_size_alone_is_no_news() {
        let level = |full| {
            let buffer = Term::map([
                ("full", Term::bool(full)),
                ("dropped", Term::int(0)),
                ("bytes", Term::int(5)),
            ]);
            told(
                1,
                Term::map([
                    ("type", Term::atom("level")),
                    ("topic", Term::atom("buffer")),
                    ("at_ms", Term::int(0)),
                    ("buffer", buffer),
                    ("failure", Term::nil()),
                ]),
            )
        };
        let mut lines = Lines::new(reference(1), false, 0);
        assert_eq!(
            lines.line(&level(false)),
            None,
            "the first is where it begins"
        );
        assert_eq!(lines.line(&level(false)), None);
        assert!(
            lines
                .line(&level(true))
                .expect("news")
                .contains("full: true")
        );
    }
}
