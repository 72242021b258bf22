//! A wrapper around epoll.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};

/// Events per wait.
const EVENTS_MAX: usize = 512;

/// A set of sockets, each under a number chosen by the caller.
pub struct Poller {
    epoll: OwnedFd,
    events: Vec<Event>,
}

impl Poller {
    /// Creates an empty set.
    ///
    /// # Errors
    /// If the kernel refuses a descriptor.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            epoll: epoll::create(CreateFlags::CLOEXEC)?,
            events: Vec::with_capacity(EVENTS_MAX),
        })
    }

    /// Adds a non-blocking socket, edge-triggered for reading and writing. Closing the socket removes it.
    ///
    /// # Errors
    /// If the kernel refuses the socket.
    pub fn add(&self, socket: impl AsFd, number: u64) -> io::Result<()> {
        let edges = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        epoll::add(&self.epoll, socket, EventData::new_u64(number), edges)?;
        Ok(())
    }

    /// Waits for up to `patience`; returns the numbers of the ready sockets.
    ///
    /// # Errors
    /// If the wait fails.
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

/// Turns `WouldBlock` into `None`.
///
/// # Errors
/// All other errors of `outcome`.
pub fn unless_blocked(outcome: io::Result<usize>) -> io::Result<Option<usize>> {
    match outcome {
        Ok(count) => Ok(Some(count)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}
