//! An Ingest that refuses what a record holds, or is away, holds up nothing else, and a drain proves what Khepri holds.

#![allow(clippy::unwrap_used)]

#[path = "support/beam.rs"]
mod beam;
#[path = "support/echo.rs"]
mod echo;
#[path = "support/frontend.rs"]
mod frontend;
#[path = "support/khepri.rs"]
mod khepri;

use beam::{Epmd, eventually, unique};
use frontend::Frontend;
use khepri::{DEADLINE, Side, payload, sink};
use sidekick::buffer::Start;
use sidekick::etf::{self, Term};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A module that refuses every record whose number ends with 7, until it is told to be mild.
const JUDGE: &str = r#"(fun() ->
    Parse = fun(Text) -> {ok, Tokens, _} = erl_scan:string(Text), {ok, Form} = erl_parse:parse_form(Tokens), Form end,
    Forms = [Parse(Text) || Text <- ["-module(judge).", "-export([judge/2]).",
        "judge(_, #{n := N}) when N rem 10 =:= 7 ->
             case persistent_term:get(judge, strict) of strict -> {error, <<\"no sevens\">>}; mild -> ok end;
         judge(_, _) -> ok."]],
    {ok, judge, Code} = compile:forms(Forms),
    {module, judge} = code:load_binary(judge, "judge.erl", Code),
    ok end)()."#;

async fn proves(side: &Side, last: u64) {
    let report = side.upload.drain_one(&sink(), DEADLINE).await.unwrap();
    assert!(report.stored, "{:?}", report.missing());
    assert_eq!(report.streams[0].watermark, Some(last));
}

async fn seqs(frontend: &mut Frontend, side: &Side) -> Vec<(u64, u64)> {
    let records = frontend.records(&side.origin(), "events").await;
    let number = |payload: &Term| payload.map_get("n").and_then(Term::as_u64).unwrap();
    records
        .iter()
        .map(|(seq, payload)| (*seq, number(payload)))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_ingest_refuses_lies_among_the_dead_letters_and_is_offered_again() {
    let (epmd, dir, store) = (
        Epmd::start().await,
        TempDir::new().unwrap(),
        TempDir::new().unwrap(),
    );
    let (me, there) = (unique("sidekick"), unique("frontend"));
    let side = Side::start(dir.path(), Start::First, &me, epmd.port, &[&there]).await;
    let judged = ", {validate, {judge, judge}}";
    let mut frontend = Frontend::boot(&there, epmd.port, None).await;
    frontend.beam.eval(JUDGE).await;
    frontend.serve(&there, store.path(), judged).await;
    side.append("events", 1, 100).await;
    proves(&side, 100).await;
    let sevens: Vec<u64> = (1..=100).filter(|n| n % 10 == 7).collect();
    let letters = side.upload.dead(&sink()).await.unwrap();
    let dead: Vec<_> = letters.iter().map(|letter| letter.seq).collect();
    assert_eq!(dead, sevens);
    let first = &letters[0];
    assert!(first.error.contains("no sevens"), "{}", first.error);
    assert_eq!(
        etf::decode(first.payload.clone()).unwrap(),
        payload(7),
        "the bytes that were appended"
    );
    let good: Vec<_> = (1..=100).filter(|n| n % 10 != 7).map(|n| (n, n)).collect();
    assert_eq!(seqs(&mut frontend, &side).await, good);
    // What is missing is told, and counted there.
    assert_eq!(frontend.head(&side.origin(), "events", "dropped").await, 10);

    frontend
        .beam
        .eval("persistent_term:put(judge, mild).")
        .await;
    assert_eq!(side.upload.redrive(&sink(), None).await.unwrap().len(), 10);
    proves(&side, 110).await;
    assert_eq!(side.upload.dead(&sink()).await.unwrap(), []);
    let late: Vec<_> = (101..).zip(sevens).collect();
    assert_eq!(seqs(&mut frontend, &side).await, [good, late].concat());
    let records = frontend.records(&side.origin(), "events").await;
    let (last, whole) = (&records.last().unwrap().1, payload(97));
    for key in ["n", "text", "at"] {
        assert_eq!(last.map_get(key), whole.map_get(key), "as it was");
    }
    side.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_tells_what_is_missing_and_the_end_waits_for_nobody() {
    let (epmd, dir, store) = (
        Epmd::start().await,
        TempDir::new().unwrap(),
        TempDir::new().unwrap(),
    );
    let (me, there) = (unique("sidekick"), unique("frontend"));
    let side = Side::start(dir.path(), Start::First, &me, epmd.port, &[&there]).await;
    let frontend = Frontend::start(&there, epmd.port, store.path()).await;
    side.append("events", 1, 30).await;
    side.put("score", 1).await;
    proves(&side, 30).await;
    frontend.kill().await;
    side.append("events", 31, 10).await;
    side.put("score", 2).await;
    let report = side
        .upload
        .drain_one(&sink(), Duration::from_millis(200))
        .await
        .unwrap();
    let missing = report.missing().unwrap();
    assert!(
        missing.contains("events up to 40 is not confirmed"),
        "{missing}"
    );
    assert!(
        missing.contains("state of lobby is not stored"),
        "{missing}"
    );
    // Nobody is there, so nobody is waited for.
    eventually("the loss of the node is noticed", async || {
        side.status().node.is_none()
    })
    .await;
    let began = Instant::now();
    let reports = side.upload.finish(Duration::from_secs(60)).await;
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "{:?}",
        began.elapsed()
    );
    assert!(!reports[0].stored);
    let _frontend = Frontend::start(&there, epmd.port, store.path()).await;
    proves(&side, 40).await;
    side.stop().await;
}
