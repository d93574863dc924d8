//! The protocol of `gen`: what `GenServer.call` and `cast` put into a message.

use crate::etf::{Pid, Reference, Term};

/// Who waits for the reply of a call.
#[derive(Debug, Clone, PartialEq)]
pub struct From {
    /// The caller.
    pub pid: Pid,
    /// What the reply must carry; often `[alias | Ref]`.
    pub tag: Term,
}

impl From {
    /// The alias to which the reply must be sent, where the caller made one.
    pub fn alias(&self) -> Option<&Reference> {
        match &self.tag {
            Term::ImproperList(head, tail) if head.len() == 1 && head[0].is_atom("alias") => {
                tail.as_ref().as_ref()
            }
            _ => None,
        }
    }
}

/// A message, sorted.
#[derive(Debug, Clone, PartialEq)]
pub enum Incoming {
    /// `GenServer.call`: somebody waits for a reply.
    Call {
        /// Who waits.
        from: From,
        /// What is asked.
        request: Term,
    },
    /// `GenServer.cast`.
    Cast(Term),
    /// `sys` and `supervisor` calls of the `system` kind.
    System {
        /// Who waits.
        from: From,
        /// What is asked.
        request: Term,
    },
    /// Any other message.
    Other(Term),
}

/// Sorts a message by the protocol of `gen`.
pub fn parse(message: Term) -> Incoming {
    let Term::Tuple(mut elements) = message else {
        return Incoming::Other(message);
    };
    let kind = elements
        .first()
        .and_then(Term::as_atom)
        .map(crate::etf::Atom::as_str);
    match (kind, elements.len()) {
        (Some("$gen_cast"), 2) => Incoming::Cast(elements.swap_remove(1)),
        (Some(kind @ ("$gen_call" | "system")), 3) => {
            let system = kind == "system";
            let Some(from) = take_from(&mut elements[1]) else {
                return Incoming::Other(Term::Tuple(elements));
            };
            let request = elements.swap_remove(2);
            if system {
                Incoming::System { from, request }
            } else {
                Incoming::Call { from, request }
            }
        }
        _ => Incoming::Other(Term::Tuple(elements)),
    }
}

/// Takes `{Pid, Tag}` out of its place; leaves anything else there.
fn take_from(place: &mut Term) -> Option<From> {
    let Term::Tuple(parts) = place else {
        return None;
    };
    if !matches!(parts.as_slice(), [Term::Pid(_), _]) {
        return None;
    }
    match (parts.pop()?, parts.pop()?) {
        (tag, Term::Pid(pid)) => Some(From { pid, tag }),
        _ => None,
    }
}
