//! Lowering of a document to a plan.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use waypost_plan::Plan;
use waypost_plan::builder::PlanBuilder;
use waypost_plan::duration::UNBOUNDED;
use waypost_plan::failures::StatusSet;
use waypost_plan::listener::Listener;
use waypost_plan::service::{Service, ServiceId};
use waypost_wire::path::{DotSegmentParameters, EncodedSlash, PathOptions};

use crate::diagnostic::Code;
use crate::document::Document;
use crate::files::NamedFiles;
use crate::keys::At;
use crate::lower::deal::Deals;
use crate::lower::effect::Uses;
use crate::lower::foreign_host::ForeignHosts;
use crate::lower::matching::AlternativeCount;
use crate::lower::names::Names;
use crate::lower::policies::Shared;
use crate::lower::rollout::{DealRollout, PlacedPlan};
use crate::numbers::Size;
use crate::place::Span;
use crate::problems::Problems;
use crate::times::{DurationText, TimeoutText};

mod acme;
mod action;
mod balance;
mod capacity;
mod content_type;
mod deal;
mod destination;
mod effect;
mod endpoint;
mod entrance;
mod error_pages;
mod etcd;
mod failures;
mod foreign_host;
mod header_edits;
mod header_name;
mod health;
mod host;
mod judge;
mod listener;
pub(crate) mod local;
mod matching;
mod names;
mod network;
mod pattern;
mod policies;
mod query;
mod redirect;
mod redirect_loop;
mod retry;
mod rewrite;
mod rollout;
mod route;
mod service;
mod set_cookie;
mod settings;
mod split;
mod test_case;
mod tls;
mod trusted_proxies;
mod value;

/// A plan with places.
pub(crate) struct LoweredPlan {
    pub(crate) plan: Plan,
    /// Parallel to the plan's routes.
    pub(crate) routes: Vec<RouteSpans>,
    /// Parallel to the plan's tests.
    pub(crate) tests: Vec<Span>,
    /// Files that the configuration names.
    pub(crate) files: NamedFiles<Span>,
}

/// The parts of a refused plan that are needed to check the files named in it.
pub(crate) struct PartialPlan {
    pub(crate) listeners: Vec<Arc<Listener>>,
    pub(crate) services: Vec<Arc<Service>>,
    pub(crate) files: Box<NamedFiles<Span>>,
}

/// The places of a route.
pub(crate) struct RouteSpans {
    /// Place of its name.
    pub(crate) name: Span,
    /// Parallel to its alternatives, of which there is one for each path of each host.
    pub(crate) alternatives: Vec<Span>,
}

/// State shared by the parts of a configuration while they are lowered.
struct Context<'c> {
    problems: &'c mut Problems,
    builder: PlanBuilder,
    services: Names,
    routes: Names,
    listeners: Names,
    rollouts: Names,
    /// The named plans of rollouts that are valid.
    rollout_plans: HashMap<Rc<str>, PlacedPlan>,
    policies: Shared,
    deals: Deals,
    /// The rollouts of routes of deals.
    deal_rollouts: Vec<DealRollout>,
    /// The uses of services that are used.
    uses: HashMap<Rc<str>, Uses>,
    service_ids: HashMap<Rc<str>, ServiceId>,
    foreign_hosts: ForeignHosts,
    /// Alternatives of lists of hosts and paths.
    alternatives: AlternativeCount,
    /// The union of the paths that listeners accept.
    path_options: PathOptions,
    /// Listeners, to report hosts that none serves.
    served: Vec<Listener>,
    /// Places of warnings that are about what others say, too, and are given once.
    warned: HashSet<Span>,
    split_key: Rc<str>,
    /// The number of routes whose redirect is reported to lead back.
    redirect_loops: usize,
    /// The certificates that authorities issue, each with its place: listeners share them.
    acme: acme::Shared,
    /// True if any listener asks clients for a certificate.
    asks_clients: bool,
    /// Statuses of responses that routes configure without a body.
    bodiless: StatusSet,
    /// Files that the configuration names.
    files: NamedFiles<Span>,
}

/// Lowers `document` to a plan; to parts of one if `problems` has errors.
///
/// `resolves` is true if all names are known, so undeclared names are errors. They are not known if a file could not
/// be read.
pub(crate) fn lower(
    document: &Document,
    resolves: bool,
    problems: &mut Problems,
) -> Result<LoweredPlan, PartialPlan> {
    let mut context = Context::new(document, resolves, problems);
    settings::set(document, &mut context);
    // Policies may ask services who may pass.
    service::add_all(document, &mut context);
    policies::add_all(document, &mut context);
    listener::add_all(document, &mut context);
    rollout::add_all(document, &mut context);
    policies::add_rollouts(document, &mut context);
    let routes = route::add_all(document, &mut context);
    let tests = test_case::add_all(document, &mut context);
    service::report_unused(document, &mut context);
    effect::report(document, &mut context);
    policies::needless::report(&mut context);
    route::report_passing(document, &mut context);
    let deals = std::mem::take(&mut context.deals);
    deals.report_uneven(context.problems);
    rollout::check_deals(&deals, &mut context);
    policies::lay_over(&mut context);

    let Context {
        problems,
        builder,
        files,
        foreign_hosts,
        ..
    } = context;
    let partial = PartialPlan {
        listeners: builder.listeners().to_vec(),
        services: builder.services().to_vec(),
        files: Box::new(files),
    };
    if problems.has_errors() {
        return Err(partial);
    }
    match builder.build() {
        Ok(plan) => {
            foreign_hosts.report(&plan, problems);
            Ok(LoweredPlan {
                plan,
                routes,
                tests,
                files: *partial.files,
            })
        }
        Err(error) => {
            problems
                .add(Code::NoListeners, Span::start_of(0), error.to_string())
                .help("add `listeners: [{ bind: 0.0.0.0:8080 }]`");
            Err(partial)
        }
    }
}

impl<'c> Context<'c> {
    fn new(document: &Document, resolves: bool, problems: &'c mut Problems) -> Self {
        Self {
            problems,
            builder: PlanBuilder::default(),
            services: Names::new("service", Code::UnknownService, resolves),
            routes: Names::new("route", Code::UnknownRoute, resolves),
            listeners: Names::new("listener", Code::UnknownListener, resolves),
            rollouts: Names::new("rollout", Code::UnknownRollout, resolves),
            rollout_plans: HashMap::new(),
            policies: Shared::new(resolves),
            deals: Deals::default(),
            deal_rollouts: Vec::new(),
            uses: HashMap::new(),
            service_ids: HashMap::new(),
            foreign_hosts: ForeignHosts::default(),
            alternatives: AlternativeCount::default(),
            path_options: path_options(document),
            served: Vec::new(),
            warned: HashSet::new(),
            split_key: document
                .split_key
                .as_ref()
                .map_or("".into(), |key| key.value.clone()),
            redirect_loops: 0,
            acme: acme::Shared::default(),
            asks_clients: document
                .listeners
                .iter()
                .flat_map(|list| &list.value.0)
                .any(|listener| asks_clients(&listener.value)),
            bodiless: error_pages::bodiless(document),
            files: NamedFiles::default(),
        }
    }
}

fn asks_clients(listener: &crate::document::listener::Listener) -> bool {
    let tls = listener.tls.as_ref();
    tls.is_some_and(|tls| tls.value.given.keys().any(|key| key == "client_auth"))
}

/// Returns the union of the options for paths: what any listener keeps is accepted.
fn path_options(document: &Document) -> PathOptions {
    let mut union = PathOptions::default();
    let listeners = document.listeners.iter().flat_map(|list| &list.value.0);
    for paths in listeners.filter_map(|listener| listener.value.paths.as_ref()) {
        let slash = paths.value.encoded_slash.as_ref();
        if slash.is_some_and(|slash| slash.value == EncodedSlash::Keep) {
            union.encoded_slash = EncodedSlash::Keep;
        }
        let parameters = paths.value.dot_segment_parameters.as_ref();
        if parameters.is_some_and(|parameters| parameters.value == DotSegmentParameters::Keep) {
            union.dot_segment_parameters = DotSegmentParameters::Keep;
        }
    }
    union
}

/// Maximum of durations. Anything longer is most likely a mistake.
const DURATION_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Checks a duration from `min` up to a day.
fn duration(written: &At<DurationText>, min: Duration, problems: &mut Problems) -> Duration {
    duration_up_to(written, min, DURATION_MAX, problems)
}

/// Checks a timeout from `min` up to a day; `none` is [`UNBOUNDED`].
fn timeout(written: &At<TimeoutText>, min: Duration, problems: &mut Problems) -> Duration {
    match written.value.0 {
        Some(time) => duration(&written.with(DurationText(time)), min, problems),
        None => UNBOUNDED,
    }
}

/// Checks a duration from `min` up to `max`.
fn duration_up_to(
    written: &At<DurationText>,
    min: Duration,
    max: Duration,
    problems: &mut Problems,
) -> Duration {
    let value = written.value.0;
    if value < min || value > max {
        let (min, max) = (
            waypost_plan::duration::format(min),
            waypost_plan::duration::format(max),
        );
        problems
            .add(
                Code::OutOfRange,
                written.span,
                format!("the duration is out of range: {min} to {max}"),
            )
            .help(format!("write a duration from `{min}` to `{max}`"));
    }
    value
}

/// Checks a size from `min` to `max` bytes.
fn bytes(written: &At<Size>, min: u64, max: u64, problems: &mut Problems) -> usize {
    let value = written.value.0;
    if value < min || value > max {
        let (min, max) = (crate::size::format(min), crate::size::format(max));
        problems
            .add(
                Code::OutOfRange,
                written.span,
                format!("the size is out of range: {min} to {max}"),
            )
            .help(format!("write a size from `{min}` to `{max}`"));
    }
    usize::try_from(value).unwrap_or(usize::MAX)
}

/// Checks a number from `min` to `max`.
fn whole(written: &At<u64>, min: u64, max: u64, problems: &mut Problems) -> usize {
    if written.value < min || written.value > max {
        problems
            .add(
                Code::OutOfRange,
                written.span,
                format!("the number is out of range: {min} to {max}"),
            )
            .help(format!("write a number from {min} to {max}"));
    }
    usize::try_from(written.value).unwrap_or(usize::MAX)
}
