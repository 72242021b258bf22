//! The entry of a certificate in what the gateway reports of its orders.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use waypost_admin::report::OrderReport;
use waypost_admin::state::AppState;

use super::name::CertificateName;

/// An entry, which the task of a certificate writes until it is closed. Clones share it.
#[derive(Clone)]
pub(super) struct Entry {
    name: Arc<str>,
    /// It is changed under the lock of the report: a task may still run when it is told to end.
    is_closed: Arc<AtomicBool>,
    shared: Arc<AppState>,
}

impl Entry {
    pub(super) fn new(name: &CertificateName, shared: Arc<AppState>) -> Self {
        Self {
            name: name.to_string().into(),
            is_closed: Arc::default(),
            shared,
        }
    }

    /// Writes it, unless there is one of before.
    pub(super) fn announce(&self, written: OrderReport) {
        self.shared.update_report(|report| {
            report.orders.entry(self.name.to_string()).or_insert(written);
        });
    }

    pub(super) fn write(&self, written: OrderReport) {
        self.shared.update_report(|report| {
            if !self.is_closed.load(Ordering::Relaxed) {
                report.orders.insert(self.name.to_string(), written);
            }
        });
    }

    /// Leaves it as it is, for the next task of the certificate.
    pub(super) fn close(&self) {
        self.shared
            .update_report(|_| self.is_closed.store(true, Ordering::Relaxed));
    }

    /// Removes it.
    pub(super) fn remove(&self) {
        self.shared.update_report(|report| {
            self.is_closed.store(true, Ordering::Relaxed);
            report.orders.remove(&*self.name);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use waypost_admin::report::OrderState;
    use waypost_plan::acme::Acme;

    fn report(failures: u32) -> OrderReport {
        OrderReport {
            hosts: vec!["a.test".to_owned()],
            directory: "https://ca.test/".to_owned(),
            state: OrderState::Waiting,
            valid_until: None,
            failing_since: None,
            failures,
            error: None,
            next: None,
        }
    }

    #[tokio::test]
    async fn task_that_was_told_to_end_writes_nothing_any_more() {
        let (shared, _commands) = AppState::new("1", Default::default());
        let shared = Arc::new(shared);
        let name = CertificateName::of(&Acme {
            email: None,
            directory: "https://ca.test/".into(),
            hosts: vec!["a.test".into()],
            eab: None,
            ca: None,
        });
        let failures = || {
            let report = shared.report();
            report.orders.get(&name.to_string()).map(|order| order.failures)
        };
        let first = Entry::new(&name, Arc::clone(&shared));
        let of_task = first.clone();
        of_task.write(report(1));
        first.close();
        of_task.write(report(2));
        assert_eq!(failures(), Some(1));
        let second = Entry::new(&name, Arc::clone(&shared));
        second.announce(report(3));
        assert_eq!(failures(), Some(1), "it stays until there is news");
        second.write(report(4));
        assert_eq!(failures(), Some(4));
        second.remove();
        of_task.write(report(5));
        second.write(report(6));
        assert_eq!(failures(), None);
    }
}
