//! A fleet of 1,000 gateways with 100,000 routes: the requests, events and bytes at the store, and the time until all have
//! a change. The figures are in docs/fleet.md.
//!
//! Records, transactions and pace are the real ones, so requests, events and bytes are exact. Times follow from what a
//! member is taken to do in a second, which is stated here.

use std::time::Duration;

use waypost_fleet::config::Texts;
use waypost_fleet::pace::report_after;
use waypost_fleet::record::Record as _;
use waypost_fleet::record::instance::InstanceRecord;
use waypost_fleet::store::{Change, StoreRevision, Transaction};

use crate::promises::{World, apply, dial, draft, key, texts};

const INSTANCES: usize = 1000;
const ROUTES: usize = 100_000;
const MEMBERS: usize = 3;

/// Events that a member sends in a second.
const EVENTS_A_SECOND: f64 = 50_000.0;
/// Bytes that a member sends in a second: a link of a gigabit.
const BYTES_A_SECOND: f64 = 125e6;
/// Time to agree on a transaction.
const AGREE: Duration = Duration::from_millis(25);
/// Time on the way, there and back.
const WAY: Duration = Duration::from_millis(2);
/// Bytes around an event: the header of a response, revisions and lengths.
const EVENT_BYTES: usize = 64;

/// The cost of a change for the store.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Cost {
    /// Requests, each of them a transaction.
    requests: usize,
    /// Bytes of these.
    written: usize,
    /// Events to all gateways.
    events: usize,
    /// Bytes to all gateways.
    sent: usize,
    /// The time until the last gateway has it.
    all_have_it: Duration,
}

/// A gateway as the store sees it.
fn instance(number: usize, revision: u64, obeys: StoreRevision) -> InstanceRecord {
    InstanceRecord {
        admin: Some(format!("https://10.0.{}.{}:9901", number / 250, number % 250)),
        version: "0.1.0".to_owned(),
        host: Some(format!("gateway-{number}.example.internal")),
        pid: Some(4711),
        started: draft().time,
        revision: Some(revision),
        since: Some(draft().time),
        obeys,
        canary: None,
        healthy: true,
        unhealthy: None,
        errors: Vec::new(),
    }
}

fn id(number: usize) -> String {
    format!("gateway-{number}.example.internal-4711")
}

/// A config of all routes in so many texts. The routes of the first so many of these have a timeout.
fn config(files: usize, changed: usize) -> Texts {
    let each = ROUTES / files;
    let mut names_and_texts = Vec::new();
    for file in 0..files {
        let timeout = if file < changed { ", timeout: 5s" } else { "" };
        let mut text = String::from("routes:\n");
        for number in file * each..(file + 1) * each {
            text.push_str(&format!(
                "  - {{ name: r{number}, match: {{ host: h{number}.example.com, path: /* }}, to: s{}{timeout} }}\n",
                number % 1000
            ));
        }
        names_and_texts.push((format!("routes-{file:02}.yaml"), text));
    }
    let borrowed: Vec<(&str, &str)> = names_and_texts
        .iter()
        .map(|(name, text)| (&**name, &**text))
        .collect();
    texts(&borrowed)
}

/// Applies a config, and counts what that costs.
fn applied(world: &mut World, texts: Texts) -> Cost {
    let view = world.view();
    let proposal = world.plan(&view, apply(texts)).unwrap();
    let transactions: Vec<Transaction> = proposal.parts.into_iter().chain([proposal.main]).collect();
    cost(world, &transactions)
}

/// Carries transactions out, and counts what they cost.
fn cost(world: &mut World, transactions: &[Transaction]) -> Cost {
    let mut cost = Cost {
        requests: 0,
        written: 0,
        events: 0,
        sent: 0,
        all_have_it: Duration::ZERO,
    };
    for transaction in transactions {
        assert!(world.store.commit(transaction));
        let at = world.store.at();
        let changes = world.store.changes(at);
        let bytes = changes.iter().map(|change| match change {
            Change::Put(entry) => entry.key.len() + entry.value.len() + EVENT_BYTES,
            Change::Delete(key) => key.len() + EVENT_BYTES,
        });
        cost.requests += 1;
        cost.written += transaction.bytes();
        cost.events += changes.len() * INSTANCES;
        cost.sent += bytes.sum::<usize>() * INSTANCES;
        cost.all_have_it += AGREE;
    }
    let (events, bytes) = (cost.events / MEMBERS, cost.sent / MEMBERS);
    cost.all_have_it += WAY + sending(events, bytes);
    cost
}

/// The time that a member takes to send so much.
fn sending(events: usize, bytes: usize) -> Duration {
    Duration::from_secs_f64((events as f64 / EVENTS_A_SECOND).max(bytes as f64 / BYTES_A_SECOND))
}

/// A number of bytes as the docs have it.
fn bytes(bytes: usize) -> String {
    match bytes {
        0..1000 => format!("{bytes} B"),
        1000..1_000_000 => format!("{} kB", bytes / 1000),
        1_000_000..1_000_000_000 => format!("{} MB", bytes / 1_000_000),
        _ => format!("{} GB", bytes / 1_000_000_000),
    }
}

/// A line of the table in the docs.
fn line(change: &str, cost: &Cost) -> String {
    let time = match cost.all_have_it.as_millis() {
        time @ 0..1000 => format!("{time} ms"),
        time => format!("{} s", time / 1000),
    };
    format!(
        "| {change} | {} | {} | {} | {} | {time} |",
        cost.requests,
        bytes(cost.written),
        cost.events,
        bytes(cost.sent)
    )
}

#[test]
fn dial_reaches_a_thousand_gateways_within_a_second() {
    let mut world = World::new();
    for number in 0..INSTANCES {
        let record = instance(number, 1, StoreRevision(1));
        world
            .store
            .put(&key(&format!("instances/{}", id(number))), record.to_value());
    }

    // All of a config goes to each gateway once, not twice: the revision refers to the same texts.
    applied(&mut world, config(1, 0));
    let whole = applied(&mut world, config(1, 1));
    let size: usize = config(1, 1).values().map(|text| text.len()).sum();
    assert!(whole.sent < (size + (16 << 10)) * INSTANCES, "{whole:?}");
    assert!(whole.all_have_it < Duration::from_secs(60), "{whole:?}");

    // Of a config in several texts, those that changed do.
    applied(&mut world, config(100, 0));
    let text = applied(&mut world, config(100, 1));
    assert!(text.sent < 3 * size / 100 * INSTANCES, "{text:?}");
    assert!(text.all_have_it < Duration::from_secs(2), "{text:?}");

    let view = world.view();
    let proposal = world.plan(&view, dial("r5", 5)).unwrap();
    let turn = cost(&mut world, &[proposal.main]);
    assert_eq!((turn.requests, turn.events), (1, INSTANCES));
    assert!(turn.sent < 1024 * INSTANCES, "{turn:?}");

    // What instances report of themselves afterwards is spread, so it never fills a member's second.
    let mut by_second = [0_usize; 20];
    let mut largest = 0;
    for number in 0..INSTANCES {
        let second = report_after(INSTANCES, &id(number)).as_secs();
        by_second[usize::try_from(second).unwrap()] += 1;
        let record = instance(number, 2, world.store.at());
        largest = largest.max(key(&format!("instances/{}", id(number))).len() + record.to_value().len());
    }
    let reports = by_second.iter().copied().max().unwrap();
    let each_second = Cost {
        requests: reports,
        written: reports * largest,
        events: reports * INSTANCES,
        sent: reports * (largest + EVENT_BYTES) * INSTANCES,
        all_have_it: sending(
            reports * INSTANCES / MEMBERS,
            reports * (largest + EVENT_BYTES) * INSTANCES / MEMBERS,
        ),
    };
    assert!(
        each_second.all_have_it < Duration::from_millis(600),
        "{each_second:?}"
    );
    // A dial waits at worst until a second's reports are sent.
    let worst = turn.all_have_it + each_second.all_have_it;
    assert!(worst < Duration::from_secs(1), "{worst:?}");

    let docs = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/fleet.md")).unwrap();
    for line in [
        line("a dial", &turn),
        line("`apply` that changes one of 100 texts", &text),
        line("`apply` that changes the only text, of all routes", &whole),
        line("a second of reports after a change", &each_second),
    ] {
        assert!(docs.contains(&line), "docs/fleet.md has not: {line}");
    }
}
