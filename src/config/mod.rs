//! TOML file to one validated, frozen value.
