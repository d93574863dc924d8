//! Every key comes back as it was read.

use super::*;

#[test]
fn every_key_is_given_back_as_it_was_read() {
    let contain = Contain {
        limits: Limits {
            memory: Some(1),
            memory_high: Some(2),
            cpu_millis: Some(1500),
            pids: Some(3),
            cgroup: true,
            nofile: Some(4),
            nproc: Some(5),
            core: Some(UNLIMITED),
            address_space: Some(6),
        },
        user: Some("game".into()),
        no_new_privs: Some(false),
        inherit_env: vec!["GAME_*".into()],
        secret_env: vec!["PIN".into()],
        log_bytes: Some(7 << 20),
        log_age: Some(Duration::from_secs(60)),
    };
    let mut read_back = Contain::default();
    for (key, value) in write(&contain) {
        assert_eq!(read(key, &value, &mut read_back), Some(Ok(())));
    }
    assert_eq!(read_back, contain);
    let wrong = Term::map([("memroy", Term::int(1))]);
    let error = read("limits", &wrong, &mut read_back)
        .expect("a key")
        .expect_err("unknown");
    assert!(error.contains("memroy"), "{error}");
    assert_eq!(read("colour", &Term::int(1), &mut read_back), None);
}
