//! The Godot link: Variant codec, frames, sessions.
