//! The term codec keeps every term, and nothing makes it panic or run away.

#![allow(clippy::unwrap_used)]

#[path = "support/terms.rs"]
mod terms;

use proptest::prelude::*;
use sidekick::etf::{self, Limits, Term};

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_encoded_decodes_to_the_same(term in terms::term()) {
        let bytes = etf::encode(&term);
        prop_assert_eq!(&etf::decode(bytes.clone()).unwrap(), &term);
        prop_assert_eq!(etf::encode(&etf::decode(bytes).unwrap()), etf::encode(&term));
        // Printing must not fail either.
        prop_assert!(!term.to_string().is_empty());
    }

    #[test]
    fn cut_short_is_refused(term in terms::term(), at in any::<prop::sample::Index>()) {
        let bytes = etf::encode(&term);
        prop_assert!(etf::decode(bytes.slice(..at.index(bytes.len()))).is_err());
    }

    #[test]
    fn any_bytes_are_decoded_or_refused(mut bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Some(first) = bytes.first_mut() {
            *first = etf::VERSION;
        }
        if let Ok(term) = etf::decode(bytes.into()) {
            prop_assert_eq!(etf::decode(etf::encode(&term)).unwrap(), term);
        }
    }

    #[test]
    fn bounds_are_kept(term in terms::term(), terms_max in 0usize..50) {
        let limits = Limits { terms: terms_max, ..Limits::default() };
        if let Ok(decoded) = etf::decode_with(etf::encode(&term), limits) {
            prop_assert!(count(&decoded) <= terms_max);
        }
    }
}

fn count(term: &Term) -> usize {
    1 + match term {
        Term::Tuple(elements) | Term::List(elements) => elements.iter().map(count).sum(),
        Term::ImproperList(elements, tail) => {
            elements.iter().map(count).sum::<usize>() + count(tail)
        }
        Term::Map(pairs) => pairs.iter().map(|(k, v)| count(k) + count(v)).sum(),
        _ => 0,
    }
}
