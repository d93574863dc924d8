//! What a server may do: limits and user, taken on by the stub before it becomes the server.

use crate::types::Limits;
use nix::unistd::{Gid, Uid};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::{Deserialize, Serialize};

/// Whom the server runs as.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ids {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// All groups.
    pub groups: Vec<u32>,
}

/// What the stub makes of itself.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Privs {
    /// Another user; `None`: that of the guard.
    pub user: Option<Ids>,
    /// Neither it nor what it executes gains rights.
    pub no_new_privs: bool,
    /// Its rlimits; those of a cgroup are the guard's matter.
    pub limits: Limits,
}

impl Privs {
    /// Takes them on, for good. The process must have one thread.
    ///
    /// # Errors
    /// A message with the remedy; nothing may be executed then.
    pub fn take_on(&self) -> Result<(), String> {
        let Limits {
            nofile,
            nproc,
            core,
            address_space,
            ..
        } = self.limits;
        // Before the user changes: only root may raise a hard limit.
        for (name, resource, value) in [
            ("nofile", Resource::Nofile, nofile),
            ("nproc", Resource::Nproc, nproc),
            ("core", Resource::Core, core),
            ("address_space", Resource::As, address_space),
        ] {
            if let Some(value) = value {
                limit(name, resource, value)?;
            }
        }
        if let Some(ids) = &self.user {
            become_user(ids)?;
        }
        if self.no_new_privs {
            rustix::thread::set_no_new_privs(true).map_err(|error| {
                format!("cannot give up new privileges ({error}); set no_new_privs = false")
            })?;
        }
        Ok(())
    }
}

fn limit(name: &str, resource: Resource, value: u64) -> Result<(), String> {
    let value = Some(value).filter(|value| *value != crate::types::UNLIMITED);
    let new = Rlimit {
        current: value,
        maximum: value,
    };
    setrlimit(resource, new).map_err(|error| {
        let shown = |value: Option<u64>| value.map_or("unlimited".to_owned(), |n| n.to_string());
        let hard = shown(getrlimit(resource).maximum);
        format!(
            "cannot set limits.{name} to {} ({error}; the hard limit of sidekick is {hard}); lower it, or raise sidekick's own",
            shown(value)
        )
    })
}

/// Groups first, as afterwards there is no right to change them; then a look whether it is so, and for good.
fn become_user(ids: &Ids) -> Result<(), String> {
    let (uid, gid) = (Uid::from_raw(ids.uid), Gid::from_raw(ids.gid));
    let groups: Vec<Gid> = ids.groups.iter().copied().map(Gid::from_raw).collect();
    let failed = |error: nix::errno::Errno| {
        format!(
            "cannot become user {uid}, group {gid} ({error}); run sidekick as root or remove `user`"
        )
    };
    nix::unistd::setgroups(&groups).map_err(failed)?;
    nix::unistd::setresgid(gid, gid, gid).map_err(failed)?;
    nix::unistd::setresuid(uid, uid, uid).map_err(failed)?;
    let users = nix::unistd::getresuid().map_err(failed)?;
    let held = nix::unistd::getresgid().map_err(failed)?;
    let now = nix::unistd::getgroups().map_err(failed)?;
    let same = [users.real, users.effective, users.saved] == [uid; 3]
        && [held.real, held.effective, held.saved] == [gid; 3]
        && now.iter().all(|group| groups.contains(group));
    let back = !uid.is_root() && nix::unistd::setuid(Uid::from_raw(0)).is_ok();
    if !same || back {
        return Err(format!(
            "the kernel did not hold this process to user {uid}, group {gid}; nothing was executed"
        ));
    }
    Ok(())
}
