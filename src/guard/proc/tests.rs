//! What /proc says is read as it is meant.

use super::*;

#[test]
fn a_name_with_parentheses_does_not_shift_the_fields() {
    let text = "42 (a) b (c) R 7 8 9 0 -1 4194304 100 0 3 0 11 12 0 0 20 0 1 0 555 1 2 3";
    let stat = Stat::parse(text).expect("parses");
    assert_eq!(
        (stat.state, stat.parent, stat.group, stat.session),
        ('R', 7, 8, 9)
    );
    assert_eq!((stat.minor_faults, stat.major_faults), (100, 3));
    assert_eq!(
        (stat.user_ticks, stat.system_ticks, stat.start_time),
        (11, 12, 555)
    );
}

#[test]
fn this_process_is_alive_and_another_with_its_number_is_not() {
    let me = ProcessId::of(std::process::id() as i32).expect("exists");
    assert!(me.is_alive());
    let other = ProcessId {
        start_time: me.start_time + 1,
        ..me
    };
    assert!(!other.is_alive());
    assert!(memory(me.pid).is_some_and(|(now, max)| now > 0 && max >= now));
}
