//! OTP's system messages: what `sys:get_state`, `sys:get_status`, `sys:statistics` and their like ask of a process.
//!
//! Each process keeps a [`System`] and hands it every message of kind `system`. Shapes are those of a `gen_server`
//! (`sys` and `gen_server` of stdlib, "Status for generic server"), so that `observer` and `iex` print them as they print
//! their own. What we do not do is answered as `sys` itself answers what it does not know: `unknown_debug`, or
//! `{error, {unknown_system_msg, Request}}`. Suspending is among that: a peer must not be able to stop what serves others.
//! Tracing and logging are too: messages may hold what is nobody's business.

use crate::etf::{Pid, Term};
use crate::node::{From, Node};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Messages that a process sent and received since it began. Clones count together.
#[derive(Debug, Clone, Default)]
pub struct Traffic(Arc<[AtomicU64; 2]>);

impl Traffic {
    /// One came in.
    pub fn received(&self) {
        self.0[0].fetch_add(1, Ordering::Relaxed);
    }

    /// One reply went out.
    pub fn sent(&self) {
        self.0[1].fetch_add(1, Ordering::Relaxed);
    }

    fn now(&self) -> [u64; 2] {
        [0, 1].map(|i: usize| self.0[i].load(Ordering::Relaxed))
    }
}

/// Since when statistics are kept, and what the traffic was then.
#[derive(Debug)]
struct Since {
    time: Term,
    traffic: [u64; 2],
}

/// One process's side of the `sys` protocol.
#[derive(Debug)]
pub struct System {
    pid: Pid,
    parent: Pid,
    /// As it is registered.
    name: String,
    initial_call: [String; 2],
    /// The callback module, where it is a supervisor.
    supervises: bool,
    /// Whether `sys:terminate` (`GenServer.stop`) is granted.
    ends: bool,
    traffic: Traffic,
    since: Option<Since>,
}

impl System {
    /// For a process of this name whose callbacks would be in this module.
    pub fn new(node: &Node, pid: &Pid, name: &str, module: &str) -> Self {
        Self {
            pid: pid.clone(),
            parent: node.inner.system.clone(),
            name: name.to_owned(),
            initial_call: [module.to_owned(), "init".to_owned()],
            supervises: false,
            ends: false,
            traffic: Traffic::default(),
            since: None,
        }
    }

    /// It speaks the protocol of `supervisor`.
    #[must_use]
    pub fn supervisor(self) -> Self {
        let [module, _] = self.initial_call;
        Self {
            initial_call: ["supervisor".to_owned(), module],
            supervises: true,
            ..self
        }
    }

    /// It may be ended by `sys:terminate`.
    #[must_use]
    pub fn ends(self) -> Self {
        Self { ends: true, ..self }
    }

    /// The counters of its messages.
    pub fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    /// Answers a system message; `state` is what the process wants to show of itself. Gives the reason with which somebody wants
    /// it ended, where that is granted.
    pub fn answer(
        &mut self,
        node: &Node,
        from: &From,
        request: Term,
        state: impl FnOnce() -> Term,
    ) -> Option<Term> {
        let (reply, end) = self.decide(request, state);
        node.reply(from, reply);
        end
    }

    fn decide(&mut self, request: Term, state: impl FnOnce() -> Term) -> (Term, Option<Term>) {
        let reply = match (&request, request.as_tuple()) {
            (name, _) if name.is_atom("get_state") => Term::ok(state()),
            (name, _) if name.is_atom("get_status") => self.status(state()),
            // A process that cannot be suspended always goes on.
            (name, _) if name.is_atom("resume") => Term::atom("ok"),
            (_, Some([kind, what])) if kind.is_atom("debug") => self.debug(what),
            (_, Some([kind, reason])) if kind.is_atom("terminate") && self.ends => {
                return (Term::atom("ok"), Some(reason.clone()));
            }
            _ => {
                let unknown = Term::tuple([Term::atom("unknown_system_msg"), request]);
                Term::tuple([Term::atom("error"), unknown])
            }
        };
        (reply, None)
    }

    fn debug(&mut self, what: &Term) -> Term {
        let ok = Term::atom("ok");
        let parts = what.as_tuple().unwrap_or_default();
        match parts {
            [] if what.is_atom("no_debug") => self.since = None,
            [kind, how] if kind.is_atom("statistics") => return self.statistics(how),
            [kind, how] if kind.is_atom("log") && how.is_atom("get") => {
                return Term::ok(Term::list([]));
            }
            [kind, how] if kind.is_atom("log") && how.is_atom("print") => {}
            [kind, how] if how.is_atom("false") && is_switch(kind) => {}
            [kind, _] if kind.is_atom("remove") => {}
            _ => return Term::atom("unknown_debug"),
        }
        ok
    }

    fn statistics(&mut self, how: &Term) -> Term {
        match how.as_bool() {
            Some(true) => {
                self.since.get_or_insert_with(|| Since {
                    time: date_time(SystemTime::now()),
                    traffic: self.traffic.now(),
                });
            }
            Some(false) => self.since = None,
            None if how.is_atom("get") => return Term::ok(self.figures()),
            None => return Term::atom("unknown_debug"),
        }
        Term::atom("ok")
    }

    fn figures(&self) -> Term {
        let Some(since) = &self.since else {
            return Term::atom("no_statistics");
        };
        let now = self.traffic.now();
        let count = |i: usize| Term::int(now[i] - since.traffic[i]);
        Term::list([
            pair("start_time", since.time.clone()),
            pair("current_time", date_time(SystemTime::now())),
            // There is no such measure here.
            pair("reductions", Term::Int(0)),
            pair("messages_in", count(0)),
            pair("messages_out", count(1)),
        ])
    }

    /// `{status, Pid, {module, gen_server}, [Dictionary, running, Parent, Debug, Described]}`.
    fn status(&self, state: Term) -> Term {
        let title = |text: &str, value: Term| Term::tuple([Term::charlist(text), value]);
        let header = format!("Status for generic server {}", self.name);
        let about = Term::list([
            title("Status", Term::atom("running")),
            title("Parent", Term::Pid(self.parent.clone())),
            title("Logged events", Term::list([])),
        ]);
        let mut described = vec![
            pair("header", Term::charlist(&header)),
            pair("data", about),
            pair("data", Term::list([title("State", state)])),
        ];
        if self.supervises {
            // `supervisor:get_callback_module/1` looks for this first.
            let callback = title("Callback", Term::atom(&self.initial_call[1]));
            described.push(pair("supervisor", Term::list([callback])));
        }
        let debug = self.since.iter().map(|since| {
            let kept = [
                since.time.clone(),
                pair("reductions", Term::Int(0)),
                Term::int(since.traffic[0]),
                Term::int(since.traffic[1]),
            ];
            pair("statistics", Term::tuple(kept))
        });
        Term::tuple([
            Term::atom("status"),
            Term::Pid(self.pid.clone()),
            pair("module", Term::atom("gen_server")),
            Term::list([
                self.dictionary(),
                Term::atom("running"),
                Term::Pid(self.parent.clone()),
                Term::list(debug.collect::<Vec<_>>()),
                Term::list(described),
            ]),
        ])
    }

    fn dictionary(&self) -> Term {
        let [module, function] = &self.initial_call;
        let call = Term::tuple([Term::atom(module), Term::atom(function), Term::Int(1)]);
        let ancestors = Term::list([Term::Pid(self.parent.clone())]);
        Term::list([pair("$initial_call", call), pair("$ancestors", ancestors)])
    }
}

fn is_switch(kind: &Term) -> bool {
    ["trace", "log", "log_to_file"]
        .iter()
        .any(|name| kind.is_atom(name))
}

fn pair(key: &str, value: Term) -> Term {
    Term::tuple([Term::atom(key), value])
}

/// `{{Year, Month, Day}, {Hour, Minute, Second}}` in UTC.
pub(super) fn date_time(time: SystemTime) -> Term {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let seconds = i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
    let (year, month, day) = civil(seconds.div_euclid(86_400));
    let clock = seconds.rem_euclid(86_400);
    let three = |a, b, c| Term::tuple([Term::Int(a), Term::Int(b), Term::Int(c)]);
    Term::tuple([
        three(year, month, day),
        three(clock / 3600, clock / 60 % 60, clock % 60),
    ])
}

/// The Gregorian date of a day counted from 1970-01-01; years are taken to begin in March, so that the leap day comes last.
fn civil(days: i64) -> (i64, i64, i64) {
    const ERA_DAYS: i64 = 146_097;
    // 719,468 days lie between 0000-03-01 and 1970-01-01.
    let shifted = days + 719_468;
    let (era, day) = (shifted.div_euclid(ERA_DAYS), shifted.rem_euclid(ERA_DAYS));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    let year = year + era * 400 + i64::from(month <= 2);
    (year, month, day_of_year - (153 * from_march + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        let shown = |seconds| date_time(UNIX_EPOCH + Duration::from_secs(seconds)).to_string();
        assert_eq!(shown(0), "{{1970,1,1},{0,0,0}}");
        assert_eq!(shown(951_782_399), "{{2000,2,28},{23,59,59}}");
        assert_eq!(shown(951_782_400), "{{2000,2,29},{0,0,0}}");
        assert_eq!(shown(1_740_787_199), "{{2025,2,28},{23,59,59}}");
        assert_eq!(shown(1_740_787_200), "{{2025,3,1},{0,0,0}}");
        assert_eq!(shown(4_102_444_799), "{{2099,12,31},{23,59,59}}");
    }
}
