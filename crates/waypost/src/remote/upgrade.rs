//! `waypost upgrade`: replacing the process of a running gateway.

use waypost_admin::command::Upgraded;

use super::{Client, show};
use crate::Outcome;
use crate::cli::{AdminArgs, Format};

/// Upgrades the gateway, and waits for the result.
pub(crate) fn upgrade(admin: &AdminArgs, format: Format) -> anyhow::Result<Outcome> {
    let upgraded = Client::new(admin)?.act("POST", "/api/v1/upgrade", None)?;
    show(upgraded, format, in_words)
}

fn in_words(upgraded: &Upgraded) -> String {
    format!(
        "upgraded: process {}, version {}, has taken over from process {}, version {}, which drains\n",
        upgraded.pid, upgraded.version, upgraded.pid_before, upgraded.version_before
    )
}
