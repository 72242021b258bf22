//! The report that the admin API reads.

use jiff::Timestamp;
use tokio::time::Instant;
use waypost_admin::events::EventKind;
use waypost_admin::report::{FailedLoad, Pending as PendingReport, StateReport};
use waypost_config::diagnostic::{self, Diagnostic};
use waypost_config::render::SHOWN_MAX;

use super::Control;
use super::stored::damaged_view;
use crate::log;
use crate::source::Version;
use crate::state::revisions;
use crate::texts::Texts;

impl Control {
    /// Reports the state directory and the change that waits for confirmation.
    pub(super) fn report_state(&self) {
        let state = StateReport {
            directory: self.state.directory().display().to_string(),
            writable: self.state.is_writable(),
            troubles: self.state.troubles(),
            damaged: self.state.damaged.iter().map(damaged_view).collect(),
        };
        let pending = self.pending.as_ref().map(|pending| {
            let revision = self.state.revisions.get(pending.revision);
            let hash = revisions::hash(&pending.reverts_to);
            let before = self
                .state
                .revisions
                .newest_first()
                .find(|revision| revision.hash == hash);
            PendingReport {
                revision: pending.revision,
                reverts_at: timestamp_of(pending.deadline),
                reverts_to: before.map_or(0, |revision| revision.number),
                by: revision
                    .and_then(|revision| revision.by.clone())
                    .unwrap_or_default(),
            }
        });
        self.shared.update_report(|report| {
            report.state = state;
            report.pending = pending;
        });
    }

    /// Reports and logs certificate files whose last good version is in use, and logs which certificates are not issued yet.
    pub(super) fn report_certificates(&mut self) {
        let stale = self.certificates.stale().to_vec();
        // The status comes first: a reader of the log may ask for it at once.
        self.shared
            .update_report(|report| report.stale_files.clone_from(&stale));
        for message in &stale {
            log::warn(format_args!("{message}; the last good version stays in use"));
        }
        for acme in self.certificates.tell_placeholders() {
            log::warn(format_args!(
                "a self-signed certificate is served for {} until {} has issued one",
                acme.hosts.join(", "),
                acme.directory
            ));
        }
    }

    /// Reports a config that was refused.
    pub(super) fn note_refusal(&self, message: &str, diagnostics: Vec<serde_json::Value>) {
        self.shared.update_report(|report| {
            report.refused += 1;
            report.failed = Some(FailedLoad {
                time: Timestamp::now(),
                message: message.to_owned(),
                diagnostics,
            });
        });
        self.shared.events.publish(EventKind::Refused {
            message: message.to_owned(),
        });
    }

    /// Clears the report of a refusal once the active texts are those of the source.
    pub(super) fn clear_refusal(&mut self) {
        let failed = self.shared.report().failed.is_some();
        let is_active = |(texts, _): (Texts, Version)| texts == self.active;
        if failed && self.source.read().is_ok_and(is_active) {
            self.shared.update_report(|report| report.failed = None);
        }
    }
}

/// The time of day at a future instant.
pub(super) fn timestamp_of(instant: Instant) -> Timestamp {
    let ahead = instant.saturating_duration_since(Instant::now());
    Timestamp::now().checked_add(ahead).unwrap_or(Timestamp::MAX)
}

/// The diagnostics as JSON, up to the number that is shown.
pub(crate) fn diagnostics_view(diagnostics: &[Diagnostic]) -> Vec<serde_json::Value> {
    let shown = diagnostics.len().min(SHOWN_MAX);
    match diagnostic::to_json(&diagnostics[..shown]) {
        serde_json::Value::Array(list) => list,
        other => vec![other],
    }
}
