//! Changes of many rollouts, in portions that fit a transaction each.
//!
//! A thousand rollouts may come to a step in the same second. Each happens as a whole, with the dials that it turns; that two
//! of them happen at once is of no use. Everything else is left together.

use waypost_fleet::proposal::State;
use waypost_fleet::store::{OPERATIONS_MAX, TRANSACTION_BYTES_MAX};

/// The most keys in a portion: each is compared and written, and the right to do so is compared too.
const KEYS_MAX: usize = OPERATIONS_MAX - 8;

/// The most bytes of rollouts in a portion.
const BYTES_MAX: usize = TRANSACTION_BYTES_MAX / 2;

/// The changes in portions, in an order in which they may be stored.
pub(super) fn of(mut changes: State) -> Vec<State> {
    let mut portions = Vec::new();
    let mut portion = State::default();
    let (mut keys, mut bytes) = (0, 0);
    for (lead, rollout) in std::mem::take(&mut changes.rollouts) {
        let routes = rollout.as_ref().and_then(|rollout| rollout["routes"].as_array());
        let routes = routes.into_iter().flatten();
        let routes = routes.filter_map(|route| route["route"].as_str());
        let dials: Vec<_> = routes
            .filter_map(|route| changes.dials.remove_entry(route))
            .collect();
        let size = rollout.as_ref().map_or(0, |rollout| rollout.to_string().len());
        if keys > 0 && (keys + dials.len() >= KEYS_MAX || bytes + size > BYTES_MAX) {
            portions.push(std::mem::take(&mut portion));
            (keys, bytes) = (0, 0);
        }
        keys += dials.len() + 1;
        bytes += size;
        portion.dials.extend(dials);
        portion.rollouts.insert(lead, rollout);
    }
    let rest = changes.dials.len() + changes.drains.len();
    if keys > 0 && keys + rest > KEYS_MAX {
        portions.push(std::mem::take(&mut portion));
    }
    portion.dials.append(&mut changes.dials);
    portion.drains.append(&mut changes.drains);
    portion.certificates.append(&mut changes.certificates);
    if portion != State::default() {
        portions.push(portion);
    }
    portions
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;
    use waypost_fleet::record::dial::DialRecord;

    use super::*;

    fn changes(rollouts: usize, others: usize) -> State {
        let dial = DialRecord {
            declared: Vec::new(),
            live: None,
            by: "ann".to_owned(),
            time: jiff::Timestamp::UNIX_EPOCH,
            write: None,
            turns: Vec::new(),
        };
        let leads = (0..rollouts).map(|number| format!("lead{number:04}"));
        let rollouts: BTreeMap<_, _> = leads
            .map(|lead| (lead.clone(), Some(json!({ "routes": [{ "route": lead }] }))))
            .collect();
        let dialed = (0..others).map(|number| format!("other{number:04}"));
        let dials = rollouts.keys().cloned().chain(dialed);
        State {
            dials: dials.map(|route| (route, Some(dial.clone()))).collect(),
            rollouts,
            ..State::default()
        }
    }

    #[test]
    fn rollouts_are_stored_with_their_dials_in_portions_that_fit() {
        for (rollouts, others, expected) in [
            (0, 0, 0),
            (1, 0, 1),
            (59, 0, 1),
            (60, 3, 2),
            (1000, 0, 17),
            (0, 300, 1),
            (20, 300, 2),
        ] {
            let portions = of(changes(rollouts, others));
            assert_eq!(portions.len(), expected, "{rollouts} and {others}");
            let mut all = State::default();
            for mut portion in portions {
                let keys = portion.dials.len() + portion.rollouts.len();
                assert!(keys <= KEYS_MAX || portion.rollouts.is_empty(), "{keys} keys");
                assert!(
                    portion
                        .rollouts
                        .keys()
                        .all(|lead| portion.dials.contains_key(lead))
                );
                all.dials.append(&mut portion.dials);
                all.rollouts.append(&mut portion.rollouts);
            }
            assert_eq!(all, changes(rollouts, others));
        }
    }
}
