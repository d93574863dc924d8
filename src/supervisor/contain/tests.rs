//! Users, ways and secrets.

use super::*;

#[test]
fn users_are_found_by_name_and_number_or_named_as_missing() {
    let contain = |user: &str| Contain {
        user: Some(user.into()),
        ..Contain::default()
    };
    let own = rustix::process::geteuid().as_raw();
    let group = rustix::process::getegid().as_raw();
    let ids = privs(&contain(&format!("{own}:{group}")))
        .expect("itself")
        .user
        .expect("a user");
    assert_eq!((ids.uid, ids.gid), (own, group));
    let error = privs(&contain("no-such-user-here")).expect_err("missing");
    assert!(error.contains("correct `user`"), "{error}");
    let error = privs(&contain(&format!("{own}:no-such-group-here"))).expect_err("missing");
    assert!(error.contains("there is no group"), "{error}");
}

#[test]
fn a_closed_directory_on_the_way_is_named() {
    let dir = tempfile::tempdir().expect("tempdir");
    let closed = dir.path().join("closed");
    fs::create_dir_all(closed.join("in")).expect("makes");
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).expect("chmod");
    let ids = Ids {
        uid: 54_321,
        gid: 54_321,
        groups: vec![54_321],
    };
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o711)).expect("chmod");
    let error = passable(&closed.join("in/file"), &ids).expect_err("closed");
    assert!(
        error.contains("mode 700") && error.contains("chmod a+x"),
        "{error}"
    );
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o711)).expect("chmod");
    assert_eq!(passable(&closed.join("in"), &ids), Ok(()));
}

#[test]
fn secrets_are_values_of_secret_names_long_enough_to_mean_something() {
    let env = [
        ("API_TOKEN", "abcdefgh"),
        ("DB_PASSWORD", "12"),
        ("PIN", "longer-pin"),
        ("PATH", "/usr/bin"),
        ("KEY", "line one\nline two"),
    ];
    let env = env.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let contain = Contain {
        secret_env: vec!["PIN".into()],
        ..Contain::default()
    };
    let found = secrets(&env, &contain);
    assert_eq!(found, ["longer-pin", "abcdefgh", "line one", "line two"]);
}
