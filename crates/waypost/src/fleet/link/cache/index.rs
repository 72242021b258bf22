//! The index: everything that is small, and the digests of what lies apart.

use std::collections::BTreeMap;

use waypost_fleet::key::ConfigName;
use waypost_fleet::store::StoreRevision;
use waypost_fleet::text::Digest;

/// The version of the format, which comes first.
const VERSION: &[u8] = b"2";

/// All that is kept of a fleet.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Index {
    /// The fleet's prefix.
    pub(super) prefix: String,
    /// The revision of the store.
    pub(super) at: StoreRevision,
    /// The number of instances that lived.
    pub(super) instances: u64,
    /// The config that this instance served, if it served one.
    pub(super) served: Option<ServedIndex>,
    /// Keys of the store.
    pub(super) items: Vec<Item>,
}

/// The config that an instance served: its number, and its texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ServedIndex {
    pub(super) number: u64,
    pub(super) texts: BTreeMap<ConfigName, Digest>,
}

/// A key with its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) key: String,
    pub(super) value: Value,
    pub(super) modified: StoreRevision,
}

/// A value, or where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    /// In the index.
    Here(Vec<u8>),
    /// In a file of its own.
    Apart(Digest),
}

impl Index {
    /// The digests of all that lies apart.
    pub(super) fn apart(&self) -> impl Iterator<Item = Digest> {
        let of_items = self.items.iter().filter_map(|item| match item.value {
            Value::Here(_) => None,
            Value::Apart(digest) => Some(digest),
        });
        let of_served = self
            .served
            .iter()
            .flat_map(|served| served.texts.values().copied());
        of_items.chain(of_served)
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        put_bytes(&mut bytes, VERSION);
        put_bytes(&mut bytes, self.prefix.as_bytes());
        put_revision(&mut bytes, self.at);
        put_number(&mut bytes, self.instances);
        match &self.served {
            None => bytes.push(0),
            Some(served) => {
                bytes.push(1);
                put_number(&mut bytes, served.number);
                put_number(&mut bytes, served.texts.len() as u64);
                for (name, digest) in &served.texts {
                    put_bytes(&mut bytes, name.as_str().as_bytes());
                    put_digest(&mut bytes, *digest);
                }
            }
        }
        for item in &self.items {
            put_bytes(&mut bytes, item.key.as_bytes());
            match &item.value {
                Value::Here(value) => {
                    bytes.push(0);
                    put_bytes(&mut bytes, value);
                }
                Value::Apart(digest) => {
                    bytes.push(1);
                    put_digest(&mut bytes, *digest);
                }
            }
            put_revision(&mut bytes, item.modified);
        }
        bytes
    }

    /// Reads what [`to_bytes`](Self::to_bytes) has made; `None` if it is anything else.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes;
        if take_bytes(&mut rest)? != VERSION {
            return None;
        }
        let mut index = Self {
            prefix: take_text(&mut rest)?,
            at: take_revision(&mut rest)?,
            instances: take_number(&mut rest)?,
            ..Self::default()
        };
        if take_flag(&mut rest)? {
            let number = take_number(&mut rest)?;
            let count = take_number(&mut rest)?;
            let mut texts = BTreeMap::new();
            for _ in 0..count {
                let name = ConfigName::new(&take_text(&mut rest)?)?;
                texts.insert(name, take_digest(&mut rest)?);
            }
            index.served = Some(ServedIndex { number, texts });
        }
        while !rest.is_empty() {
            let key = take_text(&mut rest)?;
            let value = match take_flag(&mut rest)? {
                false => Value::Here(take_bytes(&mut rest)?.to_vec()),
                true => Value::Apart(take_digest(&mut rest)?),
            };
            let modified = take_revision(&mut rest)?;
            index.items.push(Item { key, value, modified });
        }
        Some(index)
    }
}

fn put_bytes(body: &mut Vec<u8>, bytes: &[u8]) {
    put_number(body, bytes.len() as u64);
    body.extend_from_slice(bytes);
}

fn put_number(body: &mut Vec<u8>, number: u64) {
    body.extend_from_slice(&number.to_be_bytes());
}

fn put_revision(body: &mut Vec<u8>, revision: StoreRevision) {
    body.extend_from_slice(&revision.0.to_be_bytes());
}

fn put_digest(body: &mut Vec<u8>, digest: Digest) {
    put_bytes(body, digest.to_string().as_bytes());
}

fn take_bytes<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(take_number(rest)?).ok()?;
    let (bytes, behind) = rest.split_at_checked(length)?;
    *rest = behind;
    Some(bytes)
}

fn take_text(rest: &mut &[u8]) -> Option<String> {
    String::from_utf8(take_bytes(rest)?.to_vec()).ok()
}

fn take_number(rest: &mut &[u8]) -> Option<u64> {
    let (number, behind) = rest.split_first_chunk()?;
    *rest = behind;
    Some(u64::from_be_bytes(*number))
}

fn take_revision(rest: &mut &[u8]) -> Option<StoreRevision> {
    let (revision, behind) = rest.split_first_chunk()?;
    *rest = behind;
    Some(StoreRevision(i64::from_be_bytes(*revision)))
}

fn take_digest(rest: &mut &[u8]) -> Option<Digest> {
    take_text(rest)?.parse().ok()
}

fn take_flag(rest: &mut &[u8]) -> Option<bool> {
    let (flag, behind) = rest.split_first()?;
    *rest = behind;
    match flag {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn index_is_read_as_it_was_written_and_not_in_part() {
        let digest = Digest::of(b"routes: []\n");
        let name = ConfigName::new("a.yaml").unwrap();
        let item = |key: &str, value| Item {
            key: key.to_owned(),
            value,
            modified: StoreRevision(3),
        };
        let index = Index {
            prefix: "/waypost/prod".to_owned(),
            at: StoreRevision(9),
            instances: 3,
            served: Some(ServedIndex {
                number: 2,
                texts: [(name, digest)].into(),
            }),
            items: vec![
                item("/waypost/prod/config/a.yaml", Value::Apart(digest)),
                item("/waypost/prod/dials/users", Value::Here(b"{}".to_vec())),
            ],
        };
        let bytes = index.to_bytes();
        assert_eq!(Index::read(&bytes), Some(index.clone()));
        assert_eq!(index.apart().collect::<Vec<_>>(), [digest, digest]);
        for cut in 0..bytes.len() {
            assert_ne!(Index::read(&bytes[..cut]).as_ref(), Some(&index), "cut at {cut}");
        }
        assert_eq!(Index::read(b""), None);
    }
}
