//! `waypost fleet`: the instances of the fleet that a running gateway belongs to.

use std::fmt::Write as _;

use waypost_admin::fleet::FleetView;

use super::table::Table;
use super::{Client, canary, refused};
use crate::Outcome;
use crate::cli::{AdminArgs, Format};
use crate::output;

/// The form of times.
const TIME: &str = "%Y-%m-%dT%H:%M:%SZ";

/// Prints the fleet. Bad if an instance does not obey it, or etcd is away.
pub(crate) fn fleet(admin: &AdminArgs, format: Format) -> anyhow::Result<Outcome> {
    let fleet: FleetView = match Client::new(admin)?.get("/api/v1/fleet")? {
        Ok(fleet) => fleet,
        Err(problem) => return refused(&problem, format),
    };
    match format {
        Format::Text => output::print(&in_words(&fleet))?,
        Format::Json => {
            output::print_json(&fleet)?;
        }
    }
    Ok(if fleet.ok { Outcome::Good } else { Outcome::Bad })
}

fn in_words(fleet: &FleetView) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(text, "{name:<11}{value}");
    };
    line(
        "fleet",
        &format!("{} at {}", fleet.prefix, fleet.endpoints.join(", ")),
    );
    line("status", if fleet.ok { "ok" } else { "needs attention" });
    match fleet.status().away() {
        Some(away) => line("etcd", &away),
        None => line(
            "etcd",
            &format!("ok, revision {} of its store", fleet.store_revision),
        ),
    }
    line("revision", &number(fleet.revision));
    line("leader", fleet.leader.as_deref().unwrap_or("-"));
    if let Some(canary) = fleet.canary_under_way() {
        let by = canary.by.as_ref().map(|by| format!(" by {by}"));
        line(
            "canary",
            &format!(
                "{}{} is tried by {}: {}",
                canary.id,
                by.unwrap_or_default(),
                canary.instances(),
                canary::progress(canary)
            ),
        );
    }
    for trouble in &fleet.troubles {
        line("trouble", trouble);
    }
    for hint in &fleet.hints {
        line("hint", hint);
    }
    let mut table = Table::new(&["INSTANCE", "STATE", ">REVISION", "SINCE", "VERSION", "ADMIN"]);
    for instance in &fleet.instances {
        let since = instance.since.map(|since| since.strftime(TIME).to_string());
        table.row([
            mark(&instance.id, instance.id == fleet.instance),
            state(instance.state.as_str(), instance.canary),
            number(instance.revision),
            since.unwrap_or_else(|| "-".to_owned()),
            instance.version.clone(),
            instance.admin.clone().unwrap_or_else(|| "-".to_owned()),
        ]);
    }
    text.push('\n');
    text.push_str(&table.text());
    if fleet
        .instances
        .iter()
        .any(|instance| instance.id == fleet.instance)
    {
        text.push_str("* the instance that was asked\n");
    }
    for instance in &fleet.instances {
        for error in &instance.errors {
            let of = match error.revision {
                Some(revision) => format!("revision {revision}: "),
                None => String::new(),
            };
            let _ = writeln!(text, "{}: {of}{}", instance.id, error.why);
        }
        if let Some(why) = &instance.unhealthy {
            let _ = writeln!(text, "{}: {why}", instance.id);
        }
    }
    text
}

/// The instance that was asked has a star.
fn mark(id: &str, is_asked: bool) -> String {
    format!("{id}{}", if is_asked { "*" } else { "" })
}

fn state(word: &str, is_canary: bool) -> String {
    format!("{word}{}", if is_canary { ", canary" } else { "" })
}

fn number(number: Option<u64>) -> String {
    number.map_or_else(|| "-".to_owned(), |number| number.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fleet_is_a_few_lines_and_a_table() {
        let fleet: FleetView = serde_json::from_value(serde_json::json!({
            "ok": false,
            "prefix": "/waypost/prod",
            "endpoints": ["10.0.0.1:2379", "10.0.0.2:2379"],
            "available": false,
            "away_since": "2026-01-02T03:04:05Z",
            "why": "no leader",
            "cached": false,
            "store_revision": 7,
            "revision": 12,
            "instance": "a-1",
            "leader": "b-2",
            "instances": [
                {
                    "id": "a-1", "state": "ok", "leader": false, "admin": "http://10.0.0.3:9900", "version": "0.1.0",
                    "started": "2026-01-02T03:04:05Z", "revision": 12, "since": "2026-01-02T03:04:05Z", "obeys": 7,
                    "canary": false, "healthy": true, "errors": [],
                },
                {
                    "id": "b-2", "state": "error", "leader": true, "admin": null, "version": "0.1.0",
                    "started": "2026-01-02T03:04:05Z", "revision": 11, "since": null, "obeys": 5,
                    "canary": true, "healthy": false, "errors": [{ "revision": 12, "why": "the port is taken" }],
                },
            ],
            "canary": {
                "id": "5f", "stage": "holding", "hold_ms": 60000, "time": "2026-01-02T03:04:05Z", "by": "ann",
                "summary": "route `users` changed",
                "instances": [{ "id": "b-2", "state": "failed", "why": "the port is taken" }, { "id": "a-1", "state": "healthy" }],
            },
            "troubles": ["etcd: permission denied: write /waypost/prod/instances/a-1"],
            "hints": ["instance b-2 has no admin API that others reach"],
        }))
        .unwrap();
        assert_eq!(
            in_words(&fleet),
            "\
fleet      /waypost/prod at 10.0.0.1:2379, 10.0.0.2:2379
status     needs attention
etcd       etcd is away since 2026-01-02T03:04:05Z: no leader; what it said last is served, and changes are refused
revision   12
leader     b-2
canary     5f by ann is tried by b-2, a-1: 1 of 2 have it; it passes once all have been healthy for 1m
trouble    etcd: permission denied: write /waypost/prod/instances/a-1
hint       instance b-2 has no admin API that others reach

INSTANCE  STATE          REVISION  SINCE                 VERSION  ADMIN
a-1*      ok                   12  2026-01-02T03:04:05Z  0.1.0    http://10.0.0.3:9900
b-2       error, canary        11  -                     0.1.0    -
* the instance that was asked
b-2: revision 12: the port is taken
"
        );
    }
}
