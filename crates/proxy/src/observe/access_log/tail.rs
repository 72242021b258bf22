//! The access log as it happens, for those who listen.
//!
//! While there is a listener, every request has its line, also where the log is off, and the log's writer hands copies of
//! the lines on. One that is behind loses lines, and is told how many. Without listeners a request costs one look.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use tokio::sync::broadcast::error::RecvError;
use tokio::sync::broadcast::{self, Receiver, Sender};

/// Batches of lines that wait for a listener, each of one write of the log.
const BATCHES_MAX: usize = 8;

/// The lines of the access log, for listeners.
#[derive(Debug, Clone)]
pub(crate) struct Tail {
    listeners: Arc<AtomicUsize>,
    /// The number of lines so far. Only the log's writer changes it.
    lines: Arc<AtomicU64>,
    batches: Sender<Batch>,
}

/// Lines that were written together.
#[derive(Debug, Clone)]
struct Batch {
    lines: Arc<[u8]>,
    /// The number of lines before the first of these.
    before: u64,
}

/// A listener.
#[derive(Debug)]
pub struct Listener {
    listeners: Arc<AtomicUsize>,
    batches: Receiver<Batch>,
    /// The number of lines that were handed on before the next one.
    next: u64,
}

/// Lines of the access log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lines {
    /// Whole lines, each with its end.
    pub lines: Arc<[u8]>,
    /// The number of lines before these that were lost, as the listener was behind.
    pub lost: u64,
}

impl Default for Tail {
    fn default() -> Self {
        Self {
            listeners: Arc::default(),
            lines: Arc::default(),
            batches: broadcast::channel(BATCHES_MAX).0,
        }
    }
}

impl Tail {
    /// Returns true if there is a listener.
    pub(crate) fn is_on(&self) -> bool {
        self.listeners.load(Ordering::Relaxed) > 0
    }

    /// The number of listeners.
    pub(crate) fn listeners(&self) -> usize {
        self.listeners.load(Ordering::Relaxed)
    }

    /// Hands lines on. Must only be called by the log's writer.
    pub(super) fn send(&self, lines: &[u8]) {
        if !self.is_on() {
            return;
        }
        let count = memchr::memchr_iter(b'\n', lines).count() as u64;
        let before = self.lines.fetch_add(count, Ordering::Relaxed);
        // Fails if the last listener has just gone.
        let _ = self.batches.send(Batch {
            lines: lines.into(),
            before,
        });
    }

    /// Listens to lines from now on.
    pub(crate) fn listen(&self) -> Listener {
        let batches = self.batches.subscribe();
        self.listeners.fetch_add(1, Ordering::Relaxed);
        Listener {
            listeners: Arc::clone(&self.listeners),
            batches,
            next: self.lines.load(Ordering::Relaxed),
        }
    }
}

impl Listener {
    /// Waits for the next lines; `None` once the gateway has stopped.
    pub async fn next(&mut self) -> Option<Lines> {
        let batch = loop {
            match self.batches.recv().await {
                Ok(batch) => break batch,
                // The next batch tells how many lines it were.
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return None,
            }
        };
        let count = memchr::memchr_iter(b'\n', &batch.lines).count() as u64;
        let lost = batch.before.saturating_sub(self.next);
        self.next = batch.before + count;
        Some(Lines {
            lines: batch.lines,
            lost,
        })
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.listeners.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_are_handed_on_while_there_is_a_listener() {
        let tail = Tail::default();
        tail.send(b"nothing\n");
        assert!(!tail.is_on());
        let mut listener = tail.listen();
        assert!(tail.is_on());
        tail.send(b"a\nb\n");
        let lines = listener.next().await.unwrap();
        assert_eq!((&*lines.lines, lines.lost), (&b"a\nb\n"[..], 0));
        for _ in 0..BATCHES_MAX + 3 {
            tail.send(b"c\nd\n");
        }
        assert_eq!(listener.next().await.unwrap().lost, 6);
        assert_eq!(listener.next().await.unwrap().lost, 0);
        drop(listener);
        assert!(!tail.is_on());
        drop(tail);
    }
}
