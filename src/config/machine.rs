//! What a configuration names must be there: programs, working directories, Godot projects.

use super::model::{Config, ServerConfig};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The first thing that is missing, with the remedy.
pub(super) fn check(config: &Config) -> Result<(), String> {
    config.servers.iter().try_for_each(server)
}

fn server(server: &ServerConfig) -> Result<(), String> {
    let id = &server.id;
    if !server.directory.is_dir() {
        return Err(format!(
            "the working directory {} of server {id:?} does not exist; make it, or set `directory`",
            server.directory.display()
        ));
    }
    program(server)?;
    if let Some(project) = godot_project(server) {
        if !project.join("project.godot").is_file() && !project.is_file() {
            return Err(format!(
                "server {id:?} is to run the Godot project {}, but there is no project.godot; correct `--path` (it starts at {})",
                project.display(),
                server.directory.display()
            ));
        }
    }
    Ok(())
}

fn program(server: &ServerConfig) -> Result<(), String> {
    let (id, program) = (&server.id, &server.command[0]);
    if program.contains('/') {
        return match std::fs::metadata(program) {
            Err(error) => Err(format!(
                "the program {program} of server {id:?} cannot be started: {error}; correct `command`"
            )),
            Ok(metadata) if !metadata.is_file() || metadata.permissions().mode() & 0o111 == 0 => {
                Err(format!(
                    "the program {program} of server {id:?} is not an executable file; run  chmod +x {program}  or correct `command`"
                ))
            }
            Ok(_) => Ok(()),
        };
    }
    let path = server
        .env
        .expose()
        .get("PATH")
        .map(Into::into)
        .or_else(|| std::env::var_os("PATH"));
    let found = path.is_some_and(|path| {
        std::env::split_paths(&path).any(|directory| {
            std::fs::metadata(directory.join(program)).is_ok_and(|metadata| {
                metadata.is_file() && metadata.permissions().mode() & 0o111 != 0
            })
        })
    });
    if found {
        Ok(())
    } else {
        Err(format!(
            "the program {program:?} of server {id:?} is not in PATH; install it, write its full path in `command`, or run  \
             eval \"$(./scripts/setup --env)\"  first"
        ))
    }
}

/// The project that a Godot command names with `--path`.
fn godot_project(server: &ServerConfig) -> Option<PathBuf> {
    let program = Path::new(&server.command[0])
        .file_name()?
        .to_string_lossy()
        .to_lowercase();
    if !program.contains("godot") {
        return None;
    }
    let at = server
        .command
        .iter()
        .position(|argument| argument == "--path")?;
    server
        .command
        .get(at + 1)
        .map(|project| server.directory.join(project))
}
