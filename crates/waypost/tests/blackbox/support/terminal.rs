//! A command in a pseudo-terminal, whose screen is read as a person sees it.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags, open};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Termios, Winsize, tcgetattr, tcsetwinsize};

use super::PATIENCE;

/// A command in a terminal, killed on drop.
pub(crate) struct Terminal {
    child: Child,
    ours: File,
    theirs: OwnedFd,
    before: Termios,
    screen: Arc<Shown>,
}

#[derive(Default)]
struct Shown {
    screen: Mutex<Screen>,
    changed: Condvar,
}

impl Shown {
    fn lock(&self) -> MutexGuard<'_, Screen> {
        self.screen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The cells of a terminal, by the sequences that were written to it.
#[derive(Default)]
struct Screen {
    columns: usize,
    cells: Vec<Vec<char>>,
    at: (usize, usize),
    /// Bytes of a character or a sequence that is not complete.
    pending: Vec<u8>,
    /// All that was written.
    written: Vec<u8>,
    ended: bool,
}

impl Screen {
    fn resize(&mut self, (columns, lines): (u16, u16)) {
        self.columns = columns.into();
        self.cells = vec![vec![' '; columns.into()]; lines.into()];
        self.at = (0, 0);
    }

    fn text(&self) -> String {
        let lines = self.cells.iter().map(|line| line.iter().collect::<String>());
        lines.map(|line| format!("{}\n", line.trim_end())).collect()
    }

    fn write(&mut self, bytes: &[u8]) {
        self.written.extend_from_slice(bytes);
        for byte in bytes {
            self.pending.push(*byte);
            if let [0x1b, b'[', .., last] = &self.pending[..]
                && (0x40..0x7f).contains(last)
            {
                let sequence = std::mem::take(&mut self.pending);
                self.obey(&sequence[2..]);
            } else if let [0x1b, ..] = &self.pending[..] {
                continue;
            } else if let Ok(text) = std::str::from_utf8(&self.pending) {
                let chars: Vec<char> = text.chars().collect();
                self.pending.clear();
                chars.into_iter().for_each(|char| self.put(char));
            }
        }
    }

    fn put(&mut self, char: char) {
        let (column, line) = self.at;
        match char {
            '\r' => self.at.0 = 0,
            '\n' => self.at.1 += 1,
            char if char.is_control() => {}
            char => {
                if let Some(cell) = self.cells.get_mut(line).and_then(|line| line.get_mut(column)) {
                    *cell = char;
                }
                self.at.0 += 1;
            }
        }
    }

    fn obey(&mut self, sequence: &[u8]) {
        let text = String::from_utf8_lossy(sequence);
        let (arguments, command) = text.split_at(text.len() - 1);
        let mut numbers = arguments
            .split(';')
            .map(|number| number.parse::<usize>().unwrap_or(1));
        match command {
            "H" => {
                let line = numbers.next().unwrap_or(1);
                let column = numbers.next().unwrap_or(1);
                self.at = (column.saturating_sub(1), line.saturating_sub(1));
            }
            "J" => self.cells.iter_mut().for_each(|line| line.fill(' ')),
            // The other screen, there and back.
            "h" | "l" if arguments == "?1049" => {
                self.cells.iter_mut().for_each(|line| line.fill(' '));
            }
            _ => {}
        }
    }
}

impl Terminal {
    /// Runs a command in a terminal of so many columns and lines.
    pub(crate) fn run(mut command: Command, size: (u16, u16)) -> Self {
        let ours =
            openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).expect("a terminal");
        grantpt(&ours).expect("a terminal");
        unlockpt(&ours).expect("a terminal");
        let name = ptsname(&ours, Vec::new()).expect("its name");
        let theirs = open(
            name,
            OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC,
            Mode::empty(),
        )
        .expect("its end");
        let copy = || theirs.try_clone().expect("a copy");
        let before = tcgetattr(&theirs).expect("its settings");
        tcsetwinsize(&theirs, winsize(size)).expect("its size");
        let screen = Arc::<Shown>::default();
        screen.lock().resize(size);
        let child = command
            .stdin(copy())
            .stdout(copy())
            .stderr(copy())
            .process_group(0)
            .spawn()
            .expect("a running command");
        let ours = File::from(ours);
        let mut read = ours.try_clone().expect("a copy");
        let shown = Arc::clone(&screen);
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = read.read(&mut bytes) {
                shown.lock().write(&bytes[..count]);
                shown.changed.notify_all();
            }
            shown.lock().ended = true;
            shown.changed.notify_all();
        });
        Self {
            child,
            ours,
            theirs,
            before,
            screen,
        }
    }

    /// Types these characters.
    pub(crate) fn press(&mut self, keys: &str) -> &mut Self {
        self.ours.write_all(keys.as_bytes()).expect("a terminal");
        self
    }

    /// Waits until the screen has this text.
    pub(crate) fn wait_for(&mut self, text: &str) -> String {
        self.wait(&format!("`{text}`"), |screen| screen.contains(text))
    }

    /// Waits until the screen does not have this text.
    pub(crate) fn wait_until_gone(&mut self, text: &str) -> String {
        self.wait(&format!("no `{text}`"), |screen| !screen.contains(text))
    }

    /// Waits for a screen.
    pub(crate) fn wait(&mut self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        self.wait_until(what, |screen| wanted(&screen.text()))
    }

    /// Waits for a state of the screen; returns its text.
    fn wait_until(&self, what: &str, wanted: impl Fn(&Screen) -> bool) -> String {
        let until = Instant::now() + PATIENCE;
        let mut screen = self.screen.lock();
        while !wanted(&screen) {
            let left = until.saturating_duration_since(Instant::now());
            assert!(
                left > Duration::ZERO && !screen.ended,
                "{what} never comes; there is\n{}",
                screen.text()
            );
            let waited = self.screen.changed.wait_timeout(screen, left);
            screen = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        screen.text()
    }

    /// All that was written so far.
    pub(crate) fn written(&self) -> String {
        String::from_utf8_lossy(&self.screen.lock().written).into_owned()
    }

    /// Gives the terminal another size.
    pub(crate) fn resize(&mut self, size: (u16, u16)) {
        self.screen.lock().resize(size);
        tcsetwinsize(&self.theirs, winsize(size)).expect("its size");
        self.signal(Signal::WINCH);
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.id(), signal).expect("a living process");
    }

    /// Waits until the process is stopped.
    pub(crate) fn wait_for_stop(&self) {
        let waited = waitpid(Some(self.id()), WaitOptions::UNTRACED).expect("a process");
        assert!(waited.is_some_and(|(_, status)| status.stopped()), "{waited:?}");
    }

    /// Waits for the end of the process.
    pub(crate) fn exit(&mut self) -> ExitStatus {
        self.child.wait().expect("an ended process")
    }

    /// Waits until the terminal is as it was before.
    pub(crate) fn expect_restored(&self) {
        self.wait_until("the screen as it was", |screen| {
            let written = String::from_utf8_lossy(&screen.written);
            let last = |sequence: &str| written.rfind(sequence);
            last("\x1b[?1049l") > last("\x1b[?1049h") && last("\x1b[?25h") > last("\x1b[?25l")
        });
        let now = tcgetattr(&self.theirs).expect("its settings");
        let modes = |of: &Termios| (of.input_modes, of.output_modes, of.local_modes);
        assert_eq!(modes(&now), modes(&self.before));
    }

    fn id(&self) -> Pid {
        let id = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        id.expect("the id of a process")
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("the screen is\n{}", self.screen.lock().text());
        }
    }
}

fn winsize((columns, lines): (u16, u16)) -> Winsize {
    Winsize {
        ws_col: columns,
        ws_row: lines,
        ws_xpixel: 0,
        ws_ypixel: 0,
    }
}
