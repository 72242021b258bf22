//! Counts of arms in few bytes, as instances of a fleet send them.
//!
//! A leader gets as many of them a second as there are instances. Numbers are written with seven bits to a byte, and empty
//! buckets are left out. Each arm has its length in front, so that one that has not changed need not be read.

use std::ops::Range;

use jiff::Timestamp;
use waypost_policy::status::RequestStatus;
use waypost_proxy::observe::metrics::arm::ArmReading;
use waypost_proxy::observe::metrics::watch::{BOUNDS, GROUPS, GroupReading};
use waypost_upstream::histogram::BUCKETS;

use crate::varint::{read, write};

/// The media type.
pub const KIND: &str = "application/vnd.waypost.counts";
/// The form of these bytes.
const VERSION: u64 = 1;
/// The most bytes of the counts of an arm.
pub const ARM_BYTES_MAX: usize = 16 << 10;
/// The most statuses of an arm.
const STATUSES_MAX: u64 = 2048;

/// The counts of all arms of a question.
pub fn pack(started: Timestamp, arms: &[ArmReading]) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(&mut bytes, VERSION);
    let started = u64::try_from(started.as_microsecond()).unwrap_or_default();
    write(&mut bytes, started);
    let mut one = Vec::new();
    for arm in arms {
        one.clear();
        pack_arm(arm, &mut one);
        write(&mut bytes, one.len() as u64);
        bytes.extend_from_slice(&one);
    }
    bytes
}

fn pack_arm(arm: &ArmReading, bytes: &mut Vec<u8>) {
    write(bytes, u64::from(arm.groups.is_some()));
    write(bytes, arm.late);
    write(bytes, arm.retries);
    write(bytes, arm.statuses.len() as u64);
    for (status, count) in &arm.statuses {
        write(bytes, u64::from(status.key()));
        write(bytes, *count);
    }
    for group in arm.groups.iter().flat_map(|groups| &**groups) {
        let counts = [group.finished, group.failed, group.client_errors, group.abandoned];
        counts
            .iter()
            .chain(&group.slow)
            .for_each(|count| write(bytes, *count));
    }
    let mut before = 0;
    let buckets = arm.latencies.iter().enumerate().filter(|(_, count)| **count > 0);
    for (bucket, count) in buckets {
        write(bytes, (bucket - before) as u64);
        write(bytes, *count);
        before = bucket;
    }
}

/// The start of the process that counted, as a number, and the places of the packed counts of each of `arms` arms; `None` if
/// these are no such bytes.
pub fn split(bytes: &[u8], arms: usize) -> Option<(u64, Vec<Range<usize>>)> {
    let mut rest = bytes;
    if read(&mut rest)? != VERSION {
        return None;
    }
    let started = read(&mut rest)?;
    let mut places = Vec::with_capacity(arms);
    for _ in 0..arms {
        let length = usize::try_from(read(&mut rest)?).ok()?;
        if length > ARM_BYTES_MAX {
            return None;
        }
        let from = bytes.len() - rest.len();
        places.push(from..from + length);
        (_, rest) = rest.split_at_checked(length)?;
    }
    rest.is_empty().then_some((started, places))
}

/// The counts of an arm; `None` if these are no such bytes.
pub fn unpack(mut bytes: &[u8]) -> Option<ArmReading> {
    let bytes = &mut bytes;
    let has_groups = match read(bytes)? {
        0 => false,
        1 => true,
        _ => return None,
    };
    let mut arm = ArmReading {
        late: read(bytes)?,
        retries: read(bytes)?,
        ..ArmReading::default()
    };
    let statuses = read(bytes).filter(|statuses| *statuses <= STATUSES_MAX)?;
    for _ in 0..statuses {
        let key = u16::try_from(read(bytes)?).ok()?;
        arm.statuses.push((RequestStatus::from_key(key), read(bytes)?));
    }
    if has_groups {
        let mut groups = Box::new([GroupReading::default(); GROUPS]);
        for group in &mut *groups {
            *group = GroupReading {
                finished: read(bytes)?,
                failed: read(bytes)?,
                client_errors: read(bytes)?,
                abandoned: read(bytes)?,
                slow: [0; BOUNDS],
            };
            for slow in &mut group.slow {
                *slow = read(bytes)?;
            }
        }
        arm.groups = Some(groups);
    }
    let mut bucket = 0_usize;
    while !bytes.is_empty() {
        bucket = bucket.checked_add(usize::try_from(read(bytes)?).ok()?)?;
        if bucket >= BUCKETS {
            return None;
        }
        if arm.latencies.len() <= bucket {
            arm.latencies.resize(bucket + 1, 0);
        }
        arm.latencies[bucket] = read(bytes)?;
    }
    Some(arm)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arms() -> Vec<ArmReading> {
        let mut groups = Box::new([GroupReading::default(); GROUPS]);
        groups[15] = GroupReading {
            finished: 1 << 40,
            failed: 1,
            client_errors: 2,
            abandoned: 3,
            slow: [4, 5, 6],
        };
        let mut latencies = vec![0; BUCKETS];
        (latencies[0], latencies[100], latencies[BUCKETS - 1]) = (3, 300, u64::MAX);
        vec![
            ArmReading::default(),
            ArmReading {
                statuses: vec![
                    (RequestStatus::http(200), u64::MAX),
                    (RequestStatus::http(503), 1),
                    (RequestStatus::call(200, None), 2),
                    (RequestStatus::http(0), 3),
                ],
                latencies,
                late: 7,
                retries: 8,
                groups: Some(groups),
            },
            ArmReading {
                latencies: vec![0, 2],
                ..ArmReading::default()
            },
        ]
    }

    #[test]
    fn counts_are_what_was_packed() {
        let started: Timestamp = "2026-01-02T03:04:05.678Z".parse().unwrap();
        let bytes = pack(started, &arms());
        let (process, places) = split(&bytes, 3).unwrap();
        assert_eq!(process, 1_767_323_045_678_000);
        let packed: Vec<&[u8]> = places.into_iter().map(|place| &bytes[place]).collect();
        let unpacked: Vec<ArmReading> = packed.iter().map(|arm| unpack(arm).unwrap()).collect();
        assert_eq!(unpacked, arms());
        assert!(packed[0].len() <= 4, "{:?}", packed[0]);
    }

    #[test]
    fn other_bytes_are_no_counts() {
        let bytes = pack(Timestamp::UNIX_EPOCH, &arms());
        for length in 0..bytes.len() {
            assert!(split(&bytes[..length], 3).is_none(), "{length}");
        }
        assert!(split(&bytes, 2).is_none() && split(&bytes, 4).is_none());
        assert!(split(&[2, 0], 0).is_none(), "another form");
        let (_, places) = split(&bytes, 3).unwrap();
        for end in places[1].clone() {
            // Some of them end with a bucket, and are counts.
            let _ = unpack(&bytes[places[1].start..end]);
        }
        for wrong in [
            &[][..],
            &[2, 0, 0, 0],
            &[0, 0, 0, 0xff, 0xff, 0x7f],
            &[0, 0, 0, 0, 0xc0, 0x02, 1],
            &[
                0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 1,
            ],
            &[0, 0, 0, 0, 5],
            &[1, 0, 0, 0, 5],
        ] {
            assert_eq!(unpack(wrong), None, "{wrong:?}");
        }
    }
}
