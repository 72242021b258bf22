//! Pictures for tests.

use std::collections::BTreeMap;
use std::time::Instant;

use waypost_admin::access::Role;
use waypost_admin::api::lately::SparklineView;
use waypost_admin::api::routes::detail::InForce;
use waypost_admin::api::routes::{RouteDetail, RouteView};
use waypost_admin::api::status::Status;
use waypost_admin::api::timeline::{SeriesView, TimelineView};
use waypost_admin::api::whoami::ClientView;
use waypost_admin::canary::{CanaryInstance, CanaryStage, CanaryState, CanaryView};
use waypost_admin::command::ArmView;
use waypost_admin::events::marks::Mark;
use waypost_admin::fleet::FleetStatus;
use waypost_admin::reasons::{Reason, Severity, Word};
use waypost_admin::report::StateReport;
use waypost_admin::stats::{ArmStats, RouteStats};

use super::model::{App, Listing, Picture, RoutePicture, Row};

/// The end of the figures, in seconds since the Unix epoch.
pub(super) const NEXT: u64 = 1_800_000_000;

pub(super) fn status() -> Status {
    Status {
        ok: true,
        health: "ok".to_owned(),
        word: Word::Healthy,
        reasons: Vec::new(),
        version: "0.1.0".to_owned(),
        pid: 7,
        started: jiff::Timestamp::UNIX_EPOCH,
        uptime_seconds: 7_500,
        revision: 3,
        config: "/etc/waypost/waypost.yaml".to_owned(),
        draining: false,
        listeners: Vec::new(),
        routes: 4,
        services: 3,
        workers: 2,
        connections: 12,
        dialed: Vec::new(),
        rollouts: Vec::new(),
        failed_load: None,
        stale_files: Vec::new(),
        key_sets: Vec::new(),
        orders: Vec::new(),
        pending: None,
        upgrading: false,
        failed_upgrade: None,
        state: StateReport {
            directory: "/var/lib/waypost".to_owned(),
            writable: true,
            ..StateReport::default()
        },
        fleet: None,
        access_log_lost: 0,
    }
}

/// A fleet of three instances, one of which tries a config.
pub(super) fn fleet() -> FleetStatus {
    FleetStatus {
        prefix: "/waypost/prod".to_owned(),
        instance: "gw-1".to_owned(),
        leader: Some("gw-1".to_owned()),
        instances: 3,
        available: true,
        away_since: None,
        why: None,
        cached: false,
        store_revision: 7,
        canary: Some(CanaryView {
            id: "c".to_owned(),
            stage: CanaryStage::Holding,
            instances: vec![CanaryInstance {
                id: "gw-1".to_owned(),
                state: Some(CanaryState::Healthy),
                why: None,
            }],
            hold_ms: 60_000,
            time: jiff::Timestamp::UNIX_EPOCH,
            by: None,
            summary: "1 route changed".to_owned(),
            revision: None,
            why: None,
        }),
        troubles: Vec::new(),
        hints: Vec::new(),
    }
}

pub(super) fn arms(weights: &[(&str, u64, u64)]) -> Vec<ArmView> {
    let arms = weights.iter().map(|(service, declared, live)| ArmView {
        service: (*service).to_owned(),
        declared: *declared,
        live: *live,
    });
    arms.collect()
}

/// A route with this many requests and failures in the last minute.
pub(super) fn row(name: &str, requests: u64, failures: u64) -> Row {
    Row {
        name: name.to_owned(),
        action: "forward".to_owned(),
        matches: vec![format!("api.example.com /{name}/*")],
        arms: arms(&[(&format!("{name}-v1"), 95, 95), (&format!("{name}-v2"), 5, 5)]),
        requests,
        failures,
        refused: requests / 50,
        rate: requests as f64 / 60.0,
        p99_ms: (requests > 0).then_some(12.3),
        reason: (failures > 50).then(|| failing(name, requests, failures)),
        rollout: None,
        history: Some(SparklineView {
            begin: NEXT - 600,
            step_seconds: 10,
            requests: (0..60).collect(),
            failures: vec![0; 60],
        }),
    }
}

/// The reason of a route whose second service fails, for all but one of the failures.
pub(super) fn failing(name: &str, requests: u64, failures: u64) -> Reason {
    let (half, v2) = (requests / 2, failures - 1);
    Reason {
        severity: Severity::Warning,
        kind: "route".to_owned(),
        name: Some(name.to_owned()),
        service: Some(format!("{name}-v2")),
        past: false,
        message: format!(
            "route `{name}`: {failures} of {requests} requests failed in the last 60 s: {v2} of {half} at `{name}-v2`, 1 of \
             {half} at `{name}-v1`"
        ),
    }
}

pub(super) fn arm(service: &str, requests: u64, failures: u64) -> ArmStats {
    let share = failures as f64 / requests.max(1) as f64;
    let margin = 1.0 / (requests.max(1) as f64).sqrt();
    ArmStats {
        service: service.to_owned(),
        weight: Some(5),
        requests,
        rate: requests as f64 / 60.0,
        classes: BTreeMap::from([
            ("2xx".to_owned(), requests - failures),
            ("5xx".to_owned(), failures),
        ]),
        errors: failures,
        error_share: share,
        error_interval: ((share - margin).max(0.0), (share + margin).min(1.0)),
        p50_ms: (requests > 0).then_some(1.2),
        p90_ms: (requests > 0).then_some(4.5),
        p99_ms: (requests > 0).then_some(12.3),
        ..ArmStats::default()
    }
}

/// Figures of ten minutes, which rise.
pub(super) fn timeline(route: Option<&str>, services: &[Option<&str>]) -> TimelineView {
    let series = |service: &Option<&str>| SeriesView {
        service: service.map(str::to_owned),
        requests: (0..600).map(|second| Some(second / 60)).collect(),
        failures: (0..600).map(|second| Some(u32::from(second > 540) * 2)).collect(),
        refused: (0..600).map(|second| Some(u32::from(second > 570))).collect(),
        p50_ms: (0..600).map(|second| Some(f64::from(second % 7))).collect(),
        p99_ms: (0..600)
            .map(|second| Some(f64::from(second % 11) + 1.0))
            .collect(),
        durations: None,
    };
    TimelineView {
        route: route.map(str::to_owned),
        step_seconds: 1,
        begin: NEXT - 600,
        next: NEXT,
        series: services.iter().map(series).collect(),
        instances: 1,
        ..TimelineView::default()
    }
}

fn mark(seconds: u64, event: &str, route: Option<&str>, text: &str) -> Mark {
    Mark {
        time: jiff::Timestamp::from_second(i64::try_from(NEXT - seconds).unwrap()).unwrap(),
        event: event.to_owned(),
        route: route.map(str::to_owned),
        service: None,
        text: text.to_owned(),
    }
}

/// The route `users` with two arms, the second of which fails.
pub(super) fn route() -> RoutePicture {
    RoutePicture {
        detail: RouteDetail {
            route: RouteView {
                name: "users".to_owned(),
                action: "forward".to_owned(),
                matches: vec!["api.example.com /users/*".to_owned()],
                arms: arms(&[("users-v1", 95, 75), ("users-v2", 5, 25)]),
                uses: Vec::new(),
                sticky: None,
                deal: None,
                mirror: None,
                timeout: None,
                retry: None,
                hedge: None,
                rollout: None,
            },
            turns: Vec::new(),
            in_force: InForce {
                response: None,
                policies: Vec::new(),
                by_listener: Vec::new(),
                plan: None,
            },
        },
        stats: RouteStats {
            route: "users".to_owned(),
            rollout: None,
            arms: vec![arm("users-v1", 4_500, 2), arm("users-v2", 1_500, 300)],
        },
        history: timeline(Some("users"), &[None, Some("users-v1"), Some("users-v2")]),
        rollout: None,
        failures: Vec::new(),
    }
}

/// A gateway with four routes, one of which fails.
pub(super) fn app() -> App {
    let mut respond = row("health", 60, 0);
    respond.action = "respond".to_owned();
    respond.arms = Vec::new();
    let mut users = row("users", 600, 126);
    users.arms[1].live = 25;
    users.arms[0].live = 75;
    users.rollout = Some("step 2 of 4: 25 %".to_owned());
    let picture = Picture {
        status: Status {
            word: Word::Degraded,
            reasons: users.reason.iter().cloned().collect(),
            ..status()
        },
        client: ClientView {
            name: "local".to_owned(),
            role: Role::Write,
        },
        whole: timeline(None, &[None]),
        changes: vec![
            mark(5, "dial", Some("users"), "users-v1 75, users-v2 25 by anna"),
            mark(3_700, "applied", None, "revision 3 from file: 1 route changed"),
        ],
        listing: Listing {
            search: String::new(),
            missing: Vec::new(),
            rows: vec![
                users,
                row("orders", 1_200, 0),
                respond,
                row(
                    "a-route-with-a-name-that-is-longer-than-any-column-of-a-small-terminal",
                    0,
                    0,
                ),
            ],
            matching: 4,
            trouble: None,
        },
        route: None,
        every_seconds: 2.0,
    };
    App::new(
        "http://127.0.0.1:9900".to_owned(),
        String::new(),
        picture,
        Instant::now(),
    )
}
