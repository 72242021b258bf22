//! Changes of many rollouts and dials, in portions that fit a transaction each.
//!
//! A thousand rollouts may come to a step in the same second. Each happens as a whole, with the dials that it turns; that two
//! of them happen at once is of no use. Everything else is left together.

use serde_json::Value;
use waypost_fleet::proposal::State;
use waypost_fleet::record::Record as _;
use waypost_fleet::record::dial::DialRecord;
use waypost_fleet::store::{OPERATIONS_MAX, TRANSACTION_BYTES_MAX};

/// The most keys in a portion: each is compared and written, and the right to do so is compared too.
const KEYS_MAX: usize = OPERATIONS_MAX - 8;

/// The most bytes of rollouts in a portion.
const BYTES_MAX: usize = TRANSACTION_BYTES_MAX / 2;

/// The most bytes of dials that end with a config, in its transaction.
const ENDED_BYTES_MAX: usize = 128 << 10;

/// The keys that a transaction with a config compares beside its texts and what changes along.
const RESERVED: usize = 8;

/// The changes in portions, in an order in which they may be stored.
pub(super) fn of(mut changes: State) -> Vec<State> {
    let mut portions = Vec::new();
    let mut portion = State::default();
    let (mut keys, mut bytes) = (0, 0);
    for (lead, rollout) in std::mem::take(&mut changes.rollouts) {
        let dials = dials_of(rollout.as_ref(), &mut changes);
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

/// The changes in portions, also those that belong to no rollout.
pub(super) fn small(changes: State) -> Vec<State> {
    let mut portions = of(changes);
    // Only the last one has changes without a rollout.
    let Some(rest) = portions.pop_if(|last| last.rollouts.is_empty()) else {
        return portions;
    };
    let mut portion = State {
        certificates: rest.certificates,
        ..State::default()
    };
    let (mut keys, mut bytes) = (portion.certificates.len(), 0);
    for (route, dial) in rest.dials {
        let size = bytes_of(dial.as_ref());
        if keys >= KEYS_MAX || bytes + size > BYTES_MAX {
            portions.push(std::mem::take(&mut portion));
            (keys, bytes) = (0, 0);
        }
        (keys, bytes) = (keys + 1, bytes + size);
        portion.dials.insert(route, dial);
    }
    for (name, drain) in rest.drains {
        if keys >= KEYS_MAX {
            portions.push(std::mem::take(&mut portion));
            keys = 0;
        }
        keys += 1;
        portion.drains.insert(name, drain);
    }
    portions.push(portion);
    portions
}

fn bytes_of(dial: Option<&DialRecord>) -> usize {
    dial.map_or(0, |dial| dial.to_value().len())
}

/// The rollouts of a portion each by itself, and the rest.
pub(super) fn apart(mut changes: State) -> Vec<State> {
    let mut portions = Vec::new();
    for (lead, rollout) in std::mem::take(&mut changes.rollouts) {
        let dials = dials_of(rollout.as_ref(), &mut changes);
        portions.push(State {
            dials: dials.into_iter().collect(),
            rollouts: [(lead, rollout)].into(),
            ..State::default()
        });
    }
    if changes != State::default() {
        portions.push(changes);
    }
    portions
}

/// The changes that are made in one transaction with a config of so many texts, before and after. Dials and drains that end
/// with it hold no more in any case: those that do not fit are swept later.
pub(super) fn with_config(mut changes: State, texts: usize) -> State {
    let mut portion = State::default();
    for (lead, rollout) in std::mem::take(&mut changes.rollouts) {
        portion.dials.extend(dials_of(rollout.as_ref(), &mut changes));
        portion.rollouts.insert(lead, rollout);
    }
    let used = texts + portion.dials.len() + portion.rollouts.len() + RESERVED;
    let mut room = OPERATIONS_MAX.saturating_sub(used);
    let mut bytes = ENDED_BYTES_MAX;
    // Those that go on first: they are dials of rollouts under way, in the words of the new config.
    let (on, ended): (Vec<_>, Vec<_>) = std::mem::take(&mut changes.dials)
        .into_iter()
        .partition(|(_, dial)| dial.as_ref().is_some_and(|dial| dial.live.is_some()));
    for (route, dial) in on.into_iter().chain(ended) {
        let size = bytes_of(dial.as_ref());
        if room > 0 && size <= bytes {
            (room, bytes) = (room - 1, bytes - size);
            portion.dials.insert(route, dial);
        }
    }
    portion.drains.extend(changes.drains.into_iter().take(room));
    portion.certificates.append(&mut changes.certificates);
    portion
}

/// Takes the dials that a rollout turns out of the changes.
fn dials_of(rollout: Option<&Value>, changes: &mut State) -> Vec<(String, Option<DialRecord>)> {
    let routes = rollout.and_then(|rollout| rollout["routes"].as_array());
    let routes = routes.into_iter().flatten();
    let routes = routes.filter_map(|route| route["route"].as_str());
    routes
        .filter_map(|route| changes.dials.remove_entry(route))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

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

    #[test]
    fn dials_of_no_rollout_are_stored_in_portions_too_where_they_are_many() {
        for (rollouts, others, expected) in [(0, 0, 0), (3, 5, 1), (0, 120, 1), (0, 300, 3), (20, 300, 4)] {
            let portions = small(changes(rollouts, others));
            assert_eq!(portions.len(), expected, "{rollouts} and {others}");
            let mut all = State::default();
            for mut portion in portions {
                assert!(portion.dials.len() + portion.rollouts.len() <= KEYS_MAX);
                all.dials.append(&mut portion.dials);
                all.rollouts.append(&mut portion.rollouts);
            }
            assert_eq!(all, changes(rollouts, others));
        }
    }

    #[test]
    fn rollouts_of_a_portion_can_be_stored_each_by_itself() {
        let portions = apart(changes(3, 2));
        let sizes = portions
            .iter()
            .map(|portion| (portion.rollouts.len(), portion.dials.len()));
        assert_eq!(sizes.collect::<Vec<_>>(), [(1, 1), (1, 1), (1, 1), (0, 2)]);
        assert_eq!(apart(changes(1, 0)), [changes(1, 0)]);
    }

    #[test]
    fn dials_that_end_with_a_config_are_written_with_it_as_far_as_there_is_room() {
        for (rollouts, others, texts, expected) in [
            (0, 10, 1, 10),
            (0, 300, 1, OPERATIONS_MAX - RESERVED - 1),
            (0, 300, 100, 20),
            (5, 300, 100, 10),
            (0, 300, 200, 0),
        ] {
            let portion = with_config(changes(rollouts, others), texts);
            let ended = portion.dials.len() - portion.rollouts.len();
            assert_eq!((portion.rollouts.len(), ended), (rollouts, expected));
        }
        // The dial of a rollout that goes on comes first.
        let mut many = changes(0, 300);
        let mut going_on = many.dials["other0000"].clone().unwrap();
        going_on.live = Some(vec![("a".to_owned(), 1)]);
        many.dials.insert("z".to_owned(), Some(going_on));
        assert!(with_config(many, 100).dials.contains_key("z"));
    }
}
