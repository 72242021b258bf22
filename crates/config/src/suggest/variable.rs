//! Variables of other gateways in values that are taken as they are written.

use std::fmt::Write as _;

/// A variable of another gateway in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Variable<'t> {
    /// The variable as written.
    pub(crate) text: &'t str,
    pub(crate) meaning: Meaning,
}

/// The value that a variable has at its own gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meaning {
    Host,
    ClientIp,
    Scheme,
    Port,
    /// Path, query, or both.
    Target,
    Upgrade,
    Certificate,
    Other,
}

/// The place of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    RequestHeader,
    ResponseHeader,
    Body,
    /// The host of a redirect or a rewrite.
    Host,
    /// The path or the prefix of a redirect or a rewrite.
    Path,
}

/// Words in variables, and what they stand for; the first that is in a variable counts.
const MEANINGS: &[(Meaning, &[&str])] = &[
    (Meaning::Upgrade, &["http_upgrade", "connection_upgrade"]),
    (
        Meaning::Certificate,
        &[
            "ssl_client",
            "ssl_c_",
            "subject_peer",
            "peer_certificate",
            "tls.client",
            "client.subject",
        ],
    ),
    (
        Meaning::ClientIp,
        &[
            "remote_addr",
            "remoteaddr",
            "proxy_add_x_forwarded_for",
            "http_x_forwarded_for",
            "downstream_remote_address",
            "realip_remote_addr",
            "x-forwarded-for",
            "remote.host",
            "remote_host",
            "client_ip",
            "clientip",
            "[src]",
        ],
    ),
    (Meaning::Port, &["server_port", "port}", "dst_port", "local_port"]),
    (Meaning::Scheme, &["scheme", "x-forwarded-proto", "ssl_fc"]),
    (
        Meaning::Target,
        &["request_uri", "uri", "path", "query", "args", "url", ":path"],
    ),
    (
        Meaning::Host,
        &["http_host", "authority", "server_name", "hdr(host)", "host"],
    ),
];

/// Finds the first variable of another gateway in `text`.
pub(crate) fn find(text: &str) -> Option<Variable<'_>> {
    let found = text.char_indices().find_map(|(at, c)| {
        let rest = &text[at..];
        let length = match c {
            '$' => dollar(rest),
            '%' => percent(rest),
            '{' => brace(rest),
            _ => None,
        };
        length.map(|length| &rest[..length])
    })?;
    let lower = found.to_ascii_lowercase();
    let is_in = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    let meaning = MEANINGS.iter().find(|(_, words)| is_in(words));
    Some(Variable {
        text: found,
        meaning: meaning.map_or(Meaning::Other, |(meaning, _)| *meaning),
    })
}

/// The length of `$name`, as in nginx, or `$(name)`, as in Kong. A key of JSON such as `"$ref":` is none.
fn dollar(text: &str) -> Option<usize> {
    if text.starts_with("$(") {
        return Some(text.find(')')? + 1);
    }
    let name = text[1..].bytes();
    let length = name
        .take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
        .count();
    let begins = text.as_bytes().get(1).is_some_and(u8::is_ascii_lowercase);
    let after = &text[1 + length..];
    let is_key = after
        .strip_prefix('"')
        .is_some_and(|after| after.trim_start().starts_with(':'));
    (begins && length > 1 && !is_key).then_some(1 + length)
}

/// The length of `%[fetch]` and `%{name}`, as in HAProxy, or `%NAME%` and `%NAME(…)%`, as in Envoy.
fn percent(text: &str) -> Option<usize> {
    if text.starts_with("%[") {
        return Some(text.find(']')? + 1);
    }
    if text.starts_with("%{") {
        return Some(text.find('}')? + 1);
    }
    let name: &str = &text[1..];
    let length = name
        .bytes()
        .take_while(|byte| byte.is_ascii_uppercase() || *byte == b'_')
        .count();
    let (name, after) = name.split_at(length);
    // `%FAB%20` are encoded bytes.
    let is_operator =
        name.len() > 2 && (name.contains('_') || matches!(name, "REQ" | "RESP" | "PROTOCOL" | "HOSTNAME"));
    if let Some(inner) = after.strip_prefix('(').filter(|_| name.len() > 2) {
        let end = inner.find(")%")?;
        return Some(1 + length + 1 + end + 2);
    }
    (is_operator && after.starts_with('%')).then_some(1 + length + 1)
}

/// The length of `{http.request.…}` and the like, as in Caddy, or of `{{ .Request… }}`, as in templates of Go.
fn brace(text: &str) -> Option<usize> {
    if let Some(inner) = text.strip_prefix("{{") {
        let end = inner.find("}}")?;
        let inner = inner[..end].trim_start_matches('-').trim();
        let is_template = inner.starts_with('.') || inner.starts_with("env ") || inner.contains(" .");
        return is_template.then_some(2 + end + 2);
    }
    let inner = text.strip_prefix('{')?;
    let end = inner.find('}')?;
    let begins = ["http.", "env.", "system.", "time.now", "tls.client", "vars.", "$"];
    begins
        .iter()
        .any(|begin| inner[..end].starts_with(begin))
        .then_some(1 + end + 1)
}

/// Returns the hint at a variable: what can be had without it.
pub(crate) fn hint(variable: Variable<'_>, place: Place) -> String {
    let mut hint = String::new();
    let by_itself = match (place, variable.meaning) {
        (Place::RequestHeader, Meaning::Host) => {
            Some("services get the client's `Host`, and `x-forwarded-host`")
        }
        (Place::RequestHeader, Meaning::ClientIp) => {
            Some("services get the client's address in `x-forwarded-for` and `x-real-ip`")
        }
        (Place::RequestHeader, Meaning::Scheme) => {
            Some("services get the client's scheme in `x-forwarded-proto`")
        }
        (Place::RequestHeader, Meaning::Port) => Some("services get the port in `x-forwarded-port`"),
        (Place::RequestHeader, Meaning::Upgrade) => Some("upgrades to websocket pass"),
        (Place::RequestHeader, Meaning::Certificate) => {
            Some("services get the client's certificate in `x-forwarded-client-cert`")
        }
        (Place::RequestHeader, Meaning::Target) => Some("services get path and query in the request"),
        (Place::Host, Meaning::Host) => Some("the host of the request stays"),
        (Place::Path, Meaning::Target) => Some("path and query of the request stay"),
        _ => None,
    };
    if let Some(by_itself) = by_itself {
        let _ = write!(hint, "leave it out: without it, {by_itself}");
        return hint;
    }
    hint.push_str(match place {
        Place::Path => {
            "a parameter of the pattern is `{name}`, and a group of a regex `$1`, in `regex: [from, to]` alone"
        }
        Place::Host => "write a fixed host; without one, the host of the request stays",
        Place::RequestHeader | Place::ResponseHeader | Place::Body => {
            "write a fixed text: nothing of a request is filled in here, and `${NAME}` is a variable of the environment"
        }
    });
    hint
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_of_other_gateways_are_found() {
        for (text, expected) in [
            ("$host", Some(("$host", Meaning::Host))),
            ("https://$host$request_uri", Some(("$host", Meaning::Host))),
            ("for=$remote_addr;", Some(("$remote_addr", Meaning::ClientIp))),
            (
                "$proxy_add_x_forwarded_for",
                Some(("$proxy_add_x_forwarded_for", Meaning::ClientIp)),
            ),
            ("$scheme", Some(("$scheme", Meaning::Scheme))),
            ("$http_upgrade", Some(("$http_upgrade", Meaning::Upgrade))),
            ("$request_uri", Some(("$request_uri", Meaning::Target))),
            ("$(headers.x)", Some(("$(headers.x)", Meaning::Other))),
            ("%[src]", Some(("%[src]", Meaning::ClientIp))),
            ("%[req.hdr(host)]", Some(("%[req.hdr(host)]", Meaning::Host))),
            ("%{Host}i", Some(("%{Host}", Meaning::Host))),
            ("%REQ(X-A)%", Some(("%REQ(X-A)%", Meaning::Other))),
            ("%REQ(:AUTHORITY)%", Some(("%REQ(:AUTHORITY)%", Meaning::Host))),
            (
                "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
                Some(("%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%", Meaning::ClientIp)),
            ),
            (
                "{http.request.host}",
                Some(("{http.request.host}", Meaning::Host)),
            ),
            (
                "{http.request.uri}",
                Some(("{http.request.uri}", Meaning::Target)),
            ),
            ("{$HOME}", Some(("{$HOME}", Meaning::Other))),
            (
                "{{ .Request.Host }}",
                Some(("{{ .Request.Host }}", Meaning::Host)),
            ),
            ("{{ env \"X\" }}", Some(("{{ env \"X\" }}", Meaning::Other))),
        ] {
            let found = find(text).map(|found| (found.text, found.meaning));
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn other_texts_are_left_alone() {
        for text in [
            "",
            "costs $5",
            "$",
            "$$",
            "$a",
            "${1}",
            "US$ 5",
            "100%",
            "%20",
            "%FAB%20",
            "%C3%A9%",
            "50% OFF%",
            "{id}",
            "{}",
            "{\"a\": 1}",
            "{{}}",
            "{{ x }}",
            "{\"$ref\": \"#/x\"}",
            "{\"$schema\" : 1}",
            "max-age=31536000; includeSubDomains",
        ] {
            assert_eq!(find(text), None, "{text}");
        }
    }
}
