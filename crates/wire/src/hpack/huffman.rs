//! The Huffman code of HPACK (RFC 7541 §5.2, appendix B), decoded symbol by symbol.
//!
//! The code is canonical: codes are assigned in the order of their lengths, then of their symbols, so the lengths say
//! everything.

/// Length of the longest code, in bits.
const BITS_MAX: usize = 30;

/// Length of each symbol's code, in bits. The end of string, whose code is the last one, is not among them.
const LENGTHS: [u8; 256] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28,
    28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6,
    6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7,
    8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7,
    15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24,
    23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23,
    23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26,
    26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20,
    21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27,
    27, 27, 26,
];

const CODE: Code = Code::new();

/// The code, in tables.
struct Code {
    /// The symbol whose code begins a byte, and the length of the code; 0 if it is longer than a byte.
    short: [(u8, u8); 256],
    /// The symbols in the order of their codes.
    symbols: [u8; 256],
    /// For each length: the first code, the number of codes, and the position of the first one's symbol.
    lengths: [(u32, u32, u32); BITS_MAX + 1],
}

impl Code {
    const fn new() -> Self {
        let mut code = Self {
            short: [(0, 0); 256],
            symbols: [0; 256],
            lengths: [(0, 0, 0); BITS_MAX + 1],
        };
        let (mut next, mut position, mut bits) = (0_u32, 0_u32, 1);
        while bits <= BITS_MAX {
            next <<= 1;
            let (first, start) = (next, position);
            let mut symbol = 0;
            while symbol < 256 {
                if LENGTHS[symbol] as usize == bits {
                    code.symbols[position as usize] = symbol as u8;
                    if bits <= 8 {
                        let (mut at, end) = (next << (8 - bits), (next + 1) << (8 - bits));
                        while at < end {
                            code.short[at as usize] = (symbol as u8, bits as u8);
                            at += 1;
                        }
                    }
                    next += 1;
                    position += 1;
                }
                symbol += 1;
            }
            code.lengths[bits] = (first, position - start, start);
            bits += 1;
        }
        code
    }
}

/// Calls `take` with each symbol of `bytes`. Returns `None` if they are not Huffman-coded; a padding that is not all
/// ones is accepted.
pub(super) fn decode(bytes: &[u8], mut take: impl FnMut(u8)) -> Option<()> {
    // The last `count` bits of `bits` are not decoded yet.
    let (mut bits, mut count) = (0_u64, 0);
    for &byte in bytes {
        bits = bits << 8 | u64::from(byte);
        count += 8;
        while count >= 8 {
            let (symbol, length) = CODE.short[(bits >> (count - 8)) as u8 as usize];
            if length > 0 {
                take(symbol);
                count -= u32::from(length);
                continue;
            }
            let Some((symbol, length)) = long(bits, count) else {
                break;
            };
            take(symbol);
            count -= length;
        }
        if count as usize > BITS_MAX + 8 {
            return None;
        }
    }
    if count >= 8 {
        return None;
    }
    // Fewer than 8 bits are left, filled up with the padding that would follow.
    while count > 0 {
        let next = (bits << (8 - count)) as u8 | (0xff >> count);
        let (symbol, length) = CODE.short[next as usize];
        if length == 0 || u32::from(length) > count {
            break;
        }
        take(symbol);
        count -= u32::from(length);
    }
    Some(())
}

/// The symbol of the code at the front of the last `count` bits, and its length, if it is one of more than 8 bits.
fn long(bits: u64, count: u32) -> Option<(u8, u32)> {
    let lengths = 9..=count.min(BITS_MAX as u32);
    lengths.into_iter().find_map(|length| {
        let code = (bits >> (count - length)) as u32 & ((1 << length) - 1);
        let (first, codes, start) = CODE.lengths[length as usize];
        let offset = code.checked_sub(first).filter(|offset| *offset < codes)?;
        Some((CODE.symbols[(start + offset) as usize], length))
    })
}

/// Returns false if no symbol of `bytes` is `#`, whose code has nine ones in a row.
pub(super) fn may_have_hash(bytes: &[u8]) -> bool {
    bytes.windows(2).any(|pair| {
        pair[0] & 1 != 0 && pair[1] & 0x80 != 0 && pair[0].trailing_ones() + pair[1].leading_ones() >= 9
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(hex: &str) -> Option<String> {
        let mut text = Vec::new();
        decode(&bytes(hex), |symbol| text.push(symbol))?;
        Some(String::from_utf8(text).unwrap())
    }

    fn bytes(hex: &str) -> Vec<u8> {
        let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
        let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
        digits.chunks(2).map(pair).collect()
    }

    /// Encodes by the lengths alone.
    fn encoded(text: &[u8]) -> Vec<u8> {
        let mut bits = String::new();
        for &byte in text {
            let length = LENGTHS[usize::from(byte)];
            let (first, _, start) = CODE.lengths[usize::from(length)];
            let position = CODE.symbols.iter().position(|symbol| *symbol == byte).unwrap() as u32;
            let width = usize::from(length);
            bits += &format!("{:0width$b}", first + position - start);
        }
        while !bits.len().is_multiple_of(8) {
            bits.push('1');
        }
        let digits = bits.as_bytes();
        let byte = |byte: &[u8]| u8::from_str_radix(std::str::from_utf8(byte).unwrap(), 2).unwrap();
        digits.chunks(8).map(byte).collect()
    }

    #[test]
    fn examples_of_the_specification_are_decoded() {
        // RFC 7541 C.4 and C.6.
        for (hex, text) in [
            ("f1e3 c2e5 f23a 6ba0 ab90 f4ff", "www.example.com"),
            ("a8eb 1064 9cbf", "no-cache"),
            ("25a8 49e9 5ba9 7d7f", "custom-key"),
            ("25a8 49e9 5bb8 e8b4 bf", "custom-value"),
            ("6402", "302"),
            (
                "d07a be94 1054 d444 a820 0595 040b 8166 e082 a62d 1bff",
                "Mon, 21 Oct 2013 20:13:21 GMT",
            ),
            (
                "9d29 ad17 1863 c78f 0b97 c8e9 ae82 ae43 d3",
                "https://www.example.com",
            ),
        ] {
            assert_eq!(decoded(hex).as_deref(), Some(text));
        }
    }

    #[test]
    fn every_symbol_is_decoded() {
        let all: Vec<u8> = (0..=255).collect();
        let mut text = Vec::new();
        decode(&encoded(&all), |symbol| text.push(symbol)).unwrap();
        assert_eq!(text, all);
        for symbol in all {
            let mut text = Vec::new();
            decode(&encoded(&[symbol, b'a', symbol]), |symbol| text.push(symbol)).unwrap();
            assert_eq!(text, [symbol, b'a', symbol]);
        }
    }

    #[test]
    fn end_of_string_is_no_symbol() {
        assert_eq!(decoded("ffffffff"), None);
        assert_eq!(decoded("ffffffffffff"), None);
    }

    #[test]
    fn hash_is_never_overlooked() {
        for before in 0..=255 {
            for after in [b"".as_slice(), b"a", b"&", b"\x00"] {
                let text = [&[before], b"#".as_slice(), after].concat();
                assert!(may_have_hash(&encoded(&text)), "{text:?}");
            }
        }
        assert!(!may_have_hash(&encoded(b"/users/17/orders?page=2")));
    }
}
