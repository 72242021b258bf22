//! The thread that empties the rings into the log's destination.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
use std::sync::mpsc;
use std::thread::{self, Thread};
use std::time::Duration;

use rtrb::{Consumer, Producer, RingBuffer};
use waypost_plan::settings::AccessLog;

/// What a worker may be ahead of the writer.
pub(crate) const RING_BYTES: usize = 1 << 20;
/// How long lines are collected before they are written together.
const COLLECT: Duration = Duration::from_millis(10);
/// How often the writer looks on its own while nobody wakes it.
const LOOK: Duration = Duration::from_secs(1);

/// What became of one worker's lines. Only the worker counts here, so that no two cores share the counters.
#[derive(Debug, Default)]
struct Tally {
    /// The ring took them.
    taken: AtomicU64,
    /// The ring was full.
    dropped: AtomicU64,
}

/// Lines that did not reach the log, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lost {
    /// The writer was too far behind.
    pub dropped: u64,
    /// The destination did not take them: a full disk, a closed pipe, nobody who reads.
    pub unwritable: u64,
}

/// A worker's end: it never blocks.
#[derive(Debug)]
pub(crate) struct LineRing {
    producer: Producer<u8>,
    tally: Arc<Tally>,
    bell: Arc<Bell>,
}

/// Wakes the writer, once for many lines.
#[derive(Debug)]
struct Bell {
    asleep: AtomicBool,
    stop: AtomicBool,
    writer: std::sync::OnceLock<Thread>,
    /// Lines that are in the log.
    written: AtomicU64,
    /// Lines that the destination did not take.
    unwritable: AtomicU64,
}

/// Shows what has been lost so far.
#[derive(Debug, Clone)]
pub(crate) struct Losses {
    tallies: Vec<Arc<Tally>>,
    bell: Arc<Bell>,
}

impl Losses {
    pub(crate) fn so_far(&self) -> Lost {
        Lost {
            dropped: sum(&self.tallies, |tally| &tally.dropped),
            unwritable: self.bell.unwritable.load(Ordering::Relaxed),
        }
    }
}

fn sum(tallies: &[Arc<Tally>], counter: fn(&Tally) -> &AtomicU64) -> u64 {
    tallies
        .iter()
        .map(|tally| counter(tally).load(Ordering::Relaxed))
        .sum()
}

/// The writer's other end.
#[derive(Debug)]
pub(crate) struct Writer {
    bell: Arc<Bell>,
    destinations: mpsc::Sender<AccessLog>,
    tallies: Vec<Arc<Tally>>,
    /// Closed when the thread ends.
    finished: mpsc::Receiver<()>,
}

impl LineRing {
    /// Hands over a line, or drops it when the writer is too far behind.
    pub(crate) fn push(&mut self, line: &[u8]) {
        let counter = match self.producer.push_entire_slice(line) {
            Ok(()) => &self.tally.taken,
            Err(_) => &self.tally.dropped,
        };
        counter.store(counter.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        if self.bell.asleep.swap(false, Ordering::SeqCst) {
            self.bell.ring();
        }
    }
}

impl Bell {
    fn ring(&self) {
        if let Some(writer) = self.writer.get() {
            writer.unpark();
        }
    }
}

impl Writer {
    /// Starts the thread, with a ring for each of `workers`, for lines that go to `destination`. `complain` is told, now and then, of lines
    /// that could not be written.
    ///
    /// # Errors
    /// When no thread can be started.
    pub(crate) fn start(
        workers: usize,
        destination: AccessLog,
        complain: fn(&str),
    ) -> io::Result<(Self, Vec<LineRing>)> {
        let bell = Arc::new(Bell {
            asleep: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            writer: std::sync::OnceLock::new(),
            written: AtomicU64::new(0),
            unwritable: AtomicU64::new(0),
        });
        let (destinations, changes) = mpsc::channel();
        let mut rings = Vec::new();
        let mut consumers = Vec::new();
        for _ in 0..workers {
            let (producer, consumer) = RingBuffer::new(RING_BYTES);
            consumers.push(consumer);
            rings.push(LineRing {
                producer,
                tally: Arc::default(),
                bell: Arc::clone(&bell),
            });
        }
        let tallies = rings.iter().map(|ring| Arc::clone(&ring.tally)).collect();
        let task = Task {
            consumers,
            changes,
            destination: Destination::Off,
            lines: Vec::new(),
            torn: false,
            silent: false,
            complain,
            bell: Arc::clone(&bell),
        };
        let (running, finished) = mpsc::channel();
        let thread = thread::Builder::new()
            .name("access-log".to_owned())
            .spawn(move || {
                task.run(destination);
                drop(running);
            })?;
        let _ = bell.writer.set(thread.thread().clone());
        Ok((
            Self {
                bell,
                destinations,
                tallies,
                finished,
            },
            rings,
        ))
    }

    /// Sends what follows to `destination`. A file is opened anew, so that a rotated log is let go of.
    pub(crate) fn redirect(&self, destination: AccessLog) {
        // The thread lives as long as `self`.
        let _ = self.destinations.send(destination);
        self.bell.ring();
    }

    /// What shows the lines that have been lost.
    pub(crate) fn losses(&self) -> Losses {
        Losses {
            tallies: self.tallies.clone(),
            bell: Arc::clone(&self.bell),
        }
    }

    /// Has what was logged until now written, and ends the thread, unless that takes longer than `patience`:
    /// a destination may block for as long as it likes. Returns what has been lost.
    pub(crate) fn finish(self, patience: Duration) -> Lost {
        self.bell.stop.store(true, Ordering::Release);
        self.bell.ring();
        let _ = self.finished.recv_timeout(patience);
        // A line that nobody has tried to write any more is lost as well.
        let taken = sum(&self.tallies, |tally| &tally.taken);
        Lost {
            dropped: sum(&self.tallies, |tally| &tally.dropped),
            unwritable: taken.saturating_sub(self.bell.written.load(Ordering::Relaxed)),
        }
    }
}

struct Task {
    consumers: Vec<Consumer<u8>>,
    changes: mpsc::Receiver<AccessLog>,
    destination: Destination,
    /// What is being written, in memory that is kept.
    lines: Vec<u8>,
    /// Whether the last line is only there in part, since the disk was full.
    torn: bool,
    /// Whether the present trouble has been complained of.
    silent: bool,
    complain: fn(&str),
    bell: Arc<Bell>,
}

enum Destination {
    Off,
    Stdout,
    File { path: Box<str>, file: Option<File> },
}

impl Task {
    /// Writes until it is told to stop, to `destination` first: lines may be there before the thread is.
    fn run(mut self, destination: AccessLog) {
        self.change(destination);
        loop {
            let stopping = self.bell.stop.load(Ordering::Acquire);
            while let Ok(destination) = self.changes.try_recv() {
                // What was logged before the change belongs where it was meant to go.
                self.empty_rings();
                self.change(destination);
            }
            let wrote = self.empty_rings();
            if stopping {
                return;
            }
            if wrote {
                thread::park_timeout(COLLECT);
            } else {
                self.bell.asleep.store(true, Ordering::SeqCst);
                // Either the worker sees the flag behind its line, or its line is seen here.
                fence(Ordering::SeqCst);
                if self.consumers.iter().all(Consumer::is_empty) {
                    thread::park_timeout(LOOK);
                }
                self.bell.asleep.store(false, Ordering::Release);
            }
        }
    }

    fn change(&mut self, destination: AccessLog) {
        self.torn = false;
        self.silent = false;
        self.destination = match destination {
            AccessLog::Off => Destination::Off,
            AccessLog::Stdout => Destination::Stdout,
            AccessLog::File(path) => Destination::File { path, file: None },
        };
        if let Destination::File { path, file } = &mut self.destination {
            match open(path) {
                Ok(opened) => *file = Some(opened),
                Err(error) => self.trouble(&error),
            }
        }
    }

    /// Writes what the workers have logged; whether there was anything.
    fn empty_rings(&mut self) -> bool {
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
        let (written, trouble) = match self.write(&lines) {
            Ok(()) => (lines.len(), None),
            Err((error, written)) => (written, Some(error)),
        };
        let count = |lines: &[u8]| memchr::memchr_iter(b'\n', lines).count() as u64;
        let whole = count(&lines[..written]);
        self.bell.written.fetch_add(whole, Ordering::Relaxed);
        match trouble {
            None => self.silent = false,
            Some(error) => {
                let lost = count(&lines[written..]);
                self.bell.unwritable.fetch_add(lost, Ordering::Relaxed);
                if written > 0 {
                    self.torn = lines[written - 1] != b'\n';
                }
                self.trouble(&error);
            }
        }
        self.lines = lines;
        true
    }

    fn write(&mut self, lines: &[u8]) -> Result<(), (io::Error, usize)> {
        let torn = &mut self.torn;
        match &mut self.destination {
            Destination::Off => Ok(()),
            Destination::Stdout => write_counting(&mut io::stdout().lock(), lines, torn),
            Destination::File { path, file } => {
                let file = match file {
                    Some(file) => file,
                    None => file.insert(open(path).map_err(|error| (error, 0))?),
                };
                write_counting(file, lines, torn)
            }
        }
    }

    /// Says what is wrong, once until it is right again.
    fn trouble(&mut self, error: &io::Error) {
        if !self.silent {
            self.silent = true;
            let place = match &self.destination {
                Destination::File { path, .. } => path,
                Destination::Stdout | Destination::Off => "standard output",
            };
            (self.complain)(&format!(
                "the access log cannot be written to {place}: {error}; lines are lost until it can"
            ));
        }
    }
}

fn open(path: &str) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

/// Writes all of `lines`; an error says how many bytes were written before it. A line that was torn before
/// is ended first, so that what follows begins a line of its own.
fn write_counting(to: &mut impl Write, lines: &[u8], torn: &mut bool) -> Result<(), (io::Error, usize)> {
    if *torn {
        to.write_all(b"\n").map_err(|error| (error, 0))?;
        *torn = false;
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
    fn a_torn_line_is_ended_before_the_next() {
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
