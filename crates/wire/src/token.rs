//! The character classes of RFC 9110.

/// Whether `byte` may stand in a token: a method, a field name (RFC 9110 §5.6.2).
pub const fn is_token_byte(byte: u8) -> bool {
    matches!(byte,
        b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
        | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z')
}

/// Whether `text` is a token: not empty, and of token characters only.
pub fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|&byte| is_token_byte(byte))
}

/// Whether `value` may stand as a field value: no control character but tab, nothing blank at its ends
/// (RFC 9110 §5.5). Bytes from 0x80 up are allowed, as everywhere in the field.
pub fn is_field_value(value: &[u8]) -> bool {
    value
        .iter()
        .all(|&byte| byte == b'\t' || (byte >= b' ' && byte != 0x7f))
        && value.trim_ascii().len() == value.len()
}
