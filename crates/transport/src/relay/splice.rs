//! Moving a body from one socket to another without looking at it: the kernel moves its pages through a pipe.
//!
//! To read and to write a MiB copies it twice. A large body in clear text whose bytes leave as they came need not be
//! copied at all: `splice(2)` moves references to what was received. Nothing of the head, and nothing that has to be
//! parsed, goes this way, and never more than belongs to the body.

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};
use tokio::io::Interest;
use tokio::net::TcpStream;

/// What is left of a body for it to be worth a pipe: below, the calls cost more than the copies.
pub const WORTH_BYTES: u64 = 128 << 10;
/// What a pipe holds.
pub const PIPE_BYTES: usize = 256 << 10;
/// How many pipes a worker has at a time; other bodies are copied. Each takes two descriptors.
pub const PIPES_MAX: usize = 64;
/// How many of them are kept when nobody uses them.
const PIPES_KEPT: usize = 16;

/// A worker's pipes.
#[derive(Debug, Default)]
pub struct Pipes {
    /// Empty ones.
    idle: RefCell<Vec<ProxiedAddresses>>,
    /// How many are in use.
    used: Cell<usize>,
}

#[derive(Debug)]
struct ProxiedAddresses {
    read: OwnedFd,
    write: OwnedFd,
}

/// A pipe that one body passes through.
#[derive(Debug)]
pub struct Pipe {
    pipes: Rc<Pipes>,
    /// There until it is dropped.
    ends: Option<ProxiedAddresses>,
    /// How much is in it.
    filled: usize,
}

impl Pipes {
    /// A pipe; `None` when there are enough of them, or descriptors are short.
    pub fn take(self: &Rc<Self>) -> Option<Pipe> {
        if self.used.get() >= PIPES_MAX {
            return None;
        }
        let kept = self.idle.borrow_mut().pop();
        let ends = match kept {
            Some(ends) => ends,
            None => ProxiedAddresses::new().ok()?,
        };
        self.used.set(self.used.get() + 1);
        Some(Pipe {
            pipes: Rc::clone(self),
            ends: Some(ends),
            filled: 0,
        })
    }

    /// Closes those that nobody uses, as descriptors are short; whether there were any.
    pub fn close_idle(&self) -> bool {
        !std::mem::take(&mut *self.idle.borrow_mut()).is_empty()
    }
}

impl ProxiedAddresses {
    fn new() -> io::Result<Self> {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        // Where the system does not allow it, it holds less, and works all the same.
        let _ = fcntl_setpipe_size(&write, PIPE_BYTES);
        Ok(Self { read, write })
    }
}

impl Pipe {
    /// How much is in it.
    pub fn filled(&self) -> usize {
        self.filled
    }

    /// Takes up to `max` bytes of `from` into the pipe, which is empty; 0 is the end of the connection.
    pub fn poll_fill(&mut self, cx: &mut Context<'_>, from: &TcpStream, max: u64) -> Poll<io::Result<usize>> {
        debug_assert!(
            self.filled == 0,
            "a full pipe would look like a socket without bytes"
        );
        let max = usize::try_from(max).map_or(PIPE_BYTES, |max| max.min(PIPE_BYTES));
        let Some(ends) = &self.ends else {
            return Poll::Ready(Ok(0));
        };
        loop {
            ready!(from.poll_read_ready(cx))?;
            let moved = from.try_io(Interest::READABLE, || move_bytes(from, &ends.write, max));
            match moved {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
                Ok(count) => {
                    self.filled = count;
                    return Poll::Ready(Ok(count));
                }
            }
        }
    }

    /// Gives some of what is in the pipe to `to`.
    pub fn poll_drain(&mut self, cx: &mut Context<'_>, to: &TcpStream) -> Poll<io::Result<usize>> {
        let Some(ends) = &self.ends else {
            return Poll::Ready(Ok(0));
        };
        loop {
            ready!(to.poll_write_ready(cx))?;
            let moved = to.try_io(Interest::WRITABLE, || move_bytes(&ends.read, to, self.filled));
            match moved {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
                Ok(count) => {
                    self.filled -= count;
                    return Poll::Ready(Ok(count));
                }
            }
        }
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        self.pipes.used.set(self.pipes.used.get() - 1);
        // One with bytes in it, of a body that was broken off, is nobody else's.
        if let Some(ends) = self.ends.take().filter(|_| self.filled == 0) {
            let mut idle = self.pipes.idle.borrow_mut();
            if idle.len() < PIPES_KEPT {
                idle.push(ends);
            }
        }
    }
}

fn move_bytes(from: impl std::os::fd::AsFd, to: impl std::os::fd::AsFd, max: usize) -> io::Result<usize> {
    let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
    Ok(splice(from, None, to, None, max, flags)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_empty_pipes_are_used_again_and_there_is_a_bound() {
        let pipes = Rc::new(Pipes::default());
        let mut full = pipes.take().unwrap();
        full.filled = 1;
        drop(full);
        assert!(!pipes.close_idle(), "what was in it would reach another client");
        let all: Vec<Pipe> = (0..PIPES_MAX).map(|_| pipes.take().unwrap()).collect();
        assert!(pipes.take().is_none());
        drop(all);
        assert_eq!(pipes.idle.borrow().len(), PIPES_KEPT);
        assert!(pipes.take().is_some() && pipes.close_idle());
    }
}
