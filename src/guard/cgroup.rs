//! The cgroup (version 2) of one server: made before the server exists, entered before its first instruction, killed and
//! removed with it.
//!
//! The guard makes it, since the guard is there as long as the server. It writes the number of the waiting stub into it, so that
//! everything the server forks is born inside. `cgroup.kill` (Linux 5.14) ends all of it at once, faster than it can fork.

use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// What is to be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CgroupPlan {
    /// The directory, which does not exist yet.
    pub dir: PathBuf,
    /// Files in it and what is written into them, in this order.
    pub settings: Vec<(String, String)>,
}

/// A cgroup that exists.
#[derive(Debug)]
pub struct Cgroup {
    dir: PathBuf,
}

impl Cgroup {
    /// Makes it and sets its bounds.
    ///
    /// # Errors
    /// A message with the remedy; nothing is left of it then.
    pub fn make(plan: &CgroupPlan) -> Result<Self, String> {
        fs::create_dir(&plan.dir).map_err(|error| {
            format!(
                "cannot make the cgroup {} ({error}); delegate cgroups to sidekick (systemd: Delegate=yes) or remove `limits`",
                plan.dir.display()
            )
        })?;
        let cgroup = Self::at(plan.dir.clone());
        for (file, value) in &plan.settings {
            let path = plan.dir.join(file);
            // Opened without making it: what is missing is a kernel without that controller, not a new file.
            let written = fs::OpenOptions::new().write(true).open(&path);
            if let Err(error) =
                written.and_then(|mut file| io::Write::write_all(&mut file, value.as_bytes()))
            {
                cgroup.remove();
                return Err(format!(
                    "cannot write {value} to {} ({error}); delegate the controller to sidekick or remove the limit",
                    path.display()
                ));
            }
        }
        Ok(cgroup)
    }

    /// One that exists already.
    pub fn at(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// Its directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Puts a process in.
    pub fn enter(&self, pid: i32) -> Result<(), String> {
        let file = self.dir.join("cgroup.procs");
        fs::write(&file, pid.to_string()).map_err(|error| {
            format!(
                "cannot put the server into its cgroup ({}: {error}); run sidekick in a cgroup that is delegated to it",
                file.display()
            )
        })
    }

    /// SIGKILL to everything in it, at once; false where the kernel cannot.
    pub fn kill(&self) -> bool {
        let file = fs::OpenOptions::new()
            .write(true)
            .open(self.dir.join("cgroup.kill"));
        file.and_then(|mut file| io::Write::write_all(&mut file, b"1"))
            .is_ok()
    }

    /// How many processes in it the kernel has killed for want of memory.
    pub fn oom_kills(&self) -> u64 {
        let text = fs::read_to_string(self.dir.join("memory.events")).unwrap_or_default();
        let count = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
        count
            .and_then(|count| count.trim().parse().ok())
            .unwrap_or(0)
    }

    /// Numbers of the processes in it.
    pub fn processes(&self) -> Vec<i32> {
        let text = fs::read_to_string(self.dir.join("cgroup.procs")).unwrap_or_default();
        text.lines().filter_map(|line| line.parse().ok()).collect()
    }

    /// Removes it; false where something is still in it.
    pub fn remove(&self) -> bool {
        match fs::remove_dir(&self.dir) {
            Ok(()) => true,
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn oom_kills_are_counted_from_the_kernels_words() {
        let dir = tempfile::tempdir().expect("tempdir");
        let cgroup = Cgroup::at(dir.path().to_owned());
        assert_eq!(cgroup.oom_kills(), 0);
        let events = "low 0\nhigh 31\nmax 12\noom 3\noom_kill 2\noom_group_kill 1\n";
        fs::write(dir.path().join("memory.events"), events).expect("writes");
        assert_eq!(cgroup.oom_kills(), 2);
    }

    #[test]
    fn a_setting_that_the_kernel_lacks_is_named_and_nothing_is_left() {
        let dir = tempfile::tempdir().expect("tempdir");
        let plan = CgroupPlan {
            dir: dir.path().join("server"),
            settings: vec![("memory.max".into(), "1".into())],
        };
        let error = Cgroup::make(&plan).expect_err("no such file");
        assert!(
            error.contains("memory.max") && error.contains("remove the limit"),
            "{error}"
        );
        assert!(!plan.dir.exists());
    }
}
