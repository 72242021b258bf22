//! The normal form of a path.
//!
//! Each path has exactly one normal form, or is refused. The normal form is both matched and forwarded, so a service never
//! reads a different path from the one that the rules were evaluated on.

/// A listener's treatment of paths with two readings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct PathOptions {
    /// `%2F`, which some servers read as `/`.
    pub encoded_slash: EncodedSlash,
    /// `//`, which some servers read as `/`.
    pub double_slash: DoubleSlash,
    /// `/..;x/`, which servlet containers read as `/../`.
    pub dot_segment_parameters: DotSegmentParameters,
}

/// Treatment of `%2F`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum EncodedSlash {
    /// Refuse the request with 400.
    #[default]
    Refuse,
    /// Keep it, as an ordinary character of its segment.
    Keep,
}

/// Treatment of `//`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum DoubleSlash {
    /// Replace it by `/`.
    #[default]
    Merge,
    /// Keep the empty segment.
    Keep,
}

/// Treatment of `.` and `..` with parameters: `..;`, `.;x=1`, also with an encoded `;`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum DotSegmentParameters {
    /// Refuse the request with 400.
    #[default]
    Refuse,
    /// Keep it, as an ordinary segment.
    Keep,
}

/// A path without a safe normal form. Offsets are in bytes from the start of the path as received.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// It does not begin with `/`.
    #[error("the path does not begin with `/`")]
    NoSlash,
    /// A `%` that is not followed by two hex digits.
    #[error("`%` without two hex digits at byte {0} of the path")]
    Percent(usize),
    /// `%2F`, `%5C` or `%00`, which some servers decode and others keep.
    #[error("an encoded `/`, `\\` or NUL at byte {0} of the path")]
    Encoded(usize),
    /// A backslash, `#`, a control character, a space or DEL.
    #[error("a character that is not allowed in a path at byte {0}")]
    Character(usize),
    /// A dot segment with parameters (RFC 3986 §3.3), which some servers strip before they resolve it.
    #[error("the path has a `.` or `..` segment with parameters, which some servers resolve")]
    DotParameters,
    /// A `..` that leads above the root.
    #[error("the path climbs above `/`")]
    Climbs,
}

/// Returns the normal form of the path `raw`: unreserved characters decoded, hex digits in upper case, characters that
/// must not stand raw encoded, `//` merged, dot segments resolved (RFC 3986 §5.2.4, §6.2.2).
///
/// A path that is already normal, as nearly all are, is returned unchanged; any other is built in `scratch`, which is
/// overwritten.
///
/// # Errors
/// The path has no safe normal form.
pub fn normalize<'a>(
    raw: &'a [u8],
    options: PathOptions,
    scratch: &'a mut Vec<u8>,
) -> Result<&'a [u8], PathError> {
    if raw.first() != Some(&b'/') {
        return Err(PathError::NoSlash);
    }
    if is_plainly_normal(raw) {
        return Ok(raw);
    }
    scratch.clear();
    encode_into(raw, options, scratch)?;
    resolve_dot_segments(scratch, options.dot_segment_parameters)?;
    Ok(scratch)
}

/// Returns true for a segment in its normal form that is `.` or `..` with parameters.
///
/// An encoded `;` counts: a server that decodes before it splits parameters off sees the same segment.
pub fn is_dot_with_parameters(segment: &[u8]) -> bool {
    let Some(rest) = segment.strip_prefix(b".") else {
        return false;
    };
    let rest = rest.strip_prefix(b".").unwrap_or(rest);
    rest.starts_with(b";") || rest.starts_with(b"%3B")
}

/// Appends `raw` with each character in its normal form: unreserved characters decoded, hex digits in upper case,
/// characters that must not stand raw encoded, `//` merged unless `options` keep it. Dot segments stay.
///
/// # Errors
/// A character or an encoding has no safe normal form.
pub fn encode_into(raw: &[u8], options: PathOptions, out: &mut Vec<u8>) -> Result<(), PathError> {
    let start = out.len();
    let mut at = 0;
    while let Some(&byte) = raw.get(at) {
        match CLASS[usize::from(byte)] {
            Class::Slash => {
                let merges = options.double_slash == DoubleSlash::Merge;
                if !(merges && out.len() > start && out.last() == Some(&b'/')) {
                    out.push(byte);
                }
            }
            Class::Plain | Class::Dot => out.push(byte),
            Class::Encode => push_encoded(byte, out),
            Class::Refuse => return Err(PathError::Character(at)),
            Class::Percent => {
                let digits = raw.get(at + 1).zip(raw.get(at + 2));
                let Some((high, low)) = digits.and_then(|(high, low)| hex(*high).zip(hex(*low))) else {
                    return Err(PathError::Percent(at));
                };
                let decoded = high << 4 | low;
                match decoded {
                    b'/' if options.encoded_slash == EncodedSlash::Keep => push_encoded(decoded, out),
                    b'/' | b'\\' | 0 => return Err(PathError::Encoded(at)),
                    _ if is_unreserved(decoded) => out.push(decoded),
                    _ => push_encoded(decoded, out),
                }
                at += 2;
            }
        }
        at += 1;
    }
    Ok(())
}

/// Returns true if the path is visibly normal already. May return false for a normal path.
fn is_plainly_normal(path: &[u8]) -> bool {
    let mut after_slash = false;
    for &byte in path {
        match CLASS[usize::from(byte)] {
            Class::Plain => after_slash = false,
            Class::Slash if !after_slash => after_slash = true,
            Class::Dot if !after_slash => {}
            _ => return false,
        }
    }
    true
}

/// Resolves dot segments in place (RFC 3986 §5.2.4), for a path that begins with `/`.
fn resolve_dot_segments(path: &mut Vec<u8>, parameters: DotSegmentParameters) -> Result<(), PathError> {
    // path[..written] is the result so far; it has no trailing slash. written <= read.
    let mut written = 0;
    let mut read = 0;
    while read < path.len() {
        // path[read] is the `/` in front of the segment.
        let segment = read + 1;
        let end = memchr::memchr(b'/', &path[segment..]).map_or(path.len(), |found| segment + found);
        let last = end == path.len();
        match &path[segment..end] {
            b"." | b".." => {
                if end - segment == 2 {
                    if written == 0 {
                        return Err(PathError::Climbs);
                    }
                    written = memchr::memrchr(b'/', &path[..written]).unwrap_or(0);
                }
                if last {
                    path[written] = b'/';
                    written += 1;
                }
            }
            text if parameters == DotSegmentParameters::Refuse && is_dot_with_parameters(text) => {
                return Err(PathError::DotParameters);
            }
            _ => {
                path.copy_within(read..end, written);
                written += end - read;
            }
        }
        read = end;
    }
    path.truncate(written);
    Ok(())
}

/// Appends `byte` as `%XX`.
pub fn push_encoded(byte: u8, out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    out.extend_from_slice(&[
        b'%',
        DIGITS[usize::from(byte >> 4)],
        DIGITS[usize::from(byte & 15)],
    ]);
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

/// Returns true for an unreserved character (RFC 3986 §2.3).
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// Treatment of a raw byte of a path.
#[derive(Clone, Copy)]
enum Class {
    Plain,
    Slash,
    Dot,
    Percent,
    Encode,
    Refuse,
}

static CLASS: [Class; 256] = {
    let mut table = [Class::Plain; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = match byte as u8 {
            b'/' => Class::Slash,
            b'.' => Class::Dot,
            b'%' => Class::Percent,
            0..=b' ' | 0x7f | b'#' | b'\\' => Class::Refuse,
            0x80.. | b'"' | b'<' | b'>' | b'^' | b'`' | b'{' | b'|' | b'}' => Class::Encode,
            _ => Class::Plain,
        };
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    fn normal(raw: &[u8], options: PathOptions) -> Result<String, PathError> {
        let mut scratch = Vec::new();
        let normal = normalize(raw, options, &mut scratch)?.to_vec();
        // Normalisation is idempotent.
        let mut again = Vec::new();
        assert_eq!(normalize(&normal, options, &mut again), Ok(&normal[..]));
        Ok(String::from_utf8(normal).unwrap())
    }

    fn check(raw: &str, expected: &str) {
        assert_eq!(
            normal(raw.as_bytes(), PathOptions::default()).as_deref(),
            Ok(expected),
            "{raw}"
        );
    }

    #[test]
    fn paths_are_normalized() {
        for (raw, expected) in [
            ("/", "/"),
            ("/a/b", "/a/b"),
            ("/%61%2D%2e%5f%7E", "/a-._~"),
            ("/%c3%bc", "/%C3%BC"),
            ("/ü", "/%C3%BC"),
            ("/\"<>^`{|}", "/%22%3C%3E%5E%60%7B%7C%7D"),
            ("/%7b", "/%7B"),
            ("/a%20b", "/a%20b"),
            ("/%2525", "/%2525"),
            ("/a//b///c", "/a/b/c"),
            ("//h/x", "/h/x"),
            ("/a/.", "/a/"),
            ("/a/..", "/"),
            ("/a/./b", "/a/b"),
            ("/a/b/../c", "/a/c"),
            ("/a/b/..", "/a/"),
            ("/a/../", "/"),
            ("/.", "/"),
            ("/./", "/"),
            ("/a/%2e%2E/b", "/b"),
            ("/a//../b", "/b"),
            ("/a/b//..", "/a/"),
            ("/.a/..b/c.", "/.a/..b/c."),
            ("/...", "/..."),
            ("/a;b=c,d!$&'()*+:@", "/a;b=c,d!$&'()*+:@"),
            ("/a;b/..a;x/.well-known;x/...;x", "/a;b/..a;x/.well-known;x/...;x"),
            ("/;x/a;../b;.;/c..;/d.;", "/;x/a;../b;.;/c..;/d.;"),
            ("/..%253Bx", "/..%253Bx"),
            ("/a;x/../b", "/b"),
            ("/[x]", "/[x]"),
            ("/%0a%7f", "/%0A%7F"),
        ] {
            check(raw, expected);
        }
    }

    #[test]
    fn unsafe_paths_are_refused() {
        use PathError as E;
        for (raw, error) in [
            ("", E::NoSlash),
            ("a", E::NoSlash),
            ("*", E::NoSlash),
            ("/%", E::Percent(1)),
            ("/%4", E::Percent(1)),
            ("/a%zz", E::Percent(2)),
            ("/%+1", E::Percent(1)),
            ("/a%2fb", E::Encoded(2)),
            ("/a%2Fb", E::Encoded(2)),
            ("/%5c", E::Encoded(1)),
            ("/%00", E::Encoded(1)),
            ("/\\", E::Character(1)),
            ("/a#b", E::Character(2)),
            ("/a b", E::Character(2)),
            ("/\t", E::Character(1)),
            ("/\x7f", E::Character(1)),
            ("/..", E::Climbs),
            ("/../a", E::Climbs),
            ("/a/../..", E::Climbs),
            ("/a/../../a", E::Climbs),
            ("/./..", E::Climbs),
            ("/%2e%2e", E::Climbs),
            ("/..;", E::DotParameters),
            ("/..;/", E::DotParameters),
            ("/.;", E::DotParameters),
            ("/.;/a", E::DotParameters),
            ("/a/..;a=b/c", E::DotParameters),
            ("/a/.;a=b;c,d/e", E::DotParameters),
            ("/a/..;;", E::DotParameters),
            ("/a/%2e%2e;x", E::DotParameters),
            ("/a/.%2E;x", E::DotParameters),
            ("/a/%2e;", E::DotParameters),
            ("/a/..%3b", E::DotParameters),
            ("/a/%2E%2E%3Bx=1/b", E::DotParameters),
            ("//..;/a", E::DotParameters),
            ("/../..;/a", E::Climbs),
        ] {
            assert_eq!(
                normal(raw.as_bytes(), PathOptions::default()),
                Err(error),
                "{raw}"
            );
        }
    }

    #[test]
    fn options_keep_encoded_and_double_slashes() {
        let slash = PathOptions {
            encoded_slash: EncodedSlash::Keep,
            ..PathOptions::default()
        };
        assert_eq!(normal(b"/a%2fb", slash).as_deref(), Ok("/a%2Fb"));
        assert_eq!(normal(b"/a%5cb", slash), Err(PathError::Encoded(2)));
        let double = PathOptions {
            double_slash: DoubleSlash::Keep,
            ..PathOptions::default()
        };
        assert_eq!(normal(b"/a//b", double).as_deref(), Ok("/a//b"));
        assert_eq!(normal(b"//h/x", double).as_deref(), Ok("//h/x"));
        assert_eq!(normal(b"/a//../b", double).as_deref(), Ok("/a/b"));
        assert_eq!(normal(b"/a//..", double).as_deref(), Ok("/a/"));
        assert_eq!(normal(b"/a/..//", double).as_deref(), Ok("//"));
    }

    #[test]
    fn kept_dot_segments_with_parameters_are_ordinary_segments() {
        let keep = PathOptions {
            dot_segment_parameters: DotSegmentParameters::Keep,
            ..PathOptions::default()
        };
        for (raw, expected) in [
            ("/a/..;/b", "/a/..;/b"),
            ("/..;/", "/..;/"),
            ("/a/%2e%2e;x=1", "/a/..;x=1"),
            ("/a/.%3b/", "/a/.%3B/"),
            ("/a/..;/../b", "/a/b"),
            ("/a/../..;", "/..;"),
        ] {
            assert_eq!(normal(raw.as_bytes(), keep).as_deref(), Ok(expected), "{raw}");
        }
        assert_eq!(normal(b"/..;/../..", keep), Err(PathError::Climbs));
    }

    proptest::proptest! {
        #[test]
        fn normalization_never_panics_and_is_idempotent(raw in "[/.;%2eE3bB5cfF0a{ü\\\\]{0,24}", keep in 0..8) {
            let options = PathOptions {
                encoded_slash: if keep & 1 == 0 { EncodedSlash::Refuse } else { EncodedSlash::Keep },
                double_slash: if keep & 2 == 0 { DoubleSlash::Merge } else { DoubleSlash::Keep },
                dot_segment_parameters: match keep & 4 {
                    0 => DotSegmentParameters::Refuse,
                    _ => DotSegmentParameters::Keep,
                },
            };
            let normal = normal(format!("/{raw}").as_bytes(), options);
            if let Ok(normal) = normal && keep & 4 == 0 {
                for segment in normal.split('/') {
                    assert!(!is_dot_with_parameters(segment.as_bytes()), "{normal}");
                }
            }
        }
    }
}
