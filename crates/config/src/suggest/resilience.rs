//! Mappings of health, ejection, balance, limits and retries that were probably meant by a word or a number.

use crate::suggest::correction::plain;
use crate::suggest::flow;
use crate::tree::{Node, Value};

/// Returns the mapping of `wanted` that `node` probably stands for, as YAML.
pub(super) fn of(node: &Node, wanted: &str) -> Option<String> {
    let written = node.written().unwrap_or_default();
    let lower = written.to_ascii_lowercase();
    let number: Option<u64> = written.parse().ok().filter(|number| *number > 0);
    let is_on = matches!(&*lower, "true" | "on" | "yes" | "default");
    let yaml = match wanted {
        "the `health` of a service" => match &*lower {
            _ if is_on => "{ path: /healthz }".to_owned(),
            "http" | "https" | "get" => "{ path: /healthz }".to_owned(),
            "tcp" | "connect" => "{ tcp: true }".to_owned(),
            "grpc" => "{ grpc: true }".to_owned(),
            _ if written.starts_with('/') => format!("{{ path: {} }}", plain(written)),
            _ => return None,
        },
        "the `eject` of a service" => match (number, percentage(written)) {
            (Some(failures @ ..=1000), _) => format!("{{ failures: {failures} }}"),
            (None, Some(rate)) => format!("{{ rate: {rate} }}"),
            _ if is_on => "{ failures: 5 }".to_owned(),
            _ => return None,
        },
        "a `hash`" => match &*lower {
            "header" | "headers" => "{ header: x-user-id }".to_owned(),
            "cookie" | "cookies" => "{ cookie: session }".to_owned(),
            "client_ip"
            | "ip"
            | "source"
            | "source_ip"
            | "src"
            | "remote_addr"
            | "$remote_addr"
            | "$binary_remote_addr" => "{ client_ip: true }".to_owned(),
            "path" | "uri" | "url" | "$uri" | "$request_uri" => "{ path: true }".to_owned(),
            _ if lower.starts_with("x-") => format!("{{ header: {} }}", plain(written)),
            _ => match lower.split_once('_') {
                Some(("$http", name)) => format!("{{ header: {} }}", plain(&name.replace('_', "-"))),
                Some(("$cookie", name)) => format!("{{ cookie: {} }}", plain(name)),
                _ => return None,
            },
        },
        "the limits of a service" => format!("{{ requests: {} }}", number?),
        "a `retry`" => match (number, &node.value) {
            (Some(attempts @ ..=10), _) => format!("{{ attempts: {attempts} }}"),
            _ if is_on => "{}".to_owned(),
            (_, Value::List(items)) if !items.is_empty() => format!("{{ on: {} }}", flow::of(node)?),
            _ if matches!(&*lower, "connect" | "reset" | "5xx" | "502" | "503" | "504") => {
                format!("{{ on: [{lower}] }}")
            }
            _ => return None,
        },
        _ => return None,
    };
    Some(yaml)
}

/// Returns the hint where `node` says that there is to be no `wanted`.
pub(crate) fn none(node: &Node, wanted: &str) -> Option<&'static str> {
    let written = node.written()?.to_ascii_lowercase();
    let is_off = matches!(&*written, "false" | "off" | "no" | "none" | "never" | "0");
    let help = match wanted {
        "the `health` of a service" => "leave it out: without it, there are no checks",
        "the `eject` of a service" => "leave it out: without it, failed connections alone eject, for 10s",
        "a `retry`" => "leave it out: without it, only what a service has not begun with is sent again",
        "the limits of a service" => {
            "leave it out: without it, there are no limits of requests and connections"
        }
        _ => return None,
    };
    is_off.then_some(help)
}

/// The number of a percentage from 1 to 100 with its sign.
fn percentage(text: &str) -> Option<u64> {
    let number = text.strip_suffix('%')?.trim_end().parse().ok()?;
    (1..=100).contains(&number).then_some(number)
}
