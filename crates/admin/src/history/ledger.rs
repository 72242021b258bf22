//! Requests of the last hour at the other instances of a fleet, as they were when these were asked last: the figures of those that
//! are lost stay in windows that reach back to them.
//!
//! The instance that leads, and the one that would lead next, ask each other one every few seconds for the counts of all its
//! series, [packed](pack). Each process has a [`History`] of its own, with a part of the memory.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use waypost_proxy::observe::metrics::RequestReading;

use crate::history::packed::{Counts, Packing};
use crate::history::{History, WINDOW_MAX};
use crate::varint::{read, write};

/// The media type of packed series.
pub const KIND: &str = "application/vnd.waypost.series";
/// The form of these bytes.
const VERSION: u64 = 1;
/// The longest name of a route or a service.
const NAME_BYTES_MAX: usize = 1024;
/// The memory of all histories together.
const BYTES_MAX: usize = 32 << 20;
/// The most series that are told apart.
const SERIES_MAX: usize = 200_000;
/// The highest count that makes sense: sums of many such do not overflow.
const COUNT_MAX: u64 = 1 << 48;
/// The age of a process up to which all that it has counted is of one part: it was not asked before.
const YOUNG: Duration = Duration::from_secs(30);

/// A process: the id of its instance, and its start in microseconds since 1970.
pub type Process = (Arc<str>, u64);

/// The histories of other instances.
#[derive(Debug, Default)]
pub struct Ledger {
    processes: HashMap<Process, Kept>,
    /// The numbers of series, by route and service.
    numbers: HashMap<(Arc<str>, Arc<str>), u64>,
    names: Vec<(Arc<str>, Arc<str>)>,
}

#[derive(Debug)]
struct Kept {
    history: History,
    asked: Instant,
}

/// The start of a process as its number.
pub fn number_of(started: Timestamp) -> u64 {
    u64::try_from(started.as_microsecond()).unwrap_or_default()
}

/// The counts of all series of this process that have any.
pub fn pack(started: Timestamp, readings: Vec<RequestReading>) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(&mut bytes, VERSION);
    write(&mut bytes, number_of(started));
    let mut one = Vec::new();
    for mut reading in readings.into_iter().filter(|reading| reading.count() > 0) {
        let (route, service) = (mem::take(&mut reading.route), mem::take(&mut reading.service));
        one.clear();
        Counts::of(reading).pack(&mut one);
        for text in [route.as_bytes(), service.as_bytes(), &one] {
            write(&mut bytes, text.len() as u64);
            bytes.extend_from_slice(text);
        }
    }
    bytes
}

/// A series as it was packed.
struct Series<'b> {
    route: &'b str,
    service: &'b str,
    counts: &'b [u8],
}

/// The start of the process, and its series; `None` if these are no such bytes.
fn unpack(mut bytes: &[u8]) -> Option<(u64, Vec<Series<'_>>)> {
    let bytes = &mut bytes;
    if read(bytes)? != VERSION {
        return None;
    }
    let started = read(bytes)?;
    let mut all = Vec::new();
    while !bytes.is_empty() {
        let mut next = || {
            let length = usize::try_from(read(bytes)?).ok()?;
            let (text, rest) = bytes.split_at_checked(length)?;
            *bytes = rest;
            Some(text)
        };
        let mut name = || {
            let text = next().filter(|text| text.len() <= NAME_BYTES_MAX)?;
            std::str::from_utf8(text).ok()
        };
        let (route, service) = (name()?, name()?);
        let counts = next()?;
        all.push(Series {
            route,
            service,
            counts,
        });
    }
    Some((started, all))
}

impl Ledger {
    /// Takes in the answer of an instance, one of `live`. `time` is the time of day. Returns false if it makes no sense.
    pub fn take(&mut self, id: &Arc<str>, bytes: &[u8], live: usize, now: Instant, time: Timestamp) -> bool {
        let Some((started, series)) = unpack(bytes) else {
            return false;
        };
        let mut counts = BTreeMap::new();
        for series in series {
            let unpacked = Counts::unpack(series.counts);
            let statuses = unpacked.statuses.iter().map(|(_, count)| count);
            let buckets = unpacked.durations.counts().iter().map(|(_, count)| count);
            let all = statuses.chain(buckets).chain([&unpacked.refused]);
            if all.into_iter().all(|count| *count <= COUNT_MAX)
                && let Some(number) = self.number(series.route, series.service)
            {
                counts.insert(number, unpacked);
            }
        }
        let numbers: Vec<u64> = counts.keys().copied().collect();
        let readings = counts.into_iter().map(|(number, counts)| {
            let reading = RequestReading {
                statuses: counts.statuses,
                refused: counts.refused,
                duration: counts.durations,
                ..RequestReading::default()
            };
            (number, reading)
        });
        let process = (Arc::clone(id), started);
        if let Some(kept) = self.processes.get_mut(&process) {
            kept.asked = now;
            kept.history.record(now, &numbers, readings);
        } else {
            let bytes_max = BYTES_MAX / live.max(1);
            let age = number_of(time).saturating_sub(started);
            let history = match now.checked_sub(Duration::from_micros(age)) {
                Some(began) if age <= YOUNG.as_micros() as u64 => {
                    let mut history = History::bounded(began, bytes_max);
                    history.record(now, &numbers, readings);
                    history
                }
                // What it has counted before cannot be told by time.
                _ => {
                    let mut packing = Packing::default();
                    readings.for_each(|(number, reading)| packing.push(number, &Counts::of(reading)));
                    History::from_counts(now, bytes_max, numbers.len(), packing.finish())
                }
            };
            self.processes.insert(process, Kept { history, asked: now });
        }
        self.processes
            .retain(|_, kept| now.saturating_duration_since(kept.asked) < WINDOW_MAX);
        true
    }

    /// The number of a series; `None` if there are too many.
    fn number(&mut self, route: &str, service: &str) -> Option<u64> {
        let name = (Arc::<str>::from(route), Arc::<str>::from(service));
        if let Some(number) = self.numbers.get(&name) {
            return Some(*number);
        }
        if self.names.len() >= SERIES_MAX {
            return None;
        }
        let number = self.names.len() as u64;
        self.names.push(name.clone());
        self.numbers.insert(name, number);
        Some(number)
    }

    /// The requests in a window that ends now, of processes that are not among those that have `answered`, each with the time
    /// that it covers.
    pub fn lost(
        &self,
        answered: &HashSet<Process>,
        route: Option<&str>,
        window: Duration,
        now: Instant,
    ) -> Vec<(Duration, Vec<RequestReading>)> {
        let lost = self
            .processes
            .iter()
            .filter(|(process, _)| !answered.contains(*process));
        let windows = lost.map(|(_, kept)| {
            let (counts, covered) = kept.history.window(now, window);
            let readings = counts.into_iter().filter_map(|(number, counts)| {
                let (name, service) = self.names.get(usize::try_from(number).ok()?)?;
                let is_wanted = route.is_none_or(|route| *route == **name);
                is_wanted.then(|| RequestReading {
                    route: Arc::clone(name),
                    service: Arc::clone(service),
                    statuses: counts.statuses,
                    refused: counts.refused,
                    duration: counts.durations,
                    ..RequestReading::default()
                })
            });
            (covered, readings.collect::<Vec<_>>())
        });
        windows.filter(|(_, readings)| !readings.is_empty()).collect()
    }
}

#[cfg(test)]
mod tests {
    use waypost_policy::status::RequestStatus;
    use waypost_upstream::histogram::Durations;

    use super::*;

    fn reading(route: &str, count: u64) -> RequestReading {
        RequestReading {
            route: route.into(),
            service: "v1".into(),
            statuses: vec![(RequestStatus::http(200), count)],
            duration: Durations::of_counts(vec![(5, count)]),
            ..RequestReading::default()
        }
    }

    fn time(seconds: u64) -> Timestamp {
        Timestamp::from_second(1_000_000 + i64::try_from(seconds).unwrap()).unwrap()
    }

    /// A ledger that is asked in the seconds of a test.
    struct Bench {
        ledger: Ledger,
        began: Instant,
    }

    impl Bench {
        fn take(&mut self, second: u64, id: &str, started: u64, count: u64) {
            let bytes = pack(time(started), vec![reading("users", count), reading("none", 0)]);
            let now = self.began + Duration::from_secs(second);
            assert!(self.ledger.take(&id.into(), &bytes, 2, now, time(second)));
        }

        /// The requests of lost processes in a window.
        fn lost(&self, second: u64, window: u64, answered: &[(&str, u64)]) -> u64 {
            let answered = answered
                .iter()
                .map(|(id, started)| (Arc::from(*id), number_of(time(*started))));
            let lost = self.ledger.lost(
                &answered.collect(),
                Some("users"),
                Duration::from_secs(window),
                self.began + Duration::from_secs(second),
            );
            let readings = lost.iter().flat_map(|(_, readings)| readings);
            readings.map(RequestReading::count).sum()
        }
    }

    fn bench() -> Bench {
        Bench {
            ledger: Ledger::default(),
            // The monotonic clock may have begun a moment ago.
            began: Instant::now() + Duration::from_secs(10_000),
        }
    }

    #[test]
    fn requests_of_a_lost_process_stay_until_the_window_has_passed() {
        let mut bench = bench();
        bench.take(100, "a", 0, 1000);
        assert_eq!(
            bench.lost(100, 60, &[]),
            0,
            "what it counted before is not told by time"
        );
        bench.take(105, "a", 0, 1010);
        bench.take(110, "a", 0, 1030);
        assert_eq!(bench.lost(110, 60, &[("a", 0)]), 0, "it has answered itself");
        assert_eq!(bench.lost(110, 60, &[("b", 0)]), 30);
        assert_eq!(bench.lost(130, 60, &[]), 30);
        assert_eq!(bench.lost(168, 60, &[]), 20);
        assert_eq!(bench.lost(171, 60, &[]), 0);
        bench.take(4000, "b", 0, 5);
        assert!(
            !bench
                .ledger
                .processes
                .contains_key(&("a".into(), number_of(time(0))))
        );
    }

    #[test]
    fn processes_of_one_instance_are_told_apart() {
        let mut bench = bench();
        bench.take(100, "a", 0, 50);
        bench.take(105, "a", 0, 60);
        // It is young, so all that it has counted is of the last seconds.
        bench.take(115, "a", 110, 3);
        bench.take(120, "a", 110, 7);
        assert_eq!(
            bench.lost(120, 60, &[("a", 110)]),
            10,
            "those of the former process"
        );
        assert_eq!(bench.lost(120, 60, &[]), 17);
    }

    #[test]
    fn other_bytes_are_no_series() {
        let bytes = pack(time(0), vec![reading("users", 3)]);
        assert_eq!(unpack(&bytes).unwrap().1.len(), 1);
        for length in 0..bytes.len() {
            let unpacked = unpack(&bytes[..length]);
            assert!(unpacked.is_none_or(|(_, series)| series.is_empty()), "{length}");
        }
        assert!(unpack(&[9, 0]).is_none(), "another form");
        assert!(unpack(&[1, 0, 1, 0xff, 0, 0]).is_none(), "no text");
        // Counts that make no sense are none.
        let now = Instant::now();
        let mut ledger = Ledger::default();
        let wrong = [1, 0, 1, b'r', 1, b's', 5, 2, 9, 9, 0xff, 0x7f];
        assert!(ledger.take(&"a".into(), &wrong, 1, now, time(0)));
        let absurd = pack(time(0), vec![reading("users", u64::MAX)]);
        assert!(ledger.take(&"b".into(), &absurd, 1, now, time(0)));
        let lost = ledger.lost(&HashSet::new(), None, Duration::from_secs(60), now);
        assert!(
            lost.iter()
                .flat_map(|(_, readings)| readings)
                .all(|reading| reading.count() < 10)
        );
    }
}
