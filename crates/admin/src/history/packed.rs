//! Counts of many series in few bytes.
//!
//! A series takes about twenty bytes while it has few requests, and a hundred when it has many: numbers are written with
//! seven bits to a byte (LEB128), and what is in order as differences.

use waypost_policy::status::RequestStatus;
use waypost_proxy::observe::metrics::RequestReading;
use waypost_upstream::histogram::{BUCKETS, Durations};

use crate::varint::{read, write};

/// Requests of a series by status, and their durations.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Counts {
    /// In order.
    pub(super) statuses: Vec<(RequestStatus, u64)>,
    /// Requests that a rule refused.
    pub(super) refused: u64,
    pub(super) durations: Durations,
}

impl Counts {
    /// The counts of a reading.
    pub(super) fn of(reading: RequestReading) -> Self {
        Self {
            statuses: reading.statuses,
            refused: reading.refused,
            durations: reading.duration,
        }
    }

    fn is_empty(&self) -> bool {
        self.statuses.is_empty() && self.durations.count() == 0
    }

    /// Adds other requests.
    pub(super) fn add(&mut self, more: &Self) {
        for (status, count) in &more.statuses {
            match self.statuses.binary_search_by_key(status, |(status, _)| *status) {
                Ok(at) => self.statuses[at].1 += count,
                Err(at) => self.statuses.insert(at, (*status, *count)),
            }
        }
        self.refused += more.refused;
        self.durations.add(&more.durations);
    }

    /// Takes away requests that were counted earlier.
    pub(super) fn subtract(&mut self, earlier: &Self) {
        for (status, count) in &earlier.statuses {
            if let Ok(at) = self.statuses.binary_search_by_key(status, |(status, _)| *status) {
                self.statuses[at].1 = self.statuses[at].1.saturating_sub(*count);
            }
        }
        self.statuses.retain(|(_, count)| *count > 0);
        self.refused = self.refused.saturating_sub(earlier.refused);
        self.durations = self.durations.since(&earlier.durations);
    }

    pub(super) fn pack(&self, bytes: &mut Vec<u8>) {
        // Most series have no refusals, which cost them a bit.
        let is_refused = u64::from(self.refused > 0);
        write(bytes, (self.statuses.len() as u64) << 1 | is_refused);
        if self.refused > 0 {
            write(bytes, self.refused);
        }
        for (status, count) in &self.statuses {
            // The bit of failures is the highest: behind the others, it costs no byte.
            write(bytes, u64::from(status.key().rotate_left(1)));
            write(bytes, *count);
        }
        let mut before = 0;
        for (bucket, count) in self.durations.counts() {
            write(bytes, u64::from(bucket - before));
            write(bytes, *count);
            before = *bucket;
        }
    }

    /// The counts that were packed as `bytes`.
    pub(super) fn unpack(mut bytes: &[u8]) -> Self {
        let mut statuses = Vec::new();
        let begin = read(&mut bytes).unwrap_or(0);
        let refused = match begin & 1 {
            0 => 0,
            _ => read(&mut bytes).unwrap_or(0),
        };
        for _ in 0..begin >> 1 {
            let (Some(key), Some(count)) = (read(&mut bytes), read(&mut bytes)) else {
                break;
            };
            let status = RequestStatus::from_key((key as u16).rotate_right(1));
            statuses.push((status, count));
        }
        let (mut buckets, mut bucket) = (Vec::new(), 0);
        while let (Some(more), Some(count)) = (read(&mut bytes), read(&mut bytes)) {
            // Also what another instance has packed, which need not make sense.
            bucket = u16::saturating_add(bucket, more as u16);
            if usize::from(bucket) >= BUCKETS {
                break;
            }
            buckets.push((bucket, count));
        }
        Self {
            statuses,
            refused,
            durations: Durations::of_counts(buckets),
        }
    }
}

/// The counts of series, in order of their numbers.
#[derive(Debug, Default)]
pub(super) struct Packed(Box<[u8]>);

/// Counts that are being packed.
#[derive(Debug, Default)]
pub(super) struct Packing {
    bytes: Vec<u8>,
    last: u64,
    /// The counts of one series, before their length is known.
    one: Vec<u8>,
}

impl Packing {
    /// Adds the counts of a series, whose number is above those so far.
    pub(super) fn push(&mut self, series: u64, counts: &Counts) {
        if counts.is_empty() {
            return;
        }
        let mut one = std::mem::take(&mut self.one);
        one.clear();
        counts.pack(&mut one);
        self.push_packed(series, &one);
        self.one = one;
    }

    /// Adds counts that are packed already.
    pub(super) fn push_packed(&mut self, series: u64, counts: &[u8]) {
        write(&mut self.bytes, series - self.last);
        write(&mut self.bytes, counts.len() as u64);
        self.bytes.extend_from_slice(counts);
        self.last = series;
    }

    /// The bytes so far.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn finish(self) -> Packed {
        Packed(self.bytes.into_boxed_slice())
    }
}

impl Packed {
    /// The bytes that it takes.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The series, each with its packed counts.
    pub(super) fn entries(&self) -> Entries<'_> {
        Entries {
            rest: &self.0,
            last: 0,
        }
    }

    /// These requests and those of `other`.
    pub(super) fn merged(&self, other: &Self) -> Self {
        let (mut one, mut two) = (self.entries().peekable(), other.entries().peekable());
        let mut both = Packing::default();
        while let Some(series) = one
            .peek()
            .into_iter()
            .chain(two.peek())
            .map(|entry| entry.0)
            .min()
        {
            let is_next = |entry: &(u64, &[u8])| entry.0 == series;
            match (one.next_if(is_next), two.next_if(is_next)) {
                (Some((_, one)), Some((_, two))) => {
                    let mut counts = Counts::unpack(one);
                    counts.add(&Counts::unpack(two));
                    both.push(series, &counts);
                }
                (Some((_, counts)), None) | (None, Some((_, counts))) => both.push_packed(series, counts),
                (None, None) => {}
            }
        }
        both.finish()
    }
}

/// The series of [`Packed`] counts, in order.
#[derive(Debug)]
pub(super) struct Entries<'p> {
    rest: &'p [u8],
    last: u64,
}

impl<'p> Iterator for Entries<'p> {
    type Item = (u64, &'p [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        self.last += read(&mut self.rest)?;
        let length = read(&mut self.rest)?;
        let (counts, rest) = self.rest.split_at_checked(usize::try_from(length).ok()?)?;
        self.rest = rest;
        Some((self.last, counts))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(statuses: &[(u16, u64)], buckets: &[(u16, u64)]) -> Counts {
        let statuses = statuses
            .iter()
            .map(|(http, count)| (RequestStatus::http(*http), *count));
        Counts {
            statuses: statuses.collect(),
            refused: 0,
            durations: Durations::of_counts(buckets.to_vec()),
        }
    }

    fn packed(all: &[(u64, Counts)]) -> Packed {
        let mut packing = Packing::default();
        all.iter()
            .for_each(|(series, counts)| packing.push(*series, counts));
        packing.finish()
    }

    fn unpacked(packed: &Packed) -> Vec<(u64, Counts)> {
        let entries = packed.entries();
        entries
            .map(|(series, bytes)| (series, Counts::unpack(bytes)))
            .collect()
    }

    #[test]
    fn counts_are_what_was_packed() {
        let all = [
            (
                0,
                counts(&[(0, 1), (200, 127), (503, 128)], &[(0, 1), (319, 255)]),
            ),
            (1, counts(&[(404, u64::MAX)], &[])),
            (300, counts(&[], &[(5, 1 << 40)])),
            (u64::MAX, counts(&[(200, 1)], &[(1, 1), (2, 1), (3, 1)])),
        ];
        assert_eq!(unpacked(&packed(&all)), all);
        let few = packed(&[(1, counts(&[(200, 3)], &[(100, 2), (101, 1)]))]);
        assert_eq!(few.len(), 10, "{few:?}");
        assert_eq!(packed(&[(7, counts(&[], &[]))]).len(), 0);
    }

    #[test]
    fn refusals_are_packed_and_merged_where_there_are_any() {
        let refused = |refused| Counts {
            refused,
            ..counts(&[(401, 3)], &[(1, 3)])
        };
        let (one, two) = (packed(&[(1, refused(3))]), packed(&[(1, refused(200))]));
        assert_eq!(unpacked(&one), [(1, refused(3))]);
        let [(_, mut both)] = <[_; 1]>::try_from(unpacked(&one.merged(&two))).unwrap();
        assert_eq!(both.refused, 203);
        both.subtract(&refused(3));
        assert_eq!(both, refused(200));
    }

    #[test]
    fn merged_counts_are_sums() {
        let one = packed(&[
            (1, counts(&[(200, 1)], &[(7, 1)])),
            (3, counts(&[(200, 2)], &[(7, 2)])),
        ]);
        let two = packed(&[
            (2, counts(&[(500, 1)], &[(8, 1)])),
            (3, counts(&[(200, 1), (500, 4)], &[(7, 1), (9, 4)])),
        ]);
        let both = [
            (1, counts(&[(200, 1)], &[(7, 1)])),
            (2, counts(&[(500, 1)], &[(8, 1)])),
            (3, counts(&[(200, 3), (500, 4)], &[(7, 3), (9, 4)])),
        ];
        assert_eq!(unpacked(&one.merged(&two)), both);
        assert_eq!(unpacked(&two.merged(&one)), both);
        let mut difference = both[2].1.clone();
        difference.subtract(&counts(&[(200, 2)], &[(7, 2)]));
        assert_eq!(difference, counts(&[(200, 1), (500, 4)], &[(7, 1), (9, 4)]));
    }
}
