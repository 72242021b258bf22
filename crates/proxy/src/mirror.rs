//! Copies of requests for a service whose answers nobody gets.
//!
//! A copy never holds up its request: it is written down while the request passes, and sent by a task of its own
//! once all of the request's body has come. What is kept is bounded in number and size; what goes beyond is dropped
//! and counted.

use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};
use waypost_wire::body::BodyDecoder;
use waypost_wire::response::{self, ResponseHead};
use waypost_wire::scan::HeadScan;
use waypost_wire::write;

use crate::buffer::Buffer;
use crate::exchange::INTERIM_MAX;
use crate::exchange::connect::{Lease, Need, lease};
use crate::exchange::relay::Tap;
use crate::link::Link;
use crate::metrics::{Mirrored, RequestCells};
use crate::pool::{Liveness, Trust, WorkerService};
use crate::worker::{Reply, Worker};

/// How many copies a worker has under way.
pub(crate) const IN_FLIGHT_MAX: usize = 128;
/// The longest body that is copied.
pub(crate) const BODY_BYTES_MAX: usize = 64 << 10;

/// How much of an answer is read, so that its connection can be used again; the rest is nobody's.
pub(crate) const ANSWER_BYTES_MAX: usize = 1 << 20;

/// The copies that a worker has under way.
#[derive(Debug, Default)]
pub(crate) struct Mirrors(Rc<Cell<usize>>);

/// A place among them.
#[derive(Debug)]
struct Place(Rc<Cell<usize>>);

impl Mirrors {
    fn place(&self) -> Option<Place> {
        if self.0.get() >= IN_FLIGHT_MAX {
            return None;
        }
        self.0.set(self.0.get() + 1);
        Some(Place(Rc::clone(&self.0)))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// A copy whose body is not complete yet. One that is dropped before it is sent is counted.
pub(crate) struct MirrorCopy {
    pub(crate) service: Rc<WorkerService>,
    /// The head, but for the length of the body and the empty line.
    pub(crate) head: Vec<u8>,
    pub(crate) is_head: bool,
    pub(crate) is_idempotent: bool,
    count: Count,
    place: Place,
}

/// Counts what becomes of a copy, once.
struct Count {
    cells: Arc<RequestCells>,
    outcome: Mirrored,
}

impl Drop for Count {
    fn drop(&mut self) {
        self.cells.mirrored(self.outcome);
    }
}

impl MirrorCopy {
    /// A copy that is to be sent to `service`, if there is room for one more.
    pub(crate) fn begin(
        mirrors: &Mirrors,
        service: Rc<WorkerService>,
        cells: Arc<RequestCells>,
        announced: Option<u64>,
    ) -> Option<Self> {
        let mut count = Count {
            cells,
            outcome: Mirrored::Incomplete,
        };
        if announced.is_some_and(|bytes| bytes > BODY_BYTES_MAX as u64) {
            count.outcome = Mirrored::TooLong;
            return None;
        }
        // Clients may look for themselves whether a service has come back; copies would only cost them time.
        if !service.is_ready(Instant::now()) {
            count.outcome = Mirrored::Failed;
            return None;
        }
        let Some(place) = mirrors.place() else {
            count.outcome = Mirrored::TooMany;
            return None;
        };
        Some(Self {
            service,
            head: Vec::new(),
            is_head: false,
            is_idempotent: false,
            count,
            place,
        })
    }

    /// Sends it with the body that has passed, or drops and counts it if that is too long.
    pub(crate) fn send_with(mut self, worker: &Rc<Worker>, tap: Tap) {
        match tap {
            Tap::Open(body, _) => self.send(worker, Some(&body)),
            Tap::Off | Tap::Overflowed => self.count.outcome = Mirrored::TooLong,
        }
    }

    /// Sends it, and reads its answer to the end, in a task of its own. `body` is `None` for a request that has
    /// none.
    pub(crate) fn send(mut self, worker: &Rc<Worker>, body: Option<&[u8]>) {
        if let Some(body) = body {
            write::content_length(&mut self.head, body.len() as u64);
        }
        self.head.extend_from_slice(b"\r\n");
        self.head.extend_from_slice(body.unwrap_or_default());
        // Unless it comes otherwise.
        self.count.outcome = Mirrored::Failed;
        let worker = Rc::clone(worker);
        tokio::task::spawn_local(async move {
            if self.deliver(&worker).await.is_some() {
                self.count.outcome = Mirrored::Answered;
            }
            drop(self.place);
        });
    }

    /// `None` when the service could not be reached, or gave no complete answer in time.
    async fn deliver(&self, worker: &Rc<Worker>) -> Option<()> {
        let timeouts = self.service.state().service().timeouts;
        let by = Instant::now()
            + timeouts.connect
            + timeouts.response
            + timeouts.idle.min(Duration::from_secs(60));
        let mut reuse = Some(Liveness::when(self.is_idempotent));
        loop {
            let need = Need {
                reuse,
                http1: false,
                raw: false,
                ends: None,
                deadline: Some(by),
            };
            let leased = lease(worker, &self.service, need, &mut 0).await.ok()?;
            let Lease {
                mut link,
                target,
                reused,
            } = leased;
            match timeout_at(by, self.exchange(worker, &mut link)).await.ok()? {
                Delivered::Answered { reusable } => {
                    if let Some(trust) = reusable
                        && !link.holds_more()
                        && self.service.keeps_connections()
                    {
                        worker.keep_idle(&self.service, target.address, link, trust);
                    }
                    return Some(());
                }
                // The connection was closed while it was idle.
                Delivered::Silent if reused && self.is_idempotent => reuse = None,
                Delivered::Silent | Delivered::Broken => return None,
            }
        }
    }

    async fn exchange(&self, worker: &Rc<Worker>, link: &mut Link) -> Delivered {
        let sent = link.write_all(&self.head).await;
        if sent.is_err() || poll_fn(|cx| link.poll_read_ready(cx)).await.is_err() {
            return Delivered::Silent;
        }
        // While the service thinks, nothing but the head is held.
        let mut reply = worker.borrow_reply();
        let Reply {
            from_service, answer, ..
        } = &mut *reply;
        let delivered = read_answer(link, from_service, answer, self.is_head).await;
        worker.return_reply(reply);
        delivered
    }
}

/// How the exchange of a copy ended.
enum Delivered {
    /// With how far its connection is trusted, if another request may follow.
    Answered { reusable: Option<Trust> },
    /// Nothing came.
    Silent,
    /// What came is no answer.
    Broken,
}

/// Reads an answer as strictly as any, and throws it away.
async fn read_answer(
    link: &mut Link,
    buffer: &mut Buffer,
    answer: &mut ResponseHead,
    to_head: bool,
) -> Delivered {
    buffer.clear();
    let mut scan = HeadScan::default();
    let mut interims = 0;
    let mut heard = false;
    let mut body = loop {
        let bytes = buffer.filled();
        match scan.advance(bytes) {
            Err(_) => return Delivered::Broken,
            Ok(Some(end)) => {
                if answer.parse(bytes, end, to_head).is_err() || answer.status() == 101 {
                    return Delivered::Broken;
                }
                buffer.consume(end.end);
                scan = HeadScan::default();
                if !answer.is_interim() {
                    break BodyDecoder::new(answer.framing());
                }
                interims += 1;
                if interims > INTERIM_MAX {
                    return Delivered::Broken;
                }
                continue;
            }
            Ok(None) if !response::may_begin(bytes) || bytes.len() > response::HEAD_BYTES_MAX => {
                return Delivered::Broken;
            }
            Ok(None) => {}
        }
        match buffer.read(link).await {
            Ok(0) | Err(_) if !heard => return Delivered::Silent,
            Ok(0) | Err(_) => return Delivered::Broken,
            Ok(_) => heard = true,
        }
    };
    let mut read = 0;
    while !body.is_done() {
        if read > ANSWER_BYTES_MAX {
            return Delivered::Answered { reusable: None };
        }
        match body.decode(buffer.filled()) {
            Err(_) => return Delivered::Broken,
            Ok(piece) if piece.consumed > 0 => buffer.consume(piece.consumed),
            Ok(_) => match buffer.read(link).await {
                Ok(0) if body.may_end_by_close() => return Delivered::Answered { reusable: None },
                Ok(0) | Err(_) => return Delivered::Broken,
                Ok(count) => read += count,
            },
        }
    }
    Delivered::Answered {
        reusable: (answer.keeps_alive() && buffer.is_empty()).then(|| Trust::after(answer, None)),
    }
}
