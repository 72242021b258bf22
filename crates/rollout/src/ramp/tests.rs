use jiff::SignedDuration;
use proptest::prelude::*;

use super::*;
use crate::evidence::betting::Tolerance;
use crate::judge::ArmSecond;
use crate::judge::settings::JudgeSettings;
use crate::ramp::plan::{Rules, Step};
use crate::ramp::window::Window;

fn percent(whole: u16) -> Percent {
    Percent::from_thousandths(u64::from(whole) * 1000).unwrap()
}

fn plan(steps: &[u16]) -> RampPlan {
    RampPlan {
        steps: steps.iter().map(|step| Step::to(percent(*step))).collect(),
        rules: Rules {
            at_least: 60,
            requests: 100.0,
            proof: Proof::Step,
            approve: false,
        },
        warmup: 0,
        hold: 7200,
        then: Then::Hold,
        windows: Vec::new(),
    }
}

fn errors_alone() -> JudgeSettings {
    JudgeSettings {
        client_errors: None,
        abandoned: None,
        latency: [None; 3],
        warmup: 0,
        ..JudgeSettings::default()
    }
}

fn judged(plan: RampPlan) -> Ramp {
    let judge = Judge::new(errors_alone(), 1, plan.judged_steps(), false, Vec::new());
    Ramp::new(plan, Some(judge), 30, Timestamp::UNIX_EPOCH)
}

/// A second in which the canary fails `errors` of its `requests`, and the baseline none of 1,000.
fn second(requests: f64, errors: f64) -> RouteSecond<'static> {
    RouteSecond {
        canary: ArmSecond {
            finished: requests,
            errors,
            ..ArmSecond::default()
        },
        baseline: ArmSecond {
            finished: 1000.0,
            ..ArmSecond::default()
        },
        groups: None,
        share: 0.1,
    }
}

/// Ticks until the ramp is ready, at most `limit` seconds.
fn ready_after(ramp: &mut Ramp, requests: f64, limit: u64) -> Option<u64> {
    (1..=limit).find(|_| ramp.tick(&[second(requests, 0.0)]) == Standing::Ready)
}

#[test]
fn good_version_goes_all_the_way() {
    let mut ramp = judged(plan(&[1, 5, 25, 100]));
    assert_eq!(ramp.standing(), Standing::Ready);
    let mut shares = Vec::new();
    while let Some(share) = ramp.step_up() {
        shares.push(share.to_string());
        if share < Percent::ALL {
            // 60 s by the rule, and about 940 requests for the proof.
            assert_eq!(ready_after(&mut ramp, 20.0, 600), Some(60), "{shares:?}");
        }
    }
    assert_eq!(shares, ["1 %", "5 %", "25 %", "100 %"]);
    assert_eq!(ramp.standing(), Standing::Done);
}

#[test]
fn step_waits_for_time_requests_and_proof() {
    let mut ramp = judged(plan(&[5, 100]));
    ramp.step_up();
    ramp.tick(&[second(2.0, 0.0)]);
    let Standing::Holds(lacks) = ramp.standing() else {
        panic!("{:?}", ramp.standing());
    };
    assert!(
        lacks.contains(&Lack::Time(59)) && lacks.contains(&Lack::Requests(98.0)),
        "{lacks:?}"
    );
    assert!(
        matches!(lacks[..], [.., Lack::Proof(MetricKind::Errors, Some(needed))] if needed > 500.0),
        "{lacks:?}"
    );
    let ready = ready_after(&mut ramp, 2.0, 3600).unwrap();
    assert!((400..600).contains(&ready), "about 940 requests: {ready}");
}

#[test]
fn least_time_covers_the_response_timeout() {
    let mut ramp = judged(plan(&[5, 100]));
    ramp.response_timeout = 120;
    ramp.step_up();
    assert_eq!(ready_after(&mut ramp, 100.0, 600), Some(120));
    ramp = judged(plan(&[5, 100]));
    ramp.response_timeout = 3600;
    ramp.step_up();
    assert_eq!(
        ready_after(&mut ramp, 100.0, 600),
        Some(300),
        "at most five minutes"
    );
    let mut timed = plan(&[5, 100]);
    timed.rules.proof = Proof::None;
    ramp = judged(timed);
    ramp.response_timeout = 3600;
    ramp.step_up();
    assert_eq!(ready_after(&mut ramp, 100.0, 600), Some(60));
}

#[test]
fn proof_of_the_rollout_is_needed_once() {
    let second_step = |proof| {
        let mut plan = plan(&[5, 50, 100]);
        plan.rules.proof = proof;
        let mut ramp = judged(plan);
        ramp.step_up();
        ready_after(&mut ramp, 5.0, 3600).unwrap();
        ramp.step_up();
        ready_after(&mut ramp, 5.0, 3600).unwrap()
    };
    assert_eq!(second_step(Proof::Rollout), 60);
    let anew = second_step(Proof::Step);
    assert!((150..250).contains(&anew), "about 940 requests: {anew}");
}

#[test]
fn timed_ramp_needs_time_and_requests_alone() {
    let mut ramp = Ramp::new(plan(&[5, 100]), None, 30, Timestamp::UNIX_EPOCH);
    ramp.step_up();
    assert_eq!(ready_after(&mut ramp, 1.0, 600), Some(100));
}

#[test]
fn bad_version_is_rolled_back_also_while_it_is_paused() {
    for stop in [None, Some(Stop::Paused), Some(Stop::PlanChanged)] {
        let mut ramp = judged(plan(&[5, 100]));
        ramp.step_up();
        if let Some(stop) = stop {
            ramp.halt(stop);
        }
        let found = (1..=60).find_map(|at| match ramp.tick(&[second(5.0, 5.0)]) {
            Standing::RollBack(Reason::Worse(finding)) => Some((at, finding.kind)),
            _ => None,
        });
        assert!(matches!(found, Some((5..=8, MetricKind::Errors))), "{found:?}");
    }
}

#[test]
fn pause_and_changed_plan_hold_until_resumed() {
    for stop in [Stop::Paused, Stop::PlanChanged] {
        let mut ramp = judged(plan(&[5, 100]));
        ramp.halt(stop);
        assert_eq!(ramp.standing(), Standing::Holds(vec![Lack::Stopped(stop)]));
        ramp.resume();
        ramp.step_up();
        ramp.halt(stop);
        assert_eq!(ready_after(&mut ramp, 100.0, 600), None);
        assert_eq!(ramp.standing(), Standing::Holds(vec![Lack::Stopped(stop)]));
        ramp.resume();
        assert_eq!(ramp.standing(), Standing::Ready);
    }
}

#[test]
fn approval_is_for_one_step() {
    let mut steps = plan(&[5, 50, 100]);
    steps.steps[0].approve = true;
    steps.steps[1].approve = true;
    let mut ramp = judged(steps);
    ramp.step_up();
    assert_eq!(ready_after(&mut ramp, 100.0, 600), None);
    assert_eq!(ramp.standing(), Standing::Holds(vec![Lack::Approval]));
    ramp.approve();
    assert_eq!(ramp.standing(), Standing::Ready);
    ramp.step_up();
    assert_eq!(
        ready_after(&mut ramp, 100.0, 600),
        None,
        "the next step needs its own"
    );
}

#[test]
fn after_hold_the_operators_choice_counts() {
    let waited = |then, requests| {
        let mut plan = plan(&[5, 100]);
        plan.hold = 300;
        plan.then = then;
        let mut ramp = judged(plan);
        ramp.step_up();
        (1..300).for_each(|_| assert!(matches!(ramp.tick(&[second(requests, 0.0)]), Standing::Holds(_))));
        ramp.tick(&[second(requests, 0.0)])
    };
    assert!(matches!(waited(Then::Hold, 1.0), Standing::Holds(_)));
    assert_eq!(waited(Then::Promote, 1.0), Standing::Ready);
    assert_eq!(
        waited(Then::RollBack, 1.0),
        Standing::RollBack(Reason::HoldExpired)
    );
    // Nothing is promoted because too little came in.
    assert!(matches!(waited(Then::Promote, 0.1), Standing::Holds(_)));
}

#[test]
fn last_step_below_everything_is_done_and_stays() {
    let mut ramp = judged(plan(&[5, 50]));
    ramp.step_up();
    ramp.step_up();
    let done = (1..=600).find(|_| ramp.tick(&[second(100.0, 0.0)]) == Standing::Done);
    assert_eq!(done, Some(60));
    assert_eq!((ramp.step_up(), ramp.percent()), (None, percent(50)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// A judged ramp is never ready without its least time, its requests and a proof of each metric, nor
    /// while something speaks against the canary.
    #[test]
    fn never_ready_without_proof(seconds in prop::collection::vec((0_u32..40, 0_u32..3), 1..400)) {
        let mut ramp = judged(plan(&[5, 100]));
        ramp.step_up();
        let mut requests = 0.0;
        for (at, (finished, errors)) in (1..).zip(seconds) {
            let (finished, errors) = (f64::from(finished), f64::from(errors.min(finished)));
            requests += finished;
            let standing = ramp.tick(&[second(finished, errors)]);
            let judge = ramp.judge().unwrap();
            match standing {
                Standing::Ready => {
                    prop_assert!(at >= 60 && requests >= 100.0);
                    prop_assert!(judge.unproved().next().is_none());
                    prop_assert!(judge.evidence() < SUSPICION * judge.rollback_at());
                }
                Standing::RollBack(_) => prop_assert!(judge.evidence() >= judge.rollback_at()),
                Standing::Holds(lacks) => prop_assert!(!lacks.is_empty()),
                Standing::Done => prop_assert!(false, "it is not at its end"),
            }
        }
    }
}

#[test]
fn restored_ramp_goes_on_where_it_was() {
    let mut ramp = judged(plan(&[5, 50, 100]));
    ramp.step_up();
    (0..30).for_each(|_| drop(ramp.tick(&[second(20.0, 0.0)])));
    let numbers = ramp.judge().unwrap().numbers();
    let mut again = judged(plan(&[5, 50, 100]));
    again.restore(Some(ramp.percent()), ramp.age(), ramp.requests(), false, &numbers);
    assert_eq!(
        (again.percent(), again.standing()),
        (ramp.percent(), ramp.standing())
    );
    // Without its numbers, the step is proved anew.
    let mut lost = judged(plan(&[5, 50, 100]));
    lost.restore(Some(percent(50)), 30, 600.0, false, &[]);
    assert_eq!((lost.percent(), lost.age()), (percent(50), 0));
    assert!(matches!(lost.standing(), Standing::Holds(_)));
    // Another plan does not change the share.
    for (steps, step, next) in [
        (&[5, 100][..], Some(0), Some(percent(100))),
        (&[100], None, Some(percent(100))),
        (&[5, 10, 60, 100], Some(1), Some(percent(60))),
        (&[1, 5], Some(1), None),
    ] {
        let mut other = judged(plan(steps));
        other.restore(Some(percent(50)), 30, 600.0, false, &numbers);
        other.halt(Stop::PlanChanged);
        assert_eq!(
            (other.percent(), other.step(), other.next_percent()),
            (percent(50), step, next),
            "{steps:?}"
        );
        assert!(matches!(other.standing(), Standing::Holds(_)), "{steps:?}");
    }
}

#[test]
fn replaced_judge_has_all_of_hold_for_its_evidence() {
    let mut plan = plan(&[5, 100]);
    plan.then = Then::RollBack;
    plan.hold = 300;
    let mut ramp = judged(plan);
    ramp.step_up();
    ramp.halt(Stop::PlanChanged);
    (0..400).for_each(|_| drop(ramp.tick(&[second(20.0, 0.0)])));
    ramp.replace_judge(Some(Judge::new(errors_alone(), 1, 1, false, Vec::new())));
    ramp.resume();
    assert_eq!((ramp.age(), ramp.requests()), (0, 0.0));
    assert_eq!(ready_after(&mut ramp, 20.0, 600), Some(60));
}

#[test]
fn replaced_plan_counts_its_own_steps() {
    let run = |mut ramp: Ramp| {
        (0..3).for_each(|_| drop(ramp.tick(&[second(20.0, 5.0)])));
        ramp.judge().unwrap().numbers()
    };
    let mut replaced = judged(plan(&[5, 100]));
    replaced.step_up();
    let numbers = replaced.judge().unwrap().numbers();
    let same = replaced.clone();
    replaced.replace_plan(plan(&[5, 10, 20, 50, 100]));
    assert_eq!(replaced.judge().unwrap().numbers(), numbers, "the evidence stays");
    // As after a restart.
    let mut restored = judged(plan(&[5, 10, 20, 50, 100]));
    restored.restore(Some(percent(5)), 0, 0.0, false, &numbers);
    let found = run(replaced);
    assert_eq!(found, run(restored));
    assert_ne!(found, run(same));
}

#[test]
fn replaced_plan_never_raises_the_share() {
    for (steps, next) in [
        (&[1_u16, 10, 50, 100][..], Some(percent(50))),
        (&[5, 20, 100], Some(percent(100))),
        (&[50, 100], Some(percent(50))),
        (&[1, 5], None),
    ] {
        let mut ramp = judged(plan(&[5, 20, 100]));
        ramp.step_up();
        ramp.step_up();
        ramp.replace_plan(plan(steps));
        assert_eq!(
            (ramp.percent(), ramp.next_percent()),
            (percent(20), next),
            "{steps:?}"
        );
    }
}

/// A moment of the 30th of November 2026, a Monday.
fn monday(time: &str) -> Timestamp {
    format!("2026-11-30T{time}Z").parse().unwrap()
}

/// A plan with a step to 5 %, in hours of the 30th of November.
fn in_hours(windows: &[&str]) -> RampPlan {
    let mut plan = plan(&[5, 100]);
    plan.windows = windows
        .iter()
        .map(|window| Window::parse(window).unwrap())
        .collect();
    plan
}

/// The window that a ramp waits for alone.
fn awaited(ramp: &Ramp) -> Opening {
    match &ramp.standing() {
        Standing::Holds(lacks) => match lacks[..] {
            [Lack::Window(opening)] => opening,
            _ => panic!("{lacks:?}"),
        },
        standing => panic!("{standing:?}"),
    }
}

#[test]
fn steps_wait_for_a_window() {
    let mut ramp = judged(in_hours(&["Mon 12:00-13:00 UTC", "Mon 09:00-10:00 UTC"]));
    ramp.set_time(monday("08:59:00"));
    let opening = awaited(&ramp);
    assert_eq!(
        (opening.window, opening.at, opening.wait),
        (1, monday("09:00:00"), 60)
    );
    // The baseline is learned about meanwhile; the step has not begun.
    (0..10).for_each(|_| drop(ramp.tick(&[second(20.0, 20.0)])));
    assert_eq!((ramp.age(), ramp.requests()), (0, 0.0));
    ramp.set_time(monday("09:00:00"));
    assert_eq!(ramp.standing(), Standing::Ready);
    ramp.step_up();
    assert_eq!(ready_after(&mut ramp, 20.0, 600), Some(60));
    ramp.set_time(monday("10:00:00"));
    assert_eq!(awaited(&ramp).at, monday("12:00:00"));
    ramp.set_time(monday("12:59:59"));
    assert_eq!(ramp.standing(), Standing::Ready);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// At any minute of two weeks, before any step and after it, a ramp that lacks nothing else is ready while a window is
    /// open, and at no other time; the opening that it waits for is the next such minute.
    #[test]
    fn ready_only_while_a_window_is_open(minute in 0_i64..14 * 24 * 60, has_begun: bool) {
        let mut plan = in_hours(&["Fri-Mon 22:30-01:15 America/Sao_Paulo", "Wed 09:00-24:00 Asia/Kolkata"]);
        plan.rules.at_least = 0;
        plan.rules.requests = 0.0;
        let mut ramp = Ramp::new(plan, None, 30, monday("00:00:00"));
        if has_begun {
            ramp.step_up();
        }
        let is_ready = |minute: i64| {
            let mut ramp = ramp.clone();
            ramp.set_time(monday("00:00:00") + SignedDuration::from_mins(minute));
            ramp.standing() == Standing::Ready
        };
        let now = monday("00:00:00") + SignedDuration::from_mins(minute);
        let is_open = ramp.plan().windows.iter().any(|window| window.is_open(now));
        prop_assert_eq!(is_ready(minute), is_open);
        if !is_open {
            let mut ramp = ramp.clone();
            ramp.set_time(now);
            let wait = i64::try_from(awaited(&ramp).wait).unwrap() / 60;
            prop_assert!((minute..minute + wait).all(|minute| !is_ready(minute)));
            prop_assert!(is_ready(minute + wait));
        }
    }
}

#[test]
fn judge_goes_on_while_windows_are_closed() {
    let mut ramp = judged(in_hours(&["Mon 09:00-10:00 UTC"]));
    ramp.set_time(monday("12:00:00"));
    ramp.step_up();
    let is_over = (0..10).any(|_| matches!(ramp.tick(&[second(20.0, 20.0)]), Standing::RollBack(_)));
    assert!(is_over, "{:?}", ramp.standing());
}

#[test]
fn closed_window_alone_is_no_reason_of_hold() {
    for then in [Then::Hold, Then::Promote, Then::RollBack] {
        let mut plan = in_hours(&["Mon 09:00-10:00 UTC"]);
        plan.then = then;
        plan.hold = 300;
        let mut ramp = judged(plan);
        ramp.set_time(monday("12:00:00"));
        ramp.step_up();
        (0..1000).for_each(|_| drop(ramp.tick(&[second(20.0, 0.0)])));
        assert_eq!(awaited(&ramp).window, 0, "{then:?}");
    }
    // Without a proof, `hold` goes on.
    let mut plan = in_hours(&["Mon 09:00-10:00 UTC"]);
    plan.then = Then::RollBack;
    plan.hold = 300;
    let mut ramp = judged(plan);
    ramp.set_time(monday("12:00:00"));
    ramp.step_up();
    let over = (1..1000).find(|_| ramp.tick(&[]) == Standing::RollBack(Reason::HoldExpired));
    assert_eq!(over, Some(300));
}

#[test]
fn incident_while_a_window_is_closed_is_no_reason_of_hold() {
    let mut plan = in_hours(&["Mon 09:00-10:00 UTC"]);
    plan.then = Then::RollBack;
    plan.hold = 300;
    let mut ramp = judged(plan);
    ramp.set_time(monday("12:00:00"));
    ramp.step_up();
    (0..400).for_each(|_| drop(ramp.tick(&[second(20.0, 0.0)])));
    assert_eq!(awaited(&ramp).window, 0);
    // Both versions fail, so that nothing is proved by the old one.
    let mut incident = second(20.0, 20.0);
    incident.baseline.errors = 1000.0;
    (0..60).for_each(|_| assert!(matches!(ramp.tick(&[incident]), Standing::Holds(_))));
    let Standing::Holds(lacks) = ramp.standing() else {
        panic!("{:?}", ramp.standing());
    };
    assert!(lacks.contains(&Lack::SickBaseline), "{lacks:?}");
}

#[test]
fn last_step_is_done_outside_of_windows() {
    let mut plan = in_hours(&["Mon 09:00-10:00 UTC"]);
    plan.steps.truncate(1);
    let mut ramp = judged(plan);
    ramp.set_time(monday("12:00:00"));
    ramp.step_up();
    let done = (1..600).find(|_| ramp.tick(&[second(20.0, 0.0)]) == Standing::Done);
    assert_eq!(done, Some(60));
}

#[test]
fn small_damage_is_told_from_luck_by_the_margin() {
    let ended = |plus: f64, errors: f64, seconds: u64| {
        let plan = plan(&[5, 100]);
        let settings = JudgeSettings {
            errors: Some(Tolerance { ratio: 1.5, plus }),
            ..errors_alone()
        };
        let judge = Judge::new(settings, 1, plan.judged_steps(), false, Vec::new());
        let mut ramp = Ramp::new(plan, Some(judge), 30, Timestamp::UNIX_EPOCH);
        ramp.step_up();
        let standings = (1..=seconds).map(|at| (at, ramp.tick(&[second(200.0, errors)])));
        let mut ends = standings.filter(|(_, standing)| !matches!(standing, Standing::Holds(_)));
        ends.next()
            .map(|(at, standing)| (at, standing == Standing::Ready))
    };
    // 5 % more than the baseline.
    assert!(matches!(ended(0.005, 10.0, 600), Some((5..=10, false))));
    // 0.5 % more: beyond a tight margin, within a wide one, and held at its edge for two hours.
    assert!(matches!(ended(0.001, 1.0, 600), Some((5..=60, false))));
    assert_eq!(ended(0.02, 1.0, 600), Some((60, true)));
    assert_eq!(ended(0.005, 1.0, 7200), None);
}

#[test]
fn pause_does_not_hide_a_changed_plan() {
    let mut ramp = judged(plan(&[5, 100]));
    ramp.step_up();
    ramp.halt(Stop::PlanChanged);
    ramp.halt(Stop::Paused);
    let stops: Vec<Stop> = ramp.stops().collect();
    assert_eq!(stops, [Stop::PlanChanged, Stop::Paused]);
    ramp.settle();
    assert!(ramp.is_stopped_by(Stop::Paused) && !ramp.is_stopped_by(Stop::PlanChanged));
}

#[test]
fn ramp_by_time_is_not_rolled_back_for_its_own_length() {
    let mut plan = plan(&[5, 100]);
    plan.then = Then::RollBack;
    plan.hold = 60;
    plan.rules.at_least = 100;
    plan.rules.requests = 0.0;
    let mut ramp = Ramp::new(plan, None, 0, Timestamp::UNIX_EPOCH);
    ramp.step_up();
    for _ in 0..99 {
        assert!(matches!(ramp.tick(&[second(0.0, 0.0)]), Standing::Holds(_)));
    }
    assert_eq!(ramp.tick(&[second(0.0, 0.0)]), Standing::Ready);
}

/// A second of which this share of the traffic is missing.
fn second_without(ramp: &mut Ramp, missing: f64, counted: RouteSecond<'static>) -> Standing {
    ramp.set_missing(missing);
    ramp.tick(&[counted])
}

fn is_blind(standing: &Standing) -> bool {
    matches!(standing, Standing::Holds(lacks) if lacks.iter().any(|lack| matches!(lack, Lack::Traffic(_))))
}

#[test]
fn without_more_than_a_tenth_of_the_traffic_nothing_is_decided() {
    for (missing, expected) in [
        (0.0, false),
        (0.05, false),
        (0.1, false),
        (0.101, true),
        (1.0, true),
    ] {
        // A good version, and a bad one.
        for errors in [0.0, 20.0] {
            let mut ramp = judged(plan(&[5, 100]));
            ramp.step_up();
            let standings = (0..100).map(|_| second_without(&mut ramp, missing, second(20.0, errors)));
            let standings: Vec<Standing> = standings.collect();
            assert_eq!(
                standings.iter().all(is_blind),
                expected,
                "{missing} {errors}: {standings:?}"
            );
            let decided = standings
                .iter()
                .any(|standing| !matches!(standing, Standing::Holds(_)));
            assert_eq!(decided, !expected, "{missing} {errors}");
        }
    }
}

#[test]
fn time_without_the_traffic_does_not_count_and_proves_nothing() {
    let mut ramp = judged(plan(&[5, 100]));
    ramp.step_up();
    for _ in 0..600 {
        second_without(&mut ramp, 0.5, second(20.0, 0.0));
    }
    assert_eq!((ramp.age(), ramp.requests()), (0, 0.0));
    assert!(!ramp.is_proved());
    ramp.set_missing(0.0);
    assert_eq!(ready_after(&mut ramp, 20.0, 600), Some(60));
}

#[test]
fn what_spoke_against_the_canary_meanwhile_counts_once_all_is_known_again() {
    let mut ramp = judged(plan(&[5, 100]));
    ramp.step_up();
    for _ in 0..20 {
        assert!(is_blind(&second_without(&mut ramp, 0.5, second(20.0, 20.0))));
    }
    let standing = second_without(&mut ramp, 0.0, second(0.0, 0.0));
    assert!(
        matches!(standing, Standing::RollBack(Reason::Worse(_))),
        "{standing:?}"
    );
}

#[test]
fn wait_for_evidence_does_not_end_while_traffic_is_missing() {
    let mut plan = plan(&[5, 100]);
    (plan.hold, plan.then) = (100, Then::RollBack);
    let mut ramp = judged(plan);
    ramp.step_up();
    for _ in 0..200 {
        assert!(is_blind(&second_without(&mut ramp, 0.2, second(0.0, 0.0))));
    }
    let end = (1..200).find(|_| {
        second_without(&mut ramp, 0.0, second(0.0, 0.0)) == Standing::RollBack(Reason::HoldExpired)
    });
    assert_eq!(end, Some(100));
}

#[test]
fn a_ramp_without_a_judge_misses_no_traffic() {
    let mut timed = Ramp::new(plan(&[5, 100]), None, 30, Timestamp::UNIX_EPOCH);
    timed.step_up();
    timed.set_missing(1.0);
    assert_eq!(ready_after(&mut timed, 20.0, 600), Some(60));
    // Nothing is compared before the first step, nor at the last.
    let mut ramp = judged(plan(&[5, 100]));
    ramp.set_missing(1.0);
    assert_eq!(ramp.standing(), Standing::Ready);
    ramp.step_up();
    ramp.step_up();
    assert_eq!(ramp.standing(), Standing::Done);
}
