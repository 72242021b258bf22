//! Frames of the samples, at two sizes.

use std::time::Duration;

use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::*;
use crate::top::dial::Dial;
use crate::top::model::{Input, Reading};
use crate::top::{samples, text_of};

/// The sizes of the frames.
const SIZES: [(u16, u16); 2] = [(80, 24), (200, 50)];

fn drawn(app: &App, means: Means, (columns, lines): (u16, u16)) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(columns, lines)).unwrap();
    let draw = |frame: &mut ratatui::Frame<'_>| {
        let area = frame.area();
        super::draw(
            app,
            app.taken + Duration::from_secs(3),
            means,
            area,
            frame.buffer_mut(),
        );
    };
    terminal.draw(draw).unwrap();
    terminal.backend().buffer().clone()
}

/// Compares the frames of a state with those in `frames/NAME-SIZE.txt`; `UPDATE_DOCS=1` writes them.
fn check(name: &str, app: &App) {
    for (columns, lines) in SIZES {
        let text = text_of(&drawn(app, Means::ALL, (columns, lines)));
        let file = format!("{name}-{columns}x{lines}.txt");
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("src/top/draw/frames")
            .join(&file);
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        let expected = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            text == expected,
            "{file} is\n{text}\nand not\n{expected}\n(UPDATE_DOCS=1 writes it)"
        );
    }
}

fn on_route() -> App {
    let mut app = samples::app();
    app.page = Page::Route("users".to_owned());
    app.picture.route = Some(samples::route());
    app
}

#[test]
fn overview_has_health_figures_changes_and_routes() {
    check("overview", &samples::app());
}

#[test]
fn overview_of_a_fleet_names_instances_that_are_left_out() {
    let mut app = samples::app();
    app.picture.status.fleet = Some(samples::fleet());
    app.picture.whole.instances = 2;
    app.picture.whole.missing = vec!["gw-3".to_owned()];
    app.picture.listing.missing = vec!["gw-3".to_owned()];
    check("fleet", &app);
}

#[test]
fn route_has_its_arms_side_by_side() {
    check("route", &on_route());
}

#[test]
fn dial_says_what_will_change_and_how_to_undo_it() {
    let mut app = on_route();
    let mut dial = Dial::of("users".to_owned());
    let arms = samples::arms(&[("users-v1", 95, 75), ("users-v2", 5, 25)]);
    dial.read("1".to_owned(), arms, Some("users-v2"));
    dial.digit(0);
    app.focus = Focus::Dial(dial.clone());
    check("dial", &app);
    dial.ask(true);
    app.focus = Focus::Dial(dial);
    check("dial-asked", &app);
}

#[test]
fn gateway_that_is_lost_leaves_the_old_picture() {
    let mut app = samples::app();
    app.lost = Some("no gateway is reachable at http://127.0.0.1:9900: Connection refused".to_owned());
    check("lost", &app);
}

#[test]
fn texts_are_read_over_the_page() {
    let mut app = samples::app();
    app.focus = Focus::Reading(Reading {
        title: "Explanation".to_owned(),
        text: format!(
            "GET http://a/x\n  outcome  goes to users\n{}",
            "  a: b\n".repeat(60)
        ),
        from: 2,
    });
    check("explanation", &app);
}

#[test]
fn meaning_is_never_by_colour_or_attribute_alone() {
    for app in [samples::app(), on_route()] {
        for size in SIZES {
            let none = Means {
                colors: false,
                attributes: false,
                unicode: true,
            };
            let plain = drawn(&app, none, size);
            assert_eq!(text_of(&plain), text_of(&drawn(&app, Means::ALL, size)));
            let is_plain = |cell: &ratatui::buffer::Cell| {
                cell.fg == Color::Reset && cell.bg == Color::Reset && cell.modifier.is_empty()
            };
            assert!(plain.content().iter().all(is_plain));
            let ascii = Means {
                unicode: false,
                ..none
            };
            assert!(text_of(&drawn(&app, ascii, size)).is_ascii());
        }
    }
}

#[test]
fn every_size_has_a_frame_without_harm() {
    let mut hostile = on_route();
    let name = format!("\u{1b}]0;x\u{7}{}", "n".repeat(300));
    hostile.picture.listing.rows[0].name.clone_from(&name);
    hostile.picture.listing.rows[0].arms[0].service.clone_from(&name);
    hostile.picture.changes[0].text.clone_from(&name);
    hostile.notice = Some(name.clone());
    let mut route = samples::route();
    route
        .stats
        .arms
        .extend((0..40).map(|arm| samples::arm(&format!("arm-{arm}"), 0, 0)));
    route.stats.arms[0].service.clone_from(&name);
    hostile.picture.route = Some(route);
    let mut dialed = hostile.clone();
    let mut dial = Dial::of(name.clone());
    dial.read(
        String::new(),
        samples::arms(&[(&name, 1, u64::MAX), ("b", u64::MAX, 0)]),
        None,
    );
    dialed.focus = Focus::Dial(dial);
    let mut asked = hostile.clone();
    (asked.page, asked.focus) = (Page::Overview, Focus::Question(Input::with(&name)));
    let mut empty = samples::app();
    empty.picture.listing.rows.clear();
    empty.picture.whole.series.clear();
    for app in [&hostile, &dialed, &asked, &empty] {
        for size in [
            (1, 1),
            (20, 5),
            (21, 7),
            (33, 12),
            (80, 24),
            (131, 33),
            (500, 120),
        ] {
            let text = text_of(&drawn(app, Means::ALL, size));
            let is_harmless = |char: char| char == '\n' || !char.is_control();
            assert!(text.chars().all(is_harmless), "{text}");
        }
    }
}
