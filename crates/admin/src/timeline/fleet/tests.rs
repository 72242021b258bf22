use proptest::prelude::*;

use super::super::Step;
use super::super::tests::{Checked, durations_of};
use super::*;

/// The last second that is over.
const NOW: u64 = 1_800_000_030;

fn part(requests: u32, durations: &[(u16, u32)]) -> Option<Part> {
    Some(Part {
        counts: Counts {
            requests,
            failures: requests / 10,
            refused: 0,
        },
        durations: durations.to_vec(),
    })
}

/// An instance whose last seconds up to `upto` have so many requests.
fn told(upto: u64, requests: &[u32]) -> Told {
    Told {
        upto: Some(upto),
        interval: 1,
        step_seconds: 1,
        begin: upto + 1 - requests.len() as u64,
        series: vec![ToldSeries {
            service: None,
            parts: requests.iter().map(|requests| part(*requests, &[])).collect(),
        }],
        hours: None,
    }
}

fn sum(from: u64, all: impl IntoIterator<Item = (&'static str, Option<Told>)>) -> Summed {
    let mut sum = Sum::new(1, from, NOW);
    all.into_iter().for_each(|(id, told)| sum.add(id, told));
    sum.finish()
}

fn requests(summed: &Summed) -> Vec<Option<u32>> {
    let series = summed.figures.series.first();
    let points = series.into_iter().flat_map(|series| &series.points);
    points
        .map(|point| point.map(|point| point.counts.requests))
        .collect()
}

#[test]
fn seconds_of_instances_are_added_where_they_are_known() {
    let all = sum(
        NOW - 3,
        [
            ("a", Some(told(NOW, &[1, 2, 3, 4]))),
            ("b", Some(told(NOW, &[10, 20]))),
        ],
    );
    assert_eq!(requests(&all), [Some(1), Some(2), Some(13), Some(24)]);
    assert_eq!((all.instances, &*all.missing), (2, &[][..]));
    assert_eq!((all.figures.begin, all.figures.next), (NOW - 3, NOW + 1));
    // A second that no instance knows of is unknown.
    let mut gap = told(NOW, &[5, 6, 7]);
    gap.series[0].parts[1] = None;
    assert_eq!(requests(&sum(0, [("a", Some(gap))])), [Some(5), None, Some(7)]);
}

#[test]
fn sum_ends_with_the_last_second_that_all_have() {
    let all = sum(
        NOW - 3,
        [
            ("a", Some(told(NOW, &[1, 1, 1, 1]))),
            ("b", Some(told(NOW - 2, &[9, 9, 9, 9]))),
            ("c", Some(told(NOW + 1, &[7, 7, 7]))),
        ],
    );
    assert_eq!(requests(&all), [Some(10), Some(10)]);
    assert_eq!((all.upto, all.figures.next), (Some(NOW - 2), NOW - 1));
}

#[test]
fn instances_that_are_late_or_silent_are_left_out_and_named() {
    let late = NOW - LAG_MAX - 2;
    let mut busy = told(late, &[3]);
    busy.interval = 2;
    let without_figures = Told {
        series: Vec::new(),
        ..told(NOW, &[])
    };
    let just_begun = Told {
        upto: None,
        ..told(NOW, &[1])
    };
    let all = sum(
        NOW - 1,
        [
            ("e", Some(told(NOW + LAG_MAX + 1, &[1]))),
            ("d", Some(without_figures)),
            ("c", Some(just_begun)),
            ("b", Some(told(late, &[1]))),
            ("a", None),
            ("f", Some(told(NOW, &[1, 2]))),
        ],
    );
    assert_eq!(all.missing, ["a", "b", "c", "d", "e"]);
    assert_eq!((all.instances, requests(&all)), (1, vec![Some(1), Some(2)]));
    // One that looks at its counters less often may be as late.
    assert_eq!(sum(late, [("a", Some(busy))]).missing, [""; 0]);
}

#[test]
fn news_follow_without_gap_or_double_count() {
    let counts: Vec<u32> = (1..=20).collect();
    let upto = |upto: u64| told(upto, &counts[..(20 + upto - NOW - 4) as usize]);
    let (mut since, mut seen) = (NOW - 15, Vec::new());
    // The second instance is late at times, so that the end of the sum goes back.
    for (one, other) in [
        (NOW, NOW - 1),
        (NOW + 1, NOW - 3),
        (NOW + 2, NOW),
        (NOW + 4, NOW + 4),
    ] {
        let all = sum(0, [("a", Some(upto(one))), ("b", Some(upto(other)))]).since(since);
        assert_eq!(all.figures.begin, since);
        seen.extend(requests(&all));
        assert_eq!(all.figures.next, since + requests(&all).len() as u64);
        since = all.figures.next;
    }
    assert_eq!(since, NOW + 5);
    let expected: Vec<Option<u32>> = counts.iter().map(|count| Some(2 * count)).collect();
    assert_eq!(seen, expected[expected.len() - seen.len()..]);
}

#[test]
fn quantiles_are_those_of_all_requests() {
    let with = |parts: Vec<Option<Part>>| Told {
        series: vec![ToldSeries { service: None, parts }],
        ..told(NOW, &[0])
    };
    let point = |all: Vec<Part>| {
        let all = all.into_iter().map(|part| ("a", Some(with(vec![Some(part)]))));
        sum(NOW, all).figures.series[0].points[0].unwrap()
    };
    // Medians of 10 and 200, of 99 requests and one, are a median of 10, and no mean.
    let fast = part(99, &[(10, 99)]).unwrap();
    let slow = part(2, &[(200, 2)]).unwrap();
    let both = point(vec![fast.clone(), slow.clone()]);
    assert_eq!((both.p50(), both.p99()), (Some(10), Some(200)));
    assert_eq!(point(vec![fast, part(1, &[(200, 1)]).unwrap()]).p99(), Some(10));
    // The durations of ten seconds stand beside the requests of one.
    let spread = part(1, &[(5, 10)]).unwrap();
    assert_eq!(point(vec![spread, slow]).p50(), Some(200));
    // Where only quantiles are kept, those of one instance stay.
    for requests in 1..300 {
        let counts = part(requests, &[]).unwrap().counts;
        let known = Point::with_quantiles(counts, Some(7), Some(if requests > 1 { 90 } else { 7 }));
        let alone = point(vec![Part::of_point(&known)]);
        assert_eq!(alone, known);
    }
}

#[test]
fn route_is_by_the_hour_if_an_instance_only_has_hours() {
    let hours = |counts: &[u32]| {
        let hours = counts.iter().map(|requests| part(*requests, &[]).unwrap().counts);
        Some(ByHour {
            begin: (NOW / HOUR - 1) * HOUR,
            hours: hours.collect(),
        })
    };
    let fine = Told {
        hours: hours(&[50, 3]),
        ..told(NOW, &[1, 2])
    };
    let coarse = Told {
        step_seconds: HOUR,
        begin: (NOW / HOUR - 1) * HOUR,
        hours: hours(&[10, 4]),
        ..told(NOW, &[10, 4])
    };
    let all = sum(0, [("a", Some(fine.clone())), ("b", Some(coarse.clone()))]);
    assert_eq!(
        (all.figures.step_seconds, requests(&all)),
        (HOUR, vec![Some(60), Some(7)])
    );
    assert_eq!(all.figures.next, NOW / HOUR * HOUR);
    let later = sum(NOW, [("a", Some(fine.clone())), ("b", Some(coarse))]);
    assert_eq!(requests(&later), [Some(7)]);
    assert_eq!(sum(NOW - 1, [("a", Some(fine))]).figures.step_seconds, 1);
}

#[test]
fn nonsense_of_a_peer_is_left_out() {
    for told in [
        Told {
            begin: u64::MAX,
            ..told(NOW, &[1])
        },
        Told {
            step_seconds: 7,
            ..told(NOW, &[1])
        },
        Told {
            step_seconds: 0,
            ..told(NOW, &[1])
        },
        told(NOW, &[1; PARTS_MAX + 1]),
    ] {
        assert_eq!(sum(0, [("a", Some(told))]).missing, ["a"]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Requests that are dealt to two instances have the figures in sum that one instance has with all of them.
    #[test]
    fn sum_of_instances_is_what_one_would_have(
        seconds in prop::collection::vec(prop::collection::vec((0..2usize, 1..20_000_000u64), 0..12), 1..150)
    ) {
        let mut instances = [(); 3].map(|()| Checked::in_a_fleet());
        for dealt in &seconds {
            for (at, instance) in instances.iter_mut().enumerate() {
                let own = dealt.iter().filter(|(to, _)| at == 2 || *to == at);
                let durations = own.map(|(_, us)| *us).collect();
                instance.record(1, &[("r", "a", durations, 0)]);
            }
        }
        for step in [Step::Second, Step::Minute] {
            let figures = instances.each_ref().map(|one| durations_of(&one.timeline, step));
            let [one, other, all] = figures;
            let now = instances[0].now;
            let mut sum = Sum::new(step.seconds(), 0, now);
            sum.add("one", Some(one));
            sum.add("other", Some(other));
            let sum = sum.finish();
            let mut alone = Sum::new(step.seconds(), 0, now);
            alone.add("all", Some(all));
            prop_assert_eq!(&sum.figures, &alone.finish().figures);
            let known = instances[2].timeline.of_whole(step, 0).unwrap();
            prop_assert_eq!(&sum.figures.series[0].points, &known.series[0].points);
        }
    }
}
