//! Source files of the tree, read once, for the rules of `tidy`.

#![allow(dead_code, clippy::unwrap_used)]

use std::path::Path;

/// Directories that hold nothing of ours.
const NOT_OURS: [&str; 11] = [
    "target",
    ".git",
    "_build",
    "deps",
    ".godot",
    "node_modules",
    "var",
    ".sidekick",
    "doc",
    "__pycache__",
    ".elixir_ls",
];

/// One file.
pub struct Source {
    /// Relative to the root, with `/`.
    pub path: String,
    /// Its text.
    pub text: String,
}

/// Every text file below some directories whose extension is one of these (`""`: none); all where none is given.
pub fn below(root: &Path, dirs: &[&str], extensions: &[&str]) -> Vec<Source> {
    let mut found = Vec::new();
    for dir in dirs {
        walk(root, &root.join(dir), extensions, &mut found);
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn walk(root: &Path, dir: &Path, extensions: &[&str], found: &mut Vec<Source>) {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return;
    };
    for entry in entries {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_symlink() || NOT_OURS.contains(&name.as_str()) {
            continue;
        }
        if path.is_dir() {
            walk(root, &path, extensions, found);
            continue;
        }
        let extension = path
            .extension()
            .map(|extension| extension.to_string_lossy().into_owned())
            .unwrap_or_default();
        if !extensions.is_empty() && !extensions.contains(&extension.as_str()) {
            continue;
        }
        // What is not text has no lines to look at.
        if let Ok(text) = std::fs::read_to_string(&path) {
            let path = path
                .strip_prefix(root)
                .unwrap()
                .to_string_lossy()
                .trim_start_matches("./")
                .to_owned();
            found.push(Source { path, text });
        }
    }
}

impl Source {
    fn is_test_file(&self) -> bool {
        let name = self.path.rsplit('/').next().unwrap_or_default();
        self.path.starts_with("tests/")
            || self.path.contains("/tests/")
            || self.path.contains("/test/")
            || name == "tests.rs"
            || name.ends_with("_test.rs")
    }

    /// Lines with their number, and whether they are test code: by convention `#[cfg(test)]` comes last.
    pub fn lines_with_tests(&self) -> impl Iterator<Item = (usize, &str, bool)> {
        let mut in_test = self.is_test_file();
        self.text.lines().enumerate().map(move |(index, line)| {
            in_test |= line.trim_start().starts_with("#[cfg(test)]");
            (index + 1, line, in_test)
        })
    }

    /// Lines of code proper: neither comments nor tests.
    pub fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        self.lines_with_tests()
            .filter(|(_, line, in_test)| !in_test && !line.trim_start().starts_with("//"))
            .map(|(number, line, _)| (number, line))
    }

    /// Every first name after `crate::`, also within `crate::{...}`.
    pub fn crate_imports(&self) -> Vec<(usize, String)> {
        let text: String = self
            .text
            .lines()
            .map(|line| {
                if line.trim_start().starts_with("//") {
                    "\n".to_owned()
                } else {
                    format!("{line}\n")
                }
            })
            .collect();
        let mut found = Vec::new();
        for (at, mark) in text.match_indices("crate::") {
            if text[..at].ends_with('$') {
                continue;
            }
            let line = text[..at].matches('\n').count() + 1;
            let rest = &text[at + mark.len()..];
            match rest.strip_prefix('{') {
                Some(group) => {
                    found.extend(group_heads(group).into_iter().map(|name| (line, name)));
                }
                None => found.push((line, name(rest))),
            }
        }
        found
    }
}

fn name(text: &str) -> String {
    text.chars()
        .take_while(|c| c.is_alphanumeric() || *c == '_')
        .collect()
}

/// The first name of each element of a `use` group, up to its closing brace.
fn group_heads(group: &str) -> Vec<String> {
    let (mut depth, mut fresh, mut heads) = (0_u32, true, Vec::new());
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => fresh = true,
            c if fresh && depth == 0 && (c.is_alphabetic() || c == '_') => {
                heads.push(name(&group[at..]));
                fresh = false;
            }
            _ => {}
        }
    }
    heads
}
