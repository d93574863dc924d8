//! Control messages that arrive.

use crate::etf::{Atom, Pid, Reference, Term};

/// A process, by pid or by registered name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// By pid.
    Pid(Pid),
    /// By name.
    Name(Atom),
}

/// A request to spawn a process.
#[derive(Debug, Clone, PartialEq)]
pub struct SpawnRequest {
    /// Names the request, and serves as the monitor's reference.
    pub id: Reference,
    /// Who asks.
    pub from: Pid,
    /// Its group leader.
    pub group_leader: Pid,
    /// Module of the function.
    pub module: Atom,
    /// The function.
    pub function: Atom,
    /// How many arguments.
    pub arity: i64,
    /// `link`, `monitor` and others.
    pub options: Vec<Term>,
}

/// A control message; those in the trace token's form are read as their plain form.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)] // The fields are the protocol's own.
pub enum Control {
    /// Link two processes.
    Link { from: Pid, to: Pid },
    /// A message to a pid.
    Send { from: Option<Pid>, to: Pid },
    /// A linked process ended.
    Exit { from: Pid, to: Pid, reason: Term },
    /// A message to a name.
    RegSend { from: Pid, name: Atom },
    /// `exit/2`.
    Exit2 { from: Pid, to: Pid, reason: Term },
    /// Monitor a process.
    Monitor {
        from: Pid,
        target: Target,
        reference: Reference,
    },
    /// Stop monitoring.
    Demonitor {
        from: Pid,
        target: Target,
        reference: Reference,
    },
    /// A monitored process ended.
    MonitorExit {
        from: Target,
        to: Pid,
        reference: Reference,
        reason: Term,
    },
    /// Spawn a process.
    Spawn(SpawnRequest),
    /// A message to an alias.
    AliasSend { from: Pid, alias: Reference },
    /// Unlink two processes; to be acknowledged.
    UnlinkId { id: Term, from: Pid, to: Pid },
    /// Known and of no concern to us.
    Ignored,
}

impl Control {
    /// Whether a payload follows in the frame.
    pub fn has_payload(&self) -> bool {
        matches!(
            self,
            Self::Send { .. } | Self::RegSend { .. } | Self::Spawn(_) | Self::AliasSend { .. }
        )
    }

    /// Reads a control message; none where it has not the documented form.
    pub fn parse(message: Term) -> Option<Self> {
        let Term::Tuple(elements) = message else {
            return None;
        };
        let mut elements = elements.into_iter();
        let operation = elements.next()?.as_i64()?;
        let mut next = || elements.next();
        Some(match operation {
            1 => Self::Link {
                from: pid(next()?)?,
                to: pid(next()?)?,
            },
            2 | 12 => {
                next()?;
                Self::Send {
                    from: None,
                    to: pid(next()?)?,
                }
            }
            3 => Self::Exit {
                from: pid(next()?)?,
                to: pid(next()?)?,
                reason: next()?,
            },
            6 | 16 => {
                let from = pid(next()?)?;
                next()?;
                Self::RegSend {
                    from,
                    name: atom(next()?)?,
                }
            }
            8 => Self::Exit2 {
                from: pid(next()?)?,
                to: pid(next()?)?,
                reason: next()?,
            },
            13 | 18 => {
                let (from, to) = (pid(next()?)?, pid(next()?)?);
                next()?;
                let reason = next()?;
                if operation == 13 {
                    Self::Exit { from, to, reason }
                } else {
                    Self::Exit2 { from, to, reason }
                }
            }
            19 => Self::Monitor {
                from: pid(next()?)?,
                target: target(next()?)?,
                reference: reference(next()?)?,
            },
            20 => Self::Demonitor {
                from: pid(next()?)?,
                target: target(next()?)?,
                reference: reference(next()?)?,
            },
            21 => Self::MonitorExit {
                from: target(next()?)?,
                to: pid(next()?)?,
                reference: reference(next()?)?,
                reason: next()?,
            },
            22 | 23 => Self::Send {
                from: Some(pid(next()?)?),
                to: pid(next()?)?,
            },
            29 | 30 => Self::Spawn(spawn_request(&mut next)?),
            33 | 34 => Self::AliasSend {
                from: pid(next()?)?,
                alias: reference(next()?)?,
            },
            35 => Self::UnlinkId {
                id: next()?,
                from: pid(next()?)?,
                to: pid(next()?)?,
            },
            // UNLINK (obsolete), NODE_LINK, GROUP_LEADER, SPAWN_REPLY, UNLINK_ID_ACK.
            4 | 5 | 7 | 31 | 32 | 36 => Self::Ignored,
            _ => return None,
        })
    }
}

fn spawn_request(next: &mut impl FnMut() -> Option<Term>) -> Option<SpawnRequest> {
    let (id, from, group_leader) = (reference(next()?)?, pid(next()?)?, pid(next()?)?);
    let mfa = next()?;
    let [module, function, arity] = mfa.as_tuple()? else {
        return None;
    };
    let Term::List(options) = next()? else {
        return None;
    };
    Some(SpawnRequest {
        id,
        from,
        group_leader,
        module: module.as_atom()?.clone(),
        function: function.as_atom()?.clone(),
        arity: arity.as_i64()?,
        options,
    })
}

fn pid(term: Term) -> Option<Pid> {
    match term {
        Term::Pid(pid) => Some(pid),
        _ => None,
    }
}

fn atom(term: Term) -> Option<Atom> {
    match term {
        Term::Atom(atom) => Some(atom),
        _ => None,
    }
}

fn reference(term: Term) -> Option<Reference> {
    match term {
        Term::Ref(reference) => Some(reference),
        _ => None,
    }
}

fn target(term: Term) -> Option<Target> {
    match term {
        Term::Pid(pid) => Some(Target::Pid(pid)),
        Term::Atom(name) => Some(Target::Name(name)),
        _ => None,
    }
}
