//! `waypost rollout`: starting, following and steering rollouts.

use std::thread;
use std::time::Duration;

use anyhow::bail;
use waypost_admin::rollout::{RolloutAction, RolloutChange, RolloutView, StartRollout};

use super::client::segment;
use super::standing::in_words;
use super::table::Table;
use super::wait::Changed;
use super::{Client, refused, show, wait};
use crate::Outcome;
use crate::cli::{ActOnRollout, AdminArgs, Format, OnRollout, RolloutCommand};
use crate::output;

/// The interval of `--watch`.
const INTERVAL: Duration = Duration::from_secs(1);
/// Clears a terminal and moves the cursor to its upper left corner.
const CLEAR: &str = "\x1b[2J\x1b[H";

/// Runs one of the commands.
pub(crate) fn rollout(command: RolloutCommand) -> anyhow::Result<Outcome> {
    match command {
        RolloutCommand::Start {
            route,
            to,
            plan,
            steps,
            write,
            wait,
            admin,
            format,
        } => {
            let begun = StartRollout {
                to,
                plan,
                steps,
                write,
            };
            wait::after(
                start(&admin, &route, &begun, format),
                Changed::Weights,
                &admin,
                &wait,
            )
        }
        RolloutCommand::Status {
            route,
            watch,
            admin,
            format,
        } => status(&admin, route.as_deref(), watch, format),
        RolloutCommand::Pause(on) => act(&on, RolloutAction::Pause, ""),
        RolloutCommand::Resume(on) => act(&on, RolloutAction::Resume, ""),
        RolloutCommand::Promote(on) => act(&on, RolloutAction::Promote, ""),
        RolloutCommand::Approve(on) => act(&on, RolloutAction::Approve, ""),
        RolloutCommand::Abort(on) => act(&on, RolloutAction::Abort, ""),
        RolloutCommand::Finish { write, on } => {
            act(&on, RolloutAction::Finish, if write { "?write=true" } else { "" })
        }
        RolloutCommand::History(on) => history(&on),
    }
}

fn path(route: &str) -> String {
    format!("/api/v1/routes/{}/rollout", segment(route))
}

fn start(admin: &AdminArgs, route: &str, start: &StartRollout, format: Format) -> anyhow::Result<Outcome> {
    if start.steps.as_ref().is_some_and(Vec::is_empty) {
        bail!("there are no steps; hint: write them as `--steps 1,5,25,50,100`");
    }
    let client = Client::new(admin)?;
    let body = serde_json::to_vec(start)?;
    let started = client.post(&path(route), "application/json", body)?;
    show(started, format, in_words)
}

fn act(acting: &ActOnRollout, action: RolloutAction, query: &str) -> anyhow::Result<Outcome> {
    let on = &acting.on;
    let client = Client::new(&on.admin)?;
    let path = format!("{}/{}{query}", path(&on.route), action.as_str());
    let tag = acting.if_version.as_ref().map(|version| format!("\"{version}\""));
    let done = show(client.act("POST", &path, tag.as_deref())?, on.format, in_words);
    let changed = match query.is_empty() {
        true => Changed::Weights,
        // The weights are written into the config.
        false => Changed::Config,
    };
    wait::after(done, changed, &on.admin, &acting.wait)
}

fn history(on: &OnRollout) -> anyhow::Result<Outcome> {
    let client = Client::new(&on.admin)?;
    let history = client.get(&format!("{}/history", path(&on.route)))?;
    show(history, on.format, |changes: &Vec<RolloutChange>| {
        let mut table = Table::new(&["TIME", "CHANGE", ">SHARE", "BY", "WHY"]);
        for change in changes {
            table.row(&[
                format!("{:.0}", change.time),
                change.change.replace('_', " "),
                change.percent.clone(),
                change.by.clone(),
                change.summary.clone(),
            ]);
        }
        table.text()
    })
}

fn status(admin: &AdminArgs, route: Option<&str>, watch: bool, format: Format) -> anyhow::Result<Outcome> {
    let client = Client::new(admin)?;
    loop {
        let found: Result<Vec<RolloutView>, _> = match route {
            Some(route) => client.get(&path(route))?.map(|one| vec![one]),
            None => client.get("/api/v1/rollouts")?,
        };
        let rollouts = match found {
            Ok(rollouts) => rollouts,
            Err(problem) => return refused(&problem, format),
        };
        match format {
            Format::Text => {
                let text: String = rollouts.iter().map(in_words).collect();
                let text = match text.is_empty() {
                    true => "no route had a rollout so far\n".to_owned(),
                    false => text,
                };
                let clear = if watch && output::stdout_has_colors() {
                    CLEAR
                } else {
                    ""
                };
                output::print(&format!("{clear}{text}"))?;
            }
            Format::Json if watch => output::print(&format!("{}\n", serde_json::to_string(&rollouts)?))?,
            Format::Json => {
                match (route, rollouts.first()) {
                    (Some(_), Some(one)) => output::print_json(one)?,
                    _ => output::print_json(&rollouts)?,
                };
            }
        }
        if !watch {
            return Ok(Outcome::Good);
        }
        thread::sleep(INTERVAL);
    }
}
