//! What time it is: for deadlines, and as HTTP writes it.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimePrinter;
use tokio::time::Instant;

/// How often a time is given out before it is looked up again, if a worker never waits.
const USES_MAX: u32 = 16;

/// How often a worker has waited for its sockets. Whatever had come to one by then, its runtime knows of.
#[derive(Debug, Clone, Default)]
pub(crate) struct Turns(Arc<AtomicU32>);

impl Turns {
    /// Counts one more, once the worker goes on.
    pub(crate) fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// How many there have been; it wraps around.
    pub(crate) fn count(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A worker's own time. To look it up costs as much as parsing two header lines, and a request has many deadlines.
#[derive(Debug)]
pub(crate) struct Clock {
    turns: Turns,
    /// The turn and the time of the last look, and how often that was given out.
    seen: Cell<u32>,
    now: Cell<Instant>,
    uses: Cell<u32>,
}

impl Clock {
    pub(crate) fn new(turns: Turns) -> Self {
        Self {
            seen: Cell::new(turns.count()),
            turns,
            now: Cell::new(Instant::now()),
            uses: Cell::new(0),
        }
    }

    /// How often the worker has waited for its sockets.
    pub(crate) fn turn(&self) -> u32 {
        self.turns.count()
    }

    /// The time now, for what is measured.
    pub(crate) fn now(&self) -> Instant {
        let now = Instant::now();
        self.now.set(now);
        self.seen.set(self.turns.count());
        self.uses.set(0);
        now
    }

    /// The time that it was when somebody looked last, since the worker waited: good enough for deadlines.
    pub(crate) fn about_now(&self) -> Instant {
        let uses = self.uses.get();
        if self.seen.get() != self.turns.count() || uses == USES_MAX {
            return self.now();
        }
        self.uses.set(uses + 1);
        self.now.get()
    }
}

/// A worker's own clock (RFC 9110 §5.6.7).
#[derive(Debug, Default)]
pub(crate) struct HttpClock {
    /// Which second `text` is.
    second: Cell<i64>,
    text: RefCell<String>,
}

impl HttpClock {
    /// Appends a `date` line with the time now.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let now = Timestamp::now();
        let mut text = self.text.borrow_mut();
        if text.is_empty() || self.second.get() != now.as_second() {
            self.second.set(now.as_second());
            // The years that HTTP cannot write are not ours to see.
            *text = DateTimePrinter::new()
                .timestamp_to_rfc9110_string(&now)
                .unwrap_or_default();
        }
        if !text.is_empty() {
            waypost_wire::write::field(out, b"date", text.as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_looked_up_anew_after_a_turn_and_after_many_uses() {
        let turns = Turns::default();
        let clock = Clock::new(turns.clone());
        let began = clock.now();
        while Instant::now() == began {}
        assert_eq!(clock.about_now(), began);
        turns.add();
        let later = clock.about_now();
        assert!(later > began);
        while Instant::now() == later {}
        let times: Vec<Instant> = (0..=USES_MAX).map(|_| clock.about_now()).collect();
        assert_eq!(times[0], later);
        assert!(times.last() > times.first());
    }

    #[test]
    fn the_line_is_an_imf_fixdate() {
        let mut out = Vec::new();
        HttpClock::default().write(&mut out);
        let line = String::from_utf8(out).unwrap();
        assert_eq!(
            line.len(),
            "date: Sun, 06 Nov 1994 08:49:37 GMT\r\n".len(),
            "{line}"
        );
        assert!(line.starts_with("date: ") && line.ends_with(" GMT\r\n"), "{line}");
    }
}
