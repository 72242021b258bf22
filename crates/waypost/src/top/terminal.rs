//! The terminal: taken for frames, and given back as it was, however the process ends.

use std::io::{self, BufWriter, IsTerminal as _, Stdout, Write as _};
use std::panic;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context as _;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::{Hide, Show};
use ratatui::crossterm::execute;
use ratatui::crossterm::style::force_color_output;
use ratatui::crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use ratatui::layout::Rect;
use ratatui::{Terminal, TerminalOptions, Viewport};
use rustix::process::{Signal, kill_current_process_group};
use rustix::termios::tcgetwinsize;

use super::draw::Means;

/// Bytes of a frame that are written at once.
const FRAME_BYTES: usize = 64 << 10;

/// The size of a terminal that does not know it.
pub(super) const USUAL: (u16, u16) = (80, 24);

/// True while the terminal is taken.
static IS_TAKEN: AtomicBool = AtomicBool::new(false);
/// True once a thread has panicked.
static HAS_PANICKED: AtomicBool = AtomicBool::new(false);

/// A terminal that is taken; dropped, it is given back.
pub(super) struct Screen {
    pub(super) terminal: Terminal<CrosstermBackend<BufWriter<Stdout>>>,
    /// The size that frames have.
    area: Rect,
}

impl Screen {
    /// Takes the terminal.
    pub(super) fn take(means: Means) -> anyhow::Result<Self> {
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            let before = panic::take_hook();
            panic::set_hook(Box::new(move |info| {
                // The message goes where it can be read.
                give_back();
                HAS_PANICKED.store(true, Ordering::Relaxed);
                before(info);
            }));
        });
        // Sequences that reset colours are left out too.
        force_color_output(means.colors);
        enter().context("the terminal cannot be taken")?;
        let backend = CrosstermBackend::new(BufWriter::with_capacity(FRAME_BYTES, io::stdout()));
        let area = area();
        let viewport = Viewport::Fixed(area);
        Ok(Self {
            terminal: Terminal::with_options(backend, TerminalOptions { viewport })?,
            area,
        })
    }

    /// Takes the size that the terminal has now, and draws everything again.
    pub(super) fn resize(&mut self) -> anyhow::Result<()> {
        self.area = area();
        self.terminal.resize(self.area)?;
        Ok(())
    }

    /// Takes the size that the terminal has now, if it is another one: a change that came before signals of it were waited for
    /// is not told.
    pub(super) fn fit(&mut self) -> anyhow::Result<()> {
        match area() == self.area {
            true => Ok(()),
            false => self.resize(),
        }
    }

    /// Gives the terminal back, stops the process until it is continued, and takes the terminal again.
    pub(super) fn suspend(&mut self) -> anyhow::Result<()> {
        give_back();
        // Of the whole group, as the terminal itself would do it; not SIGTSTP, which a handler takes.
        kill_current_process_group(Signal::STOP)?;
        enter()?;
        self.resize()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

fn enter() -> io::Result<()> {
    enable_raw_mode()?;
    IS_TAKEN.store(true, Ordering::SeqCst);
    execute!(io::stdout(), EnterAlternateScreen, Hide)
}

/// Gives the terminal back, if it is taken. Errors are those of a terminal that is gone.
pub(super) fn give_back() {
    if IS_TAKEN.swap(false, Ordering::SeqCst) {
        let _ = execute!(io::stdout(), LeaveAlternateScreen, Show);
        let _ = disable_raw_mode();
        let _ = io::stdout().flush();
    }
}

/// True once a thread has panicked.
pub(super) fn has_panicked() -> bool {
    HAS_PANICKED.load(Ordering::Relaxed)
}

/// The size of the terminal on standard output, if it is one.
pub(super) fn size() -> Option<(u16, u16)> {
    if !io::stdout().is_terminal() {
        return None;
    }
    match tcgetwinsize(io::stdout()) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => Some((size.ws_col, size.ws_row)),
        // One that does not know its size, such as a serial line.
        _ => Some(USUAL),
    }
}

/// The whole terminal.
fn area() -> Rect {
    let (columns, lines) = size().unwrap_or(USUAL);
    Rect::new(0, 0, columns, lines)
}

/// The means of the terminal, by its environment.
pub(super) fn means() -> Means {
    let value = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let is_dumb = value("TERM").is_some_and(|term| term == "dumb");
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(value);
    let is_unicode = |locale: String| {
        let locale = locale.to_lowercase();
        locale.contains("utf-8") || locale.contains("utf8")
    };
    Means {
        colors: !is_dumb && value("NO_COLOR").is_none(),
        attributes: !is_dumb,
        // Where nothing is said, as in a container, it is the usual.
        unicode: locale.is_none_or(is_unicode),
    }
}
