//! Keys: a change of the state each, and perhaps something to do for it.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::dial::{Dial, Stage};
use super::model::{App, Focus, Input, Page, Reading};

/// Characters of a line that is typed.
const INPUT_MAX: usize = 4_000;
/// Rows of a step by a page.
const PAGE: usize = 10;

/// Something to do that takes the gateway or the terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Effect {
    Quit,
    /// Stop the process until it is continued.
    Suspend,
    /// Draw everything again.
    Redraw,
    /// Another page or another search: a picture of it.
    Look,
    /// The split of a route, with its version.
    ReadSplit(String),
    /// Turn this dial; with `aborts`, abort a rollout first.
    Turn {
        dial: Dial,
        aborts: bool,
    },
    /// Explain the request of this line.
    Explain(String),
}

/// Handles a key.
pub(super) fn press(app: &mut App, key: KeyEvent) -> Option<Effect> {
    if key.kind == KeyEventKind::Release {
        return None;
    }
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        match key.code {
            KeyCode::Char('c') => return Some(Effect::Quit),
            KeyCode::Char('z') => return Some(Effect::Suspend),
            KeyCode::Char('l') => return Some(Effect::Redraw),
            KeyCode::Char('u') => {
                clear(app);
                return None;
            }
            _ => return None,
        }
    }
    app.notice = None;
    match std::mem::take(&mut app.focus) {
        Focus::Page => on_page(app, key.code),
        Focus::Search => on_search(app, key.code),
        Focus::Question(input) => on_question(app, key.code, input),
        Focus::Dial(dial) => on_dial(app, key.code, dial),
        Focus::Reading(reading) => on_reading(app, key.code, reading),
    }
}

/// Clears the line that is typed.
fn clear(app: &mut App) {
    match &mut app.focus {
        Focus::Search => app.search.clear(),
        Focus::Question(input) => input.text.clear(),
        Focus::Page | Focus::Dial(_) | Focus::Reading(_) => {}
    }
}

fn on_page(app: &mut App, code: KeyCode) -> Option<Effect> {
    match code {
        KeyCode::Char('q') => return Some(Effect::Quit),
        KeyCode::Char('?' | 'h') | KeyCode::F(1) => {
            app.focus = Focus::Reading(Reading {
                title: "Keys".to_owned(),
                text: HELP.to_owned(),
                from: 0,
            });
        }
        KeyCode::Char('e') => {
            app.focus = Focus::Question(Input::with(&app.question));
        }
        KeyCode::Char('d') => return dial(app),
        _ => match app.page {
            Page::Overview => return on_overview(app, code),
            Page::Route(_) => return on_route(app, code),
        },
    }
    None
}

fn dial(app: &mut App) -> Option<Effect> {
    let route = app.subject()?;
    if let Some(reason) = app.read_only() {
        app.notice = Some(format!("not allowed: {reason}"));
        return None;
    }
    app.focus = Focus::Dial(Dial::of(route.clone()));
    Some(Effect::ReadSplit(route))
}

fn on_overview(app: &mut App, code: KeyCode) -> Option<Effect> {
    let rows = app.rows();
    let (at, last) = (app.position(&rows), rows.len().saturating_sub(1));
    let to = match code {
        KeyCode::Down | KeyCode::Char('j') => (at + 1).min(last),
        KeyCode::Up | KeyCode::Char('k') => at.saturating_sub(1),
        KeyCode::PageDown | KeyCode::Char(' ') => (at + PAGE).min(last),
        KeyCode::PageUp => at.saturating_sub(PAGE),
        KeyCode::Home | KeyCode::Char('g') => 0,
        KeyCode::End | KeyCode::Char('G') => last,
        KeyCode::Enter | KeyCode::Right => {
            let name = rows.get(at)?.name.clone();
            app.selected = Some(name.clone());
            app.page = Page::Route(name);
            app.first_arm = 0;
            return Some(Effect::Look);
        }
        KeyCode::Char('/') => {
            app.focus = Focus::Search;
            return None;
        }
        KeyCode::Esc if app.search.is_empty() => return Some(Effect::Quit),
        KeyCode::Esc => {
            app.search.clear();
            return Some(Effect::Look);
        }
        _ => return None,
    };
    app.selected = rows.get(to).map(|row| row.name.clone());
    None
}

fn on_route(app: &mut App, code: KeyCode) -> Option<Effect> {
    match code {
        KeyCode::Esc | KeyCode::Backspace => {
            app.page = Page::Overview;
            return Some(Effect::Look);
        }
        KeyCode::Left => app.first_arm = app.first_arm.saturating_sub(1),
        KeyCode::Right => {
            let arms = app.route().map_or(0, |route| route.stats.arms.len());
            app.first_arm = (app.first_arm + 1).min(arms.saturating_sub(1));
        }
        KeyCode::Char('/') => {
            app.page = Page::Overview;
            app.focus = Focus::Search;
            return Some(Effect::Look);
        }
        _ => {}
    }
    None
}

fn on_search(app: &mut App, code: KeyCode) -> Option<Effect> {
    app.focus = Focus::Search;
    match code {
        KeyCode::Esc => {
            app.focus = Focus::Page;
            app.search.clear();
        }
        KeyCode::Enter => {
            app.focus = Focus::Page;
            return None;
        }
        KeyCode::Down | KeyCode::Up => {
            app.focus = Focus::Page;
            return on_overview(app, code);
        }
        KeyCode::Backspace => {
            app.search.pop();
        }
        KeyCode::Char(char) if app.search.len() < INPUT_MAX => app.search.push(char),
        _ => return None,
    }
    app.selected = None;
    Some(Effect::Look)
}

fn on_question(app: &mut App, code: KeyCode, mut input: Input) -> Option<Effect> {
    match code {
        KeyCode::Esc => return None,
        KeyCode::Enter => {
            app.question.clone_from(&input.text);
            let line = input.text.clone();
            app.focus = Focus::Question(input);
            return Some(Effect::Explain(line));
        }
        KeyCode::Backspace => {
            input.is_earlier = false;
            input.text.pop();
        }
        // The end of the line is where it is edited.
        KeyCode::Right | KeyCode::End => input.is_earlier = false,
        KeyCode::Char(char) if input.text.len() < INPUT_MAX => {
            if std::mem::take(&mut input.is_earlier) {
                input.text.clear();
            }
            input.text.push(char);
        }
        _ => {}
    }
    app.focus = Focus::Question(input);
    None
}

fn on_dial(app: &mut App, code: KeyCode, mut dial: Dial) -> Option<Effect> {
    let leaves = matches!(code, KeyCode::Esc | KeyCode::Char('q' | 'n'));
    let mut effect = None;
    match dial.stage {
        Stage::Setting => match code {
            _ if leaves => return None,
            KeyCode::Up | KeyCode::Char('k') => dial.select(false),
            KeyCode::Down | KeyCode::Char('j') | KeyCode::Tab => dial.select(true),
            KeyCode::Left | KeyCode::Char('-') => dial.change(-1),
            KeyCode::Right | KeyCode::Char('+') => dial.change(1),
            KeyCode::PageDown => dial.change(-10),
            KeyCode::PageUp => dial.change(10),
            KeyCode::Backspace => dial.erase(),
            KeyCode::Char('a') => dial.all(),
            KeyCode::Char('r') => dial.reset(),
            KeyCode::Char(char) => {
                if let Some(digit) = char.to_digit(10) {
                    dial.digit(u64::from(digit));
                }
            }
            KeyCode::Enter => {
                let status = &app.picture.status;
                let aborts = status.rollouts.iter().any(|rollout| rollout.route == dial.route);
                dial.ask(aborts);
            }
            _ => {}
        },
        Stage::Asking { aborts } => match code {
            KeyCode::Char('y' | 'Y') | KeyCode::Enter => {
                dial.stage = Stage::Turning;
                dial.trouble = None;
                effect = Some(Effect::Turn {
                    dial: dial.clone(),
                    aborts,
                });
            }
            _ if leaves => {
                dial.stage = Stage::Setting;
                dial.trouble = None;
            }
            _ => {}
        },
        Stage::Refused => match code {
            // The split is read again.
            KeyCode::Enter => {
                dial = Dial::of(dial.route);
                effect = Some(Effect::ReadSplit(dial.route.clone()));
            }
            _ if leaves => return None,
            _ => {}
        },
        Stage::Reading | Stage::Turning if leaves => return None,
        Stage::Reading | Stage::Turning => {}
    }
    app.focus = Focus::Dial(dial);
    effect
}

fn on_reading(app: &mut App, code: KeyCode, mut reading: Reading) -> Option<Effect> {
    match code {
        KeyCode::Down | KeyCode::Char('j') => reading.from += 1,
        KeyCode::Up | KeyCode::Char('k') => reading.from = reading.from.saturating_sub(1),
        KeyCode::PageDown | KeyCode::Char(' ') => reading.from += PAGE,
        KeyCode::PageUp => reading.from = reading.from.saturating_sub(PAGE),
        KeyCode::Home | KeyCode::Char('g') => reading.from = 0,
        KeyCode::Char('e') => {
            app.focus = Focus::Question(Input::with(&app.question));
            return None;
        }
        KeyCode::Esc | KeyCode::Enter | KeyCode::Char('q' | '?') => return None,
        _ => {}
    }
    app.focus = Focus::Reading(reading);
    None
}

/// The help.
const HELP: &str = "\
Routes
  ↑ ↓  PgUp PgDn      select a route
  Enter               its page: arms side by side
  /                   search: part of name, host or path; failing; Esc ends it
  d                   turn its dial; what will change is asked first
  e                   explain a request: METHOD URL [-H 'name: value'], or a curl line
A route
  ← →                 further arms
  d                   turn its dial
  Esc                 back to the routes
Dial
  ↑ ↓                 select a service
  0-9                 its weight; ← → by 1, PgUp PgDn by 10
  a                   all requests to it
  r                   the declared weights
Everywhere
  ?                   this help
  Ctrl-L  Ctrl-Z      draw again, suspend
  q  Ctrl-C           quit

Rates, failures and quantiles are those of the last minute. A request has failed if its client got a 5xx, an error of
gRPC that blames the server, or a response that was cut. ! marks a route with 5 or more failed requests in the last
minute, 1 % or more of its requests, or of those to one of its services: DEGRADED, and from 50 % on FAILING, as is a
service without an endpoint. ATTENTION: the gateway itself needs a look.
Bars show live weights: █ the first service, ░ the second, ▓ the third; * marks weights that were dialed. In
sparklines, each begins at 0.
";

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

    fn press_all(app: &mut App, keys: &str) -> Vec<Effect> {
        let code = |char| match char {
            '\n' => KeyCode::Enter,
            '\u{1b}' => KeyCode::Esc,
            '\u{8}' => KeyCode::Backspace,
            '↓' => KeyCode::Down,
            '↑' => KeyCode::Up,
            char => KeyCode::Char(char),
        };
        let pressed = keys.chars().map(code);
        pressed
            .filter_map(|code| press(app, KeyEvent::new(code, KeyModifiers::NONE)))
            .collect()
    }

    #[test]
    fn enter_and_escape_go_to_a_route_and_back() {
        let mut app = samples::app();
        assert_eq!(press_all(&mut app, "↓\n"), [Effect::Look]);
        assert_eq!(app.page, Page::Route("orders".to_owned()));
        assert_eq!(press_all(&mut app, "\u{1b}"), [Effect::Look]);
        assert_eq!(
            (&app.page, app.selected.as_deref()),
            (&Page::Overview, Some("orders"))
        );
        assert_eq!(press_all(&mut app, "q"), [Effect::Quit]);
    }

    #[test]
    fn search_narrows_the_list_and_escape_ends_it() {
        let mut app = samples::app();
        press_all(&mut app, "/ORD\n");
        assert_eq!(app.rows().len(), 1);
        assert_eq!(app.subject().as_deref(), Some("orders"));
        press_all(&mut app, "/x");
        assert_eq!((app.search.as_str(), app.subject()), ("ORDx", None));
        press_all(&mut app, "\u{1b}");
        assert_eq!(app.rows().len(), 4);
        // Nothing is left to leave.
        assert_eq!(press_all(&mut app, "\u{1b}"), [Effect::Quit]);
    }

    #[test]
    fn dial_is_turned_after_a_question_only() {
        let mut app = samples::app();
        assert_eq!(press_all(&mut app, "d"), [Effect::ReadSplit("users".to_owned())]);
        let Focus::Dial(dial) = &mut app.focus else {
            panic!()
        };
        dial.read(
            "7".to_owned(),
            samples::arms(&[("users-v1", 95, 95), ("users-v2", 5, 5)]),
            None,
        );
        assert_eq!(press_all(&mut app, "0\n"), []);
        let effects = press_all(&mut app, "y");
        let [Effect::Turn { dial, aborts: false }] = &effects[..] else {
            panic!("{effects:?}")
        };
        assert_eq!(dial.weights, [100, 0]);
        // A question that is answered with no leads back.
        let mut app = samples::app();
        press_all(&mut app, "d");
        let Focus::Dial(dial) = &mut app.focus else {
            panic!()
        };
        dial.read("7".to_owned(), samples::arms(&[("a", 1, 1), ("b", 1, 1)]), None);
        assert_eq!(press_all(&mut app, "5\nn"), []);
        assert!(matches!(&app.focus, Focus::Dial(dial) if dial.stage == Stage::Setting));
        press_all(&mut app, "\u{1b}");
        assert_eq!(app.focus, Focus::Page);
    }

    #[test]
    fn who_only_reads_is_told_why_there_is_no_dial() {
        let mut app = samples::app();
        app.picture.client.role = waypost_admin::access::Role::Read;
        assert_eq!(press_all(&mut app, "d"), []);
        assert_eq!(app.focus, Focus::Page);
        assert!(
            app.notice
                .as_ref()
                .is_some_and(|notice| notice.contains("only reads"))
        );
    }

    #[test]
    fn question_is_kept_for_the_next_one() {
        let mut app = samples::app();
        let effects = press_all(&mut app, "eGET http://a/x\n");
        assert_eq!(effects, [Effect::Explain("GET http://a/x".to_owned())]);
        let typed = |app: &App| match &app.focus {
            Focus::Question(input) => input.text.clone(),
            other => panic!("{other:?}"),
        };
        press_all(&mut app, "\u{1b}e\u{8}y");
        assert_eq!(typed(&app), "GET http://a/y");
        press_all(&mut app, "\u{1b}eP");
        assert_eq!(typed(&app), "P");
    }

    #[test]
    fn control_keys_quit_and_suspend_everywhere() {
        let mut app = samples::app();
        press_all(&mut app, "/");
        let control = |char| KeyEvent::new(KeyCode::Char(char), KeyModifiers::CONTROL);
        assert_eq!(press(&mut app, control('z')), Some(Effect::Suspend));
        assert_eq!(press(&mut app, control('c')), Some(Effect::Quit));
    }
}
