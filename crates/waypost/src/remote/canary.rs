//! `waypost apply --canary`, `waypost fleet abort`: following what some instances of a fleet try, and taking it back.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::bail;
use waypost_admin::canary::{CanaryStage, CanaryView};
use waypost_plan::duration;

use super::{Client, Response, show};
use crate::Outcome;
use crate::cli::{AdminArgs, Format};
use crate::output;

const PATH: &str = "/api/v1/fleet/canary";

/// The interval of looking again. Events tell the beginning and the verdict, but not how many instances have the config, and a
/// stream of them has to be opened anew, and what it missed looked up, whenever the gateway restarts: looking is all of that.
const INTERVAL: Duration = Duration::from_millis(200);

/// The time for which the gateway may not answer: it may be restarting.
const PATIENCE: Duration = Duration::from_secs(20);

const NOT_FOUND: u16 = 404;

/// The way on where the gateway that was asked does not answer any more.
const ELSEWHERE: &str =
    "the canary goes on, and any other instance of the fleet tells of it: `waypost fleet`";

/// Follows a canary that was begun to its verdict. Good if it has passed.
pub(super) fn follow(client: &Client, begun: &CanaryView, format: Format) -> anyhow::Result<Outcome> {
    let is_text = format == Format::Text;
    if is_text {
        output::print(&format!(
            "canary {} is tried by {}: {}\nit goes on without this command; `waypost fleet abort` takes it back\n",
            begun.id,
            begun.instances(),
            begun.summary
        ))?;
    }
    let mut told = String::new();
    let mut answered = Instant::now();
    loop {
        let canary = match client.get::<CanaryView>(PATH) {
            Ok(Ok(canary)) => canary,
            Ok(Err(problem)) if problem.status == NOT_FOUND => {
                bail!(
                    "canary {} has no verdict: it is not in etcd any more; `waypost history` says what was applied",
                    begun.id
                );
            }
            Ok(Err(problem)) if answered.elapsed() > PATIENCE => bail!("{}; {ELSEWHERE}", problem.detail),
            Err(error) if answered.elapsed() > PATIENCE => return Err(error.context(ELSEWHERE)),
            Ok(Err(_)) | Err(_) => {
                thread::sleep(INTERVAL);
                continue;
            }
        };
        answered = Instant::now();
        if canary.id != begun.id {
            bail!(
                "the verdict about canary {} is not known any more, as canary {} was begun since; `waypost history` says what \
                 was applied",
                begun.id,
                canary.id
            );
        }
        if canary.stage.is_under_way() {
            let now = progress(&canary);
            if is_text && told != now {
                output::print(&format!("{now}\n"))?;
            }
            told = now;
            thread::sleep(INTERVAL);
            continue;
        }
        return tell(&canary, format);
    }
}

/// Tells the verdict.
fn tell(canary: &CanaryView, format: Format) -> anyhow::Result<Outcome> {
    let has_passed = canary.stage == CanaryStage::Passed;
    match format {
        Format::Json => {
            output::print_json(canary)?;
        }
        Format::Text if has_passed => {
            let number = canary.revision.unwrap_or_default();
            output::print(&format!(
                "it has passed: revision {number} is the config of all\n"
            ))?;
        }
        Format::Text => {
            let why = canary.why.as_deref().unwrap_or_default();
            output::eprint(&format!("waypost: it was taken back: {why}\n"));
        }
    }
    Ok(match has_passed {
        true => Outcome::Good,
        false => Outcome::Bad,
    })
}

/// The progress of a canary under way, in words.
pub(super) fn progress(canary: &CanaryView) -> String {
    let (healthy, all) = (canary.healthy(), canary.instances.len());
    let hold = duration::format(Duration::from_millis(canary.hold_ms));
    match canary.stage {
        CanaryStage::Taking => format!("{healthy} of {all} have it"),
        _ => format!("{healthy} of {all} have it; it passes once all have been healthy for {hold}"),
    }
}

/// Takes back what instances try.
pub(crate) fn abort(admin: &AdminArgs, format: Format) -> anyhow::Result<Outcome> {
    let aborted: Response<CanaryView> = Client::new(admin)?.act("DELETE", PATH, None)?;
    show(aborted, format, |canary| {
        format!("canary {} is taken back: {}\n", canary.id, canary.summary)
    })
}
