use super::*;
use crate::types::ServerId;
use proptest::prelude::*;

fn policy(restart: Restart, max_restarts: u32, max_seconds: u32) -> Policy {
    let id = ServerId::new("x").expect("valid");
    Policy::new(&ServerSpec {
        restart,
        max_restarts,
        max_seconds,
        backoff: Backoff {
            initial: Duration::from_millis(200),
            max: Duration::from_secs(3),
        },
        ..ServerSpec::new(id, vec!["x".into()])
    })
}

fn crash() -> EndReason {
    EndReason::Signal("sigsegv".into())
}

#[test]
fn restart_types_are_those_of_otp() {
    let table = [
        (Restart::Permanent, EndReason::Normal, true),
        (Restart::Permanent, EndReason::Shutdown, true),
        (Restart::Permanent, crash(), true),
        (Restart::Transient, EndReason::Normal, false),
        (Restart::Transient, EndReason::Shutdown, false),
        (Restart::Transient, EndReason::ExitStatus(3), true),
        (Restart::Transient, EndReason::Hang, true),
        (Restart::Transient, EndReason::Unknown, true),
        (Restart::Temporary, crash(), false),
        (Restart::Temporary, EndReason::Normal, false),
    ];
    for (restart, reason, again) in table {
        let verdict = policy(restart, 3, 5).ended(Duration::ZERO, &reason, Duration::ZERO, 0.0);
        assert_eq!(verdict != Verdict::Stay, again, "{restart:?} {reason:?}");
    }
}

#[test]
fn pauses_double_and_a_stable_run_resets_them() {
    let mut policy = policy(Restart::Permanent, 100, 5);
    let mut pauses = Vec::new();
    for second in 0..6 {
        match policy.ended(
            Duration::from_secs(second),
            &crash(),
            Duration::from_secs(1),
            0.0,
        ) {
            Verdict::Restart(pause) => pauses.push(pause.as_millis()),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(pauses, [0, 200, 400, 800, 1600, 3000]);
    let stable = policy.ended(
        Duration::from_secs(60),
        &crash(),
        Duration::from_secs(5),
        0.0,
    );
    assert_eq!(stable, Verdict::Restart(Duration::ZERO));
    assert_eq!(
        policy.failed_start(Duration::from_secs(61), 1.0),
        Verdict::Restart(Duration::from_millis(100))
    );
}

#[test]
fn a_start_that_fails_is_never_repeated_at_once() {
    let verdict = policy(Restart::Permanent, 3, 5).failed_start(Duration::ZERO, 0.0);
    assert_eq!(verdict, Verdict::Restart(Duration::from_millis(200)));
}

/// OTP's documentation, word for word: "If more than `MaxR` number of restarts occur in the last `MaxT` seconds, the
/// supervisor terminates". The model keeps every restart for ever and counts.
#[derive(Default)]
struct Model(Vec<u64>);

impl Model {
    fn gives_up(&mut self, now_ms: u64, max_restarts: u32, max_seconds: u32) -> bool {
        self.0.push(now_ms);
        let from = now_ms.saturating_sub(u64::from(max_seconds) * 1000);
        let within = self.0.iter().filter(|at| **at >= from).count();
        let gives_up = within > max_restarts as usize;
        if gives_up {
            self.0.clear();
        }
        gives_up
    }
}

proptest! {
    #[test]
    fn intensity_is_that_of_the_model(
        max_restarts in 0u32..6,
        max_seconds in 1u32..10,
        gaps in proptest::collection::vec((0u64..4_000, any::<bool>(), 0.0f64..1.0), 0..60),
    ) {
        let mut policy = policy(Restart::Permanent, max_restarts, max_seconds);
        let mut model = Model::default();
        let mut now_ms = 0;
        for (gap_ms, failed, jitter) in gaps {
            now_ms += gap_ms;
            let now = Duration::from_millis(now_ms);
            let verdict = if failed {
                policy.failed_start(now, jitter)
            } else {
                policy.ended(now, &crash(), Duration::from_millis(gap_ms), jitter)
            };
            let quarantined = verdict == Verdict::Quarantine;
            prop_assert_eq!(quarantined, model.gives_up(now_ms, max_restarts, max_seconds));
            if let Verdict::Restart(pause) = verdict {
                prop_assert!(pause <= Duration::from_secs(3));
                prop_assert!(!failed || pause >= Duration::from_millis(100));
            }
            prop_assert!(policy.recent.len() <= max_restarts as usize);
        }
    }
}
