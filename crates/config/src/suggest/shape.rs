//! Mappings that were probably meant where something else is written: `{ status: 404 }` for `404`.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use crate::suggest::correction::{address, before_path, is_showable, plain};
use crate::suggest::{flow, rate, resilience, rule};
use crate::tree::{Node, Value};

/// A mapping as YAML on one line.
pub(crate) struct Shape {
    pub(crate) yaml: String,
    /// True if it can mean nothing else.
    pub(crate) is_certain: bool,
}

fn certain(yaml: String) -> Option<Shape> {
    Some(Shape {
        yaml,
        is_certain: true,
    })
}

fn probable(yaml: String) -> Option<Shape> {
    Some(Shape {
        yaml,
        is_certain: false,
    })
}

/// Returns the mapping that `node` probably stands for: `wanted` describes it, and `knows` tells its keys.
pub(crate) fn of(node: &Node, wanted: &str, knows: impl Fn(&str) -> bool) -> Option<Shape> {
    let shape = match node.written() {
        Some(text) if node.text().is_some() => of_text(text, wanted, knows),
        _ => of_other(node, wanted),
    };
    let shape = shape.or_else(|| probable(resilience::of(node, wanted)?));
    shape.filter(|shape| is_showable(&shape.yaml))
}

fn of_text(text: &str, wanted: &str, knows: impl Fn(&str) -> bool) -> Option<Shape> {
    let yaml = plain(text);
    match wanted {
        "a match" => of_match(text),
        "a redirect" => of_redirect(text, knows("url")),
        "a respond" => of_respond(text),
        "a rewrite" => of_rewrite(text),
        "a service" => {
            let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
            let is_endpoint =
                matches!(scheme, "http" | "https" | "h2c") && !rest.is_empty() && before_path(rest) == rest;
            match scheme {
                _ if is_endpoint => certain(format!("{{ endpoints: [{yaml}] }}")),
                "" if text.contains(['.', ':']) && !text.contains(char::is_whitespace) => {
                    probable(format!("{{ endpoints: [{}] }}", plain(&format!("http://{text}"))))
                }
                _ => None,
            }
        }
        "a listener" => match text.parse::<SocketAddr>() {
            Ok(_) => certain(format!("{{ bind: {yaml} }}")),
            Err(_) => probable(format!("{{ bind: {} }}", plain(&address(text, "0.0.0.0", 8080)?))),
        },
        "a rate limit" => probable(rate::limit(text)?),
        "a `by`" => probable(rate::key(text)?),
        "a `mirror`" => certain(format!("{{ to: {yaml} }}")),
        "a `sticky`" => match text.to_ascii_lowercase().as_str() {
            "ip" | "client_ip" | "source_ip" | "ip_hash" | "src" => {
                probable("{ client_ip: true }".to_owned())
            }
            "cookie" => probable("{ cookie: side }".to_owned()),
            lower if lower.starts_with("x-") => probable(format!("{{ header: {yaml} }}")),
            _ => None,
        },
        "an expectation" => match text.parse::<u16>() {
            Ok(status) => certain(format!("{{ status: {status} }}")),
            Err(_) => probable(format!("{{ route: {yaml} }}")),
        },
        "a `grpc`" => match text.trim_start_matches('/').split_once('/') {
            Some((service, method)) => certain(format!(
                "{{ service: {}, method: {} }}",
                plain(service),
                plain(method)
            )),
            None => certain(format!("{{ service: {yaml} }}")),
        },
        "a `cors`" => match text {
            "*" | "true" | "on" => probable("{ origins: \"*\" }".to_owned()),
            _ if text.contains("://") => probable(format!("{{ origins: [{yaml}] }}")),
            _ => None,
        },
        "an `auth`" => match text.to_ascii_lowercase().as_str() {
            "none" | "no" | "disabled" | "anonymous" | "open" | "public" => probable("off".to_owned()),
            _ => None,
        },
        "an `access`" if text.parse::<IpNet>().is_ok() || text.parse::<IpAddr>().is_ok() => {
            probable(format!("{{ allow: [{yaml}] }}"))
        }
        "the timeouts of a service" | "the timeouts of a route" => {
            probable(format!("{{ response: {yaml} }}"))
        }
        "an `acme`" if text.contains('@') => probable(format!("{{ email: {yaml} }}")),
        "the limits of a listener" | "the limits of a route" => {
            let size = crate::size::corrected(text).unwrap_or_else(|| text.to_owned());
            probable(format!("{{ body_bytes: {} }}", plain(&size)))
        }
        _ => None,
    }
}

/// Returns the mapping for a list, or for a word such as `true`.
fn of_other(node: &Node, wanted: &str) -> Option<Shape> {
    let has_texts = |items: &[Node]| !items.is_empty() && items.iter().all(|item| item.written().is_some());
    match (&node.value, wanted) {
        (Value::List(items), "a service") if has_texts(items) => {
            probable(format!("{{ endpoints: {} }}", flow::of(node)?))
        }
        (Value::List(items), "an `access`") if has_texts(items) => {
            probable(format!("{{ allow: {} }}", flow::of(node)?))
        }
        (Value::List(_), "an `auth`") => {
            let ways = flow::of(node).unwrap_or_else(|| "[…]".to_owned());
            probable(format!("{{ any: {ways} }}"))
        }
        (Value::List(items), "a `cors`") if has_texts(items) => {
            probable(format!("{{ origins: {} }}", flow::of(node)?))
        }
        (Value::Scalar(_), "an `acme`") => probable("{}".to_owned()),
        (Value::Scalar(_) | Value::List(_), "the `tls` of a listener") => {
            probable("{ certificates: [{ cert: api.crt, key: api.key }] }".to_owned())
        }
        _ => None,
    }
}

/// Returns an example of a mapping that is often written as a text.
pub(crate) fn example(wanted: &str) -> Option<&'static str> {
    Some(match wanted {
        "a match" => "{ host: api.example.com, path: /orders/* }",
        "an `acme`" => "{ email: ops@example.com }",
        "a redirect" => "{ scheme: https, status: 308 }",
        "a respond" => "{ status: 404 }",
        "a rewrite" => "{ prefix: /v2 }",
        "a service" => "{ endpoints: [http://10.0.0.11:8080] }",
        "a listener" => "{ bind: 0.0.0.0:8080 }",
        "a route" => "{ name: orders, match: { path: /orders/* }, to: orders }",
        "header edits" => "{ set: { x-gateway: waypost }, remove: [x-internal] }",
        "a test" => "{ request: GET /orders/7, expect: { route: orders } }",
        "the `health` of a service" => "{ path: /healthz }",
        "the `eject` of a service" => "{ failures: 5 }",
        "a `hash`" => "{ header: x-user-id }",
        "the limits of a service" => "{ requests: 1000, waiting: 100 }",
        "a rate limit" => "{ requests: 10, per: 1s }",
        "a `retry`" => "{ attempts: 1, on: [connect, reset, 503] }",
        "a `cors`" => "{ origins: [\"https://app.example.com\"] }",
        _ => return None,
    })
}

/// Returns the split that a list of services means, each a mapping with its name, and its weight if it has one.
pub(crate) fn split(items: &[Node]) -> Option<String> {
    let of = |item: &Node, keys: &[&str]| match &item.value {
        Value::Mapping(entries) => {
            let entry = entries.iter().find(|entry| keys.contains(&&*entry.key))?;
            entry.value.written().map(str::to_owned)
        }
        _ => None,
    };
    let arms: Option<Vec<(String, Option<String>)>> = items
        .iter()
        .map(|item| {
            let name = of(item, &["name", "service", "cluster", "backend"])?;
            Some((name, of(item, &["weight"])))
        })
        .collect();
    let text = match &*arms? {
        [] => return None,
        [(name, _)] => plain(name).into_owned(),
        arms => {
            let arms: Vec<String> = arms
                .iter()
                .map(|(name, weight)| format!("{}: {}", plain(name), weight.as_deref().unwrap_or("1")))
                .collect();
            format!("{{ {} }}", arms.join(", "))
        }
    };
    is_showable(&text).then_some(text)
}

/// Returns `{NAME}`, the value of a request that YAML reads as a mapping where it is not quoted.
pub(crate) fn unquoted_value(node: &Node) -> Option<String> {
    let Value::Mapping(entries) = &node.value else {
        return None;
    };
    let [only] = &**entries else {
        return None;
    };
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let is_name = !only.key.is_empty() && only.key.chars().all(fits) && only.value.is_null();
    is_name.then(|| format!("{{{}}}", only.key))
}

/// Returns the value that stands in a mapping beside its type, as in objects of the Gateway API.
pub(crate) fn value_with_type(node: &Node) -> Option<String> {
    let Value::Mapping(entries) = &node.value else {
        return None;
    };
    let value = |keys: &[&str]| {
        let entry = entries.iter().find(|entry| keys.contains(&&*entry.key))?;
        entry.value.written()
    };
    let kind = value(&["type"]).unwrap_or_default().to_ascii_lowercase();
    let typed = |word: &str| value(&["value"]).filter(|_| kind.contains(word));
    let text = if let Some(prefix) = value(&["prefix"]).or_else(|| typed("prefix")) {
        format!("{}/*", prefix.trim_end_matches('/'))
    } else if let Some(regex) = value(&["regex"]).or_else(|| typed("reg")) {
        format!("~{regex}")
    } else {
        value(&["exact", "value"])?.to_owned()
    };
    is_showable(&text).then_some(text)
}

/// Returns the match that a rule or a path means, as YAML.
pub(crate) fn of_match_text(text: &str) -> Option<String> {
    of_match(text).map(|shape| shape.yaml)
}

fn of_match(text: &str) -> Option<Shape> {
    if text.contains("||") {
        let alternatives: Option<Vec<String>> = text
            .split("||")
            .map(|part| Some(of_match(part.trim())?.yaml))
            .collect();
        return probable(format!("[{}]", alternatives?.join(", ")));
    }
    if let Some(conditions) = rule::conditions(text) {
        let keys = conditions.iter().map(|(key, values)| match &**values {
            [one] => format!("{key}: {}", plain(one)),
            many => {
                let many: Vec<_> = many.iter().map(|value| plain(value)).collect();
                format!("{key}: [{}]", many.join(", "))
            }
        });
        let keys: Vec<String> = keys.collect();
        return probable(format!("{{ {} }}", keys.join(", ")));
    }
    if text.contains(char::is_whitespace) {
        let (method, path) = text.split_once(' ')?;
        let is_request = method.bytes().all(|byte| byte.is_ascii_uppercase())
            && path.starts_with('/')
            && !path.contains(char::is_whitespace);
        return is_request
            .then(|| probable(format!("{{ method: {}, path: {} }}", plain(method), plain(path))))?;
    }
    match text.bytes().next()? {
        b'/' | b'~' => certain(format!("{{ path: {} }}", plain(text))),
        _ if text.bytes().all(|byte| byte.is_ascii_uppercase()) => probable(format!("{{ method: {text} }}")),
        _ if text.contains('.') && !text.contains(['/', '(', '=']) => {
            probable(format!("{{ host: {} }}", plain(text)))
        }
        _ => None,
    }
}

/// A path, or what a `rewrite` of nginx says: a regex and its replacement.
fn of_rewrite(text: &str) -> Option<Shape> {
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    match &*words {
        [path] if path.starts_with('/') && !path.contains(['$', '?', '#']) => {
            probable(format!("{{ path: {} }}", plain(path)))
        }
        [from, to] | [from, to, "break" | "last"] if from.starts_with(['^', '/']) && to.starts_with('/') => {
            probable(format!("{{ regex: [{}, {}] }}", plain(from), plain(to)))
        }
        _ => None,
    }
}

fn of_respond(text: &str) -> Option<Shape> {
    let (status, body) = match text.split_once(' ') {
        Some((status, body)) => (status, body.trim().trim_matches(['"', '\''])),
        None => (text, ""),
    };
    match (status.parse::<u16>(), body) {
        // The connection is closed without a response there.
        (Ok(444), "") => probable("{ status: 403 }".to_owned()),
        (Ok(status @ 200..=599), "") => certain(format!("{{ status: {status} }}")),
        (Ok(status @ 200..=599), body) => probable(format!("{{ status: {status}, body: {} }}", plain(body))),
        (Ok(_), _) => None,
        (Err(_), _) => probable(format!("{{ status: 200, body: {} }}", plain(text))),
    }
}

fn of_redirect(text: &str, has_url: bool) -> Option<Shape> {
    let (status, target) = match text.split_once(' ') {
        Some((status, target)) => (Some(status.parse::<u16>().ok()?), target.trim()),
        None => (None, text),
    };
    let with_status = |keys: String| match status {
        Some(status) => format!("{{ status: {status}, {keys} }}"),
        None => format!("{{ {keys} }}"),
    };
    match target {
        "http" | "https" => return certain(with_status(format!("scheme: {target}"))),
        "301" | "302" | "303" | "307" | "308" if status.is_none() => {
            return probable(format!("{{ status: {target}, scheme: https }}"));
        }
        _ => {}
    }
    if let Some(path) = target.strip_prefix('/') {
        let is_plain = !path.contains(['?', '#', '$', '{', '%']) && !path.starts_with('/');
        return is_plain.then(|| probable(with_status(format!("path: {}", plain(target)))))?;
    }
    let Some((scheme @ ("http" | "https"), rest)) = target.split_once("://") else {
        let is_host = target.contains('.') && before_path(target) == target && !is_variable(target);
        return is_host.then(|| probable(with_status(format!("host: {}", plain(target)))))?;
    };
    let is_fixed = !is_variable(rest);
    if has_url && is_fixed {
        return certain(with_status(format!("url: {}", plain(target))));
    }
    let host = rest.split(['/', '?', '#']).next()?;
    // A variable behind the host is the path of the request, which stays by itself.
    let (host, path) = match host.find(['$', '{', '%']) {
        Some(at) => (&host[..at], ""),
        None => (host, &rest[host.len()..]),
    };
    let mut keys = vec![format!("scheme: {scheme}")];
    let (name, port) = host.rsplit_once(':').unwrap_or((host, ""));
    if !name.is_empty() {
        keys.push(format!("host: {}", plain(name)));
    }
    match port.parse::<u16>() {
        Ok(port) => keys.push(format!("port: {port}")),
        Err(_) if port.is_empty() => {}
        Err(_) => return None,
    }
    // Only the path of the request itself can stay.
    if path.contains(['?', '#']) || !is_fixed && rest.contains('/') {
        return None;
    }
    if is_fixed && path.len() > 1 {
        keys.push(format!("path: {}", plain(path)));
    }
    probable(with_status(keys.join(", ")))
}

/// Returns true if a variable of some gateway stands in `text`.
fn is_variable(text: &str) -> bool {
    text.contains(['$', '{', '%'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_are_read_as_other_gateways_write_them() {
        for (text, url, expected) in [
            ("https", false, Some("{ scheme: https }")),
            ("301 https", false, Some("{ status: 301, scheme: https }")),
            ("301", false, Some("{ status: 301, scheme: https }")),
            ("https://$host$request_uri", true, Some("{ scheme: https }")),
            (
                "301 https://$server_name$request_uri",
                false,
                Some("{ status: 301, scheme: https }"),
            ),
            (
                "308 https://www.example.com{uri}",
                true,
                Some("{ status: 308, scheme: https, host: www.example.com }"),
            ),
            (
                "https://a.example",
                false,
                Some("{ scheme: https, host: a.example }"),
            ),
            (
                "https://a.example:8443/x",
                false,
                Some("{ scheme: https, host: a.example, port: 8443, path: /x }"),
            ),
            ("https://a.example/x?y", false, None),
            (
                "https://a.example/x?y",
                true,
                Some("{ url: \"https://a.example/x?y\" }"),
            ),
            ("/new", false, Some("{ path: /new }")),
            ("www.example.com", false, Some("{ host: www.example.com }")),
            ("https://$host/x", false, None),
            ("somewhere", false, None),
            ("ftp://a", false, None),
        ] {
            let found = of_redirect(text, url).map(|shape| shape.yaml);
            assert_eq!(found.as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn matches_and_responds_are_read_as_other_gateways_write_them() {
        for (text, expected) in [
            ("/api/*", Some("{ path: /api/* }")),
            ("/users/{id}", Some("{ path: \"/users/{id}\" }")),
            ("~^/v1", Some("{ path: \"~^/v1\" }")),
            ("GET /x", Some("{ method: GET, path: /x }")),
            ("POST", Some("{ method: POST }")),
            ("api.example.com", Some("{ host: api.example.com }")),
            (
                "Host(`a.example`) && PathPrefix(`/x`)",
                Some("{ host: a.example, path: /x/* }"),
            ),
            (
                "Host(`a.example`) || Host(`b.example`)",
                Some("[{ host: a.example }, { host: b.example }]"),
            ),
            ("req.path == 1", None),
            ("orders", None),
        ] {
            let found = of_match(text).map(|shape| shape.yaml);
            assert_eq!(found.as_deref(), expected, "{text}");
        }
        for (text, expected) in [
            ("404", Some("{ status: 404 }")),
            ("444", Some("{ status: 403 }")),
            ("200 \"ok\"", Some("{ status: 200, body: ok }")),
            ("gone", Some("{ status: 200, body: gone }")),
            ("99", None),
        ] {
            let found = of_respond(text).map(|shape| shape.yaml);
            assert_eq!(found.as_deref(), expected, "{text}");
        }
    }
}
