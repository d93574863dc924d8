//! `[[sink]] kind = "postgres"`: where its connection string is, and whether names can be names.

use super::build::Context;
use super::error::Fault;
use super::model::{DatabaseUrl, PostgresConfig, UrlSource};
use super::raw::RawSink;
use std::collections::BTreeSet;
use std::io::Read;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use toml::Spanned;

/// A file larger than this is surely something else.
const FILE_MAX: u64 = 4096;
/// What PostgreSQL keeps of a name.
const NAME_MAX: usize = 63;
/// Connections of one sink.
const CONNECTIONS: std::ops::RangeInclusive<u32> = 1..=32;

pub(super) fn build(
    sink: &mut RawSink,
    whole: &Range<usize>,
    context: &mut Context<'_>,
) -> Result<PostgresConfig, Fault> {
    let url = url(sink, whole, context)?;
    if let Some(node) = sink.nodes.first() {
        return Err(Fault::at(
            node.span(),
            "a sink of kind \"postgres\" has no nodes; remove `nodes`",
        ));
    }
    let fault = |message: String| Fault::at(whole.clone(), message);
    let tables = sink.tables.take().unwrap_or_default();
    let columns = sink.columns.take().unwrap_or_default();
    for (what, name) in tables.each() {
        let parts: Vec<_> = name.split('.').collect();
        if parts.len() > 2 || !parts.iter().all(|part| is_name(part)) {
            return Err(fault(not_a_name("tables", what, name)));
        }
    }
    for (what, name) in columns.each() {
        if !is_name(name) {
            return Err(fault(not_a_name("columns", what, name)));
        }
    }
    if let Some(name) = twice(tables.each().map(|(_, name)| name)) {
        return Err(fault(format!(
            "two `tables` are named {name:?}; give each its own"
        )));
    }
    if let Some(name) = twice(columns.each().map(|(_, name)| name)) {
        return Err(fault(format!(
            "two `columns` are named {name:?}; give each its own"
        )));
    }
    if sink.cert_file.is_some() != sink.key_file.is_some() {
        return Err(fault(
            "`cert_file` and `key_file` belong together; give both, or neither".to_owned(),
        ));
    }
    let connections = match sink.connections.take() {
        Some(count) if !CONNECTIONS.contains(count.get_ref()) => {
            return Err(Fault::at(
                count.span(),
                "`connections` must be from 1 to 32",
            ));
        }
        count => count.map_or(4, Spanned::into_inner),
    };
    let path = |path: Option<Spanned<PathBuf>>| {
        path.map(|path| context.file_path(path.span(), path.get_ref()))
            .transpose()
    };
    Ok(PostgresConfig {
        url,
        ca_file: path(sink.ca_file.take())?,
        cert_file: path(sink.cert_file.take())?,
        key_file: path(sink.key_file.take())?,
        payload: sink.payload.take().unwrap_or_default(),
        connections,
        tables,
        columns,
    })
}

/// Refuses what only a sink of kind `postgres` has.
pub(super) fn refuse(sink: &RawSink, whole: &Range<usize>) -> Result<(), Fault> {
    let keys = [
        ("url_file", sink.url_file.is_some()),
        ("url_env", sink.url_env.is_some()),
        ("ca_file", sink.ca_file.is_some()),
        ("cert_file", sink.cert_file.is_some()),
        ("key_file", sink.key_file.is_some()),
        ("payload", sink.payload.is_some()),
        ("connections", sink.connections.is_some()),
        ("tables", sink.tables.is_some()),
        ("columns", sink.columns.is_some()),
    ];
    match keys.iter().find(|(_, there)| *there) {
        None => Ok(()),
        Some((key, _)) => Err(Fault::at(
            whole.clone(),
            format!(
                "`{key}` is for sinks of kind \"postgres\"; remove it, or write kind = \"postgres\""
            ),
        )),
    }
}

fn url(
    sink: &mut RawSink,
    whole: &Range<usize>,
    context: &mut Context<'_>,
) -> Result<DatabaseUrl, Fault> {
    match (sink.url_file.take(), sink.url_env.take()) {
        (Some(file), None) => {
            let span = file.span();
            let path = context.file_path(span.clone(), file.get_ref())?;
            let text = read_file(&path, context).map_err(|message| Fault::at(span, message))?;
            Ok(DatabaseUrl::new(text.trim(), UrlSource::File(path)))
        }
        (None, Some(name)) => {
            let text = std::env::var(name.get_ref()).map_err(|_| {
                Fault::at(
                    name.span(),
                    format!(
                        "the environment has no {}, which should hold the sink's connection string; set it, or use `url_file`",
                        name.get_ref()
                    ),
                )
            })?;
            Ok(DatabaseUrl::new(
                text.trim(),
                UrlSource::Environment(name.into_inner()),
            ))
        }
        _ => Err(Fault::at(
            whole.clone(),
            "a sink of kind \"postgres\" needs one of `url_file` (a file of mode 0400 that holds such as \
             postgres://USER:PASSWORD@HOST:5432/DATABASE) and `url_env` (the name of an environment variable that does)",
        )),
    }
}

fn read_file(path: &Path, context: &mut Context<'_>) -> Result<String, String> {
    let name = path.display();
    let unreadable = |error: std::io::Error| {
        format!(
            "the file {name} with the sink's connection string cannot be read: {error}; name the right one with `url_file`"
        )
    };
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() || metadata.len() > FILE_MAX {
        return Err(format!(
            "{name} is no file that holds one connection string; name the right one with `url_file`"
        ));
    }
    if metadata.mode() & 0o077 != 0 {
        context.warnings.push(format!(
            "the file {name} with the sink's connection string is open to other users (mode {:03o}); run  chmod 400 {name}",
            metadata.mode() & 0o777
        ));
    }
    let mut text = String::new();
    file.take(FILE_MAX)
        .read_to_string(&mut text)
        .map_err(unreadable)?;
    Ok(text)
}

/// Names that stand quoted in SQL, so no quotes in them; and lower case, as unquoted ones become.
fn is_name(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    !name.is_empty()
        && name.len() <= NAME_MAX
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.chars().all(fits)
}

fn not_a_name(section: &str, what: &str, name: &str) -> String {
    format!(
        "`{section}.{what}` cannot be {name:?}; names have up to {NAME_MAX} lower-case letters, digits and _, those of tables also a \
         schema and a dot before"
    )
}

fn twice<const N: usize>(names: [&str; N]) -> Option<&str> {
    let mut seen = BTreeSet::new();
    names.into_iter().find(|name| !seen.insert(*name))
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, Overrides, PayloadForm, SinkKind};
    use std::os::unix::fs::PermissionsExt;

    /// A configuration with this sink, beside a file `url` that only its owner may read.
    fn parse(sink: &str) -> Result<Config, String> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("url");
        std::fs::write(&file, "postgres://me:hush@127.0.0.1/game\n").unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o400)).unwrap();
        let overrides = Overrides {
            cookie: Some("cookie".to_owned()),
            ..Overrides::default()
        };
        let text = format!("[[sink]]\nname = \"db\"\n{sink}");
        Config::parse(&text, &dir.path().join("sidekick.toml"), &overrides)
            .map_err(|error| error.to_string())
    }

    const GIVEN: &str = "kind = \"postgres\"\nurl_file = \"url\"\n";

    #[test]
    fn the_connection_string_is_read_and_shows_nowhere() {
        let own = "payload = \"bytea\"\ntables = { records = \"game.matches\" }\ncolumns = { seq = \"number\" }\n";
        let config = parse(&format!("{GIVEN}{own}")).unwrap();
        let SinkKind::Postgres(postgres) = &config.sinks[0].kind else {
            panic!("it is of another kind")
        };
        assert_eq!(postgres.url.expose(), "postgres://me:hush@127.0.0.1/game");
        assert_eq!(postgres.payload, PayloadForm::Bytea);
        assert_eq!(postgres.tables.records, "game.matches");
        assert_eq!(postgres.columns.seq, "number");
        assert_eq!(config.warnings, [""; 0]);
        for shown in [format!("{config:?}"), config.effective()] {
            assert!(shown.contains("url") && !shown.contains("hush"), "{shown}");
        }
        let shown = config.effective();
        assert!(
            shown.contains("url_file = ") && shown.contains("\"game.matches\""),
            "{shown}"
        );
    }

    #[test]
    fn another_password_is_another_configuration() {
        let (one, mut other) = (parse(GIVEN).unwrap(), parse(GIVEN).unwrap());
        assert!(!one.other_sections(&one).contains(&"sink"));
        let SinkKind::Postgres(postgres) = &mut other.sinks[0].kind else {
            panic!("it is of another kind")
        };
        let SinkKind::Postgres(before) = &one.sinks[0].kind else {
            panic!("it is of another kind")
        };
        *postgres = before.clone();
        assert!(!one.other_sections(&other).contains(&"sink"));
        let SinkKind::Postgres(postgres) = &mut other.sinks[0].kind else {
            panic!("it is of another kind")
        };
        postgres.url = crate::config::DatabaseUrl::new(
            "postgres://me:other@127.0.0.1/game",
            postgres.url.source().clone(),
        );
        assert!(one.other_sections(&other).contains(&"sink"));
    }

    #[test]
    fn what_is_wrong_is_told() {
        for (more, part) in [
            ("nodes = [\"f@127.0.0.1\"]\n", "has no nodes"),
            (
                "tables = { records = \"a\\\"b\" }\n",
                "`tables.records` cannot be",
            ),
            (
                "tables = { state = \"a.b.c\" }\n",
                "`tables.state` cannot be",
            ),
            (
                "tables = { state = \"sidekick_store\" }\n",
                "two `tables` are named",
            ),
            ("columns = { seq = \"Seq\" }\n", "`columns.seq` cannot be"),
            (
                "columns = { seq = \"stream\" }\n",
                "two `columns` are named",
            ),
            ("cert_file = \"x\"\n", "belong together"),
            ("connections = 0\n", "from 1 to 32"),
            ("url_env = \"X\"\n", "needs one of `url_file`"),
        ] {
            let told = parse(&format!("{GIVEN}{more}")).unwrap_err();
            assert!(told.contains(part), "{more}: {told}");
        }
        let told = parse("kind = \"postgres\"\nurl_file = \"none\"\n").unwrap_err();
        assert!(told.contains("cannot be read"), "{told}");
        let told = parse("kind = \"postgres\"\nurl_env = \"SIDEKICK_NOWHERE\"\n").unwrap_err();
        assert!(told.contains("has no SIDEKICK_NOWHERE"), "{told}");
        let beam = "kind = \"beam\"\nnodes = [\"f@127.0.0.1\"]\nurl_file = \"url\"\n";
        let told = parse(beam).unwrap_err();
        assert!(
            told.contains("`url_file` is for sinks of kind \"postgres\""),
            "{told}"
        );
        let told = parse("kind = \"mongo\"\n").unwrap_err();
        assert!(told.contains("write \"beam\" or \"postgres\""), "{told}");
    }
}
