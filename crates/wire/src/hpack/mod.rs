//! Field blocks of HTTP/2 (HPACK, RFC 7541), walked for two faults that the library which decodes them hides: it drops
//! the pseudo-header fields of trailers, and cuts a fragment off `:path`.
//!
//! Every block of a connection has to be walked, because a block can refer to fields of earlier ones. Little is kept of
//! them: their sizes, by which they are evicted, and the kinds of their names. A value is decoded only where its length
//! or its bytes matter. The walk is laxer than the library, and agrees with it about every block that it accepts.

mod huffman;

use std::collections::VecDeque;

/// Maximum size of the dynamic table; the default of RFC 9113 §6.5.2, which the gateway leaves.
const TABLE_BYTES_MAX: usize = 4096;
/// Size of an entry beyond its name and value (RFC 7541 §4.1).
const ENTRY_OVERHEAD: usize = 32;
/// Maximum bytes of an integer; the library takes no more.
const INTEGER_BYTES_MAX: usize = 5;

/// The names of the static table (RFC 7541 appendix A).
const STATIC_NAMES: [&str; 61] = [
    ":authority",
    ":method",
    ":method",
    ":path",
    ":path",
    ":scheme",
    ":scheme",
    ":status",
    ":status",
    ":status",
    ":status",
    ":status",
    ":status",
    ":status",
    "accept-charset",
    "accept-encoding",
    "accept-language",
    "accept-ranges",
    "accept",
    "access-control-allow-origin",
    "age",
    "allow",
    "authorization",
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-length",
    "content-location",
    "content-range",
    "content-type",
    "cookie",
    "date",
    "etag",
    "expect",
    "expires",
    "from",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "last-modified",
    "link",
    "location",
    "max-forwards",
    "proxy-authenticate",
    "proxy-authorization",
    "range",
    "referer",
    "refresh",
    "retry-after",
    "server",
    "set-cookie",
    "strict-transport-security",
    "transfer-encoding",
    "user-agent",
    "vary",
    "via",
    "www-authenticate",
];

/// The number of pseudo-header fields, with which the static table begins.
const STATIC_PSEUDO: usize = 14;

/// Findings in a field block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Findings {
    /// True if a name begins with a colon.
    pub(crate) has_pseudo: bool,
    /// True if a `:path` has a `#`.
    pub(crate) has_fragment: bool,
}

/// The state of a connection: its dynamic table, the newest entry first.
#[derive(Debug)]
pub(crate) struct FieldBlocks {
    entries: VecDeque<Entry>,
    /// The size of all entries: `size <= size_max`.
    size: usize,
    size_max: usize,
}

/// An entry of the dynamic table.
#[derive(Debug, Clone, Copy)]
struct Entry {
    name: Name,
    size: usize,
    /// True if it is a `:path` with a `#`.
    has_fragment: bool,
}

/// A name, as far as it matters.
#[derive(Debug, Clone, Copy)]
struct Name {
    kind: NameKind,
    length: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NameKind {
    Field,
    Path,
    OtherPseudo,
}

/// A string of a block.
#[derive(Clone, Copy)]
struct Text<'a> {
    bytes: &'a [u8],
    is_coded: bool,
}

impl Name {
    const fn of(name: &[u8]) -> Self {
        let kind = match name {
            b":path" => NameKind::Path,
            [b':', ..] => NameKind::OtherPseudo,
            _ => NameKind::Field,
        };
        Self {
            kind,
            length: name.len(),
        }
    }
}

impl Text<'_> {
    /// The string as a name; `None` if it is not Huffman-coded correctly.
    fn name(self) -> Option<Name> {
        if !self.is_coded {
            return Some(Name::of(self.bytes));
        }
        // Longer names only have to be told from `:path`.
        let (mut start, mut length) = ([0; b":path".len() + 1], 0);
        huffman::decode(self.bytes, |symbol| {
            if let Some(place) = start.get_mut(length) {
                *place = symbol;
            }
            length += 1;
        })?;
        let name = Name::of(&start[..length.min(start.len())]);
        Some(Name { length, ..name })
    }

    /// The length, and true if there is a `#`; `None` if it is not Huffman-coded correctly.
    fn measure(self) -> Option<(usize, bool)> {
        if !self.is_coded {
            return Some((self.bytes.len(), self.bytes.contains(&b'#')));
        }
        let (mut length, mut has_hash) = (0, false);
        huffman::decode(self.bytes, |symbol| {
            length += 1;
            has_hash |= symbol == b'#';
        })?;
        Some((length, has_hash))
    }

    fn may_have_hash(self) -> bool {
        !self.is_coded || huffman::may_have_hash(self.bytes)
    }
}

impl Default for FieldBlocks {
    fn default() -> Self {
        Self {
            entries: VecDeque::new(),
            size: 0,
            size_max: TABLE_BYTES_MAX,
        }
    }
}

impl FieldBlocks {
    /// Walks the next block of the connection; `None` if it cannot be decoded.
    pub(crate) fn walk(&mut self, mut block: &[u8]) -> Option<Findings> {
        let mut findings = Findings::default();
        while let Some(&first) = block.first() {
            // RFC 7541 §6.
            if first & 0x80 != 0 {
                let index = integer(&mut block, 7)?;
                // Most fields of most requests are here, and need no look at their names.
                if (1..=STATIC_NAMES.len()).contains(&index) {
                    findings.has_pseudo |= index <= STATIC_PSEUDO;
                    continue;
                }
                let entry = self.entry(index)?;
                findings.has_pseudo |= entry.name.kind != NameKind::Field;
                findings.has_fragment |= entry.has_fragment;
            } else if first & 0x40 != 0 {
                let entry = self.literal(&mut block, 6, true, &mut findings)?;
                self.insert(entry);
            } else if first & 0x20 != 0 {
                self.size_max = integer(&mut block, 5).filter(|size| *size <= TABLE_BYTES_MAX)?;
                self.evict(0);
            } else {
                self.literal(&mut block, 4, false, &mut findings)?;
            }
        }
        Some(findings)
    }

    /// The entry at an index of both tables (RFC 7541 §2.3.3). The static `:path`s have no `#`.
    fn entry(&self, index: usize) -> Option<Entry> {
        let index = index.checked_sub(1)?;
        match STATIC_NAMES.get(index) {
            Some(name) => Some(Entry {
                name: Name::of(name.as_bytes()),
                size: 0,
                has_fragment: false,
            }),
            None => self.entries.get(index - STATIC_NAMES.len()).copied(),
        }
    }

    /// Reads a literal whose name is an index with a prefix of `bits`, or a string. Only one that `is_inserted` needs a
    /// size.
    fn literal(
        &self,
        block: &mut &[u8],
        bits: u32,
        is_inserted: bool,
        findings: &mut Findings,
    ) -> Option<Entry> {
        let name = match integer(block, bits)? {
            0 => string(block)?.name()?,
            index => self.entry(index)?.name,
        };
        let value = string(block)?;
        let is_path = name.kind == NameKind::Path;
        let (length, has_hash) = match is_inserted || (is_path && value.may_have_hash()) {
            true => value.measure()?,
            false => (0, false),
        };
        let has_fragment = is_path && has_hash;
        findings.has_pseudo |= name.kind != NameKind::Field;
        findings.has_fragment |= has_fragment;
        Some(Entry {
            name,
            size: name.length + length + ENTRY_OVERHEAD,
            has_fragment,
        })
    }

    /// Inserts an entry, in the place of the oldest ones. One that is larger than the table empties it (RFC 7541
    /// §4.4).
    fn insert(&mut self, entry: Entry) {
        self.evict(entry.size);
        if entry.size <= self.size_max {
            self.size += entry.size;
            self.entries.push_front(entry);
        }
    }

    /// Evicts the oldest entries until there is room for `size` more.
    fn evict(&mut self, size: usize) {
        while self.size + size > self.size_max
            && let Some(oldest) = self.entries.pop_back()
        {
            self.size -= oldest.size;
        }
    }
}

/// Takes an integer with a prefix of `bits` off the front (RFC 7541 §5.1).
fn integer(block: &mut &[u8], bits: u32) -> Option<usize> {
    let mask = (1 << bits) - 1;
    let (&first, rest) = block.split_first()?;
    *block = rest;
    let mut value = usize::from(first & mask);
    if value < usize::from(mask) {
        return Some(value);
    }
    for place in 0..INTEGER_BYTES_MAX - 1 {
        let (&byte, rest) = block.split_first()?;
        *block = rest;
        value += usize::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// Takes a string off the front (RFC 7541 §5.2).
fn string<'a>(block: &mut &'a [u8]) -> Option<Text<'a>> {
    let is_coded = block.first()? & 0x80 != 0;
    let length = integer(block, 7)?;
    let (bytes, rest) = block.split_at_checked(length)?;
    *block = rest;
    Some(Text { bytes, is_coded })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
        let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
        digits.chunks(2).map(pair).collect()
    }

    /// Walks blocks one after the other, and checks the table's size after each.
    fn check_sizes(size_max: usize, blocks: &[(&str, usize)]) {
        let mut walked = FieldBlocks {
            size_max,
            ..FieldBlocks::default()
        };
        for (block, size) in blocks {
            assert!(walked.walk(&bytes(block)).is_some(), "{block}");
            assert_eq!(walked.size, *size, "{block}");
            let all: usize = walked.entries.iter().map(|entry| entry.size).sum();
            assert_eq!(all, *size, "{block}");
        }
    }

    #[test]
    fn tables_of_the_specification_are_kept() {
        // RFC 7541 C.3 and C.4: requests, in clear and coded.
        check_sizes(
            TABLE_BYTES_MAX,
            &[
                ("8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d", 57),
                ("8286 84be 5808 6e6f 2d63 6163 6865", 110),
                (
                    "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
                    164,
                ),
            ],
        );
        check_sizes(
            TABLE_BYTES_MAX,
            &[
                ("8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff", 57),
                ("8286 84be 5886 a8eb 1064 9cbf", 110),
                ("8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf", 164),
            ],
        );
        // C.5 and C.6: responses, with evictions.
        check_sizes(
            256,
            &[
                (
                    "4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a \
                     3133 3a32 3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
                    222,
                ),
                ("4803 3330 37c1 c0bf", 222),
                (
                    "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 \
                     677a 6970 7738 666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 \
                     553b 206d 6178 2d61 6765 3d33 3630 303b 2076 6572 7369 6f6e 3d31",
                    215,
                ),
            ],
        );
        check_sizes(
            256,
            &[
                (
                    "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e \
                     919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3",
                    222,
                ),
                ("4883 640e ffc1 c0bf", 222),
                (
                    "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 \
                     821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed \
                     4ee5 b106 3d50 07",
                    215,
                ),
            ],
        );
    }

    fn found(has_pseudo: bool, has_fragment: bool) -> Option<Findings> {
        Some(Findings {
            has_pseudo,
            has_fragment,
        })
    }

    #[test]
    fn faults_are_found_in_every_representation() {
        let walk = |block: &[u8]| FieldBlocks::default().walk(block);
        // `:path: /#` under the static name, with and without indexing; under a name in clear, and a coded one.
        for block in [
            &b"\x44\x02/#"[..],
            b"\x04\x02/#",
            b"\x14\x02/#",
            b"\x00\x05:path\x02/#",
            b"\x40\x05:path\x02/#",
            // The value coded: `/` is 011000, `#` is 111111111010.
            b"\x04\x83\x63\xfe\xbf",
            b"\x44\x83\x63\xfe\xbf",
        ] {
            assert_eq!(walk(block), found(true, true), "{block:?}");
        }
        assert_eq!(walk(b"\x04\x02/x"), found(true, false));
        assert_eq!(walk(b"\x84\x85"), found(true, false));
        // A `#` elsewhere is an ordinary character.
        assert_eq!(walk(b"\x00\x01x\x02/#"), found(false, false));
        assert_eq!(walk(b"\x01\x01#"), found(true, false));
        assert_eq!(walk(b"\x00\x07:status\x03200"), found(true, false));
        assert_eq!(walk(b"\x88"), found(true, false));
        assert_eq!(walk(b"\x00\x0bgrpc-status\x010"), found(false, false));
        assert_eq!(walk(b""), found(false, false));
        // By reference to an earlier block.
        let mut blocks = FieldBlocks::default();
        assert_eq!(
            blocks.walk(b"\x44\x02/#\x40\x02:x\x01y\x40\x01z\x01y"),
            found(true, true)
        );
        assert_eq!(blocks.walk(b"\xbe"), found(false, false), "z: y");
        assert_eq!(blocks.walk(b"\xbf"), found(true, false), ":x: y");
        assert_eq!(blocks.walk(b"\xc0"), found(true, true), ":path: /#");
        assert_eq!(blocks.walk(b"\x7e\x01z"), found(false, false), "z: z");
        // Evicted by a smaller table.
        assert_eq!(blocks.walk(b"\x20\x3f\xe1\x1f\xbe"), None);
    }

    #[test]
    fn static_table_begins_with_the_pseudo_headers() {
        for (index, name) in STATIC_NAMES.iter().enumerate() {
            assert_eq!(name.starts_with(':'), index < STATIC_PSEUDO, "{name}");
        }
    }

    #[test]
    fn what_cannot_be_decoded_is_reported() {
        for block in [
            &b"\x80"[..],
            b"\xbe",
            b"\xff",
            b"\xff\xff\xff\xff\xff\xff",
            b"\x40",
            b"\x00\x05:path",
            b"\x44\x03/",
            b"\x3f\xe2\x1f",
            b"\x44\x84\xff\xff\xff\xff",
        ] {
            assert_eq!(FieldBlocks::default().walk(block), None, "{block:?}");
        }
    }
}
