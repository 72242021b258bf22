//! Requests that go to given routes.

use crate::overlap::{Analyzer, Entrance, Verdict, Witness};
use crate::table::Table;

/// Requests that come in by `entrances` and go to the routes whose positions are `wanted`: one for each of their alternatives
/// that a request reaches, and `max` at most.
pub fn requests_to(
    table: &Table,
    entrances: &[Entrance],
    wanted: impl Fn(usize) -> bool,
    max: usize,
) -> Vec<Witness> {
    let mut analyzer = Analyzer::new(table, entrances);
    let mut places: Vec<usize> = (0..analyzer.order.len())
        .filter(|place| wanted(analyzer.position(*place).route))
        .collect();
    places.sort_by_key(|place| analyzer.position(*place));
    let mut found = Vec::new();
    for place in places {
        if found.len() == max {
            break;
        }
        match analyzer.search(&[place], place) {
            Verdict::Witness(witness) => found.push(witness),
            Verdict::Taken { .. } | Verdict::Undecided => {}
            Verdict::Stopped => break,
        }
    }
    found
}
