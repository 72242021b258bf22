//! The generation that one request holds.

use std::cell::OnceCell;
use std::rc::Rc;
use std::sync::Arc;

use waypost_plan::listener::Listener;
use waypost_plan::settings::AccessLog;
use waypost_policy::head::edits::DebugHeaders;
use waypost_upstream::local::LocalService;

use crate::generation::{Generation, ListenerId};
use crate::local::reclaim::Reclaimer;
use crate::observe::metrics::RouteMeters;

/// A generation as one request holds it, with the worker's own side of its services.
pub(crate) struct Snapshot {
    pub(crate) generation: Arc<Generation>,
    /// Parallel to the plan's services, each looked up once.
    pub(super) services: Vec<OnceCell<Rc<LocalService>>>,
    /// The worker's own copies: counting references to shared ones would cost every request.
    listeners: Vec<(ListenerId, Rc<Listener>)>,
    /// True if requests are logged.
    pub(crate) logs: bool,
    /// The counters of each route.
    pub(crate) meters: RouteMeters,
    pub(super) reclaimer: Reclaimer,
}

impl Snapshot {
    /// A snapshot of `generation`. What it holds is freed by `reclaimer`.
    pub(crate) fn new(generation: Arc<Generation>, reclaimer: Reclaimer) -> Self {
        let plan = generation.plan();
        let services = plan.services().iter().map(|_| OnceCell::new()).collect();
        let listeners = generation
            .listeners()
            .map(|(id, listener)| (id, Rc::new((**listener).clone())))
            .collect();
        let logs = plan.settings().access_log != AccessLog::Off;
        Self {
            meters: RouteMeters::new(plan.routes().len()),
            generation,
            services,
            listeners,
            logs,
            reclaimer,
        }
    }

    /// The listener with this id, if it still exists.
    pub(crate) fn listener(&self, id: ListenerId) -> Option<&Rc<Listener>> {
        self.listeners
            .iter()
            .find_map(|(other, listener)| (*other == id).then_some(listener))
    }

    /// The debug headers of a response in the name of `route`, if they are on.
    pub(crate) fn debug_headers<'a>(&self, route: &'a str) -> Option<DebugHeaders<'a>> {
        let is_on = self.generation.plan().settings().debug_headers;
        is_on.then(|| DebugHeaders {
            revision: self.generation.number(),
            route,
        })
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        self.reclaimer.reclaim_meters(std::mem::take(&mut self.meters));
    }
}
