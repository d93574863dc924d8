//! Who may come to the session socket: sidekick's own user, root, and the users of servers.
#![allow(clippy::unwrap_used)]

#[path = "support/player.rs"]
#[allow(dead_code)]
mod player;
#[path = "support/session.rs"]
#[allow(dead_code)]
mod session;

use player::hello;
use session::Stage;
use sidekick::godot::SessionLimits;
use sidekick::godot::frame::frame;
use sidekick::ports::Sessions as _;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;

const KNOCK: &str = "KNOCK_AT";

/// The side of another user: says hello with the right token, and ends well where it is welcomed.
#[test]
fn knocker() {
    let Ok(socket) = std::env::var(KNOCK) else {
        return;
    };
    let knock = || -> std::io::Result<Vec<u8>> {
        let mut stream = std::os::unix::net::UnixStream::connect(socket)?;
        stream.write_all(&frame(&hello("lobby", "right", 0, false)))?;
        let mut answer = [0; 256];
        let count = stream.read(&mut answer)?;
        Ok(answer[..count].to_vec())
    };
    let answer = knock().unwrap_or_default();
    let welcome = answer.windows(7).any(|word| word == b"welcome");
    std::process::exit(if welcome { 0 } else { 77 });
}

/// Another user comes to the socket only once a server runs as it, and then with its token alone. Without root there is no other
/// user to be: then we ourselves must be let in, before and after.
#[tokio::test(flavor = "multi_thread")]
async fn users_of_servers_are_admitted_and_others_are_not() {
    let stage = Stage::open(false, SessionLimits::default()).await;
    stage.activate("right").await;
    let root = rustix::process::geteuid().is_root();
    // Where the other user can reach it: the tests' own place may be private.
    let knocker = stage.dir.path().join("knocker");
    std::fs::copy(std::env::current_exe().unwrap(), &knocker).unwrap();
    let open = |path: &std::path::Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    open(&knocker, 0o755);
    open(stage.dir.path(), 0o711);
    let knock = |user: u32| {
        let mut command = std::process::Command::new(&knocker);
        command
            .args(["knocker", "--exact"])
            .env(KNOCK, stage.socket())
            .current_dir("/");
        if root {
            command.uid(user).gid(user);
        }
        let status =
            tokio::task::block_in_place(|| command.stdout(std::process::Stdio::null()).status());
        status.unwrap().success()
    };
    let (game, stranger) = (65_534, 54_321);
    assert_eq!(knock(game), !root);
    stage.sessions.admit(game);
    let mode = std::fs::metadata(stage.socket())
        .unwrap()
        .permissions()
        .mode()
        & 0o777;
    assert_eq!(mode, 0o666);
    assert!(knock(game));
    assert_eq!(knock(stranger), !root);
}
