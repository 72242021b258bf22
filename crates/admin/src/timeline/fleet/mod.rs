//! The figures of all instances of a fleet, summed by the Unix second.
//!
//! Instances count a second at different moments after its end, so a sum ends with the last second that all of them have: one
//! that is a moment late makes no dip. One that is later than that is left out. What an instance does not know, such as the
//! seconds before its start, is not zero: the sum is that of those which know.

#[cfg(test)]
mod tests;

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::durations::Sparse;
use super::ring::{HOUR, Point};
use super::{ByHour, Counts, Figures, Series};

/// Seconds by which an instance may lag behind the clock, beside the time between two of its looks at the counters, and by which
/// its clock may be ahead.
const LAG_MAX: u64 = 5;
/// The parts of an answer, at most: more than a day by the minute.
const PARTS_MAX: usize = 1500;
/// The weight of a request. Counts that are spread over seconds have parts of it.
const UNIT: u64 = 1 << 16;

/// The figures of an instance, as it tells them.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Told {
    /// The last second that it knows of; `None` before its first look at the counters.
    pub(crate) upto: Option<u64>,
    /// The time between two looks, in seconds.
    pub(crate) interval: u64,
    pub(crate) step_seconds: u64,
    pub(crate) begin: u64,
    pub(crate) series: Vec<ToldSeries>,
    /// The requests of the route by the hour, however it is kept; `None` of all requests.
    pub(crate) hours: Option<ByHour>,
}

/// A series of an instance.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ToldSeries {
    pub(crate) service: Option<Arc<str>>,
    pub(crate) parts: Vec<Option<Part>>,
}

/// The figures of a part of time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) counts: Counts,
    /// The durations by bucket. Their counts may be those of a longer time.
    pub(crate) durations: Sparse,
}

/// The figures of all instances.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Summed {
    pub(crate) figures: Figures,
    /// The last second that all know of.
    pub(crate) upto: Option<u64>,
    /// Instances that these are the figures of.
    pub(crate) instances: usize,
    /// Instances that are left out, by id.
    pub(crate) missing: Vec<String>,
    /// True if no leader has answered.
    pub(crate) direct: bool,
}

/// Figures that are being added up.
#[derive(Debug)]
pub(crate) struct Sum {
    step: u64,
    /// The first second that is asked for.
    from: u64,
    /// The last second that is over, by the clock of the instance that sums.
    now: u64,
    upto: Option<u64>,
    instances: usize,
    missing: Vec<String>,
    series: Vec<SumSeries>,
    hours: BTreeMap<u64, Counts>,
    /// True if an instance only knows the hours of the route.
    is_coarse: bool,
}

#[derive(Debug, Default)]
struct SumSeries {
    service: Option<Arc<str>>,
    /// By the number of the part since the Unix epoch.
    parts: BTreeMap<u64, SumPart>,
}

#[derive(Debug, Default)]
struct SumPart {
    counts: Counts,
    /// Weights of requests by the bucket of their duration, in order.
    durations: Vec<(u16, u64)>,
}

/// The points of a series, by the number of the part since the Unix epoch.
type Points = (Option<Arc<str>>, BTreeMap<u64, Point>);

impl Part {
    /// A part of which only counts and quantiles are known: durations that have the same quantiles.
    pub(crate) fn of_point(point: &Point) -> Self {
        let requests = point.counts.requests;
        // The rank of the 99th percentile, and all behind it.
        let slow = requests - (u64::from(requests) * 99).div_ceil(100).saturating_sub(1) as u32;
        let durations = match (point.p50(), point.p99()) {
            (Some(p50), Some(p99)) if p50 < p99 && slow < requests => {
                vec![(p50 as u16, requests - slow), (p99 as u16, slow)]
            }
            (_, Some(p99)) if requests > 0 => vec![(p99 as u16, requests)],
            _ => Sparse::new(),
        };
        Self {
            counts: point.counts,
            durations,
        }
    }
}

impl ToldSeries {
    pub(crate) fn of(series: &Series) -> Self {
        let durations = series.durations.as_deref().unwrap_or_default();
        let parts = series.points.iter().enumerate().map(|(at, point)| {
            let point = point.as_ref()?;
            let known = durations.get(at).and_then(Option::as_ref);
            Some(match known.filter(|durations| !durations.is_empty()) {
                Some(durations) => Part {
                    counts: point.counts,
                    durations: durations.clone(),
                },
                None => Part::of_point(point),
            })
        });
        Self {
            service: series.service.clone(),
            parts: parts.collect(),
        }
    }
}

impl Told {
    /// Returns true if it is about a time that there can be.
    pub(crate) fn makes_sense(&self) -> bool {
        let parts = |begin: u64, step: u64, parts: usize| {
            parts <= PARTS_MAX && begin.is_multiple_of(step.max(1)) && begin < 1 << 40
        };
        let mut series = self.series.iter();
        series.all(|series| parts(self.begin, self.step_seconds, series.parts.len()))
            && self
                .hours
                .as_ref()
                .is_none_or(|hours| parts(hours.begin, HOUR, hours.hours.len()))
    }
}

impl Sum {
    /// A sum of parts of `step` seconds, from the second `from` on. `now` is the last second that is over.
    pub(crate) fn new(step: u64, from: u64, now: u64) -> Self {
        Self {
            step: step.max(1),
            from,
            now,
            upto: None,
            instances: 0,
            missing: Vec::new(),
            series: Vec::new(),
            hours: BTreeMap::new(),
            is_coarse: false,
        }
    }

    /// Adds the figures of an instance; `None` if it has not answered.
    pub(crate) fn add(&mut self, id: &str, told: Option<Told>) {
        let told = told.filter(|told| self.is_of_use(told));
        let Some((upto, told)) = told.and_then(|told| Some((told.upto?, told))) else {
            self.missing.push(id.to_owned());
            return;
        };
        self.instances += 1;
        self.upto = Some(self.upto.map_or(upto, |least| least.min(upto)));
        let hours = told.hours.iter();
        let hours = hours.flat_map(|kept| (kept.begin / HOUR..).zip(&kept.hours));
        hours.for_each(|(hour, counts)| self.hours.entry(hour).or_default().add(*counts));
        if told.step_seconds != self.step {
            self.is_coarse = true;
            return;
        }
        for series in told.series {
            let known = self
                .series
                .iter()
                .position(|known| known.service == series.service);
            let at = known.unwrap_or_else(|| {
                self.series.push(SumSeries {
                    service: series.service.clone(),
                    ..SumSeries::default()
                });
                self.series.len() - 1
            });
            let first = told.begin / self.step;
            for (number, part) in (first..).zip(series.parts) {
                if let Some(part) = part {
                    self.series[at].parts.entry(number).or_default().add(&part);
                }
            }
        }
    }

    /// Returns true if an instance keeps figures of the subject, up to about now.
    fn is_of_use(&self, told: &Told) -> bool {
        let is_in_time = told.upto.is_some_and(|upto| {
            self.now.saturating_sub(upto) <= LAG_MAX.saturating_add(told.interval)
                && upto.saturating_sub(self.now) <= LAG_MAX
        });
        let is_summed = told.step_seconds == self.step || (told.step_seconds == HOUR && told.hours.is_some());
        is_in_time && is_summed && !told.series.is_empty() && told.makes_sense()
    }

    /// The figures in all: up to the last second that all instances have.
    pub(crate) fn finish(mut self) -> Summed {
        self.missing.sort_unstable();
        let upto = self.upto.unwrap_or(self.from.saturating_sub(1));
        let figures = match self.is_coarse {
            true => {
                let hours = std::mem::take(&mut self.hours).into_iter();
                let hours = hours.map(|(hour, counts)| (hour, Point::from(counts)));
                self.figures(HOUR, upto, vec![(None, hours.collect())])
            }
            false => {
                self.series.sort_by(|one, other| one.service.cmp(&other.service));
                let series = std::mem::take(&mut self.series).into_iter().map(|series| {
                    let parts = series.parts.into_iter();
                    (
                        series.service,
                        parts.map(|(number, part)| (number, part.point())).collect(),
                    )
                });
                let series = series.collect();
                self.figures(self.step, upto, series)
            }
        };
        Summed {
            figures,
            upto: self.upto,
            instances: self.instances,
            missing: self.missing,
            direct: false,
        }
    }

    fn figures(&self, step: u64, upto: u64, series: Vec<Points>) -> Figures {
        let (from, last) = (self.from / step, upto / step);
        let firsts = series.iter().filter_map(|(_, parts)| parts.range(from..).next());
        let first = firsts.map(|(number, _)| *number).min().unwrap_or(from);
        let parts = (last + 1).saturating_sub(first).min(PARTS_MAX as u64);
        let series = series.into_iter().map(|(service, points)| Series {
            service,
            points: (first..first + parts)
                .map(|number| points.get(&number).copied())
                .collect(),
            durations: None,
        });
        Figures {
            step_seconds: step,
            begin: first * step,
            next: match step {
                1 => upto + 1,
                // The last part is not over.
                _ => last * step,
            }
            .max(from * step),
            series: series.collect(),
        }
    }
}

impl SumPart {
    fn add(&mut self, part: &Part) {
        self.counts.add(part.counts);
        let counted: u64 = part.durations.iter().map(|(_, count)| u64::from(*count)).sum();
        let requests = u64::from(part.counts.requests);
        let weight = |count: u32| match counted == requests {
            true => u64::from(count) * UNIT,
            // The durations of more seconds, or fewer, than the requests.
            false => {
                let weight = u128::from(count) * u128::from(requests) * u128::from(UNIT);
                (weight / u128::from(counted.max(1))) as u64
            }
        };
        let theirs = part
            .durations
            .iter()
            .map(|(bucket, count)| (*bucket, weight(*count)));
        self.durations = merged(std::mem::take(&mut self.durations), theirs);
    }

    fn point(&self) -> Point {
        let all: u128 = self.durations.iter().map(|(_, weight)| u128::from(*weight)).sum();
        let bucket = |percent: u128| {
            let rank = (all * percent).div_ceil(100).max(1);
            let mut seen = 0;
            let found = self.durations.iter().find(|(_, weight)| {
                seen += u128::from(*weight);
                seen >= rank
            });
            found.map(|(bucket, _)| *bucket)
        };
        Point::with_quantiles(self.counts, bucket(50), bucket(99))
    }
}

/// The weights of two lists together, each in order.
fn merged(one: Vec<(u16, u64)>, other: impl Iterator<Item = (u16, u64)>) -> Vec<(u16, u64)> {
    let mut all = Vec::with_capacity(one.len());
    let (mut one, mut other) = (one.into_iter().peekable(), other.peekable());
    while let Some(next) = match (one.peek(), other.peek()) {
        (Some(first), Some(second)) => match first.0.cmp(&second.0) {
            Ordering::Less => one.next(),
            Ordering::Greater => other.next(),
            Ordering::Equal => one
                .next()
                .zip(other.next())
                .map(|((bucket, weight), (_, more))| (bucket, weight.saturating_add(more))),
        },
        (Some(_), None) => one.next(),
        (None, _) => other.next(),
    } {
        all.push(next);
    }
    all
}

impl Summed {
    /// The same from the second `from` on.
    pub(crate) fn since(&self, from: u64) -> Self {
        let mut since = self.clone();
        let Figures {
            step_seconds: step,
            begin,
            next,
            series,
        } = &mut since.figures;
        let from = from / *step;
        let skipped = from.saturating_sub(*begin / *step);
        if skipped > 0 {
            *begin = from * *step;
            *next = (*next).max(*begin);
            for series in series {
                let skipped = usize::try_from(skipped).unwrap_or(usize::MAX);
                series.points.drain(..skipped.min(series.points.len()));
            }
        }
        since
    }
}
