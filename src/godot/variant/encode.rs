//! Writing Variants.

use super::{Dictionary, ElementType, NodePath, Variant, type_id};
use bytes::{BufMut, Bytes, BytesMut};

/// Says that 64-bit numbers follow.
const FLAG_64: u32 = 1 << 16;

/// The float width of the build that reads: it decides nothing but the length, since every Godot reads both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precision {
    /// 32 bits wherever that is exact, else 64.
    #[default]
    Single,
    /// Always 64 bits in composites, as a double-precision build writes them.
    Double,
}

/// The bytes of `var_to_bytes(value)`.
pub fn encode(value: &Variant, precision: Precision) -> Bytes {
    let mut out = BytesMut::with_capacity(64);
    encode_into(value, precision, &mut out);
    out.freeze()
}

/// Appends the bytes of `var_to_bytes(value)`.
pub fn encode_into(value: &Variant, precision: Precision, out: &mut BytesMut) {
    let w = &mut Writer { out, precision };
    match value {
        Variant::Nil => w.header(type_id::NIL, 0),
        Variant::Bool(truth) => {
            w.header(type_id::BOOL, 0);
            w.u32(u32::from(*truth));
        }
        Variant::Int(number) => w.int(*number),
        Variant::Float(number) => w.float(*number),
        Variant::String(text) => {
            w.header(type_id::STRING, 0);
            w.text(text);
        }
        Variant::StringName(text) => {
            w.header(type_id::STRING_NAME, 0);
            w.text(text);
        }
        Variant::NodePath(path) => w.node_path(path),
        Variant::Reals(shape, reals) => w.reals(shape.id(), None, reals),
        Variant::Ints(shape, ints) => {
            w.header(shape.id(), 0);
            for int in ints {
                w.out.put_i32_le(*int);
            }
        }
        Variant::Color(color) => {
            w.header(type_id::COLOR, 0);
            for part in color {
                w.out.put_f32_le(*part);
            }
        }
        Variant::Dictionary(dictionary) => w.dictionary(dictionary),
        Variant::Array(kind, elements) => w.array(kind.as_deref(), elements),
        Variant::Bytes(bytes) => {
            w.header(type_id::PACKED_BYTE_ARRAY, 0);
            w.count(bytes.len());
            w.out.put_slice(bytes);
            w.pad(bytes.len());
        }
        packed => w.packed(packed),
    }
}

struct Writer<'a> {
    out: &'a mut BytesMut,
    precision: Precision,
}

impl Writer<'_> {
    fn u32(&mut self, number: u32) {
        self.out.put_u32_le(number);
    }

    fn header(&mut self, id: u8, flags: u32) {
        self.u32(u32::from(id) | flags);
    }

    fn count(&mut self, count: usize) {
        self.u32(count as u32);
    }

    fn pad(&mut self, length: usize) {
        self.out.put_bytes(0, length.wrapping_neg() % 4);
    }

    fn text(&mut self, text: &str) {
        self.count(text.len());
        self.out.put_slice(text.as_bytes());
        self.pad(text.len());
    }

    fn int(&mut self, number: i64) {
        if let Ok(short) = i32::try_from(number) {
            self.header(type_id::INT, 0);
            self.out.put_i32_le(short);
        } else {
            self.header(type_id::INT, FLAG_64);
            self.out.put_i64_le(number);
        }
    }

    fn float(&mut self, number: f64) {
        // Godot compares, so a NaN takes the long form.
        if fits_single(number) && !number.is_nan() {
            self.header(type_id::FLOAT, 0);
            self.out.put_f32_le(number as f32);
        } else {
            self.header(type_id::FLOAT, FLAG_64);
            self.out.put_f64_le(number);
        }
    }

    /// Composite floats of one width: the short one only where every component allows it.
    fn reals(&mut self, id: u8, count: Option<usize>, reals: &[f64]) {
        let single = self.precision == Precision::Single && reals.iter().all(|r| fits_single(*r));
        self.header(id, if single { 0 } else { FLAG_64 });
        if let Some(count) = count {
            self.count(count);
        }
        for real in reals {
            if single {
                self.out.put_f32_le(*real as f32);
            } else {
                self.out.put_f64_le(*real);
            }
        }
    }

    fn node_path(&mut self, path: &NodePath) {
        self.header(type_id::NODE_PATH, 0);
        self.u32(path.names.len() as u32 | 0x8000_0000);
        self.count(path.subnames.len());
        self.u32(u32::from(path.absolute));
        for name in path.names.iter().chain(&path.subnames) {
            self.text(name);
        }
    }

    fn element_type(&mut self, kind: Option<&ElementType>) {
        match kind {
            None => {}
            Some(ElementType::Builtin(id)) => self.u32(u32::from(*id)),
            Some(ElementType::Class(name) | ElementType::Script(name)) => self.text(name),
        }
    }

    fn dictionary(&mut self, dictionary: &Dictionary) {
        let (key, value) = (dictionary.key.as_ref(), dictionary.value.as_ref());
        let flags = kind_bits(key) << 16 | kind_bits(value) << 18;
        self.header(type_id::DICTIONARY, flags);
        self.element_type(key);
        self.element_type(value);
        self.count(dictionary.entries.len());
        for (key, value) in &dictionary.entries {
            encode_into(key, self.precision, self.out);
            encode_into(value, self.precision, self.out);
        }
    }

    fn array(&mut self, kind: Option<&ElementType>, elements: &[Variant]) {
        self.header(type_id::ARRAY, kind_bits(kind) << 16);
        self.element_type(kind);
        self.count(elements.len());
        for element in elements {
            encode_into(element, self.precision, self.out);
        }
    }

    fn packed(&mut self, packed: &Variant) {
        match packed {
            Variant::Int32s(numbers) => {
                self.start(type_id::PACKED_INT32_ARRAY, numbers.len());
                for n in numbers {
                    self.out.put_i32_le(*n);
                }
            }
            Variant::Int64s(numbers) => {
                self.start(type_id::PACKED_INT64_ARRAY, numbers.len());
                for n in numbers {
                    self.out.put_i64_le(*n);
                }
            }
            Variant::Float32s(numbers) => {
                self.start(type_id::PACKED_FLOAT32_ARRAY, numbers.len());
                for n in numbers {
                    self.out.put_f32_le(*n);
                }
            }
            Variant::Float64s(numbers) => {
                self.start(type_id::PACKED_FLOAT64_ARRAY, numbers.len());
                for n in numbers {
                    self.out.put_f64_le(*n);
                }
            }
            Variant::Strings(texts) => {
                self.start(type_id::PACKED_STRING_ARRAY, texts.len());
                for text in texts {
                    self.packed_text(text);
                }
            }
            Variant::Vector2s(vectors) => {
                let reals = vectors.as_flattened();
                self.reals(type_id::PACKED_VECTOR2_ARRAY, Some(vectors.len()), reals);
            }
            Variant::Vector3s(vectors) => {
                let reals = vectors.as_flattened();
                self.reals(type_id::PACKED_VECTOR3_ARRAY, Some(vectors.len()), reals);
            }
            Variant::Vector4s(vectors) => {
                let reals = vectors.as_flattened();
                self.reals(type_id::PACKED_VECTOR4_ARRAY, Some(vectors.len()), reals);
            }
            Variant::Colors(colors) => {
                self.start(type_id::PACKED_COLOR_ARRAY, colors.len());
                for part in colors.as_flattened() {
                    self.out.put_f32_le(*part);
                }
            }
            _ => unreachable!("every other type is written by encode_into"),
        }
    }

    fn start(&mut self, id: u8, count: usize) {
        self.header(id, 0);
        self.count(count);
    }

    /// Elements of a `PackedStringArray` count and carry a closing NUL, unlike a `String`.
    fn packed_text(&mut self, text: &str) {
        let length = text.len() + 1;
        self.count(length);
        self.out.put_slice(text.as_bytes());
        self.out.put_u8(0);
        self.pad(length);
    }
}

fn kind_bits(kind: Option<&ElementType>) -> u32 {
    match kind {
        None => 0,
        Some(ElementType::Builtin(_)) => 1,
        Some(ElementType::Class(_)) => 2,
        Some(ElementType::Script(_)) => 3,
    }
}

/// Whether 32 bits hold the number exactly; a NaN does, as one NaN is as good as another.
fn fits_single(number: f64) -> bool {
    number.is_nan() || f64::from(number as f32).to_bits() == number.to_bits()
}
