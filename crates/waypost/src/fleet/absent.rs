//! A fleet without the feature `etcd`: there is none.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use waypost_admin::command::Command;
use waypost_admin::state::AppState;
use waypost_fleet::key::Prefix;
use waypost_fleet::proposal::{Intent, State};
use waypost_fleet::record::WriteId;
use waypost_fleet::record::instance::InstanceRecord;
use waypost_fleet::store::StoreRevision;
use waypost_fleet::view::{Fence, View};

use super::{
    Availability, CountsWanted, Known, Opened, Ordered, ProposeError, Proposed, Round, Secret, Served,
    Unopened,
};
use crate::checksummed::Damaged;

/// The handle of a fleet, which has no value.
#[derive(Debug)]
pub(crate) enum Fleet {}

impl Fleet {
    pub(crate) fn enter(&self) {
        match *self {}
    }

    pub(crate) async fn ready(&self, _: Duration) -> Known {
        match *self {}
    }

    pub(crate) fn known(&self) -> Known {
        match *self {}
    }

    pub(crate) fn has_seal(&self) -> bool {
        match *self {}
    }

    pub(crate) fn open(&self, _: &View, _: &Ordered) -> Opened {
        match *self {}
    }

    pub(crate) fn secret(&self, _: &str) -> Result<Option<Secret>, Unopened> {
        match *self {}
    }

    pub(crate) async fn put_secrets(
        &self,
        _: BTreeMap<String, Option<Secret>>,
    ) -> Result<StoreRevision, ProposeError> {
        match *self {}
    }

    pub(crate) async fn obeyed_by_all(&self, _: StoreRevision, _: Duration) -> bool {
        match *self {}
    }

    pub(crate) fn view(&self) -> Arc<View> {
        match *self {}
    }

    pub(crate) fn last_view(&self) -> Option<&Arc<View>> {
        match *self {}
    }

    pub(crate) fn take_damaged(&self) -> Vec<Damaged> {
        match *self {}
    }

    pub(crate) fn add_damaged(&self, _: Vec<Damaged>) {
        match *self {}
    }

    pub(crate) fn last_served(&self) -> Option<&Served> {
        match *self {}
    }

    pub(crate) fn serves(&self, _: Served) {
        match *self {}
    }

    pub(crate) fn live(&self, _: &View) -> u32 {
        match *self {}
    }

    pub(crate) async fn changed(&self) {
        match *self {}
    }

    pub(crate) fn availability(&self) -> Availability {
        match *self {}
    }

    pub(crate) fn id(&self) -> Arc<str> {
        match *self {}
    }

    pub(crate) fn has_met(&self, _: &WriteId) -> bool {
        match *self {}
    }

    pub(crate) fn prefix(&self) -> &Prefix {
        match *self {}
    }

    pub(crate) fn fence(&self) -> Option<Fence> {
        match *self {}
    }

    pub(crate) fn is_leader(&self) -> bool {
        match *self {}
    }

    pub(crate) fn begin_turn(&self) {
        match *self {}
    }

    pub(crate) async fn leader(&self, _: Duration) -> Result<Fence, ProposeError> {
        match *self {}
    }

    pub(crate) fn sweep(&self, _: Arc<View>, _: State) {
        match *self {}
    }

    pub(crate) async fn propose(&self, _: &Arc<View>, _: Intent) -> Result<Proposed, ProposeError> {
        match *self {}
    }

    pub(crate) fn pass_on(&self, _: Command, _: Option<PathBuf>) -> Option<Command> {
        match *self {}
    }

    pub(crate) fn set_token_file(&self, _: Option<PathBuf>) {
        match *self {}
    }

    pub(crate) fn ask_for_counts(&self, _: CountsWanted) -> oneshot::Receiver<Round> {
        match *self {}
    }

    pub(crate) fn report(&self, _: InstanceRecord) {
        match *self {}
    }

    pub(crate) fn show_in(&self, _: &Arc<AppState>) {
        match *self {}
    }

    pub(crate) async fn leave(&self) {
        match *self {}
    }
}
