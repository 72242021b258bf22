//! A config of the fleet that this instance cannot obey, such as for a port that is taken: what is refused meanwhile, and trying it
//! again, as the cause may go without a word.

use std::time::Duration;

use tokio::time::Instant;
use waypost_admin::problem::Problem;
use waypost_config::diagnostic::{Code, Diagnostic};
use waypost_fleet::record::instance::InstanceRecord;

use super::Control;
use super::activate::Activation;
use crate::state::revision::Origin;

/// The first wait, and the longest. Each is twice the one before.
const WAITS: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(60)];

/// The end of the message of a refusal that is tried again.
const TOLD: &str = "; it is tried again by itself";

/// The times of trying again.
#[derive(Debug)]
pub(super) struct Again {
    due: Option<Instant>,
    wait: Duration,
}

impl Default for Again {
    fn default() -> Self {
        let [wait, _] = WAITS;
        Self { due: None, wait }
    }
}

impl Again {
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    fn put_off(&mut self, now: Instant) {
        let [_, longest] = WAITS;
        self.due = Some(now + self.wait);
        self.wait = (self.wait * 2).min(longest);
    }
}

impl Control {
    /// Refuses what is about splits and endpoints, which are others at other instances if the fleet has a good config that is not
    /// in force at this one.
    pub(super) fn expect_config_of_all(&self) -> Result<(), Problem> {
        match self.unobeyed() {
            None => Ok(()),
            Some(number) => Err(Problem::conflict(format!(
                "the config of the fleet is revision {number}, which this instance cannot obey; {}",
                self.way_out(number, "ask")
            ))),
        }
    }

    /// The good config of the fleet that is not in force at this instance, if there is one.
    pub(super) fn unobeyed(&self) -> Option<u64> {
        let shared = self.source.shared()?;
        let texts = shared.read();
        shared.number_of(&texts).filter(|_| texts != self.active)
    }

    /// The problem of a change of a config that is another one by now.
    pub(super) fn changed_since(&self) -> Problem {
        Problem::stale(match self.unobeyed() {
            Some(number) => format!(
                "the config of the fleet is another one (revision {number}), which this instance cannot obey; {}",
                self.way_out(number, "read it at")
            ),
            None => format!(
                "the config has changed since (revision {}); read it again",
                self.number()
            ),
        })
    }

    /// The remedy where this instance cannot obey a revision: another instance that does, or the way back.
    fn way_out(&self, number: u64, verb: &str) -> String {
        let instances = self.state.shared().map(|shared| &shared.obeyed().instances);
        let mut others = instances.into_iter().flat_map(|instances| instances.iter());
        let obeys =
            |instance: &InstanceRecord| instance.revision == Some(number) && instance.errors.is_empty();
        if let Some((id, _)) = others.find(|(_, instance)| obeys(&instance.value)) {
            return format!("{verb} one that does, such as {id}");
        }
        let own = self.number();
        match self.state.revisions.get(own) {
            Some(_) => format!(
                "none that lives does: mend the cause, or go back to revision {own} by `waypost rollback {own}`"
            ),
            None => "none that lives does: mend the cause, or go back by `waypost rollback`".to_owned(),
        }
    }

    /// Has a config that was just refused be tried again. Returns the words of that; none outside of a fleet, where the
    /// config is changed at the machine itself.
    pub(super) fn expect_again(&mut self) -> &'static str {
        // A canary is taken back.
        if self.tries().is_some() {
            return "";
        }
        let Some(part) = &mut self.part else { return "" };
        part.again = Again::default();
        part.again.put_off(Instant::now());
        TOLD
    }

    /// Tries the config of the fleet again that could not be obeyed here, if it is time. As long as it cannot be, nothing is said.
    pub(super) async fn try_again(&mut self, now: Instant) {
        let Some(part) = &mut self.part else { return };
        if part.again.due.is_none_or(|due| due > now) {
            return;
        }
        part.again.put_off(now);
        let read = self.source.read();
        let texts = match read {
            Ok((texts, version)) if version == self.version && texts != self.active => texts,
            // Another one came, or this one is in force.
            _ => {
                if let Some(part) = &mut self.part {
                    part.again = Again::default();
                }
                return;
            }
        };
        if self.tries().is_some() {
            return;
        }
        let Ok(candidate) = self.check(&texts).await else {
            return;
        };
        let activation = Activation::of_source(Origin::Etcd);
        if self.activate(&texts, candidate, &activation, None).await.is_ok() {
            self.set_last_good();
            self.report_state();
            self.take_number();
            if let Some(part) = &mut self.part {
                part.again = Again::default();
            }
        }
    }
}

/// Returns true if all errors are of files that a config names: they may be there later.
pub(super) fn are_of_files(diagnostics: &[Diagnostic]) -> bool {
    let mut errors = diagnostics.iter().filter(|found| found.is_error());
    errors.all(|error| {
        matches!(
            error.code,
            Code::UnreadableFile
                | Code::BadCertificate
                | Code::BadKeyFile
                | Code::BadPasswordFile
                | Code::BadErrorPage
        )
    })
}
