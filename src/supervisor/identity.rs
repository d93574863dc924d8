//! What exactly ran: the program's file, the project, sidekick's own build, and the spec without its secrets.

use super::fingerprint::hash;
use super::spec::ServerSpec;
use serde::Serialize;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::UNIX_EPOCH;

/// Longest project file that is looked at.
const PROJECT_MAX: u64 = 256 << 10;

/// The file that a process executes. Size and time tell one build from another without reading it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Program {
    /// Where it was.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// When it was last changed.
    pub modified_ms: Option<u64>,
}

impl Program {
    /// Of a running process.
    pub fn of(pid: i32) -> Option<Self> {
        let link = format!("/proc/{pid}/exe");
        let meta = fs::metadata(&link).ok()?;
        let modified = meta.modified().ok()?.duration_since(UNIX_EPOCH).ok();
        Some(Self {
            path: fs::read_link(&link).ok()?,
            bytes: meta.len(),
            modified_ms: modified.map(|since| since.as_millis() as u64),
        })
    }
}

/// Tells this build of sidekick from every other: a hash of the running file, made at the first question. Blocks.
pub fn build() -> &'static str {
    static BUILD: OnceLock<String> = OnceLock::new();
    BUILD.get_or_init(|| {
        // Also where the file has been replaced meanwhile.
        fs::read("/proc/self/exe").map_or_else(|_| "unknown".to_owned(), |bytes| hash(&bytes))
    })
}

/// Tells this spec from every other. Of the environment only the names count: values may be secrets, and a short secret could be
/// guessed from its hash.
pub fn spec(spec: &ServerSpec) -> String {
    let mut value = serde_json::to_value(spec).unwrap_or_default();
    value["env"] = spec.env.keys().cloned().collect();
    hash(value.to_string().as_bytes())
}

/// The name in the `project.godot` that the command names by `--path`. Blocks.
pub fn project(spec: &ServerSpec) -> Option<String> {
    let at = spec.command.iter().position(|word| word == "--path")?;
    let path = Path::new(spec.command.get(at + 1)?);
    let directory = spec.directory.as_deref().unwrap_or(Path::new("."));
    let file = fs::File::open(directory.join(path).join("project.godot")).ok()?;
    let mut text = String::new();
    file.take(PROJECT_MAX).read_to_string(&mut text).ok()?;
    let quoted = text
        .lines()
        .find_map(|line| line.trim().strip_prefix("config/name="))?;
    Some(quoted.trim_matches('"').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::ServerId;

    fn lobby() -> ServerSpec {
        let id = ServerId::new("lobby").expect("valid");
        ServerSpec::new(id, vec!["game".into(), "--path".into(), "game".into()])
    }

    #[test]
    fn a_spec_is_known_by_everything_but_its_secrets() {
        let with = |name: &str, value: &str| ServerSpec {
            env: [(name.to_owned(), value.to_owned())].into(),
            ..lobby()
        };
        assert_eq!(spec(&with("KEY", "a")), spec(&with("KEY", "b")));
        assert_ne!(spec(&with("KEY", "a")), spec(&with("OTHER", "a")));
        let other = ServerSpec {
            max_restarts: 9,
            ..lobby()
        };
        assert_ne!(spec(&lobby()), spec(&other));
    }

    #[test]
    fn the_project_is_the_one_of_the_command() {
        let dir = tempfile::tempdir().expect("tempdir");
        let spec = ServerSpec {
            directory: Some(dir.path().to_owned()),
            ..lobby()
        };
        assert_eq!(project(&spec), None);
        fs::create_dir(dir.path().join("game")).expect("makes");
        let text = "config_version=5\n\n[application]\n\nconfig/name=\"Zone\"\n";
        fs::write(dir.path().join("game/project.godot"), text).expect("writes");
        assert_eq!(project(&spec).as_deref(), Some("Zone"));
    }

    #[test]
    fn this_build_has_a_name() {
        assert_eq!(build().len(), 16);
        let own = Program::of(std::process::id() as i32).expect("exists");
        assert!(own.bytes > 0 && own.modified_ms.is_some());
    }
}
