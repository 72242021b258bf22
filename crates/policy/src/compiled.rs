//! A plan compiled for decisions: its tables, and the splits that are live.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwapOption;
use waypost_plan::Plan;
use waypost_plan::error_pages::ErrorPage;
use waypost_plan::route::Action;
use waypost_route::split::Split;
use waypost_route::table::{Table, TableError};

use crate::key_files::KeyFiles;
use crate::page_files::PageFiles;
use crate::password_files::PasswordFiles;
use crate::permissions::Permissions;
use crate::rate::Limiters;
use crate::secret_names::SecretPlaces;
use crate::token_keys::TokenKeys;

/// A plan with its tables. Only the live weights of splits change.
#[derive(Debug)]
pub struct Compiled {
    plan: Plan,
    requests: Table,
    connections: Table,
    page_files: PageFiles,
    key_files: KeyFiles,
    token_keys: TokenKeys,
    password_files: PasswordFiles,
    /// `None` where no permission is kept.
    permissions: Option<Permissions>,
    /// Query parameters with credentials, of any place.
    secret_queries: Box<[Box<str>]>,
    /// Headers with credentials, likewise, and those that edits copy them into.
    secret_headers: Box<[Box<str>]>,
    limiters: Limiters,
    /// True if error pages have values of requests in them.
    pages_have_values: bool,
    /// Parallel to the plan's routes: the live split where it differs from the declared one.
    live: Box<[ArcSwapOption<Split>]>,
    /// The positions of routes with a live split, for those who list them: a look at each would take longer.
    dialed: Mutex<BTreeSet<usize>>,
}

impl Compiled {
    /// Compiles the routes of `plan`.
    ///
    /// # Errors
    /// The routes exceed the capacity of a table.
    pub fn new(plan: Plan) -> Result<Self, TableError> {
        let pages_have_values = plan.error_pages().any(ErrorPage::has_values);
        let places = SecretPlaces::of(&plan);
        let (secret_queries, secret_headers) = (places.queries(), places.headers(&plan));
        Ok(Self {
            requests: Table::with_positions(plan.request_routes())?,
            connections: Table::with_positions(plan.connection_routes())?,
            page_files: PageFiles::of(&plan),
            key_files: KeyFiles::of(&plan),
            token_keys: TokenKeys::of(&plan),
            secret_queries,
            secret_headers,
            password_files: PasswordFiles::of(&plan),
            permissions: Permissions::of(&plan),
            limiters: Limiters::of(&plan),
            pages_have_values,
            live: (0..plan.routes().len()).map(|_| ArcSwapOption::empty()).collect(),
            dialed: Mutex::default(),
            plan,
        })
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The table of routes that take requests.
    pub fn requests(&self) -> &Table {
        &self.requests
    }

    /// The table of routes that take TLS connections by their SNI host, and pass them through.
    pub fn connections(&self) -> &Table {
        &self.connections
    }

    /// The texts of the files that error pages name.
    pub fn page_files(&self) -> &PageFiles {
        &self.page_files
    }

    /// The files of keys that `auth` names.
    pub fn key_files(&self) -> &KeyFiles {
        &self.key_files
    }

    /// The keys of issuers that `auth` names.
    pub fn token_keys(&self) -> &TokenKeys {
        &self.token_keys
    }

    /// The files of users and passwords that `auth` names.
    pub fn password_files(&self) -> &PasswordFiles {
        &self.password_files
    }

    /// The permissions that hold for a while, where any do.
    pub(crate) fn permissions(&self) -> Option<&Permissions> {
        self.permissions.as_ref()
    }

    /// The query parameters that have credentials at any place: a request without a route may carry them too.
    pub fn secret_queries(&self) -> &[Box<str>] {
        &self.secret_queries
    }

    /// The rate limits, with their buckets.
    pub fn limiters(&self) -> &Limiters {
        &self.limiters
    }

    /// Takes over the buckets of the rate limits that count as before.
    pub fn keep_buckets(&mut self, before: &Self) {
        self.limiters.keep_buckets(&before.limiters);
    }

    /// The headers that have credentials at any place, or copies of them.
    pub fn secret_headers(&self) -> &[Box<str>] {
        &self.secret_headers
    }

    /// Returns true if error pages have values of requests in them, so that heads are kept for them.
    #[inline]
    pub fn pages_have_values(&self) -> bool {
        self.pages_have_values
    }

    /// The position of the route named `route`.
    pub fn position(&self, route: &str) -> Option<usize> {
        let mut routes = self.plan.routes().iter();
        routes.position(|known| *known.matching.name == *route)
    }

    /// Sets the live weights of the route at `position`, in the order of its arms, for every request that begins from
    /// now on; `None` restores the declared ones. Ignored unless the route has a split of as many arms.
    pub fn dial(&self, position: usize, weights: Option<&[u64]>) {
        let live = weights
            .filter(|weights| {
                let declared = self.declared(position);
                declared.is_some_and(|split| split.weights().len() == weights.len())
            })
            .map(|weights| Arc::new(Split::new(weights)));
        // A store costs far more than a load, and hardly any route has a live split.
        let slot = &self.live[position];
        if live.is_some() || slot.load().is_some() {
            let mut dialed = self.dialed.lock().unwrap_or_else(PoisonError::into_inner);
            match live.is_some() {
                true => dialed.insert(position),
                false => dialed.remove(&position),
            };
            slot.store(live);
        }
    }

    /// The positions of routes whose live weights differ from the declared ones.
    pub fn dialed(&self) -> Vec<usize> {
        let dialed = self.dialed.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let differs = |position: &usize| {
            let live = self.live[*position].load();
            live.as_deref()
                .zip(self.declared(*position))
                .is_some_and(|(live, declared)| live.weights() != declared.weights())
        };
        dialed.into_iter().filter(differs).collect()
    }

    /// The live weights of the route at `position`; `None` when it has no split.
    pub fn live_weights(&self, position: usize) -> Option<Vec<u64>> {
        let declared = self.declared(position)?;
        let live = self.live[position].load();
        Some(live.as_deref().unwrap_or(declared).weights().to_vec())
    }

    fn declared(&self, position: usize) -> Option<&Split> {
        match &self.plan.routes()[position].action {
            Action::Forward(forward) => Some(&forward.split),
            Action::Redirect(_) | Action::Respond(_) => None,
        }
    }

    /// Calls `pick` with the live split of the route at `position`, whose declared one is `declared`.
    pub(crate) fn with_split<T>(
        &self,
        position: usize,
        declared: &Split,
        pick: impl FnOnce(&Split) -> T,
    ) -> T {
        // Fewer than two arms cannot be dialled.
        if declared.weights().len() < 2 {
            return pick(declared);
        }
        let live = self.live[position].load();
        pick(live.as_deref().unwrap_or(declared))
    }
}
