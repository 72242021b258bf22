//! The normal form of a path is stable and unambiguous.

#![no_main]

use libfuzzer_sys::fuzz_target;
use waypost_wire::path::{DotSegmentParameters, DoubleSlash, EncodedSlash, PathOptions, normalize};

fuzz_target!(|data: &[u8]| {
    let raw = data.split(|&byte| byte == b'?').next().unwrap_or_default();
    for kept in 0..8 {
        let options = PathOptions {
            encoded_slash: match kept & 1 {
                0 => EncodedSlash::Refuse,
                _ => EncodedSlash::Keep,
            },
            double_slash: match kept & 2 {
                0 => DoubleSlash::Merge,
                _ => DoubleSlash::Keep,
            },
            dot_segment_parameters: match kept & 4 {
                0 => DotSegmentParameters::Refuse,
                _ => DotSegmentParameters::Keep,
            },
        };
        let mut scratch = Vec::new();
        if let Ok(normal) = normalize(raw, options, &mut scratch) {
            assert_eq!(
                normalize(normal, options, &mut Vec::new()),
                Ok(normal),
                "normalisation is idempotent"
            );
            check(normal, options);
        }
    }
});

fn check(normal: &[u8], options: PathOptions) {
    let text = std::str::from_utf8(normal).expect("a normal form is ASCII");
    let segments: Vec<&str> = text
        .strip_prefix('/')
        .expect("it begins with `/`")
        .split('/')
        .collect();
    assert!(
        !segments.iter().any(|segment| matches!(*segment, "." | "..")),
        "dot segment in {text}"
    );
    if options.dot_segment_parameters == DotSegmentParameters::Refuse {
        let is_dot = |segment: &&str| {
            let name = segment.replace("%3B", ";");
            name.split_once(';')
                .is_some_and(|(name, _)| matches!(name, "." | ".."))
        };
        assert!(
            !segments.iter().any(is_dot),
            "dot segment with parameters in {text}"
        );
    }
    if options.double_slash == DoubleSlash::Merge {
        assert!(!text.contains("//"), "empty segment in {text}");
    }
    let mut rest = normal.iter();
    while let Some(&byte) = rest.next() {
        if byte != b'%' {
            assert!(
                byte.is_ascii_alphanumeric() || b"/-._~!$&'()*+,;=:@[]".contains(&byte),
                "{byte:#x} in {text}"
            );
            continue;
        }
        let mut digit = || {
            let digit = *rest.next().expect("two digits follow `%`");
            assert!(
                digit.is_ascii_digit() || (b'A'..=b'F').contains(&digit),
                "digits in {text}"
            );
            char::from(digit).to_digit(16).expect("a digit")
        };
        let decoded = (digit() << 4 | digit()) as u8;
        let unreserved = decoded.is_ascii_alphanumeric() || b"-._~".contains(&decoded);
        assert!(!unreserved, "an unreserved character is encoded in {text}");
        assert!(!matches!(decoded, b'\\' | 0), "ambiguous encoding in {text}");
        assert!(
            decoded != b'/' || options.encoded_slash == EncodedSlash::Keep,
            "%2F in {text}"
        );
    }
}
