//! Watches: the changes of keys, in order, without gaps and without repetitions.
//!
//! All watches of a [`Watches`] share one stream. When it breaks, it is opened again, at another member if need be, and each
//! watch goes on with the first revision that it did not report yet.

mod active;
mod pulse;

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::pin::Pin;

use bytes::Bytes;
use futures_util::stream;
use prost::Message as _;
use tokio::sync::mpsc;
use tokio::time::{self, Instant};
use tonic::Status;

use self::active::Active;
use self::pulse::{Beat, Pulse};
use crate::channel::verdict::Verdict;
use crate::channel::{Channel, Opened};
use crate::error::{Access, Error};
use crate::key::KeyRange;
use crate::kv::range::Range;
use crate::kv::{KeyValue, revision};
use crate::messages::watch::watch_request::Request;
use crate::messages::watch::{WatchCancelRequest, WatchProgressRequest, WatchRequest, WatchResponse};
use crate::method::WATCH;
use crate::revision::Revision;

/// A watch of a [`Watches`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WatchId(i64);

/// Keys to watch, and the revision to begin with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watch {
    /// The keys.
    pub keys: KeyRange,
    /// The first revision whose changes are reported. Without it, it begins with the next change.
    pub start: Option<Revision>,
    /// Reports with each change what was there before.
    pub previous: bool,
    /// Reports now and then which revision the watch has reached, if nothing changes.
    pub progress: bool,
}

impl Watch {
    /// A watch of these keys from `start` on.
    ///
    /// After a read of the keys, pass the [next](Revision::next) of the revision that was read, and nothing is missed.
    pub fn new(keys: KeyRange, start: Revision) -> Self {
        Self {
            keys,
            start: Some(start),
            previous: false,
            progress: false,
        }
    }

    /// A watch of these keys from the next change on.
    pub fn from_now(keys: KeyRange) -> Self {
        Self {
            keys,
            start: None,
            previous: false,
            progress: false,
        }
    }
}

/// A change of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its kind.
    pub kind: EventKind,
    /// The key, as it is since then. A deleted one has its name and the revision of the deletion.
    pub kv: KeyValue,
    /// The key as it was before, if that was asked for, it existed, and is not compacted.
    pub previous: Option<KeyValue>,
}

/// A kind of change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// It was written.
    Put,
    /// It was deleted, or its lease ended.
    Delete,
}

/// Something that a watch has to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// A member has begun a watch, for the first time or after a break.
    Started {
        /// The watch.
        watch: WatchId,
        /// The revision of the member.
        revision: Revision,
    },
    /// Keys have changed. All changes of a revision come together, and revisions come in order.
    Changes {
        /// The watch.
        watch: WatchId,
        /// The revision of the last of them.
        revision: Revision,
        /// The changes; at least one.
        events: Vec<Event>,
    },
    /// Nothing has changed up to a revision, beyond what was reported.
    Progress {
        /// The watch.
        watch: WatchId,
        /// The revision.
        revision: Revision,
    },
    /// A watch has ended and will report nothing more. After [`Error::Compacted`] and [`Error::StoreReplaced`], the keys
    /// have to be read again.
    Ended {
        /// The watch.
        watch: WatchId,
        /// The reason.
        error: Error,
    },
    /// The stream broke, or could not be opened. The watches go on when it is there again.
    Broken {
        /// The reason.
        error: Error,
    },
}

/// Watches on one stream.
///
/// Nothing runs in the background: the stream is read by [`next`](Self::next), so a reader that is slow slows it down instead
/// of filling memory.
pub struct Watches {
    channel: Channel,
    active: BTreeMap<i64, Active>,
    last_id: i64,
    notices: VecDeque<Notice>,
    line: Line,
    /// Watches whose beginning the server has to answer, in the order in which it was asked for.
    begun: VecDeque<i64>,
    /// Asks for the revision of the store, where a member seems to be behind of what was reported.
    check: Option<Pending<Result<Revision, Error>>>,
    /// The cluster that revisions are of.
    cluster: Option<u64>,
    /// Streams in a row on which no watch was begun.
    failures: u32,
}

type Pending<T> = Pin<Box<dyn Future<Output = T> + Send>>;

type Questions = mpsc::UnboundedSender<Bytes>;

/// The stream.
enum Line {
    /// It may be opened then.
    Closed { again: Option<Instant> },
    /// It is being opened.
    Opening {
        questions: Questions,
        opened: Pending<Result<Opened, Verdict>>,
    },
    /// It is open.
    Open {
        questions: Questions,
        stream: Box<Opened>,
        pulse: Pulse,
    },
}

/// Something that happened on the stream.
enum Incident {
    Message(Bytes),
    End,
    Failure(Status),
    Silence,
}

impl fmt::Debug for Watches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watches")
            .field("active", &self.active)
            .finish_non_exhaustive()
    }
}

impl Watches {
    pub(crate) fn new(channel: Channel) -> Self {
        Self {
            channel,
            active: BTreeMap::new(),
            last_id: 0,
            notices: VecDeque::new(),
            line: Line::Closed { again: None },
            begun: VecDeque::new(),
            check: None,
            cluster: None,
            failures: 0,
        }
    }

    /// Begins a watch. [`next`](Self::next) reports when a member has begun it.
    pub fn add(&mut self, watch: Watch) -> WatchId {
        self.last_id += 1;
        let id = self.last_id;
        let active = Active::new(id, watch);
        self.ask(Request::Create(active.request()));
        self.begun.push_back(id);
        self.active.insert(id, active);
        WatchId(id)
    }

    /// Ends a watch. Nothing is reported of it from then on.
    pub fn remove(&mut self, watch: WatchId) {
        if self.active.remove(&watch.0).is_some() {
            self.ask(Request::Cancel(WatchCancelRequest { watch_id: watch.0 }));
        }
        self.notices.retain(|notice| notice.watch() != Some(watch));
    }

    /// The revision that a watch goes on with after a break; `None` if it has ended, or has not begun and is not from a
    /// revision on.
    pub fn position(&self, watch: WatchId) -> Option<Revision> {
        self.active.get(&watch.0)?.next
    }

    /// Waits for the next notice; returns `None` if there is no watch.
    ///
    /// It may be given up and called again at any time, and nothing is lost. While the stream is broken it waits longer from
    /// attempt to attempt, and reports each that fails.
    pub async fn next(&mut self) -> Option<Notice> {
        loop {
            if let Some(notice) = self.notices.pop_front() {
                return Some(notice);
            }
            if self.active.is_empty() {
                self.close(None);
                return None;
            }
            if let Some(check) = &mut self.check {
                let checked = check.await;
                self.check = None;
                self.checked(checked);
                continue;
            }
            match &mut self.line {
                Line::Closed { again } => {
                    if let Some(again) = *again {
                        time::sleep_until(again).await;
                    }
                    self.open();
                }
                Line::Opening { opened, .. } => match opened.await {
                    Ok(stream) => self.opened(stream),
                    Err(verdict) => self.fail(verdict),
                },
                Line::Open { stream, pulse, .. } => {
                    let incident = tokio::select! {
                        biased;
                        message = stream.messages.message() => match message {
                            Ok(Some(message)) => Incident::Message(message),
                            Ok(None) => Incident::End,
                            Err(status) => Incident::Failure(status),
                        },
                        () = time::sleep_until(pulse.due()) => Incident::Silence,
                    };
                    self.handle(incident);
                }
            }
        }
    }

    /// Opens the stream, with all watches from where they are.
    fn open(&mut self) {
        let (questions, mut waiting) = mpsc::unbounded_channel();
        self.begun = self.active.keys().copied().collect();
        for active in self.active.values() {
            // The receiver is there.
            let _ = questions.send(encode(Request::Create(active.request())));
        }
        let messages = stream::poll_fn(move |context| waiting.poll_recv(context));
        let channel = self.channel.clone();
        let opened = Box::pin(async move { channel.open(WATCH, messages).await });
        self.line = Line::Opening { questions, opened };
    }

    fn opened(&mut self, stream: Opened) {
        let line = std::mem::replace(&mut self.line, Line::Closed { again: None });
        if let Line::Opening { questions, .. } = line {
            self.line = Line::Open {
                questions,
                stream: Box::new(stream),
                pulse: Pulse::new(self.channel.options().heartbeat, Instant::now()),
            };
        }
    }

    fn handle(&mut self, incident: Incident) {
        let Line::Open {
            stream,
            pulse,
            questions,
        } = &mut self.line
        else {
            return;
        };
        let verdict = match incident {
            Incident::Message(message) => {
                pulse.heard(Instant::now());
                let taken = WatchResponse::decode(message)
                    .map_err(|error| Error::malformed(error.to_string()))
                    .and_then(|response| self.take(response));
                match taken {
                    Ok(()) => return,
                    Err(error) => {
                        self.leave();
                        Verdict::Final(error)
                    }
                }
            }
            Incident::End => {
                self.channel.leave(stream);
                Verdict::Elsewhere("the stream ended".to_owned())
            }
            Incident::Failure(status) => self.channel.ended(stream, &status),
            Incident::Silence => match pulse.silent(Instant::now()) {
                Beat::Ask => {
                    let _ = questions.send(encode(Request::Progress(WatchProgressRequest {})));
                    return;
                }
                Beat::Dead => {
                    self.channel.leave(stream);
                    Verdict::Elsewhere("the member does not answer".to_owned())
                }
            },
        };
        self.fail(verdict);
    }

    /// Reads a response.
    fn take(&mut self, response: WatchResponse) -> Result<(), Error> {
        let header = response
            .header
            .ok_or_else(|| Error::malformed("a response has no header"))?;
        let at = revision(response.header)?;
        if header.cluster_id != 0 && *self.cluster.get_or_insert(header.cluster_id) != header.cluster_id {
            self.cluster = None;
            self.end_where(|_| true);
            self.close(None);
            return Ok(());
        }
        let mut id = response.watch_id;
        if response.created {
            // A watch that is denied has no number; those that are begun are answered in order.
            match self.begun.iter().position(|begun| *begun == id) {
                Some(place) => {
                    self.begun.remove(place);
                }
                None if response.canceled => id = self.begun.pop_front().unwrap_or(id),
                None => {}
            }
        }
        let Some(active) = self.active.get_mut(&id) else {
            // Of a watch that was removed, or the answer to a heartbeat.
            return Ok(());
        };
        if response.canceled {
            self.cancelled(id, &response);
            return Ok(());
        }
        let watch = WatchId(id);
        if response.created {
            let is_behind = active.started(at);
            let keys = active.watch.keys.clone();
            self.failures = 0;
            self.notices.push_back(Notice::Started { watch, revision: at });
            if is_behind && self.check.is_none() {
                self.check = Some(self.ask_for_revision(keys));
            }
            return Ok(());
        }
        match active.take(response, at, self.channel.options().response_bytes_max) {
            Ok(Some(notice)) => self.notices.push_back(notice),
            Ok(None) => {}
            Err(error @ Error::TooLarge(_)) => self.end(id, error),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// A member ended a watch, or did not begin it.
    fn cancelled(&mut self, id: i64, response: &WatchResponse) {
        let reason = &*response.cancel_reason;
        let is_denied = reason.contains("permission denied");
        let is_token = ["invalid auth token", "auth store is old", "user name is empty"]
            .iter()
            .any(|text| reason.contains(text));
        // Some versions say of a token that is not valid any more that the permission is missing.
        if (is_denied || is_token)
            && let Some(active) = self.active.get_mut(&id)
            && let Line::Open { stream, .. } = &self.line
            && !std::mem::replace(&mut active.is_denied, true)
            && self.channel.renew(stream)
        {
            self.close(None);
            return;
        }
        let error = if response.compact_revision > 0 {
            Error::Compacted {
                revision: Some(Revision(response.compact_revision)),
            }
        } else if is_token {
            Error::Unauthenticated {
                reason: reason.to_owned(),
            }
        } else if is_denied && let Some(active) = self.active.get(&id) {
            Error::denied((Access::Read, active.watch.keys.clone()))
        } else {
            Error::Refused {
                reason: reason.to_owned(),
            }
        };
        self.active.remove(&id);
        self.notices.push_back(Notice::Ended {
            watch: WatchId(id),
            error,
        });
    }

    /// Asks for the revision of the store, through its leader.
    fn ask_for_revision(&self, keys: KeyRange) -> Pending<Result<Revision, Error>> {
        let channel = self.channel.clone();
        let range = Range {
            count_only: true,
            ..Range::new(keys)
        };
        Box::pin(async move { revision(channel.call(&range.message()).await?.header) })
    }

    /// Ends watches that have reported more than the store has.
    fn checked(&mut self, checked: Result<Revision, Error>) {
        match checked {
            Ok(revision) => {
                self.end_where(|active| active.next.is_some_and(|next| next > revision.next()));
            }
            Err(Error::Unavailable { reason }) => {
                self.leave();
                self.fail(Verdict::Elsewhere(reason));
            }
            // Who may not read it cannot watch it either; that is said by the watch.
            Err(_) => {}
        }
    }

    fn end_where(&mut self, is_over: impl Fn(&Active) -> bool) {
        let over: Vec<i64> = self
            .active
            .iter()
            .filter(|(_, active)| is_over(active))
            .map(|(id, _)| *id)
            .collect();
        for id in over {
            self.end(id, Error::StoreReplaced);
        }
    }

    fn end(&mut self, id: i64, error: Error) {
        self.active.remove(&id);
        self.ask(Request::Cancel(WatchCancelRequest { watch_id: id }));
        self.notices.push_back(Notice::Ended {
            watch: WatchId(id),
            error,
        });
    }

    /// The stream broke, or could not be opened.
    fn fail(&mut self, verdict: Verdict) {
        self.failures += 1;
        let error = match verdict {
            // A token that ran out is no break, the first time.
            Verdict::Renew(_) if self.failures == 1 => {
                self.close(None);
                return;
            }
            Verdict::Renew(reason) => Error::Unauthenticated { reason },
            Verdict::Elsewhere(reason) => Error::Unavailable { reason },
            Verdict::Final(error) => error,
            Verdict::Denied => Error::Refused {
                reason: "permission denied".to_owned(),
            },
        };
        let wait = self
            .channel
            .options()
            .back_off
            .wait(self.failures, fastrand::f64());
        self.close(Some(Instant::now() + wait));
        self.notices.push_back(Notice::Broken { error });
    }

    fn close(&mut self, again: Option<Instant>) {
        self.line = Line::Closed { again };
        self.check = None;
        for active in self.active.values_mut() {
            active.interrupted();
        }
    }

    fn leave(&self) {
        if let Line::Open { stream, .. } = &self.line {
            self.channel.leave(stream);
        }
    }

    /// Sends a question, if there is a stream. Watches are begun when there is one.
    fn ask(&self, question: Request) {
        if let Line::Opening { questions, .. } | Line::Open { questions, .. } = &self.line {
            // If the stream is broken, it is opened with all watches.
            let _ = questions.send(encode(question));
        }
    }
}

impl Notice {
    /// The watch that it is about; `None` if it is about all.
    pub fn watch(&self) -> Option<WatchId> {
        match self {
            Self::Started { watch, .. }
            | Self::Changes { watch, .. }
            | Self::Progress { watch, .. }
            | Self::Ended { watch, .. } => Some(*watch),
            Self::Broken { .. } => None,
        }
    }
}

fn encode(question: Request) -> Bytes {
    let request = WatchRequest {
        request: Some(question),
    };
    request.encode_to_vec().into()
}
