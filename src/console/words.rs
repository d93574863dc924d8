//! A typed line as words.
//!
//! Words are parted by white space; quotes (`"` or `'`) keep it in, with `\` before a quote or itself. People who come
//! from `iex` or `erl` type `status()`, `restart(:lobby)` or `status.`: that is understood too.

/// A line whose quotes do not fit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a quote is not closed; end it with another {0}")]
pub struct OpenQuote(char);

/// The words of a line.
pub fn split(line: &str) -> Result<Vec<String>, OpenQuote> {
    let line = line.trim();
    let line = line.trim_end_matches([';', '.']).trim_end();
    let mut words = Words {
        called: is_call(line),
        ..Words::default()
    };
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' | '\'' if words.word.is_empty() => {
                words.quoted(c, &mut chars)?;
            }
            c if c.is_whitespace() => words.end(),
            '(' | ',' | ')' if words.called => words.end(),
            c => words.word.push(c),
        }
    }
    words.end();
    Ok(words.done)
}

/// Whether a line has the form `name(...)`.
fn is_call(line: &str) -> bool {
    let name = line.split('(').next().unwrap_or_default().trim_end();
    line.ends_with(')')
        && !name.is_empty()
        && name.chars().all(|c| c.is_ascii_lowercase() || c == '_')
}

#[derive(Default)]
struct Words {
    called: bool,
    word: String,
    done: Vec<String>,
}

impl Words {
    /// Reads up to the closing quote.
    fn quoted(&mut self, quote: char, chars: &mut std::str::Chars<'_>) -> Result<(), OpenQuote> {
        let mut text = String::new();
        loop {
            match chars.next().ok_or(OpenQuote(quote))? {
                '\\' => text.extend(chars.next()),
                c if c == quote => break,
                c => text.push(c),
            }
        }
        self.done.push(text);
        Ok(())
    }

    fn end(&mut self) {
        let word = std::mem::take(&mut self.word);
        if word.is_empty() {
            return;
        }
        // `:lobby` is how Elixir writes the atom.
        let atom = word
            .strip_prefix(':')
            .filter(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase()));
        self.done
            .push(atom.map_or_else(|| word.clone(), str::to_owned));
    }
}

/// A word as it must be typed.
pub fn quote(word: &str) -> String {
    let plain = !word.is_empty()
        && !word.contains(|c: char| c.is_whitespace() || "\"'\\(),;:".contains(c))
        && !word.ends_with('.');
    if plain {
        word.to_owned()
    } else {
        format!("\"{}\"", word.replace('\\', "\\\\").replace('"', "\\\""))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        split(line).expect("quotes fit")
    }

    #[test]
    fn words_are_parted_by_space() {
        assert_eq!(words("  logs -f\tlobby "), ["logs", "-f", "lobby"]);
        assert_eq!(words(""), [""; 0]);
        assert_eq!(words("read größe/日本"), ["read", "größe/日本"]);
    }

    #[test]
    fn quotes_keep_space_in() {
        assert_eq!(words(r#"read "a b" 'c "d"'"#), ["read", "a b", "c \"d\""]);
        assert_eq!(words(r#"read "a \" \\ b""#), ["read", r#"a " \ b"#]);
        assert_eq!(words("read ''"), ["read", ""]);
        assert_eq!(split("read \"a"), Err(OpenQuote('"')));
    }

    #[test]
    fn forms_of_other_shells_are_understood() {
        for line in ["status()", "status.", "status();", "status ;", "status ()"] {
            assert_eq!(words(line), ["status"], "{line}");
        }
        for line in [
            "restart(:lobby)",
            "restart(\"lobby\")",
            "restart( lobby ).",
            "restart :lobby",
        ] {
            assert_eq!(words(line), ["restart", "lobby"], "{line}");
        }
        assert_eq!(
            words("logs(\"lobby\", -n, 5)"),
            ["logs", "lobby", "-n", "5"]
        );
        assert_eq!(words("read s(1)"), ["read", "s(1)"], "a name with brackets");
    }

    #[test]
    fn what_is_quoted_is_read_back() {
        for word in [
            "lobby",
            "a b",
            "x\"y\\z",
            "",
            "ends.",
            ":colon",
            "日本/match",
        ] {
            assert_eq!(words(&format!("read {}", quote(word))), ["read", word]);
        }
    }
}
