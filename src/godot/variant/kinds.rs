//! Type ids, names, and the shapes of composite values.

/// Ids of the header byte in Godot 4.
pub mod type_id {
    #![allow(missing_docs, reason = "each is the id of the Godot type of that name")]
    pub const NIL: u8 = 0;
    pub const BOOL: u8 = 1;
    pub const INT: u8 = 2;
    pub const FLOAT: u8 = 3;
    pub const STRING: u8 = 4;
    pub const VECTOR2: u8 = 5;
    pub const VECTOR2I: u8 = 6;
    pub const RECT2: u8 = 7;
    pub const RECT2I: u8 = 8;
    pub const VECTOR3: u8 = 9;
    pub const VECTOR3I: u8 = 10;
    pub const TRANSFORM2D: u8 = 11;
    pub const VECTOR4: u8 = 12;
    pub const VECTOR4I: u8 = 13;
    pub const PLANE: u8 = 14;
    pub const QUATERNION: u8 = 15;
    pub const AABB: u8 = 16;
    pub const BASIS: u8 = 17;
    pub const TRANSFORM3D: u8 = 18;
    pub const PROJECTION: u8 = 19;
    pub const COLOR: u8 = 20;
    pub const STRING_NAME: u8 = 21;
    pub const NODE_PATH: u8 = 22;
    pub const RID: u8 = 23;
    pub const OBJECT: u8 = 24;
    pub const CALLABLE: u8 = 25;
    pub const SIGNAL: u8 = 26;
    pub const DICTIONARY: u8 = 27;
    pub const ARRAY: u8 = 28;
    pub const PACKED_BYTE_ARRAY: u8 = 29;
    pub const PACKED_INT32_ARRAY: u8 = 30;
    pub const PACKED_INT64_ARRAY: u8 = 31;
    pub const PACKED_FLOAT32_ARRAY: u8 = 32;
    pub const PACKED_FLOAT64_ARRAY: u8 = 33;
    pub const PACKED_STRING_ARRAY: u8 = 34;
    pub const PACKED_VECTOR2_ARRAY: u8 = 35;
    pub const PACKED_VECTOR3_ARRAY: u8 = 36;
    pub const PACKED_COLOR_ARRAY: u8 = 37;
    pub const PACKED_VECTOR4_ARRAY: u8 = 38;
    /// One past the last.
    pub const END: u8 = 39;
}

/// Names by id, as they stand in terms and errors.
const NAMES: [&str; type_id::END as usize] = [
    "nil",
    "bool",
    "int",
    "float",
    "string",
    "vector2",
    "vector2i",
    "rect2",
    "rect2i",
    "vector3",
    "vector3i",
    "transform2d",
    "vector4",
    "vector4i",
    "plane",
    "quaternion",
    "aabb",
    "basis",
    "transform3d",
    "projection",
    "color",
    "string_name",
    "node_path",
    "rid",
    "object",
    "callable",
    "signal",
    "dictionary",
    "array",
    "packed_byte_array",
    "packed_int32_array",
    "packed_int64_array",
    "packed_float32_array",
    "packed_float64_array",
    "packed_string_array",
    "packed_vector2_array",
    "packed_vector3_array",
    "packed_color_array",
    "packed_vector4_array",
];

/// The name of a type id; `None` past the last.
pub fn type_name(id: u8) -> Option<&'static str> {
    NAMES.get(usize::from(id)).copied()
}

/// The id of a type name.
pub(crate) fn type_of_name(name: &str) -> Option<u8> {
    NAMES
        .iter()
        .position(|known| *known == name)
        .map(|id| id as u8)
}

/// What the elements of a typed array or dictionary are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ElementType {
    /// A type by its id.
    Builtin(u8),
    /// Objects of a class. Without objects such an array holds nulls only.
    Class(String),
    /// Objects of a script, by its path.
    Script(String),
}

macro_rules! shapes {
    ($(#[$doc:meta])* $shape:ident { $($name:ident = $id:ident * $count:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[allow(missing_docs, reason = "each is the Godot type of that name")]
        pub enum $shape { $($name),* }

        impl $shape {
            /// Every shape.
            pub const ALL: &'static [$shape] = &[$($shape::$name),*];

            /// The type id in the header.
            pub fn id(self) -> u8 {
                match self { $(Self::$name => type_id::$id),* }
            }

            /// How many components it has.
            pub fn count(self) -> usize {
                match self { $(Self::$name => $count),* }
            }

            /// The shape of a type id.
            pub fn from_id(id: u8) -> Option<Self> {
                Self::ALL.iter().copied().find(|shape| shape.id() == id)
            }
        }
    };
}

shapes!(
    /// Types made of floats whose width depends on the build.
    RealShape {
        Vector2 = VECTOR2 * 2,
        Rect2 = RECT2 * 4,
        Vector3 = VECTOR3 * 3,
        Transform2d = TRANSFORM2D * 6,
        Vector4 = VECTOR4 * 4,
        Plane = PLANE * 4,
        Quaternion = QUATERNION * 4,
        Aabb = AABB * 6,
        Basis = BASIS * 9,
        Transform3d = TRANSFORM3D * 12,
        Projection = PROJECTION * 16,
    }
);

shapes!(
    /// Types made of 32-bit integers.
    IntShape {
        Vector2i = VECTOR2I * 2,
        Rect2i = RECT2I * 4,
        Vector3i = VECTOR3I * 3,
        Vector4i = VECTOR4I * 4,
    }
);
