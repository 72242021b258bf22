//! `waypost top`: a running gateway in a terminal, through a pseudo-terminal.

use std::process::Command;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::config::Config;
use crate::support::gateway::Gateway;
use crate::support::service::{Service, ok};
use crate::support::terminal::Terminal;
use crate::support::wait_for;

/// The usual size.
const SMALL: (u16, u16) = (80, 24);

/// A route `users` with an arm that responds and one that fails, and a route `gone`.
fn config(good: &Service, bad: &Service) -> Config {
    Config::new()
        .service(good, "")
        .service(bad, "")
        .route(
            "name: users, match: { path: /users/* }, to: { good: 90, bad: 10 }, \
             force: { header: x-arm, values: { good: good, bad: bad } }",
        )
        .route("name: gone, match: { path: /gone }, respond: { status: 410 }")
}

fn services() -> (Service, Service) {
    let respond = |name: &str, response: String| {
        Service::named(name, move |talk| {
            while talk.request().is_some() {
                talk.send(&response);
            }
        })
    };
    let failure = "HTTP/1.1 503 X\r\nContent-Length: 2\r\n\r\nno".to_owned();
    (respond("good", ok("yes")), respond("bad", failure))
}

fn send(gateway: &Gateway, arm: &str, times: usize) {
    let mut client = gateway.connect();
    for number in 0..times {
        client.ask(format!(
            "GET /users/{number} HTTP/1.1\r\nHost: a\r\nx-arm: {arm}\r\n\r\n"
        ));
    }
}

/// The command against this admin address, in a terminal that has everything.
fn top(admin: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_waypost"));
    command
        .arg("top")
        .args(arguments)
        .args(["--interval", "200ms"])
        .env("WAYPOST_ADMIN", admin)
        .env("TERM", "xterm-256color")
        .env("USER", "tester")
        .env_remove("NO_COLOR")
        .env_remove("LC_ALL")
        .env_remove("LC_CTYPE")
        .env("LANG", "C.UTF-8");
    command
}

fn run(gateway: &Gateway, size: (u16, u16)) -> Terminal {
    let admin = format!("http://{}", gateway.admin_address());
    Terminal::run(top(&admin, &[]), size)
}

/// Waits for each of these texts. A large picture comes in pieces, so that one may be there before the others.
fn wait_for_all(terminal: &mut Terminal, texts: &[&str]) {
    for text in texts {
        terminal.wait_for(text);
    }
}

/// The live weights of `users`.
fn weights(gateway: &Gateway) -> [Value; 2] {
    let split = gateway.admin_json("/api/v1/routes/users/split");
    [0, 1].map(|arm| split["arms"][arm]["live"].clone())
}

#[test]
fn failing_arm_is_found_and_turned_back() {
    let (good, bad) = services();
    let gateway = Gateway::with(config(&good, &bad));
    send(&gateway, "good", 40);
    send(&gateway, "bad", 20);
    for size in [SMALL, (200, 50)] {
        let mut terminal = run(&gateway, size);
        terminal.wait_for("FAILING  users: 20 of 60 failed in the last ");
        wait_for_all(&mut terminal, &[">!users", "90:10", "gone", "responds itself"]);
        terminal.press("\r").wait_for("at 95 %");
        let parts = [
            "! bad",
            "5xx 20",
            "2xx 40",
            "100 %  (20)  fails more",
            "503  GET a/users/",
        ];
        wait_for_all(&mut terminal, &parts);
        // The arm that fails is the one that is turned.
        terminal.press("d").wait_for("WILL BE");
        terminal.press("0\r");
        let parts = [
            "To undo it:",
            "good: 90 → 100  (90.0 % → 100 % of requests)",
            "bad: 10 → 0",
            "waypost dial users --reset",
        ];
        wait_for_all(&mut terminal, &parts);
        assert_eq!(weights(&gateway), [90, 10].map(Value::from));
        terminal
            .press("y")
            .wait_for("the dial of users is live: good 100, bad 0");
        assert_eq!(weights(&gateway), [100, 0].map(Value::from));
        let turns = gateway.admin_json("/api/v1/routes/users");
        assert_eq!(turns["turns"][0]["by"], "tester");
        // The arm takes no requests any more, and what failed is past.
        terminal.wait_for("ATTENTION  users: 20 of 60 failed in the last ");
        terminal.press("d").wait_for("WILL BE");
        terminal
            .press("r\r")
            .wait_for("waypost dial users good=100 bad=0");
        terminal.press("y").wait_for("is live: good 90, bad 10");
        terminal.press("q");
        assert!(terminal.exit().success());
        terminal.expect_restored();
    }
}

#[test]
fn dial_that_another_one_turned_is_not_turned_again() {
    let (good, bad) = services();
    let gateway = Gateway::with(config(&good, &bad));
    send(&gateway, "good", 1);
    let mut terminal = run(&gateway, SMALL);
    terminal.wait_for("> users");
    terminal.press("d").wait_for("WILL BE");
    terminal.press("50\r").wait_for("good: 90 → 50");
    gateway.dial("users", &json!({ "good": 70, "bad": 30 }));
    terminal.press("y").wait_for("somebody else was faster");
    assert_eq!(weights(&gateway), [70, 30].map(Value::from));
    // Read again, it can be turned.
    terminal.press("\r").wait_for("WILL BE");
    terminal.press("50\r").wait_for("good: 70 → 50");
    terminal.press("n").wait_for("WILL BE");
    terminal.press("\x1b").wait_until_gone("WILL BE");
    assert_eq!(weights(&gateway), [70, 30].map(Value::from));
}

#[test]
fn token_that_only_reads_is_told_why_there_is_no_dial() {
    let (good, bad) = services();
    let config = config(&good, &bad).key("admin: { bind: 127.0.0.1:0, token_file: tokens }");
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("waypost.yaml");
    std::fs::write(&path, config).unwrap();
    std::fs::write(directory.path().join("tokens"), "ops secret\nwatch looks read\n").unwrap();
    let gateway = Gateway::run(directory, path, &[]);
    let admin = format!("http://{}", gateway.admin_address());
    let mut command = top(&admin, &["users"]);
    command.env("WAYPOST_TOKEN", "looks");
    let mut terminal = Terminal::run(command, SMALL);
    terminal.wait_for("d dial (not allowed)");
    terminal.press("d").wait_for("the token `watch` only reads");
    // Without a token nothing is seen.
    let mut command = top(&admin, &["--once"]);
    let output = crate::support::command::output(&mut command).expect(1);
    assert!(output.stderr.contains("token"), "{}", output.stderr);
}

#[test]
fn request_is_explained_as_the_command_explains_it() {
    let (good, bad) = services();
    let gateway = Gateway::with(config(&good, &bad));
    let mut terminal = run(&gateway, (120, 40));
    terminal.wait_for("> gone");
    terminal.press("eGET http://a/users/7 -H 'x-arm: bad'\r");
    terminal.wait_for("takes it");
    let config = gateway.config().to_str().unwrap();
    let asked = ["explain", config, "GET", "http://a/users/7", "-H", "x-arm: bad"];
    let told = gateway.command(&asked).expect(0).stdout;
    for line in told.lines().filter(|line| !line.contains("request-id")) {
        terminal.wait_for(line.trim_end());
    }
    terminal.press("\x1b").wait_until_gone("takes it");
    // A line that is no request, and one that the gateway refuses.
    terminal
        .press("enonsense\r")
        .wait_for("a request is a method and a URL");
    terminal
        .press("ecurl http://a/gone\r")
        .wait_for("gets a response from the route itself: 410");
}

#[test]
fn search_narrows_the_routes() {
    let (good, bad) = services();
    let gateway = Gateway::with(config(&good, &bad));
    let mut terminal = run(&gateway, SMALL);
    terminal.wait_for("users");
    terminal.press("/gone").wait_until_gone(" users ");
    terminal.press("\r").wait_for("ROUTE /gone");
    terminal.press("/\x7f\x7f\x7f\x7fx").wait_for("no route matches");
    terminal.press("\x1b").wait_for(" users ");
    terminal.press("?").wait_for("select a route");
    terminal.press("\x1b").wait_until_gone("select a route");
}

#[test]
fn size_of_the_terminal_is_followed() {
    let (good, bad) = services();
    let gateway = Gateway::with(config(&good, &bad));
    let mut terminal = run(&gateway, SMALL);
    terminal.wait_for("5 MIN");
    terminal.resize((200, 50));
    terminal.wait_for("10 MIN");
    terminal.resize((40, 10));
    terminal.wait("a small frame", |screen| {
        screen.contains("users") && !screen.contains("10 MIN")
    });
    terminal.resize((10, 3));
    terminal.wait_for("too small");
}

#[test]
fn colours_are_left_out_where_they_are_not_wanted() {
    let (good, bad) = services();
    let gateway = Gateway::with(config(&good, &bad));
    send(&gateway, "good", 20);
    send(&gateway, "bad", 20);
    let admin = format!("http://{}", gateway.admin_address());
    let has_colors = |written: &str| {
        let mut sequences = written.split("\x1b[").filter_map(|rest| rest.split_once('m'));
        sequences.any(|(codes, _)| {
            codes
                .split(';')
                .any(|code| matches!(code.parse(), Ok(30..=38 | 40..=48 | 90..=107)))
        })
    };
    for (name, value, expected) in [
        ("COLORTERM", "", true),
        ("NO_COLOR", "1", false),
        ("TERM", "dumb", false),
    ] {
        let mut command = top(&admin, &[]);
        command.env(name, value);
        let mut terminal = Terminal::run(command, SMALL);
        wait_for_all(&mut terminal, &["FAILING", ">!users"]);
        terminal.press("\r").wait_for("fails more");
        terminal.press("q");
        assert!(terminal.exit().success());
        assert_eq!(has_colors(&terminal.written()), expected, "{name}={value}");
    }
    let mut command = top(&admin, &[]);
    command.env("LC_ALL", "C");
    let mut terminal = Terminal::run(command, SMALL);
    assert!(terminal.wait_for(">!users").is_ascii());
}

#[test]
fn terminal_is_given_back_however_it_ends() {
    let (good, bad) = services();
    let gateway = Gateway::with(config(&good, &bad));
    for end in [Signal::TERM, Signal::INT, Signal::HUP] {
        let mut terminal = run(&gateway, SMALL);
        terminal.wait_for("users");
        terminal.signal(end);
        assert!(terminal.exit().success());
        terminal.expect_restored();
    }
    let mut terminal = run(&gateway, SMALL);
    terminal.wait_for("users");
    for stop in ["\x1a", ""] {
        // Ctrl-Z, or the signal that it would be.
        terminal.press(stop);
        if stop.is_empty() {
            terminal.signal(Signal::TSTP);
        }
        terminal.wait_for_stop();
        terminal.expect_restored();
        terminal.signal(Signal::CONT);
        terminal.wait_for("users");
    }
    terminal.press("\x03");
    assert!(terminal.exit().success());
    terminal.expect_restored();
}

#[test]
fn gateway_that_is_lost_comes_back_by_itself() {
    let (good, bad) = services();
    let config = config(&good, &bad).key("admin: { bind: unix:admin.sock }");
    let mut gateway = Gateway::verbatim(config);
    let socket = gateway.directory().join("admin.sock");
    let mut terminal = Terminal::run(top(&format!("unix:{}", socket.display()), &[]), SMALL);
    terminal.wait_for("HEALTHY  nothing needs attention");
    gateway.kill();
    // The last picture stays.
    wait_for_all(&mut terminal, &["LOST  the picture is", "users"]);
    let gateway = gateway.restarted();
    terminal.wait_for("HEALTHY  nothing needs attention");
    // One that does not respond is asked again as soon as one that is gone, however long that took to find out.
    gateway.signal(Signal::STOP);
    terminal.wait_for("LOST  the picture is");
    gateway.signal(Signal::CONT);
    terminal.wait_for("HEALTHY  nothing needs attention");
}

#[test]
fn one_frame_is_printed_as_text() {
    let (good, bad) = services();
    let gateway = Gateway::with(config(&good, &bad));
    send(&gateway, "good", 30);
    send(&gateway, "bad", 10);
    // The figures are a second old.
    wait_for("the figures", || {
        let page = gateway.admin_json("/api/v1/routes?figures=true&sort=rate");
        (page["routes"][0]["figures"]["requests"] == 40).then_some(())
    });
    let told = gateway.command(&["top", "--once"]).expect(0).stdout;
    assert!(
        told.contains("FAILING  users: 10 of 40 failed in the last "),
        "{told}"
    );
    assert!(told.contains(": 10 of 10 at bad, 0 of 30"), "{told}");
    assert!(told.contains("gone") && !told.contains('\u{1b}'), "{told}");
    assert!(told.lines().all(|line| line.chars().count() <= 80), "{told}");
    assert!(!told.contains("q quit") && !told.contains(">!"), "{told}");
    let route = gateway.command(&["top", "users", "--once"]).expect(0).stdout;
    assert!(route.contains("at 95 %") && route.contains("5xx 10"), "{route}");
    let missing = gateway.command(&["top", "nothing", "--once"]).expect(1);
    assert!(
        missing.stderr.contains("no route named `nothing`"),
        "{}",
        missing.stderr
    );
    // Without a terminal there is nothing to watch.
    let piped = gateway.command(&["top"]).expect(2);
    assert!(piped.stderr.contains("--once"), "{}", piped.stderr);
    let gone = gateway
        .command(&["top", "--once", "--admin", "http://127.0.0.1:1"])
        .expect(2);
    assert!(gone.stderr.contains("no gateway is reachable"), "{}", gone.stderr);
}
