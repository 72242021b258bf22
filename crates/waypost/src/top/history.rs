//! The figures of the last minutes, kept up to date by what is new.

use waypost_admin::api::timeline::{SeriesView, TimelineView};

/// Seconds that are kept.
const SECONDS_MAX: usize = 600;

/// Adds what is new to the figures that are known.
pub(super) fn add(known: &mut Option<TimelineView>, new: TimelineView) {
    let Some(old) = known.as_mut() else {
        *known = Some(new);
        return;
    };
    // Another gateway, or figures that are kept in another way.
    if old.step_seconds != new.step_seconds || new.begin < old.begin || new.next < old.next {
        *known = Some(new);
        return;
    }
    let kept = (new.begin - old.begin) / new.step_seconds.max(1);
    let kept = usize::try_from(kept).unwrap_or(usize::MAX);
    if kept > SECONDS_MAX * 2 {
        *known = Some(new);
        return;
    }
    let added = new
        .series
        .iter()
        .map(|series| series.requests.len())
        .max()
        .unwrap_or(0);
    let dropped = (kept + added).saturating_sub(SECONDS_MAX);
    let mut series: Vec<SeriesView> = old.series.drain(..).collect();
    for new in &new.series {
        if series.iter().all(|known| known.service != new.service) {
            series.push(SeriesView {
                service: new.service.clone(),
                ..SeriesView::default()
            });
        }
    }
    for known in &mut series {
        let none = SeriesView::default();
        let new = new.series.iter().find(|new| new.service == known.service);
        let new = new.unwrap_or(&none);
        join(&mut known.requests, &new.requests, kept, added, dropped);
        join(&mut known.failures, &new.failures, kept, added, dropped);
        join(&mut known.refused, &new.refused, kept, added, dropped);
        join(&mut known.p50_ms, &new.p50_ms, kept, added, dropped);
        join(&mut known.p99_ms, &new.p99_ms, kept, added, dropped);
    }
    let begin = old.begin + dropped as u64 * new.step_seconds;
    *known = Some(TimelineView { begin, series, ..new });
}

/// Replaces the values behind the first `kept` by `new`, and drops the oldest.
fn join<T: Copy>(known: &mut Vec<Option<T>>, new: &[Option<T>], kept: usize, added: usize, dropped: usize) {
    known.resize(kept, None);
    known.extend(new);
    known.resize(kept + added, None);
    known.drain(..dropped.min(known.len()));
}

/// The values of the last `seconds` in so many parts: the mean of each second for counts.
pub(super) fn rates(
    step_seconds: u64,
    counts: &[Option<u32>],
    seconds: usize,
    parts: usize,
) -> Vec<Option<f64>> {
    in_parts(step_seconds, counts, seconds, parts, |known| {
        let sum: f64 = known.iter().map(|count| f64::from(*count)).sum();
        sum / known.len() as f64 / step_seconds.max(1) as f64
    })
}

/// The values of the last `seconds` in so many parts: the highest of each part.
pub(super) fn peaks(
    step_seconds: u64,
    values: &[Option<f64>],
    seconds: usize,
    parts: usize,
) -> Vec<Option<f64>> {
    in_parts(step_seconds, values, seconds, parts, |known| {
        known.iter().copied().fold(0.0, f64::max)
    })
}

fn in_parts<T: Copy>(
    step_seconds: u64,
    values: &[Option<T>],
    seconds: usize,
    parts: usize,
    value: impl Fn(&[T]) -> f64,
) -> Vec<Option<f64>> {
    let step = usize::try_from(step_seconds).unwrap_or(1).max(1);
    let wanted = (seconds / step).max(1);
    let missing = wanted.saturating_sub(values.len());
    let values = &values[values.len() - wanted.min(values.len())..];
    (0..parts)
        .map(|part| {
            // With few values a part is a repetition of one, so that the time axis stays the same.
            let from = part * wanted / parts;
            let to = ((part + 1) * wanted / parts).max(from + 1);
            let (from, to) = (from.saturating_sub(missing), to.saturating_sub(missing));
            let known: Vec<T> = values.get(from..to)?.iter().flatten().copied().collect();
            (!known.is_empty()).then(|| value(&known))
        })
        .collect()
}

/// The sum of counts of the last `seconds`.
pub(super) fn sum(timeline: &TimelineView, counts: &[Option<u32>], seconds: usize) -> u64 {
    let step = usize::try_from(timeline.step_seconds).unwrap_or(1).max(1);
    let wanted = (seconds / step).max(1);
    let counts = counts.iter().rev().take(wanted).flatten();
    counts.map(|count| u64::from(*count)).sum()
}

/// The latest value that is known, of the last `seconds`.
pub(super) fn latest(timeline: &TimelineView, values: &[Option<f64>], seconds: usize) -> Option<f64> {
    let step = usize::try_from(timeline.step_seconds).unwrap_or(1).max(1);
    let wanted = (seconds / step).max(1);
    values.iter().rev().take(wanted).flatten().copied().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(begin: u64, series: &[(Option<&str>, &[u32])]) -> TimelineView {
        let length = series.iter().map(|(_, counts)| counts.len()).max().unwrap_or(0);
        TimelineView {
            route: None,
            step_seconds: 1,
            begin,
            next: begin + length as u64,
            series: series
                .iter()
                .map(|(service, counts)| SeriesView {
                    service: service.map(str::to_owned),
                    requests: counts.iter().copied().map(Some).collect(),
                    failures: counts.iter().map(|_| Some(0)).collect(),
                    refused: counts.iter().map(|_| Some(0)).collect(),
                    p50_ms: vec![None; counts.len()],
                    p99_ms: vec![None; counts.len()],
                    durations: None,
                })
                .collect(),
            ..TimelineView::default()
        }
    }

    #[test]
    fn new_figures_continue_those_that_are_known() {
        let mut known = None;
        add(&mut known, view(100, &[(None, &[1, 2, 3])]));
        add(&mut known, view(102, &[(None, &[4, 5]), (Some("b"), &[6, 7])]));
        let figures = known.as_ref().unwrap();
        assert_eq!((figures.begin, figures.next), (100, 104));
        assert_eq!(figures.series[0].requests, [Some(1), Some(2), Some(4), Some(5)]);
        assert_eq!(figures.series[1].requests, [None, None, Some(6), Some(7)]);
        // What is older than ten minutes is dropped, and a gap stays one.
        add(&mut known, view(700, &[(None, &[8, 9])]));
        let figures = known.as_ref().unwrap();
        assert_eq!((figures.begin, figures.series[0].requests.len()), (102, 600));
        assert_eq!(figures.series[0].requests[..3], [Some(4), Some(5), None]);
        // A gateway that began anew.
        add(&mut known, view(10, &[(None, &[1])]));
        assert_eq!(known.unwrap().begin, 10);
    }

    #[test]
    fn parts_end_with_the_last_second() {
        let figures = view(0, &[(None, &[9, 9, 1, 3, 5, 7])]);
        let counts = &figures.series[0].requests;
        assert_eq!(rates(1, counts, 4, 2), [Some(2.0), Some(6.0)]);
        assert_eq!(rates(1, counts, 12, 3), [None, Some(9.0), Some(4.0)]);
        assert_eq!(sum(&figures, counts, 2), 12);
        assert_eq!(
            rates(1, counts, 2, 4),
            [Some(5.0), Some(5.0), Some(7.0), Some(7.0)]
        );
    }
}
