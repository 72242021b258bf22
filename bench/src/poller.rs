//! Waiting for sockets, by epoll.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};

/// How many sockets are told of at once.
const EVENTS_MAX: usize = 512;

/// Sockets that are waited for, each under a number of the caller's.
pub struct Poller {
    epoll: OwnedFd,
    events: Vec<Event>,
}

impl Poller {
    /// One without sockets.
    ///
    /// # Errors
    /// When the kernel gives none.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            epoll: epoll::create(CreateFlags::CLOEXEC)?,
            events: Vec::with_capacity(EVENTS_MAX),
        })
    }

    /// Tells from now on when `socket`, which does not block, can be read or written again. It is forgotten when it is
    /// closed.
    ///
    /// # Errors
    /// When the kernel refuses it.
    pub fn add(&self, socket: impl AsFd, number: u64) -> io::Result<()> {
        let edges = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        epoll::add(&self.epoll, socket, EventData::new_u64(number), edges)?;
        Ok(())
    }

    /// Waits for at most `patience`; the numbers of the sockets that can go on.
    ///
    /// # Errors
    /// When the kernel reports one.
    pub fn wait(&mut self, patience: Option<Duration>) -> io::Result<impl Iterator<Item = u64>> {
        let patience = patience.map(|patience| Timespec {
            tv_sec: patience.as_secs().cast_signed(),
            tv_nsec: patience.subsec_nanos().into(),
        });
        self.events.clear();
        match epoll::wait(&self.epoll, spare_capacity(&mut self.events), patience.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(self.events.iter().map(|event| event.data.u64()))
    }
}

/// What came of reading or writing without waiting: `None` when it would have to wait.
///
/// # Errors
/// Those of `outcome` that are others than that.
pub fn unless_blocked(outcome: io::Result<usize>) -> io::Result<Option<usize>> {
    match outcome {
        Ok(count) => Ok(Some(count)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}
