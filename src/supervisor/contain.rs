//! What containment asks of the machine: the user and the way to its home, found before anything is started.

use super::cgroups::Base;
use super::spec::ServerSpec;
use crate::guard::privs::{Ids, Privs};
use crate::types::{Contain, looks_secret, matches};
use nix::unistd::{Gid, Group, Uid, User};
use std::ffi::CString;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

/// A value shorter than this is not masked: it would be found in every other line.
const SECRET_MIN: usize = 6;
/// Values that are masked; more are none.
const SECRETS_MAX: usize = 256;

/// What keeps the servers from being contained as they ask, one sentence each, as seen by this very process.
pub fn faults(specs: &[ServerSpec]) -> Vec<String> {
    let one = |spec: &ServerSpec| {
        let say = |message: String| format!("server {}: {message}", spec.id);
        let user = privs(&spec.contain).err().map(say);
        let cgroup = spec.contain.limits.controllers().and_then(|controllers| {
            let base = Base::find().and_then(|base| base.offers(&controllers));
            base.err().map(say)
        });
        user.into_iter().chain(cgroup)
    };
    specs.iter().flat_map(one).collect()
}

/// What the stub is to make of itself.
///
/// # Errors
/// Where there is no such user or no right to become it.
pub fn privs(contain: &Contain) -> Result<Privs, String> {
    Ok(Privs {
        user: contain.user.as_deref().map(ids).transpose()?,
        no_new_privs: contain.forbids_privs(),
        limits: contain.limits.clone(),
    })
}

fn ids(text: &str) -> Result<Ids, String> {
    let (user, group) = match text.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (text, None),
    };
    let missing =
        |what: &str, name: &str| format!("there is no {what} {name:?}; make it, or correct `user`");
    let known = match user.parse::<u32>() {
        Ok(uid) => User::from_uid(Uid::from_raw(uid)),
        Err(_) => User::from_name(user),
    };
    let known = known
        .map_err(|error| format!("cannot look up the user {user:?} ({error}); write its number"))?;
    let uid = match (&known, user.parse::<u32>()) {
        (Some(known), _) => known.uid.as_raw(),
        (None, Ok(uid)) => uid,
        (None, Err(_)) => return Err(missing("user", user)),
    };
    let gid = match group.map(|group| (group, group.parse::<u32>())) {
        Some((_, Ok(gid))) => gid,
        Some((group, Err(_))) => {
            let found = Group::from_name(group).ok().flatten();
            found.ok_or_else(|| missing("group", group))?.gid.as_raw()
        }
        None => match &known {
            Some(known) => known.gid.as_raw(),
            None => {
                return Err(format!(
                    "user {uid} is in no user database, so its group is unknown; write user = \"{uid}:GROUP\""
                ));
            }
        },
    };
    let name = known.and_then(|known| CString::new(known.name).ok());
    let groups = name.and_then(|name| nix::unistd::getgrouplist(&name, Gid::from_raw(gid)).ok());
    let groups = groups.map_or_else(
        || vec![gid],
        |groups| groups.into_iter().map(Gid::as_raw).collect(),
    );
    let own = rustix::process::geteuid();
    if !own.is_root() && uid != own.as_raw() {
        return Err(format!(
            "sidekick runs as user {} and cannot become {text}; run sidekick as root or remove `user`",
            own.as_raw()
        ));
    }
    Ok(Ids { uid, gid, groups })
}

/// Gives a server's user its home, and a way to it: sidekick's own two directories above may be passed, not listed.
///
/// # Errors
/// Which directory keeps the user out, with the remedy.
pub fn give_home(home: &Path, ids: &Ids) -> Result<(), String> {
    nix::unistd::chown(
        home,
        Some(Uid::from_raw(ids.uid)),
        Some(Gid::from_raw(ids.gid)),
    )
    .map_err(|error| {
        format!(
            "cannot give {} to user {} ({error}); make its file system take owners",
            home.display(),
            ids.uid
        )
    })?;
    for dir in home.ancestors().skip(1).take(2) {
        let Ok(meta) = fs::metadata(dir) else {
            continue;
        };
        let mode = meta.permissions().mode() & 0o7777;
        if meta.uid() == rustix::process::geteuid().as_raw() && mode & 0o011 != 0o011 {
            fs::set_permissions(dir, fs::Permissions::from_mode(mode | 0o011)).map_err(
                |error| {
                    format!(
                        "cannot let user {} pass {} ({error}); run: chmod a+x {}",
                        ids.uid,
                        dir.display(),
                        dir.display()
                    )
                },
            )?;
        }
    }
    passable(home, ids)
}

/// Whether the user can come to the directory in which this lies.
///
/// # Errors
/// Which directory keeps it out, with the remedy.
pub fn passable(path: &Path, ids: &Ids) -> Result<(), String> {
    if ids.uid == 0 {
        return Ok(());
    }
    for dir in path.ancestors().skip(1) {
        let Ok(meta) = fs::metadata(dir) else {
            continue;
        };
        let bit = match (meta.uid() == ids.uid, ids.groups.contains(&meta.gid())) {
            (true, _) => 0o100,
            (false, true) => 0o010,
            (false, false) => 0o001,
        };
        if meta.permissions().mode() & bit == 0 {
            let (dir, mode) = (dir.display(), meta.permissions().mode() & 0o7777);
            return Err(format!(
                "user {} cannot pass {dir} (mode {mode:o}) on the way to {}; run: chmod a+x {dir}, or move [run] dir",
                ids.uid,
                path.display()
            ));
        }
    }
    Ok(())
}

/// The values in an environment that no line may show.
pub fn secrets(env: &[(String, String)], contain: &Contain) -> Vec<String> {
    let secret = |name: &str| looks_secret(name) || matches(name, &contain.secret_env);
    let values = env.iter().filter(|(name, _)| secret(name));
    // A line never holds a value of several lines, but each of them.
    let lines = values.flat_map(|(_, value)| value.lines().map(str::trim));
    let mut found: Vec<String> = lines
        .filter(|value| value.len() >= SECRET_MIN)
        .map(str::to_owned)
        .collect();
    // The longest first: one may hold another.
    found.sort_by_key(|value| std::cmp::Reverse(value.len()));
    found.dedup();
    found.truncate(SECRETS_MAX);
    found
}

#[cfg(test)]
mod tests;
