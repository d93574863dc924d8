//! What is wrong with a configuration, where, and what to do about it.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;

/// A configuration that cannot be used. The text names the thing and the remedy; where the fault stands in
/// the file it begins `FILE:LINE:COLUMN:`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file itself could not be read.
    #[error("cannot read the configuration {}: {reason}; {remedy}", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the system said.
        reason: String,
        /// What to do.
        remedy: String,
    },
    /// Something in the file is wrong.
    #[error("{}:{place}: {message}", file.display())]
    Invalid {
        /// The file.
        file: PathBuf,
        /// Where.
        place: Place,
        /// What is wrong and what to do.
        message: String,
    },
    /// Something outside the file (environment, command line, this machine) is wrong.
    #[error("{0}")]
    Outside(String),
}

/// A place in a text, both from 1; columns count characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Line.
    pub line: usize,
    /// Column.
    pub column: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

impl Place {
    /// The place of a byte offset.
    pub(super) fn at(text: &str, offset: usize) -> Self {
        let mut offset = offset.min(text.len());
        while !text.is_char_boundary(offset) {
            offset -= 1;
        }
        let before = &text[..offset];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Self {
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }
}

/// A fault found while checking values: its text, and where it stands unless it comes from outside the file.
#[derive(Debug)]
pub(super) struct Fault {
    pub span: Option<Range<usize>>,
    pub message: String,
}

impl Fault {
    /// A fault at a place in the file.
    pub fn at(span: Range<usize>, message: impl Into<String>) -> Self {
        Self {
            span: Some(span),
            message: message.into(),
        }
    }

    /// A fault of something that does not stand in the file.
    pub fn outside(message: impl Into<String>) -> Self {
        Self {
            span: None,
            message: message.into(),
        }
    }
}

/// Turns serde's words into ours: the nearest known key first.
pub(super) fn explain(message: &str) -> String {
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    let (what, known) = match quoted.split_first() {
        Some((_, known)) if message.starts_with("unknown field") => ("key", known),
        Some((_, known)) if message.starts_with("unknown variant") => ("value", known),
        Some((field, _)) if message.starts_with("missing field") => {
            return format!("the key `{field}` is missing here; add `{field} = ...`");
        }
        Some((field, _)) if message.starts_with("duplicate field") => {
            return format!("the key `{field}` stands here twice; remove one");
        }
        _ => return message.to_owned(),
    };
    let given = quoted[0];
    let list = known
        .iter()
        .map(|k| format!("`{k}`"))
        .collect::<Vec<_>>()
        .join(", ");
    match nearest(given, known) {
        Some(near) => {
            format!("unknown {what} `{given}`; did you mean `{near}`? (known here: {list})")
        }
        None => format!("unknown {what} `{given}`; known here: {list}"),
    }
}

/// The known word that the given one most probably stands for.
fn nearest<'a>(given: &str, known: &[&'a str]) -> Option<&'a str> {
    known
        .iter()
        .map(|word| (strsim::jaro_winkler(given, word), *word))
        .filter(|(likeness, _)| *likeness > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, word)| word)
}
