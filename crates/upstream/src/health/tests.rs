use super::*;

use std::cell::Cell;

use waypost_plan::health::FailureRate;

use crate::health::snapshot::HealthSnapshot;

const SECOND: Duration = Duration::from_secs(1);

fn policy(failures: u32, of: &[FailureKind]) -> Ejection {
    Ejection {
        failures: Some(failures),
        of: FailureKinds::of(of.iter().copied()),
        ..Ejection::default()
    }
}

fn call(code: u8) -> Outcome {
    let code = GrpcCode::new(code).unwrap();
    Outcome::Call { status: 200, code }
}

#[test]
fn failed_connect_ejects_until_timeout_or_success() {
    let health = Health::default();
    let now = health.began;
    assert!(!health.is_ejected(now) && !health.is_down());
    let ejected = health.report(Outcome::ConnectFailed, || now);
    assert!(matches!(ejected, Some(HealthChange::Ejected { duration, .. }) if duration == EJECTION));
    assert_eq!(
        health.report(Outcome::ConnectFailed, || now),
        None,
        "reported once"
    );
    assert!(health.is_ejected(now + EJECTION - Duration::from_millis(1)));
    assert_eq!(health.changes_at(now), Some(now + EJECTION));
    assert_eq!(health.changes_at(now + EJECTION), None);
    let later = now + EJECTION;
    assert!(
        !health.is_ejected(later) && health.is_down(),
        "eligible again, but still down"
    );
    for outcome in [
        Outcome::Response(200),
        Outcome::Reset,
        Outcome::Timeout,
        Outcome::Abandoned,
    ] {
        assert_eq!(health.report(outcome, || later), None);
    }
    assert!(health.is_down(), "an old connection shows nothing about new ones");
    assert_eq!(health.report_connected(), Some(HealthChange::Recovered));
    assert_eq!(health.report_connected(), None, "reported once");
    assert!(!health.is_down());
    assert_eq!(health.ejections(), 1);
}

#[test]
fn failures_count_by_kind() {
    let connect = &[FailureKind::Connect][..];
    let all = &FailureKind::ALL[..];
    let default = &all[..3];
    let unavailable = Outcome::Call {
        status: 503,
        code: GrpcCode::UNAVAILABLE,
    };
    for (of, outcome, expected) in [
        (
            default,
            Outcome::ConnectFailed,
            Judgement::Failed(FailureKind::Connect),
        ),
        (default, Outcome::Reset, Judgement::Failed(FailureKind::Reset)),
        (default, Outcome::Timeout, Judgement::Failed(FailureKind::Timeout)),
        (default, Outcome::Response(503), Judgement::Answered),
        (default, call(14), Judgement::Answered),
        (default, Outcome::Abandoned, Judgement::Neutral),
        (connect, Outcome::Reset, Judgement::Neutral),
        (connect, Outcome::Timeout, Judgement::Neutral),
        (all, Outcome::Response(499), Judgement::Answered),
        (
            all,
            Outcome::Response(500),
            Judgement::Failed(FailureKind::ServerError),
        ),
        (all, unavailable, Judgement::Failed(FailureKind::ServerError)),
        (&all[4..], unavailable, Judgement::Failed(FailureKind::Grpc)),
    ] {
        assert_eq!(
            outcome.judge(FailureKinds::of(of.iter().copied())),
            expected,
            "{outcome:?}"
        );
    }
    for code in 0..=16 {
        assert_eq!(
            call(code).is_failure(),
            [2, 4, 13, 14, 15].contains(&code),
            "{code}"
        );
    }
}

#[test]
fn configured_ejection_ends_by_time_and_is_over_with_an_answer() {
    let policy = policy(2, &FailureKind::ALL);
    let health = Health::default();
    let now = health.began;
    let report = |outcome, now: Instant| health.report_to(&policy, outcome, || now, |_| Some(()));
    assert_eq!(report(Outcome::Timeout, now), None);
    let ejected = report(Outcome::Response(500), now);
    let cause = EjectionCause {
        kind: FailureKind::ServerError,
        row: 2,
    };
    let duration = policy.duration;
    assert_eq!(ejected, Some(HealthChange::Ejected { cause, duration }));
    assert!(!health.is_available(now));
    assert_eq!(health.changes_at(now), Some(now + duration));
    assert_eq!(health.available_since(), Some(now + duration));
    let status = health.status(now, false);
    assert_eq!(
        (status.state, &*status.reason, status.until),
        (
            EndpointState::Ejected,
            "2 failures in a row, the last: status 5xx",
            Some(now + duration)
        )
    );
    // What is asked for want of another endpoint changes nothing.
    assert_eq!(report(Outcome::Response(200), now + SECOND), None);
    assert_eq!(report(Outcome::Reset, now + SECOND), None);
    assert!(!health.is_available(now + SECOND));
    let back = now + duration;
    assert!(health.is_available(back));
    assert_eq!(health.status(back, false).state, EndpointState::Up);
    assert_eq!(
        report(Outcome::Response(200), back),
        Some(HealthChange::Recovered)
    );
    assert_eq!(report(Outcome::Response(200), back), None);
    assert_eq!(health.ejections(), 1);
}

#[test]
fn answers_are_not_looked_at_while_there_is_nothing_to_change() {
    let policy = policy(2, &FailureKind::ALL);
    let health = Health::default();
    let looked = Cell::new(0);
    let now = || {
        looked.set(looked.get() + 1);
        health.began
    };
    let report = |outcome| health.report_to(&policy, outcome, now, |_| Some(()));
    report(Outcome::Response(200));
    assert_eq!(looked.get(), 0);
    report(Outcome::Reset);
    report(Outcome::Response(200));
    assert_eq!(looked.get(), 2);
    report(Outcome::Response(200));
    assert_eq!(looked.get(), 2);
}

#[test]
fn share_of_failures_ejects() {
    let rate = FailureRate {
        percent: 50,
        requests: 4,
        window: SECOND * 10,
    };
    let policy = Ejection {
        rate: Some(rate),
        failures: None,
        ..policy(1, &FailureKind::ALL)
    };
    let health = Health::default();
    let now = health.began;
    let report = |outcome| health.report_to(&policy, outcome, || now, |_| Some(()));
    for outcome in [Outcome::Reset, Outcome::Reset, Outcome::Response(200)] {
        assert_eq!(report(outcome), None);
    }
    let Some(HealthChange::Ejected { cause, .. }) = report(Outcome::Reset) else {
        panic!("three of four have failed");
    };
    assert_eq!(cause.to_string(), "too many failures, the last: connection reset");
}

#[test]
fn endpoint_is_not_ejected_without_a_place() {
    let policy = policy(1, &FailureKind::ALL);
    let health = Health::default();
    let now = health.began;
    let report = |has_place: bool| {
        let place = move |_| has_place.then_some(());
        health.report_to(&policy, Outcome::Reset, || now, place)
    };
    assert_eq!(report(false), None);
    assert!(health.is_available(now));
    assert!(report(true).is_some());
    assert!(!health.is_available(now));
}

#[test]
fn workers_that_report_at_once_lose_no_failure() {
    for _ in 0..200 {
        let policy = policy(8, &FailureKind::ALL);
        let health = Health::default();
        let now = health.began;
        let ejected = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..2 {
                        let change = health.report_to(&policy, Outcome::Reset, || now, |_| Some(()));
                        ejected.fetch_add(u32::from(change.is_some()), Ordering::Relaxed);
                    }
                });
            }
        });
        assert!(health.is_ejected(now));
        assert_eq!(ejected.load(Ordering::Relaxed), 1);
    }
}

#[test]
fn failed_check_makes_unavailable_and_passed_ones_available() {
    let health = Health::default();
    let thresholds = Thresholds {
        unhealthy: 2,
        healthy: 2,
    };
    let now = health.began + SECOND;
    let record =
        |result: Result<(), &str>| health.record_check(result.map_err(str::to_owned), thresholds, now);
    assert_eq!(record(Ok(())), None, "it counted as healthy before");
    assert_eq!(record(Err("status 500")), None);
    assert!(health.is_available(now));
    assert_eq!(record(Err("status 503")), Some(false));
    assert!(!health.is_available(now));
    let status = health.status(now, false);
    assert_eq!(
        (status.state, &*status.reason, status.since),
        (EndpointState::Down, "check failed: status 503", now)
    );
    assert_eq!(health.available_since(), None);
    assert_eq!((record(Ok(())), record(Ok(()))), (None, Some(true)));
    assert!(health.is_available(now));
    assert_eq!(health.available_since(), Some(now));
}

#[test]
fn endpoint_may_count_as_down_until_its_first_check() {
    let thresholds = Thresholds {
        unhealthy: 3,
        healthy: 3,
    };
    for is_new in [false, true] {
        let health = Health::default();
        let now = health.began + SECOND;
        if is_new {
            health.set_new(health.began);
        }
        health.await_check();
        assert!(!health.is_available(now));
        assert_eq!(health.status(now, false).state, EndpointState::Unknown);
        assert_eq!(health.record_check(Ok(()), thresholds, now), Some(true));
        assert!(health.is_available(now));
        assert_eq!(health.available_since(), is_new.then_some(now));
    }
}

#[test]
fn drain_outlasts_everything_else() {
    let health = Health::default();
    let now = health.began + SECOND;
    assert!(health.set_drained(true, now) && !health.set_drained(true, now));
    health.report(Outcome::ConnectFailed, || now);
    assert!(!health.is_available(now + EJECTION));
    assert_eq!(health.status(now, true).state, EndpointState::Drained);
    assert!(health.set_drained(false, now));
    assert_eq!(health.status(now, true).state, EndpointState::Ejected);
    assert!(health.is_available(now + EJECTION));
}

#[test]
fn reason_of_an_endpoint_that_stays_down_is_its_last_failed_check() {
    let health = Health::default();
    let now = health.began;
    let thresholds = Thresholds {
        unhealthy: 2,
        healthy: 2,
    };
    let record = |result: Result<(), &str>, at| {
        let changed = health.record_check(result.map_err(str::to_owned), thresholds, at);
        let status = health.status(at, false);
        (changed, status.reason, status.since)
    };
    let down = |why: &str| format!("check failed: {why}");
    let later = now + SECOND;
    assert_eq!(record(Err("timeout"), now), (Some(false), down("timeout"), now));
    assert_eq!(
        record(Err("connection refused"), later),
        (None, down("connection refused"), now)
    );
    assert_eq!(record(Ok(()), later), (None, down("connection refused"), now));
    assert_eq!(record(Err("timeout"), later), (None, down("timeout"), now));
    assert_eq!(record(Ok(()), later).0, None);
    assert_eq!(record(Ok(()), later), (Some(true), String::new(), later));
    assert_eq!(record(Err("timeout"), later), (None, String::new(), later));
}

#[test]
fn health_changes_hands() {
    let policy = policy(1, &FailureKind::ALL);
    let old = Health::default();
    let now = old.began;
    old.report_to(&policy, Outcome::Timeout, || now, |_| Some(()));
    let thresholds = Thresholds {
        unhealthy: 1,
        healthy: 1,
    };
    old.record_check(Err("timeout".to_owned()), thresholds, now);
    let known = old.snapshot(now + SECOND);
    assert_eq!(known.ejected_for, Some(policy.duration - SECOND));
    let new = Health::default();
    let later = new.began;
    new.restore(&known, later);
    assert_eq!(new.snapshot(later), known);
    assert_eq!(new.status(later, false).reason, "check failed: timeout");
    assert_eq!(new.record_check(Ok(()), thresholds, later), Some(true));
    let back = later + policy.duration - SECOND;
    assert!(!new.is_available(later) && new.is_available(back));
    let change = new.report_to(&policy, Outcome::Timeout, || back, |_| Some(()));
    assert!(
        matches!(change, Some(HealthChange::Ejected { duration, .. }) if duration == policy.duration * 2),
        "the second in a row"
    );
    let fresh = Health::default();
    fresh.restore(&HealthSnapshot::default(), later);
    assert!(fresh.is_available(later) && fresh.snapshot(later).is_empty());
}
