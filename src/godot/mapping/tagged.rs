//! `{godot, Type, …}` → Variant.

use super::numbers::{composite, group, int32, real};
use super::to_variant::{elements, entries};
use super::{ANY, MapError};
use crate::etf::Term;
use crate::godot::Step;
use crate::godot::variant::{
    Dictionary, ElementType, IntShape, NodePath, RealShape, Variant, type_id, type_of_name,
};

/// The value of a tagged tuple: `kind` is its second element, `parts` the rest.
pub(super) fn variant(kind: &Term, parts: &[Term], depth: usize) -> Result<Variant, MapError> {
    let name = kind.as_atom().map_or("", |atom| atom.as_str());
    let id = type_of_name(name).ok_or_else(|| malformed(name))?;
    if let Some(shape) = RealShape::from_id(id) {
        return composite(name, parts, shape.count(), real).map(|r| Variant::Reals(shape, r));
    }
    if let Some(shape) = IntShape::from_id(id) {
        return composite(name, parts, shape.count(), int32).map(|i| Variant::Ints(shape, i));
    }
    match (id, parts) {
        (type_id::COLOR, _) => group::<4>(parts)
            .map(|c| Variant::Color(c.map(|p| p as f32)))
            .ok_or(malformed(name)),
        (type_id::ARRAY, [kind, Term::List(list)]) => {
            let kind = element_type(kind)?.map(Box::new);
            Ok(Variant::Array(kind, elements(list, depth)?))
        }
        (type_id::DICTIONARY, [key, value, Term::Map(pairs)]) => {
            let (key, value) = (element_type(key)?, element_type(value)?);
            let entries = entries(pairs, depth)?;
            Ok(Variant::Dictionary(Box::new(Dictionary {
                key,
                value,
                entries,
            })))
        }
        (_, [part]) => simple(id, part).unwrap_or_else(|| Err(malformed(name))),
        _ => Err(malformed(name)),
    }
}

/// The types with one part; `None` where the part does not suit.
fn simple(id: u8, part: &Term) -> Option<Result<Variant, MapError>> {
    let text = || part.as_text().filter(|text| !text.contains('\0'));
    Some(Ok(match id {
        type_id::FLOAT => Variant::Float(real(part)?),
        type_id::STRING_NAME => Variant::StringName(text()?.to_owned()),
        type_id::NODE_PATH => Variant::NodePath(NodePath::parse(text()?)),
        type_id::PACKED_BYTE_ARRAY => Variant::Bytes(part.as_binary()?.clone()),
        _ => return packed(id, part.as_list()?),
    }))
}

fn packed(id: u8, list: &[Term]) -> Option<Result<Variant, MapError>> {
    Some(match id {
        type_id::PACKED_INT32_ARRAY => all(list, int32).map(Variant::Int32s),
        type_id::PACKED_INT64_ARRAY => all(list, Term::as_i64).map(Variant::Int64s),
        type_id::PACKED_FLOAT32_ARRAY => {
            all(list, |part| real(part).map(|r| r as f32)).map(Variant::Float32s)
        }
        type_id::PACKED_FLOAT64_ARRAY => all(list, real).map(Variant::Float64s),
        type_id::PACKED_STRING_ARRAY => {
            let plain = |text: &&str| !text.contains('\0');
            all(list, |part| part.as_text().filter(plain).map(str::to_owned)).map(Variant::Strings)
        }
        type_id::PACKED_VECTOR2_ARRAY => all(list, |p| group(p.as_tuple()?)).map(Variant::Vector2s),
        type_id::PACKED_VECTOR3_ARRAY => all(list, |p| group(p.as_tuple()?)).map(Variant::Vector3s),
        type_id::PACKED_VECTOR4_ARRAY => all(list, |p| group(p.as_tuple()?)).map(Variant::Vector4s),
        type_id::PACKED_COLOR_ARRAY => all(list, |p| {
            group::<4>(p.as_tuple()?).map(|c| c.map(|r| r as f32))
        })
        .map(Variant::Colors),
        _ => return None,
    })
}

fn all<T>(list: &[Term], read: impl Fn(&Term) -> Option<T>) -> Result<Vec<T>, MapError> {
    let element = |(index, part)| {
        let fault = || MapError::new("an element of the wrong type").under(Step::Index(index));
        read(part).ok_or_else(fault)
    };
    list.iter().enumerate().map(element).collect()
}

fn element_type(term: &Term) -> Result<Option<ElementType>, MapError> {
    let fault = || MapError::new("an element type that Godot does not have");
    match term {
        Term::Atom(atom) if atom.as_str() == ANY => Ok(None),
        Term::Atom(atom) => {
            let id = type_of_name(atom.as_str()).ok_or_else(fault)?;
            Ok(Some(ElementType::Builtin(id)))
        }
        Term::Tuple(parts) => {
            let [kind, name] = parts.as_slice() else {
                return Err(fault());
            };
            let name = name.as_text().ok_or_else(fault)?.to_owned();
            match kind.as_atom().map(crate::etf::Atom::as_str) {
                Some("class") => Ok(Some(ElementType::Class(name))),
                Some("script") => Ok(Some(ElementType::Script(name))),
                _ => Err(fault()),
            }
        }
        _ => Err(fault()),
    }
}

/// The refusal of a tuple that says it is a Godot value and is none.
pub(super) fn malformed(name: &str) -> MapError {
    MapError::new(format!(
        "a {{godot, {name}, …}} tuple that is not one of the documented forms"
    ))
}
