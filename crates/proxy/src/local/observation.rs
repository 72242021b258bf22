//! The log line and the counters of one request: it is logged and counted once, however it ends.

use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;
use waypost_auth::identity::Identity;
use waypost_policy::auth::credentials;
use waypost_policy::failure::{Failure, Refuser};
use waypost_policy::request_id::Uuid;
use waypost_policy::status::RequestStatus;
use waypost_upstream::address::Address;

use crate::local::Worker;
use crate::local::buffers::RequestBuffers;
use crate::local::meter::Meter;
use crate::local::snapshot::Snapshot;
use crate::observe::access_log::{Ending, Record};

/// Bytes of each word of a refused request's first line that are logged.
const LOGGED_WORD_BYTES_MAX: usize = 1024;

/// The log line and the counters of the current request.
#[derive(Default)]
pub(crate) struct Observation {
    /// The log line; `None` if there is no request, or no log.
    record: Option<Record>,
    /// The measurement; taken when the request is counted.
    meter: Option<Meter>,
    /// The start of the request; `None` before the first one.
    started: Option<Instant>,
    /// The endpoint of the last attempt that failed.
    failed_at: Option<Address>,
}

impl Observation {
    /// Begins with a request that comes now.
    pub(crate) fn begin(&mut self, client: IpAddr, snapshot: &Rc<Snapshot>, worker: &Worker) {
        if snapshot.logs || worker.is_tailed() {
            self.record = Some(Record::new(client, snapshot.generation.number()));
        }
        let meter = Meter::start(Rc::clone(snapshot), worker.clock());
        self.started = Some(meter.started());
        self.meter = Some(meter);
        if self.failed_at.is_some() {
            self.failed_at = None;
        }
    }

    /// The start of the request.
    pub(crate) fn started(&self) -> Instant {
        self.started.unwrap_or_else(Instant::now)
    }

    /// The arm, by position, if one was picked and the request is not counted yet.
    pub(crate) fn arm(&self) -> Option<usize> {
        self.meter.as_ref()?.picked()
    }

    /// Notes that an attempt at this endpoint failed.
    pub(crate) fn note_failed_at(&mut self, endpoint: &Address) {
        self.failed_at = Some(endpoint.clone());
    }

    /// The endpoint of the last attempt that failed.
    pub(crate) fn failed_at(&self) -> Option<&Address> {
        self.failed_at.as_ref()
    }

    /// Discards the observation: no request arrived.
    pub(crate) fn discard(&mut self) {
        self.record = None;
        self.meter = None;
    }

    /// The log line, if there is one.
    pub(crate) fn record(&mut self) -> Option<&mut Record> {
        self.record.as_mut()
    }

    /// The measurement, for whatever counts the request.
    pub(crate) fn meter(&mut self) -> &mut Option<Meter> {
        &mut self.meter
    }

    /// Notes the request: host and path in their normal form, or as sent if they have none.
    ///
    /// The query parameters of `secret` names are left out.
    pub(crate) fn note_request(&mut self, buffers: &RequestBuffers, secret: &[Box<str>]) {
        if let Some(record) = &mut self.record {
            let buffer = buffers.from_client.filled();
            record.client = buffers.normalized.client_ip();
            record.method = buffers.head.method(buffer).to_vec();
            record.host = buffers.normalized.matched_host().unwrap_or_default().to_vec();
            record.path = buffers.normalized.path().to_vec();
            record.query = buffers.head.query(buffer).map(|query| open(query, secret));
            if let Some(id) = buffers.normalized.client().request_id() {
                record.given_id = id.to_vec();
            }
        }
    }

    /// Records method and path of a refused request, as far as its first line has them.
    pub(crate) fn note_first_line(&mut self, buffers: &RequestBuffers, secret: &[Box<str>]) {
        if let Some(record) = &mut self.record {
            let bytes = buffers.from_client.filled();
            let bytes = bytes.get(buffers.scan.start()..).unwrap_or_default();
            let mut lines = bytes.split(|byte| matches!(byte, b'\r' | b'\n'));
            let mut words = lines.next().unwrap_or_default().split(|&byte| byte == b' ');
            let short =
                |word: Option<&[u8]>| word.map(|word| word[..word.len().min(LOGGED_WORD_BYTES_MAX)].to_vec());
            record.method = short(words.next()).unwrap_or_default();
            let target = short(words.next()).unwrap_or_default();
            record.path = match memchr::memchr(b'?', &target) {
                Some(mark) if !secret.is_empty() => {
                    let (path, query) = target.split_at(mark + 1);
                    [path, &open(query, secret)].concat()
                }
                _ => target,
            };
        }
    }

    /// Notes the client, as far as it is verified.
    pub(crate) fn set_identity(&mut self, identity: Option<&Identity>) {
        if let Some(record) = &mut self.record {
            record.identity = identity.and_then(Identity::name).cloned();
        }
    }

    /// Notes the id that was made for the request.
    pub(crate) fn note_id(&mut self, id: Uuid) {
        if let Some(record) = &mut self.record {
            record.made_id = Some(id);
        }
    }

    /// The time at which the request came, if it is known.
    pub(crate) fn time(&self) -> Option<Timestamp> {
        self.record.as_ref().map(|record| record.time)
    }

    /// Notes the position of the route.
    pub(crate) fn set_route(&mut self, position: usize) {
        if let Some(meter) = &mut self.meter {
            meter.set_route(position);
        }
    }

    /// Notes the name of the route.
    pub(crate) fn set_route_name(&mut self, name: &Arc<str>) {
        if let Some(record) = &mut self.record {
            record.route = Some(Arc::clone(name));
        }
    }

    /// Notes the arm, its service, and the roll that picked it; `None` if the request chose it by `force`.
    pub(crate) fn set_arm(&mut self, arm: usize, roll: Option<u64>, service: &Arc<str>) {
        if let Some(meter) = &mut self.meter {
            meter.set_arm(arm, roll);
        }
        if let Some(record) = &mut self.record {
            record.service = Some(Arc::clone(service));
        }
    }

    /// Notes that the request does not tell how good its arm is.
    pub(crate) fn set_apart(&mut self) {
        if let Some(meter) = &mut self.meter {
            meter.set_apart();
        }
    }

    /// The time after which the request counts as failed if no response has begun, if a rollout says so.
    pub(crate) fn late_after(&self, worker: &Worker) -> Option<Duration> {
        self.meter.as_ref()?.late_after(worker)
    }

    /// Counts the request as failed before it has ended.
    pub(crate) fn count_late(&mut self, worker: &Worker) {
        if let Some(meter) = &mut self.meter {
            meter.count_late(worker);
        }
    }

    /// Notes attempts at the service that failed, and whether one succeeded after them.
    pub(crate) fn note_attempts(&mut self, worker: &Worker, failed: u32, succeeded: bool) {
        // The first attempt is no retry.
        let retries = if succeeded {
            failed
        } else {
            failed.saturating_sub(1)
        };
        if retries > 0
            && let Some(meter) = &self.meter
        {
            meter.count_retries(worker, retries);
        }
        if let Some(record) = &mut self.record {
            record.retries += failed;
        }
    }

    /// Notes how the request ended.
    pub(crate) fn end(&mut self, ending: Ending) {
        if let Some(record) = &mut self.record {
            record.ending = Some(ending);
        }
    }

    /// Notes a failure: for the log line, and among the gateway's own responses.
    pub(crate) fn fail(&mut self, worker: &Worker, failure: Failure) {
        if !failure.tells_of_service() {
            self.set_apart();
        }
        self.end(Ending::Failed(failure));
        worker.recorder().count_failure(failure);
        if let Some(refuser) = failure.refuser() {
            self.refuse(refuser);
            // What fails is among the failures, and nowhere else.
            if failure.status() < 500 {
                self.count_refused(worker);
            }
        }
    }

    /// Notes a preflight that is answered with no permission.
    pub(crate) fn deny_preflight(&mut self, worker: &Worker) {
        self.refuse(Refuser::Cors);
        self.count_refused(worker);
        worker.recorder().count_denied_preflight();
    }

    /// Notes the rule that refused the request.
    fn refuse(&mut self, refuser: Refuser) {
        if let Some(record) = &mut self.record {
            record.refused_by = Some(refuser);
        }
    }

    fn count_refused(&self, worker: &Worker) {
        if let Some(meter) = &self.meter {
            meter.count_refused(worker);
        }
    }

    /// Counts the request, unless it is counted already.
    pub(crate) fn count(&mut self, worker: &Worker, status: RequestStatus) {
        if let Some(meter) = self.meter.take() {
            meter.count(worker, status, None);
        }
    }

    /// Writes the log line.
    pub(crate) fn log(&mut self, worker: &Worker) {
        if let Some(mut record) = self.record.take() {
            let time = record.time;
            record.made_id.get_or_insert_with(|| worker.new_id(Some(time)));
            worker.log(&record);
        }
    }
}

/// The query without the parameters of these names.
fn open(query: &[u8], secret: &[Box<str>]) -> Vec<u8> {
    if secret.is_empty() {
        return query.to_vec();
    }
    let mut open = Vec::with_capacity(query.len());
    credentials::write_query(query, || secret.iter().map(|name| &**name), &mut open);
    open
}
