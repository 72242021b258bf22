//! `waypost top`: a running gateway in a terminal. The routes with the most failures first, the arms of a route side by
//! side, and its dial.
//!
//! One thread takes pictures by the admin API ([`feed`]), one reads keys, one waits for signals; all of them send messages
//! to the loop here, which changes the state ([`model`], [`keys`]) and draws it ([`draw`]). State and frames are pure.

mod dial;
mod draw;
mod feed;
mod health;
mod history;
mod keys;
mod model;
#[cfg(test)]
mod samples;
mod terminal;

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use ratatui::buffer::Buffer;
use ratatui::crossterm::event::{self, Event, KeyEvent};
use ratatui::layout::Rect;
use tokio::signal::unix::{Signal, SignalKind, signal};
use waypost_admin::api::routes::SplitView;
use waypost_admin::command::Dialed;
use waypost_admin::problem::Problem;

use self::dial::{Dial, Stage};
use self::draw::Means;
use self::feed::{Feed, Subject};
use self::keys::Effect;
use self::model::{App, Focus, Page, Picture, Reading};
use self::terminal::Screen;
use crate::Outcome;
use crate::cli::{ADMIN, Format, Top};
use crate::output;
use crate::remote::{Client, Response, refused};

/// The timeout of a request: without an answer the gateway is lost.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The time after which the age of a picture is drawn again.
const TICK: Duration = Duration::from_secs(1);
/// Lines of a printed frame at most: there is no key to see further routes.
const PRINTED_LINES_MAX: u16 = 200;
/// SIGTSTP, which has no name in tokio.
const TSTP: i32 = rustix::process::Signal::TSTP.as_raw();

/// A message to the loop.
#[derive(Debug)]
enum Message {
    Key(KeyEvent),
    /// The terminal has another size, or has to be drawn again.
    Resized,
    Picture(Box<Picture>),
    /// There is no picture, for this reason.
    Lost(String),
    Split(String, Answer<(String, SplitView)>),
    Turned(Dial, Answer<Dialed>),
    /// The explanation of the request of this line.
    Explained(String, Answer<String>),
    Suspend,
    Quit,
}

/// The answer of the gateway, or the reason why there is none.
type Answer<T> = Result<Response<T>, String>;

/// Shows a running gateway until the reader quits, or prints one frame.
pub(crate) fn top(arguments: &Top) -> anyhow::Result<Outcome> {
    let client = Arc::new(Client::new(&arguments.admin)?.within(TIMEOUT));
    let size = terminal::size();
    if size.is_none() && !arguments.once {
        bail!("standard output is not a terminal; hint: `waypost top --once` prints one frame");
    }
    let page = arguments.route.clone().map_or(Page::Overview, Page::Route);
    let watched = Subject {
        page,
        ..Subject::default()
    };
    let mut feed = Feed::new(Arc::clone(&client), arguments.interval);
    let picture = match feed.look(&watched)? {
        Ok(picture) => picture,
        Err(problem) => return refused(&problem, Format::Text),
    };
    if let (Page::Route(name), None) = (&watched.page, &picture.route) {
        output::eprint(&format!("waypost: there is no route named `{name}`\n"));
        return Ok(Outcome::Bad);
    }
    let admin = arguments.admin.admin.clone();
    let admin_option = match std::env::var("WAYPOST_ADMIN") {
        _ if admin == ADMIN => String::new(),
        Ok(known) if known == admin => String::new(),
        _ => format!(" --admin {admin}"),
    };
    let app = App::new(admin, admin_option, picture, Instant::now());
    let means = terminal::means();
    if arguments.once {
        return print(app, means, size.unwrap_or(terminal::USUAL));
    }
    show(app, means, feed, &client, watched)
}

/// Prints a frame.
fn print(mut app: App, means: Means, (columns, lines): (u16, u16)) -> anyhow::Result<Outcome> {
    app.is_printed = true;
    let rows = u16::try_from(app.rows().len()).unwrap_or(u16::MAX);
    let lines = lines
        .max(terminal::USUAL.1)
        .saturating_add(rows)
        .min(PRINTED_LINES_MAX);
    let area = Rect::new(0, 0, columns, lines);
    let mut buffer = Buffer::empty(area);
    draw::draw(&app, Instant::now(), means, area, &mut buffer);
    output::print(&text_of(&buffer))?;
    Ok(Outcome::Good)
}

/// The text of a frame, without blanks at the ends of lines and empty lines at its end.
fn text_of(buffer: &Buffer) -> String {
    let columns = usize::from(buffer.area.width).max(1);
    let mut text = String::new();
    for line in buffer.content().chunks(columns) {
        let mut cells = line.iter();
        let mut written = String::new();
        while let Some(cell) = cells.next() {
            written.push_str(cell.symbol());
            // A wide character covers the cell behind it.
            for _ in 1..draw::text::width(cell.symbol()) {
                cells.next();
            }
        }
        text.push_str(written.trim_end());
        text.push('\n');
    }
    let length = text.trim_end_matches('\n').len();
    text.truncate(length);
    text.push('\n');
    text
}

/// Shows the gateway until the reader quits.
fn show(
    mut app: App,
    means: Means,
    feed: Feed,
    client: &Arc<Client>,
    mut watched: Subject,
) -> anyhow::Result<Outcome> {
    let (to, messages) = mpsc::channel();
    let (watch, watches) = mpsc::channel();
    let mut screen = Screen::take(means)?;
    begin_reading_keys(&to)?;
    begin_waiting_for_signals(&to)?;
    let pictures = to.clone();
    let named = |name: &str| thread::Builder::new().name(name.to_owned());
    named("feed").spawn(move || feed.run(&watches, &pictures))?;
    let mut has_to_draw = true;
    loop {
        if has_to_draw {
            screen.fit()?;
            screen.terminal.draw(|frame| {
                let area = frame.area();
                draw::draw(&app, Instant::now(), means, area, frame.buffer_mut());
            })?;
            let now = watched_by(&app);
            if now != watched {
                watched = now.clone();
                let _ = watch.send(now);
            }
        }
        if terminal::has_panicked() {
            bail!("a part of `waypost top` has failed");
        }
        let Some(message) = next(&messages)? else {
            // The ages have changed.
            has_to_draw = true;
            continue;
        };
        has_to_draw = true;
        let effect = match message {
            Message::Key(key) => keys::press(&mut app, key),
            Message::Resized => {
                screen.resize()?;
                None
            }
            Message::Picture(picture) => {
                app.renew(*picture, Instant::now());
                None
            }
            Message::Lost(why) => {
                app.lost = Some(why);
                None
            }
            Message::Split(route, answer) => {
                take_split(&mut app, &route, answer);
                None
            }
            Message::Turned(dial, answer) => {
                take_turned(&mut app, dial, answer);
                // The weights have changed.
                let _ = watch.send(watched.clone());
                None
            }
            Message::Explained(line, answer) => {
                take_explained(&mut app, &line, answer);
                None
            }
            Message::Suspend => Some(Effect::Suspend),
            Message::Quit => Some(Effect::Quit),
        };
        match effect {
            None => {}
            Some(Effect::Quit) => return Ok(Outcome::Good),
            Some(Effect::Suspend) => screen.suspend()?,
            Some(Effect::Redraw) => screen.resize()?,
            // The change of what is watched is seen once it is drawn.
            Some(Effect::Look) => {}
            Some(effect) => ask(effect, client, &to)?,
        }
    }
}

/// The next message; `None` after a while without one.
fn next(messages: &Receiver<Message>) -> anyhow::Result<Option<Message>> {
    match messages.recv_timeout(TICK) {
        Ok(message) => Ok(Some(message)),
        Err(RecvTimeoutError::Timeout) => Ok(None),
        Err(RecvTimeoutError::Disconnected) => bail!("all parts of `waypost top` have ended"),
    }
}

/// The things that are looked at.
fn watched_by(app: &App) -> Subject {
    Subject {
        page: app.page.clone(),
        search: app.search.clone(),
    }
}

/// Asks the gateway, on a thread of its own: the page stays alive.
fn ask(effect: Effect, client: &Arc<Client>, to: &Sender<Message>) -> anyhow::Result<()> {
    let (client, to) = (Arc::clone(client), to.clone());
    let ask = move || {
        let message = match effect {
            Effect::ReadSplit(route) => {
                let answer = in_words(feed::read_split(&client, &route));
                Message::Split(route, answer)
            }
            Effect::Turn { dial, aborts } => {
                let answer = in_words(feed::turn(&client, &dial, aborts));
                Message::Turned(dial, answer)
            }
            Effect::Explain(line) => {
                let answer = in_words(feed::explained(&client, &line));
                Message::Explained(line, answer)
            }
            Effect::Quit | Effect::Suspend | Effect::Redraw | Effect::Look => return,
        };
        let _ = to.send(message);
    };
    thread::Builder::new().name("ask".to_owned()).spawn(ask)?;
    Ok(())
}

fn in_words<T>(answer: anyhow::Result<Response<T>>) -> Answer<T> {
    answer.map_err(|error| format!("{error:#}"))
}

/// Takes the split of a dial.
fn take_split(app: &mut App, route: &str, answer: Answer<(String, SplitView)>) {
    let worst = app.picture.listing.rows.iter().find(|row| row.name == route);
    let worst = worst.and_then(|row| row.worst().map(str::to_owned));
    let Focus::Dial(dial) = &mut app.focus else { return };
    if dial.route != route || dial.stage != Stage::Reading {
        return;
    }
    match answer {
        Ok(Ok((_, split))) if split.arms.is_empty() => {
            dial.refuse("the route forwards to no service, so it has no dial".to_owned());
        }
        Ok(Ok((version, split))) => dial.read(version, split.arms, worst.as_deref()),
        Ok(Err(problem)) => dial.refuse(problem.detail),
        Err(why) => dial.refuse(why),
    }
}

/// Takes the answer to a turn.
fn take_turned(app: &mut App, sent: Dial, answer: Answer<Dialed>) {
    // A reader who left while it was turned is told on the page.
    let is_open =
        matches!(&app.focus, Focus::Dial(dial) if dial.route == sent.route && dial.stage == Stage::Turning);
    let refused = |why: String, dial: &mut Dial| dial.refuse(why);
    let mut dial = sent;
    match answer {
        Ok(Ok(dialed)) => {
            let weights = dialed
                .arms
                .iter()
                .map(|arm| format!("{} {}", arm.service, arm.live));
            let weights: Vec<String> = weights.collect();
            app.notice = Some(format!(
                "the dial of {} is live: {}; to undo it: {}",
                dialed.name,
                weights.join(", "),
                dial.undo(&app.admin_option)
            ));
            if is_open {
                app.focus = Focus::Page;
            }
            return;
        }
        Ok(Err(Problem {
            status: 412, detail, ..
        })) => refused(
            format!("Nothing was changed: somebody else was faster. {detail}"),
            &mut dial,
        ),
        // A rollout that was not known yet: the question is asked again.
        Ok(Err(Problem {
            status: 409, detail, ..
        })) if detail.contains("rollout") => {
            dial.trouble = Some(format!("Nothing was changed: {detail}"));
            dial.stage = Stage::Asking { aborts: true };
        }
        Ok(Err(problem)) => refused(format!("Nothing was changed: {}", problem.detail), &mut dial),
        Err(why) => refused(
            format!("It is not known whether the dial was turned: {why}"),
            &mut dial,
        ),
    }
    if is_open {
        app.focus = Focus::Dial(dial);
    } else {
        app.notice = dial.trouble;
    }
}

/// Shows an explanation, if its reader still waits for it.
fn take_explained(app: &mut App, line: &str, answer: Answer<String>) {
    if !matches!(&app.focus, Focus::Question(input) if input.text == line) {
        return;
    }
    let text = match answer {
        Ok(Ok(text)) => text,
        Ok(Err(problem)) => problem.detail,
        Err(why) => why,
    };
    app.focus = Focus::Reading(Reading {
        title: "Explanation".to_owned(),
        text,
        from: 0,
    });
}

fn begin_reading_keys(to: &Sender<Message>) -> anyhow::Result<()> {
    let to = to.clone();
    let read = move || {
        loop {
            let message = match event::read() {
                Ok(Event::Key(key)) => Message::Key(key),
                Ok(_) => Message::Resized,
                // The terminal is gone.
                Err(_) => Message::Quit,
            };
            let is_last = matches!(message, Message::Quit);
            if to.send(message).is_err() || is_last {
                return;
            }
        }
    };
    thread::Builder::new().name("keys".to_owned()).spawn(read)?;
    Ok(())
}

fn begin_waiting_for_signals(to: &Sender<Message>) -> anyhow::Result<()> {
    let to = to.clone();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let signals = {
        let _inside = runtime.enter();
        let kinds = [
            SignalKind::terminate(),
            SignalKind::interrupt(),
            SignalKind::hangup(),
            SignalKind::quit(),
            SignalKind::from_raw(TSTP),
        ];
        let signals: std::io::Result<Vec<Signal>> = kinds.into_iter().map(signal).collect();
        signals.context("signals cannot be received")?
    };
    let wait = move || {
        let Ok([mut terminate, mut interrupt, mut hangup, mut quit, mut stop]) =
            <[Signal; 5]>::try_from(signals)
        else {
            return;
        };
        runtime.block_on(async {
            loop {
                let message = tokio::select! {
                    _ = terminate.recv() => Message::Quit,
                    _ = interrupt.recv() => Message::Quit,
                    _ = hangup.recv() => Message::Quit,
                    _ = quit.recv() => Message::Quit,
                    _ = stop.recv() => Message::Suspend,
                };
                if to.send(message).is_err() {
                    return;
                }
            }
        });
    };
    thread::Builder::new().name("signals".to_owned()).spawn(wait)?;
    Ok(())
}
