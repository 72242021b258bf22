//! Generations: a plan, compiled, numbered and served by the workers.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwapOption;
use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use waypost_auth::key_file::KeyFile;
use waypost_auth::password::PasswordFile;
use waypost_auth::token::live::LiveKeys;
use waypost_plan::Plan;
use waypost_plan::listener::Listener;
use waypost_plan::service::ServiceId;
use waypost_plan::token::KeySource;
use waypost_policy::compiled::Compiled;
use waypost_policy::explain::{self, Explanation, Question, QuestionError};
use waypost_policy::page_files::FileText;
use waypost_policy::request_id::Uuid;
use waypost_policy::values::Circumstances;
use waypost_route::table::TableError;
use waypost_tls::client::ClientTls;
use waypost_tls::served::Served;
use waypost_tls::server::ServerTls;
use waypost_upstream::service::ServiceState;

use crate::challenges::Challenges;

/// A plan, compiled and numbered. A request sees one generation from its head to its last byte.
#[derive(Debug)]
pub struct Generation {
    number: AtomicU64,
    /// The number of earlier generations in this process. Unlike `number` it only grows.
    serial: u64,
    compiled: Compiled,
    /// Parallel to the plan's services.
    services: Vec<Arc<ServiceState>>,
    /// Services shared with the generation before, and their TLS configurations from this one on.
    kept_services: Vec<(Arc<ServiceState>, Option<Arc<ClientTls>>)>,
    /// Changed services, each with the one of its name in the generation before, whose health it does not know yet.
    changed_services: Vec<(Arc<ServiceState>, Arc<ServiceState>)>,
    /// Parallel to the plan's listeners.
    listeners: Vec<ListenerId>,
    /// The listeners' certificates, parallel to the plan's listeners.
    listener_tls: Vec<ArcSwapOption<ServerTls>>,
    /// The inboxes of the tasks that fetch key sets, by the text of their source.
    key_asks: HashMap<Box<str>, mpsc::Sender<KeyAsk>>,
    /// The id of the next new listener. Ids are never reused: connections may outlive their listener and must not be
    /// taken for another's.
    next_listener: u32,
    /// The beginning of the time of rate limits, for all generations.
    epoch: Instant,
    /// The challenges that are answered, in all generations.
    challenges: Arc<Challenges>,
}

/// Contents of the files that a plan names: certificates and keys of listeners and services, and error pages.
#[derive(Debug, Default)]
pub struct Materials {
    /// Parallel to the plan's listeners.
    pub listeners: Vec<Option<Arc<ServerTls>>>,
    /// Parallel to the plan's services.
    pub services: Vec<Option<Arc<ClientTls>>>,
    /// The texts of files of error pages, by path.
    pub pages: Vec<(Box<str>, Arc<FileText>)>,
    /// The files by which clients are known.
    pub auth: AuthMaterials,
}

/// Contents of the files by which clients are known, by path.
#[derive(Debug, Default)]
pub struct AuthMaterials {
    /// Files of keys.
    pub keys: Vec<(Box<str>, Arc<KeyFile>)>,
    /// Files of the keys of issuers.
    pub issuers: Vec<(KeySource, Arc<LiveKeys>)>,
    /// Files of users and passwords.
    pub users: Vec<(Box<str>, Arc<PasswordFile>)>,
}

/// A key set that is fetched.
#[derive(Debug, Clone)]
pub struct FetchedKeys {
    /// The keys.
    pub keys: Arc<LiveKeys>,
    /// The inbox of the task that fetches them.
    pub asks: mpsc::Sender<KeyAsk>,
}

/// The wish for newer keys, which is answered once there are some, or none.
pub type KeyAsk = oneshot::Sender<()>;

/// The identity of a listener across generations; unchanged as long as its address and name are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ListenerId(pub(crate) u32);

impl Generation {
    /// Compiles a plan into the first generation of a gateway.
    ///
    /// # Errors
    /// The routes exceed the capacity of a table.
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
            kept_services: Vec::new(),
            changed_services: Vec::new(),
            listener_tls: listeners.iter().map(|_| ArcSwapOption::empty()).collect(),
            listeners,
            key_asks: HashMap::new(),
            next_listener,
            epoch: Instant::now(),
            challenges: Arc::default(),
        })
    }

    /// Sets what was read from files, which may change without the plan.
    #[must_use]
    pub fn secured(self, materials: Materials) -> Self {
        self.secure(materials);
        self
    }

    /// Replaces what was read from files: TLS for new connections, and error pages.
    pub fn secure(&self, materials: Materials) {
        for (slot, tls) in self.listener_tls.iter().zip(materials.listeners) {
            slot.store(tls);
        }
        for (state, tls) in self.services.iter().zip(materials.services) {
            state.set_tls(tls);
        }
        for (path, text) in materials.pages {
            self.compiled.page_files().set(&path, text);
        }
        self.know_clients(materials.auth);
    }

    /// Replaces what clients are known by.
    pub fn know_clients(&self, materials: AuthMaterials) {
        for (path, keys) in materials.keys {
            self.compiled.key_files().set(&path, keys);
        }
        for (source, keys) in materials.issuers {
            self.compiled.token_keys().set(&source, keys);
        }
        for (path, users) in materials.users {
            self.compiled.password_files().set(&path, users);
        }
    }

    /// Sets the key sets that are fetched.
    pub fn set_fetched_keys(&mut self, fetched: Vec<(KeySource, FetchedKeys)>) {
        for (source, fetched) in fetched {
            self.compiled.token_keys().set(&source, fetched.keys);
            self.key_asks.insert(source.text().into(), fetched.asks);
        }
    }

    /// Asks for newer keys of an issuer. The answer comes once there are some, or none; `None` if they are not fetched, or
    /// too many wait.
    pub(crate) fn ask_for_keys(&self, source: &KeySource) -> Option<oneshot::Receiver<()>> {
        let (ask, answer) = oneshot::channel();
        self.key_asks.get(source.text())?.try_send(ask).ok()?;
        Some(answer)
    }

    /// The certificates of a listener; `None` if it has none or was removed.
    pub fn server_tls(&self, id: ListenerId) -> Option<Arc<ServerTls>> {
        let at = self.listeners.iter().position(|other| *other == id)?;
        self.listener_tls[at].load_full()
    }

    /// The certificates of each listener, in order of declaration.
    pub fn certificates(&self) -> impl Iterator<Item = (&Arc<Listener>, Option<Arc<ServerTls>>)> {
        let tls = self.listener_tls.iter().map(ArcSwapOption::load_full);
        self.plan().listeners().iter().zip(tls)
    }

    /// Sets the number.
    #[must_use]
    pub fn numbered(self, number: u64) -> Self {
        self.renumber(number);
        self
    }

    /// Changes the number of a live generation, whose previous one belongs to another revision.
    pub fn renumber(&self, number: u64) {
        self.number.store(number, Ordering::Relaxed);
    }

    /// Makes this the successor of `before`: unchanged services and listeners keep their state.
    #[must_use]
    pub fn following(mut self, before: &Self) -> Self {
        let known: HashMap<&str, &Arc<ServiceState>> = before
            .services
            .iter()
            .map(|state| (&*state.service().name, state))
            .collect();
        for state in &mut self.services {
            let Some(before) = known.get(&*state.service().name) else {
                continue;
            };
            let (before, now) = (Arc::clone(before), Arc::clone(state));
            if before.service() == now.service() {
                *state = Arc::clone(&before);
                self.kept_services.push((before, now.tls()));
            } else {
                self.changed_services.push((now, before));
            }
        }
        self.serial = before.serial + 1;
        self.next_listener = before.next_listener;
        self.epoch = before.epoch;
        self.challenges = Arc::clone(&before.challenges);
        self.compiled.keep_buckets(&before.compiled);
        let plan = self.compiled.plan();
        for (id, listener) in self.listeners.iter_mut().zip(plan.listeners()) {
            *id = before.corresponding_listener(listener, plan).unwrap_or_else(|| {
                self.next_listener += 1;
                ListenerId(self.next_listener - 1)
            });
        }
        self
    }

    /// Lets the changed services that `wanted` selects know what was known of the health of their endpoints.
    pub(crate) fn inherit_health(&mut self, wanted: impl Fn(&ServiceState) -> bool) {
        let now = Instant::now();
        for (state, before) in self.changed_services.extract_if(.., |(state, _)| wanted(state)) {
            state.inherit_health(&before, now);
        }
    }

    /// Gives the services that were kept the TLS configurations of this generation. Called once the generation is certain
    /// to be applied, as the live one shares these services.
    pub(crate) fn update_kept_services(&mut self) {
        for (service, tls) in self.kept_services.drain(..) {
            service.set_tls(tls);
        }
    }

    /// The number of earlier generations in this process.
    pub(crate) fn serial(&self) -> u64 {
        self.serial
    }

    /// The number of the revision that this generation serves.
    pub fn number(&self) -> u64 {
        self.number.load(Ordering::Relaxed)
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        self.compiled.plan()
    }

    /// The compiled plan, with the live splits.
    pub fn compiled(&self) -> &Compiled {
        &self.compiled
    }

    /// The challenges that are answered, which outlive the generation.
    pub fn challenges(&self) -> &Arc<Challenges> {
        &self.challenges
    }

    /// Explains the decision for a request.
    ///
    /// # Errors
    /// The question names an unknown listener, or is not a single request.
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

    /// The time of rate limits: nanoseconds since the first generation.
    pub(crate) fn nanos(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.epoch);
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
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

    /// The listener with this id, if this generation has it.
    pub(crate) fn listener(&self, id: ListenerId) -> Option<&Arc<Listener>> {
        self.listeners()
            .find_map(|(other, listener)| (other == id).then_some(listener))
    }

    /// The id of the listener of this generation that `listener`, of the plan `next`, corresponds to: the one with the
    /// same address. Names count only where listeners share an address, as is possible with port 0.
    fn corresponding_listener(&self, listener: &Listener, next: &Plan) -> Option<ListenerId> {
        let with_address = |plan: &Plan| {
            let all = plan.listeners().iter();
            all.filter(|other| other.bind.text == listener.bind.text).count()
        };
        let shared = with_address(next) > 1 || with_address(self.plan()) > 1;
        self.listeners().find_map(|(id, other)| {
            let same = other.bind.text == listener.bind.text && (!shared || other.name == listener.name);
            same.then_some(id)
        })
    }
}

/// The endpoints that an explanation considers available.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KnownEndpoints {
    /// All declared ones; names are not resolved. For use offline.
    Declared,
    /// Endpoints with a known address, as for live traffic.
    Resolved,
}

struct ExplainedState<'g> {
    generation: &'g Generation,
    endpoints: KnownEndpoints,
}

impl Circumstances for ExplainedState<'_> {
    fn new_id(&self) -> Uuid {
        let unix_ms = u64::try_from(Timestamp::now().as_millisecond()).unwrap_or_default();
        Uuid::v7(unix_ms, [fastrand::u64(..), fastrand::u64(..)])
    }

    fn unix_seconds(&self) -> u64 {
        u64::try_from(Timestamp::now().as_second()).unwrap_or_default()
    }

    fn revision(&self) -> u64 {
        self.generation.number()
    }
}

impl explain::State for ExplainedState<'_> {
    fn has_endpoint(&self, service: ServiceId) -> bool {
        let state = self.generation.service(service);
        match self.endpoints {
            KnownEndpoints::Declared => !state.service().endpoints.is_empty(),
            KnownEndpoints::Resolved => state.has_endpoints(),
        }
    }

    fn nanos(&self) -> u64 {
        self.generation.nanos(Instant::now())
    }

    fn served(&self, listener: usize, host: Option<&str>) -> Option<Served> {
        let tls = self.generation.listener_tls[listener].load();
        tls.as_ref().map(|tls| Served::to_host(tls, host))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use waypost_plan::builder::PlanBuilder;
    use waypost_plan::listener::Bind;
    use waypost_plan::service::{Endpoint, EndpointHost, EndpointScheme, Service};
    use waypost_tls::client::Trust;

    /// A generation with one service and a TLS configuration of its own for it.
    fn with_tls() -> (Generation, Arc<ClientTls>) {
        let mut builder = listening(&[("127.0.0.1:1", None)]);
        let host = EndpointHost::Name("a.test".into());
        let endpoint = Endpoint::new("a.test:443".into(), host, 443, EndpointScheme::Https);
        builder
            .add_service(Service::new("s".into(), vec![endpoint]))
            .unwrap();
        let tls = Arc::new(ClientTls::new(Trust::Unverified, None).unwrap());
        let materials = Materials {
            listeners: Vec::new(),
            services: vec![Some(Arc::clone(&tls))],
            pages: Vec::new(),
            auth: AuthMaterials::default(),
        };
        let generation = Generation::compile(builder.build().unwrap()).unwrap();
        (generation.secured(materials), tls)
    }

    #[test]
    fn kept_service_gets_new_tls_only_when_the_generation_is_applied() {
        let ((live, before), (next, after)) = (with_tls(), with_tls());
        let mut next = next.following(&live);
        let served = || live.services()[0].tls().unwrap();
        assert!(Arc::ptr_eq(&next.services()[0], &live.services()[0]));
        assert!(Arc::ptr_eq(&served(), &before), "a refused apply changes nothing");
        next.update_kept_services();
        assert!(Arc::ptr_eq(&served(), &after));
    }

    fn listening(binds: &[(&str, Option<&str>)]) -> PlanBuilder {
        let mut builder = PlanBuilder::default();
        for (bind, name) in binds {
            let mut listener = Listener::new(Bind::tcp(bind.parse().unwrap()));
            listener.name = name.map(Into::into);
            builder.add_listener(listener).unwrap();
        }
        builder
    }

    fn generation(binds: &[(&str, Option<&str>)]) -> Generation {
        Generation::compile(listening(binds).build().unwrap()).unwrap()
    }

    fn ids(generation: &Generation) -> Vec<u32> {
        generation.listeners.iter().map(|id| id.0).collect()
    }

    #[test]
    fn listener_ids_are_not_reused() {
        let first = generation(&[("127.0.0.1:1", None), ("127.0.0.1:2", None)]);
        let without = generation(&[("127.0.0.1:1", None)]).following(&first);
        let other = generation(&[("127.0.0.1:1", None), ("127.0.0.1:3", None)]).following(&without);
        assert_eq!(
            (ids(&first), ids(&without), ids(&other)),
            (vec![0, 1], vec![0], vec![0, 2])
        );
    }

    #[test]
    fn names_distinguish_only_listeners_with_the_same_address() {
        let first = generation(&[("127.0.0.1:0", None)]);
        let named = generation(&[("127.0.0.1:0", Some("a"))]).following(&first);
        assert_eq!(ids(&named), [0]);
        let two = generation(&[("127.0.0.1:0", Some("b")), ("127.0.0.1:0", Some("a"))]).following(&named);
        assert_eq!(ids(&two), [1, 0]);
    }
}
