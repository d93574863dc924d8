//! Whoever writes to sidekick over the Erlang distribution, and remembers what it was told: records as numbered batches, which
//! may be sent again until they are answered, and state.

use crate::torture::verdict::Found;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use sidekick::etf::Term;
use sidekick::node::{Node, NodeName};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// The process that answers.
pub const SIDEKICK: &str = "sidekick";
/// How long one answer may take before the request is sent again.
const ANSWER: Duration = Duration::from_secs(5);
/// Longer than any outage and the full buffer after it.
const PATIENCE: Duration = Duration::from_secs(300);

/// What was acknowledged, by stream.
pub type Told = BTreeMap<String, BTreeMap<u64, String>>;

/// Where to write.
#[derive(Clone)]
pub struct Target {
    pub node: Node,
    pub sidekick: NodeName,
}

impl Target {
    /// Asks until the answer is `ok` or `{ok, _}`; whoever answers may be dead for a while.
    pub async fn insist(&self, request: &Term) -> Term {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = self.ask(request.clone(), ANSWER).await;
            if let Some(value) = answer.as_deref_ok() {
                return value;
            }
            assert!(Instant::now() < deadline, "{request}: {answer:?}");
            // sleep: the other end is down, and nothing tells when it is up
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Asks once.
    pub async fn ask(&self, request: Term, timeout: Duration) -> Result<Term, String> {
        let answer = self
            .node
            .call(SIDEKICK, &self.sidekick, request, timeout)
            .await;
        answer.map_err(|error| error.to_string())
    }
}

trait Answer {
    fn as_deref_ok(&self) -> Option<Term>;
}

impl Answer for Result<Term, String> {
    fn as_deref_ok(&self) -> Option<Term> {
        match self {
            Ok(term) if term.is_atom("ok") => Some(term.clone()),
            Ok(Term::Tuple(pair)) if pair.first().is_some_and(|ok| ok.is_atom("ok")) => {
                pair.get(1).cloned()
            }
            _ => None,
        }
    }
}

/// What a record of a producer is called.
pub fn label(payload: &Term) -> Option<String> {
    let producer = payload.map_get("p")?.as_text()?;
    Some(format!("{producer}:{}", payload.map_get("n")?.as_u64()?))
}

/// Writes records to a stream until it is cancelled and all it wrote is acknowledged.
pub async fn records(
    target: Target,
    name: String,
    stream: String,
    seed: u64,
    end: CancellationToken,
) -> (String, Vec<Found>) {
    let mut random = StdRng::seed_from_u64(seed);
    let mut told = Vec::new();
    let (mut batch, mut number) = (0_u64, 0_u64);
    while !end.is_cancelled() {
        let count = random.random_range(1..20);
        let payloads: Vec<Term> = (number + 1..=number + count)
            .map(|n| {
                let filler = "x".repeat(random.random_range(0..400));
                let pairs = [
                    ("p", Term::text(&name)),
                    ("n", Term::int(n)),
                    ("x", Term::text(&filler)),
                ];
                Term::map(pairs)
            })
            .collect();
        batch += 1;
        let producer = Term::map([("producer", Term::text(&name)), ("batch", Term::int(batch))]);
        let request = [
            Term::atom("append"),
            Term::text(&stream),
            Term::list(payloads),
            producer,
        ];
        let answer = target.insist(&Term::tuple(request)).await;
        let first = answer.map_get("first").and_then(Term::as_u64);
        let first = first.expect("append answers with sequences");
        told.extend((0..count).map(|n| (first + n, format!("{name}:{}", number + 1 + n))));
        number += count;
        pause(&mut random, &end).await;
    }
    (stream, told)
}

/// Changes state of a scope until it is cancelled; gives what it was told is stored.
pub async fn state(
    target: Target,
    scope: String,
    seed: u64,
    end: CancellationToken,
) -> (String, BTreeMap<String, u64>) {
    let mut random = StdRng::seed_from_u64(seed);
    let mut told = BTreeMap::new();
    let mut value = 0_u64;
    while !end.is_cancelled() {
        let key = format!("key{}", random.random_range(0..12));
        value += 1;
        let (scope, name) = (Term::text(&scope), Term::text(&key));
        if random.random_range(0..5) == 0 && told.contains_key(&key) {
            let request = Term::tuple([Term::atom("delete_state"), scope, name]);
            target.insist(&request).await;
            told.remove(&key);
        } else {
            let request = [Term::atom("put_state"), scope, name, Term::int(value)];
            target.insist(&Term::tuple(request)).await;
            told.insert(key, value);
        }
        pause(&mut random, &end).await;
    }
    (scope, told)
}

async fn pause(random: &mut StdRng, end: &CancellationToken) {
    // sleep: the pace of a producer
    let pause = tokio::time::sleep(Duration::from_millis(random.random_range(5..120)));
    tokio::select! {
        () = pause => {}
        () = end.cancelled() => {}
    }
}

/// Appends large records one by one; gives what was told.
pub async fn large(target: &Target, stream: &str, count: u64, bytes: usize) -> Vec<Found> {
    let mut told = Vec::new();
    for n in 1..=count {
        let filler = Term::text(&"x".repeat(bytes));
        let pairs = [
            ("p", Term::text("large")),
            ("n", Term::int(n)),
            ("x", filler),
        ];
        let producer = Term::map([("producer", Term::text("large")), ("batch", Term::int(n))]);
        let request = [
            Term::atom("append"),
            Term::text(stream),
            Term::list([Term::map(pairs)]),
            producer,
        ];
        let answer = target.insist(&Term::tuple(request)).await;
        let first = answer.map_get("first").and_then(Term::as_u64).unwrap();
        told.push((first, format!("large:{n}")));
    }
    told
}
