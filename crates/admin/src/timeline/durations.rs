//! The durations of parts of time by bucket, in few bytes: an instance of a fleet keeps them, so that quantiles over several
//! instances are those of all requests.

use std::collections::VecDeque;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use waypost_upstream::histogram::BUCKETS;

use crate::varint::{read, write};

/// Bytes of the length before each part.
const LENGTH: usize = 2;

/// Requests by the bucket of their duration, in order and without empty buckets.
pub(crate) type Sparse = Vec<(u16, u32)>;

/// The durations of past parts of time, each with its number. The oldest go first when there are too many bytes.
#[derive(Debug, Clone)]
pub(super) struct Parts {
    bytes_max: usize,
    bytes: VecDeque<u8>,
}

impl Parts {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self {
            bytes_max,
            bytes: VecDeque::new(),
        }
    }

    /// Adds a part, which is not before the last one. Another one of the same number takes its place.
    pub(super) fn push(&mut self, number: u64, buckets: &[u32]) {
        let mut part = vec![0; LENGTH];
        write(&mut part, number);
        pack(buckets.iter().copied().enumerate(), &mut part);
        // At most 320 buckets of 7 bytes each.
        let length = (part.len() - LENGTH) as u16;
        part[..LENGTH].copy_from_slice(&length.to_le_bytes());
        while self.bytes.len() + part.len() > self.bytes_max
            && let Some(length) = length_at(&self.bytes, 0)
        {
            self.bytes.drain(..(LENGTH + length).min(self.bytes.len()));
        }
        // A queue that grows by itself has room for twice as much.
        let wanted = (self.bytes.capacity() * 2).clamp(part.len(), self.bytes_max);
        if self.bytes.len() + part.len() > self.bytes.capacity() {
            self.bytes
                .reserve_exact(wanted.saturating_sub(self.bytes.len()).max(part.len()));
        }
        self.bytes.extend(part);
    }

    /// The memory that it takes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.capacity()
    }

    /// The durations of the parts from `first` to `last`; `None` of those that are not kept.
    pub(super) fn of(&self, first: u64, last: u64) -> Vec<Option<Sparse>> {
        let mut all = vec![None; (last + 1).saturating_sub(first) as usize];
        let mut at = 0;
        while let Some(length) = length_at(&self.bytes, at) {
            let part: Vec<u8> = self.bytes.range(at + LENGTH..).take(length).copied().collect();
            at += LENGTH + length;
            let mut part = &*part;
            let number = read(&mut part).filter(|number| (first..=last).contains(number));
            if let Some(number) = number {
                all[(number - first) as usize] = unpack(&mut part);
            }
        }
        all
    }
}

/// The length of the part that begins at `at`; `None` at the end.
fn length_at(bytes: &VecDeque<u8>, at: usize) -> Option<usize> {
    let length = [*bytes.get(at)?, *bytes.get(at + 1)?];
    Some(u16::from_le_bytes(length).into())
}

/// Buckets that are not empty, as pairs of the distance to the bucket before and the count.
fn pack(buckets: impl Iterator<Item = (usize, u32)> + Clone, bytes: &mut Vec<u8>) {
    let buckets = buckets.filter(|(_, count)| *count > 0);
    write(bytes, buckets.clone().count() as u64);
    let mut before = 0;
    for (bucket, count) in buckets {
        write(bytes, (bucket - before) as u64);
        write(bytes, count.into());
        before = bucket;
    }
}

/// Takes the buckets of a part off the front; `None` if they make no sense.
fn unpack(bytes: &mut &[u8]) -> Option<Sparse> {
    let count = usize::try_from(read(bytes)?).ok()?;
    if count > BUCKETS {
        return None;
    }
    let mut buckets = Sparse::with_capacity(count);
    let mut bucket = 0_u16;
    for _ in 0..count {
        let distance = u16::try_from(read(bytes)?).ok()?;
        bucket = bucket.checked_add(distance)?;
        let is_next = distance > 0 || buckets.is_empty();
        if !is_next || usize::from(bucket) >= BUCKETS {
            return None;
        }
        buckets.push((bucket, u32::try_from(read(bytes)?).ok()?));
    }
    Some(buckets)
}

/// The durations of successive parts as text; parts without any are empty.
pub(crate) fn to_text(parts: &[Option<Sparse>]) -> String {
    let mut bytes = Vec::new();
    for part in parts {
        let buckets = part.iter().flatten();
        pack(
            buckets.map(|(bucket, count)| (usize::from(*bucket), *count)),
            &mut bytes,
        );
    }
    STANDARD_NO_PAD.encode(bytes)
}

/// The durations of so many successive parts; `None` if the text makes no sense.
pub(crate) fn of_text(text: &str, parts: usize) -> Option<Vec<Sparse>> {
    let bytes = STANDARD_NO_PAD.decode(text).ok()?;
    let mut rest = &*bytes;
    // Each part has a byte at least.
    if parts > bytes.len() {
        return None;
    }
    let parts: Option<Vec<Sparse>> = (0..parts).map(|_| unpack(&mut rest)).collect();
    parts.filter(|_| rest.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buckets(counts: &[(usize, u32)]) -> Vec<u32> {
        let mut buckets = vec![0; BUCKETS];
        counts
            .iter()
            .for_each(|(bucket, count)| buckets[*bucket] = *count);
        buckets
    }

    #[test]
    fn parts_come_back_by_their_numbers() {
        let mut parts = Parts::new(1 << 10);
        parts.push(10, &buckets(&[(0, 1), (319, u32::MAX)]));
        parts.push(12, &buckets(&[(7, 300)]));
        parts.push(12, &buckets(&[(8, 2)]));
        let (ten, twelve) = (vec![(0, 1), (319, u32::MAX)], vec![(8, 2)]);
        assert_eq!(parts.of(10, 12), [Some(ten.clone()), None, Some(twelve.clone())]);
        assert_eq!(parts.of(11, 11), [None]);
        let text = to_text(&parts.of(9, 12));
        assert_eq!(of_text(&text, 4).unwrap(), [vec![], ten, vec![], twelve]);
    }

    #[test]
    fn oldest_parts_go_first() {
        let mut parts = Parts::new(64);
        for number in 0..100 {
            parts.push(number, &buckets(&[(3, 5), (200, 7)]));
        }
        let kept = parts.of(0, 99);
        let first = kept.iter().position(Option::is_some).unwrap();
        assert!((80..99).contains(&first), "{first}");
        assert!(kept[first..].iter().all(Option::is_some));
        assert!(parts.bytes() <= 64);
    }

    #[test]
    fn nonsense_is_refused() {
        let good = to_text(&[Some(vec![(1, 2)])]);
        assert!(of_text(&good, 1).is_some());
        let encoded = |bytes: &[u8]| STANDARD_NO_PAD.encode(bytes);
        for (text, parts) in [
            (good.clone(), 2),
            (good, 0),
            ("?".to_owned(), 1),
            (String::new(), usize::MAX),
            // A part that ends early, too many buckets, one twice, and one that there is not.
            (encoded(&[2, 1, 1]), 1),
            (encoded(&[0xff, 0x7f]), 1),
            (encoded(&[2, 1, 1, 0, 1]), 1),
            (encoded(&[1, 0xc0, 2, 1]), 1),
        ] {
            assert_eq!(of_text(&text, parts), None, "{text}");
        }
    }
}
