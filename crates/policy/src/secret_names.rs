//! The names under which requests have credentials: those of their places, and those of copies that edits make.

use std::collections::BTreeSet;

use waypost_plan::Plan;
use waypost_plan::auth::{Place, Way};
use waypost_plan::header_edits::HeaderEdits;
use waypost_plan::value::ValueName;
use waypost_wire::field::is_taken_for;

/// The places of credentials in a plan, each once.
pub(crate) struct SecretPlaces<'p>(Vec<&'p Place>);

impl<'p> SecretPlaces<'p> {
    /// The places of all ways in `plan`.
    pub(crate) fn of(plan: &'p Plan) -> Self {
        let mut places: Vec<&Place> = Vec::new();
        for place in plan.auths().flat_map(|auth| &auth.ways).filter_map(Way::place) {
            if !places.contains(&place) {
                places.push(place);
            }
        }
        Self(places)
    }

    /// The query parameters that have credentials.
    pub(crate) fn queries(&self) -> Box<[Box<str>]> {
        let names = self.0.iter().filter_map(|place| match place {
            Place::Query(name) => Some(name.clone()),
            Place::Header(_) | Place::Cookie(_) => None,
        });
        names.collect()
    }

    /// The headers that have credentials, as the client sends them or as services get them.
    pub(crate) fn headers(&self, plan: &Plan) -> Box<[Box<str>]> {
        let mut names: BTreeSet<Box<str>> = BTreeSet::new();
        names.extend(self.0.iter().filter_map(|place| match place {
            Place::Header(name) => Some(name.clone()),
            Place::Query(_) | Place::Cookie(_) => None,
        }));
        if !self.0.is_empty() {
            for (name, value) in plan.request_edits().flat_map(HeaderEdits::lines) {
                if value.names().any(|value| self.are_in(value)) {
                    names.insert(name.to_ascii_lowercase().into());
                }
            }
        }
        names.into_iter().collect()
    }

    /// Returns true if there are credentials in a value of a request.
    pub(crate) fn are_in(&self, value: &ValueName) -> bool {
        self.0.iter().any(|place| match (place, value) {
            (Place::Header(secret), ValueName::Header(name)) => is_taken_for(name.as_bytes(), secret),
            (Place::Cookie(_), ValueName::Header(name)) => **name == *"cookie",
            (Place::Cookie(secret), ValueName::Cookie(name)) => secret == name,
            (Place::Query(secret), ValueName::QueryParameter(name)) => secret == name,
            _ => false,
        })
    }
}
