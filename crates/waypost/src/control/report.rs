//! What the control says of itself: in the report that the admin API reads, and on standard error.

use jiff::Timestamp;
use tokio::time::Instant;
use waypost_admin::events::EventKind;
use waypost_admin::report::{FailedLoad, Pending as PendingReport, StateReport};
use waypost_config::diagnostic::{self, Diagnostic};
use waypost_config::render::SHOWN_MAX;

use super::stored::damaged_view;
use super::{Control, disk};
use crate::config::Texts;
use crate::load;
use crate::load::Checked;
use crate::output::{self, eprint};
use crate::state::revisions;

impl Control {
    /// Says in the report how the state is, and what waits to be confirmed.
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

    /// Says in the report, and aloud, which files are not as they should be.
    pub(super) fn report_secrets(&self) {
        let stale = self.secrets.stale().to_vec();
        for message in &stale {
            eprint(&format!(
                "waypost: {message}; the last good version stays in use\n"
            ));
        }
        self.shared.update_report(|report| report.stale_files = stale);
    }

    /// Notes a config that was refused.
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

    /// Notes that what is on disk is in force, if it is.
    pub(super) fn note_mended(&mut self) {
        let failed = self.shared.report().failed.is_some();
        if failed && disk::read(&self.path, self.in_force.kind) == self.in_force {
            self.shared.update_report(|report| report.failed = None);
        }
    }
}

/// The time of day at an instant to come.
pub(super) fn timestamp_of(instant: Instant) -> Timestamp {
    let ahead = instant.saturating_duration_since(Instant::now());
    Timestamp::now().checked_add(ahead).unwrap_or(Timestamp::MAX)
}

/// The diagnostics as JSON, as many as are shown.
pub(super) fn diagnostics_view(diagnostics: &[Diagnostic]) -> Vec<serde_json::Value> {
    let shown = diagnostics.len().min(SHOWN_MAX);
    match diagnostic::to_json(&diagnostics[..shown]) {
        serde_json::Value::Array(list) => list,
        other => vec![other],
    }
}

/// Warnings, on standard error.
pub(super) fn say_warnings(texts: &Texts, checked: &Checked) {
    eprint(&load::render(
        &checked.warnings,
        texts,
        output::stderr_has_colors(),
    ));
}
