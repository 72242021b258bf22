//! Shared policies need something of the paths of the routes for which they are in force.

use waypost_plan::listener::Listener;
use waypost_route::alternative::Alternative;
use waypost_route::attribute::Attribute;

use super::layer::Layer;
use super::parameters::{ERRORS, Names as TextNames};
use super::{Shared, Uses};
use crate::lower::Context;
use crate::lower::matching::Matching;
use crate::lower::pattern::Pattern;
use crate::place::Span;
use crate::problems::quote;

/// A place outside of a route, whose texts have to fit its paths.
struct Outer<'s> {
    layer: &'s Layer,
    texts: &'s TextNames,
    /// The name of the policy and the place where it is used; `None` for a listener.
    used: Option<(&'s str, Span)>,
}

/// The places that say something for requests of a route, the outermost first.
struct Order<'s> {
    places: Vec<Outer<'s>>,
    /// The number of those that are checked; others are checked without the listener.
    checked: usize,
    /// The paths by which requests come to them.
    patterns: Vec<&'s Pattern>,
}

/// Reports what policies in force need of the paths of a route and do not find there, and their names that mean something
/// else there. Those of a listener are in force for the requests that it can bring.
pub(super) fn check(own: &Layer, uses: &Uses, matching: &Matching, action: &str, context: &mut Context<'_>) {
    let shared = &context.policies;
    let mut orders = vec![Order {
        places: shared.outer(uses).collect(),
        checked: uses.0.len(),
        patterns: matching.patterns.iter().collect(),
    }];
    let listeners = shared.listeners.iter().zip(&context.served);
    for (layers, listener) in listeners.filter_map(|(layers, listener)| Some((layers.as_ref()?, listener))) {
        let patterns = reached(matching, listener);
        if patterns.is_empty() {
            continue;
        }
        let itself = Outer {
            layer: &layers.own,
            texts: &layers.texts,
            used: None,
        };
        let outer = shared.outer(&layers.uses).chain([itself]);
        orders.push(Order {
            places: outer.chain(shared.outer(uses)).collect(),
            checked: layers.uses.0.len() + 1,
            patterns,
        });
    }
    for Order {
        places,
        checked,
        patterns,
    } in orders
    {
        for (at, outer) in places.iter().enumerate().take(checked) {
            let is_in_force = |key: &str| {
                let mut later = places[at + 1..].iter().map(|outer| outer.layer).chain([own]);
                let is_heeded = match key {
                    // Those of a listener are for requests without a route, too.
                    ERRORS => at + uses.0.len() >= places.len(),
                    key => key == "response_headers" || action == "to",
                };
                is_heeded && !later.any(|layer| layer.takes_away(key))
            };
            let who = || match outer.used {
                Some((name, _)) => format!("the policy {}", quote(name)),
                None => "the listener".to_owned(),
            };
            for needed in outer.texts.needed.iter().filter(|needed| is_in_force(needed.key)) {
                let place = outer.used.map_or(needed.span, |(_, place)| place);
                needed.check(&who(), place, &patterns, context.problems);
            }
            for listed in outer.texts.listed.iter().filter(|listed| is_in_force(listed.key)) {
                listed.check(&who(), &patterns, context.problems);
            }
        }
    }
}

/// The paths of a route that requests by `listener` can have; all if it has no alternative, which is reported elsewhere.
fn reached<'m>(matching: &'m Matching, listener: &Listener) -> Vec<&'m Pattern> {
    let comes_in = |alternative: &&Alternative| {
        let serves =
            listener.hosts.is_empty() || listener.hosts.iter().any(|host| host.overlaps(&alternative.host));
        let mut attributes = alternative.attributes.iter();
        serves
            && attributes.all(|condition| {
                condition.attribute != Attribute::Listener
                    || condition.value.holds(Some(listener.label().as_bytes()))
            })
    };
    let alternatives = &matching.alternatives;
    let is_reached = |pattern: &&Pattern| {
        let mut ways = alternatives.iter().filter(comes_in);
        alternatives.is_empty() || ways.any(|alternative| alternative.path == pattern.pattern)
    };
    matching.patterns.iter().filter(is_reached).collect()
}

impl Shared {
    /// The policies of `uses`, in order.
    fn outer<'s>(&'s self, uses: &'s Uses) -> impl Iterator<Item = Outer<'s>> {
        uses.0.iter().map(|(index, place)| {
            let named = &self.all[*index];
            Outer {
                layer: &named.layer,
                texts: &named.texts,
                used: Some((&named.name, *place)),
            }
        })
    }
}
