//! The house style, enforced: who may import whom, sizes, docs, tests that neither sleep nor skip, nothing of
//! one machine in the tree. The table below is the drawing of docs/ARCHITECTURE.md in another form.

#![allow(clippy::unwrap_used)]

#[path = "support/source.rs"]
mod source;

use source::Source;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Rooms that every room may import.
const COMMON: [&str; 6] = [
    "types",
    "ports",
    "config",
    "telemetry",
    "shutdown",
    "failpoints",
];

/// Room, and what it may import beside [`COMMON`]. `*` is everything.
const ROOMS: &[(&str, &[&str])] = &[
    ("types", &[]),
    ("ports", &[]),
    ("config", &[]),
    ("telemetry", &[]),
    ("shutdown", &[]),
    ("failpoints", &[]),
    ("etf", &[]),
    ("dist", &["etf"]),
    ("node", &["dist", "etf"]),
    ("buffer", &[]),
    ("godot", &["buffer", "etf"]),
    ("guard", &[]),
    ("supervisor", &["guard"]),
    ("upload", &["buffer", "node", "etf"]),
    (
        "api",
        &["node", "supervisor", "buffer", "upload", "godot", "etf"],
    ),
    ("show", &[]),
    ("console", &["api", "node", "etf", "show"]),
    ("ctl", &["show"]),
    ("app", &["*"]),
    ("cli", &["*"]),
    ("main", &["*"]),
    ("lib", &["*"]),
];

/// Crates that only some paths may name (tests may compare with them).
const CRATES: &[(&str, &[&str])] = &[
    ("erl_dist", &["src/dist"]),
    ("rustls", &["src/dist/tls", "src/upload/postgres"]),
    ("tokio_rustls", &["src/upload/postgres"]),
    ("sled", &["src/buffer/index"]),
    ("erl_rpc", &["src/ctl"]),
    ("eetf", &["src/ctl", "src/dist"]),
    ("tokio_postgres", &["src/upload/postgres"]),
];

/// Longest file.
const LINES_MAX: usize = 500;
/// Half of the files of `src` are no longer than this.
const LINES_MEDIAN: usize = 150;

fn root() -> PathBuf {
    PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"))
}

fn rust() -> Vec<Source> {
    source::below(&root(), &["src", "tests", "benches"], &["rs"])
}

/// Fails with every complaint at once.
fn report(complaints: &[String]) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

fn room(path: &str) -> Option<&str> {
    let rest = path.strip_prefix("src/")?;
    Some(rest.split('/').next()?.trim_end_matches(".rs"))
}

#[test]
fn rooms_import_only_what_the_table_allows() {
    let mut complaints = Vec::new();
    for source in rust() {
        let Some(room) = room(&source.path) else {
            continue;
        };
        let Some((_, allowed)) = ROOMS.iter().find(|(name, _)| *name == room) else {
            complaints.push(format!(
                "{}: room `{room}` is not in the table of tests/tidy.rs and STYLE.md",
                source.path
            ));
            continue;
        };
        if allowed.contains(&"*") {
            continue;
        }
        // The vocabulary knows nothing else.
        let common: &[&str] = if room == "types" { &[] } else { &COMMON };
        for (line, imported) in source.crate_imports() {
            let known = ROOMS.iter().any(|(name, _)| *name == imported);
            if known
                && imported != room
                && !allowed.contains(&imported.as_str())
                && !common.contains(&imported.as_str())
            {
                complaints.push(format!(
                    "{}:{line}: `{room}` may not import `{imported}`",
                    source.path
                ));
            }
        }
    }
    report(&complaints);
}

#[test]
fn crates_are_named_only_in_their_place() {
    let mut complaints = Vec::new();
    for source in rust()
        .iter()
        .filter(|source| source.path.starts_with("src/"))
    {
        for (line, text) in source.code() {
            for (name, places) in CRATES {
                let named =
                    text.contains(&format!("{name}::")) || text.contains(&format!("use {name}"));
                if named && !places.iter().any(|place| source.path.starts_with(place)) {
                    complaints.push(format!(
                        "{}:{line}: only {places:?} may name the crate {name}",
                        source.path
                    ));
                }
            }
        }
    }
    report(&complaints);
}

/// What tests take away from a node no configuration can take away.
#[test]
fn only_the_node_knows_the_faults_that_tests_put_in() {
    let mut complaints = Vec::new();
    let product = rust().into_iter();
    for source in product.filter(|source| source.path.starts_with("src/")) {
        for (line, text) in source.code() {
            let named = text.contains("Faults") || text.contains(".faults");
            if named && !source.path.starts_with("src/node/") {
                complaints.push(format!("{}:{line}: names the faults of tests", source.path));
            }
        }
    }
    report(&complaints);
}

#[test]
fn files_are_short_and_say_what_they_are() {
    let mut complaints = Vec::new();
    let mut sizes = Vec::new();
    let dirs = [
        "src",
        "tests",
        "benches",
        "scripts",
        "elixir_frontend",
        "godot",
        ".ci",
    ];
    for source in source::below(&root(), &dirs, &["rs", "ex", "exs", "heex", "gd", "sh", ""]) {
        let lines = source.text.lines().count();
        if lines > LINES_MAX {
            complaints.push(format!(
                "{}: {lines} lines, at most {LINES_MAX}; split it",
                source.path
            ));
        }
        if source.path.starts_with("src/") {
            sizes.push(lines);
            if !source.text.starts_with("//!") && !source.path.ends_with("tests.rs") {
                complaints.push(format!("{}: begin with a module doc (`//!`)", source.path));
            }
        }
    }
    sizes.sort_unstable();
    let median = sizes[sizes.len() / 2];
    if median > LINES_MEDIAN {
        complaints.push(format!(
            "src: the median file has {median} lines, at most {LINES_MEDIAN}"
        ));
    }
    report(&complaints);
}

#[test]
fn tests_neither_skip_nor_sleep() {
    // Written apart, so that this file does not complain about itself.
    let skips = [
        concat!("#[ign", "ore"),
        concat!("@tag :sk", "ip"),
        concat!("@moduletag :sk", "ip"),
    ];
    let sleeps = [
        concat!("thread::sl", "eep"),
        concat!("time::sl", "eep("),
        concat!("Process.sl", "eep"),
        concat!(":timer.sl", "eep"),
    ];
    let mut complaints = Vec::new();
    for source in source::below(
        &root(),
        &["src", "tests", "elixir_frontend"],
        &["rs", "exs"],
    ) {
        let mut earlier = "";
        for (number, line, in_test) in source.lines_with_tests() {
            if skips.iter().any(|skip| line.contains(skip)) {
                complaints.push(format!(
                    "{}:{number}: a skipped check; mend or remove it",
                    source.path
                ));
            }
            // Where silence is the subject itself, a comment `sleep: REASON` says so.
            let reasoned = line.contains("sleep: ")
                || earlier.trim_start().starts_with("// sleep: ")
                || earlier.trim_start().starts_with("# sleep: ");
            if in_test && !reasoned && sleeps.iter().any(|sleep| line.contains(sleep)) {
                complaints.push(format!(
                    "{}:{number}: wait for the thing itself, not for time",
                    source.path
                ));
            }
            earlier = line;
        }
    }
    report(&complaints);
}

#[test]
fn nothing_of_one_machine_is_committed() {
    let paths = [
        concat!("/wo", "rk/"),
        concat!("/ro", "ot/"),
        concat!("/ho", "me/"),
    ];
    let hosts = [
        "deb.debian",
        "security.debian",
        "snapshot.debian",
        "repo.hex",
        "pypi",
        "pythonhosted",
        "npmjs",
        "proxy.golang",
    ]
    .map(|host| {
        format!(
            "{host}.{}",
            if host.ends_with("hex") { "pm" } else { "org" }
        )
    });
    let mut complaints = Vec::new();
    for source in source::below(&root(), &["."], &[]) {
        if source.path == "Cargo.lock" {
            continue;
        }
        for (index, line) in source.text.lines().enumerate() {
            let place = format!("{}:{}", source.path, index + 1);
            if let Some(path) = paths.iter().find(|path| begins_a_path(line, path)) {
                complaints.push(format!("{place}: `{path}` exists on one machine only"));
            }
            if let Some(host) = hosts.iter().find(|host| line.contains(host.as_str())) {
                complaints.push(format!("{place}: names the registry host {host}; take it from the machine's own settings"));
            }
        }
    }
    report(&complaints);
}

/// Whether a path of some machine begins there: Godot's node paths go on with a capital letter, and what goes on
/// with a variable is no fixed place.
fn begins_a_path(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        let (before, after) = (&line[..at], &line[at + path.len()..]);
        let within = |c: char| c.is_alphanumeric() || "/._-~}*$".contains(c);
        !before.ends_with(within)
            && after.starts_with(|c: char| c.is_ascii_lowercase() || c == '.' || c == '_')
    })
}

#[test]
fn peers_never_make_atoms() {
    let makers = [
        "String.to_atom(",
        "binary_to_atom(",
        "list_to_atom(",
        "List.to_atom(",
    ];
    let mut complaints = Vec::new();
    for source in source::below(&root(), &["elixir_frontend"], &["ex"]) {
        for (index, line) in source.text.lines().enumerate() {
            if !line.trim_start().starts_with('#')
                && makers.iter().any(|maker| line.contains(maker))
                && !line.contains("# atoms: ")
            {
                complaints.push(format!(
                    "{}:{}: atoms are never collected; say why here with `# atoms: REASON`",
                    source.path,
                    index + 1
                ));
            }
        }
    }
    report(&complaints);
}

#[test]
fn the_rules_see_what_they_should() {
    let source = Source {
        path: "src/etf/x.rs".into(),
        text: "//! x\nuse crate::{buffer::Buffer, types};\n// crate::node\nfn f() { crate::dist::g(); }\n#[cfg(test)]\nmod tests { use crate::api; }\n".into(),
    };
    let mut seen = String::new();
    for (line, imported) in source.crate_imports() {
        write!(seen, "{line}:{imported} ").unwrap();
    }
    assert_eq!(seen, "2:buffer 2:types 4:dist 6:api ");
    assert_eq!(source.code().last().unwrap().0, 4);
    assert!(begins_a_path(
        &format!("cd {}x", concat!("/wo", "rk/")),
        concat!("/wo", "rk/")
    ));
    assert!(!begins_a_path(
        &format!("$dir{}x", concat!("/wo", "rk/")),
        concat!("/wo", "rk/")
    ));
    assert!(Path::new(&root()).join("Cargo.toml").is_file());
}
