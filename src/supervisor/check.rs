//! What can be known to fail before anything is started: each with one clear message and the remedy.

use super::spec::ServerSpec;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Variables a server inherits from sidekick's environment; everything else (secrets above all) stays behind.
const INHERITED: [&str; 8] = [
    "PATH",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "TZ",
    "TERM",
    "TMPDIR",
    "LD_LIBRARY_PATH",
];
/// Where programs are looked for when there is no `PATH`.
const DEFAULT_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// A command that can be executed, as far as can be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// The program, found.
    pub program: PathBuf,
    /// Something an operator should know that prevents nothing.
    pub warning: Option<String>,
}

/// Looks at program, directory and project. Touches the disk.
///
/// # Errors
/// A message with the remedy.
pub fn check(spec: &ServerSpec) -> Result<Checked, String> {
    let directory = spec.directory.as_deref();
    if let Some(directory) = directory.filter(|directory| !directory.is_dir()) {
        return Err(format!(
            "the working directory {} does not exist; set `directory` of server {} to one that does",
            directory.display(),
            spec.id
        ));
    }
    let Some(name) = spec.command.first().filter(|name| !name.is_empty()) else {
        return Err(format!("server {} has no command; set `command`", spec.id));
    };
    let path = spec
        .env
        .get("PATH")
        .cloned()
        .or_else(|| std::env::var("PATH").ok());
    let path = path.as_deref().unwrap_or(DEFAULT_PATH);
    let program = find(name, directory, path)?;
    let warning = if is_godot(name) {
        check_project(spec)?;
        (!on_path("addr2line", path)).then(|| {
            "addr2line is not on PATH: Godot's crash handler dies without a backtrace; install binutils".to_owned()
        })
    } else {
        None
    };
    Ok(Checked { program, warning })
}

fn find(name: &str, directory: Option<&Path>, path: &str) -> Result<PathBuf, String> {
    if name.contains('/') {
        let program =
            directory.map_or_else(|| PathBuf::from(name), |directory| directory.join(name));
        let shown = program.display();
        return match fs::metadata(&program) {
            Err(error) => Err(format!(
                "cannot find the program {shown} ({error}); correct `command`"
            )),
            Ok(meta) if meta.is_dir() => Err(format!(
                "{shown} is a directory; `command` must name a program"
            )),
            Ok(meta) if meta.permissions().mode() & 0o111 == 0 => {
                Err(format!("{shown} is not executable; run: chmod +x {shown}"))
            }
            Ok(_) => std::path::absolute(&program).map_err(|error| error.to_string()),
        };
    }
    lookup(name, path).ok_or_else(|| {
        format!("cannot find the program {name} on PATH ({path}); install it or write its whole path into `command`")
    })
}

fn lookup(name: &str, path: &str) -> Option<PathBuf> {
    std::env::split_paths(OsStr::new(path))
        .map(|directory| directory.join(name))
        .find(|file| {
            fs::metadata(file)
                .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
        })
}

fn on_path(name: &str, path: &str) -> bool {
    lookup(name, path).is_some()
}

fn is_godot(name: &str) -> bool {
    Path::new(name)
        .file_name()
        .is_some_and(|file| file.to_string_lossy().to_lowercase().contains("godot"))
}

/// Godot with a project that is not there prints one line and exits, or starts its project manager: say it better.
fn check_project(spec: &ServerSpec) -> Result<(), String> {
    let argument = |name: &str| {
        let at = spec.command.iter().position(|argument| argument == name)?;
        spec.command.get(at + 1)
    };
    if argument("--main-pack").is_some() {
        return Ok(());
    }
    let Some(project) = argument("--path") else {
        return Ok(());
    };
    let project = spec.directory.as_deref().map_or_else(
        || PathBuf::from(project),
        |directory| directory.join(project),
    );
    if project.join("project.godot").is_file() {
        return Ok(());
    }
    Err(format!(
        "there is no Godot project in {} (no project.godot); correct `--path` in the command of server {}",
        project.display(),
        spec.id
    ))
}

/// The whole environment of a server: what it inherits, its own home, what its spec says; the session's part comes on top.
pub fn environment(spec: &ServerSpec, home: &Path) -> Vec<(String, String)> {
    let inherited = INHERITED
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?)));
    let home = ("HOME".to_owned(), home.to_string_lossy().into_owned());
    let mut env: Vec<(String, String)> = inherited.chain([home]).collect();
    env.extend(
        spec.env
            .iter()
            .map(|(name, value)| (name.clone(), value.clone())),
    );
    env
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::ServerId;

    fn spec(command: &[&str]) -> ServerSpec {
        let id = ServerId::new("lobby").expect("valid");
        ServerSpec::new(id, command.iter().map(|word| (*word).to_owned()).collect())
    }

    #[test]
    fn each_fault_gets_its_message() {
        let dir = tempfile::tempdir().expect("tempdir");
        let plain = dir.path().join("plain");
        fs::write(&plain, "x").expect("writes");
        let plain = plain.to_string_lossy().into_owned();
        let godot = dir.path().join("my-godot");
        fs::write(&godot, "x").expect("writes");
        fs::set_permissions(&godot, fs::Permissions::from_mode(0o755)).expect("chmod");
        let godot = godot.to_string_lossy().into_owned();
        let missing_dir = ServerSpec {
            directory: Some("/nowhere".into()),
            ..spec(&["sh"])
        };
        let table = [
            (
                spec(&["no-such-program-here"]),
                "cannot find the program no-such-program-here on PATH",
            ),
            (spec(&["/no/such/program"]), "correct `command`"),
            (spec(&[&plain]), "chmod +x"),
            (spec(&[]), "set `command`"),
            (missing_dir, "set `directory`"),
            (spec(&[&godot, "--path", "nowhere"]), "no project.godot"),
        ];
        for (spec, message) in table {
            let error = check(&spec).expect_err("must fail");
            assert!(error.contains(message), "{error}");
        }
        assert!(check(&spec(&["sh"])).expect("found").program.is_absolute());
    }

    #[test]
    fn only_the_listed_variables_are_inherited() {
        let mut spec = spec(&["sh"]);
        spec.env.insert("MINE".into(), "1".into());
        let env = environment(&spec, Path::new("/h"));
        for (name, _) in &env {
            assert!(
                INHERITED.contains(&name.as_str()) || ["HOME", "MINE"].contains(&name.as_str()),
                "{name}"
            );
        }
        assert!(env.contains(&("HOME".into(), "/h".into())));
    }
}
