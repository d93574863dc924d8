//! A database that stands still, dies or refuses what a record holds holds up nothing else: the circuit breaker leaves it alone, a
//! refused record goes to the dead letters, a drain proves what is stored or tells what is missing, and a limit is kept.

#![allow(clippy::unwrap_used)]

#[path = "support/echo.rs"]
mod echo;
#[path = "support/ports.rs"]
mod ports;
#[path = "support/postgres.rs"]
mod postgres;
#[path = "support/uploader.rs"]
mod uploader;

use nix::sys::signal::Signal;
use postgres::{Place, Postgres, client, sql};
use sidekick::buffer::Change;
use sidekick::etf::{self, Term};
use sidekick::types::{Key, Scope, SinkName};
use sidekick::upload::{
    BreakerOptions, BreakerState, SinkEvent, SinkEventKind, SinkOptions, SinkState, Upload,
};
use std::num::NonZeroU64;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::sync::broadcast::Receiver;
use uploader::{DEADLINE, Side, config, faults, sink};

fn postgres_port() -> u16 {
    ports::free_port()
}

/// The next event of a kind; others are passed over.
async fn next<T>(
    events: &mut Receiver<SinkEvent>,
    what: &str,
    pick: impl Fn(SinkEventKind) -> Option<T>,
) -> T {
    let found = async {
        loop {
            if let Some(found) = pick(events.recv().await.unwrap().kind) {
                return found;
            }
        }
    };
    let found = tokio::time::timeout(DEADLINE, found).await;
    found.unwrap_or_else(|_| panic!("never: {what}"))
}

async fn breaker_is(events: &mut Receiver<SinkEvent>, wanted: BreakerState) {
    next(events, wanted.as_str(), |kind| match kind {
        SinkEventKind::Breaker { state, .. } if state == wanted => Some(()),
        _ => None,
    })
    .await;
}

fn patient(open: Duration, url: &str) -> SinkOptions {
    SinkOptions {
        timeout: Duration::from_millis(400),
        breaker: BreakerOptions {
            failures: 2,
            open_min: open,
            open_max: open,
        },
        ..Side::options("db", &config(url))
    }
}

async fn proves(upload: &Upload, streams: &[(&str, u64)]) {
    let report = upload.drain_one(&sink(), DEADLINE).await.unwrap();
    assert!(report.stored, "{:?}", report.missing());
    let told: Vec<_> = report
        .streams
        .iter()
        .map(|one| (one.stream.to_string(), one.last, one.watermark))
        .collect();
    let wanted = streams
        .iter()
        .map(|(name, last)| ((*name).to_owned(), *last, Some(*last)));
    assert_eq!(told, wanted.collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_breaker_opens_while_the_database_stands_still_and_closes_by_one_batch() {
    let (server, dir) = (Postgres::start().await, TempDir::new().unwrap());
    let url = server.url("postgres");
    let options = patient(Duration::from_millis(300), &url);
    let side = Side::start_sinks(dir.path(), vec![options]).await;
    side.init().await;
    side.number("events", 1, 50).await;
    proves(&side.upload, &[("events", 50)]).await;
    assert_eq!(side.status().breaker, BreakerState::Closed);

    let mut events = side.upload.events();
    server.signal(Signal::SIGSTOP);
    side.number("events", 51, 50).await;
    breaker_is(&mut events, BreakerState::Open).await;
    // It goes on trying, one at a time, and opens again.
    breaker_is(&mut events, BreakerState::HalfOpen).await;
    breaker_is(&mut events, BreakerState::Open).await;
    let report = side
        .upload
        .drain_one(&sink(), Duration::from_millis(50))
        .await
        .unwrap();
    assert!(!report.stored);
    let missing = report.missing().unwrap();
    assert!(
        missing.contains("events up to 100 is not confirmed"),
        "{missing}"
    );
    // At its end sidekick tries once more and does not wait for what cannot be.
    let began = Instant::now();
    let reports = side.upload.finish(Duration::from_secs(60)).await;
    assert!(
        began.elapsed() < Duration::from_secs(20),
        "{:?}",
        began.elapsed()
    );
    assert!(reports.iter().all(|report| !report.stored));

    server.signal(Signal::SIGCONT);
    breaker_is(&mut events, BreakerState::Closed).await;
    proves(&side.upload, &[("events", 100)]).await;
    let look = client(&url).await.unwrap();
    assert_eq!(faults(&look, "events", 100).await, Vec::<String>::new());
    side.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_need_not_wait_for_the_breaker() {
    let (mut server, dir) = (Postgres::start().await, TempDir::new().unwrap());
    let url = server.url("postgres");
    let options = patient(Duration::from_secs(3600), &url);
    let side = Side::start_sinks(dir.path(), vec![options]).await;
    side.init().await;
    let mut events = side.upload.events();
    server.kill();
    side.number("events", 1, 50).await;
    breaker_is(&mut events, BreakerState::Open).await;
    server.run().await;
    let still = side
        .upload
        .drain_one(&sink(), Duration::from_millis(50))
        .await;
    assert!(!still.unwrap().stored, "it is open for an hour");
    side.upload.retry(&sink()).await.unwrap();
    proves(&side.upload, &[("events", 50)]).await;
    let unknown = SinkName::try_from("none").unwrap();
    assert!(side.upload.retry(&unknown).await.is_err());
    side.stop().await;
}

/// Refuses every record whose number ends with 7.
const NO_SEVENS: &str =
    "ALTER TABLE sidekick_records ADD CONSTRAINT sevens CHECK ((payload->>'n')::int % 10 <> 7)";

/// The numbers in the database in the order of their places, and the places.
async fn numbers(url: &str) -> Vec<(i64, i64)> {
    let look = client(url).await.unwrap();
    let text = "SELECT (payload->>'n')::int8, seq FROM sidekick_records WHERE stream = 'events' ORDER BY seq";
    let rows = look.query(text, &[]).await.unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

async fn dead(side: &Side) -> Vec<(u64, u64, Option<u64>)> {
    let letters = side.upload.dead(&sink()).await.unwrap();
    letters
        .iter()
        .map(|letter| (letter.number, letter.seq, letter.redriven_from))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_records_lie_among_the_dead_letters_and_all_others_arrive_once() {
    for place in Place::all().await {
        sevens_are_refused(&place).await;
    }
}

async fn sevens_are_refused(place: &Place) {
    let dir = TempDir::new().unwrap();
    let (url, other_url) = (place.url.clone(), place.another().await);
    let sinks = || {
        let two = [("db", &url), ("other", &other_url)];
        two.map(|(name, url)| Side::options(name, &config(url)))
            .to_vec()
    };
    let side = Side::start_sinks(dir.path(), sinks()).await;
    let other = SinkName::try_from("other").unwrap();
    side.init().await;
    side.upload.init(&other).await.unwrap();
    sql(&url, NO_SEVENS).await.unwrap();
    let mut events = side.upload.events();
    side.number("events", 1, 200).await;
    let first = next(&mut events, "a dead letter", |kind| match kind {
        SinkEventKind::Dead {
            stream, seq, error, ..
        } => Some((stream.to_string(), seq, error)),
        _ => None,
    });
    let (stream, seq, error) = first.await;
    assert_eq!((stream.as_str(), seq), ("events", 7));
    // CockroachDB shows the condition in place of its name.
    let what = if place.is_cockroach() {
        "% 10"
    } else {
        "sevens"
    };
    assert!(error.contains(what) && error.contains("23514"), "{error}");
    // sidekick ends in the middle of it, and comes back.
    side.stop().await;
    let side = Side::start_sinks(dir.path(), sinks()).await;
    proves(&side.upload, &[("events", 200)]).await;
    let sevens: Vec<u64> = (1..=200).filter(|n| n % 10 == 7).collect();
    let letters = dead(&side).await;
    let seqs: Vec<u64> = letters.iter().map(|(_, seq, _)| *seq).collect();
    assert_eq!(seqs, sevens, "each once, in order");
    let good: Vec<(i64, i64)> = (1..=200).filter(|n| n % 10 != 7).map(|n| (n, n)).collect();
    assert_eq!(numbers(&url).await, good);
    assert_eq!(numbers(&other_url).await.len(), 200);
    let status = side.status();
    assert_eq!((status.state, status.dead_letters), (SinkState::Idle, 20));
    let letter = side.upload.dead(&sink()).await.unwrap().remove(0);
    assert_eq!(
        (letter.attempts, letter.stream.to_string()),
        (3, "events".to_owned())
    );
    assert_eq!(
        etf::decode(letter.payload).unwrap().map_get("n"),
        Some(&Term::int(7))
    );
    assert!(letter.dead_ms >= letter.at_ms);

    too_early_and_in_time(&side, &url, &letters, good).await;
    // The other sink had them all along, and gets none twice.
    let report = side.upload.drain_one(&other, DEADLINE).await.unwrap();
    assert_eq!(report.streams[0].watermark, Some(238));
    let all: Vec<(i64, i64)> = (1..=200).map(|n| (n, n)).collect();
    assert_eq!(numbers(&other_url).await, all);
    side.stop().await;
}

/// One letter is discarded, the others are offered while the cause stands, and once it is mended.
async fn too_early_and_in_time(
    side: &Side,
    url: &str,
    letters: &[(u64, u64, Option<u64>)],
    good: Vec<(i64, i64)>,
) {
    let sevens: Vec<u64> = letters.iter().map(|(_, seq, _)| *seq).collect();
    // One is discarded by hand; the others are offered too early, and come back.
    let discarded = side
        .upload
        .discard(&sink(), Some(letters[0].0))
        .await
        .unwrap();
    assert_eq!(discarded.len(), 1);
    assert!(
        side.upload
            .discard(&sink(), Some(letters[0].0))
            .await
            .is_err()
    );
    assert_eq!(side.upload.redrive(&sink(), None).await.unwrap().len(), 19);
    proves(&side.upload, &[("events", 219)]).await;
    let again = dead(side).await;
    let from: Vec<_> = again.iter().filter_map(|(_, _, from)| *from).collect();
    assert_eq!(from, sevens[1..]);

    // Once the cause is mended they arrive, each once, in their order, with what they hold.
    sql(url, "ALTER TABLE sidekick_records DROP CONSTRAINT sevens")
        .await
        .unwrap();
    assert_eq!(
        side.upload
            .redrive(&sink(), Some(again[0].0))
            .await
            .unwrap()
            .len(),
        1
    );
    assert_eq!(side.upload.redrive(&sink(), None).await.unwrap().len(), 18);
    proves(&side.upload, &[("events", 238)]).await;
    assert_eq!((dead(side).await, side.status().dead_letters), (vec![], 0));
    let late: Vec<(i64, i64)> = sevens[1..].iter().map(|n| *n as i64).zip(220..).collect();
    assert_eq!(numbers(url).await, [good, late].concat());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trigger_may_refuse_and_without_a_place_the_sink_halts_until_it_is_told() {
    let (server, dir) = (Postgres::start().await, TempDir::new().unwrap());
    let url = server.url("postgres");
    let options = SinkOptions {
        dead_letters: 2,
        refusals: 1,
        ..Side::options("db", &config(&url))
    };
    let side = Side::start_sinks(dir.path(), vec![options]).await;
    side.init().await;
    sql(
        &url,
        "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
           IF (NEW.payload->>'n')::int IN (3, 4, 5) THEN RAISE EXCEPTION 'not this one'; END IF;
           RETURN NEW; END $$;
         CREATE TRIGGER no BEFORE INSERT ON sidekick_records FOR EACH ROW EXECUTE FUNCTION no()",
    )
    .await
    .unwrap();
    let mut events = side.upload.events();
    side.number("events", 1, 10).await;
    let error = next(&mut events, "a halt", |kind| match kind {
        SinkEventKind::State {
            state: SinkState::Halted,
            error,
        } => error,
        _ => None,
    })
    .await;
    assert!(
        error.contains("not this one") && error.contains("no place"),
        "{error}"
    );
    assert_eq!(numbers(&url).await, [(1, 1), (2, 2)]);
    let report = side.upload.drain_one(&sink(), DEADLINE).await.unwrap();
    assert!(!report.stored, "it is halted, and says so at once");
    side.upload.discard(&sink(), None).await.unwrap();
    side.upload.retry(&sink()).await.unwrap();
    proves(&side.upload, &[("events", 10)]).await;
    let stored: Vec<i64> = numbers(&url).await.iter().map(|(n, _)| *n).collect();
    assert_eq!(stored, [1, 2, 6, 7, 8, 9, 10]);
    assert_eq!(dead(&side).await.len(), 1);
    side.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn state_that_is_refused_makes_its_own_scope_wait_until_a_later_value_is_taken() {
    for place in Place::all().await {
        thirteen_hats_are_refused(&place).await;
    }
}

async fn thirteen_hats_are_refused(place: &Place) {
    let (url, dir) = (place.url.clone(), TempDir::new().unwrap());
    let side = Side::start(dir.path(), &config(&url)).await;
    side.init().await;
    let check = "ALTER TABLE sidekick_state ADD CONSTRAINT hats CHECK (value <> '13')";
    sql(&url, check).await.unwrap();
    let mut events = side.upload.events();
    let (east, west) = (
        Scope::try_from("east").unwrap(),
        Scope::try_from("west").unwrap(),
    );
    let put = async |scope: &Scope, n: i64| {
        let key = Key::try_from("hats").unwrap();
        let put = Change::Put(key, etf::encode(&Term::int(n)));
        side.buffer.change(scope, vec![put]).await.unwrap();
    };
    put(&east, 1).await;
    proves(&side.upload, &[]).await;
    put(&east, 13).await;
    let (scope, error) = next(&mut events, "a refusal", |kind| match kind {
        SinkEventKind::StateRefused { scope, error, .. } => Some((scope, error)),
        _ => None,
    })
    .await;
    assert_eq!(scope, east);
    let what = if place.is_cockroach() { "13" } else { "hats" };
    assert!(error.contains(what), "{error}");
    put(&west, 2).await;
    side.number("events", 1, 10).await;
    let report = side.upload.drain_one(&sink(), DEADLINE).await.unwrap();
    let missing = report.missing().unwrap();
    assert!(
        missing.contains("state of east is not stored") && missing.contains(what),
        "{missing}"
    );
    assert!(
        !missing.contains("west") && !missing.contains("events"),
        "{missing}"
    );
    assert_eq!(numbers(&url).await.len(), 10);
    assert_eq!(hats(&url).await, [("east".into(), 1), ("west".into(), 2)]);
    let status = &side.upload.status()[0];
    assert_eq!(status.refused_scopes.len(), 1, "{status:?}");
    put(&east, 14).await;
    next(&mut events, "the later value", |kind| match kind {
        SinkEventKind::StateTaken { scope } if scope == east => Some(()),
        _ => None,
    })
    .await;
    proves(&side.upload, &[("events", 10)]).await;
    assert_eq!(hats(&url).await, [("east".into(), 14), ("west".into(), 2)]);
    side.stop().await;
}

async fn hats(url: &str) -> Vec<(String, i32)> {
    let client = client(url).await.unwrap();
    let query = "SELECT scope, value::text::int4 FROM sidekick_state ORDER BY scope";
    let rows = client.query(query, &[]).await.unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_makes_an_upload_last_as_long_as_its_bytes_take() {
    let (server, dir) = (Postgres::start().await, TempDir::new().unwrap());
    let url = server.url("postgres");
    let rate: u64 = 50_000;
    let options = SinkOptions {
        max_bytes_per_second: NonZeroU64::new(rate),
        ..Side::options("db", &config(&url))
    };
    let side = Side::start_sinks(dir.path(), vec![options]).await;
    side.init().await;
    let filler = "x".repeat(1000);
    let payload = |n: i64| Term::map([("n", Term::int(n)), ("text", Term::text(&filler))]);
    let payloads: Vec<_> = (1..=150).map(payload).collect();
    let bytes: u64 = payloads
        .iter()
        .map(|term| etf::encode(term).len() as u64)
        .sum();
    let began = Instant::now();
    side.append("events", &payloads).await;
    proves(&side.upload, &[("events", 150)]).await;
    // A second's worth may go at once.
    let least = Duration::from_secs_f64((bytes - rate) as f64 / rate as f64);
    assert!(
        began.elapsed() >= least,
        "{bytes} bytes in {:?}",
        began.elapsed()
    );
    assert_eq!(numbers(&url).await.len(), 150);
    side.stop().await;
}
