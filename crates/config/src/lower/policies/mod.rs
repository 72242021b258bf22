//! Policies: those that are shared by name, and those in force for each route.
//!
//! All is resolved here, once: for each route, and again for each listener that has policies. Routes for which the
//! same is said share one set in memory.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use waypost_plan::origin::{Origin, Source};
use waypost_plan::policies::{Overlay, Policies};
use waypost_plan::rate::RateScope;
use waypost_plan::value::listed::ListedNames;

use crate::collections::OneOrMany;
use crate::diagnostic::Code;
use crate::document::{self, Document};
use crate::keys::{At, Mapping};
use crate::lower::matching::Matching;
use crate::lower::names::Names;
use crate::lower::pattern::Pattern;
use crate::lower::policies::effective::{Effective, Placed};
use crate::lower::policies::layer::Layer;
use crate::lower::policies::parameters::{ERRORS, Names as TextNames};
use crate::lower::policies::rate::Numbers;
use crate::lower::rollout::GivenRollout;
use crate::lower::{Context, rollout, split};
use crate::place::Span;
use crate::problems::quote;
use crate::values::Text;

mod auth;
mod cors;
mod effective;
mod forged;
mod keys;
mod layer;
pub(super) mod needless;
mod needs;
mod parameters;
mod rate;

/// The policies with names, and what was made of them.
pub(super) struct Shared {
    names: Names,
    /// In declared order.
    all: Vec<Named>,
    by_name: HashMap<Rc<str>, usize>,
    /// The layers of each listener of the plan, by position; `None` for a listener that has no policies.
    listeners: Vec<Option<ListenerLayers>>,
    /// The policies of routes that have no keys of their own.
    by_use: HashMap<Used, Policies>,
    /// The last policies with keys of a route's own.
    last_own: Option<(Used, Policies)>,
    /// The layers of the policies with each number, if a listener has policies too. Those with number 0 have none.
    numbered: Vec<(Used, Layer)>,
    /// The lists of origins, each once.
    origins: HashMap<Vec<Origin>, Arc<[Origin]>>,
    /// The names of the list of values in the texts of all policies and listeners.
    listed: ListedNames,
    /// True if a policy or a listener needs something of the paths of routes.
    has_needs: bool,
    /// The actions of all routes.
    actions: Actions,
    /// True if any route has a `retry`.
    has_retry: bool,
    rates: Numbers,
}

/// The policies that a route uses, and what they mean for it beside its own keys.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
struct Used {
    policies: Box<[usize]>,
    /// The names of the list of values that its paths bind.
    shadowed: ListedNames,
}

/// A policy with a name.
struct Named {
    name: Arc<str>,
    /// Place of the name.
    key: Span,
    layer: Layer,
    /// The names in its texts.
    texts: TextNames,
    rollout: PolicyRollout,
    /// Its keys, each with the actions that heed it and its place.
    keys: Vec<(&'static str, &'static [&'static str], Span)>,
    /// The actions of routes that use it.
    actions: Actions,
    is_used: bool,
    /// True if a listener that takes requests uses it.
    of_listener: bool,
    /// True if a listener that passes connections through uses it.
    of_passing: bool,
    /// True if a route with two services takes its rollout.
    is_rolled_out: bool,
}

/// The rollout that a policy says.
#[derive(Default)]
enum PolicyRollout {
    #[default]
    Unsaid,
    Off,
    Plan(Box<GivenRollout>),
}

/// Actions of routes, by their keys.
#[derive(Debug, Clone, Default)]
struct Actions(Vec<&'static str>);

/// The policies of a listener.
pub(super) struct ListenerLayers {
    uses: Uses,
    own: Layer,
    /// The names in its own texts.
    texts: TextNames,
}

/// The policies that a route or a listener uses, in order, each with the place of its name there.
#[derive(Default)]
pub(super) struct Uses(Vec<(usize, Span)>);

impl Actions {
    fn note(&mut self, action: &'static str) {
        if !self.0.contains(&action) {
            self.0.push(action);
        }
    }

    /// Returns true if there is one that a key goes with; `names` are empty for any.
    fn has_one_of(&self, names: &[&str]) -> bool {
        names.is_empty() || names.iter().any(|name| self.0.contains(name))
    }
}

impl Uses {
    fn indices(&self) -> impl Iterator<Item = usize> {
        self.0.iter().map(|(index, _)| *index)
    }

    /// The place of the first name.
    fn place(&self) -> Option<Span> {
        self.0.first().map(|(_, span)| *span)
    }
}

impl Shared {
    /// No policies. `resolves` is true if all names are known.
    pub(super) fn new(resolves: bool) -> Self {
        Self {
            names: Names::new("policy", Code::UnknownPolicy, resolves),
            all: Vec::new(),
            by_name: HashMap::new(),
            listeners: Vec::new(),
            by_use: HashMap::new(),
            last_own: None,
            numbered: Vec::new(),
            origins: HashMap::new(),
            listed: ListedNames::default(),
            has_needs: false,
            actions: Actions::default(),
            has_retry: false,
            rates: Numbers::default(),
        }
    }

    /// Gives rates their numbers.
    fn rates(&mut self) -> &mut Numbers {
        &mut self.rates
    }

    /// Notes the names in the texts of a policy or a listener.
    fn note_texts(&mut self, texts: &TextNames) {
        self.listed = self.listed.or(texts.listed_names());
        self.has_needs |= !texts.needed.is_empty();
    }

    /// The names in shared texts that `patterns` bind.
    fn shadowed(&self, patterns: &[Pattern]) -> ListedNames {
        if self.listed.is_empty() {
            return ListedNames::default();
        }
        let names = patterns.iter().flat_map(|pattern| pattern.pattern.names());
        ListedNames::among(names).and(self.listed)
    }

    /// Appends the layers of `uses`.
    fn place<'s>(&'s self, uses: impl Iterator<Item = usize>, source: Wrap, layers: &mut Vec<Placed<'s>>) {
        layers.extend(uses.map(|index| {
            let named = &self.all[index];
            Placed {
                layer: &named.layer,
                source: source(Arc::clone(&named.name)),
            }
        }));
    }

    /// True if a listener has `auth`.
    fn has_listener_with_auth(&self) -> bool {
        self.listeners.iter().flatten().any(|listener| {
            let mut uses = listener.uses.indices();
            listener.own.auth.is_some() || uses.any(|index| self.all[index].layer.auth.is_some())
        })
    }

    /// True if a listener has policies.
    fn has_listeners(&self) -> bool {
        self.listeners.iter().any(Option::is_some)
    }
}

/// Names the place of a policy.
type Wrap = fn(Arc<str>) -> Source;

/// Lowers the policies with names, but for their rollouts.
pub(super) fn add_all(document: &Document, context: &mut Context<'_>) {
    for (name, written) in document.policies.iter().flat_map(|policies| &policies.value.0) {
        let shared = &mut context.policies;
        shared.names.declare(name, written.key, context.problems);
        let texts = TextNames::of(&written.value);
        let pattern = parameters::pattern(&texts.needed);
        let scope = RateScope::Policy(Arc::from(&**name));
        let layer = Layer::of(&written.value, pattern.as_slice(), scope, context);
        let keys = written.value.read_keys();
        let keys = keys
            .iter()
            .map(|(key, span)| (key.name, key.only_with, *span))
            .collect();
        let shared = &mut context.policies;
        shared.note_texts(&texts);
        let index = shared.all.len();
        shared.by_name.entry(Rc::clone(name)).or_insert(index);
        shared.all.push(Named {
            name: Arc::from(&**name),
            key: written.key,
            layer,
            texts,
            rollout: PolicyRollout::Unsaid,
            keys,
            actions: Actions::default(),
            is_used: false,
            of_listener: false,
            of_passing: false,
            is_rolled_out: false,
        });
    }
    // Policies that could not be read are reported already; their names are known.
    for (name, span) in document.policies.iter().flat_map(|policies| &policies.value.1) {
        let shared = &mut context.policies;
        shared.names.declare(name, *span, context.problems);
    }
}

/// Lowers the rollouts of policies, once the services and the plans of rollouts are known.
pub(super) fn add_rollouts(document: &Document, context: &mut Context<'_>) {
    let policies = document.policies.iter().flat_map(|policies| &policies.value.0);
    for (index, (_, written)) in policies.enumerate() {
        let Some(rollout) = &written.value.rollout else {
            continue;
        };
        let lowered = match rollout.given() {
            None => PolicyRollout::Off,
            Some(given) => match rollout::given(&given, context) {
                Some(plan) => PolicyRollout::Plan(Box::new(plan)),
                None => PolicyRollout::Unsaid,
            },
        };
        context.policies.all[index].rollout = lowered;
    }
}

/// Finds the policies that a route or a listener uses; reports those that do not exist.
pub(super) fn resolve(written: Option<&At<OneOrMany<Text>>>, context: &mut Context<'_>) -> Uses {
    let mut uses = Uses::default();
    for name in written.iter().flat_map(|names| &names.value.0) {
        let shared = &context.policies;
        if !shared.names.resolve(name, context.problems) {
            continue;
        }
        // One that could not be read is known by name alone.
        let Some(&index) = shared.by_name.get(&name.value) else {
            continue;
        };
        if let Some((_, first)) = uses.0.iter().find(|(other, _)| *other == index) {
            let message = format!("the policy {} is used already", quote(&name.value));
            context
                .problems
                .add(Code::NoEffect, name.span, message)
                .label(*first, "first here")
                .help("leave it out here; the order decides where several have a key");
            continue;
        }
        uses.0.push((index, name.span));
        context.policies.all[index].is_used = true;
    }
    uses
}

/// Finds the policies that a listener uses and lowers its own; `None` if it has none.
pub(super) fn layers_of(
    written: &document::listener::Listener,
    context: &mut Context<'_>,
) -> Option<ListenerLayers> {
    let uses = resolve(written.uses.as_deref(), context);
    let own = Layer::of_listener(written, context);
    let texts = TextNames::of_listener(written);
    context.policies.note_texts(&texts);
    let tls = written.tls.as_ref().map(|tls| &tls.value);
    let passes = tls
        .and_then(|tls| tls.passthrough.as_ref())
        .is_some_and(|passes| passes.value);
    for &(index, place) in &uses.0 {
        let named = &mut context.policies.all[index];
        let who = format!("the policy {}", quote(&named.name));
        let needed = named.texts.needed.iter().filter(|needed| needed.key == ERRORS);
        for needed in needed.filter(|_| !passes) {
            needed.refuse(&who, place, context.problems);
        }
        match passes {
            true => named.of_passing = true,
            false => named.of_listener = true,
        }
    }
    (!uses.0.is_empty() || !own.is_empty()).then_some(ListenerLayers { uses, own, texts })
}

/// The policies of a listener itself: of its own responses, and of routes that say nothing.
pub(super) fn of_listener(layers: Option<&ListenerLayers>, context: &mut Context<'_>) -> Policies {
    let Some(layers) = layers else {
        return Policies::default();
    };
    let mut placed = Vec::new();
    layers.place(&context.policies, &mut placed);
    let effective = effective::of(&placed, ListedNames::default());
    context.policies.shared_set(0, &[], effective)
}

/// Adds the policies of the next listener of the plan.
pub(super) fn add_listener(layers: Option<ListenerLayers>, context: &mut Context<'_>) {
    context.policies.listeners.push(layers);
}

/// The rollout of a route: its own, else that of a policy, where the route has a split.
pub(super) fn rollout_of(
    route: &document::route::Route,
    uses: &Uses,
    context: &mut Context<'_>,
) -> Option<GivenRollout> {
    if let Some(written) = &route.policy.rollout {
        return rollout::given(&written.given()?, context);
    }
    let has_split = route
        .to
        .as_ref()
        .is_some_and(|to| split::names(&to.value).len() > 1);
    for (index, _) in uses.0.iter().rev() {
        let named = &mut context.policies.all[*index];
        match &named.rollout {
            PolicyRollout::Unsaid => {}
            PolicyRollout::Plan(plan) if has_split => {
                named.is_rolled_out = true;
                return Some(GivenRollout {
                    policy: Some(Arc::clone(&named.name)),
                    ..(**plan).clone()
                });
            }
            PolicyRollout::Plan(_) | PolicyRollout::Off => return None,
        }
    }
    None
}

/// Lowers the policies of a route with this `match`. `action` is the key of its action.
pub(super) fn of_route(
    route: &document::route::Route,
    uses: &Uses,
    matching: &Matching,
    action: Option<&'static str>,
    context: &mut Context<'_>,
) -> Policies {
    let patterns = &matching.patterns[..];
    let name = route.name.as_ref().map_or("", |name| &*name.value);
    let scope = RateScope::Route(name.into());
    let own = Layer::of(&route.policy, patterns, scope, context);
    if let Some(action) = action {
        context.policies.actions.note(action);
        for index in uses.indices() {
            context.policies.all[index].actions.note(action);
        }
    }
    let used = Used {
        policies: uses.indices().collect(),
        shadowed: context.policies.shadowed(patterns),
    };
    if let Some(action @ ("to" | "redirect" | "respond")) = action
        && (context.policies.has_needs || !used.shadowed.is_empty())
    {
        needs::check(&own, uses, matching, action, context);
    }
    needless::report_upgrade_off(&own, uses, context);
    let shared = &context.policies;
    let mut all = uses.indices();
    let has_hedge = own.hedge.is_some() || all.any(|index| shared.all[index].layer.hedge.is_some());
    if own.is_empty() && !has_hedge {
        if used.policies.is_empty() && (used.shadowed.is_empty() || !shared.has_listeners()) {
            return Policies::default();
        }
        if let Some(known) = shared.by_use.get(&used) {
            return known.clone();
        }
    }
    let mut layers = Vec::new();
    shared.place(uses.indices(), Source::Policy, &mut layers);
    layers.push(Placed {
        layer: &own,
        source: Source::Route,
    });
    if has_hedge && matches!(action, None | Some("to")) {
        effective::check_hedge(&layers, uses.place(), context.problems);
    }
    let effective = effective::of(&layers, used.shadowed);
    forged::report(&layers, &effective.set, &mut context.warned, context.problems);
    drop(layers);
    if let Some(place) = own.rate.as_ref().map(|rate| rate.span).or(uses.place())
        && effective.set.auth.is_none()
        && !shared.has_listener_with_auth()
    {
        rate::report_identity(&effective.set, place, context.problems);
    }
    context.policies.add_route(used, own, effective)
}

impl ListenerLayers {
    /// Appends its layers.
    fn place<'s>(&'s self, shared: &'s Shared, layers: &mut Vec<Placed<'s>>) {
        shared.place(self.uses.indices(), Source::ListenersPolicy, layers);
        layers.push(Placed {
            layer: &self.own,
            source: Source::Listener,
        });
    }
}

impl Shared {
    /// Returns the policies of a route, the same in memory as those of one for which the same is said.
    fn add_route(&mut self, used: Used, own: Layer, effective: Effective) -> Policies {
        self.has_retry |= effective.set.retry.is_some();
        let is_own = !own.is_empty();
        // Listeners tell apart what is not said from what is `off`.
        if is_own
            && !self.has_listeners()
            && let Some((last, policies)) = &self.last_own
            && *last == used
            && **policies == effective.set
            && policies.origins() == effective.origins
        {
            return policies.clone();
        }
        if !is_own && let Some(known) = self.by_use.get(&used) {
            return known.clone();
        }
        let mut number = 0;
        if self.has_listeners() {
            self.numbered.push((used.clone(), own));
            number = self.numbered.len();
        }
        let policies = self.shared_set(number, &used.policies, effective);
        match is_own {
            true => self.last_own = Some((used, policies.clone())),
            false => {
                self.by_use.insert(used, policies.clone());
            }
        }
        policies
    }

    /// Returns policies whose list of origins is shared with those that have the same.
    fn shared_set(&mut self, number: usize, uses: &[usize], effective: Effective) -> Policies {
        let Effective { set, origins } = effective;
        if number == 0 && origins.is_empty() && uses.is_empty() {
            return set.into();
        }
        let list = match self.origins.get(&origins) {
            Some(list) => Arc::clone(list),
            None => {
                let list: Arc<[Origin]> = origins.clone().into();
                self.origins.insert(origins, Arc::clone(&list));
                list
            }
        };
        let names = uses.iter().map(|index| Arc::clone(&self.all[*index].name));
        Policies::numbered(
            u32::try_from(number).unwrap_or(u32::MAX),
            set,
            list,
            names.collect(),
        )
    }
}

/// Resolves the policies of all routes again for each listener that has policies too.
pub(super) fn lay_over(context: &mut Context<'_>) {
    let shared = &mut context.policies;
    let listeners = std::mem::take(&mut shared.listeners);
    let numbered = std::mem::take(&mut shared.numbered);
    for (position, listener) in listeners.iter().enumerate() {
        let Some(listener) = listener else {
            continue;
        };
        let nothing = (Used::default(), Layer::default());
        let all = std::iter::once(&nothing).chain(&numbered);
        let by_number = all.map(|(used, own)| {
            let mut layers = Vec::new();
            listener.place(shared, &mut layers);
            shared.place(used.policies.iter().copied(), Source::Policy, &mut layers);
            layers.push(Placed {
                layer: own,
                source: Source::Route,
            });
            let effective = effective::of(&layers, used.shadowed);
            forged::report(&layers, &effective.set, &mut context.warned, context.problems);
            drop(layers);
            shared.shared_set(0, &[], effective)
        });
        let by_number = by_number.collect();
        context.builder.set_overlay(position, Overlay::new(by_number));
    }
    shared.listeners = listeners;
}
