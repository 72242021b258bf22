//! Generations: a plan with its compiled table, numbered, as the workers serve it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwapOption;
use waypost_plan::Plan;
use waypost_plan::listener::Listener;
use waypost_plan::service::ServiceId;
use waypost_policy::compiled::Compiled;
use waypost_policy::explain::{self, Explanation, Question, QuestionError};
use waypost_route::table::TableError;
use waypost_tls::client::ClientTls;
use waypost_tls::identity::Identity;
use waypost_tls::server::ServerTls;
use waypost_upstream::service::ServiceState;

/// A plan, compiled and numbered. A request sees one generation from its head to its last byte.
#[derive(Debug)]
pub struct Generation {
    number: AtomicU64,
    /// How many came before it in this process. Unlike its number it only grows.
    serial: u64,
    compiled: Compiled,
    /// Parallel to the plan's services.
    services: Vec<Arc<ServiceState>>,
    /// Parallel to the plan's listeners.
    listeners: Vec<ListenerId>,
    /// Parallel to the plan's listeners: their certificates.
    listener_tls: Vec<ArcSwapOption<ServerTls>>,
    /// The id of the next listener that is new. An id is never given twice: connections of a listener that is
    /// gone may still be there, and must not pass for those of another.
    next_listener: u32,
}

/// What the TLS of a plan's listeners and services needs, out of files.
#[derive(Debug, Default)]
pub struct Materials {
    /// Parallel to the plan's listeners.
    pub listeners: Vec<Option<Arc<ServerTls>>>,
    /// Parallel to the plan's services.
    pub services: Vec<Option<Arc<ClientTls>>>,
}

/// A listener across generations: as long as its address and name stay, so does its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ListenerId(pub(crate) u32);

impl Generation {
    /// Compiles a plan, as generation 1 of a gateway.
    ///
    /// # Errors
    /// When the routes cannot be compiled into a table.
    pub fn compile(plan: Plan) -> Result<Self, TableError> {
        let compiled = Compiled::new(plan)?;
        let plan = compiled.plan();
        let services = plan
            .services()
            .iter()
            .map(|service| Arc::new(ServiceState::new(Arc::clone(service))))
            .collect();
        let next_listener = u32::try_from(plan.listeners().len()).unwrap_or(u32::MAX);
        let listeners: Vec<ListenerId> = (0..next_listener).map(ListenerId).collect();
        Ok(Self {
            number: AtomicU64::new(1),
            serial: 0,
            compiled,
            services,
            listener_tls: listeners.iter().map(|_| ArcSwapOption::empty()).collect(),
            listeners,
            next_listener,
        })
    }

    /// The same with what its TLS needs, which may have changed while its plan has not.
    #[must_use]
    pub fn secured(self, materials: Materials) -> Self {
        self.secure(materials);
        self
    }

    /// Has new connections use these from now on.
    pub fn secure(&self, materials: Materials) {
        for (slot, tls) in self.listener_tls.iter().zip(materials.listeners) {
            slot.store(tls);
        }
        for (state, tls) in self.services.iter().zip(materials.services) {
            state.set_tls(tls);
        }
    }

    /// The certificates of a listener; `None` where it has none, or is gone.
    pub fn server_tls(&self, id: ListenerId) -> Option<Arc<ServerTls>> {
        let at = self.listeners.iter().position(|other| *other == id)?;
        self.listener_tls[at].load_full()
    }

    /// The certificates of each listener, in order of declaration.
    pub fn certificates(&self) -> impl Iterator<Item = (&Arc<Listener>, Option<Arc<ServerTls>>)> {
        let tls = self.listener_tls.iter().map(ArcSwapOption::load_full);
        self.plan().listeners().iter().zip(tls)
    }

    /// The same with this number.
    #[must_use]
    pub fn numbered(self, number: u64) -> Self {
        self.renumber(number);
        self
    }

    /// Gives it this number from now on, as the one that it had turns out to be another revision's.
    pub fn renumber(&self, number: u64) {
        self.number.store(number, Ordering::Relaxed);
    }

    /// The same, as the generation after `before`: services and listeners that did not change keep their state.
    #[must_use]
    pub fn following(mut self, before: &Self) -> Self {
        let known: HashMap<&str, &Arc<ServiceState>> = before
            .services
            .iter()
            .map(|state| (&*state.service().name, state))
            .collect();
        for state in &mut self.services {
            if let Some(kept) = known.get(&*state.service().name)
                && kept.service() == state.service()
            {
                kept.set_tls(state.tls());
                *state = Arc::clone(kept);
            }
        }
        self.serial = before.serial + 1;
        self.next_listener = before.next_listener;
        let plan = self.compiled.plan();
        for (id, listener) in self.listeners.iter_mut().zip(plan.listeners()) {
            *id = before.listener_like(listener, plan).unwrap_or_else(|| {
                self.next_listener += 1;
                ListenerId(self.next_listener - 1)
            });
        }
        self
    }

    /// How many came before it in this process.
    pub(crate) fn serial(&self) -> u64 {
        self.serial
    }

    /// The number: the revision that it serves.
    pub fn number(&self) -> u64 {
        self.number.load(Ordering::Relaxed)
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        self.compiled.plan()
    }

    /// The plan, compiled, with the splits that are live.
    pub fn compiled(&self) -> &Compiled {
        &self.compiled
    }

    /// Explains what happens to a request.
    ///
    /// # Errors
    /// When the question names an unknown listener, or could not be sent as one request.
    pub fn explain(
        &self,
        question: &Question,
        endpoints: KnownEndpoints,
    ) -> Result<Explanation, QuestionError> {
        let state = ExplainedState {
            generation: self,
            endpoints,
        };
        explain::explain(&self.compiled, &state, question)
    }

    /// The state of a service.
    pub fn service(&self, id: ServiceId) -> &Arc<ServiceState> {
        &self.services[id.index()]
    }

    /// The states of all services.
    pub fn services(&self) -> &[Arc<ServiceState>] {
        &self.services
    }

    /// The listeners with their ids, in order of declaration.
    pub(crate) fn listeners(&self) -> impl Iterator<Item = (ListenerId, &Arc<Listener>)> {
        self.listeners.iter().copied().zip(self.plan().listeners())
    }

    /// The listener with this id, if this generation still has it.
    pub(crate) fn listener(&self, id: ListenerId) -> Option<&Arc<Listener>> {
        self.listeners()
            .find_map(|(other, listener)| (other == id).then_some(listener))
    }

    /// The listener that `listener`, of the plan `next`, was here: by its address, and by its name only where
    /// listeners share an address, as they may with port 0.
    fn listener_like(&self, listener: &Listener, next: &Plan) -> Option<ListenerId> {
        let with_address = |plan: &Plan| {
            let all = plan.listeners().iter();
            all.filter(|other| other.bind.text == listener.bind.text).count()
        };
        let shared = with_address(next) > 1 || with_address(&self.plan()) > 1;
        self.listeners().find_map(|(id, other)| {
            let same = other.bind.text == listener.bind.text && (!shared || other.name == listener.name);
            same.then_some(id)
        })
    }
}

/// The endpoints that an explanation takes to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KnownEndpoints {
    /// Those that are declared: names are not resolved, as offline.
    Declared,
    /// Those whose address is known, as for live traffic.
    Resolved,
}

struct ExplainedState<'g> {
    generation: &'g Generation,
    endpoints: KnownEndpoints,
}

impl explain::State for ExplainedState<'_> {
    fn revision(&self) -> u64 {
        self.generation.number()
    }

    fn has_endpoint(&self, service: ServiceId) -> bool {
        let state = self.generation.service(service);
        match self.endpoints {
            KnownEndpoints::Declared => !state.service().endpoints.is_empty(),
            KnownEndpoints::Resolved => state.has_endpoints(),
        }
    }

    fn certificate(&self, listener: usize, host: Option<&str>) -> Option<Arc<Identity>> {
        let tls = self.generation.listener_tls[listener].load();
        tls.as_ref().map(|tls| Arc::clone(tls.identity_for(host)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use waypost_plan::builder::PlanBuilder;
    use waypost_plan::listener::Bind;

    fn generation(binds: &[(&str, Option<&str>)]) -> Generation {
        let mut builder = PlanBuilder::default();
        for (bind, name) in binds {
            let (text, address) = ((*bind).into(), bind.parse().unwrap());
            let mut listener = Listener::new(Bind { text, address });
            listener.name = name.map(Into::into);
            builder.add_listener(listener).unwrap();
        }
        Generation::compile(builder.build().unwrap()).unwrap()
    }

    fn ids(generation: &Generation) -> Vec<u32> {
        generation.listeners.iter().map(|id| id.0).collect()
    }

    #[test]
    fn the_id_of_a_listener_that_is_gone_is_not_given_again() {
        let first = generation(&[("127.0.0.1:1", None), ("127.0.0.1:2", None)]);
        let without = generation(&[("127.0.0.1:1", None)]).following(&first);
        let other = generation(&[("127.0.0.1:1", None), ("127.0.0.1:3", None)]).following(&without);
        assert_eq!(
            (ids(&first), ids(&without), ids(&other)),
            (vec![0, 1], vec![0], vec![0, 2])
        );
    }

    #[test]
    fn a_name_tells_listeners_apart_only_where_they_share_an_address() {
        let first = generation(&[("127.0.0.1:0", None)]);
        let named = generation(&[("127.0.0.1:0", Some("a"))]).following(&first);
        assert_eq!(ids(&named), [0]);
        let two = generation(&[("127.0.0.1:0", Some("b")), ("127.0.0.1:0", Some("a"))]).following(&named);
        assert_eq!(ids(&two), [1, 0]);
    }
}
