//! Zero-copy relaying between two sockets, with `splice(2)` through a pipe.
//!
//! Reading and writing copies every byte twice. A large cleartext body that is forwarded unchanged needs no copy:
//! `splice(2)` moves references to the received pages. Heads and anything else that must be parsed are never spliced,
//! nor are bytes beyond the end of the body.

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};
use tokio::io::Interest;

use crate::socket::SystemSocket;

/// Minimum remaining length of a body to splice. Below it, the system calls cost more than the copies.
pub const SPLICE_BYTES_MIN: u64 = 128 << 10;
/// Capacity of a pipe in bytes.
pub const PIPE_BYTES: usize = 256 << 10;
/// Maximum pipes in use per worker; other bodies are copied. Each pipe uses two descriptors.
pub const PIPES_MAX: usize = 64;
/// Maximum idle pipes kept per worker.
const PIPES_KEPT: usize = 16;

/// A worker's pipes.
#[derive(Debug, Default)]
pub struct Pipes {
    /// Idle pipes, all of them empty.
    idle: RefCell<Vec<PipeEnds>>,
    /// The number of pipes in use: `used <= PIPES_MAX`.
    used: Cell<usize>,
}

/// The descriptors of a pipe.
#[derive(Debug)]
struct PipeEnds {
    read: OwnedFd,
    write: OwnedFd,
}

/// A pipe in use by one body; returned to its worker on drop.
#[derive(Debug)]
pub struct Pipe {
    pipes: Rc<Pipes>,
    /// `None` only during drop.
    ends: Option<PipeEnds>,
    /// Bytes in the pipe.
    filled: usize,
}

impl Pipes {
    /// Takes an idle pipe, or opens one. Returns `None` if [`PIPES_MAX`] are in use or no descriptor is available.
    pub fn take(self: &Rc<Self>) -> Option<Pipe> {
        if self.used.get() >= PIPES_MAX {
            return None;
        }
        let kept = self.idle.borrow_mut().pop();
        let ends = match kept {
            Some(ends) => ends,
            None => PipeEnds::new().ok()?,
        };
        self.used.set(self.used.get() + 1);
        Some(Pipe {
            pipes: Rc::clone(self),
            ends: Some(ends),
            filled: 0,
        })
    }

    /// Closes the idle pipes to free descriptors. Returns true if there were any.
    pub fn close_idle(&self) -> bool {
        !std::mem::take(&mut *self.idle.borrow_mut()).is_empty()
    }
}

impl PipeEnds {
    fn new() -> io::Result<Self> {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        // Best effort: a smaller pipe works too.
        let _ = fcntl_setpipe_size(&write, PIPE_BYTES);
        Ok(Self { read, write })
    }
}

impl Pipe {
    /// The number of bytes in the pipe.
    pub fn filled(&self) -> usize {
        self.filled
    }

    /// Moves up to `max` bytes from `from` into the pipe, which must be empty. Returns their number; 0 at the end of
    /// the connection.
    pub fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        from: SystemSocket<'_>,
        max: u64,
    ) -> Poll<io::Result<usize>> {
        debug_assert!(
            self.filled == 0,
            "`splice` returns EAGAIN for a full pipe as for an empty socket"
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

    /// Moves bytes from the pipe to `to`. Returns their number.
    pub fn poll_drain(&mut self, cx: &mut Context<'_>, to: SystemSocket<'_>) -> Poll<io::Result<usize>> {
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
        // A pipe that still contains bytes of an aborted body must not be reused.
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
    fn only_empty_pipes_are_reused_and_their_number_is_bounded() {
        let pipes = Rc::new(Pipes::default());
        let mut full = pipes.take().unwrap();
        full.filled = 1;
        drop(full);
        assert!(!pipes.close_idle(), "its bytes would reach another client");
        let all: Vec<Pipe> = (0..PIPES_MAX).map(|_| pipes.take().unwrap()).collect();
        assert!(pipes.take().is_none());
        drop(all);
        assert_eq!(pipes.idle.borrow().len(), PIPES_KEPT);
        assert!(pipes.take().is_some() && pipes.close_idle());
    }
}
