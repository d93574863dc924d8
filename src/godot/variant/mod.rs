//! Godot's `Variant`, as `put_var` and `var_to_bytes` write it.
//!
//! Every plain type of Godot 4 is held, both float widths, typed arrays and dictionaries. `Object`, `RID`, `Callable` and
//! `Signal` mean nothing outside the process that made them, so they are refused with the path to the culprit.
//!
//! Composite floats (vectors, transforms, …) are held as `f64` whatever the build: a single-precision value is exact in
//! `f64`, and [`encode()`] writes the short form again wherever that loses nothing.

mod decode;
mod encode;
mod kinds;

#[cfg(test)]
mod tests;

pub(crate) use decode::shown;
pub use decode::{DecodeError, Problem, decode, decode_prefix};
pub use encode::{Precision, encode, encode_into};
pub(crate) use kinds::type_of_name;
pub use kinds::{ElementType, IntShape, RealShape, type_id, type_name};

use bytes::Bytes;

/// Containers nest at most this deep.
pub const DEPTH_MAX: usize = 100;

/// One value of Godot.
#[derive(Debug, Clone, PartialEq)]
pub enum Variant {
    /// `null`.
    Nil,
    /// `bool`.
    Bool(bool),
    /// `int`.
    Int(i64),
    /// `float`.
    Float(f64),
    /// `String`.
    String(String),
    /// `StringName`.
    StringName(String),
    /// `NodePath`.
    NodePath(NodePath),
    /// Vectors, rectangles, transforms and so on: as many components as the shape has, in the order of `put_var`.
    Reals(RealShape, Box<[f64]>),
    /// `Vector2i`, `Rect2i`, `Vector3i`, `Vector4i`.
    Ints(IntShape, Box<[i32]>),
    /// `Color`: red, green, blue, alpha; `f32` in every build.
    Color([f32; 4]),
    /// `Dictionary`, in order.
    Dictionary(Box<Dictionary>),
    /// `Array`; its element type is `None` where it is untyped.
    Array(Option<Box<ElementType>>, Vec<Variant>),
    /// `PackedByteArray`.
    Bytes(Bytes),
    /// `PackedInt32Array`.
    Int32s(Vec<i32>),
    /// `PackedInt64Array`.
    Int64s(Vec<i64>),
    /// `PackedFloat32Array`.
    Float32s(Vec<f32>),
    /// `PackedFloat64Array`.
    Float64s(Vec<f64>),
    /// `PackedStringArray`.
    Strings(Vec<String>),
    /// `PackedVector2Array`.
    Vector2s(Vec<[f64; 2]>),
    /// `PackedVector3Array`.
    Vector3s(Vec<[f64; 3]>),
    /// `PackedVector4Array`.
    Vector4s(Vec<[f64; 4]>),
    /// `PackedColorArray`.
    Colors(Vec<[f32; 4]>),
}

/// A dictionary with its (optional) element types and its entries in order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Dictionary {
    /// Type of the keys, where typed.
    pub key: Option<ElementType>,
    /// Type of the values, where typed.
    pub value: Option<ElementType>,
    /// Entries in insertion order.
    pub entries: Vec<(Variant, Variant)>,
}

/// A path to a node and its properties.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodePath {
    /// Begins with `/`.
    pub absolute: bool,
    /// Node names.
    pub names: Vec<String>,
    /// Property names, each after a `:`.
    pub subnames: Vec<String>,
}

impl NodePath {
    /// The text that a script writes, such as `/root/Main:position:x`.
    pub fn text(&self) -> String {
        let mut text = String::new();
        if self.absolute {
            text.push('/');
        }
        text.push_str(&self.names.join("/"));
        for subname in &self.subnames {
            text.push(':');
            text.push_str(subname);
        }
        text
    }

    /// The path that a text names.
    pub fn parse(text: &str) -> Self {
        let (absolute, rest) = match text.strip_prefix('/') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let mut parts = rest.split(':');
        let names = parts.next().unwrap_or_default();
        let full = |part: &&str| !part.is_empty();
        Self {
            absolute,
            names: names.split('/').filter(full).map(str::to_owned).collect(),
            subnames: parts.filter(full).map(str::to_owned).collect(),
        }
    }
}

impl Variant {
    /// A `String`.
    pub fn text(text: impl Into<String>) -> Self {
        Self::String(text.into())
    }

    /// An untyped array.
    pub fn array(elements: Vec<Variant>) -> Self {
        Self::Array(None, elements)
    }

    /// An untyped dictionary.
    pub fn dictionary(entries: Vec<(Variant, Variant)>) -> Self {
        Self::Dictionary(Box::new(Dictionary {
            entries,
            ..Dictionary::default()
        }))
    }

    /// An untyped dictionary with `String` keys: how sidekick's own messages look.
    pub fn record<const N: usize>(fields: [(&str, Variant); N]) -> Self {
        Self::dictionary(
            fields
                .into_iter()
                .map(|(k, v)| (Self::text(k), v))
                .collect(),
        )
    }

    /// The value under a `String` or `StringName` key.
    pub fn get(&self, key: &str) -> Option<&Variant> {
        let Self::Dictionary(dictionary) = self else {
            return None;
        };
        let named = |k: &Variant| k.as_str() == Some(key);
        dictionary
            .entries
            .iter()
            .find(|(k, _)| named(k))
            .map(|(_, v)| v)
    }

    /// The text of a `String` or `StringName`.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) | Self::StringName(text) => Some(text),
            _ => None,
        }
    }

    /// The number of an `int`.
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int(number) => Some(*number),
            _ => None,
        }
    }

    /// The number of an `int` that is not negative.
    pub fn as_u64(&self) -> Option<u64> {
        self.as_int().and_then(|number| u64::try_from(number).ok())
    }

    /// The number of a `float` or `int`.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Float(number) => Some(*number),
            Self::Int(number) => Some(*number as f64),
            _ => None,
        }
    }

    /// The truth of a `bool`.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(truth) => Some(*truth),
            _ => None,
        }
    }

    /// The elements of an array.
    pub fn as_array(&self) -> Option<&[Variant]> {
        match self {
            Self::Array(_, elements) => Some(elements),
            _ => None,
        }
    }
}
