//! Certificates without the feature `acme`: none is ordered, and the status says so.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use waypost_admin::report::{OrderReport, OrderState};
use waypost_admin::state::AppState;
use waypost_plan::Plan;
use waypost_plan::acme::Acme;
use waypost_proxy::challenges::Challenges;

use super::issued::Issued;
use super::taken::Taken;
use crate::certificates::acme_files::AcmeFiles;
use crate::checksummed::Damaged;
use crate::fleet::{Fleet, Secret};

/// A store with nothing in it.
#[derive(Debug)]
pub(crate) struct Store;

impl Store {
    pub(crate) fn on_disk(_: &Path, _: Arc<Challenges>) -> Self {
        Self
    }

    pub(crate) fn in_fleet(_: Arc<Fleet>) -> Self {
        Self
    }
}

/// Orders that are not made.
pub(crate) struct Orders {
    shared: Arc<AppState>,
}

impl Orders {
    pub(crate) fn new(_: Store, _: Issued, shared: Arc<AppState>) -> Self {
        Self { shared }
    }

    pub(crate) async fn recall(&self, _: bool) -> Vec<Damaged> {
        Vec::new()
    }

    pub(crate) fn follow(&mut self, _: &Plan, wanted: &[(Arc<Acme>, AcmeFiles)]) {
        let reports = wanted.iter().map(|(acme, _)| {
            let hosts: Vec<String> = acme.hosts.iter().map(ToString::to_string).collect();
            let report = OrderReport {
                directory: acme.directory.to_string(),
                state: OrderState::Failing,
                valid_until: None,
                failing_since: None,
                failures: 0,
                error: Some("this binary was built without the feature `acme`".to_owned()),
                next: None,
                hosts: hosts.clone(),
            };
            (hosts.join(","), report)
        });
        let reports = reports.collect();
        self.shared.update_report(|report| report.orders = reports);
    }

    pub(crate) fn take_over(&self, _: &BTreeMap<String, Secret>, _: &mut Taken) {}

    pub(crate) fn allow(&self, _: bool) {}

    pub(crate) fn turn_test_clock(&self, _: u64, _: Option<Timestamp>) {}
}
