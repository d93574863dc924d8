use super::*;
use std::time::Duration;

fn spec(name: &str) -> ServerSpec {
    ServerSpec::new(ServerId::new(name).expect("valid"), vec!["x".into()])
}

#[test]
fn each_difference_has_its_name_and_its_price() {
    let old = [spec("same"), spec("number"), spec("command"), spec("down")];
    let mut new = [
        old[0].clone(),
        old[1].clone(),
        old[2].clone(),
        old[3].clone(),
    ];
    new[1].stop_timeout = Duration::from_secs(99);
    new[1].max_restarts = 99;
    new[1].standby = 1;
    new[2].command.push("--more".into());
    new[3].env.insert("A".into(), "B".into());
    let (gone, of_peer, taken) = (spec("gone"), spec("of_peer"), spec("taken"));
    let is = |spec, configured, up| Known {
        spec,
        configured,
        up,
    };
    let known = [
        is(&old[0], true, true),
        is(&old[1], true, true),
        is(&old[2], true, true),
        is(&old[3], true, false),
        is(&gone, true, true),
        is(&of_peer, false, true),
        is(&taken, false, true),
    ];
    let mut wanted = new.to_vec();
    wanted.extend([taken.clone(), spec("fresh")]);
    let plan = Plan::new(&known, &wanted);
    let names = |ids: &[ServerId]| {
        let names = ids.iter().map(ServerId::as_str);
        names.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(names(&plan.added), "fresh");
    assert_eq!(names(&plan.removed), "gone");
    assert_eq!(names(&plan.unchanged), "same taken");
    let changed = plan.changed.iter();
    let changed: Vec<_> = changed
        .map(|one| (one.id.as_str(), one.keys.join(" "), one.restart))
        .collect();
    assert_eq!(
        changed,
        [
            (
                "number",
                "max_restarts stop_timeout standby".to_owned(),
                false
            ),
            ("command", "command".to_owned(), true),
            ("down", "env".to_owned(), false),
        ]
    );
    let kept = new[2].clone().with_process_of(&old[2]);
    assert_eq!(differences(&old[2], &kept), [""; 0]);
}

#[test]
fn another_containment_is_named_and_needs_another_process() {
    type Change = fn(&mut Contain);
    let old = spec("lobby");
    let changes: [(&str, Change); 7] = [
        ("limits", |contain| contain.limits.pids = Some(9)),
        ("user", |contain| contain.user = Some("game".into())),
        ("no_new_privs", |contain| contain.no_new_privs = Some(true)),
        ("inherit_env", |contain| {
            contain.inherit_env = vec!["A".into()];
        }),
        ("secret_env", |contain| {
            contain.secret_env = vec!["A".into()];
        }),
        ("logs", |contain| contain.log_bytes = Some(9 << 20)),
        ("logs", |contain| contain.log_age = Some(Duration::MAX)),
    ];
    for (key, change) in changes {
        let mut new = old.clone();
        change(&mut new.contain);
        assert_eq!(differences(&old, &new), [key]);
        assert!(old.needs_other_process(&new), "{key}");
        assert_eq!(differences(&old, &new.with_process_of(&old)), [""; 0]);
    }
}
