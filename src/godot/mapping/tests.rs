use super::*;
use crate::etf::{Atom, Pid, Term};
use crate::godot::variant::{RealShape, Variant};

#[test]
fn foreign_terms_are_read_kindly() {
    let atom = Term::atom("status");
    for (term, value) in [
        (atom.clone(), Variant::StringName("status".into())),
        (Term::nil(), Variant::Nil),
        (Term::bool(true), Variant::Bool(true)),
        (Term::text("héllo"), Variant::text("héllo")),
        (
            Term::binary(&b"\xff\x00"[..]),
            Variant::Bytes(b"\xff\x00"[..].into()),
        ),
        (
            Term::binary(&b"a\0b"[..]),
            Variant::Bytes(b"a\0b"[..].into()),
        ),
        (
            Term::tuple([atom.clone(), Term::Int(3)]),
            Variant::array(vec![Variant::StringName("status".into()), Variant::Int(3)]),
        ),
        (
            Term::tuple([
                Term::atom("godot"),
                Term::atom("vector2"),
                Term::Int(1),
                Term::Float(2.5),
            ]),
            Variant::Reals(RealShape::Vector2, Box::new([1.0, 2.5])),
        ),
    ] {
        assert_eq!(term_to_variant(&term), Ok(value), "{term}");
    }
}

#[test]
fn what_godot_cannot_hold_is_refused_with_its_path() {
    let pid = Term::Pid(Pid {
        node: Atom::new("a@b"),
        id: 1,
        serial: 0,
        creation: 1,
    });
    let inside = Term::map([("players", Term::list([Term::nil(), pid]))]);
    let error = term_to_variant(&inside).unwrap_err();
    assert_eq!(error.to_string(), "a pid (at [players][1])");
    let twice = Term::Map(vec![
        (Term::atom("a"), Term::nil()),
        (Term::text("a"), Term::nil()),
    ]);
    assert!(
        term_to_variant(&twice)
            .unwrap_err()
            .to_string()
            .contains("twice")
    );
    for (kind, parts) in [
        ("vector2", vec![Term::Int(1)]),
        ("object", vec![Term::Int(1)]),
        ("nonsense", vec![]),
    ] {
        let mut tuple = vec![Term::atom("godot"), Term::atom(kind)];
        tuple.extend(parts);
        assert!(term_to_variant(&Term::Tuple(tuple)).is_err(), "{kind}");
    }
    let mut deep = Term::nil();
    for _ in 0..150 {
        deep = Term::list([deep]);
    }
    assert!(term_to_variant(&deep).is_err());
}

#[test]
fn a_string_name_makes_no_atom_and_a_script_can_say_one() {
    let name = Variant::StringName("Player1".into());
    let term = variant_to_term(&name).unwrap();
    assert_eq!(term.to_string(), "{godot,string_name,<<\"Player1\">>}");
    assert_eq!(message_to_term(&name).unwrap(), term);

    let atom = Variant::record([("$atom", Variant::text("ok"))]);
    let said = Variant::record([(
        "$tuple",
        Variant::array(vec![atom.clone(), Variant::Int(1)]),
    )]);
    assert_eq!(message_to_term(&said).unwrap().to_string(), "{ok,1}");
    // Kept as it is where it is data.
    assert_eq!(term_to_variant(&variant_to_term(&said).unwrap()), Ok(said));
}

#[test]
fn a_key_that_stands_twice_is_refused() {
    let twice = Variant::dictionary(vec![
        (Variant::Int(1), Variant::Nil),
        (Variant::text("x"), Variant::Nil),
        (Variant::Int(1), Variant::Nil),
    ]);
    assert!(variant_to_term(&twice).is_err());
}
