//! Deals: routes whose sticky splits assign clients alike.

use std::collections::HashMap;

use waypost_plan::sticky::StickyKey;

use crate::diagnostic::Code;
use crate::document;
use crate::keys::At;
use crate::lower::split;
use crate::place::Span;
use crate::problems::{Problems, quote};
use crate::values::Text;

/// The routes of all deals.
#[derive(Default)]
pub(super) struct Deals {
    /// The first route of each deal.
    first: HashMap<Text, Member>,
    /// The others, each with its deal.
    others: Vec<(Text, Member)>,
}

/// A route of a deal.
struct Member {
    /// Place of the deal's name.
    span: Span,
    key: StickyKey,
    services: Vec<Text>,
}

impl Deals {
    /// Adds a route to its deal.
    pub(super) fn add(&mut self, deal: &At<Text>, key: &StickyKey, route: &document::route::Route) {
        let Some(to) = &route.to else { return };
        let member = Member {
            span: deal.span,
            key: key.clone(),
            services: split::names(&to.value),
        };
        if self.first.contains_key(&deal.value) {
            self.others.push((deal.value.clone(), member));
        } else {
            self.first.insert(deal.value.clone(), member);
        }
    }

    /// The services of each route of a deal, in the order of its split.
    pub(super) fn services<'d>(&'d self, deal: &'d Text) -> impl Iterator<Item = &'d [Text]> {
        let others = self.others.iter().filter(move |(of, _)| of == deal);
        let members = self
            .first
            .get(deal)
            .into_iter()
            .chain(others.map(|(_, member)| member));
        members.map(|member| &*member.services)
    }

    /// Warns of routes that cannot agree with the first one of their deal.
    pub(super) fn report_uneven(&self, problems: &mut Problems) {
        if problems.has_errors() {
            return;
        }
        for (deal, member) in &self.others {
            let Some(first) = self.first.get(deal) else {
                continue;
            };
            let name = quote(deal);
            if member.services.len() != first.services.len() {
                problems
                    .add(
                        Code::UnevenDeal,
                        member.span,
                        format!(
                            "the routes of the deal {name} have splits of {} and of {}, so one dial cannot turn them",
                            count(first.services.len()),
                            count(member.services.len())
                        ),
                    )
                    .label(first.span, "the other one")
                    .help("give each route as many services, in the same order; weight 0 is allowed");
            }
            if let Some(difference) = difference(&first.key, &member.key) {
                problems
                    .add(
                        Code::UnevenDeal,
                        member.span,
                        format!("the routes of the deal {name} do not agree: they {difference}"),
                    )
                    .label(first.span, "the other one")
                    .help("give both the same `header`, `cookie` or `client_ip`");
            }
        }
    }
}

fn count(arms: usize) -> String {
    match arms {
        1 => "1 service".to_owned(),
        _ => format!("{arms} services"),
    }
}

/// Returns the reason for which one client can have two values.
fn difference(one: &StickyKey, other: &StickyKey) -> Option<String> {
    match (one, other) {
        (StickyKey::Cookie(one), StickyKey::Cookie(other)) if one.name == other.name => {
            // Browsers keep a cookie for each path and domain.
            let same = (&one.path, &one.domain) == (&other.path, &other.domain);
            (!same).then(|| format!("set the cookie `{}` for different paths or domains", one.name))
        }
        _ if one == other => None,
        _ => Some(format!(
            "know clients by {} and by {}",
            known_by(one),
            known_by(other)
        )),
    }
}

fn known_by(key: &StickyKey) -> String {
    match key {
        StickyKey::Header(name) => format!("the header `{name}`"),
        StickyKey::Cookie(cookie) => format!("the cookie `{}`", cookie.name),
        StickyKey::ClientIp => "their address".to_owned(),
    }
}
