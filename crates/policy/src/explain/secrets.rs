//! Credentials, which no explanation shows.

use std::collections::HashSet;

use waypost_plan::Plan;
use waypost_plan::auth::{Auth, Place, Way};
use waypost_plan::header_edits::HeaderEdits;
use waypost_wire::field::is_taken_for;

use crate::auth::credentials;
use crate::compiled::Compiled;
use crate::secret_names::SecretPlaces;

/// The text in place of a value that is not shown.
const HIDDEN: &str = "(hidden)";

/// The places of credentials in a plan, named as conditions are, in lower case: `header x-api-key`. They are of all routes,
/// so they are collected once for an explanation.
pub(super) struct Places(HashSet<String>);

impl Places {
    pub(super) fn of(plan: &Plan) -> Self {
        let places = plan.auths().flat_map(|auth| &auth.ways).filter_map(Way::place);
        Self(
            places
                .map(|place| place.to_string().to_ascii_lowercase())
                .collect(),
        )
    }

    /// The value that a condition saw, unless there are credentials at that place.
    pub(super) fn shown(&self, condition: &str, saw: Option<String>) -> Option<String> {
        saw.map(|saw| match self.0.contains(&condition.to_ascii_lowercase()) {
            true => HIDDEN.to_owned(),
            false => saw,
        })
    }
}

/// The query without credentials of any place.
pub(super) fn without_in_query(compiled: &Compiled, query: &[u8]) -> String {
    let hidden = || compiled.secret_queries().iter().map(|name| &**name);
    let mut open = Vec::new();
    credentials::write_query(query, hidden, &mut open);
    super::text(&open)
}

/// A URL, or the target of a request, without credentials in its query.
pub(super) fn without_in_url(compiled: &Compiled, url: &str) -> String {
    if compiled.secret_queries().is_empty() {
        return url.to_owned();
    }
    let (url, fragment) = match url.find('#') {
        Some(at) => url.split_at(at),
        None => (url, ""),
    };
    match url.split_once('?') {
        Some((place, query)) => match without_in_query(compiled, query.as_bytes()) {
            open if open.is_empty() => format!("{place}{fragment}"),
            open => format!("{place}?{open}{fragment}"),
        },
        None => format!("{url}{fragment}"),
    }
}

/// Hides the credentials that a service gets.
pub(super) fn hide_in_headers(auth: &Auth, headers: &mut [(String, String)]) {
    let places = || auth.ways.iter().filter_map(Way::place);
    for (name, value) in headers {
        let is_secret = places().any(|place| match place {
            Place::Header(header) => is_taken_for(name.as_bytes(), header),
            Place::Cookie(_) => name.eq_ignore_ascii_case("cookie"),
            Place::Query(_) => false,
        });
        // A service that is asked is shown what lets clients pass.
        let mut sent = auth.ways.iter().filter_map(Way::asked).flat_map(|ask| &ask.send);
        if is_secret || sent.any(|sent| name.eq_ignore_ascii_case(sent)) {
            HIDDEN.clone_into(value);
        }
    }
}

/// Hides headers that edits copy credentials into.
pub(super) fn hide_copies(plan: &Plan, edits: &HeaderEdits, headers: &mut [(String, String)]) {
    let places = SecretPlaces::of(plan);
    for (name, _) in edits
        .lines()
        .filter(|(_, value)| value.names().any(|value| places.are_in(value)))
    {
        let copies = headers
            .iter_mut()
            .filter(|(found, _)| found.eq_ignore_ascii_case(name));
        copies.for_each(|(_, value)| HIDDEN.clone_into(value));
    }
}
