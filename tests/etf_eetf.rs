//! The codec beside `eetf`, one that we did not write, on the inputs that `eetf` handles rightly.

#![allow(clippy::unwrap_used)]

#[path = "support/random_terms.rs"]
mod random_terms;
#[path = "support/terms.rs"]
mod terms;

use bytes::Bytes;
use rand::SeedableRng;
use rand::rngs::StdRng;
use sidekick::etf::{self, Term};

/// The same term as `eetf` holds it; none where it cannot hold it, or is known to read or write it wrongly.
fn theirs(term: &Term) -> Option<eetf::Term> {
    let all = |elements: &[Term]| elements.iter().map(theirs).collect::<Option<Vec<_>>>();
    let name = |atom: &etf::Atom| eetf::Atom::from(atom.as_str());
    Some(match term {
        Term::Int(value) => match i32::try_from(*value) {
            Ok(small) => eetf::FixInteger::from(small).into(),
            Err(_) => eetf::BigInteger::from(*value).into(),
        },
        // It bounds big integers' length by one byte of its own.
        Term::Big(value) => eetf::BigInteger {
            value: value.clone(),
        }
        .into(),
        Term::Float(value) => eetf::Float { value: *value }.into(),
        // It writes lengths of atoms in bytes and refuses what OTP allows.
        Term::Atom(atom) if atom.as_str().len() <= 255 => name(atom).into(),
        Term::Binary(bytes) => eetf::Binary::from(&bytes[..]).into(),
        Term::Tuple(elements) => eetf::Tuple::from(all(elements)?).into(),
        // It takes lists of small negative numbers for bytes.
        Term::List(elements) if elements.iter().any(|e| matches!(e, Term::Int(_))) => return None,
        Term::List(elements) => eetf::List::from(all(elements)?).into(),
        Term::ImproperList(elements, tail) => {
            eetf::ImproperList::from((all(elements)?, theirs(tail)?)).into()
        }
        Term::Pid(pid) => eetf::Pid {
            node: name(&pid.node),
            id: pid.id,
            serial: pid.serial,
            creation: pid.creation,
        }
        .into(),
        Term::Port(port) => eetf::Port {
            node: name(&port.node),
            id: port.id,
            creation: port.creation,
        }
        .into(),
        Term::Ref(reference) => eetf::Reference {
            node: name(&reference.node),
            id: reference.words().to_vec(),
            creation: reference.creation,
        }
        .into(),
        // A map of its own has no order, bit strings lose their padding, long atoms and funs it knows otherwise.
        _ => return None,
    })
}

#[test]
fn both_write_and_read_the_same() {
    let mut rng = StdRng::seed_from_u64(rand::random());
    let mut compared = 0;
    for _ in 0..20_000 {
        let term = random_terms::term(&mut rng, 2);
        let Some(theirs) = theirs(&term) else {
            continue;
        };
        compared += 1;
        let mut written = Vec::new();
        theirs.encode(&mut written).unwrap();
        let written = Bytes::from(written);
        let read = etf::decode(written.clone()).unwrap_or_else(|e| panic!("{e}: {term}"));
        assert_eq!(
            terms::normal(read),
            terms::normal(term.clone()),
            "{written:?}"
        );
        let ours = etf::encode(&term);
        assert_eq!(eetf::Term::decode(&ours[..]).unwrap(), theirs, "{ours:?}");
    }
    assert!(compared > 5_000, "{compared}");
}

#[test]
fn what_eetf_gets_wrong_is_right_here() {
    let negative = Term::list([Term::Int(-1), Term::Int(-2), Term::Int(-3)]);
    assert_eq!(etf::decode(etf::encode(&negative)).unwrap(), negative);
    let text = etf::decode(Bytes::from_static(&[131, 107, 0, 1, 97])).unwrap();
    assert_eq!(text, Term::list([Term::Int(97)]));
}
