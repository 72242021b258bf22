//! The canary of the fleet, as the admin API shows it and events tell of it.

use waypost_admin::canary::{CanaryInstance, CanaryStage, CanaryState, CanaryView};
use waypost_admin::events::EventKind;
use waypost_fleet::canary::{Standing, standing};
use waypost_fleet::record::WriteId;
use waypost_fleet::record::canary::{CanaryRecord, Stage};
use waypost_fleet::view::View;

use super::Shared;
use crate::log;

/// The id of the canary under way.
pub(super) fn under_way(view: &View) -> Option<WriteId> {
    let canary = &view.canary.as_ref()?.value;
    canary.is_under_way().then(|| canary.id.clone())
}

/// The canary that is under way, or was last.
pub(super) fn view(view: &View) -> Option<CanaryView> {
    let canary = &*view.canary.as_ref()?.value;
    let instances = canary.chosen.iter().map(|id| instance(view, canary, id));
    let (stage, revision, why) = match &canary.stage {
        Stage::Taking => (CanaryStage::Taking, None, None),
        Stage::Holding => (CanaryStage::Holding, None, None),
        Stage::Passed(number) => (CanaryStage::Passed, Some(*number), None),
        Stage::TakenBack(why) => (CanaryStage::TakenBack, None, Some(why.clone())),
    };
    Some(CanaryView {
        id: canary.id.to_string(),
        stage,
        instances: instances.collect(),
        hold_ms: canary.hold_ms,
        time: canary.draft.time,
        by: canary.draft.by.clone(),
        summary: canary.draft.summary.clone(),
        revision,
        why,
    })
}

fn instance(view: &View, canary: &CanaryRecord, id: &str) -> CanaryInstance {
    let (state, why) = match standing(view, canary, id) {
        _ if !canary.is_under_way() => (None, None),
        Standing::Waiting => (Some(CanaryState::Waiting), None),
        Standing::Healthy => (Some(CanaryState::Healthy), None),
        Standing::Failed(why) => (Some(CanaryState::Failed), Some(why)),
        Standing::Gone => (Some(CanaryState::Gone), None),
    };
    CanaryInstance {
        id: id.to_owned(),
        state,
        why,
    }
}

/// Tells of the beginning and the end of canaries.
pub(super) fn tell(shared: &Shared, before: &View, after: &View) {
    let record = |view: &View| Some(view.canary.as_ref()?.value.clone());
    let (was, Some(is)) = (record(before), record(after)) else {
        return;
    };
    let known = was.filter(|was| was.id == is.id);
    let id = is.id.to_string();
    if known.is_none() {
        let by = is.draft.by.as_deref().map(|by| format!(" by {by}"));
        log::info(format_args!(
            "canary {id}{} is tried by {}: {}",
            by.unwrap_or_default(),
            is.chosen.join(", "),
            is.draft.summary
        ));
        shared.publish(EventKind::CanaryBegun {
            id: id.clone(),
            instances: is.chosen.clone(),
            summary: is.draft.summary.clone(),
            by: is.draft.by.clone(),
        });
    }
    if known.is_some_and(|was| was.stage == is.stage) {
        return;
    }
    match &is.stage {
        Stage::Taking => {}
        Stage::Holding => log::info(format_args!("canary {id} is healthy at all that try it")),
        Stage::Passed(revision) => {
            log::info(format_args!("canary {id} has passed, as revision {revision}"));
            shared.publish(EventKind::CanaryPassed {
                id,
                revision: *revision,
            });
        }
        Stage::TakenBack(why) => {
            log::warn(format_args!("canary {id} was taken back: {why}"));
            shared.publish(EventKind::CanaryTakenBack { id, why: why.clone() });
        }
    }
}
