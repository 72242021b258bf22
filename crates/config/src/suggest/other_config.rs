//! Whole configs of other gateways: what they are, and the first route of theirs as one of ours.

use std::fmt::Write as _;

use crate::suggest::correction::{address, before_path, is_showable, plain};
use crate::suggest::shape;
use crate::tree::{Entry, Node, Value};

/// Maximum number of lines that are looked at.
const LINES_MAX: usize = 2000;

/// The beginning of a config in another gateway's own language, as far as it is understood.
#[derive(Default)]
struct Beginning<'t> {
    bind: Option<String>,
    host: Option<&'t str>,
    path: Option<String>,
    /// The address of the first server.
    server: Option<&'t str>,
    /// The destination of the first route.
    target: Option<&'t str>,
}

/// Returns the hint at a text that is no YAML, but a config of nginx, HAProxy or Caddy.
pub(crate) fn hint_at_text(text: &str) -> Option<String> {
    let lines = || text.lines().take(LINES_MAX).map(str::trim);
    let begins = |words: &[&str]| {
        lines().any(|line| {
            let first = line.split_ascii_whitespace().next().unwrap_or_default();
            words.contains(&first.trim_end_matches([';', '{']))
        })
    };
    let has_braces = lines().any(|line| line.ends_with('{'));
    let gateway = if has_braces && begins(&["proxy_pass", "location", "server_name", "upstream", "grpc_pass"])
    {
        "nginx"
    } else if begins(&[
        "reverse_proxy",
        "handle",
        "handle_path",
        "file_server",
        "php_fastcgi",
    ]) {
        "Caddy"
    } else if begins(&["frontend", "backend", "defaults", "global"])
        && begins(&["bind", "server", "mode", "timeout"])
    {
        "HAProxy"
    } else {
        return None;
    };
    let beginning = match gateway {
        "nginx" => of_nginx(lines()),
        "Caddy" => of_caddy(lines()),
        _ => of_haproxy(lines()),
    };
    Some(format!(
        "this is a config of {gateway}; one of Waypost is YAML, and begins like {}; docs/coming-from.md has both side by side",
        beginning
            .show()
            .unwrap_or_else(|| Beginning::default().show().unwrap_or_default())
    ))
}

impl Beginning<'_> {
    fn show(&self) -> Option<String> {
        let bind = self.bind.as_deref().unwrap_or("0.0.0.0:8080");
        let target = self.target.unwrap_or_default();
        let (scheme, rest) = target.split_once("://").unwrap_or(("http", target));
        let named = before_path(rest);
        // The name of a group of servers has no port and no dot.
        let is_address = named.contains(['.', ':']);
        let authority = match self.server {
            Some(server) if !is_address => server,
            _ if named.is_empty() => "10.0.0.11:8080",
            _ => named,
        };
        let mut conditions = Vec::new();
        if let Some(host) = self.host {
            conditions.push(format!("host: {}", plain(host)));
        }
        conditions.push(format!("path: {}", plain(self.path.as_deref().unwrap_or("/*"))));
        let text = format!(
            "`listeners: [{{ bind: {} }}]`, `services: {{ app: {{ endpoints: [{}] }} }}` and `routes: [{{ name: app, match: \
             {{ {} }}, to: app }}]`",
            plain(bind),
            plain(&format!("{scheme}://{authority}")),
            conditions.join(", ")
        );
        is_showable(&text.replace('`', "")).then_some(text)
    }
}

/// The words of a directive, without the `;` or `{` at its end.
fn words(line: &str) -> Vec<&str> {
    let line = line.split('#').next().unwrap_or_default();
    let line = line.trim().trim_end_matches([';', '{', '}']);
    line.split_ascii_whitespace().collect()
}

/// Notes the first of several.
fn first<T>(place: &mut Option<T>, value: Option<T>) {
    if place.is_none() {
        *place = value;
    }
}

fn of_nginx<'t>(lines: impl Iterator<Item = &'t str>) -> Beginning<'t> {
    let mut found = Beginning::default();
    for line in lines {
        match &*words(line) {
            ["listen", bind, ..] => first(&mut found.bind, address(bind, "0.0.0.0", 80)),
            ["server_name", host, ..] if *host != "_" => first(&mut found.host, Some(host)),
            ["server", server, ..] => first(&mut found.server, Some(server)),
            ["proxy_pass" | "grpc_pass", target, ..] => {
                first(
                    &mut found.target,
                    Some(*target).filter(|target| !target.contains('$')),
                );
            }
            ["location", path] if path.starts_with('/') => {
                first(&mut found.path, Some(format!("{}/*", path.trim_end_matches('/'))));
            }
            ["location", "=", path] => first(&mut found.path, Some((*path).to_owned())),
            ["location", "~", path] => first(&mut found.path, Some(format!("~{path}"))),
            ["location", "~*", path] => first(&mut found.path, Some(format!("~(?i){path}"))),
            _ => {}
        }
    }
    found
}

fn of_haproxy<'t>(lines: impl Iterator<Item = &'t str>) -> Beginning<'t> {
    let mut found = Beginning::default();
    for line in lines {
        let words = words(line);
        match &*words {
            ["bind", bind, ..] => first(&mut found.bind, address(bind, "0.0.0.0", 80)),
            ["server", _, server, ..] => first(&mut found.server, Some(server)),
            _ => {}
        }
        let behind = |word: &str| {
            let at = words.iter().position(|known| *known == word)?;
            words.get(at + 1).copied()
        };
        let prefix = behind("path_beg").filter(|path| path.starts_with('/'));
        first(
            &mut found.path,
            prefix.map(|path| format!("{}/*", path.trim_end_matches('/'))),
        );
    }
    found
}

fn of_caddy<'t>(lines: impl Iterator<Item = &'t str>) -> Beginning<'t> {
    let mut found = Beginning::default();
    for line in lines.filter(|line| !line.is_empty() && !line.starts_with('#')) {
        match &*words(line) {
            ["reverse_proxy", path, target, ..] if path.starts_with('/') => {
                first(&mut found.path, Some((*path).to_owned()));
                first(&mut found.target, Some(target));
            }
            ["reverse_proxy", target, ..] => first(&mut found.target, Some(target)),
            ["handle" | "handle_path" | "route", path, ..] if path.starts_with('/') => {
                first(&mut found.path, Some((*path).to_owned()));
            }
            [site, ..] if found.bind.is_none() && found.host.is_none() && found.target.is_none() => {
                let site = site.trim_end_matches(',');
                let (scheme, rest) = site.split_once("://").unwrap_or(("", site));
                match rest.strip_prefix(':') {
                    Some(_) => found.bind = address(rest, "0.0.0.0", 80),
                    None if rest.contains('.') => found.host = Some(before_path(rest)),
                    None if scheme == "http" => found.bind = Some("0.0.0.0:80".to_owned()),
                    None => {}
                }
            }
            _ => {}
        }
    }
    found
}

/// Returns the first route in a part of another gateway's config, as an item of `routes`.
pub(crate) fn first_route(entry: &Entry) -> Option<String> {
    route_in(&entry.key, &entry.value).filter(|route| is_showable(route))
}

fn route_in(name: &str, node: &Node) -> Option<String> {
    match &node.value {
        Value::Mapping(entries) => route_of(name, entries).or_else(|| {
            let mut entries = entries.iter();
            entries.find_map(|entry| route_in(&entry.key, &entry.value))
        }),
        Value::List(items) => items.iter().find_map(|item| route_in(name, item)),
        Value::Scalar(_) => None,
    }
}

/// The value of a key, whatever its case.
fn value<'n>(entries: &'n [Entry], key: &str) -> Option<&'n Node> {
    let entry = entries.iter().find(|entry| entry.key.eq_ignore_ascii_case(key));
    entry.map(|entry| &entry.value)
}

fn inner<'n>(node: &'n Node, key: &str) -> Option<&'n Node> {
    match &node.value {
        Value::Mapping(entries) => value(entries, key),
        Value::Scalar(_) | Value::List(_) => None,
    }
}

fn first_item(node: &Node) -> Option<&Node> {
    match &node.value {
        Value::List(items) => items.first(),
        Value::Scalar(_) | Value::Mapping(_) => None,
    }
}

/// Returns the route that a mapping says in the language of Traefik, Spring Cloud Gateway, Envoy, YARP or Kubernetes.
fn route_of(parent: &str, entries: &[Entry]) -> Option<String> {
    let of = |key: &str| value(entries, key);
    let text = |key: &str| of(key)?.written();
    let (matching, to) = if let Some(rule) = text("rule") {
        (shape::of_match_text(rule)?, text("service")?.to_owned())
    } else if let Some(Value::List(items)) = of("predicates").map(|node| &node.value) {
        (predicates(items)?, service_of(text("uri")?))
    } else if let (Some(matching), Some(route)) = (of("match"), of("route")) {
        let path =
            shape::value_with_type(matching).or_else(|| Some(inner(matching, "path")?.written()?.to_owned()));
        (path_alone(&path?), destination(route)?)
    } else if let (Some(matching), Some(cluster)) = (of("Match"), text("ClusterId")) {
        let path = inner(matching, "Path")?.written()?;
        let prefix = path.split_once("{*");
        let path = prefix.map_or_else(
            || path.to_owned(),
            |(prefix, _)| format!("{}/*", prefix.trim_end_matches('/')),
        );
        (path_alone(&path), cluster.to_owned())
    } else if let (Some(matches), Some(Value::List(refs))) =
        (of("matches"), of("backendRefs").map(|node| &node.value))
    {
        let path = shape::value_with_type(inner(first_item(matches)?, "path")?)?;
        (path_alone(&path), shape::split(refs)?)
    } else if let (Some(path), Some(backend)) = (text("path"), of("backend")) {
        let service = inner(inner(backend, "service")?, "name")?.written()?;
        let is_prefix = text("pathType") == Some("Prefix") && !path.contains(['(', '*', '|']);
        // The way in which the paths of a prefix are captured for `rewrite-target`.
        let captured = path.strip_suffix("(/|$)(.*)");
        let path = match captured.or(is_prefix.then_some(path)) {
            Some(prefix) => format!("{}/*", prefix.trim_end_matches('/')),
            None if path.contains(['(', '|']) => format!("~^{path}"),
            None => path.to_owned(),
        };
        (path_alone(&path), service.to_owned())
    } else {
        return None;
    };
    let to = match to.starts_with('{') {
        true => to,
        false => plain(&to).into_owned(),
    };
    let name = text("name").or_else(|| text("id")).unwrap_or(parent);
    let is_list = ["routes", "rules", "paths", "spec", "matches"].contains(&name);
    let name = if is_list || to.starts_with('{') && name == parent {
        "first"
    } else {
        name
    };
    Some(format!(
        "{{ name: {}, match: {matching}, to: {to} }}",
        plain(name)
    ))
}

fn path_alone(path: &str) -> String {
    format!("{{ path: {} }}", plain(path))
}

/// The name of a service for a URI of Spring Cloud Gateway.
fn service_of(uri: &str) -> String {
    match uri.split_once("://") {
        Some(("lb", name)) => before_path(name).to_owned(),
        _ => "app".to_owned(),
    }
}

/// Returns where a `route` of Envoy leads: a cluster, or several by weight.
pub(crate) fn destination(route: &Node) -> Option<String> {
    if let Some(cluster) = inner(route, "cluster") {
        return cluster.written().map(str::to_owned);
    }
    let weighted = inner(route, "weighted_clusters")?;
    match &inner(weighted, "clusters")?.value {
        Value::List(items) => shape::split(items),
        Value::Scalar(_) | Value::Mapping(_) => None,
    }
}

/// Returns the match that predicates of Spring Cloud Gateway mean, such as `Path=/orders/**`; `None` if there are others.
pub(crate) fn predicates(items: &[Node]) -> Option<String> {
    let mut keys: Vec<String> = Vec::new();
    for item in items {
        let (name, arguments) = item.written()?.split_once('=')?;
        let arguments: Vec<&str> = arguments.split(',').map(str::trim).collect();
        let listed = |values: &[String]| match values {
            [one] => plain(one).into_owned(),
            many => {
                let many: Vec<_> = many.iter().map(|value| plain(value)).collect();
                format!("[{}]", many.join(", "))
            }
        };
        let all: Vec<String> = arguments.iter().map(|value| (*value).to_owned()).collect();
        let paths = || -> Vec<String> {
            let paths = arguments.iter();
            paths.map(|path| path.replace("/**", "/*")).collect()
        };
        let pair = |key: &str| match &*arguments {
            [name] => Some(format!("{key}: {{ {}: true }}", plain(name))),
            [name, value] => Some(format!("{key}: {{ {}: {} }}", plain(name), plain(value))),
            _ => None,
        };
        keys.push(match name.trim() {
            "Path" => format!("path: {}", listed(&paths())),
            "Method" => format!("method: {}", listed(&all)),
            "Host" => {
                let hosts: Vec<String> = all.iter().map(|host| host.replace("**.", "*.")).collect();
                format!("host: {}", listed(&hosts))
            }
            "RemoteAddr" => format!("client_ip: {}", listed(&all)),
            "Header" => pair("headers")?,
            "Cookie" => pair("cookies")?,
            "Query" => pair("query")?,
            _ => return None,
        });
    }
    let mut text = String::new();
    for (at, key) in keys.iter().enumerate() {
        let _ = write!(text, "{}{key}", if at == 0 { "" } else { ", " });
    }
    let text = format!("{{ {text} }}");
    (!keys.is_empty() && is_showable(&text)).then_some(text)
}

/// Returns the keys that filters of Spring Cloud Gateway mean, such as `StripPrefix=1`, each in backticks; `None` if there
/// are others.
pub(crate) fn filters(items: &[Node]) -> Option<String> {
    let mut keys = Vec::new();
    for item in items {
        let (name, arguments) = item.written()?.split_once('=')?;
        let (first, second) = match arguments.split_once(',') {
            Some((first, second)) => (first.trim(), second.trim()),
            None => (arguments.trim(), ""),
        };
        let is_fixed = !arguments.contains(['{', '$']);
        let edit = |list: &str, edit: &str| {
            format!("{list}: {{ {edit}: {{ {}: {} }} }}", plain(first), plain(second))
        };
        keys.push(match name.trim() {
            "StripPrefix" => "rewrite: { prefix: / }".to_owned(),
            "PrefixPath" if is_fixed => format!("rewrite: {{ prefix: {} }}", plain(first)),
            "SetPath" if is_fixed => format!("rewrite: {{ path: {} }}", plain(first)),
            "RewritePath" => {
                let to = second.replace("$\\{", "${").replace("${", "$").replace('}', "");
                format!("rewrite: {{ regex: [{}, {}] }}", plain(first), plain(&to))
            }
            "AddRequestHeader" if is_fixed => edit("request_headers", "add"),
            "SetRequestHeader" if is_fixed => edit("request_headers", "set"),
            "RemoveRequestHeader" => format!("request_headers: {{ remove: [{}] }}", plain(first)),
            "AddResponseHeader" if is_fixed => edit("response_headers", "add"),
            "SetResponseHeader" if is_fixed => edit("response_headers", "set"),
            "RemoveResponseHeader" => format!("response_headers: {{ remove: [{}] }}", plain(first)),
            "RedirectTo" if is_fixed => format!("redirect: {{ status: {first}, url: {} }}", plain(second)),
            _ => return None,
        });
    }
    let is_fine = !keys.is_empty() && keys.iter().all(|key| is_showable(key));
    let keys: Vec<String> = keys.iter().map(|key| format!("`{key}`")).collect();
    is_fine.then(|| keys.join(" and "))
}

/// Returns the first service in a part of another gateway's config, as the value of `services`.
pub(crate) fn services(entry: &Entry) -> Option<String> {
    let (name, node) = match &entry.value.value {
        Value::Mapping(entries) => match entry.key.split_once(' ') {
            // `upstream backend` of nginx.
            Some((_, name)) => (name, &entry.value),
            None => entries.first().map(|first| (&*first.key, &first.value))?,
        },
        Value::List(items) => {
            let first = items.first()?;
            (
                inner(first, "name").or_else(|| inner(first, "id"))?.written()?,
                first,
            )
        }
        Value::Scalar(_) => return None,
    };
    let text = format!("{{ {}: {{ endpoints: {} }} }}", plain(name), endpoints(node)?);
    is_showable(&text).then_some(text)
}

/// Returns the first of the entry points of Traefik, as the value of `listeners`.
pub(crate) fn listener(entries: &[Entry]) -> Option<String> {
    let first = entries.first()?;
    let bind = address(inner(&first.value, "address")?.written()?, "0.0.0.0", 8080)?;
    let text = format!("[{{ name: {}, bind: {} }}]", plain(&first.key), plain(&bind));
    is_showable(&text).then_some(text)
}

/// Returns the URLs in the values of a mapping, as a list of endpoints: those with a scheme, and keys that are addresses.
pub(crate) fn endpoints(node: &Node) -> Option<String> {
    let mut found = Vec::new();
    collect(node, &mut found);
    let text = format!("[{}]", found.join(", "));
    (!found.is_empty() && found.len() <= 3 && is_showable(&text)).then_some(text)
}

fn collect(node: &Node, found: &mut Vec<String>) {
    let is_address = |text: &str| {
        let port = text
            .rsplit_once(':')
            .map(|(host, port)| (host, port.parse::<u16>()));
        matches!(port, Some((host, Ok(_))) if !host.is_empty() && !host.contains(['/', ' ']))
    };
    match &node.value {
        Value::Scalar(_) => match node.written() {
            Some(text) if text.starts_with("http://") || text.starts_with("https://") => {
                let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
                found.push(plain(&format!("{scheme}://{}", before_path(rest))).into_owned());
            }
            // nginx writes parameters behind it.
            Some(text) => {
                let text = text.split(' ').next().unwrap_or(text);
                if is_address(text) {
                    found.push(plain(&format!("http://{text}")).into_owned());
                }
            }
            None => {}
        },
        Value::List(items) => items.iter().for_each(|item| collect(item, found)),
        Value::Mapping(entries) => {
            for entry in entries.iter() {
                if is_address(&entry.key) {
                    found.push(plain(&format!("http://{}", entry.key)).into_owned());
                }
                collect(&entry.value, found);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::hint_at_text;

    #[test]
    fn texts_of_other_gateways_are_known() {
        for (text, parts) in [
            (
                "server {\n  listen 8081;\n  server_name a.example;\n  location /x/ {\n    proxy_pass http://10.0.0.1:80/;\n  }\n}\n",
                Some([
                    "nginx",
                    "bind: 0.0.0.0:8081",
                    "[http://10.0.0.1:80]",
                    "{ host: a.example, path: /x/* }",
                ]),
            ),
            (
                "upstream web {\n  server 10.0.0.7:81 weight=3;\n}\nserver {\n  location = /a { proxy_pass http://web; }\n}\n",
                Some([
                    "nginx",
                    "bind: 0.0.0.0:8080",
                    "[http://10.0.0.7:81]",
                    "{ path: /* }",
                ]),
            ),
            (
                ":8081\n\nreverse_proxy /api/* localhost:9000\n",
                Some([
                    "Caddy",
                    "bind: 0.0.0.0:8081",
                    "[http://localhost:9000]",
                    "{ path: /api/* }",
                ]),
            ),
            (
                "a.example {\n  reverse_proxy 10.0.0.1:80\n}\n",
                Some([
                    "Caddy",
                    "bind: 0.0.0.0:8080",
                    "[http://10.0.0.1:80]",
                    "{ host: a.example, path: /* }",
                ]),
            ),
            (
                "frontend www\n    bind *:81\n    acl api path_beg /api\nbackend b\n    server one 10.0.0.1:80 check\n",
                Some([
                    "HAProxy",
                    "bind: 0.0.0.0:81",
                    "[http://10.0.0.1:80]",
                    "{ path: /api/* }",
                ]),
            ),
            ("hello", None),
            ("routes orders", None),
        ] {
            let found = hint_at_text(text);
            assert_eq!(found.is_some(), parts.is_some(), "{text}");
            for part in parts.iter().flatten() {
                let found = found.as_deref().unwrap_or_default();
                assert!(found.contains(part), "{part} in {found}");
            }
        }
    }
}
