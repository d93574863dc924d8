//! Completion, as `edlin_expand:expand` is asked for it.

use super::asking::Sidekick;
use super::table::{self, Place, TABLE};
use super::words;
use crate::etf::Term;

/// Most completions that are listed.
const MATCHES_MAX: usize = 200;

/// What can follow what was typed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Completion {
    /// To be inserted.
    pub insert: String,
    /// To be listed.
    pub matches: Vec<String>,
}

impl Completion {
    /// `{yes | no, Insert, Matches}`.
    pub fn to_term(&self) -> Term {
        let found = !self.insert.is_empty() || !self.matches.is_empty();
        let matches = self.matches.iter().map(|text| Term::charlist(text));
        Term::tuple([
            Term::atom(if found { "yes" } else { "no" }),
            Term::charlist(&self.insert),
            Term::list(matches.collect::<Vec<_>>()),
        ])
    }
}

/// Completes the line before the cursor.
pub async fn complete(before: &str, sidekick: &Sidekick) -> Completion {
    let Some((place, typed)) = place(before) else {
        return Completion::default();
    };
    let names = match place {
        Place::Command => TABLE.iter().map(|entry| entry.name.to_owned()).collect(),
        Place::Server | Place::Scope => sidekick.servers().await,
        Place::Stream => sidekick.streams().await,
        Place::Sink => sidekick.sinks().await,
        Place::OneOf(words) => words.iter().map(|word| (*word).to_owned()).collect(),
        Place::Free => vec![],
    };
    choose(&typed, names)
}

/// The line before the cursor from the reversed list of characters that OTP sends; clusters are lists in it.
pub fn line_before(reversed: &Term) -> Option<String> {
    let clusters = reversed.as_list()?.iter().rev();
    let chars =
        clusters.flat_map(|cluster| cluster.as_list().unwrap_or(std::slice::from_ref(cluster)));
    let text: Option<String> = chars
        .map(|code| char::from_u32(u32::try_from(code.as_u64()?).ok()?))
        .collect();
    // Where a line goes on, only its last part counts.
    text.map(|text| text.rsplit('\n').next().unwrap_or_default().to_owned())
}

/// What the word under the cursor stands for, and what is typed of it.
fn place(before: &str) -> Option<(Place, String)> {
    let fresh = before.is_empty() || before.ends_with(char::is_whitespace);
    // An open quote at the end is a word that goes on.
    let mut typed = words::split(before)
        .or_else(|_| words::split(&format!("{before}\"")))
        .ok()?;
    let word = if fresh { String::new() } else { typed.pop()? };
    let Some(name) = typed.first() else {
        return Some((Place::Command, word));
    };
    let entry = table::find(name).ok()?;
    let mut position = 0;
    let mut skip = false;
    for given in &typed[1..] {
        let option = entry.options.contains(&given.as_str());
        position += usize::from(!option && !skip);
        skip = option && given == "-n";
    }
    let place = entry.places.get(position).filter(|_| !skip)?;
    Some((*place, word))
}

fn choose(typed: &str, names: Vec<String>) -> Completion {
    let mut names: Vec<String> = names
        .into_iter()
        .filter(|name| name.starts_with(typed))
        .collect();
    names.sort_unstable();
    match names.as_slice() {
        [] => Completion::default(),
        [only] => Completion {
            insert: rest(typed, only) + " ",
            matches: vec![],
        },
        [first, .., last] => {
            let common = common_start(first, last);
            let insert = first[typed.len()..common].to_owned();
            names.truncate(MATCHES_MAX);
            Completion {
                matches: if insert.is_empty() { names } else { vec![] },
                insert,
            }
        }
    }
}

/// What is missing of a name; one that needs quotes cannot be completed once its beginning stands there without.
fn rest(typed: &str, name: &str) -> String {
    if typed.is_empty() {
        words::quote(name)
    } else {
        name[typed.len()..].to_owned()
    }
}

fn common_start(first: &str, last: &str) -> usize {
    let ends = first.char_indices().map(|(at, c)| at + c.len_utf8());
    ends.take_while(|end| last.get(..*end) == Some(&first[..*end]))
        .last()
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(typed: &str, names: &[&str]) -> (String, Vec<String>) {
        let choice = choose(typed, names.iter().map(|name| (*name).to_owned()).collect());
        (choice.insert, choice.matches)
    }

    #[test]
    fn the_place_is_found() {
        let at = |before| place(before);
        assert_eq!(at(""), Some((Place::Command, String::new())));
        assert_eq!(at("sta"), Some((Place::Command, "sta".into())));
        assert_eq!(at("restart "), Some((Place::Server, String::new())));
        assert_eq!(at("restart lo"), Some((Place::Server, "lo".into())));
        assert_eq!(at("logs -f -n 5 lo"), Some((Place::Server, "lo".into())));
        assert_eq!(at("logs -n "), None);
        assert_eq!(at("read \"a b"), Some((Place::Stream, "a b".into())));
        assert_eq!(
            at("trace o"),
            Some((Place::OneOf(&["on", "off"]), "o".into()))
        );
        assert_eq!(at("sink redrive d"), Some((Place::Sink, "d".into())));
        assert_eq!(
            at("sink discard db "),
            Some((Place::OneOf(&["all"]), String::new()))
        );
        assert_eq!(at("nonsense x"), None);
        assert_eq!(at("servers x"), None);
    }

    #[test]
    fn one_name_is_inserted_and_many_are_listed() {
        assert_eq!(chosen("lo", &["lobby", "arena"]), ("bby ".into(), vec![]));
        assert_eq!(
            chosen("st", &["status", "start", "stop"]),
            (
                String::new(),
                vec!["start".into(), "status".into(), "stop".into()]
            )
        );
        assert_eq!(
            chosen("a", &["arena_1", "arena_2"]),
            ("rena_".into(), vec![])
        );
        assert_eq!(
            chosen("gr", &["größe", "grün"]),
            (String::new(), vec!["größe".into(), "grün".into()])
        );
        assert_eq!(chosen("x", &["lobby"]), (String::new(), vec![]));
        assert_eq!(chosen("", &["a b"]), ("\"a b\" ".into(), vec![]));
    }

    #[test]
    fn what_otp_sends_is_a_reversed_line() {
        let cluster = Term::charlist("e\u{301}");
        let mut reversed = Term::charlist("ats").as_list().expect("a list").to_vec();
        reversed.insert(0, cluster);
        assert_eq!(
            line_before(&Term::list(reversed)).as_deref(),
            Some("stae\u{301}")
        );
        assert_eq!(
            line_before(&Term::charlist("ol\npots")).as_deref(),
            Some("lo")
        );
        assert_eq!(line_before(&Term::atom("x")), None);
    }

    #[test]
    fn otp_is_answered_in_its_form() {
        assert_eq!(Completion::default().to_term().to_string(), "{no,[],[]}");
        let listed = Completion {
            insert: "a".into(),
            matches: vec!["ab".into()],
        };
        assert_eq!(listed.to_term().to_string(), "{yes,\"a\",[\"ab\"]}");
    }
}
