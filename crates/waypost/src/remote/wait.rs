//! `--wait`: waiting until all instances of a fleet obey a change.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use waypost_admin::fleet::{FleetView, InstanceState, InstanceView};
use waypost_plan::duration;

use super::{Client, Response};
use crate::Outcome;
use crate::cli::{AdminArgs, WaitArgs};
use crate::output::{self, count};

/// The interval of looking again. No event tells that an instance obeys: it says so in its record in etcd, of which the gateway
/// that is asked has a copy in memory.
const INTERVAL: Duration = Duration::from_millis(100);

/// The time that instances with errors get to lose them: an error may be that of an earlier change.
const ERRORS_HOLD: Duration = Duration::from_secs(3);

const NOT_FOUND: u16 = 404;

/// The thing that a command has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Changed {
    /// The config of all.
    Config,
    /// Weights, or endpoints in use: those of the config that is in force.
    Weights,
}

/// After a command that was carried out, waits until all instances of the fleet obey what it changed. Bad if some do not.
pub(crate) fn after(
    outcome: anyhow::Result<Outcome>,
    changed: Changed,
    admin: &AdminArgs,
    wait: &WaitArgs,
) -> anyhow::Result<Outcome> {
    match (outcome, &wait.wait) {
        (Ok(Outcome::Good), Some(patience)) => {
            let patience =
                duration::parse(patience).map_err(|error| anyhow::anyhow!("`--wait={patience}`: {error}"))?;
            obeyed(&Client::new(admin)?, changed, patience)
        }
        (outcome, _) => outcome,
    }
}

fn obeyed(client: &Client, changed: Changed, patience: Duration) -> anyhow::Result<Outcome> {
    let until = Instant::now() + patience;
    let error_until = Instant::now() + ERRORS_HOLD.min(patience);
    let mut wanted = None;
    loop {
        let fleet: Response<FleetView> = client.get("/api/v1/fleet").context("the change was made")?;
        let fleet = match fleet {
            Ok(fleet) => fleet,
            // There are no others.
            Err(problem) if problem.status == NOT_FOUND => return Ok(Outcome::Good),
            Err(problem) => {
                output::eprint(&format!("waypost: {}\n", problem.detail));
                return Ok(Outcome::Bad);
            }
        };
        // The gateway that made the change knows of it.
        let wanted = *wanted.get_or_insert(fleet.rules);
        let behind = behind(&fleet, changed, wanted);
        let now = Instant::now();
        let have_errors = behind
            .iter()
            .all(|instance| instance.state == InstanceState::Error);
        if behind.is_empty() || now >= until || have_errors && now >= error_until {
            return Ok(tell(&fleet, &behind));
        }
        thread::sleep(INTERVAL);
    }
}

/// The instances that do not obey everything up to a revision of the store.
fn behind(fleet: &FleetView, changed: Changed, wanted: i64) -> Vec<&InstanceView> {
    let is_in_the_way = |instance: &InstanceView| match changed {
        Changed::Config => instance.state == InstanceState::Error,
        // A text that is good nowhere keeps no weights from being in force. A revision that others obey does.
        Changed::Weights => instance.errors.iter().any(|error| error.revision.is_some()),
    };
    let is_behind = |instance: &&InstanceView| instance.obeys < wanted || is_in_the_way(instance);
    fleet.instances.iter().filter(is_behind).collect()
}

/// Names the instances that are behind, on standard error, as standard output has the answer of the command.
fn tell(fleet: &FleetView, behind: &[&InstanceView]) -> Outcome {
    let all = count(fleet.instances.len(), "instance");
    if behind.is_empty() {
        output::eprint(&format!("obeyed by {all}\n"));
        return Outcome::Good;
    }
    output::eprint(&format!("waypost: not obeyed by {} of {all}:\n", behind.len()));
    for instance in behind {
        let why = match instance.errors.last() {
            Some(error) => error.why.clone(),
            None => "no answer to it yet".to_owned(),
        };
        output::eprint(&format!("{}: {why}\n", instance.id));
    }
    if let Some(away) = fleet.status().away() {
        output::eprint(&format!("waypost: {away}\n"));
    }
    Outcome::Bad
}
