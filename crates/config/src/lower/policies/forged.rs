//! Edits by which a client could write a header that `auth` writes: they come after it.

use std::collections::HashSet;

use waypost_plan::policies::PolicySet;
use waypost_plan::value::ValueName;

use super::effective::Placed;
use crate::diagnostic::Code;
use crate::place::Span;
use crate::problems::Problems;

/// Warns of edits of requests that put what a client says where services look for what `auth` found out. `warned` has the
/// places that are reported already: a policy has many users.
pub(super) fn report(
    layers: &[Placed<'_>],
    set: &PolicySet,
    warned: &mut HashSet<Span>,
    problems: &mut Problems,
) {
    let Some(auth) = &set.auth else { return };
    let of_auth = layers.iter().rev().find_map(|placed| placed.layer.auth.as_ref());
    for (name, value) in set.request_headers.lines() {
        let Some(chosen) = value.names().find(|name| is_chosen(name)) else {
            continue;
        };
        let mut edits = layers
            .iter()
            .rev()
            .filter_map(|placed| placed.layer.request_headers.as_ref());
        let says = edits.find(|said| {
            let mut lines = said.value.iter().flat_map(|edits| edits.lines());
            lines.any(|(known, _)| known.eq_ignore_ascii_case(name))
        });
        let Some(said) = says.filter(|said| auth.writes(name.as_bytes()) && warned.insert(said.key)) else {
            continue;
        };
        let message = format!(
            "`{name}` is written by `auth`, and this edit, which comes after it, writes `{{{chosen}}}`, which clients choose"
        );
        let mut problem = problems.add(Code::ForgeableHeader, said.key, message);
        if let Some(auth) = of_auth {
            problem = problem.label(auth.key, "who the client is, is found out here");
        }
        problem.help("leave the edit out, or write `{identity}` or a `{claim.NAME}`");
    }
}

/// Returns true for a value that a client chooses freely.
fn is_chosen(name: &ValueName) -> bool {
    matches!(
        name,
        ValueName::Header(_)
            | ValueName::Cookie(_)
            | ValueName::QueryParameter(_)
            | ValueName::Query
            | ValueName::Path
            | ValueName::Parameter(_)
    )
}
