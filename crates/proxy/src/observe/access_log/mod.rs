//! The access log: a JSON line per request, written without ever holding up a worker.
//!
//! Each worker has a ring that it alone writes to; one thread empties them all. A full ring drops the line
//! and counts it.

mod record;
mod writer;

pub(crate) use record::{Ending, LineWriter, Record};
pub use writer::Lost;
pub(crate) use writer::{LineRing, Losses, RING_BYTES, Writer};
