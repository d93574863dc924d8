//! Where servers get their cgroups: beside sidekick's own, in the part of the tree that was delegated to it.
//!
//! A cgroup that gives controllers to its children holds no process itself (the kernel's "no internal processes" rule). So
//! sidekick has to stand in a leaf: where a service manager put it into one called `supervisor` (systemd: `DelegateSubgroup=supervisor`)
//! its parent is the base; where it is alone in its cgroup it moves itself into such a leaf. The root of the whole tree is exempt.

use crate::guard::cgroup::{Cgroup, CgroupPlan};
use crate::types::Limits;
use std::fs;
use std::path::{Path, PathBuf};

/// The leaf in which sidekick and the guards stand.
const LEAF: &str = "supervisor";
/// The period of `cpu.max`, microseconds.
const CPU_PERIOD_US: u64 = 100_000;
/// What a refusal ends with.
const REMEDY: &str = "run sidekick as a systemd service with Delegate=yes and DelegateSubgroup=supervisor (or a container with a writable cgroup2), or remove `limits`";

/// The part of the tree in which servers get their cgroups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base {
    dir: PathBuf,
    /// Where sidekick moves first, so that the base holds no process.
    leaf: Option<PathBuf>,
}

impl Base {
    /// Finds it, without changing anything.
    ///
    /// # Errors
    /// Why there is none, with the remedy.
    pub fn find() -> Result<Self, String> {
        let read = |path: &str| {
            fs::read_to_string(path)
                .map_err(|error| format!("cannot read {path} ({error}); mount /proc"))
        };
        let mount = mount_point(&read("/proc/self/mountinfo")?)
            .ok_or_else(|| format!("no cgroup2 file system is mounted; {REMEDY}"))?;
        let own = own_path(&read("/proc/self/cgroup")?)
            .ok_or_else(|| format!("sidekick is in no cgroup of version 2; {REMEDY}"))?;
        Self::at(&mount.join(own), std::process::id() as i32)
    }

    fn at(own: &Path, me: i32) -> Result<Self, String> {
        let refuse = |why: String| Err(format!("{why}; {REMEDY}"));
        if !own.is_dir() {
            return refuse(format!(
                "sidekick's cgroup {} is outside of what is mounted",
                own.display()
            ));
        }
        let (dir, leaf) = match own.parent() {
            // Only the root of the whole tree has no type.
            _ if !own.join("cgroup.type").exists() => (own, None),
            Some(parent) if own.ends_with(LEAF) => (parent, None),
            _ => (own, Some(own.join(LEAF))),
        };
        if leaf.is_some() {
            let strangers = Cgroup::at(own.to_owned()).processes();
            if let Some(stranger) = strangers.iter().find(|pid| **pid != me) {
                return refuse(format!(
                    "sidekick shares its cgroup {} with process {stranger}",
                    own.display()
                ));
            }
        }
        let control = dir.join("cgroup.subtree_control");
        if rustix::fs::access(&control, rustix::fs::Access::WRITE_OK).is_err() || is_read_only(dir)
        {
            return refuse(format!(
                "the cgroup {} is not delegated to sidekick: it cannot be written",
                dir.display()
            ));
        }
        Ok(Self {
            dir: dir.to_owned(),
            leaf,
        })
    }

    /// Whether these controllers can be had.
    ///
    /// # Errors
    /// Which one not, with the remedy.
    pub fn offers(&self, controllers: &[&str]) -> Result<(), String> {
        let file = self.dir.join("cgroup.controllers");
        let there = fs::read_to_string(&file).unwrap_or_default();
        match controllers
            .iter()
            .find(|name| !there.split_whitespace().any(|word| word == **name))
        {
            None => Ok(()),
            Some(missing) => Err(format!(
                "the cgroup controller `{missing}` is not delegated to sidekick ({} holds: {}); {REMEDY}",
                file.display(),
                if there.trim().is_empty() {
                    "none"
                } else {
                    there.trim()
                }
            )),
        }
    }

    /// Makes the base ready: sidekick in its leaf, the controllers given to the children.
    ///
    /// # Errors
    /// What could not be done, with the remedy.
    pub fn enable(&self, controllers: &[&str]) -> Result<(), String> {
        self.offers(controllers)?;
        if let Some(leaf) = &self.leaf {
            let made = fs::create_dir(leaf)
                .or_else(|error| if leaf.is_dir() { Ok(()) } else { Err(error) });
            made.map_err(|error| {
                format!(
                    "cannot make the cgroup {} ({error}); {REMEDY}",
                    leaf.display()
                )
            })?;
            Cgroup::at(leaf.clone()).enter(std::process::id() as i32)?;
        }
        for name in controllers {
            let file = self.dir.join("cgroup.subtree_control");
            fs::write(&file, format!("+{name}")).map_err(|error| {
                format!(
                    "cannot give the controller `{name}` to {} ({error}); {REMEDY}",
                    file.display()
                )
            })?;
        }
        Ok(())
    }

    /// The cgroup of one start of a server.
    pub fn plan(&self, server: &str, start: &str, limits: &Limits) -> CgroupPlan {
        let mut settings = Vec::new();
        let mut set = |file: &str, value: String| settings.push((file.to_owned(), value));
        if let Some(high) = limits.memory_high {
            set("memory.high", high.to_string());
        }
        if let Some(max) = limits.memory {
            set("memory.max", max.to_string());
            // Half a server that lost one process is worth less than a crash that is seen.
            set("memory.oom.group", "1".to_owned());
            // A game that pages misses its ticks. Kernels without swap accounting lack the file.
            if self.offers_swap() {
                set("memory.swap.max", "0".to_owned());
            }
        }
        if let Some(millis) = limits.cpu_millis {
            let quota = (u64::from(millis) * CPU_PERIOD_US / 1000).max(1000);
            set("cpu.max", format!("{quota} {CPU_PERIOD_US}"));
        }
        if let Some(pids) = limits.pids {
            set("pids.max", pids.to_string());
        }
        CgroupPlan {
            dir: self.dir.join(format!("sidekick-{server}-{start}")),
            settings,
        }
    }

    fn offers_swap(&self) -> bool {
        let leaf = self.leaf.clone().unwrap_or_else(|| self.dir.join(LEAF));
        leaf.join("memory.swap.max").exists()
    }
}

fn is_read_only(dir: &Path) -> bool {
    rustix::fs::statvfs(dir)
        .is_ok_and(|fs| fs.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY))
}

/// Where cgroup2 is mounted: `36 25 0:30 / /sys/fs/cgroup rw - cgroup2 cgroup rw`.
fn mount_point(mountinfo: &str) -> Option<PathBuf> {
    mountinfo.lines().find_map(|line| {
        let (fields, kind) = line.split_once(" - ")?;
        kind.starts_with("cgroup2 ")
            .then(|| fields.split(' ').nth(4).map(PathBuf::from))?
    })
}

/// The path within it: `0::/system.slice/sidekick.service`.
fn own_path(cgroup: &str) -> Option<PathBuf> {
    let path = cgroup.lines().find_map(|line| line.strip_prefix("0::/"))?;
    Some(PathBuf::from(path.trim_end_matches(" (deleted)")))
}

#[cfg(test)]
mod tests;
