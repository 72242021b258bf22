//! The client of a request: its end of the connection or of the stream, and what is observed of its requests.

use std::rc::Rc;
use std::time::Duration;

use socket2::SockRef;
use waypost_plan::listener::Listener;
use waypost_policy::peer::Peer;
use waypost_policy::status::RequestStatus;
use waypost_transport::link::Link;
use waypost_transport::timer::Timer;

use crate::exchange::WRITE_TIMEOUT;
use crate::generation::ListenerId;
use crate::local::Worker;
use crate::local::expendable::Claim;
use crate::local::observation::Observation;
use crate::local::snapshot::Snapshot;
use crate::observe::log;

/// The client of a request.
pub(crate) struct Client {
    pub(crate) worker: Rc<Worker>,
    pub(crate) link: Link,
    pub(crate) peer: Rc<Peer>,
    pub(crate) listener_id: ListenerId,
    /// The listener as the last request saw it.
    listener: Rc<Listener>,
    pub(crate) timer: Timer,
    /// The log line and the counters of the current request.
    pub(crate) observation: Observation,
    /// True while the end of the connection would end a response.
    pub(crate) open_ended: bool,
    /// The connection's claim to stay when connections run short.
    pub(crate) claim: Rc<Claim>,
}

impl Client {
    pub(crate) fn new(
        worker: Rc<Worker>,
        link: Link,
        peer: Rc<Peer>,
        listener_id: ListenerId,
        listener: Rc<Listener>,
        claim: Rc<Claim>,
    ) -> Self {
        Self {
            timer: Timer::new(worker.clock().coarse_now() + WRITE_TIMEOUT),
            worker,
            link,
            peer,
            listener_id,
            listener,
            observation: Observation::default(),
            open_ended: false,
            claim,
        }
    }

    /// Begins to observe a request that comes now.
    pub(crate) fn expect_request(&mut self, snapshot: &Rc<Snapshot>) {
        self.observation.begin(self.peer.ip(), snapshot, &self.worker);
    }

    /// The listener that accepted the connection, as `snapshot` has it; as it was last, once it is gone.
    pub(crate) fn listener_in(&mut self, snapshot: &Snapshot) -> Rc<Listener> {
        if let Some(listener) = snapshot.listener(self.listener_id)
            && !Rc::ptr_eq(listener, &self.listener)
        {
            self.listener = Rc::clone(listener);
        }
        Rc::clone(&self.listener)
    }

    /// Writes the log line of the current request.
    pub(crate) fn log(&mut self) {
        self.observation.log(&self.worker);
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // A request that is cut, at the end of a drain or by a panic, is logged and counted too.
        self.log();
        self.observation.count(&self.worker, RequestStatus::default());
        if self.open_ended
            && let Link::Socket(socket) = &self.link
        {
            // Only a reset shows the client that the response is incomplete.
            let _ = SockRef::from(&socket.system()).set_linger(Some(Duration::ZERO));
        }
        if std::thread::panicking() {
            self.worker.recorder().own().panics.add(1);
            log::warn("a connection was ended by a fault of the gateway; please report the message above");
        }
    }
}
