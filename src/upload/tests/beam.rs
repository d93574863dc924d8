//! Requests and answers of the beam protocol as terms.

use super::*;
use crate::buffer::{Record, StateDelta};
use crate::etf::{self, Term};
use crate::node::CallError;
use crate::types::{Key, Origin};
use crate::upload::beam::{self, Upload, outcome, state_outcome};

fn record(seq: u64, payload: &Term) -> Record {
    Record {
        seq,
        at_ms: 1000 + seq,
        payload: etf::encode(payload),
    }
}

/// As the other side reads it: payloads go in as bytes and come out as terms.
fn over_the_wire(term: &Term) -> Term {
    etf::decode(etf::encode(term)).unwrap()
}

#[test]
fn an_upload_has_the_documented_form() {
    let payload = Term::map([("hp", Term::int(3))]);
    let request = over_the_wire(&beam::upload(Upload {
        origin: Origin::from_bytes([7; 16]),
        node: "sidekick@127.0.0.1",
        stream: &stream("events"),
        after: 4,
        last: 6,
        dropped: vec![(3, 4)],
        records: vec![record(5, &payload), record(6, &Term::atom("x"))],
    }));
    let text = request.to_string();
    for part in [
        "{upload,",
        "stream => <<\"events\">>",
        "after => 4",
        "first => 5",
        "last => 6",
        "dropped => [{3,4}]",
        "node => 'sidekick@127.0.0.1'",
        "payload => #{hp => 3}",
        "origin => <<\"07070707-0707-0707-0707-070707070707\">>",
    ] {
        let squeezed = |text: &str| text.replace(' ', "");
        assert!(
            squeezed(&text).contains(&squeezed(part)),
            "{part} in {text}"
        );
    }
}

#[test]
fn a_state_upload_has_the_documented_form() {
    let delta = StateDelta {
        epoch: 2,
        after: 3,
        rev: 9,
        put: vec![(
            Key::try_from("a").unwrap(),
            etf::encode(&Term::list([Term::int(1)])),
        )],
        delete: vec![Key::try_from("b").unwrap()],
    };
    let request = beam::upload_state(Origin::from_bytes([7; 16]), &scope("lobby"), &delta);
    let request = over_the_wire(&request);
    let Some([name, map]) = request.as_tuple() else {
        panic!("{request}");
    };
    assert!(name.is_atom("upload_state"));
    let number = |key| map.map_get(key).and_then(Term::as_u64);
    assert_eq!(
        ["epoch", "after", "rev"].map(number),
        [Some(2), Some(3), Some(9)]
    );
    let put = [(Term::text("a"), Term::list([Term::int(1)]))];
    assert_eq!(map.map_get("put").unwrap().as_map().unwrap(), put);
    assert_eq!(
        map.map_get("delete").unwrap(),
        &Term::list([Term::text("b")])
    );
}

#[test]
fn each_answer_means_what_is_documented() {
    let ok = |key, value: u64| {
        Ok(Term::ok(Term::map([
            ("store", Term::binary(STORE)),
            (key, Term::int(value)),
        ])))
    };
    assert_eq!(outcome(ok("watermark", 7)), stored(7));
    let rev = StateOutcome::Stored {
        store: STORE,
        rev: 7,
    };
    assert_eq!(state_outcome(3, ok("rev", 7)), rev);

    let error = |code, pairs: &[(&'static str, u64)]| {
        let details = Term::map(pairs.iter().map(|(key, n)| (*key, Term::int(*n))));
        Ok::<_, CallError>(Term::error(code, details))
    };
    assert_eq!(
        outcome(error("gap", &[("watermark", 4)])),
        Outcome::Gap { watermark: 4 }
    );
    let gap = StateOutcome::Gap { after: 3, rev: 4 };
    assert_eq!(
        state_outcome(3, error("gap", &[("rev", 4), ("epoch", 1)])),
        gap
    );
    let stale = StateOutcome::StaleEpoch { stored: 5 };
    assert_eq!(
        state_outcome(3, error("stale_epoch", &[("rev", 4), ("epoch", 5)])),
        stale
    );

    let kind = |outcome| match outcome {
        Outcome::Failed(Failure::NotDone(_)) => "not done",
        Outcome::Failed(Failure::Unknown(_)) => "unknown",
        Outcome::Failed(Failure::Refused(_)) => "refused",
        _ => "other",
    };
    for (reply, expected) in [
        (error("busy", &[]), "not done"),
        (Err(CallError::NoProc), "not done"),
        (error("bad_request", &[]), "refused"),
        (error("too_large", &[]), "refused"),
        (error("timeout", &[]), "unknown"),
        (error("unavailable", &[]), "unknown"),
        (error("failed", &[]), "unknown"),
        (Err(CallError::Timeout), "unknown"),
        (Err(CallError::NoConnection), "unknown"),
        (Err(CallError::Exit(Term::atom("killed"))), "unknown"),
        (Ok(Term::atom("ok")), "unknown"),
        (Ok(Term::ok(Term::int(3))), "unknown"),
        (ok("watermark_", 3), "unknown"),
    ] {
        assert_eq!(kind(outcome(reply.clone())), expected, "{reply:?}");
    }
}
