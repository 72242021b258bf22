//! Renewing the files that the active config names, and ordering the certificates that authorities issue.

use std::sync::Arc;

use waypost_admin::state::AppState;
use waypost_proxy::generation::Generation;

use super::Control;
use super::stored::log_damaged;
use crate::acme::{Orders, Store};
use crate::certificates::Certificates;
use crate::log;
use crate::source::Source;
use crate::state::State;

impl Control {
    /// Reads the files that the config names again. Connections keep the certificates they began with.
    pub(super) fn renew_certificates(&mut self) {
        let generation = self.gateway.generation();
        let files = self
            .certificates
            .renew(generation.plan(), &self.active, &self.source);
        generation.secure(files.materials);
        self.certificates.watch(files.watch);
        self.report_certificates();
        self.follow_orders();
        for diagnostic in &files.diagnostics {
            log::warn(&diagnostic.message);
        }
        if self.certificates.stale().is_empty() {
            log::info(files.renewed.unwrap_or("the certificates were read again"));
        }
    }

    /// Has the certificates ordered that the active config wants.
    pub(super) fn follow_orders(&mut self) {
        let generation = self.gateway.generation();
        self.orders.follow(generation.plan(), self.certificates.acme());
        self.allow_orders();
    }

    /// Orders as long as this process has the state, or leads the fleet.
    pub(super) fn allow_orders(&self) {
        self.orders.allow(self.is_in_charge() && !self.is_frozen());
    }

    /// Serves what the leader of the fleet has ordered, and answers the challenges of its orders, if they are other ones.
    pub(super) fn take_orders(&mut self) {
        let (Some(shared), Some(part)) = (self.state.shared(), &mut self.part) else {
            return;
        };
        let ordered = &shared.obeyed().certificates;
        if Arc::ptr_eq(&part.ordered, ordered) {
            return;
        }
        let before = std::mem::replace(&mut part.ordered, Arc::clone(ordered));
        let told = part.taken.told();
        let is_the_same = |name: &str| {
            ordered
                .get(name)
                .is_some_and(|kept| before.get(name) == Some(kept))
        };
        part.taken.retain(is_the_same);
        let opened = shared.fleet.open(shared.obeyed(), &before);
        part.taken.troubles.extend(opened.troubles);
        self.orders.take_over(&opened.secrets, &mut part.taken);
        let challenges = part.taken.challenges.values().flatten().cloned();
        self.gateway.generation().challenges().set(challenges);
        for trouble in part
            .taken
            .troubles
            .values()
            .filter(|trouble| !told.contains(trouble))
        {
            log::warn(trouble);
        }
    }
}

/// The orders of a gateway that starts, with what was issued before.
pub(super) async fn recall_orders(
    source: &Source,
    state: &mut State,
    certificates: &Certificates,
    generation: &Generation,
    shared: &Arc<AppState>,
) -> Orders {
    let store = match source {
        Source::Disk(_) => Store::on_disk(state.directory(), Arc::clone(generation.challenges())),
        Source::Fleet(shared) => Store::in_fleet(Arc::clone(shared.fleet())),
    };
    let orders = Orders::new(store, certificates.issued().clone(), Arc::clone(shared));
    let damaged = orders.recall(state.is_claimed()).await;
    damaged.iter().for_each(log_damaged);
    state.damaged.extend(damaged);
    orders
}
