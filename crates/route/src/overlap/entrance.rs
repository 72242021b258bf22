//! Entrances: the ways by which requests come in.

use hashbrown::HashSet;

use crate::alternative::Alternative;
use crate::attribute::{Attribute, AttributeCondition};
use crate::host::HostPattern;

/// A listener, with a scheme that its clients may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entrance {
    /// The listener.
    pub listener: Box<str>,
    /// `http` or `https`.
    pub scheme: &'static str,
    /// Hosts to which requests come in here; empty for every host.
    pub hosts: Vec<HostPattern>,
    /// True if every request for one of the hosts can come in here, without a proxy that says so.
    pub is_plain: bool,
    /// True if a request for one of the hosts comes in by another listener, unless it names this one.
    pub needs_name: bool,
    /// The same for a request without host, which has no URL to say its scheme.
    pub needs_name_without_host: bool,
}

impl Entrance {
    /// Returns true if requests for `host` come in here.
    pub(super) fn serves(&self, host: Option<&str>) -> bool {
        let host = host.map(str::as_bytes);
        self.hosts.is_empty() || self.hosts.iter().any(|pattern| pattern.covers(host))
    }

    /// Returns true if requests for some host of `pattern` come in here.
    pub(super) fn overlaps(&self, pattern: &HostPattern) -> bool {
        self.hosts.is_empty() || self.hosts.iter().any(|host| host.overlaps(pattern))
    }

    /// Returns true if the conditions of `alternative` on listener and scheme hold here.
    pub(super) fn fulfils(&self, alternative: &Alternative) -> bool {
        conditions(alternative).all(|condition| {
            let value = match condition.attribute {
                Attribute::Listener => &*self.listener,
                _ => self.scheme,
            };
            condition.value.holds(Some(value.as_bytes()))
        })
    }

    /// The attributes of a request that comes in here.
    pub(super) fn attributes(&self) -> [(Attribute, Vec<u8>); 2] {
        [
            (Attribute::Listener, self.listener.as_bytes().to_vec()),
            (Attribute::Scheme, self.scheme.as_bytes().to_vec()),
        ]
    }
}

/// The entrances that represent all others, if nothing is known about them: every listener that is named, and one more.
pub(super) fn of_conditions<'a>(alternatives: impl Iterator<Item = &'a Alternative>) -> Vec<Entrance> {
    let mut names: Vec<Box<str>> = Vec::new();
    let mut seen: HashSet<Box<str>> = HashSet::new();
    for condition in alternatives.flat_map(conditions) {
        let texts = match condition.attribute {
            Attribute::Listener => condition.value.texts(),
            _ => &[],
        };
        names.extend(texts.iter().filter(|text| seen.insert((*text).clone())).cloned());
    }
    let mut other = "other".to_owned();
    while seen.contains(&*other) {
        other.push('x');
    }
    names.insert(0, other.into());
    let entrances = names.into_iter().flat_map(|listener| {
        ["http", "https"].map(|scheme| Entrance {
            listener: listener.clone(),
            scheme,
            hosts: Vec::new(),
            is_plain: true,
            needs_name: false,
            needs_name_without_host: false,
        })
    });
    entrances.collect()
}

/// Returns true if `alternative` has a condition on listener or scheme.
pub(super) fn matters_to(alternative: &Alternative) -> bool {
    conditions(alternative).next().is_some()
}

fn conditions(alternative: &Alternative) -> impl Iterator<Item = &AttributeCondition> {
    let attributes = alternative.attributes.iter();
    attributes.filter(|condition| condition.attribute.is_entrance())
}
