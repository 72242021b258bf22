//! Texts that others wrote, as a terminal and a log may have them.

use std::fmt::Write as _;

/// A text of so many characters at most, in which what a terminal would obey is spelled out.
pub(crate) fn plain(text: &str, chars_max: usize) -> String {
    let mut plain = String::new();
    let mut chars = text.chars();
    for char in chars.by_ref().take(chars_max) {
        match is_plain(char) {
            true => plain.push(char),
            false => plain.extend(char.escape_unicode()),
        }
    }
    if chars.next().is_some() {
        plain.push('…');
    }
    plain
}

/// Bytes of so many characters at most, in the same way.
pub(crate) fn plain_bytes(bytes: &[u8], chars_max: usize) -> String {
    let mut text = String::new();
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            let _ = write!(text, "\\x{byte:02x}");
        }
        // Each character has a byte at least, and four at most.
        if text.len() > chars_max.saturating_mul(4) {
            break;
        }
    }
    plain(&text, chars_max)
}

/// Returns false for a character that a terminal would obey, or that changes the order of others.
pub(crate) fn is_plain(char: char) -> bool {
    !char.is_control()
        && !matches!(char, '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controls_are_spelled_out_and_long_texts_cut() {
        for (text, expected) in [
            ("grün", "grün"),
            ("a\u{1b}[31m\n", "a\\u{1b}[31m\\u{a}"),
            ("\u{9b}\u{202e}", "\\u{9b}\\u{202e}"),
            ("123456789012345678", "123456789012345678"),
            ("1234567890123456789", "123456789012345678…"),
        ] {
            assert_eq!(plain(text, 18), expected);
            assert_eq!(plain_bytes(text.as_bytes(), 18), expected);
        }
        assert_eq!(plain_bytes(b"a\xffb\x07", 18), "a\\xffb\\u{7}");
        let long = vec![b'x'; 1 << 20];
        assert_eq!(plain_bytes(&long, 3), "xxx…");
    }
}
