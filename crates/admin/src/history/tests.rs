use super::*;
use waypost_policy::status::RequestStatus;
use waypost_upstream::histogram::{BUCKETS, Durations};

/// A reading with this many requests of status 200, in one bucket of durations.
fn reading(count: u64) -> RequestReading {
    spread(count, 1, 100)
}

/// A reading whose durations are spread over some buckets.
fn spread(count: u64, buckets: u64, first: u16) -> RequestReading {
    let parts = (0..buckets).map(|at| (at, count / buckets + u64::from(at < count % buckets)));
    let parts = parts.map(|(at, count)| ((first + at as u16) % BUCKETS as u16, count));
    let mut parts: Vec<_> = parts.filter(|(_, count)| *count > 0).collect();
    parts.sort_unstable();
    RequestReading {
        statuses: vec![(RequestStatus::http(200), count)],
        duration: Durations::of_counts(parts),
        ..RequestReading::default()
    }
}

/// The seconds that a window covers, and the requests in it, of a series with this many so far.
fn counted(history: &History, now: Instant, window: u64, series: u64, count: u64) -> (u64, u64) {
    let mut readings = [(series, reading(count))];
    let covered = history.since(now, Duration::from_secs(window), &mut readings);
    let reading = &readings[0].1;
    assert_eq!(reading.count(), reading.duration.count());
    (covered.as_secs(), reading.count())
}

#[test]
fn window_ends_now_and_reports_its_length() {
    let start = Instant::now();
    let mut history = History::new(start);
    let at = |seconds: u64| start + Duration::from_secs(seconds);
    assert_eq!(counted(&history, at(3), 60, 1, 7), (3, 7), "all of it, at first");
    // A request a second.
    for seconds in (5..=7200).step_by(5) {
        assert!(history.is_due(at(seconds)) && !history.is_due(at(seconds - 1)));
        history.record(at(seconds), &[1], [(1, reading(seconds))].into_iter());
    }
    for (window, most) in [(5, 5), (60, 65), (600, 640), (3600, 3900)] {
        let (covered, count) = counted(&history, at(7200), window, 1, 7200);
        assert_eq!(covered, count, "a window of {window}");
        assert!(covered >= window && covered <= most, "{window}: {covered}");
    }
    assert!(history.parts.len() < 80, "{} parts", history.parts.len());
    assert!(history.bytes() < 5_000, "{} bytes", history.bytes());
}

#[test]
fn series_that_do_not_change_cost_nothing() {
    let start = Instant::now();
    let mut history = History::new(start);
    let at = |seconds: u64| start + Duration::from_secs(seconds);
    history.record(at(5), &[1, 2], [(1, reading(5)), (2, reading(8))].into_iter());
    let bytes = history.bytes();
    for seconds in (10..=60).step_by(5) {
        history.record(at(seconds), &[1, 2], [(1, reading(seconds))].into_iter());
    }
    assert!(history.bytes() < bytes + 11 * (PART + 10), "{}", history.bytes());
    assert_eq!(counted(&history, at(61), 10, 2, 8), (11, 0));
    assert_eq!(counted(&history, at(61), 10, 2, 9), (11, 1));
    assert_eq!(counted(&history, at(61), 60, 2, 8), (61, 8));
}

#[test]
fn series_that_ends_is_forgotten_and_a_new_one_counts_in_full() {
    let start = Instant::now();
    let mut history = History::new(start);
    let at = |seconds: u64| start + Duration::from_secs(seconds);
    history.record(at(5), &[1, 2], [(1, reading(1000)), (2, reading(1))].into_iter());
    history.record(at(10), &[2], [].into_iter());
    assert_eq!(counted(&history, at(11), 5, 3, 10), (6, 10));
    history.record(at(15), &[2, 3], [(3, reading(12))].into_iter());
    assert_eq!(counted(&history, at(16), 5, 3, 13), (6, 13));
    assert_eq!(history.last.as_ref().unwrap().counts.entries().count(), 2);
}

#[test]
fn many_series_are_looked_at_less_often() {
    let start = Instant::now();
    let mut history = History::new(start);
    assert_eq!(history.interval(), INTERVAL);
    let series: Vec<u64> = (0..20_000).collect();
    history.record(start, &series, series.iter().map(|series| (*series, reading(1))));
    assert_eq!(history.interval(), Duration::from_secs(20));
}

#[test]
fn the_memory_of_a_hundred_thousand_routes_is_bounded_and_windows_have_all_of_them() {
    const ROUTES: u64 = 100_000;
    let start = Instant::now();
    let mut history = History::new(start);
    let series: Vec<u64> = (0..ROUTES).collect();
    // All are busy, and their durations spread with time.
    let count = |series: u64, minute: u64| minute * (1 + series % 7);
    let of = |series: u64, minute: u64| {
        spread(
            count(series, minute),
            (minute * 3).min(20),
            80 + (series % 50) as u16,
        )
    };
    let mut longest = 0;
    for minute in 1..=7 {
        let now = start + Duration::from_secs(minute * 60);
        assert!(history.is_due(now));
        history.record(
            now,
            &series,
            series.iter().map(|series| (*series, of(*series, minute))),
        );
        assert!(history.bytes() <= BYTES_MAX, "{} bytes", history.bytes());
        let exact: usize = history.parts.iter().map(|part| part.counts.len()).sum();
        assert!(exact <= BYTES_MAX);
        for window in [60, 600] {
            let mut readings: Vec<_> = [0, 6, 50_000, ROUTES - 1]
                .map(|series| (series, of(series, minute)))
                .into();
            let covered = history
                .since(now, Duration::from_secs(window), &mut readings)
                .as_secs();
            assert!(covered >= 60, "{window} at {minute}: {covered}");
            for (series, reading) in &readings {
                assert_eq!(reading.count(), count(*series, covered / 60));
            }
            longest = longest.max(covered);
        }
    }
    assert!(longest >= 180, "{longest}");
}

#[test]
fn windows_begin_less_exactly_before_they_are_shortened() {
    let start = Instant::now();
    let at = |seconds: u64| start + Duration::from_secs(seconds);
    let all: Vec<u64> = (0..100).collect();
    let record = |history: &mut History, seconds: u64| {
        history.record(
            at(seconds),
            &all,
            all.iter().map(|series| (*series, reading(seconds))),
        );
        assert!(history.bytes() <= history.bytes_max || history.last.is_none());
    };
    let covered = |bytes_max: usize, window: u64| {
        let mut history = History::bounded(start, bytes_max);
        (5..=3600)
            .step_by(5)
            .for_each(|seconds| record(&mut history, seconds));
        let (covered, count) = counted(&history, at(3600), window, 50, 3600);
        assert_eq!(covered, count);
        covered
    };
    assert_eq!(
        [60, 600, 3600].map(|window| covered(1 << 20, window)),
        [60, 600, 3600]
    );
    let [one, ten, sixty] = [60, 600, 3600].map(|window| covered(20_000, window));
    assert!(
        (60..=120).contains(&one) && (600..=1200).contains(&ten),
        "{one}, {ten}"
    );
    assert_eq!(sixty, 3600);
    let [one, sixty] = [60, 3600].map(|window| covered(3_000, window));
    assert!(one == sixty && one < 600, "{one}, {sixty}");
    assert_eq!(
        covered(500, 60),
        3600,
        "all since the start, if not even one look fits"
    );
}

#[test]
fn a_look_that_does_not_fit_is_made_up_for_once_it_does() {
    let start = Instant::now();
    let at = |seconds: u64| start + Duration::from_secs(seconds);
    let mut history = History::bounded(start, 100);
    let few: Vec<u64> = vec![3, 4];
    let many: Vec<u64> = (0..100).collect();
    history.record(at(5), &many, many.iter().map(|series| (*series, reading(5))));
    assert!(history.wants_all());
    assert_eq!(counted(&history, at(6), 1, 3, 6), (6, 6));
    history.record(at(10), &few, few.iter().map(|series| (*series, reading(10))));
    assert!(!history.wants_all());
    assert_eq!(
        counted(&history, at(12), 1, 3, 12),
        (2, 2),
        "nothing before is known"
    );
}
