//! A store that takes too long for a whole upload.

use super::cases::at;
use super::*;

/// What the next request for records asks for at most, once whatever comes before it is done.
fn next_limit(core: &mut Core, mut actions: Vec<Action>, held: u64) -> usize {
    let seen = extent(held, 1, 1000);
    loop {
        match &actions[..] {
            [Action::Send { limit, .. }] | [Action::Advance(..), Action::Send { limit, .. }] => {
                return *limit;
            }
            [Action::Ask(..)] => {
                let now = core.wake_at().unwrap_or_default();
                actions = core.handle(now, Input::Asked(stream("s"), seen, stored(held)));
            }
            [] => {
                let moment = core.wake_at().expect("the pause ends");
                actions = core.handle(moment, Input::Time);
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn what_gets_no_answer_in_time_is_sent_in_smaller_parts_until_it_does() {
    let seen = extent(0, 1, 1000);
    let (mut core, actions) = at(seen, 0);
    assert_eq!(next_limit(&mut core, actions, 0), 1000);
    let late = || Outcome::Failed(Failure::Late("no answer".into()));
    let mut limits = Vec::new();
    for _ in 0..12 {
        let now = core.wake_at().unwrap_or(ms(10));
        let actions = core.handle(now, Input::Sent(stream("s"), seen, late(), 9));
        limits.push(next_limit(&mut core, actions, 0));
    }
    assert_eq!(limits, [500, 250, 125, 62, 31, 15, 7, 3, 1, 1, 1, 1]);
    // What is stored makes room for more.
    let mut limits = Vec::new();
    for held in [1, 3, 7, 15] {
        let actions = core.handle(
            Duration::from_secs(3600),
            Input::Sent(stream("s"), extent(held, 1, 1000), stored(held), 9),
        );
        limits.push(next_limit(&mut core, actions, held));
    }
    assert_eq!(limits, [2, 4, 8, 16]);
}
