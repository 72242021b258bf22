//! Marks: the changes that a reader of figures wants to see beside them.

use std::collections::VecDeque;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::command::Weight;
use crate::events::{Event, EventKind};

/// Marks that are kept.
const MARKS_MAX: usize = 1024;
/// The memory of all marks.
pub(crate) const BYTES_MAX: usize = 512 << 10;
/// Characters of a text.
const TEXT_MAX: usize = 200;

/// A change of the gateway, of a route or of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Mark {
    /// The time of the change.
    #[schemars(with = "String")]
    pub time: Timestamp,
    /// The event, as `/api/v1/events` names it.
    pub event: String,
    /// The route, of a dial or a rollout.
    pub route: Option<String>,
    /// The service, of an endpoint or a rollout.
    pub service: Option<String>,
    /// The change in one sentence.
    pub text: String,
}

/// The latest marks.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    marks: VecDeque<Mark>,
    bytes: usize,
}

impl Marks {
    /// Adds the mark of an event, or several of one that is about several routes.
    pub(crate) fn add(&mut self, event: &Event) {
        for mark in Mark::of(event) {
            self.bytes += mark.bytes();
            self.marks.push_back(mark);
        }
        while self.marks.len() > MARKS_MAX || self.bytes > BYTES_MAX {
            let first = self.marks.pop_front();
            self.bytes -= first.map_or(0, |mark| mark.bytes());
        }
    }

    /// The marks from a time on, the oldest first.
    pub(crate) fn since(&self, time: Timestamp) -> impl Iterator<Item = &Mark> {
        self.marks.iter().filter(move |mark| mark.time >= time)
    }

    /// The memory that they take.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Mark {
    fn of(event: &Event) -> Vec<Self> {
        let mark = |route: Option<&str>, service: Option<&str>, text: String| Self {
            time: event.time,
            event: event.kind.name().to_owned(),
            route: route.map(str::to_owned),
            service: service.map(str::to_owned),
            text: shortened(text),
        };
        let of_service = |service: &str, text: String| vec![mark(None, Some(service), text)];
        match &event.kind {
            EventKind::Dial { route, after, by, .. } => {
                vec![mark(Some(route), None, format!("{} by {by}", in_words(after)))]
            }
            EventKind::Rollout(rollout) => {
                let change = rollout.change.replace('_', " ");
                let text = format!("{change} at {}: {}", rollout.percent, rollout.summary);
                let routes = rollout.routes.iter();
                routes
                    .map(|route| mark(Some(route), Some(&rollout.canary), text.clone()))
                    .collect()
            }
            EventKind::Applied {
                revision,
                origin,
                summary,
                ..
            } => vec![mark(
                None,
                None,
                format!("revision {revision} from {origin}: {summary}"),
            )],
            EventKind::Upgraded { version, by, .. } => {
                vec![mark(None, None, format!("version {version} took over, by {by}"))]
            }
            EventKind::EndpointEjected {
                service,
                address,
                reason,
                ..
            } => of_service(service, format!("{address} ejected: {reason}")),
            EventKind::EndpointDown {
                service,
                address,
                reason,
            } => of_service(service, format!("{address} down: {reason}")),
            EventKind::EndpointRecovered { service, address } => {
                of_service(service, format!("{address} recovered"))
            }
            EventKind::EndpointUp { service, address } => of_service(service, format!("{address} up")),
            EventKind::EndpointDrained {
                service,
                endpoint,
                by,
            } => of_service(service, format!("{endpoint} drained by {by}")),
            EventKind::EndpointUndrained {
                service,
                endpoint,
                by,
            } => of_service(service, format!("{endpoint} taken back by {by}")),
            EventKind::PanicEntered {
                service,
                available,
                endpoints,
            } => of_service(
                service,
                format!("panic mode: {available} of {endpoints} endpoints available"),
            ),
            EventKind::PanicLeft { service, .. } => of_service(service, "panic mode left".to_owned()),
            EventKind::AddressesChanged {
                service,
                name,
                added,
                removed,
            } => of_service(
                service,
                format!("{name}: {} new addresses, {} gone", added.len(), removed.len()),
            ),
            EventKind::CertificateIssued { hosts, .. } => {
                vec![mark(
                    None,
                    None,
                    format!("a certificate was issued for {}", hosts.join(", ")),
                )]
            }
            EventKind::CertificateFailed { hosts, why, .. } => {
                let failed = format!("no certificate for {}: {why}", hosts.join(", "));
                vec![mark(None, None, failed)]
            }
            EventKind::FleetAway { why } => vec![mark(None, None, format!("etcd is away: {why}"))],
            EventKind::FleetBack => vec![mark(None, None, "etcd is back".to_owned())],
            EventKind::CanaryBegun {
                instances, summary, ..
            } => {
                let tried = format!("tried by {} instances: {summary}", instances.len());
                vec![mark(None, None, tried)]
            }
            EventKind::CanaryPassed { revision, .. } => {
                let passed = format!("revision {revision} is what instances have tried");
                vec![mark(None, None, passed)]
            }
            EventKind::CanaryTakenBack { why, .. } => {
                vec![mark(
                    None,
                    None,
                    format!("what instances tried was taken back: {why}"),
                )]
            }
            EventKind::InstanceLeft { instance } => {
                vec![mark(
                    None,
                    None,
                    format!("instance {instance} has left the fleet"),
                )]
            }
            EventKind::InstanceJoined { instance } => {
                vec![mark(
                    None,
                    None,
                    format!("instance {instance} has come to the fleet"),
                )]
            }
            EventKind::InstanceLeftOut { instance, .. } => {
                vec![mark(
                    None,
                    None,
                    format!("instance {instance} does not say what it has counted"),
                )]
            }
            EventKind::Refused { .. }
            | EventKind::Confirmed { .. }
            | EventKind::UpgradeFailed { .. }
            | EventKind::FleetLeader { .. }
            | EventKind::FleetOutcome { .. } => Vec::new(),
        }
    }

    fn bytes(&self) -> usize {
        let optional = |text: &Option<String>| text.as_ref().map_or(0, String::capacity);
        size_of::<Self>()
            + self.event.capacity()
            + optional(&self.route)
            + optional(&self.service)
            + self.text.capacity()
    }
}

fn in_words(weights: &[Weight]) -> String {
    let weights = weights
        .iter()
        .map(|weight| format!("{} {}", weight.service, weight.weight));
    weights.collect::<Vec<String>>().join(", ")
}

/// The text, cut if it is long.
fn shortened(text: String) -> String {
    match text.char_indices().nth(TEXT_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dial(second: i64, route: &str) -> Event {
        let weight = |service: &str, weight| Weight {
            service: service.to_owned(),
            weight,
        };
        Event {
            time: Timestamp::from_second(second).unwrap(),
            kind: EventKind::Dial {
                route: route.to_owned(),
                before: Vec::new(),
                after: vec![weight("a", 3), weight("b", 1)],
                by: "ann".to_owned(),
            },
        }
    }

    #[test]
    fn marks_say_what_changed() {
        let mut marks = Marks::default();
        marks.add(&dial(1, "r"));
        marks.add(&Event {
            time: Timestamp::from_second(2).unwrap(),
            kind: EventKind::Refused {
                message: "no".to_owned(),
            },
        });
        let all: Vec<&Mark> = marks.since(Timestamp::UNIX_EPOCH).collect();
        let [mark] = all[..] else { panic!("{all:?}") };
        assert_eq!((mark.event.as_str(), mark.route.as_deref()), ("dial", Some("r")));
        assert_eq!(mark.text, "a 3, b 1 by ann");
        assert_eq!(marks.since(Timestamp::from_second(2).unwrap()).count(), 0);
    }

    #[test]
    fn marks_are_bounded() {
        let mut marks = Marks::default();
        for second in 0..3000 {
            marks.add(&dial(second, &"r".repeat(second as usize)));
            assert!(marks.bytes() <= BYTES_MAX && marks.marks.len() <= MARKS_MAX);
        }
        assert_eq!(marks.since(Timestamp::from_second(2999).unwrap()).count(), 1);
        let long = shortened("é".repeat(300));
        assert_eq!(long.chars().count(), TEXT_MAX + 1);
    }
}
