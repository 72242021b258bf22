//! The thread that writes the rings' lines to the log's destination.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
use std::sync::mpsc;
use std::thread::{self, Thread};
use std::time::Duration;

use rtrb::{Consumer, Producer, RingBuffer};
use waypost_plan::settings::AccessLog;

use crate::observe::access_log::tail::Tail;

/// Capacity of a worker's ring.
pub(crate) const RING_BYTES: usize = 1 << 20;
/// Interval between writes while lines arrive, so that they are written in batches.
const BATCH_INTERVAL: Duration = Duration::from_millis(10);
/// Interval at which a sleeping writer checks for changes without being woken.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// Counters of one worker's lines. Only the worker writes them, so that no two cores share them.
#[derive(Debug, Default)]
struct Tally {
    /// Lines that the ring accepted.
    taken: AtomicU64,
    /// Lines that found the ring full.
    dropped: AtomicU64,
}

/// Lines that did not reach the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lost {
    /// Lines dropped because the writer was too far behind.
    pub dropped: u64,
    /// Lines that the destination did not accept: a full disk, a closed pipe, a pipe without a reader.
    pub unwritable: u64,
}

/// A worker's end of its ring; it never blocks.
#[derive(Debug)]
pub(crate) struct LineRing {
    producer: Producer<u8>,
    tally: Arc<Tally>,
    signal: Arc<WriterSignal>,
    tail: Tail,
}

/// Wakes the writer thread, once for many lines, and carries its counters.
#[derive(Debug)]
struct WriterSignal {
    asleep: AtomicBool,
    stop: AtomicBool,
    writer: std::sync::OnceLock<Thread>,
    /// Lines written to the log.
    written: AtomicU64,
    /// Lines that the destination did not accept.
    unwritable: AtomicU64,
}

/// A view of the lines lost so far.
#[derive(Debug, Clone)]
pub(crate) struct Losses {
    tallies: Vec<Arc<Tally>>,
    signal: Arc<WriterSignal>,
}

impl Losses {
    pub(crate) fn so_far(&self) -> Lost {
        Lost {
            dropped: sum(&self.tallies, |tally| &tally.dropped),
            unwritable: self.signal.unwritable.load(Ordering::Relaxed),
        }
    }
}

fn sum(tallies: &[Arc<Tally>], counter: fn(&Tally) -> &AtomicU64) -> u64 {
    tallies
        .iter()
        .map(|tally| counter(tally).load(Ordering::Relaxed))
        .sum()
}

/// A handle of the writer thread.
#[derive(Debug)]
pub(crate) struct Writer {
    signal: Arc<WriterSignal>,
    destinations: mpsc::Sender<AccessLog>,
    tallies: Vec<Arc<Tally>>,
    tail: Tail,
    /// Closed when the thread ends.
    finished: mpsc::Receiver<()>,
}

impl LineRing {
    /// The lines of all workers, for listeners.
    pub(crate) fn tail(&self) -> Tail {
        self.tail.clone()
    }

    /// Adds a line, or drops it if the ring is full.
    pub(crate) fn push(&mut self, line: &[u8]) {
        let counter = match self.producer.push_entire_slice(line) {
            Ok(()) => &self.tally.taken,
            Err(_) => &self.tally.dropped,
        };
        counter.store(counter.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        if self.signal.asleep.swap(false, Ordering::SeqCst) {
            self.signal.wake();
        }
    }
}

impl WriterSignal {
    fn wake(&self) {
        if let Some(writer) = self.writer.get() {
            writer.unpark();
        }
    }
}

impl Writer {
    /// Starts the thread, with a ring for each of `workers`. Lines go to `destination`; `warn` is called when they
    /// cannot be written, once until writing succeeds again.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub(crate) fn start(
        workers: usize,
        destination: AccessLog,
        warn: fn(&str),
    ) -> io::Result<(Self, Vec<LineRing>)> {
        let signal = Arc::new(WriterSignal {
            asleep: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            writer: std::sync::OnceLock::new(),
            written: AtomicU64::new(0),
            unwritable: AtomicU64::new(0),
        });
        let (destinations, changes) = mpsc::channel();
        let tail = Tail::default();
        let mut rings = Vec::new();
        let mut consumers = Vec::new();
        for _ in 0..workers {
            let (producer, consumer) = RingBuffer::new(RING_BYTES);
            consumers.push(consumer);
            rings.push(LineRing {
                producer,
                tally: Arc::default(),
                signal: Arc::clone(&signal),
                tail: tail.clone(),
            });
        }
        let tallies = rings.iter().map(|ring| Arc::clone(&ring.tally)).collect();
        let task = Task {
            consumers,
            changes,
            destination: Destination::Off,
            lines: Vec::new(),
            is_partial: false,
            has_warned: false,
            warn,
            signal: Arc::clone(&signal),
            tail: tail.clone(),
        };
        let (running, finished) = mpsc::channel();
        let thread = thread::Builder::new()
            .name("access-log".to_owned())
            .spawn(move || {
                task.run(destination);
                drop(running);
            })?;
        let _ = signal.writer.set(thread.thread().clone());
        Ok((
            Self {
                signal,
                destinations,
                tallies,
                tail,
                finished,
            },
            rings,
        ))
    }

    /// Sends later lines to `destination`. A file is reopened, so that a rotated one is closed.
    pub(crate) fn redirect(&self, destination: AccessLog) {
        // The thread lives as long as `self`.
        let _ = self.destinations.send(destination);
        self.signal.wake();
    }

    /// The lines of the log, for listeners.
    pub(crate) fn tail(&self) -> Tail {
        self.tail.clone()
    }

    /// A view of the lines lost so far.
    pub(crate) fn losses(&self) -> Losses {
        Losses {
            tallies: self.tallies.clone(),
            signal: Arc::clone(&self.signal),
        }
    }

    /// Writes all lines logged so far and ends the thread. Gives up after `limit`, since a destination may block
    /// forever. Returns the lines lost.
    pub(crate) fn finish(self, limit: Duration) -> Lost {
        self.signal.stop.store(true, Ordering::Release);
        self.signal.wake();
        let _ = self.finished.recv_timeout(limit);
        // A line that was not attempted is lost as well.
        let taken = sum(&self.tallies, |tally| &tally.taken);
        Lost {
            dropped: sum(&self.tallies, |tally| &tally.dropped),
            unwritable: taken.saturating_sub(self.signal.written.load(Ordering::Relaxed)),
        }
    }
}

struct Task {
    consumers: Vec<Consumer<u8>>,
    changes: mpsc::Receiver<AccessLog>,
    destination: Destination,
    /// The lines being written; the memory is reused.
    lines: Vec<u8>,
    /// True if the last line was written only in part.
    is_partial: bool,
    /// True if the current error has been reported.
    has_warned: bool,
    warn: fn(&str),
    signal: Arc<WriterSignal>,
    tail: Tail,
}

enum Destination {
    Off,
    Stdout,
    File { path: Box<str>, file: Option<File> },
}

impl Task {
    /// Writes until stopped. `destination` is opened here, on the thread; lines may already be waiting.
    fn run(mut self, destination: AccessLog) {
        self.change(destination);
        loop {
            let stopping = self.signal.stop.load(Ordering::Acquire);
            while let Ok(destination) = self.changes.try_recv() {
                // Lines logged before the change belong to the old destination.
                self.drain_rings();
                self.change(destination);
            }
            let wrote = self.drain_rings();
            if stopping {
                return;
            }
            if wrote {
                thread::park_timeout(BATCH_INTERVAL);
            } else {
                self.signal.asleep.store(true, Ordering::SeqCst);
                // Either the worker sees the flag after it pushed its line, or the line is seen here.
                fence(Ordering::SeqCst);
                if self.consumers.iter().all(Consumer::is_empty) {
                    thread::park_timeout(CHECK_INTERVAL);
                }
                self.signal.asleep.store(false, Ordering::Release);
            }
        }
    }

    fn change(&mut self, destination: AccessLog) {
        self.is_partial = false;
        self.has_warned = false;
        self.destination = match destination {
            AccessLog::Off => Destination::Off,
            AccessLog::Stdout => Destination::Stdout,
            AccessLog::File(path) => Destination::File { path, file: None },
        };
        if let Destination::File { path, file } = &mut self.destination {
            match open(path) {
                Ok(opened) => *file = Some(opened),
                Err(error) => self.report(&error),
            }
        }
    }

    /// Writes all lines in the rings. Returns false if there was none.
    fn drain_rings(&mut self) -> bool {
        let mut lines = std::mem::take(&mut self.lines);
        lines.clear();
        for consumer in &mut self.consumers {
            let available = consumer.slots();
            if let Ok(chunk) = consumer.read_chunk(available) {
                let (first, second) = chunk.as_slices();
                lines.extend_from_slice(first);
                lines.extend_from_slice(second);
                chunk.commit_all();
            }
        }
        if lines.is_empty() {
            self.lines = lines;
            return false;
        }
        self.tail.send(&lines);
        let (written, error) = match self.write(&lines) {
            Ok(()) => (lines.len(), None),
            Err((error, written)) => (written, Some(error)),
        };
        let count = |lines: &[u8]| memchr::memchr_iter(b'\n', lines).count() as u64;
        let whole = count(&lines[..written]);
        self.signal.written.fetch_add(whole, Ordering::Relaxed);
        match error {
            None => self.has_warned = false,
            Some(error) => {
                let lost = count(&lines[written..]);
                self.signal.unwritable.fetch_add(lost, Ordering::Relaxed);
                if written > 0 {
                    self.is_partial = lines[written - 1] != b'\n';
                }
                self.report(&error);
            }
        }
        self.lines = lines;
        true
    }

    fn write(&mut self, lines: &[u8]) -> Result<(), (io::Error, usize)> {
        let is_partial = &mut self.is_partial;
        match &mut self.destination {
            Destination::Off => Ok(()),
            Destination::Stdout => write_counting(&mut io::stdout().lock(), lines, is_partial),
            Destination::File { path, file } => {
                let file = match file {
                    Some(file) => file,
                    None => file.insert(open(path).map_err(|error| (error, 0))?),
                };
                write_counting(file, lines, is_partial)
            }
        }
    }

    /// Reports an error, once until writing succeeds again.
    fn report(&mut self, error: &io::Error) {
        if !self.has_warned {
            self.has_warned = true;
            let place = match &self.destination {
                Destination::File { path, .. } => path,
                Destination::Stdout | Destination::Off => "standard output",
            };
            (self.warn)(&format!(
                "the access log cannot be written to {place}: {error}; lines are lost until it can"
            ));
        }
    }
}

fn open(path: &str) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

/// Writes all of `lines`; an error comes with the number of bytes written before it. A partial line is terminated
/// first, so that the next line is not appended to it.
fn write_counting(
    to: &mut impl Write,
    lines: &[u8],
    is_partial: &mut bool,
) -> Result<(), (io::Error, usize)> {
    if *is_partial {
        to.write_all(b"\n").map_err(|error| (error, 0))?;
        *is_partial = false;
    }
    let mut written = 0;
    while written < lines.len() {
        match to.write(&lines[written..]) {
            Ok(0) => return Err((io::ErrorKind::WriteZero.into(), written)),
            Ok(count) => written += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err((error, written)),
        }
    }
    to.flush().map_err(|error| (error, written))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partial_line_is_terminated_before_the_next() {
        struct Disk {
            room: usize,
            text: Vec<u8>,
        }
        impl Write for Disk {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                let count = bytes.len().min(self.room);
                if count == 0 {
                    return Err(io::ErrorKind::StorageFull.into());
                }
                self.room -= count;
                self.text.extend_from_slice(&bytes[..count]);
                Ok(count)
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut disk = Disk {
            room: 5,
            text: Vec::new(),
        };
        let (error, written) = write_counting(&mut disk, b"one\ntwo\n", &mut false).unwrap_err();
        assert_eq!((error.kind(), written), (io::ErrorKind::StorageFull, 5));
        disk.room = 100;
        write_counting(&mut disk, b"three\n", &mut true).unwrap();
        assert_eq!(disk.text, b"one\nt\nthree\n");
    }
}
