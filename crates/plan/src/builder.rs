//! The builder of plans.

use std::collections::HashSet;
use std::sync::Arc;

use crate::Plan;
use crate::listener::Listener;
use crate::policies::Overlay;
use crate::rollout::RolloutPlan;
use crate::route::Route;
use crate::service::{Service, ServiceId};
use crate::settings::Settings;
use crate::test_case::TestCase;

/// An error of [`PlanBuilder`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// Two services share a name.
    #[error("a service named `{0}` is declared already")]
    DuplicateService(Arc<str>),
    /// Two routes share a name.
    #[error("a route named `{0}` is declared already")]
    DuplicateRoute(Arc<str>),
    /// Two listeners share an address and a name, or a port that only one can have.
    #[error("a listener on `{0}` is declared already")]
    DuplicateListener(Box<str>),
    /// The plan has no listener.
    #[error("there are no listeners")]
    NoListeners,
}

/// Builds a [`Plan`] and refuses parts that conflict.
#[derive(Debug, Default)]
pub struct PlanBuilder {
    listeners: Vec<Arc<Listener>>,
    services: Vec<Arc<Service>>,
    service_names: HashSet<Arc<str>>,
    route_names: HashSet<Arc<str>>,
    routes: Vec<Route>,
    tests: Vec<TestCase>,
    rollouts: Vec<(Box<str>, Arc<RolloutPlan>)>,
    settings: Settings,
}

impl PlanBuilder {
    /// Adds a listener.
    ///
    /// # Errors
    /// If its address is taken. Two listeners can share an address with port 0 if their names differ.
    pub fn add_listener(&mut self, listener: Listener) -> Result<(), PlanError> {
        if self.listeners.iter().any(|other| other.conflicts_with(&listener)) {
            return Err(PlanError::DuplicateListener(listener.bind.text));
        }
        self.listeners.push(Arc::new(listener));
        Ok(())
    }

    /// Adds a service and returns the id by which routes refer to it.
    ///
    /// # Errors
    /// If the name is taken.
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
    /// If the name is taken.
    pub fn add_route(&mut self, route: Route) -> Result<(), PlanError> {
        if !self.route_names.insert(Arc::clone(&route.matching.name)) {
            return Err(PlanError::DuplicateRoute(route.matching.name));
        }
        self.routes.push(route);
        Ok(())
    }

    /// Returns the listeners added so far.
    pub fn listeners(&self) -> &[Arc<Listener>] {
        &self.listeners
    }

    /// Returns the services added so far.
    pub fn services(&self) -> &[Arc<Service>] {
        &self.services
    }

    /// Sets the policies of routes where their requests come in by the listener at this position.
    pub fn set_overlay(&mut self, listener: usize, overlay: Overlay) {
        if let Some(listener) = self.listeners.get_mut(listener) {
            Arc::make_mut(listener).overlay = Some(overlay);
        }
    }

    /// Adds a test.
    pub fn add_test(&mut self, test: TestCase) {
        self.tests.push(test);
    }

    /// Adds a named plan of rollouts. The caller refuses duplicate names.
    pub fn add_rollout(&mut self, name: &str, plan: Arc<RolloutPlan>) {
        self.rollouts.push((name.into(), plan));
    }

    /// Replaces the settings.
    pub fn set_settings(&mut self, settings: Settings) {
        self.settings = settings;
    }

    /// Returns the plan.
    ///
    /// # Errors
    /// If there is no listener.
    pub fn build(self) -> Result<Plan, PlanError> {
        if self.listeners.is_empty() {
            return Err(PlanError::NoListeners);
        }
        Ok(Plan {
            listeners: self.listeners,
            services: self.services,
            routes: self.routes.into(),
            tests: self.tests,
            rollouts: self.rollouts,
            settings: self.settings,
        })
    }
}
