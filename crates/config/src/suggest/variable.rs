//! Variables of other gateways, which are text here, and the names of values that stand for the same.

use crate::suggest::correction::is_showable;

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
    RequestId,
    Method,
    Time,
    Service,
    /// A group of a regex, by number.
    Group,
    /// A variable of the environment.
    Environment,
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
    /// The query of a redirect or a rewrite, or the value of a parameter.
    Query,
    /// The URL of a redirect.
    Url,
}

/// Maximum number of variables in a text that are replaced.
const VARIABLES_MAX: usize = 16;

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
    (
        Meaning::RequestId,
        &[
            "request_id",
            "request-id",
            "requestid",
            "request.uuid",
            "unique-id",
            "unique_id",
        ],
    ),
    (
        Meaning::Time,
        &[
            "time_iso8601",
            "time_local",
            "time.now",
            "start_time",
            "timestamp",
            "[date",
        ],
    ),
    (Meaning::Method, &["request_method", "method"]),
    (
        Meaning::Service,
        &[
            "upstream_cluster",
            "proxy_host",
            "proxy_upstream_name",
            "service_name",
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

/// Finds the first variable of another gateway in `text`, which stands at `place`.
pub(crate) fn find(text: &str, place: Place) -> Option<Variable<'_>> {
    // `$5` in a body or a header is a price.
    let has_groups = matches!(place, Place::Host | Place::Path | Place::Query | Place::Url);
    let (found, is_group) = text.char_indices().find_map(|(at, _)| {
        let rest = &text[at..];
        let group = || {
            group(rest)
                .filter(|_| has_groups)
                .map(|length| (&rest[..length], true))
        };
        let variable = length_at(rest).map(|length| (&rest[..length], false));
        variable.or_else(group)
    })?;
    if is_group {
        return Some(Variable {
            text: found,
            meaning: Meaning::Group,
        });
    }
    if environment(found).is_some() {
        return Some(Variable {
            text: found,
            meaning: Meaning::Environment,
        });
    }
    let lower = found.to_ascii_lowercase();
    let is_in = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    let meaning = MEANINGS.iter().find(|(_, words)| is_in(words));
    Some(Variable {
        text: found,
        meaning: meaning.map_or(Meaning::Other, |(meaning, _)| *meaning),
    })
}

/// The length of the variable of another gateway that `text` begins with.
pub(crate) fn length_at(text: &str) -> Option<usize> {
    match text.as_bytes().first()? {
        b'$' => dollar(text),
        b'%' => percent(text),
        b'{' => brace(text),
        _ => None,
    }
}

/// The length of `$1` or `\1`, the groups of a regex.
fn group(text: &str) -> Option<usize> {
    let digits = text.strip_prefix(['$', '\\'])?;
    let end = digits.find(|c: char| !c.is_ascii_digit());
    let length = end.unwrap_or(digits.len());
    (length > 0).then_some(1 + length)
}

/// The name in `{env.NAME}`, `{$NAME}` or `{{ env "NAME" }}`.
fn environment(text: &str) -> Option<&str> {
    let inner = text.trim_start_matches('{').trim_end_matches('}');
    let inner = inner.trim().trim_start_matches('-').trim();
    let name = ["env.", "$", "env "]
        .iter()
        .find_map(|begin| inner.strip_prefix(begin))?;
    let name = name.trim_matches([' ', '"', '`', '-']);
    let is_name = |name: &str| {
        name.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    (text.starts_with('{') && !name.is_empty() && is_name(name)).then_some(name)
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
        let length = text.find('}')? + 1;
        let behind = text.as_bytes().get(length..).unwrap_or_default();
        // Apache says behind the brace what it is a name of.
        let is_kind = matches!(behind, [b'i' | b'o' | b'e' | b'C' | b's', after @ ..]
            if !after.first().is_some_and(u8::is_ascii_alphanumeric));
        return Some(length + usize::from(is_kind));
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

/// Beginnings of variables that name a part of the request, and the name of ours that the rest goes behind. `_` stands for
/// `-` in the names of headers where the first value is true.
const FAMILIES: &[(bool, &str, &str)] = &[
    (true, "$http_", "header."),
    (false, "$cookie_", "cookie."),
    (false, "$arg_", "query."),
    (false, "$(headers.", "header."),
    (false, "$(query_params.", "query."),
    (false, "$(uri_captures.", ""),
    (false, "%req(", "header."),
    (false, "%[req.hdr(", "header."),
    (false, "%[req.fhdr(", "header."),
    (false, "%[hdr(", "header."),
    (false, "%[req.cook(", "cookie."),
    (false, "%[cook(", "cookie."),
    (false, "%[url_param(", "query."),
    (false, "%[urlp(", "query."),
    (false, "%{", "header."),
    (false, "{http.request.header.", "header."),
    (false, "{http.request.cookie.", "cookie."),
    (false, "{http.request.uri.query.", "query."),
];

/// The text that stands for the same here, with our names in braces; `None` if there is none.
pub(crate) fn ours(variable: Variable<'_>) -> Option<String> {
    let lower = variable.text.to_ascii_lowercase();
    let is_target = matches!(variable.meaning, Meaning::Target);
    let value = |name: &str| Some(format!("{{{name}}}"));
    match variable.meaning {
        Meaning::Environment => return environment(variable.text).map(|name| format!("${{{name}}}")),
        Meaning::Group => return None,
        Meaning::Host => return value("host"),
        Meaning::ClientIp => return value("client_ip"),
        Meaning::Scheme => return value("scheme"),
        Meaning::Port => return value("port"),
        Meaning::RequestId => return value("request_id"),
        Meaning::Method => return value("method"),
        Meaning::Time => return value("time"),
        Meaning::Service => return value("service"),
        Meaning::Certificate if lower.contains("subject") || lower.contains("_dn") => {
            return value("client_cert.subject");
        }
        Meaning::Certificate | Meaning::Upgrade => return None,
        Meaning::Target | Meaning::Other => {}
    }
    let family = FAMILIES.iter().find(|(_, begin, _)| lower.starts_with(begin));
    if let Some((underscores, begin, ours)) = family {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        let rest = &variable.text[begin.len()..];
        let name = &rest[..rest.find(|c| !fits(c)).unwrap_or(rest.len())];
        let name = match (*underscores, *ours) {
            (true, _) => name.to_ascii_lowercase().replace('_', "-"),
            (false, "header.") => name.to_ascii_lowercase(),
            _ => name.to_owned(),
        };
        let is_other = matches!(rest.rsplit_once('}'), Some((_, "o" | "e" | "s")));
        let ours = match rest.ends_with("}C") {
            true => "cookie.",
            false => ours,
        };
        if !name.is_empty() && !is_other {
            return value(&format!("{ours}{name}"));
        }
    }
    if let Some((_, rest)) = lower.split_once(".request.header") {
        // `{{ .Request.Header.Get "X" }}`, or `{{ .Request.Header.X }}`.
        let rest = rest.trim_start_matches(".get").trim_matches([' ', '.', '"', '}']);
        let is_name = !rest.is_empty()
            && rest
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        return is_name.then(|| format!("{{header.{rest}}}"));
    }
    let is = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    match () {
        () if !is_target => None,
        () if is(&["query", "args"]) => value("query"),
        () if is(&["path", "document_uri"]) && !is(&[":path"]) || lower == "$uri" => value("path"),
        () => Some("{path}?{query}".to_owned()),
    }
}

/// The name of ours that another gateway, or people, write in braces in this way; `name` is in lower case.
pub(crate) fn ours_in_braces(name: &str) -> Option<String> {
    let listed = match name {
        "remote_addr" | "remote_ip" | "remote_host" | "remote" | "ip" | "client" | "clientip"
        | "client_addr" | "source_ip" | "x_forwarded_for" => "client_ip",
        "uri" | "url" | "request_path" | "path_and_query" => "path",
        "request_uri" => "path}?{query",
        "args" | "query_string" | "querystring" | "search" => "query",
        "hostname" | "hostport" | "server_name" | "authority" | "domain" => "host",
        "proto" | "protocol" => "scheme",
        "verb" | "request_method" => "method",
        "req_id" | "requestid" | "uuid" | "trace_id" | "correlation_id" => "request_id",
        "now" | "date" | "timestamp" => "time",
        "upstream" | "backend" | "cluster" => "service",
        "rule" => "route",
        "user_agent" => "header.user-agent",
        "referer" => "header.referer",
        "subject" | "client_cert" | "client_subject" | "tls_client_subject" => "client_cert.subject",
        "version" | "generation" => "revision",
        _ => "",
    };
    if !listed.is_empty() {
        return Some(listed.to_owned());
    }
    let families = [
        ("http_", "header.", true),
        ("headers.", "header.", false),
        ("request.header.", "header.", false),
        ("request.headers.", "header.", false),
        ("cookie_", "cookie.", false),
        ("cookies.", "cookie.", false),
        ("arg_", "query.", false),
        ("args.", "query.", false),
        ("params.", "query.", false),
        ("query_params.", "query.", false),
    ];
    let (rest, ours, dashed) = families
        .iter()
        .find_map(|(begin, ours, dashed)| Some((name.strip_prefix(begin)?, ours, dashed)))?;
    let rest = if *dashed {
        rest.replace('_', "-")
    } else {
        rest.to_owned()
    };
    (!rest.is_empty()).then(|| format!("{ours}{rest}"))
}

/// Returns the hint at a text with a variable: the `meant` one with our words, if that is accepted, or what can be had
/// without the variable.
pub(crate) fn hint_at(text: &str, variable: Variable<'_>, place: Place, meant: Option<&str>) -> String {
    let is_part = text != variable.text;
    match (meant.filter(|meant| is_showable(meant)), ours(variable)) {
        (Some(meant), _) if is_part => format!("write `{meant}`"),
        // Alone it may be no more accepted than the text.
        (None, Some(ours)) if is_part && had_without(variable, place).is_none() => {
            format!("the same value here is `{ours}`")
        }
        _ => hint(variable, place),
    }
}

/// The value of a variable that is at its place without it.
fn had_without(variable: Variable<'_>, place: Place) -> Option<&'static str> {
    match (place, variable.meaning) {
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
        (Place::Query, Meaning::Target) => Some("the query of the request stays"),
        _ => None,
    }
}

/// Returns the hint at a variable: our word for it, or what can be had without it.
pub(crate) fn hint(variable: Variable<'_>, place: Place) -> String {
    let by_itself = had_without(variable, place);
    if variable.meaning == Meaning::Group {
        return "name the group in the path's regex, as in `(?<name>…)`, and write `{name}`; `$1` stands in \
            `regex: [from, to]` alone"
            .to_owned();
    }
    match (ours(variable), by_itself) {
        (Some(_), Some(by_itself)) if place == Place::Path => {
            format!("write `{{path}}`, or leave it out: without it, {by_itself}")
        }
        (Some(ours), Some(by_itself)) => format!("write `{ours}`, or leave it out: without it, {by_itself}"),
        (Some(ours), None) => format!("write `{ours}`"),
        (None, Some(by_itself)) => format!("leave it out: without it, {by_itself}"),
        (None, None) => match place {
            Place::Path => {
                "a parameter of the pattern is `{name}`, and a group of a regex `$1`, in `regex: [from, to]` alone"
            }
            Place::Host => "a host has values of the request as in `{header.x-tenant}.example.org`",
            _ => {
                "a value of the request is written as `{client_ip}` or `{header.x-tenant}`, and `${NAME}` is a variable of the \
                environment"
            }
        }
        .to_owned(),
    }
}

/// The text with every variable replaced by our word for it; `None` if there is none for one of them.
pub(crate) fn replaced(text: &str, place: Place) -> Option<String> {
    let mut text = text.to_owned();
    for _ in 0..VARIABLES_MAX {
        let Some(variable) = find(&text, place) else {
            return Some(text);
        };
        let ours = match (place, variable.meaning) {
            (Place::Path, Meaning::Target) => "{path}".to_owned(),
            (Place::Host, Meaning::Target) => return None,
            _ => ours(variable)?,
        };
        text = text.replacen(variable.text, &ours, 1);
    }
    None
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
            ("%{Host}i", Some(("%{Host}i", Meaning::Host))),
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
            ("{$HOME}", Some(("{$HOME}", Meaning::Environment))),
            (
                "{{ .Request.Host }}",
                Some(("{{ .Request.Host }}", Meaning::Host)),
            ),
            ("{{ env \"X\" }}", Some(("{{ env \"X\" }}", Meaning::Environment))),
        ] {
            let found = find(text, Place::Body).map(|found| (found.text, found.meaning));
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn groups_are_variables_where_a_path_or_a_query_is_written() {
        for (text, place, expected) in [
            ("/x/$1/y", Place::Path, Some("$1")),
            ("/x/\\12", Place::Path, Some("\\12")),
            ("a=$10", Place::Query, Some("$10")),
            ("https://a.test/$1", Place::Url, Some("$1")),
            ("$1.example.org", Place::Host, Some("$1")),
            ("costs $1", Place::Body, None),
            ("$1", Place::RequestHeader, None),
            ("/x/$", Place::Path, None),
            ("/x/a$b", Place::Path, None),
        ] {
            let found = find(text, place);
            assert_eq!(found.map(|found| found.text), expected, "{text}");
        }
    }

    #[test]
    fn our_words_for_them_are_known() {
        for (text, expected) in [
            ("$host", Some("{host}")),
            ("$remote_addr", Some("{client_ip}")),
            ("$proxy_add_x_forwarded_for", Some("{client_ip}")),
            ("$request_id", Some("{request_id}")),
            ("$uri", Some("{path}")),
            ("$request_uri", Some("{path}?{query}")),
            ("$args", Some("{query}")),
            ("$scheme", Some("{scheme}")),
            ("$server_port", Some("{port}")),
            ("$request_method", Some("{method}")),
            ("$time_iso8601", Some("{time}")),
            ("$http_user_agent", Some("{header.user-agent}")),
            ("$cookie_side", Some("{cookie.side}")),
            ("$arg_page", Some("{query.page}")),
            ("$ssl_client_s_dn", Some("{client_cert.subject}")),
            ("$status", None),
            ("%[src]", Some("{client_ip}")),
            ("%[req.hdr(X-Tenant)]", Some("{header.x-tenant}")),
            ("%[req.hdr(host)]", Some("{host}")),
            ("%{Host}", Some("{host}")),
            ("%{X-Tenant}i", Some("{header.x-tenant}")),
            ("%{side}C", Some("{cookie.side}")),
            ("%{X-Tenant}o", None),
            ("{env.NAME}", Some("${NAME}")),
            ("{$NAME}", Some("${NAME}")),
            ("{{ env \"NAME\" }}", Some("${NAME}")),
            ("%REQ(x-a)%", Some("{header.x-a}")),
            ("%REQ(:METHOD)%", Some("{method}")),
            ("%REQ(:PATH)%", Some("{path}?{query}")),
            ("%DOWNSTREAM_REMOTE_ADDRESS%", Some("{client_ip}")),
            ("%START_TIME%", Some("{time}")),
            ("%RESPONSE_CODE%", None),
            ("{http.request.host}", Some("{host}")),
            ("{http.request.header.X-Tenant}", Some("{header.x-tenant}")),
            ("{http.request.uri.query.page}", Some("{query.page}")),
            ("{http.request.uuid}", Some("{request_id}")),
            ("{{ .Request.Host }}", Some("{host}")),
            (
                "{{ .Request.Header.Get \"X-Tenant\" }}",
                Some("{header.x-tenant}"),
            ),
            ("$(headers.x)", Some("{header.x}")),
            ("$(uri_captures.id)", Some("{id}")),
        ] {
            let found = find(text, Place::Body).unwrap();
            assert_eq!(ours(found).as_deref(), expected, "{text}");
        }
        let replaced = |text| replaced(text, Place::Body);
        assert_eq!(replaced("a $host b").as_deref(), Some("a {host} b"));
        assert_eq!(
            replaced("https://$host$request_uri").as_deref(),
            Some("https://{host}{path}?{query}")
        );
        assert_eq!(replaced("$host $status"), None);
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
            assert_eq!(find(text, Place::Body), None, "{text}");
        }
    }
}
