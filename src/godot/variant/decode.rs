//! Reading Variants from bytes that may be hostile.
//!
//! Counts are checked against the bytes that remain before anything is allocated, nesting is capped at
//! [`DEPTH_MAX`], text must be UTF-8, and duplicate keys are refused by the mapping (they would break a BEAM map).

use super::{DEPTH_MAX, Dictionary, ElementType, IntShape, NodePath, RealShape, Variant};
use super::{type_id, type_name};
use crate::godot::{Path, Step};
use bytes::{Buf, Bytes};

const FLAG_64: u32 = 1 << 16;

/// What was wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// The bytes end inside a value, or a count promises more than there is.
    #[error("the bytes end inside the value")]
    Truncated,
    /// Bytes follow the value.
    #[error("{0} bytes follow the value")]
    Trailing(usize),
    /// No such type in Godot 4.
    #[error("there is no Variant type {0}")]
    UnknownType(u8),
    /// A type that means nothing outside its process.
    #[error("a value of type {0} has no meaning outside its process; send plain data instead")]
    NotPlain(&'static str),
    /// Text that is not UTF-8.
    #[error("the text is not valid UTF-8")]
    NotUtf8,
    /// Containers nest deeper than [`DEPTH_MAX`].
    #[error("containers nest deeper than {DEPTH_MAX} levels")]
    TooDeep,
    /// A header or length that Godot never writes.
    #[error("malformed {0}")]
    Malformed(&'static str),
}

/// Bytes that are no plain Variant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem} (at {path})")]
pub struct DecodeError {
    /// Where.
    pub path: Path,
    /// What.
    pub problem: Problem,
}

impl From<Problem> for DecodeError {
    fn from(problem: Problem) -> Self {
        let path = Path::default();
        Self { path, problem }
    }
}

impl DecodeError {
    fn under(mut self, step: Step) -> Self {
        self.path.push_outer(step);
        self
    }
}

type Decoded<T> = Result<T, DecodeError>;

/// Reads exactly one Variant, as `var_to_bytes` wrote it. Packed bytes are slices of the input.
pub fn decode(mut input: Bytes) -> Decoded<Variant> {
    let value = decode_prefix(&mut input)?;
    match input.len() {
        0 => Ok(value),
        rest => Err(Problem::Trailing(rest).into()),
    }
}

/// Reads one Variant off the front of the input.
pub fn decode_prefix(input: &mut Bytes) -> Decoded<Variant> {
    Reader { input }.value(0)
}

struct Reader<'a> {
    input: &'a mut Bytes,
}

impl Reader<'_> {
    fn value(&mut self, depth: usize) -> Decoded<Variant> {
        let header = self.u32()?;
        let id = header as u8;
        let wide = header & FLAG_64 != 0;
        Ok(match id {
            type_id::NIL => Variant::Nil,
            type_id::BOOL => Variant::Bool(self.u32()? != 0),
            type_id::INT if wide => Variant::Int(self.take(8)?.get_i64_le()),
            type_id::INT => Variant::Int(i64::from(self.take(4)?.get_i32_le())),
            type_id::FLOAT => Variant::Float(self.reals(1, wide)?[0]),
            type_id::STRING => Variant::String(self.text()?),
            type_id::STRING_NAME => Variant::StringName(self.text()?),
            type_id::NODE_PATH => Variant::NodePath(self.node_path()?),
            type_id::COLOR => Variant::Color(self.colors(1)?[0]),
            type_id::DICTIONARY => self.dictionary(header, depth)?,
            type_id::ARRAY => self.array(header, depth)?,
            type_id::RID | type_id::OBJECT | type_id::CALLABLE | type_id::SIGNAL => {
                let name = type_name(id).unwrap_or("unknown");
                return Err(Problem::NotPlain(name).into());
            }
            type_id::PACKED_BYTE_ARRAY..type_id::END => self.packed(id, wide)?,
            type_id::END.. => return Err(Problem::UnknownType(id).into()),
            _ => self.composite(id, wide)?,
        })
    }

    fn composite(&mut self, id: u8, wide: bool) -> Decoded<Variant> {
        if let Some(shape) = RealShape::from_id(id) {
            let reals = self.reals(shape.count(), wide)?;
            return Ok(Variant::Reals(shape, reals.into_boxed_slice()));
        }
        let shape = IntShape::from_id(id).ok_or(Problem::UnknownType(id))?;
        let mut bytes = self.take(shape.count() * 4)?;
        let ints = (0..shape.count()).map(|_| bytes.get_i32_le()).collect();
        Ok(Variant::Ints(shape, ints))
    }

    fn packed(&mut self, id: u8, wide: bool) -> Decoded<Variant> {
        let count = self.u32()? as usize;
        Ok(match id {
            type_id::PACKED_BYTE_ARRAY => Variant::Bytes(self.padded(count)?),
            type_id::PACKED_INT32_ARRAY => Variant::Int32s(self.numbers(count, Buf::get_i32_le)?),
            type_id::PACKED_INT64_ARRAY => Variant::Int64s(self.numbers(count, Buf::get_i64_le)?),
            type_id::PACKED_FLOAT32_ARRAY => {
                Variant::Float32s(self.numbers(count, Buf::get_f32_le)?)
            }
            type_id::PACKED_FLOAT64_ARRAY => {
                Variant::Float64s(self.numbers(count, Buf::get_f64_le)?)
            }
            type_id::PACKED_STRING_ARRAY => Variant::Strings(self.texts(count)?),
            type_id::PACKED_VECTOR2_ARRAY => Variant::Vector2s(self.vectors(count, wide)?),
            type_id::PACKED_VECTOR3_ARRAY => Variant::Vector3s(self.vectors(count, wide)?),
            type_id::PACKED_VECTOR4_ARRAY => Variant::Vector4s(self.vectors(count, wide)?),
            _ => Variant::Colors(self.colors(count)?),
        })
    }

    fn dictionary(&mut self, header: u32, depth: usize) -> Decoded<Variant> {
        let key = self.element_type(header >> 16 & 3)?;
        let value = self.element_type(header >> 18 & 3)?;
        let count = self.container(depth, 8)?;
        let mut entries = Vec::with_capacity(count);
        for index in 0..count {
            let key = self
                .value(depth + 1)
                .map_err(|e| e.under(Step::KeyOf(index)))?;
            let value = self
                .value(depth + 1)
                .map_err(|e| e.under(Step::Key(shown(&key))))?;
            entries.push((key, value));
        }
        Ok(Variant::Dictionary(Box::new(Dictionary {
            key,
            value,
            entries,
        })))
    }

    fn array(&mut self, header: u32, depth: usize) -> Decoded<Variant> {
        let kind = self.element_type(header >> 16 & 3)?;
        let count = self.container(depth, 4)?;
        let mut elements = Vec::with_capacity(count);
        for index in 0..count {
            let element = self
                .value(depth + 1)
                .map_err(|e| e.under(Step::Index(index)))?;
            elements.push(element);
        }
        Ok(Variant::Array(kind.map(Box::new), elements))
    }

    /// Checks depth and count of a container whose elements take at least `least` bytes each.
    fn container(&mut self, depth: usize, least: usize) -> Decoded<usize> {
        if depth >= DEPTH_MAX {
            return Err(Problem::TooDeep.into());
        }
        // The top bit was "shared" in older formats; Godot ignores it too.
        let count = (self.u32()? & 0x7FFF_FFFF) as usize;
        if count > self.input.len() / least {
            return Err(Problem::Truncated.into());
        }
        Ok(count)
    }

    fn element_type(&mut self, kind: u32) -> Decoded<Option<ElementType>> {
        Ok(match kind {
            0 => None,
            1 => match u8::try_from(self.u32()?) {
                Ok(id) if id < type_id::END => Some(ElementType::Builtin(id)),
                _ => return Err(Problem::Malformed("element type").into()),
            },
            2 => Some(ElementType::Class(self.text()?)),
            _ => Some(ElementType::Script(self.text()?)),
        })
    }

    fn node_path(&mut self) -> Decoded<NodePath> {
        let names = self.u32()?;
        let subnames = self.u32()? as usize;
        let flags = self.u32()?;
        // Without the top bit it is the format of Godot 2; flag 2 is an obsolete property part.
        if names & 0x8000_0000 == 0 || flags & !1 != 0 {
            return Err(Problem::Malformed("node path").into());
        }
        let mut texts = |count: usize| -> Decoded<Vec<String>> {
            if count > self.input.len() / 4 {
                return Err(Problem::Truncated.into());
            }
            (0..count).map(|_| self.text()).collect()
        };
        Ok(NodePath {
            absolute: flags & 1 != 0,
            names: texts((names & 0x7FFF_FFFF) as usize)?,
            subnames: texts(subnames)?,
        })
    }

    fn u32(&mut self) -> Decoded<u32> {
        self.take(4).map(|mut bytes| bytes.get_u32_le())
    }

    fn take(&mut self, length: usize) -> Decoded<Bytes> {
        if length > self.input.len() {
            return Err(Problem::Truncated.into());
        }
        Ok(self.input.split_to(length))
    }

    /// `length` bytes, and the zeros that fill the last group of four. A missing fill at the very end is let pass.
    fn padded(&mut self, length: usize) -> Decoded<Bytes> {
        let bytes = self.take(length)?;
        let pad = length.wrapping_neg() % 4;
        self.input.advance(pad.min(self.input.len()));
        Ok(bytes)
    }

    fn text(&mut self) -> Decoded<String> {
        let length = self.u32()? as usize;
        utf8(&self.padded(length)?)
    }

    fn texts(&mut self, count: usize) -> Decoded<Vec<String>> {
        if count > self.input.len() / 4 {
            return Err(Problem::Truncated.into());
        }
        let text = |reader: &mut Self| {
            let length = reader.u32()? as usize;
            let bytes = reader.padded(length)?;
            utf8(bytes.strip_suffix(&[0]).unwrap_or(&bytes))
        };
        (0..count)
            .map(|index| text(self).map_err(|e| e.under(Step::Index(index))))
            .collect()
    }

    fn numbers<T>(&mut self, count: usize, get: fn(&mut Bytes) -> T) -> Decoded<Vec<T>> {
        let size = count
            .checked_mul(size_of::<T>())
            .ok_or(Problem::Truncated)?;
        let mut bytes = self.take(size)?;
        Ok((0..count).map(|_| get(&mut bytes)).collect())
    }

    fn reals(&mut self, count: usize, wide: bool) -> Decoded<Vec<f64>> {
        if wide {
            self.numbers(count, Buf::get_f64_le)
        } else {
            let mut bytes = self.take(count.checked_mul(4).ok_or(Problem::Truncated)?)?;
            Ok((0..count).map(|_| f64::from(bytes.get_f32_le())).collect())
        }
    }

    fn vectors<const N: usize>(&mut self, count: usize, wide: bool) -> Decoded<Vec<[f64; N]>> {
        let reals = self.reals(count.checked_mul(N).ok_or(Problem::Truncated)?, wide)?;
        Ok(grouped(&reals))
    }

    fn colors(&mut self, count: usize) -> Decoded<Vec<[f32; 4]>> {
        let parts = count.checked_mul(4).ok_or(Problem::Truncated)?;
        Ok(grouped(&self.numbers(parts, Buf::get_f32_le)?))
    }
}

fn grouped<T: Copy + Default, const N: usize>(parts: &[T]) -> Vec<[T; N]> {
    let group = |chunk: &[T]| {
        let mut group = [T::default(); N];
        group.copy_from_slice(chunk);
        group
    };
    parts.chunks_exact(N).map(group).collect()
}

fn utf8(bytes: &[u8]) -> Decoded<String> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text.to_owned()),
        Err(_) => Err(Problem::NotUtf8.into()),
    }
}

/// A key as it is shown in a path: short, whatever it is.
pub(crate) fn shown(key: &Variant) -> String {
    match key {
        Variant::String(text) => format!("{:?}", clipped(text)),
        Variant::StringName(text) => format!("&{:?}", clipped(text)),
        Variant::Int(number) => number.to_string(),
        Variant::Float(number) => number.to_string(),
        Variant::Bool(truth) => truth.to_string(),
        _ => "…".to_owned(),
    }
}

fn clipped(text: &str) -> String {
    text.chars().take(40).collect()
}
