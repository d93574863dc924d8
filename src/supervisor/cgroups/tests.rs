//! Bases and settings, on directories that look like cgroups.

use super::*;

/// A directory that looks like a cgroup that is not the root.
fn cgroup(dir: &Path, processes: &str) {
    fs::create_dir_all(dir).expect("makes");
    for (file, text) in [
        ("cgroup.type", "domain\n"),
        ("cgroup.procs", processes),
        ("cgroup.controllers", "cpu memory pids\n"),
        ("cgroup.subtree_control", ""),
    ] {
        fs::write(dir.join(file), text).expect("writes");
    }
}

#[test]
fn the_kernels_words_are_read() {
    let mountinfo = "30 24 0:26 / /sys/fs/cgroup ro - tmpfs tmpfs rw\n36 30 0:31 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";
    assert_eq!(
        mount_point(mountinfo),
        Some("/sys/fs/cgroup/unified".into())
    );
    assert_eq!(mount_point("30 24 0:26 / /sys ro - tmpfs tmpfs rw\n"), None);
    assert_eq!(own_path("4:memory:/x\n0::/a/b\n"), Some("a/b".into()));
    assert_eq!(own_path("4:memory:/x\n"), None);
}

#[test]
fn sidekick_alone_moves_into_a_leaf_and_with_strangers_refuses() {
    let dir = tempfile::tempdir().expect("tempdir");
    let own = dir.path().join("service");
    cgroup(&own, "7\n");
    let base = Base::at(&own, 7).expect("usable");
    assert_eq!(
        base,
        Base {
            dir: own.clone(),
            leaf: Some(own.join("supervisor"))
        }
    );
    cgroup(&own, "7\n8\n");
    let error = Base::at(&own, 7).expect_err("a stranger");
    assert!(
        error.contains("process 8") && error.contains("Delegate=yes"),
        "{error}"
    );
}

#[test]
fn in_its_leaf_the_parent_is_the_base() {
    let dir = tempfile::tempdir().expect("tempdir");
    let own = dir.path().join("service");
    cgroup(&own, "");
    cgroup(&own.join("supervisor"), "7\n9\n");
    let base = Base::at(&own.join("supervisor"), 7).expect("usable");
    assert_eq!(
        base,
        Base {
            dir: own.clone(),
            leaf: None
        }
    );
    base.enable(&["memory", "pids"]).expect("enables");
    let error = base.offers(&["memory", "io"]).expect_err("not there");
    assert!(
        error.contains("`io`") && error.contains("Delegate=yes"),
        "{error}"
    );
}

#[test]
fn limits_become_the_kernels_settings() {
    let base = Base {
        dir: "/b".into(),
        leaf: None,
    };
    let limits = Limits {
        memory: Some(1 << 30),
        memory_high: Some(1 << 29),
        cpu_millis: Some(1500),
        pids: Some(64),
        ..Limits::default()
    };
    let plan = base.plan("lobby", "s", &limits);
    assert_eq!(plan.dir, Path::new("/b/sidekick-lobby-s"));
    let text: Vec<String> = plan
        .settings
        .iter()
        .map(|(file, value)| format!("{file}={value}"))
        .collect();
    assert_eq!(
        text,
        [
            "memory.high=536870912",
            "memory.max=1073741824",
            "memory.oom.group=1",
            "cpu.max=150000 100000",
            "pids.max=64"
        ]
    );
}
