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
        let mut fields = Fields(elements.into_iter());
        let operation = fields.next()?.as_i64()?;
        match operation {
            1 | 3 | 8 | 13 | 18 | 35 => Self::parse_link(operation, &mut fields),
            19..=21 => Self::parse_monitor(operation, &mut fields),
            2 | 12 => {
                fields.next()?;
                Some(Self::Send {
                    from: None,
                    to: fields.pid()?,
                })
            }
            6 | 16 => {
                let from = fields.pid()?;
                fields.next()?;
                Some(Self::RegSend {
                    from,
                    name: fields.atom()?,
                })
            }
            22 | 23 => Some(Self::Send {
                from: Some(fields.pid()?),
                to: fields.pid()?,
            }),
            29 | 30 => fields.spawn_request().map(Self::Spawn),
            33 | 34 => Some(Self::AliasSend {
                from: fields.pid()?,
                alias: fields.reference()?,
            }),
            // UNLINK (obsolete), NODE_LINK, GROUP_LEADER, SPAWN_REPLY, UNLINK_ID_ACK.
            4 | 5 | 7 | 31 | 32 | 36 => Some(Self::Ignored),
            _ => None,
        }
    }

    fn parse_link(operation: i64, fields: &mut Fields) -> Option<Self> {
        if operation == 35 {
            // Numbers of 64 bits; whatever else stood there would be sent back.
            let id = fields.next()?;
            id.as_u64()?;
            return Some(Self::UnlinkId {
                id,
                from: fields.pid()?,
                to: fields.pid()?,
            });
        }
        let (from, to) = (fields.pid()?, fields.pid()?);
        if matches!(operation, 13 | 18) {
            // The trace token.
            fields.next()?;
        }
        Some(match operation {
            1 => Self::Link { from, to },
            3 | 13 => Self::Exit {
                from,
                to,
                reason: fields.next()?,
            },
            _ => Self::Exit2 {
                from,
                to,
                reason: fields.next()?,
            },
        })
    }

    fn parse_monitor(operation: i64, fields: &mut Fields) -> Option<Self> {
        if operation == 21 {
            return Some(Self::MonitorExit {
                from: fields.target()?,
                to: fields.pid()?,
                reference: fields.reference()?,
                reason: fields.next()?,
            });
        }
        let (from, target, reference) = (fields.pid()?, fields.target()?, fields.reference()?);
        Some(if operation == 19 {
            Self::Monitor {
                from,
                target,
                reference,
            }
        } else {
            Self::Demonitor {
                from,
                target,
                reference,
            }
        })
    }
}

/// The fields of a control message, taken one by one.
struct Fields(std::vec::IntoIter<Term>);

impl Fields {
    fn next(&mut self) -> Option<Term> {
        self.0.next()
    }

    fn pid(&mut self) -> Option<Pid> {
        match self.next()? {
            Term::Pid(pid) => Some(pid),
            _ => None,
        }
    }

    fn atom(&mut self) -> Option<Atom> {
        match self.next()? {
            Term::Atom(atom) => Some(atom),
            _ => None,
        }
    }

    fn reference(&mut self) -> Option<Reference> {
        match self.next()? {
            Term::Ref(reference) => Some(reference),
            _ => None,
        }
    }

    fn target(&mut self) -> Option<Target> {
        match self.next()? {
            Term::Pid(pid) => Some(Target::Pid(pid)),
            Term::Atom(name) => Some(Target::Name(name)),
            _ => None,
        }
    }

    fn spawn_request(&mut self) -> Option<SpawnRequest> {
        let (id, from, group_leader) = (self.reference()?, self.pid()?, self.pid()?);
        let mfa = self.next()?;
        let [module, function, arity] = mfa.as_tuple()? else {
            return None;
        };
        let Term::List(options) = self.next()? else {
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
}
