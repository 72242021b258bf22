//! What a configuration means.
//!
//! A [`Plan`] is the second of five stages: Document (as written) → **Plan** (as meant) → Table (as
//! matched) → Generation (numbered, live) → Snapshot (what one request holds). It knows no file, no YAML
//! and no socket. A plan that exists is valid: [`PlanBuilder`] refuses names that come twice, and services
//! are referred to by id, so nothing in it can point nowhere.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use crate::admin::Admin;
use crate::listener::Listener;
use crate::route::Route;
use crate::service::{Service, ServiceId};
use crate::test_case::TestCase;

pub mod admin;
pub mod difference;
pub mod duration;
pub mod force;
pub mod header_edits;
pub mod listener;
pub mod mirror;
pub mod path_pattern;
pub mod policies;
pub mod redirect;
pub mod rewrite;
pub mod route;
pub mod service;
pub mod sticky;
pub mod template;
pub mod test_case;

/// Everything that a configuration says, valid as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    listeners: Vec<Arc<Listener>>,
    services: Vec<Arc<Service>>,
    /// Side by side: a request of one route in many waits for memory once, rather than twice.
    routes: Arc<[Route]>,
    tests: Vec<TestCase>,
    settings: Settings,
}

/// The settings that belong to the gateway as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where a line per request goes.
    pub access_log: AccessLog,
    /// How long requests in flight may take to end once the gateway is told to stop.
    pub drain_timeout: Duration,
    /// Whether answers carry `x-waypost-revision` and `x-waypost-route`.
    pub debug_headers: bool,
    /// Where the gateway is asked and told; `None` for nowhere.
    pub admin: Option<Admin>,
    /// Where revisions and dials are kept.
    pub state: StateSettings,
    /// What the label `code` of metrics says.
    pub code_label: CodeLabel,
    /// How many worker threads serve clients; `None` is one per core. Read at start only.
    pub workers: Option<NonZeroUsize>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            access_log: AccessLog::Off,
            drain_timeout: Duration::from_secs(30),
            debug_headers: false,
            admin: Some(Admin::default()),
            state: StateSettings::default(),
            code_label: CodeLabel::Exact,
            workers: None,
        }
    }
}

/// Where the access log goes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum AccessLog {
    /// Nowhere.
    #[default]
    Off,
    /// Standard output.
    Stdout,
    /// A file, appended to; a relative path counts from the working directory.
    File(Box<str>),
}

/// Where revisions and dials are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateSettings {
    /// The directory; a relative path counts from the working directory. `None` is `.waypost` beside the config.
    pub path: Option<Box<str>>,
    /// How many revisions are kept.
    pub keep: NonZeroUsize,
}

impl StateSettings {
    /// How many revisions are kept when nothing else is said.
    pub const KEEP: NonZeroUsize = NonZeroUsize::new(100).expect("a hundred is not zero");
}

impl Default for StateSettings {
    fn default() -> Self {
        Self {
            path: None,
            keep: Self::KEEP,
        }
    }
}

/// What the label `code` of metrics says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CodeLabel {
    /// The status: `200`.
    #[default]
    Exact,
    /// Its class: `2xx`.
    Class,
}

/// Why a part does not fit into a plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// Two services share a name.
    #[error("a service named `{0}` is declared already")]
    DuplicateService(Arc<str>),
    /// Two routes share a name.
    #[error("a route named `{0}` is declared already")]
    DuplicateRoute(Arc<str>),
    /// Two listeners share an address and a name, or an address that only one can have.
    #[error("a listener on `{0}` is declared already")]
    DuplicateListener(Box<str>),
    /// There is nothing to listen on.
    #[error("there are no listeners")]
    NoListeners,
}

/// Collects the parts of a plan, refusing those that do not fit.
#[derive(Debug, Default)]
pub struct PlanBuilder {
    listeners: Vec<Arc<Listener>>,
    services: Vec<Arc<Service>>,
    service_names: std::collections::HashSet<Arc<str>>,
    route_names: std::collections::HashSet<Arc<str>>,
    routes: Vec<Route>,
    tests: Vec<TestCase>,
    settings: Settings,
}

impl PlanBuilder {
    /// Adds a listener.
    ///
    /// # Errors
    /// When its address is taken. Two listeners may share one with port 0 if their names differ.
    pub fn add_listener(&mut self, listener: Listener) -> Result<(), PlanError> {
        if self.listeners.iter().any(|other| other.conflicts_with(&listener)) {
            return Err(PlanError::DuplicateListener(listener.bind.text));
        }
        self.listeners.push(Arc::new(listener));
        Ok(())
    }

    /// Adds a service; the id is what routes refer to it by.
    ///
    /// # Errors
    /// When the name is taken.
    pub fn add_service(&mut self, service: Service) -> Result<ServiceId, PlanError> {
        let id = ServiceId(self.services.len());
        if !self.service_names.insert(Arc::clone(&service.name)) {
            return Err(PlanError::DuplicateService(service.name));
        }
        self.services.push(Arc::new(service));
        Ok(id)
    }

    /// Adds a route.
    ///
    /// # Errors
    /// When the name is taken.
    pub fn add_route(&mut self, route: Route) -> Result<(), PlanError> {
        if !self.route_names.insert(Arc::clone(&route.matching.name)) {
            return Err(PlanError::DuplicateRoute(route.matching.name));
        }
        self.routes.push(route);
        Ok(())
    }

    /// The listeners so far.
    pub fn listeners(&self) -> &[Arc<Listener>] {
        &self.listeners
    }

    /// The services so far.
    pub fn services(&self) -> &[Arc<Service>] {
        &self.services
    }

    /// Adds a test.
    pub fn add_test(&mut self, test: TestCase) {
        self.tests.push(test);
    }

    /// Replaces the settings.
    pub fn set_settings(&mut self, settings: Settings) {
        self.settings = settings;
    }

    /// The plan.
    ///
    /// # Errors
    /// When there is no listener.
    pub fn build(self) -> Result<Plan, PlanError> {
        if self.listeners.is_empty() {
            return Err(PlanError::NoListeners);
        }
        Ok(Plan {
            listeners: self.listeners,
            services: self.services,
            routes: self.routes.into(),
            tests: self.tests,
            settings: self.settings,
        })
    }
}

impl Plan {
    /// The listeners, in order of declaration.
    pub fn listeners(&self) -> &[Arc<Listener>] {
        &self.listeners
    }

    /// The services, in order of declaration; a [`ServiceId`] is an index into them.
    pub fn services(&self) -> &[Arc<Service>] {
        &self.services
    }

    /// The service with this id.
    pub fn service(&self, id: ServiceId) -> &Arc<Service> {
        &self.services[id.0]
    }

    /// The routes, in order of declaration: file name, then position.
    pub fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// The tests, in order of declaration.
    pub fn tests(&self) -> &[TestCase] {
        &self.tests
    }

    /// The settings of the gateway as a whole.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The routes as matching of requests knows them, in order of declaration. Those that pass connections through take
    /// no request.
    pub fn matching(&self) -> Vec<waypost_route::Route> {
        self.matching_where(|route| !route.passes_through)
    }

    /// The routes as matching of connections knows them, in order of declaration. The others take no connection; where none
    /// does, there are none.
    pub fn passing_through(&self) -> Vec<waypost_route::Route> {
        self.matching_where(|route| route.passes_through)
    }

    fn matching_where(&self, takes: impl Fn(&Route) -> bool) -> Vec<waypost_route::Route> {
        if !self.routes.iter().any(&takes) {
            return Vec::new();
        }
        let matching = |route: &Route| {
            let mut matching = route.matching.clone();
            if !takes(route) {
                matching.alternatives = [].into();
            }
            matching
        };
        self.routes.iter().map(matching).collect()
    }
}
