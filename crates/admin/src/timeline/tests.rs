use std::collections::BTreeMap;

use proptest::prelude::*;

use super::fleet::{Told, ToldSeries};
use super::*;
use crate::events::marks;

/// Requests of a series.
#[derive(Debug, Clone)]
struct Came {
    route: Arc<str>,
    service: Arc<str>,
    /// The durations of failed requests come first.
    durations_us: Vec<u64>,
    failures: u64,
    is_first: bool,
    /// All so far, by bucket.
    sums: Vec<u64>,
}

impl Change for Came {
    fn route(&self) -> &Arc<str> {
        &self.route
    }

    fn service(&self) -> &Arc<str> {
        &self.service
    }

    fn requests(&self) -> u64 {
        self.durations_us.len() as u64
    }

    fn failures(&self) -> u64 {
        self.failures
    }

    fn refused(&self) -> u64 {
        self.requests() - self.failures
    }

    fn sum_us(&self) -> u64 {
        self.durations_us.iter().sum()
    }

    fn is_first(&self) -> bool {
        self.is_first
    }

    fn add_durations_to(&self, sums: &mut Vec<u64>) {
        sums.resize(sums.len().max(self.sums.len()), 0);
        sums.iter_mut()
            .zip(&self.sums)
            .for_each(|(sum, more)| *sum += more);
    }
}

fn bucket(us: u64) -> usize {
    BOUNDS_MS.partition_point(|bound| *bound <= us as f64 / 1000.0)
}

/// A timeline, with a list of all requests beside it.
pub(super) struct Checked {
    pub(super) timeline: Timeline,
    pub(super) now: u64,
    began: Option<u64>,
    /// Second, route, service, and 1 for a failure.
    requests: Vec<(u64, Arc<str>, Arc<str>, u32)>,
    /// Minute, route, service and duration, as the minute of the sweep has it.
    durations: Vec<(u64, Arc<str>, Arc<str>, u64)>,
    sums: BTreeMap<(Arc<str>, Arc<str>), Vec<u64>>,
}

const START: u64 = 1_800_000_000;

impl Checked {
    fn new(rings_max: usize, routes_max: usize) -> Self {
        Self {
            timeline: Timeline::new(rings_max, routes_max),
            now: START,
            began: None,
            requests: Vec::new(),
            durations: Vec::new(),
            sums: BTreeMap::new(),
        }
    }

    /// One that keeps durations.
    pub(super) fn in_a_fleet() -> Self {
        let mut checked = Self::new(10, 10);
        checked.timeline.keep_durations();
        checked
    }

    /// Records what came in `seconds` seconds: route, service, durations and failures.
    pub(super) fn record(&mut self, seconds: u64, came: &[(&str, &str, Vec<u64>, u64)]) {
        let first = self.began.map_or(self.now + seconds, |_| self.now + 1);
        self.now += seconds;
        self.began.get_or_insert(self.now);
        let first = first.min(self.now).max(self.now + 1 - SPREAD_MAX);
        let mut came: Vec<Came> = came
            .iter()
            .filter(|(_, _, durations, _)| !durations.is_empty())
            .map(|(route, service, durations, failures)| {
                let key: (Arc<str>, Arc<str>) = ((*route).into(), (*service).into());
                let is_first = !self.sums.contains_key(&key);
                let sums = self
                    .sums
                    .entry(key.clone())
                    .or_insert_with(|| vec![0; BOUNDS_MS.len()]);
                durations.iter().for_each(|us| sums[bucket(*us)] += 1);
                Came {
                    route: key.0,
                    service: key.1,
                    durations_us: durations.clone(),
                    failures: *failures,
                    is_first,
                    sums: sums.clone(),
                }
            })
            .collect();
        came.sort_by(|one, other| (&one.route, &one.service).cmp(&(&other.route, &other.service)));
        self.timeline.record(self.now, &came);
        // Spread by arm, by route and as a whole, the parts of seconds may differ by one, so sums are compared.
        for came in &came {
            for (at, us) in came.durations_us.iter().enumerate() {
                let failed = u32::from((at as u64) < came.failures);
                let second = if first == self.now { self.now } else { 0 };
                let (route, service) = (&came.route, &came.service);
                self.requests
                    .push((second, Arc::clone(route), Arc::clone(service), failed));
                self.durations
                    .push((self.now / MINUTE, Arc::clone(route), Arc::clone(service), *us));
            }
        }
    }

    fn takes(route: Option<&str>, service: Option<&str>, of: (&str, &str)) -> bool {
        route.is_none_or(|route| route == of.0) && service.is_none_or(|service| service == of.1)
    }

    /// Compares what the timeline says of a subject with the list.
    fn check(&self, route: Option<&str>) {
        let figures = |step, from| match route {
            Some(route) => self.timeline.of_route(route, step, from),
            None => self.timeline.of_whole(step, from),
        };
        let Some(began) = self.began else {
            assert_eq!(figures(Step::Second, 0), None);
            return;
        };
        let seconds = figures(Step::Second, 0).unwrap();
        assert_eq!(seconds.step_seconds, 1);
        assert_eq!(seconds.next, self.now + 1);
        let since = seconds.begin;
        assert!(since >= began && since + SECONDS > self.now);
        for Series { service, points, .. } in &seconds.series {
            assert_eq!(points.len() as u64, self.now + 1 - since);
            for (at, point) in points.iter().enumerate() {
                let Some(point) = point else {
                    panic!("{service:?} has a gap")
                };
                let second = since + at as u64;
                let of_second = self.requests.iter().filter(|(at, of_route, of_service, _)| {
                    *at == second && Self::takes(route, service.as_deref(), (of_route, of_service))
                });
                let (requests, failures) =
                    of_second.fold((0, 0), |(all, failed), (_, _, _, more)| (all + 1, failed + more));
                assert_eq!(
                    (point.counts.requests, point.counts.failures),
                    (requests, failures),
                    "second {second}"
                );
            }
        }
        let minutes = figures(Step::Minute, 0).unwrap();
        assert_eq!(minutes.next, self.now / MINUTE * MINUTE);
        for Series { service, points, .. } in &minutes.series {
            for (at, point) in points.iter().enumerate() {
                let minute = minutes.begin / MINUTE + at as u64;
                let of_minute = self.durations.iter().filter(|(at, of_route, of_service, _)| {
                    *at == minute && Self::takes(route, service.as_deref(), (of_route, of_service))
                });
                let mut durations: Vec<u64> = of_minute.map(|(_, _, _, us)| *us).collect();
                durations.sort_unstable();
                let Some(point) = point else {
                    panic!("{service:?} has a gap")
                };
                assert_eq!(
                    u64::from(point.counts.requests),
                    durations.len() as u64,
                    "minute {minute}"
                );
                let quantile = |percent: usize| {
                    let rank = (durations.len() * percent).div_ceil(100);
                    rank.checked_sub(1).map(|at| bucket(durations[at]))
                };
                assert_eq!((point.p50(), point.p99()), (quantile(50), quantile(99)));
            }
        }
        let from = self.now - 5;
        let later = figures(Step::Second, from).unwrap();
        assert!(later.begin >= from && later.series[0].points.len() <= 6);
    }
}

/// The figures of all requests, as an instance tells them.
pub(super) fn durations_of(timeline: &Timeline, step: Step) -> Told {
    let figures = timeline.of_whole(step, 0).unwrap();
    Told {
        upto: timeline.upto(),
        interval: 1,
        step_seconds: figures.step_seconds,
        begin: figures.begin,
        series: figures.series.iter().map(ToldSeries::of).collect(),
        hours: None,
    }
}

type Steps = Vec<(u64, Vec<(usize, usize, Vec<u64>, u64)>)>;

fn steps() -> impl Strategy<Value = Steps> {
    let durations = prop::collection::vec(prop_oneof![1..2000u64, 1..30_000_000u64], 0..6);
    let came = (0..3usize, 0..3usize, durations, 0..6u64);
    // Long pauses are without requests just behind them: see `counts_of_a_pause_are_spread`.
    let step = prop_oneof![
        20 => (Just(1), prop::collection::vec(came, 0..4)),
        1 => (prop_oneof![2..100u64, 500..700u64], Just(Vec::new())),
    ];
    let some = || prop::collection::vec(step.clone(), 0..80);
    // After a day and more without requests a route is forgotten, and its first durations are taken by their mean.
    (some(), prop::option::of(40_000..60_000u64), some()).prop_map(|(mut steps, pause, more)| {
        steps.extend(pause.map(|pause| (pause, Vec::new())));
        steps.extend(more);
        steps
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn figures_are_those_of_a_list_of_all_requests(steps in steps()) {
        const ROUTES: [&str; 3] = ["", "r", "s"];
        const SERVICES: [&str; 3] = ["", "a", "b"];
        let mut checked = Checked::new(100, 100);
        for (seconds, came) in steps {
            let mut by_series = BTreeMap::new();
            for (route, service, durations, failures) in came {
                by_series.insert((route, service), (durations, failures));
            }
            let came: Vec<_> = by_series
                .into_iter()
                .map(|((route, service), (durations, failures))| {
                    let failures = failures.min(durations.len() as u64);
                    (ROUTES[route], SERVICES[service], durations, failures)
                })
                .collect();
            checked.record(seconds, &came);
        }
        checked.check(None);
        ROUTES.iter().for_each(|route| checked.check(Some(route)));
    }
}

fn one(route: &str, requests: usize, failures: u64) -> (&str, &str, Vec<u64>, u64) {
    (route, "a", vec![1000; requests], failures)
}

fn counts(figures: &Figures) -> Vec<(u32, u32)> {
    let points = figures.series[0].points.iter().flatten();
    points
        .map(|point| (point.counts.requests, point.counts.failures))
        .collect()
}

#[test]
fn counts_of_a_pause_are_spread() {
    let mut checked = Checked::new(10, 10);
    checked.record(1, &[one("r", 1, 0)]);
    checked.record(4, &[one("r", 10, 5)]);
    let figures = checked.timeline.of_route("r", Step::Second, 0).unwrap();
    assert_eq!(counts(&figures), [(1, 0), (2, 1), (3, 1), (2, 1), (3, 2)]);
    checked.record(1000, &[one("r", 15, 0)]);
    let figures = checked.timeline.of_route("r", Step::Second, 0).unwrap();
    let counts = counts(&figures);
    assert_eq!(counts.len() as u64, SECONDS);
    assert_eq!(counts.iter().rposition(|(requests, _)| *requests != 1), Some(584));
}

#[test]
fn clock_that_goes_back_a_little_is_waited_for() {
    let mut checked = Checked::new(10, 10);
    checked.record(1, &[one("r", 1, 0)]);
    let before = checked.now;
    let came = |requests| Came {
        route: "r".into(),
        service: "a".into(),
        durations_us: vec![1; requests],
        failures: 0,
        is_first: false,
        sums: vec![0; 3],
    };
    checked.timeline.record(before - 5, &[came(2)]);
    assert_eq!(checked.timeline.upto(), Some(before));
    let of_route = |timeline: &Timeline| counts(&timeline.of_route("r", Step::Second, 0).unwrap());
    assert_eq!(of_route(&checked.timeline), [(3, 0)]);
    checked.timeline.record(before - 1000, &[came(4)]);
    assert_eq!(checked.timeline.upto(), Some(before - 1000));
    assert_eq!(of_route(&checked.timeline), [(4, 0)]);
}

#[test]
fn second_arm_begins_where_the_first_one_was_alone() {
    let mut checked = Checked::new(3, 10);
    checked.record(1, &[one("r", 2, 0)]);
    checked.record(1, &[("r", "b", vec![7], 1)]);
    // A third one finds no ring, but is counted.
    checked.record(1, &[("r", "c", vec![7], 1)]);
    let figures = checked.timeline.of_route("r", Step::Second, 0).unwrap();
    let requests = figures.series.iter().map(|Series { service, points, .. }| {
        let requests = points
            .iter()
            .map(|point| point.map(|point| point.counts.requests));
        (service.as_deref(), requests.collect::<Vec<_>>())
    });
    let expected = [
        (None, vec![Some(2), Some(1), Some(1)]),
        (Some("a"), vec![Some(2), Some(0), Some(0)]),
        (Some("b"), vec![Some(0), Some(1), Some(0)]),
    ];
    assert_eq!(requests.collect::<Vec<_>>(), expected);
}

#[test]
fn busiest_and_failing_routes_are_kept_by_the_second() {
    let mut checked = Checked::new(2, 4);
    checked.record(
        1,
        &[
            one("a", 1, 0),
            one("b", 1, 0),
            one("busy", 1, 0),
            one("failing", 1, 0),
        ],
    );
    let step = |checked: &Checked, route: &str| {
        let figures = checked.timeline.of_route(route, Step::Second, 0)?;
        Some(figures.step_seconds)
    };
    assert_eq!(
        (step(&checked, "a"), step(&checked, "busy")),
        (Some(1), Some(HOUR))
    );
    for _ in 0..2 * MINUTE {
        checked.record(
            1,
            &[
                one("a", 1, 0),
                one("b", 1, 0),
                one("busy", 5, 0),
                one("failing", 1, 1),
            ],
        );
    }
    for (route, expected) in [("a", HOUR), ("b", HOUR), ("busy", 1), ("failing", 1)] {
        assert_eq!(step(&checked, route), Some(expected), "{route}");
    }
    // There is no place for a fifth one, unless it fails or a day has passed.
    checked.record(1, &[one("fifth", 1, 0)]);
    assert_eq!(step(&checked, "fifth"), None);
    assert_eq!(checked.timeline.usage().left_out, 1);
    checked.record(1, &[one("fifth", 2, 2)]);
    assert_eq!(step(&checked, "fifth"), Some(HOUR));
    let whole = checked.timeline.of_whole(Step::Second, 0).unwrap();
    assert_eq!(counts(&whole).last(), Some(&(2, 2)));
    checked.record((HOURS + 2) * HOUR, &[]);
    checked.record(MINUTE, &[one("sixth", 1, 0)]);
    assert_eq!(checked.timeline.usage().routes, 1);
}

#[test]
fn memory_is_bounded_however_many_routes_there_are() {
    let usage = usage_of_many_routes(Timeline::default());
    assert_eq!(usage.bytes_max, BYTES_MAX);
    let mut in_a_fleet = Timeline::default();
    in_a_fleet.keep_durations();
    let more = usage_of_many_routes(in_a_fleet);
    assert_eq!(more.bytes_max, BYTES_MAX + DURATIONS_BYTES_MAX);
    assert!(more.bytes > usage.bytes, "{more:?}");
    let full = RINGS_MAX * 2 * DURATIONS_BYTES + 2 * DURATIONS_BYTES_OF_WHOLE;
    assert!(full + RINGS_MAX * 100 <= DURATIONS_BYTES_MAX, "{full} bytes");
}

/// Uses a timeline by more routes than there are places for.
fn usage_of_many_routes(mut timeline: Timeline) -> Use {
    let came = |at: usize, service: &str| Came {
        route: format!("route-{at:06}").into(),
        service: service.into(),
        durations_us: vec![1000],
        failures: 0,
        is_first: true,
        sums: vec![0; 3],
    };
    for second in 0..130 {
        // Others every second, three thousand at a time.
        let first = (second * 3000) % 100_000;
        let all: Vec<Came> = (first..first + 3000)
            .flat_map(|at| [came(at, "a"), came(at, "b")])
            .collect();
        timeline.record(START + second as u64, &all);
    }
    let usage = timeline.usage();
    assert!(
        usage.rings > RINGS_MAX - 3 && usage.rings <= RINGS_MAX,
        "{usage:?}"
    );
    assert_eq!(usage.routes, ROUTES_MAX);
    assert!(usage.left_out > 0);
    let bytes = usage.bytes + marks::BYTES_MAX;
    assert!(bytes <= usage.bytes_max, "{bytes} bytes");
    // Even if the hash table has grown beyond what it needs.
    let grown = ROUTES_MAX * 3 * (size_of::<(Arc<str>, Box<Kept>)>() + 1);
    assert!(bytes + grown <= usage.bytes_max, "{bytes} bytes, and {grown}");
    usage
}

#[test]
fn counters_are_read_less_often_where_there_are_many() {
    assert_eq!(Timeline::interval(100), Duration::from_secs(1));
    assert_eq!(Timeline::interval(100_000), Duration::from_secs(3));
    assert_eq!(Timeline::interval(10_000_000), INTERVAL_MAX);
}

#[test]
fn last_minutes_are_known_of_every_route() {
    let mut checked = Checked::new(2, 4);
    // The first two have the rings.
    for _ in 0..90 {
        checked.record(
            1,
            &[one("a", 2, 1), one("b", 1, 0), one("c", 3, 0), one("d", 1, 1)],
        );
    }
    let recent = |checked: &Checked, route: &str, window| {
        let recent = checked.timeline.recent_of(route, window)?;
        let counts = recent.counts;
        Some((recent.seconds, counts.requests, counts.failures))
    };
    assert_eq!(recent(&checked, "a", 60), Some((60, 120, 60)));
    assert_eq!(recent(&checked, "a", 600), Some((90, 180, 90)));
    assert_eq!(recent(&checked, "a", 1200), Some((90, 180, 90)));
    let known = checked.timeline.recent_of("a", 60).unwrap();
    assert!((known.rate() - 2.0).abs() < 1e-9 && (known.failure_share() - 0.5).abs() < 1e-9);
    assert!(known.p99_ms.is_some());
    // Without a ring, this minute and the one before.
    let minutes = recent(&checked, "c", 60).unwrap();
    assert_eq!(minutes.1, 3 * minutes.0 as u32);
    assert!((61..=90).contains(&minutes.0), "{minutes:?}");
    assert_eq!(recent(&checked, "c", 600), None);
    // There is no place for further ones, so nothing is known of them.
    assert_eq!(recent(&checked, "e", 60), None);
    assert_eq!(checked.timeline.recent(60).count(), 4);
    assert_eq!(checked.timeline.recent(600).count(), 2);
    checked.record(3 * MINUTE, &[]);
    assert_eq!(checked.timeline.recent(60).count(), 0);
    let minutes = recent(&checked, "c", 60).unwrap();
    assert_eq!((minutes.1, minutes.2), (0, 0));
}

#[test]
fn refused_requests_are_beside_failures_everywhere() {
    let mut checked = Checked::new(2, 4);
    // All that do not fail are refused here. The third route has no ring.
    for _ in 0..90 {
        checked.record(1, &[one("a", 3, 1), one("b", 3, 0), one("c", 5, 0)]);
    }
    let refused = |route, step| {
        let figures = checked.timeline.of_route(route, step, 0).unwrap();
        let points = figures.series[0].points.iter().flatten();
        points.map(|point| point.counts.refused).sum::<u32>()
    };
    assert_eq!(refused("a", Step::Second), 2 * 90);
    assert_eq!(refused("a", Step::Minute), 2 * 90);
    assert_eq!(refused("c", Step::Minute), 5 * 90);
    let of_minutes = checked.timeline.recent_of("c", 60).unwrap();
    assert_eq!(of_minutes.counts.refused, 5 * of_minutes.seconds as u32);
    assert_eq!(
        checked.timeline.recent_of("a", 10).unwrap().counts.refused,
        2 * 10
    );
}

#[test]
fn sparkline_has_parts_that_are_over() {
    let mut checked = Checked::new(2, 4);
    for _ in 0..1200 {
        checked.record(1, &[one("a", 2, 1)]);
    }
    let sparkline = checked.timeline.sparkline("a").unwrap();
    let of_tick = Counts {
        requests: 20,
        failures: 10,
        refused: 10,
    };
    assert_eq!(sparkline.points, [of_tick; 59]);
    assert_eq!(sparkline.begin % 10, 0);
    let quiet = checked.timeline.sparkline("b").unwrap();
    assert_eq!(quiet.points, [Counts::default(); 59]);
}
