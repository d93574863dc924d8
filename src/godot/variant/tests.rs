use super::*;
use crate::etf;
use crate::godot::{Step, term_to_variant, variant_to_term};
use proptest::prelude::*;

const GOLDEN: &str = include_str!("../../../tests/golden/variant_double.hex");

fn unhex(text: &str) -> Bytes {
    let digit = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).expect("hex digits");
    (0..text.len()).step_by(2).map(digit).collect()
}

#[test]
fn double_precision_bytes_are_read_and_written() {
    let mut seen = 0;
    for line in GOLDEN.lines().filter(|line| !line.starts_with('#')) {
        let (name, hex) = line.split_once(' ').unwrap();
        let bytes = unhex(hex);
        let value = decode(bytes.clone()).unwrap();
        let first = match &value {
            Variant::Reals(shape, reals) => {
                assert_eq!(type_name(shape.id()), Some(name));
                reals[shape.count() - 1] - (shape.count() - 1) as f64
            }
            Variant::Vector2s(v) => v[1][1] - 3.0,
            Variant::Vector3s(v) => v[1][2] - 5.0,
            Variant::Vector4s(v) => v[1][3] - 7.0,
            Variant::Float(number) => *number,
            other => panic!("{name} was read as {other:?}"),
        };
        assert!((first - 0.1).abs() < 1e-12, "{name}: {first}");
        assert_eq!(encode(&value, Precision::Double), bytes, "{name}");
        // Not exact in 32 bits, so even the short form keeps 64.
        assert_eq!(encode(&value, Precision::Single), bytes, "{name}");
        seen += 1;
    }
    assert_eq!(seen, 15);
}

#[test]
fn a_double_build_writes_64_bits_even_where_32_would_do() {
    let value = Variant::Reals(RealShape::Vector2, Box::new([1.0, 2.0]));
    assert_eq!(encode(&value, Precision::Single).len(), 12);
    let wide = encode(&value, Precision::Double);
    assert_eq!(wide.len(), 20);
    assert_eq!(decode(wide).unwrap(), value);
}

#[test]
fn what_is_not_plain_is_refused_with_its_path() {
    let object = [24, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0];
    let mut bytes = BytesList::default();
    bytes
        .u32(27)
        .u32(1)
        .text("players")
        .u32(28)
        .u32(2)
        .u32(0)
        .raw(&object);
    let error = decode(bytes.done()).unwrap_err();
    assert_eq!(error.problem, Problem::NotPlain("object"));
    let steps: Vec<_> = error.path.steps().cloned().collect();
    assert_eq!(steps, [Step::Key("\"players\"".into()), Step::Index(1)]);
    assert!(error.to_string().contains("[\"players\"][1]"), "{error}");
    for (id, name) in [
        (23, "rid"),
        (24, "object"),
        (25, "callable"),
        (26, "signal"),
    ] {
        let error = decode(Bytes::from(vec![id, 0, 0, 0])).unwrap_err();
        assert_eq!(error.problem, Problem::NotPlain(name));
    }
}

#[test]
fn hostile_counts_and_depths_are_refused_at_once() {
    for id in [4u32, 21, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38] {
        for count in [u32::MAX, 0x7FFF_FFFF, 0x4000_0000, 1 << 20] {
            let mut bytes = BytesList::default();
            let error = decode(bytes.u32(id).u32(count).u32(0).done()).unwrap_err();
            assert!(
                matches!(error.problem, Problem::Truncated),
                "{id} {count}: {error}"
            );
        }
    }
    let mut bytes = BytesList::default();
    for _ in 0..100_000 {
        bytes.u32(28).u32(1);
    }
    assert_eq!(
        decode(bytes.u32(0).done()).unwrap_err().problem,
        Problem::TooDeep
    );
    let mut bytes = BytesList::default();
    bytes.u32(22).u32(u32::MAX).u32(u32::MAX).u32(0);
    assert_eq!(
        decode(bytes.done()).unwrap_err().problem,
        Problem::Truncated
    );
    assert_eq!(
        decode(Bytes::from_static(&[99, 0, 0, 0]))
            .unwrap_err()
            .problem,
        Problem::UnknownType(99)
    );
    assert_eq!(
        decode(Bytes::from_static(&[0, 0, 0, 0, 0]))
            .unwrap_err()
            .problem,
        Problem::Trailing(1)
    );
}

#[derive(Default)]
struct BytesList(Vec<u8>);

impl BytesList {
    fn u32(&mut self, number: u32) -> &mut Self {
        self.raw(&number.to_le_bytes())
    }

    fn text(&mut self, text: &str) -> &mut Self {
        self.raw(&encode(&Variant::text(text), Precision::Single))
    }

    fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }

    fn done(&mut self) -> Bytes {
        std::mem::take(&mut self.0).into()
    }
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z]{0,9}", "[^\0]{0,12}"]
}

fn real() -> impl Strategy<Value = f64> {
    prop_oneof![
        prop::num::f32::NORMAL.prop_map(f64::from),
        prop::num::f64::NORMAL,
        Just(0.0),
        Just(-0.0),
        Just(f64::INFINITY),
        Just(f64::NEG_INFINITY),
    ]
}

fn single() -> impl Strategy<Value = f32> {
    prop_oneof![prop::num::f32::NORMAL, Just(0.0), Just(f32::INFINITY)]
}

fn element_type() -> impl Strategy<Value = Option<ElementType>> {
    prop_oneof![
        Just(None),
        (1u8..39).prop_map(|id| Some(ElementType::Builtin(id))),
        "[A-Z][a-z]{1,8}".prop_map(|name| Some(ElementType::Class(name))),
        "res://[a-z]{1,8}".prop_map(|path| Some(ElementType::Script(path))),
    ]
}

fn leaf() -> impl Strategy<Value = Variant> {
    let reals = (0..RealShape::ALL.len(), prop::collection::vec(real(), 16)).prop_map(|(at, r)| {
        let shape = RealShape::ALL[at];
        Variant::Reals(shape, r[..shape.count()].into())
    });
    let ints = (0..IntShape::ALL.len(), any::<[i32; 4]>()).prop_map(|(at, ints)| {
        let shape = IntShape::ALL[at];
        Variant::Ints(shape, ints[..shape.count()].into())
    });
    let path = (
        any::<bool>(),
        prop::collection::vec("[A-Za-z0-9_]{1,5}", 0..4),
        prop::collection::vec("[a-z]{1,5}", 0..3),
    )
        .prop_map(|(absolute, names, subnames)| {
            Variant::NodePath(NodePath {
                absolute,
                names,
                subnames,
            })
        });
    let colors = prop::array::uniform4(single());
    prop_oneof![
        Just(Variant::Nil),
        any::<bool>().prop_map(Variant::Bool),
        any::<i64>().prop_map(Variant::Int),
        any::<i32>().prop_map(|int| Variant::Int(int.into())),
        real().prop_map(Variant::Float),
        text().prop_map(Variant::String),
        text().prop_map(Variant::StringName),
        reals,
        ints,
        path,
        colors.prop_map(Variant::Color),
        prop::collection::vec(any::<u8>(), 0..20).prop_map(|b| Variant::Bytes(b.into())),
        prop::collection::vec(any::<i32>(), 0..6).prop_map(Variant::Int32s),
        prop::collection::vec(any::<i64>(), 0..6).prop_map(Variant::Int64s),
        prop::collection::vec(single(), 0..6).prop_map(Variant::Float32s),
        prop::collection::vec(real(), 0..6).prop_map(Variant::Float64s),
        prop::collection::vec(text(), 0..6).prop_map(Variant::Strings),
        prop::collection::vec(prop::array::uniform2(real()), 0..4).prop_map(Variant::Vector2s),
        prop::collection::vec(prop::array::uniform3(real()), 0..4).prop_map(Variant::Vector3s),
        prop::collection::vec(prop::array::uniform4(real()), 0..4).prop_map(Variant::Vector4s),
        prop::collection::vec(prop::array::uniform4(single()), 0..4).prop_map(Variant::Colors),
    ]
}

pub fn variant() -> impl Strategy<Value = Variant> {
    leaf().prop_recursive(4, 48, 6, |inner| {
        let array = (element_type(), prop::collection::vec(inner.clone(), 0..6))
            .prop_map(|(kind, elements)| Variant::Array(kind.map(Box::new), elements));
        let entries = prop::collection::vec(inner, 0..6).prop_map(|values| {
            let key = |(index, value)| (Variant::Int(index as i64), value);
            values.into_iter().enumerate().map(key).collect()
        });
        let dictionary =
            (element_type(), element_type(), entries).prop_map(|(key, value, entries)| {
                Variant::Dictionary(Box::new(Dictionary {
                    key,
                    value,
                    entries,
                }))
            });
        prop_oneof![array, dictionary]
    })
}

proptest! {
    #[test]
    fn every_value_survives_its_bytes(value in variant()) {
        for precision in [Precision::Single, Precision::Double] {
            let bytes = encode(&value, precision);
            prop_assert_eq!(bytes.len() % 4, 0);
            prop_assert_eq!(&decode(bytes).unwrap(), &value);
        }
    }

    #[test]
    fn every_value_survives_its_term(value in variant()) {
        let term = variant_to_term(&value).unwrap();
        let term = etf::decode(etf::encode(&term)).unwrap();
        prop_assert_eq!(term_to_variant(&term).unwrap(), value);
    }

    #[test]
    fn damaged_bytes_never_panic(value in variant(), at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<prop::sample::Index>()) {
        let mut bytes = encode(&value, Precision::Single).to_vec();
        let place = at.index(bytes.len());
        bytes[place] = byte;
        bytes.truncate(cut.index(bytes.len()) + 1);
        if let Ok(value) = decode(bytes.into()) {
            if let Ok(term) = variant_to_term(&value) {
                let _ = term_to_variant(&term);
            }
        }
    }

    #[test]
    fn noise_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode(bytes.into());
    }
}

#[test]
fn nan_survives_bytes_and_term() {
    for value in [
        Variant::Float(f64::NAN),
        Variant::Reals(RealShape::Vector2, Box::new([f64::NAN, 1.0])),
        Variant::Float64s(vec![f64::NAN]),
        Variant::Color([f32::NAN, 0.0, 0.0, 1.0]),
    ] {
        let bytes = encode(&value, Precision::Single);
        let again = decode(bytes.clone()).unwrap();
        assert_eq!(format!("{again:?}"), format!("{value:?}"));
        let term = etf::decode(etf::encode(&variant_to_term(&value).unwrap())).unwrap();
        assert_eq!(
            format!("{:?}", term_to_variant(&term).unwrap()),
            format!("{value:?}")
        );
    }
}
