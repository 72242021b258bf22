//! Canaries: a config that some instances try before all take it, or none does.
//!
//! The record under `canary` says all: an instance that is chosen obeys its texts while it is under way, and the leader
//! advances it at every look by what the instances say of themselves. The instance that began it only looks for the verdict.

use std::str::FromStr;
use std::time::Duration;

use crate::record::WriteId;
use crate::record::canary::{CanaryRecord, Stage};
use crate::view::View;

/// The time in which all chosen instances have to take it.
const TAKING_MAX: Duration = Duration::from_secs(60);

/// The time that a step counts at most: a leader that stood still has seen nothing meanwhile.
const STEP_MAX: Duration = Duration::from_secs(2);

/// The time after which the age is written, so that another leader goes on from there.
const AGE_WRITTEN: Duration = Duration::from_secs(10);

/// The most instances whose reasons a verdict has, and the most characters of all of them.
const REASONS_MAX: usize = 8;
const WHY_CHARS_MAX: usize = 1900;

/// The number of instances that try a config.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Count {
    /// So many.
    Instances(u32),
    /// So many in a hundred of those that live, rounded up.
    Percent(u32),
}

/// A text that is no count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a number of instances from 1, or a share from 1% to 100%, is expected")]
pub struct CountError;

impl FromStr for Count {
    type Err = CountError;

    fn from_str(text: &str) -> Result<Self, CountError> {
        let (digits, is_percent) = match text.strip_suffix('%') {
            Some(digits) => (digits, true),
            None => (text, false),
        };
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(CountError);
        }
        match (digits.parse().map_err(|_| CountError)?, is_percent) {
            (0, _) | (101.., true) => Err(CountError),
            (share, true) => Ok(Self::Percent(share)),
            (number, false) => Ok(Self::Instances(number)),
        }
    }
}

/// Why no instances can be chosen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChooseError {
    /// The instance that was asked has no key.
    #[error("this instance is not among those that live")]
    NotAlive,
    /// More are wanted than there are.
    #[error("{wanted} instances are to try it, and {healthy} of {live} are healthy")]
    TooFew {
        /// The number that is wanted.
        wanted: usize,
        /// The number of those that could take it.
        healthy: usize,
        /// The number of those that live.
        live: usize,
    },
}

/// Chooses the instances that try a config: the one that was asked, then healthy ones in the order of their ids.
///
/// # Errors
/// There are not so many, or the one that was asked does not live.
pub fn choose(view: &View, asked: &str, count: Count) -> Result<Vec<String>, ChooseError> {
    let live = view.instances.len();
    if !view.instances.contains_key(asked) {
        return Err(ChooseError::NotAlive);
    }
    let wanted = match count {
        Count::Instances(number) => usize::try_from(number).unwrap_or(usize::MAX),
        Count::Percent(share) => {
            let share = usize::try_from(share).unwrap_or(usize::MAX);
            live.saturating_mul(share).div_ceil(100)
        }
    };
    let others = view
        .instances
        .iter()
        .filter(|(id, instance)| &***id != asked && instance.value.healthy);
    let others = others.map(|(id, _)| &**id);
    let chosen: Vec<String> = [asked]
        .into_iter()
        .chain(others)
        .take(wanted.max(1))
        .map(str::to_owned)
        .collect();
    if chosen.len() < wanted {
        return Err(ChooseError::TooFew {
            wanted,
            healthy: chosen.len(),
            live,
        });
    }
    Ok(chosen)
}

/// An instance with a canary that it was chosen for, as a view shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It has not said yet that it tries it.
    Waiting,
    /// It tries it, and is healthy.
    Healthy,
    /// It cannot obey it, or requests do not fare well with it.
    Failed(String),
    /// It does not live any more.
    Gone,
}

/// The standing of a chosen instance with a canary under way.
pub fn standing(view: &View, canary: &CanaryRecord, id: &str) -> Standing {
    let Some(instance) = view.instances.get(id) else {
        return Standing::Gone;
    };
    let instance = &instance.value;
    let mut errors = instance.errors.iter();
    let error = errors.find(|error| error.canary.as_ref() == Some(&canary.id));
    if let Some(error) = error {
        return Standing::Failed(error.why.clone());
    }
    if instance.canary.as_ref() != Some(&canary.id) {
        // Who had it has lost it: its process was started anew.
        return match canary.stage {
            Stage::Holding => Standing::Failed("it does not try it any more".to_owned()),
            _ => Standing::Waiting,
        };
    }
    match (&instance.unhealthy, instance.healthy) {
        (Some(why), _) => Standing::Failed(why.clone()),
        (None, true) => Standing::Healthy,
        (None, false) => match canary.stage {
            Stage::Holding => Standing::Failed("it is not healthy with it".to_owned()),
            _ => Standing::Waiting,
        },
    }
}

/// The leader's clock of the canary that is under way. Another leader goes on from the age in the record.
#[derive(Debug, Default)]
pub struct Clock {
    /// The canary and its stage, with the time in it.
    stage: Option<(WriteId, Stage, Duration)>,
}

impl Clock {
    /// The time until the hold is over, by the last step; `None` while none is held.
    pub fn remaining(&self, view: &View) -> Option<Duration> {
        let record = &view.canary.as_ref()?.value;
        let (id, stage, age) = self.stage.as_ref()?;
        let is_held = *id == record.id && *stage == Stage::Holding && record.stage == Stage::Holding;
        is_held.then(|| Duration::from_millis(record.hold_ms).saturating_sub(*age))
    }

    /// Judges the canary by a view, `elapsed` after the last call. Returns its record from now on if that is to be written.
    pub fn step(&mut self, view: &View, elapsed: Duration) -> Option<CanaryRecord> {
        let record = view.canary.as_ref().map(|canary| &*canary.value);
        let Some(record) = record.filter(|record| record.is_under_way()) else {
            self.stage = None;
            return None;
        };
        let written = Duration::from_millis(record.age_ms);
        let age = match &self.stage {
            Some((id, stage, age)) if *id == record.id && *stage == record.stage => {
                (*age).max(written) + elapsed.min(STEP_MAX)
            }
            _ => written,
        };
        self.stage = Some((record.id.clone(), record.stage.clone(), age));
        let stage = next(record, view, age);
        let (stage, age_ms) = match stage {
            Some(stage) => (stage, 0),
            None if age >= written + AGE_WRITTEN => {
                let age_ms = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
                (record.stage.clone(), age_ms)
            }
            None => return None,
        };
        Some(CanaryRecord {
            stage,
            age_ms,
            ..record.clone()
        })
    }
}

/// The stage that follows, if it does now.
fn next(record: &CanaryRecord, view: &View, age: Duration) -> Option<Stage> {
    let taken_back = |why: &str| Some(Stage::TakenBack(why.to_owned()));
    let config = view.config.as_ref().map(|config| config.digest);
    if config != record.base {
        return taken_back("the config was changed meanwhile");
    }
    if view.canary_config.is_none() {
        return taken_back("its texts are not complete");
    }
    let mut waiting = None;
    let mut reasons: Vec<String> = Vec::new();
    for id in &record.chosen {
        match standing(view, record, id) {
            Standing::Healthy => {}
            Standing::Waiting => {
                waiting.get_or_insert(id);
            }
            Standing::Failed(why) => reasons.push(format!("`{id}`: {why}")),
            Standing::Gone => reasons.push(format!("`{id}` has gone")),
        }
    }
    if !reasons.is_empty() {
        let more = reasons.len().saturating_sub(REASONS_MAX);
        reasons.truncate(REASONS_MAX);
        if more > 0 {
            reasons.push(format!("and {more} more"));
        }
        let why: String = reasons.join("; ").chars().take(WHY_CHARS_MAX).collect();
        return Some(Stage::TakenBack(why));
    }
    match (&record.stage, waiting) {
        (Stage::Taking, None) if record.hold_ms > 0 => Some(Stage::Holding),
        (Stage::Taking, Some(id)) if age >= TAKING_MAX => Some(Stage::TakenBack(format!(
            "`{id}` has not taken it in {} s",
            TAKING_MAX.as_secs()
        ))),
        (_, Some(_)) => None,
        // The number is given where it is written.
        (_, None) if age >= Duration::from_millis(record.hold_ms) => Some(Stage::Passed(0)),
        (_, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_numbers_or_shares() {
        for (text, expected) in [
            ("1", Some(Count::Instances(1))),
            ("1000", Some(Count::Instances(1000))),
            ("25%", Some(Count::Percent(25))),
            ("100%", Some(Count::Percent(100))),
            ("0", None),
            ("0%", None),
            ("101%", None),
            ("", None),
            ("%", None),
            ("-1", None),
            ("+1", None),
            ("1.5%", None),
            ("4294967296", None),
        ] {
            assert_eq!(text.parse().ok(), expected, "{text}");
        }
    }
}
