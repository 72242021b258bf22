//! From what is written to what is meant: a plan, or everything that keeps it from being one.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use waypost_plan::listener::Listener;
use waypost_plan::service::{Service, ServiceId};
use waypost_plan::{Plan, PlanBuilder};
use waypost_wire::path::{EncodedSlash, PathOptions};

use crate::diagnostic::Code;
use crate::document::Document;
use crate::keys::At;
use crate::meaning::names::Names;
use crate::place::Span;
use crate::problems::Problems;
use crate::values::DurationText;

mod action;
mod header_edits;
mod listener;
mod matching;
mod names;
mod network;
mod route;
mod service;
mod settings;
mod split;
mod test_case;
mod tls;

/// A plan with the places of its parts.
pub(crate) struct Meaning {
    pub(crate) plan: Plan,
    /// Parallel to the plan's routes.
    pub(crate) routes: Vec<RouteSpans>,
    /// Parallel to the plan's tests.
    pub(crate) tests: Vec<Span>,
    /// Where each file that the configuration needs is named first.
    pub(crate) files: Vec<(Box<str>, Span)>,
}

/// What there is of a plan that is none: enough to look at the files that are named in it.
pub(crate) struct Fragments {
    pub(crate) listeners: Vec<Arc<Listener>>,
    pub(crate) services: Vec<Arc<Service>>,
    pub(crate) files: Vec<(Box<str>, Span)>,
}

/// Where a route stands.
pub(crate) struct RouteSpans {
    /// Its name.
    pub(crate) name: Span,
    /// Parallel to the alternatives that matching knows, one for each host.
    pub(crate) alternatives: Vec<Span>,
}

/// What the parts of a configuration need to know of each other.
struct Context<'c> {
    problems: &'c mut Problems,
    builder: PlanBuilder,
    services: Names,
    routes: Names,
    listeners: Names,
    /// Services that some route names, by name.
    used_services: HashSet<Rc<str>>,
    service_ids: HashMap<Rc<str>, ServiceId>,
    /// The paths that any listener lets in.
    path_options: PathOptions,
    /// The listeners, for what no listener serves.
    served: Vec<Listener>,
    split_key: Rc<str>,
    /// Whether some listener asks clients for a certificate.
    asks_clients: bool,
    /// The files that are named, and where.
    files: Vec<(Box<str>, Span)>,
}

/// The plan that `document` means. Fragments of one when it means none, or when `problems` has errors already.
///
/// `resolves` says whether all names are known: not when a file could not be read at all.
pub(crate) fn of(document: &Document, resolves: bool, problems: &mut Problems) -> Result<Meaning, Fragments> {
    let mut context = Context {
        problems,
        builder: PlanBuilder::default(),
        services: Names::new("service", Code::UnknownService, resolves),
        routes: Names::new("route", Code::UnknownRoute, resolves),
        listeners: Names::new("listener", Code::UnknownListener, resolves),
        used_services: HashSet::new(),
        service_ids: HashMap::new(),
        path_options: path_options(document),
        served: Vec::new(),
        split_key: document
            .split_key
            .as_ref()
            .map_or("".into(), |key| key.value.clone()),
        asks_clients: document
            .listeners
            .iter()
            .flat_map(|list| &list.value.0)
            .any(|listener| asks_clients(&listener.value)),
        files: Vec::new(),
    };
    settings::set(document, &mut context);
    listener::add_all(document, &mut context);
    service::add_all(document, &mut context);
    let routes = route::add_all(document, &mut context);
    let tests = test_case::add_all(document, &mut context);
    service::report_unused(document, &mut context);
    route::report_passing(document, &mut context);

    let Context {
        problems,
        builder,
        files,
        ..
    } = context;
    let fragments = Fragments {
        listeners: builder.listeners().to_vec(),
        services: builder.services().to_vec(),
        files,
    };
    if problems.has_errors() {
        return Err(fragments);
    }
    match builder.build() {
        Ok(plan) => Ok(Meaning {
            plan,
            routes,
            tests,
            files: fragments.files,
        }),
        Err(error) => {
            problems
                .add(Code::NoListeners, Span::start_of(0), error.to_string())
                .help("add `listeners: [{ bind: 0.0.0.0:8080 }]`");
            Err(fragments)
        }
    }
}

fn asks_clients(listener: &crate::document::Listener) -> bool {
    let tls = listener.tls.as_ref();
    tls.is_some_and(|tls| tls.value.given.keys().any(|key| key == "client_auth"))
}

/// Whether a path with `%2F` can come in anywhere.
fn path_options(document: &Document) -> PathOptions {
    let keeps = document
        .listeners
        .iter()
        .flat_map(|list| &list.value.0)
        .any(|listener| {
            let paths = listener.value.paths.as_ref();
            let slash = paths.and_then(|paths| paths.value.encoded_slash.as_ref());
            slash.is_some_and(|slash| slash.value == EncodedSlash::Keep)
        });
    PathOptions {
        encoded_slash: if keeps {
            EncodedSlash::Keep
        } else {
            EncodedSlash::Refuse
        },
        ..PathOptions::default()
    }
}

/// The longest of all durations: a day, above which a number is a mistake rather than a wish.
const DURATION_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// A duration from `min` up to a day.
fn duration(written: &At<DurationText>, min: Duration, problems: &mut Problems) -> Duration {
    duration_up_to(written, min, DURATION_MAX, problems)
}

/// A duration from `min` up to `max`.
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

/// A number from `min` to `max`.
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
