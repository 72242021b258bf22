//! `waypost tail`: the requests of a running gateway, as they end.

use std::fmt::Write as _;
use std::thread;
use std::time::Duration;

use serde::Deserialize;
use waypost_admin::api::tail::LeftOut;

use super::client::{OPENED, Streamed, segment};
use super::{Client, refused};
use crate::Outcome;
use crate::cli::{Format, Tail};
use crate::output::{self, plain};

/// The wait before the next try to reach a gateway that is gone.
const RECONNECT: Duration = Duration::from_secs(1);

/// The parts of a line of the access log that are printed.
#[derive(Debug, Deserialize)]
struct Line {
    time: String,
    method: String,
    host: String,
    path: String,
    query: Option<String>,
    route: Option<String>,
    service: Option<String>,
    status: u16,
    failed: bool,
    duration_ms: f64,
    reason: String,
}

/// Prints requests until Ctrl-C, or as many as were asked for.
pub(crate) fn tail(arguments: &Tail) -> anyhow::Result<Outcome> {
    let client = Client::new(&arguments.admin)?;
    let path = path(arguments);
    let mut left = arguments.number;
    let (mut has_connected, mut is_lost) = (false, false);
    loop {
        let streamed = client.stream(&path, |event, data| {
            match event {
                OPENED => {
                    output::eprint(match has_connected {
                        true => "waypost: connected again\n",
                        false => "waypost: listening to requests; Ctrl-C ends\n",
                    });
                    (has_connected, is_lost) = (true, false);
                }
                "request" => {
                    match arguments.format {
                        Format::Text => output::print(&in_columns(data))?,
                        Format::Json => output::print(&format!("{data}\n"))?,
                    }
                    left = left.map(|left| left.saturating_sub(1));
                }
                "left_out" => {
                    if let Ok(left_out) = serde_json::from_str(data) {
                        output::eprint(&in_words(&left_out));
                    }
                }
                _ => {}
            }
            Ok(left != Some(0))
        });
        match streamed {
            Ok(Ok(Streamed::Ended)) => {}
            Ok(Ok(Streamed::Stopped)) => return Ok(Outcome::Good),
            Ok(Err(problem)) => return refused(&problem, arguments.format),
            // A gateway that was there is expected back.
            Err(error) if !has_connected || output::is_broken_pipe(&error) => return Err(error),
            Err(_) => {}
        }
        if !std::mem::replace(&mut is_lost, true) {
            output::eprint("waypost: the connection is lost; trying again every second\n");
        }
        thread::sleep(RECONNECT);
    }
}

/// The path and query of the request.
fn path(arguments: &Tail) -> String {
    let mut path = "/api/v1/tail".to_owned();
    let rate = arguments.rate.map(|rate| rate.to_string());
    let failing = arguments.failing.then_some("true");
    let pairs = [
        ("route", arguments.route.as_deref()),
        ("service", arguments.service.as_deref()),
        ("host", arguments.host.as_deref()),
        ("path", arguments.path.as_deref()),
        ("method", arguments.method.as_deref()),
        ("status", arguments.status.as_deref()),
        ("failing", failing),
        ("rate", rate.as_deref()),
    ];
    for (name, value) in pairs {
        if let Some(value) = value {
            let separator = if path.contains('?') { '&' } else { '?' };
            let _ = write!(path, "{separator}{name}={}", segment(value));
        }
    }
    path
}

/// A request in columns; a line that is not the access log's as it is.
fn in_columns(data: &str) -> String {
    let Ok(line) = serde_json::from_str::<Line>(data) else {
        return format!("{}\n", plain(data));
    };
    let time = line.time.split_once('T').map_or(&*line.time, |(_, time)| time);
    let name = |name: &Option<String>| plain(name.as_deref().filter(|name| !name.is_empty()).unwrap_or("-"));
    let query = line.query.as_deref().map(|query| format!("?{query}"));
    let target = format!("{}{}{}", line.host, line.path, query.unwrap_or_default());
    let failed = match line.failed {
        true => format!("  failed: {}", plain(&line.reason)),
        false => String::new(),
    };
    format!(
        "{time}  {:>3}  {:>9.1} ms  {:<16}  {:<16}  {:<6} {}{failed}\n",
        line.status,
        line.duration_ms,
        name(&line.route),
        name(&line.service),
        plain(&line.method),
        plain(&target),
    )
}

fn in_words(left_out: &LeftOut) -> String {
    let mut text = "waypost: left out in the last second:".to_owned();
    let LeftOut {
        matched,
        not_looked_at,
    } = left_out;
    if *matched > 0 {
        let _ = write!(text, " {matched} that match (see --rate)");
    }
    if *not_looked_at > 0 {
        let _ = write!(text, " {not_looked_at} that were not looked at");
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_in_columns_and_harmless() {
        let check = |data: &str, expected: &str| assert_eq!(in_columns(data), expected);
        check(
            r#"{"time":"2026-11-28T05:21:41.007Z","method":"GET","host":"a","path":"/x","query":"y=1","route":"users","service":"users-v2","status":200,"failed":false,"duration_ms":3.25,"reason":"complete"}"#,
            "05:21:41.007Z  200        3.2 ms  users             users-v2          GET    a/x?y=1\n",
        );
        check(
            r#"{"time":"t","method":"\u001b[2J","host":"","path":"/\r\n\u202e","query":null,"route":null,"service":null,"status":0,"failed":true,"duration_ms":0,"reason":"cut"}"#,
            "t    0        0.0 ms  -                 -                 \\u{1b}[2J /\\u{d}\\u{a}\\u{202e}  failed: cut\n",
        );
        check("no\u{7}thing", "no\\u{7}thing\n");
    }

    #[test]
    fn left_out_requests_are_told_in_words() {
        let left_out = LeftOut {
            matched: 3,
            not_looked_at: 4,
        };
        let expected =
            "waypost: left out in the last second: 3 that match (see --rate) 4 that were not looked at\n";
        assert_eq!(in_words(&left_out), expected);
    }
}
