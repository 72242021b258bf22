//! The access log: a JSON line per request, written without blocking a worker.
//!
//! Each worker writes lines to a ring of its own; one thread drains them all. A line that finds the ring full is
//! dropped and counted.

mod record;
mod tail;
mod writer;

pub(crate) use record::{Ending, LineWriter, Record};
pub(crate) use tail::Tail;
pub use tail::{Lines, Listener};
pub use writer::Lost;
pub(crate) use writer::{LineRing, Losses, RING_BYTES, Writer};
