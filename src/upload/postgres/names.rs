//! Names of streams, scopes and keys as text: they may be any bytes, and columns of text may not.

use std::fmt::Write as _;

/// The name itself, or `\x` and hexadecimal digits where it is no text that a database takes. No two names become the same.
pub(super) fn text(name: &[u8]) -> String {
    match std::str::from_utf8(name) {
        Ok(text) if !text.contains('\0') && !text.starts_with("\\x") => text.to_owned(),
        _ => name.iter().fold("\\x".to_owned(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::text;

    #[test]
    fn any_name_becomes_text_and_no_two_the_same() {
        assert_eq!(text(b"a/b"), "a/b");
        assert_eq!(text("größe".as_bytes()), "größe");
        assert_eq!(text(&[0xff, 0]), "\\xff00");
        assert_eq!(text(b"a\0"), "\\x6100");
        assert_eq!(text(b"\\xff00"), "\\x5c7866663030");
    }
}
