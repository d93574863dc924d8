//! The model itself, and ours, against what OTP's supervisor did: `tests/support/otp_groups.exs` wrote down 200 stories of OTP 27.3.

use super::tests::{Otp, Ours};
use crate::supervisor::spec::{Restart, Strategy};
use crate::supervisor::status::{EndReason, State};
use serde::Deserialize;

const STORIES: &str = include_str!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/golden/otp_groups.jsonl"
));

#[derive(Deserialize)]
struct Story {
    strategy: Strategy,
    types: Vec<Restart>,
    max_restarts: u32,
    events: Vec<Told>,
}

#[derive(Deserialize, Debug)]
struct Told {
    dies: usize,
    reason: String,
    fails: Vec<(usize, u8)>,
    log: Vec<String>,
    alive: Vec<usize>,
    gave_up: bool,
}

impl Told {
    fn deaths(&self) -> [(usize, EndReason); 1] {
        let reason = match self.reason.as_str() {
            "normal" => EndReason::Normal,
            "shutdown" => EndReason::Shutdown,
            _ => EndReason::Signal("sigkill".into()),
        };
        [(self.dies, reason)]
    }
}

fn which(flags: &[bool]) -> Vec<usize> {
    let flags = flags.iter().enumerate();
    flags.filter(|(_, flag)| **flag).map(|(n, _)| n).collect()
}

#[test]
fn otps_own_supervisor_did_the_same() {
    let (mut stories, mut ended) = (0, 0);
    for line in STORIES.lines() {
        let story: Story = serde_json::from_str(line).expect("a story");
        let mut ours = Ours::new(story.strategy, &story.types, story.max_restarts);
        let mut otp = Otp::new(story.strategy, &story.types, story.max_restarts);
        for told in &story.events {
            for (child, times) in &told.fails {
                ours.fails[*child] = *times;
                otp.fails[*child] = *times;
            }
            ours.die(&told.deaths());
            otp.die(&told.deaths(), 0);
            let (model, group) = (std::mem::take(&mut otp.log), std::mem::take(&mut ours.log));
            assert_eq!(model, told.log, "the model, {told:?} of\n{line}");
            assert_eq!(group, told.log, "ours, {told:?} of\n{line}");
            assert_eq!(which(&otp.alive), told.alive, "the model, {line}");
            assert_eq!(which(&ours.all(State::Running)), told.alive, "{line}");
            let quarantined = ours.all(State::Quarantined).contains(&true);
            assert_eq!(
                (quarantined, otp.gave_up.contains(&true)),
                (told.gave_up, told.gave_up)
            );
            ended += usize::from(told.gave_up);
            for (child, _) in &told.fails {
                ours.fails[*child] = 0;
                otp.fails[*child] = 0;
            }
        }
        stories += 1;
    }
    assert!(
        stories == 200 && ended > 50,
        "{stories} stories, {ended} ended"
    );
}
