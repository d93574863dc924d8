//! State in the simulated world: what the store refuses makes its own scope wait, and nothing else.

use super::simulation::World;
use super::*;

/// The state of a scope.
#[derive(Default)]
pub(super) struct State {
    pub(super) rev: u64,
    /// What the core acknowledged.
    pub(super) sent: u64,
    /// What the store holds.
    pub(super) held: u64,
    /// The store refuses what it holds now.
    pub(super) bad: bool,
}

impl World {
    pub(super) fn answer_state(&mut self, scope: Scope, fate: u32) {
        let unknown = || Failure::Unknown("lost".into());
        let state = self.states.get_mut(&scope).unwrap();
        let (after, rev) = (state.sent, state.rev);
        let outcome = if after == rev {
            StateOutcome::Clean
        } else if fate == 0 {
            StateOutcome::Failed(unknown())
        } else if state.held != after && state.held < rev {
            let rev = state.held;
            StateOutcome::Gap { after, rev }
        } else if state.held < rev && state.bad {
            StateOutcome::Failed(Failure::Refused("bad state".into()))
        } else {
            state.held = state.held.max(rev);
            match fate {
                1 => StateOutcome::Failed(unknown()),
                _ => StateOutcome::Stored {
                    store: STORE,
                    rev: state.held,
                },
            }
        };
        self.give(Input::StateSent(scope, outcome, 0));
    }

    /// Faults end, but the store refuses the state of `y`: everything else must be stored, and a drain say what is missing.
    pub(super) fn settle_without_y(&mut self) {
        self.change_state("y", true);
        self.change_state("z", false);
        self.calm();
        let goal = |(scope, state): (&Scope, &State)| StateGoal {
            scope: scope.clone(),
            rev: state.rev,
            held: state.sent,
        };
        self.give(Input::Drain(self.states.iter().map(goal).collect()));
        for _ in 0..50_000 {
            if self.core.drain_is_refused() && self.under_way.is_empty() {
                break;
            } else if self.under_way.is_empty() {
                self.pass_time();
            } else {
                self.answer();
            }
        }
        assert!(self.core.drain_is_refused(), "the drain would go on");
        self.give(Input::DrainOver);
    }

    pub(super) fn change_state(&mut self, name: &str, bad: bool) {
        let state = self.states.get_mut(&scope(name)).unwrap();
        state.rev += 1;
        state.bad = bad;
    }
}
