//! A minimal HTTP/1 parser for the benchmark's own messages.

use memchr::memmem;

/// Returns the length of the head at the start of `bytes`; `None` while it is incomplete.
pub fn head_len(bytes: &[u8]) -> Option<usize> {
    memmem::find(bytes, b"\r\n\r\n").map(|at| at + 4)
}

/// Returns the length of the body after `head`; 0 without a body.
pub fn body_len(head: &[u8]) -> usize {
    field(head, "content-length").map_or(0, number)
}

/// Returns the value of the field `name`, given in lower case.
pub fn field<'a>(head: &'a [u8], name: &str) -> Option<&'a [u8]> {
    head.split(|&byte| byte == b'\n').skip(1).find_map(|line| {
        let (start, rest) = line.split_at_checked(name.len())?;
        (start.eq_ignore_ascii_case(name.as_bytes()) && rest.first() == Some(&b':'))
            .then(|| rest[1..].trim_ascii())
    })
}

/// Parses the number at the start of `digits`.
pub fn number(digits: &[u8]) -> usize {
    let digits = digits.iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(0, |number, digit| number * 10 + usize::from(digit - b'0'))
}
