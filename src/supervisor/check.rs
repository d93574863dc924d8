//! What can be known to fail before anything is started: each with one clear message and the remedy.

use super::spec::ServerSpec;
use crate::types::matches;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Variables a server inherits from sidekick's environment; everything else (secrets above all) stays behind, unless
/// `inherit_env` names it.
const INHERITED: [&str; 5] = ["PATH", "LANG", "LC_*", "TZ", "TMPDIR"];
/// Of sidekick's own variables (its cookie is one) none is inherited, whatever `inherit_env` says.
const OWN: &str = "SIDEKICK_";
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
    let patterns: Vec<String> = INHERITED
        .map(str::to_owned)
        .into_iter()
        .chain(spec.contain.inherit_env.clone())
        .collect();
    // What is no text cannot be given on.
    let own = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let inherited = own
        .filter(|(name, _)| matches(name, &patterns) && !name.starts_with(OWN) && name != "HOME");
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
        let names = [INHERITED.as_slice(), &["HOME", "MINE"]].concat();
        let names: Vec<String> = names.into_iter().map(str::to_owned).collect();
        for (name, _) in &env {
            assert!(matches(name, &names), "{name}");
        }
        let cargo = |env: &[(String, String)]| {
            env.iter()
                .filter(|(name, _)| name.starts_with("CARGO_"))
                .count()
        };
        assert_eq!(cargo(&env), 0);
        spec.contain.inherit_env = vec!["CARGO_*".into()];
        assert!(cargo(&environment(&spec, Path::new("/h"))) > 0);
        assert!(env.contains(&("HOME".into(), "/h".into())));
    }
}
