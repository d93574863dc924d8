//! A row: what happens to whom, when, and what must hold afterwards.

use nix::sys::signal::Signal;

/// How far a life is brought before the fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scene {
    /// The process of the game exists and has not said hello.
    Starting,
    /// The game plays.
    Playing,
    /// It plays, and SIGKILL ends it.
    Crashing,
    /// It plays, and its script hangs.
    Hanging,
    /// It plays, and is stopped (SIGSTOP): it neither answers nor dies of SIGSEGV.
    Frozen,
    /// It plays, and `ctl kill` is under way.
    Killing,
    /// It plays, and `ctl stop` is under way.
    Stopping,
    /// It plays, is frozen, and `ctl stop` is under way: it does not drain.
    StoppingFrozen,
    /// It has crashed twice and waits for its next start.
    BackingOff,
    /// It plays, sidekick is killed, and another begins.
    Adopting,
}

/// Whose process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    Game,
    Guard,
    Sidekick,
}

/// What is done.
#[derive(Debug, Clone, Copy)]
pub enum Deed {
    /// A signal to each of them, in this order.
    Signal(&'static [Who], Signal),
    /// SIGKILL to those of them that exist at that moment.
    Strike(&'static [Who]),
    /// The game does it to itself in its next tick.
    Script(&'static str),
    /// The game's tree has grown to so many processes.
    Grown(usize),
    /// It is stopped for so many seconds.
    Pause(Who, u64),
    /// The end of the game's process is waited for.
    Gone,
}

/// A failpoint, and what its process does there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arm {
    pub point: &'static str,
    /// It dies, or it stops until the deeds are done.
    pub kill: bool,
    /// At this passing.
    pub at: u32,
}

/// What becomes of the game.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// The same process plays on.
    PlaysOn,
    /// A new one plays.
    PlaysAgain,
    /// One plays: which one depends on who was faster.
    Plays,
    /// None, and this is the state.
    Stays(&'static str),
}

/// See the module.
#[derive(Debug, Clone)]
pub struct Row {
    pub name: String,
    pub scene: Scene,
    pub arm: Option<Arm>,
    pub deeds: Vec<Deed>,
    pub then: Then,
    /// The reasons of the bundles, in order; `None` where they depend on who was faster.
    pub reasons: Option<&'static [&'static str]>,
    /// More keys of the server.
    pub keys: &'static str,
    /// Its file of orders from the start on.
    pub orders: &'static str,
    /// The project, of `tests/fixtures`.
    pub project: &'static str,
    /// sidekick is given to this shell, as its arguments.
    pub around: Option<&'static str>,
}

impl Row {
    pub fn new(name: impl Into<String>, scene: Scene, then: Then) -> Self {
        Self {
            name: name.into(),
            scene,
            arm: None,
            deeds: Vec::new(),
            then,
            reasons: None,
            keys: "",
            orders: "",
            project: "faults",
            around: None,
        }
    }

    pub fn deed(mut self, deed: Deed) -> Self {
        self.deeds.push(deed);
        self
    }

    pub fn signal(self, who: &'static [Who], signal: Signal) -> Self {
        self.deed(Deed::Signal(who, signal))
    }

    pub fn script(self, what: &'static str) -> Self {
        self.deed(Deed::Script(what))
    }

    pub fn at(mut self, point: &'static str, kill: bool, at: u32) -> Self {
        self.arm = Some(Arm { point, kill, at });
        self
    }

    pub fn reasons(mut self, reasons: &'static [&'static str]) -> Self {
        self.reasons = Some(reasons);
        self
    }

    pub fn keys(mut self, keys: &'static str) -> Self {
        self.keys = keys;
        self
    }
}
