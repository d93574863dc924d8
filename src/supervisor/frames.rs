//! Single frames of the backtraces that Godot prints.
//!
//! ```text
//! [0] spin (res://main.gd:9)                                        script
//! [1] /lib/libc.so.6(+0x406b0) [0x7f58] (??:0)                      engine, without a symbol
//! [2] Main::iteration() (/src/main/main.cpp:300)                    engine, with one
//! ```

use serde::Serialize;

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Frame {
    /// The function, where it is known.
    pub function: Option<String>,
    /// The file: of the script, or of the engine's sources.
    pub file: Option<String>,
    /// The line in it.
    pub line: Option<u32>,
    /// The library or program, where no symbol is known.
    pub module: Option<String>,
    /// Where in it, from its beginning: the same for the same build, wherever it was loaded.
    pub offset: Option<u64>,
}

/// A frame of a script: `spin (res://main.gd:9)`.
pub fn script(text: &str) -> Frame {
    // The path of a script may itself hold parentheses.
    let place = text.split_once(" (res://").and_then(|(function, rest)| {
        let place = text.strip_suffix(')')?;
        Some((
            function,
            &place[place.len() + 1 - rest.len() - "res://".len()..],
        ))
    });
    let (function, place) = match place {
        Some((function, place)) => (function.trim(), Some(place)),
        None => split(text),
    };
    let (file, line) = place.map_or((None, None), place_of);
    Frame {
        function: Some(function.to_owned()).filter(|function| !function.is_empty()),
        file,
        line,
        module: None,
        offset: None,
    }
}

/// A frame of the engine.
pub fn engine(text: &str) -> Frame {
    let (what, place) = split(text);
    let (file, line) = place.map_or((None, None), place_of);
    // `module(symbol+0x1f) [0x7f58]`: what glibc prints where nothing demangled it.
    let glibc = what
        .strip_suffix(']')
        .and_then(|text| text.rsplit_once(" [0x"))
        .map(|(raw, _)| raw);
    let Some(raw) = glibc else {
        return Frame {
            function: Some(what.to_owned()).filter(|what| !what.is_empty()),
            file,
            line,
            module: None,
            offset: None,
        };
    };
    let (module, symbol) = match raw.rsplit_once('(') {
        Some((module, rest)) => (module, rest.trim_end_matches(')')),
        None => (raw, ""),
    };
    let (symbol, offset) = symbol.split_once("+0x").unwrap_or((symbol, ""));
    let offset = u64::from_str_radix(offset, 16).ok();
    Frame {
        function: Some(symbol.to_owned()).filter(|symbol| !symbol.is_empty()),
        file,
        line,
        module: Some(module.to_owned()),
        offset: offset.filter(|_| symbol.is_empty()),
    }
}

/// What comes before the last ` (place)`, and the place.
fn split(text: &str) -> (&str, Option<&str>) {
    let place = text
        .strip_suffix(')')
        .and_then(|text| text.rsplit_once(" ("));
    match place {
        Some((what, place)) => (what.trim(), Some(place)),
        None => (text.trim(), None),
    }
}

/// `res://main.gd:9`; `??:0` and `??:?` say nothing.
fn place_of(place: &str) -> (Option<String>, Option<u32>) {
    let Some((file, line)) = place.rsplit_once(':') else {
        return (Some(place.to_owned()), None);
    };
    if file.starts_with("??") {
        return (None, None);
    }
    // `(discriminator 2)` may follow.
    let digits: String = line.chars().take_while(char::is_ascii_digit).collect();
    (Some(file.to_owned()), digits.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(function: &str, file: &str, line: u32, module: &str) -> Frame {
        let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        Frame {
            function: text(function),
            file: text(file),
            line: Some(line).filter(|line| *line > 0),
            module: text(module),
            offset: None,
        }
    }

    #[test]
    fn frames_come_apart() {
        assert_eq!(
            script("spin (res://main.gd:9)"),
            frame("spin", "res://main.gd", 9, "")
        );
        assert_eq!(
            script("<anonymous lambda> (res://a b (1).gd:12)"),
            frame("<anonymous lambda>", "res://a b (1).gd", 12, "")
        );
        assert_eq!(
            engine("/lib/libc.so.6(+0x406b0) [0x7f587864a6b0] (??:0)"),
            Frame {
                offset: Some(0x406b0),
                ..frame("", "", 0, "/lib/libc.so.6")
            }
        );
        assert_eq!(
            engine("/usr/bin/godot(main+0x19f) [0x55d07054c02f] (main.cpp:7)"),
            frame("main", "main.cpp", 7, "/usr/bin/godot")
        );
        assert_eq!(
            engine("Main::iteration(bool) (/src/main.cpp:300)"),
            frame("Main::iteration(bool)", "/src/main.cpp", 300, "")
        );
        assert_eq!(engine(""), frame("", "", 0, ""));
    }
}
