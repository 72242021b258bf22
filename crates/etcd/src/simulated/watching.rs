//! The stream of watches.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures_util::stream;
use prost::Message as _;
use tokio::sync::mpsc;
use tonic::{Request, Status, Streaming};

use super::cluster::State;
use super::fault::{Fault, On};
use super::refusal::Refusal;
use super::service::Shown;
use super::visit::{Sent, Visit};
use crate::error::Access;
use crate::key::KeyRange;
use crate::messages::watch::watch_request::Request as Question;
use crate::messages::watch::{Event, WatchCreateRequest, WatchRequest, WatchResponse};

/// The number of a message that is about no single watch.
const NO_WATCH: i64 = -1;

/// A stream of watches.
struct Watching {
    visit: Visit,
    shown: Shown,
    answers: mpsc::UnboundedSender<Result<Bytes, Status>>,
    watchers: BTreeMap<i64, Watcher>,
    /// Responses until the connection breaks.
    responses_left: Option<usize>,
    progress_reports: u64,
}

struct Watcher {
    keys: KeyRange,
    next: i64,
    previous: bool,
    progress: bool,
    fragment: bool,
}

/// Serves a stream.
pub(super) async fn watch(visit: &Visit, request: Request<Streaming<Bytes>>) -> Result<Sent, Status> {
    let (fault, responses_left, progress_reports) = {
        let mut state = visit.cluster.lock();
        let fault = state.faults.take(On::Watch);
        (fault, state.faults.next_watch(), state.progress_reports)
    };
    match fault {
        Some(Fault::Break | Fault::DropAnswer) => visit.break_off().await,
        Some(Fault::Refuse(refusal)) => return Err(refusal.into()),
        Some(Fault::HoldBefore(hold) | Fault::HoldAnswer(hold)) => hold.wait().await,
        Some(Fault::Answer(bytes)) => {
            return Ok(Box::pin(stream::iter([Ok(bytes.into())])));
        }
        None => {}
    }
    let shown = Shown::read(request.metadata());
    let (answers, mut sent) = mpsc::unbounded_channel();
    let watching = Watching {
        visit: visit.clone(),
        shown,
        answers,
        watchers: BTreeMap::new(),
        responses_left,
        progress_reports,
    };
    tokio::spawn(watching.run(request.into_inner()));
    Ok(Box::pin(stream::poll_fn(move |context| sent.poll_recv(context))))
}

impl Watching {
    async fn run(mut self, mut questions: Streaming<Bytes>) {
        let mut changes = self.visit.cluster.changes();
        loop {
            let leaderless = {
                let state = self.visit.cluster.lock();
                self.shown.wants_leader && !state.has_leader(self.visit.member)
            };
            if leaderless {
                let _ = self.answers.send(Err(Refusal::NoLeader.into()));
                return;
            }
            self.report().await;
            let question = tokio::select! {
                question = questions.message() => question,
                _ = changes.changed() => continue,
                () = self.answers.closed() => return,
            };
            let Ok(Some(question)) = question else {
                return;
            };
            match WatchRequest::decode(question) {
                Ok(request) => self.ask(request.request).await,
                Err(error) => {
                    let _ = self.answers.send(Err(Status::internal(error.to_string())));
                    return;
                }
            }
        }
    }

    async fn ask(&mut self, question: Option<Question>) {
        match question {
            Some(Question::Create(request)) => {
                let response = self.create(request);
                self.send(response).await;
            }
            Some(Question::Cancel(request)) if self.watchers.remove(&request.watch_id).is_some() => {
                let response = WatchResponse {
                    watch_id: request.watch_id,
                    canceled: true,
                    ..WatchResponse::default()
                };
                self.send(response).await;
            }
            Some(Question::Progress(_)) => {
                let response = WatchResponse {
                    watch_id: NO_WATCH,
                    ..WatchResponse::default()
                };
                self.send(response).await;
            }
            Some(Question::Cancel(_)) | None => {}
        }
    }

    fn create(&mut self, request: WatchCreateRequest) -> WatchResponse {
        let key = if request.key.is_empty() {
            vec![0]
        } else {
            request.key
        };
        let keys = KeyRange::between(key, request.range_end);
        let id = match request.watch_id {
            0 => self.watchers.keys().next_back().map_or(0, |last| last + 1),
            id => id,
        };
        let response = WatchResponse {
            watch_id: id,
            created: true,
            ..WatchResponse::default()
        };
        let mut state = self.visit.cluster.lock();
        let permitted = self
            .shown
            .caller(&mut state)
            .and_then(|caller| state.users.may(&caller, [(Access::Read, keys.clone())]));
        if permitted.is_err() {
            // etcd 3.4 says the same of a token that is not valid.
            return WatchResponse {
                watch_id: NO_WATCH,
                canceled: true,
                cancel_reason: Refusal::PermissionDenied.text(),
                ..response
            };
        }
        if self.watchers.contains_key(&id) {
            return WatchResponse {
                watch_id: NO_WATCH,
                canceled: true,
                cancel_reason: "mvcc: duplicate watch ID provided on the WatchStream".to_owned(),
                ..response
            };
        }
        let next = match request.start_revision {
            start if start <= 0 => state.store.revision() + 1,
            start => start,
        };
        let watcher = Watcher {
            keys,
            next,
            previous: request.prev_kv,
            progress: request.progress_notify,
            fragment: request.fragment,
        };
        self.watchers.insert(id, watcher);
        response
    }

    /// Sends what has happened since.
    async fn report(&mut self) {
        let responses = {
            let state = self.visit.cluster.lock();
            let reports_progress = state.progress_reports != self.progress_reports;
            self.progress_reports = state.progress_reports;
            let mut responses = Vec::new();
            let mut over = Vec::new();
            for (id, watcher) in &mut self.watchers {
                responses.extend(watcher.report(*id, &state, reports_progress));
                if watcher.next < state.store.compacted() {
                    over.push(*id);
                }
            }
            self.watchers.retain(|id, _| !over.contains(id));
            responses
        };
        for response in responses {
            self.send(response).await;
        }
    }

    async fn send(&mut self, mut response: WatchResponse) {
        let header = {
            let state = self.visit.cluster.lock();
            let mut header = state.header(self.visit.member).unwrap_or_default();
            if response.created {
                let behind = state
                    .members
                    .get(self.visit.member)
                    .map_or(0, |member| member.behind);
                header.revision -= behind;
            }
            header
        };
        response.header = Some(header);
        let _ = self.answers.send(Ok(response.encode_to_vec().into()));
        if let Some(left) = &mut self.responses_left {
            *left = left.saturating_sub(1);
            if *left == 0 {
                self.visit.break_off().await;
            }
        }
    }
}

impl Watcher {
    fn report(&mut self, id: i64, state: &State, reports_progress: bool) -> Vec<WatchResponse> {
        if self.next < state.store.compacted() {
            return vec![WatchResponse {
                watch_id: id,
                canceled: true,
                compact_revision: state.store.compacted(),
                ..WatchResponse::default()
            }];
        }
        let events = state.store.changes(&self.keys, self.next, self.previous);
        let revision = state.store.revision();
        self.next = self.next.max(revision + 1);
        if events.is_empty() {
            let progress = WatchResponse {
                watch_id: id,
                ..WatchResponse::default()
            };
            return if reports_progress && self.progress {
                vec![progress]
            } else {
                Vec::new()
            };
        }
        let limit = if self.fragment {
            state.fragment_bytes
        } else {
            usize::MAX
        };
        fragments(id, events, limit)
    }
}

/// Changes in as many responses as their size asks for.
fn fragments(id: i64, events: Vec<Event>, limit: usize) -> Vec<WatchResponse> {
    let mut responses: Vec<WatchResponse> = Vec::new();
    let mut bytes = 0;
    for event in events {
        let size = event.encoded_len();
        match responses.last_mut() {
            Some(last) if bytes + size < limit => last.events.push(event),
            _ => {
                bytes = 0;
                responses.push(WatchResponse {
                    watch_id: id,
                    fragment: true,
                    events: vec![event],
                    ..WatchResponse::default()
                });
            }
        }
        bytes += size;
    }
    if let Some(last) = responses.last_mut() {
        last.fragment = false;
    }
    responses
}
