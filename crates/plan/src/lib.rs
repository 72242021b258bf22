//! The meaning of a configuration, as values that are valid by construction.
//!
//! A [`Plan`] is the second of five stages: Document (as written) → **Plan** (as meant) → Table (as
//! matched) → Generation (numbered, live) → Snapshot (held by one request). It knows no files, YAML or
//! sockets. [`PlanBuilder`](builder::PlanBuilder) refuses duplicate names, and services are referred to by
//! id, so there are no dangling references.

use std::collections::HashSet;
use std::sync::Arc;

use crate::acme::Acme;
use crate::auth::{Auth, Way};
use crate::certificate_source::CertificateSource;
use crate::error_pages::ErrorPage;
use crate::header_edits::HeaderEdits;
use crate::listener::{Listener, ListenerTls};
use crate::policies::{Overlay, Policies};
use crate::rate::Rate;
use crate::rollout::RolloutPlan;
use crate::route::Route;
use crate::service::{Service, ServiceId};
use crate::settings::Settings;
use crate::test_case::TestCase;
use crate::token::KeySource;

pub mod access;
pub mod acme;
pub mod admin;
pub mod auth;
pub mod balance;
pub mod builder;
pub mod certificate_files;
pub mod certificate_source;
pub mod cors;
pub mod difference;
pub mod duration;
pub mod error_pages;
pub mod etcd;
pub mod failures;
pub mod force;
pub mod header_edits;
pub mod health;
pub mod listener;
pub mod mirror;
pub mod origin;
pub mod path_pattern;
pub mod policies;
pub mod query;
pub mod rate;
pub mod redirect;
pub mod retry;
pub mod rewrite;
pub mod rollout;
pub mod route;
pub mod service;
pub mod set_cookie;
pub mod settings;
pub mod split_policies;
pub mod sticky;
pub mod template;
pub mod test_case;
pub mod token;
pub mod trusted_proxies;
pub mod value;

/// A valid configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    listeners: Vec<Arc<Listener>>,
    services: Vec<Arc<Service>>,
    /// In one allocation: with many routes, most requests miss the cache here, and this saves one miss.
    routes: Arc<[Route]>,
    tests: Vec<TestCase>,
    /// Named plans of rollouts.
    rollouts: Vec<(Box<str>, Arc<RolloutPlan>)>,
    settings: Settings,
}

impl Plan {
    /// A plan that serves nothing but the admin API: that of a gateway whose config is still to come.
    pub fn idle(settings: Settings) -> Self {
        Self {
            listeners: Vec::new(),
            services: Vec::new(),
            routes: Vec::new().into(),
            tests: Vec::new(),
            rollouts: Vec::new(),
            settings,
        }
    }

    /// Returns the listeners in declared order.
    pub fn listeners(&self) -> &[Arc<Listener>] {
        &self.listeners
    }

    /// Returns the services in declared order; a [`ServiceId`] is an index into them.
    pub fn services(&self) -> &[Arc<Service>] {
        &self.services
    }

    /// Returns the service with this id.
    pub fn service(&self, id: ServiceId) -> &Arc<Service> {
        &self.services[id.0]
    }

    /// Returns the routes in declared order: by file name, then by position.
    pub fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// Returns the positions of the routes of `deal`.
    pub fn routes_of_deal(&self, deal: &str) -> impl Iterator<Item = usize> {
        let routes = self.routes.iter().enumerate();
        routes
            .filter(move |(_, route)| route.deal() == Some(deal))
            .map(|(position, _)| position)
    }

    /// Returns the policies of `route`, which is one of this plan, for requests that come in by `listener`.
    ///
    /// A connection can outlive its listener, which is not one of this plan then; the route has its own policies.
    pub fn policies<'p>(&'p self, route: &'p Route, listener: &Listener) -> &'p Policies {
        let of_route = &route.policies;
        let Some(overlay) = &listener.overlay else {
            return of_route;
        };
        let mut known = self.listeners.iter().filter_map(|other| other.overlay.as_ref());
        let known = known.find(|known| known.is(overlay));
        known
            .and_then(|overlay| overlay.over(of_route))
            .unwrap_or(of_route)
    }

    /// Returns what `auth` says in all places, each once.
    pub fn auths(&self) -> impl Iterator<Item = &Arc<Auth>> {
        let of_routes = self.routes.iter().map(|route| &route.policies);
        let of_listeners = self.listeners.iter().map(|listener| &listener.policies);
        // A key counts as a whole, so that those of overlays are among these.
        let all = of_routes
            .chain(of_listeners)
            .filter_map(|policies| policies.auth.as_ref());
        let mut seen = HashSet::new();
        all.filter(move |auth| seen.insert(Arc::as_ptr(auth)))
    }

    /// Returns the rate limits of all routes, as by each listener. One that several routes share may come several times.
    pub fn rates(&self) -> impl Iterator<Item = &Arc<Rate>> {
        let of_routes = self.routes.iter().map(|route| &route.policies);
        let overlays = self
            .listeners
            .iter()
            .filter_map(|listener| listener.overlay.as_ref());
        let all = of_routes.chain(overlays.flat_map(Overlay::all));
        all.filter_map(|policies| policies.rate.as_ref())
    }

    /// Returns the edits of requests of all routes, as by each listener. Some that several routes share may come several times.
    pub fn request_edits(&self) -> impl Iterator<Item = &HeaderEdits> {
        let of_routes = self.routes.iter().map(|route| &route.policies);
        let overlays = self
            .listeners
            .iter()
            .filter_map(|listener| listener.overlay.as_ref());
        let all = of_routes.chain(overlays.flat_map(Overlay::all));
        all.map(|policies| &policies.request_headers)
    }

    /// Returns the keys that verify tokens in any place, each once.
    pub fn key_sources(&self) -> impl Iterator<Item = &KeySource> {
        let ways = self.auths().flat_map(|auth| &auth.ways);
        let mut seen = HashSet::new();
        ways.filter_map(Way::key_source)
            .filter(move |source| seen.insert(source.text()))
    }

    /// Returns the certificates that authorities issue, each once, in order of declaration.
    pub fn acme(&self) -> impl Iterator<Item = &Arc<Acme>> {
        let sources = self.listeners.iter().flat_map(|listener| match &listener.tls {
            ListenerTls::Terminates(end) => &*end.certificates,
            ListenerTls::Off | ListenerTls::Passthrough => &[],
        });
        let mut seen = HashSet::new();
        sources
            .filter_map(CertificateSource::acme)
            .filter(move |acme| seen.insert(&***acme))
    }

    /// Returns the error pages of all places. One that several places share may come several times.
    pub fn error_pages(&self) -> impl Iterator<Item = &ErrorPage> {
        let of_routes = self.routes.iter().flat_map(|route| route.policies.errors.iter());
        let of_listeners = self
            .listeners
            .iter()
            .flat_map(|listener| listener.policies.errors.iter());
        of_routes.chain(of_listeners).chain(&*self.settings.errors)
    }

    /// Returns the tests in declared order.
    pub fn tests(&self) -> &[TestCase] {
        &self.tests
    }

    /// Returns the named plans of rollouts, in declared order.
    pub fn rollouts(&self) -> &[(Box<str>, Arc<RolloutPlan>)] {
        &self.rollouts
    }

    /// Returns the settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Returns the routes that take requests, for a table, in declared order. Each comes with its position in
    /// [`Plan::routes`].
    pub fn request_routes(&self) -> Vec<(usize, waypost_route::Route)> {
        self.routes_where(|route| !route.is_passthrough)
    }

    /// Returns the routes that take TLS connections to pass through, likewise.
    pub fn connection_routes(&self) -> Vec<(usize, waypost_route::Route)> {
        self.routes_where(|route| route.is_passthrough)
    }

    fn routes_where(&self, takes: impl Fn(&Route) -> bool) -> Vec<(usize, waypost_route::Route)> {
        let routes = self.routes.iter().enumerate();
        routes
            .filter(|(_, route)| takes(route))
            .map(|(position, route)| (position, route.matching.clone()))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builder::PlanBuilder;
    use crate::listener::{Bind, TlsTermination};

    fn acme(directory: &str, host: &str) -> CertificateSource {
        CertificateSource::Acme(Arc::new(Acme {
            email: None,
            directory: directory.into(),
            hosts: vec![host.into()],
            eab: None,
            ca: None,
        }))
    }

    #[test]
    fn certificate_of_several_listeners_is_ordered_once() {
        let mut builder = PlanBuilder::default();
        for (port, certificates) in [
            (
                1,
                vec![acme("https://a/", "a.test"), acme("https://a/", "b.test")],
            ),
            (
                2,
                vec![acme("https://a/", "b.test"), acme("https://b/", "b.test")],
            ),
        ] {
            let mut listener = Listener::new(Bind::tcp(([127, 0, 0, 1], port).into()));
            listener.tls = ListenerTls::Terminates(TlsTermination {
                certificates,
                client_auth: None,
            });
            builder.add_listener(listener).unwrap();
        }
        builder
            .add_listener(Listener::new(Bind::tcp(([127, 0, 0, 1], 3).into())))
            .unwrap();
        let plan = builder.build().unwrap();
        let ordered: Vec<(&str, &str)> = plan
            .acme()
            .map(|acme| (&*acme.directory, &*acme.hosts[0]))
            .collect();
        assert_eq!(
            ordered,
            [
                ("https://a/", "a.test"),
                ("https://a/", "b.test"),
                ("https://b/", "b.test")
            ]
        );
    }
}
