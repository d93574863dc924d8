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

/// Holds the bytes against a file that the Elixir library's tests read too. `SIDEKICK_WRITE_GOLDEN=1` writes it anew.
fn assert_golden(name: &str, term: &Term) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name);
    let bytes = etf::encode(term);
    if std::env::var_os("SIDEKICK_WRITE_GOLDEN").is_some() {
        std::fs::write(&path, &bytes).unwrap();
    }
    let golden = std::fs::read(&path).unwrap();
    assert_eq!(bytes, golden, "{} is {term}", path.display());
}

#[test]
fn an_upload_has_the_documented_form() {
    let payload = Term::map([("hp", Term::int(3))]);
    let request = beam::upload(Upload {
        origin: Origin::from_bytes([7; 16]),
        node: "sidekick@127.0.0.1",
        stream: &stream("events"),
        after: 4,
        last: 6,
        dropped: vec![(3, 4)],
        records: vec![record(5, &payload), record(6, &Term::atom("x"))],
    });
    let map = over_the_wire(&request).as_tuple().unwrap()[1].clone();
    let records = map.map_get("records").unwrap().as_list().unwrap();
    assert_eq!(records[0].map_get("payload"), Some(&payload));
    assert_golden("upload.etf", &request);
}

#[test]
fn a_question_for_the_watermark_has_the_documented_form() {
    let origin = Origin::from_bytes([7; 16]);
    assert_golden("watermark.etf", &beam::watermark(origin, &stream("events")));
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
    assert_golden("upload_state.etf", &request);
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
        Outcome::Gap {
            store: None,
            watermark: 4
        }
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
        Outcome::Failed(Failure::Late(_)) => "late",
        Outcome::Failed(Failure::Refused(_)) => "refused",
        _ => "other",
    };
    for (reply, expected) in [
        (error("busy", &[]), "not done"),
        (Err(CallError::NoProc), "not done"),
        (error("bad_request", &[]), "refused"),
        (error("too_large", &[]), "refused"),
        (error("refused", &[("seq", 5)]), "refused"),
        (error("timeout", &[]), "unknown"),
        (error("unavailable", &[]), "unknown"),
        (error("failed", &[]), "unknown"),
        (Err(CallError::Timeout), "late"),
        (Err(CallError::NoConnection), "unknown"),
        (Err(CallError::Exit(Term::atom("killed"))), "unknown"),
        (Ok(Term::atom("ok")), "unknown"),
        (Ok(Term::ok(Term::int(3))), "unknown"),
        (ok("watermark_", 3), "unknown"),
    ] {
        assert_eq!(kind(outcome(reply.clone())), expected, "{reply:?}");
    }
}
