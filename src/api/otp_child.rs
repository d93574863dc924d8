//! A child of a supervisor in OTP's terms: its spec checked as `supervisor:check_childspecs/1` checks it, and the
//! forms in which OTP tells of it.

use crate::etf::{Atom, Term};

/// A child spec that OTP would accept. What it means for us is `child_spec`'s to say.
#[derive(Debug, Clone, PartialEq)]
pub struct OtpChild {
    pub id: Term,
    pub start: Term,
    pub restart: Term,
    pub shutdown: Term,
    pub kind: Term,
    pub modules: Term,
}

impl OtpChild {
    /// Checks a spec, a map or a tuple of six; the error is OTP's own term, found in OTP's own order.
    pub fn parse(spec: &Term) -> Result<Self, Term> {
        let field = |name: &str| spec.map_get(name).cloned();
        let child = match spec {
            Term::Map(_) => {
                let kind = field("type").unwrap_or_else(|| Term::atom("worker"));
                let default_shutdown = if kind.is_atom("supervisor") {
                    Term::atom("infinity")
                } else {
                    Term::Int(5000)
                };
                let start = field("start");
                Self {
                    id: field("id").ok_or_else(|| Term::atom("missing_id"))?,
                    modules: field("modules")
                        .or_else(|| start.as_ref().and_then(modules_of))
                        .unwrap_or_else(|| Term::list([])),
                    start: start.ok_or_else(|| Term::atom("missing_start"))?,
                    restart: field("restart").unwrap_or_else(|| Term::atom("permanent")),
                    shutdown: field("shutdown").unwrap_or(default_shutdown),
                    kind,
                }
            }
            Term::Tuple(e) if e.len() == 6 => Self {
                id: e[0].clone(),
                start: e[1].clone(),
                restart: e[2].clone(),
                shutdown: e[3].clone(),
                kind: e[4].clone(),
                modules: e[5].clone(),
            },
            _ => return Err(wrong("invalid_child_spec", spec)),
        };
        child.check(field("significant").as_ref())?;
        Ok(child)
    }

    fn check(&self, significant: Option<&Term>) -> Result<(), Term> {
        if mfa(&self.start).is_none() {
            return Err(wrong("invalid_mfa", &self.start));
        }
        one_of(
            "invalid_restart_type",
            &self.restart,
            &["permanent", "temporary", "transient"],
        )?;
        match significant {
            Some(yes) if yes.is_atom("true") => {
                let pair =
                    |key: &str, value: &str| Term::tuple([Term::atom(key), Term::atom(value)]);
                let why = [pair("auto_shutdown", "never"), pair("significant", "true")];
                return Err(wrong("bad_combination", &Term::list(why)));
            }
            Some(other) if !other.is_atom("false") => {
                return Err(wrong("invalid_significant", other));
            }
            _ => {}
        }
        one_of("invalid_child_type", &self.kind, &["supervisor", "worker"])?;
        if !is_natural(&self.shutdown) {
            one_of(
                "invalid_shutdown",
                &self.shutdown,
                &["infinity", "brutal_kill"],
            )?;
        }
        match &self.modules {
            dynamic if dynamic.is_atom("dynamic") => Ok(()),
            Term::List(modules) => match modules.iter().find(|m| m.as_atom().is_none()) {
                Some(other) => Err(wrong("invalid_module", other)),
                None => Ok(()),
            },
            other => Err(wrong("invalid_modules", other)),
        }
    }

    /// Whether its spec goes with it when it ends.
    pub fn is_temporary(&self) -> bool {
        self.restart.is_atom("temporary")
    }

    /// The record by which OTP names a child whose start failed, and keeps it in its state.
    pub fn to_record(&self, pid: Term) -> Term {
        Term::tuple([
            Term::atom("child"),
            pid,
            self.id.clone(),
            self.start.clone(),
            self.restart.clone(),
            Term::bool(false),
            self.shutdown.clone(),
            self.kind.clone(),
            self.modules.clone(),
        ])
    }

    /// The map that `get_childspec` gives. OTP forgets the arguments of temporary children, which it never starts again.
    pub fn to_map(&self) -> Term {
        Term::map([
            ("id", self.id.clone()),
            ("start", self.kept_start()),
            ("restart", self.restart.clone()),
            ("significant", Term::bool(false)),
            ("shutdown", self.shutdown.clone()),
            ("type", self.kind.clone()),
            ("modules", self.modules.clone()),
        ])
    }

    fn kept_start(&self) -> Term {
        match mfa(&self.start) {
            Some((module, function, _)) if self.is_temporary() => Term::tuple([
                Term::Atom(module.clone()),
                Term::Atom(function.clone()),
                Term::atom("undefined"),
            ]),
            _ => self.start.clone(),
        }
    }

    /// The reason of a start whose function does not exist.
    pub fn undefined(&self) -> Term {
        let mut call = self.start.as_tuple().unwrap_or_default().to_vec();
        call.push(Term::list([]));
        let stack = Term::list([Term::Tuple(call)]);
        Term::tuple([
            Term::atom("EXIT"),
            Term::tuple([Term::atom("undef"), stack]),
        ])
    }
}

/// `{Module, Function, Arguments}`.
pub fn mfa(start: &Term) -> Option<(&Atom, &Atom, &[Term])> {
    match start.as_tuple()? {
        [Term::Atom(module), Term::Atom(function), arguments] => {
            Some((module, function, arguments.as_list()?))
        }
        _ => None,
    }
}

fn modules_of(start: &Term) -> Option<Term> {
    let (module, _, _) = mfa(start)?;
    Some(Term::list([Term::Atom(module.clone())]))
}

fn is_natural(term: &Term) -> bool {
    match term {
        Term::Int(number) => *number >= 0,
        Term::Big(number) => number.sign() != num_bigint::Sign::Minus,
        _ => false,
    }
}

fn one_of(otherwise: &str, term: &Term, names: &[&str]) -> Result<(), Term> {
    if names.iter().any(|name| term.is_atom(name)) {
        Ok(())
    } else {
        Err(wrong(otherwise, term))
    }
}

fn wrong(kind: &str, what: &Term) -> Term {
    Term::tuple([Term::atom(kind), what.clone()])
}
