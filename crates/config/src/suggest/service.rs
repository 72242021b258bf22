//! Services for URLs that stand where a service is named.

use std::net::IpAddr;

use crate::suggest::correction::{before_path, is_showable, plain};

/// Returns the hint at a URL, or a host with a port, in place of the name of a service; `None` for anything else.
pub(crate) fn hint(text: &str) -> Option<String> {
    let (scheme, rest) = match text.split_once("://") {
        Some((scheme @ ("http" | "https" | "h2c"), rest)) => (scheme, rest),
        Some(("grpc", rest)) => ("h2c", rest),
        // Load balancers of Spring name a service.
        Some(("lb", rest)) => {
            return is_showable(rest)
                .then(|| format!("write `to: {}`, and declare it under `services`", plain(rest)));
        }
        Some(_) => return None,
        None => ("http", text),
    };
    let authority = before_path(rest);
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (authority, None),
    };
    let has_port = port.is_some_and(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
    let is_host = !host.is_empty()
        && host
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'));
    if !is_host || port.is_some() && !has_port || !text.contains("://") && !has_port {
        return None;
    }
    let first = host.split('.').next().unwrap_or(host);
    let name = match host {
        "localhost" => "app",
        _ if host.parse::<IpAddr>().is_ok() => "app",
        _ => first,
    };
    let path = rest[authority.len()..].trim_end_matches('/');
    let hint = format!(
        "add `{name}: {{ endpoints: [{}] }}` to `services`, and write `to: {name}`{}",
        plain(&format!("{scheme}://{authority}")),
        if path.is_empty() || !path.starts_with('/') {
            String::new()
        } else {
            format!("; the path goes into `rewrite: {{ prefix: {} }}`", plain(path))
        }
    );
    is_showable(path).then_some(hint)
}

#[cfg(test)]
mod tests {
    use super::hint;

    #[test]
    fn urls_become_a_line_of_services() {
        for (text, expected) in [
            (
                "http://localhost:3000",
                Some("add `app: { endpoints: [http://localhost:3000] }` to `services`, and write `to: app`"),
            ),
            (
                "https://orders.internal/v2/",
                Some(
                    "add `orders: { endpoints: [https://orders.internal] }` to `services`, and write `to: orders`; the path \
                    goes into `rewrite: { prefix: /v2 }`",
                ),
            ),
            (
                "10.0.0.1:80",
                Some("add `app: { endpoints: [http://10.0.0.1:80] }` to `services`, and write `to: app`"),
            ),
            (
                "lb://orders",
                Some("write `to: orders`, and declare it under `services`"),
            ),
            ("orders", None),
            ("orders.internal", None),
            ("ftp://a", None),
            ("http://", None),
            ("http://a:x", None),
        ] {
            assert_eq!(hint(text).as_deref(), expected, "{text}");
        }
    }
}
