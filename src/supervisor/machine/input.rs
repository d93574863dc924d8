//! What the machine is told and what it says.

use super::reserve::StandbyInput;
use crate::supervisor::ExitRequest;
use crate::supervisor::status::EndReason;
use std::time::Duration;

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// Somebody wants it to run.
    Start,
    /// Somebody wants it stopped, for good.
    Stop,
    /// Somebody wants it stopped and started again.
    Restart,
    /// Somebody wants it killed; the policy applies.
    Kill,
    /// An exit signal; the policy applies.
    Exit(ExitRequest),
    /// Its group stops it, to start it again.
    Hold,
    /// Its group starts it again.
    Resume,
    /// Its group gives up.
    Quarantine,
    /// The process was executed.
    Launched,
    /// A process of an earlier sidekick was found.
    Adopted,
    /// No process came about.
    LaunchFailed,
    /// The process said hello; it was already playing where `resumed`.
    Hello {
        /// Already playing.
        resumed: bool,
    },
    /// First tick.
    Playing,
    /// Heartbeat that announces silence for a while.
    Beat {
        /// For this long.
        busy: Duration,
    },
    /// Without a session: its probes fail, for so long.
    Silent(Duration),
    /// The game has drained.
    Drained,
    /// There was no session to drain.
    CannotDrain,
    /// The session ended.
    Closed,
    /// The process ended.
    Ended(EndReason),
    /// Something about the standby.
    Standby(StandbyInput),
    /// Nothing of the process before the promotion is left.
    Left,
    /// Time has passed.
    Tick,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Start a process.
    Launch,
    /// Ask the game to drain within this time.
    Drain(Duration),
    /// SIGTERM to the group.
    Terminate,
    /// SIGSEGV to the process, so that it prints where it is.
    Dump,
    /// SIGKILL to the tree.
    Kill,
    /// Tell that it hangs.
    TellHang(Duration),
    /// Tell that it was quarantined.
    TellQuarantine,
    /// Tell that its quarantine has ended by itself.
    TellRelease,
    /// Tell its group that it ended and is to be started again.
    TellGroup,
    /// Fence the process, which hangs, and see it off beside what follows.
    Abandon,
    /// The standby becomes its process.
    Promote,
    /// Start a standby.
    LaunchStandby,
    /// SIGKILL to the standby's tree: it has nothing to save.
    KillStandby,
}

/// Our own decision, which comes before every other reason of an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Its main loop was silent.
    Hang,
    /// It never said hello or never played.
    StartTimeout,
    /// It was to be stopped.
    Shutdown,
    /// It was to be killed: the wait status says the rest.
    Killed,
}
