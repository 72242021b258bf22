//! Rate limits that are written as other gateways do.

use crate::suggest::correction::{is_showable, plain};

/// Words for the keys of limits, in lower case, with the ones that are meant.
const KEYS: [(&str, &str); 35] = [
    ("ip", "client_ip"),
    ("client", "client_ip"),
    ("address", "client_ip"),
    ("remote_addr", "client_ip"),
    ("remote_address", "client_ip"),
    ("$remote_addr", "client_ip"),
    ("$binary_remote_addr", "client_ip"),
    ("{http.request.remote.host}", "client_ip"),
    ("{remote_host}", "client_ip"),
    ("src", "client_ip"),
    ("source", "client_ip"),
    ("source_ip", "client_ip"),
    ("forwarded_ip", "client_ip"),
    ("ipstrategy", "client_ip"),
    ("ip_strategy", "client_ip"),
    ("consumer", "identity"),
    ("consumer_name", "identity"),
    ("consumer_group", "identity"),
    ("credential", "identity"),
    ("user", "identity"),
    ("principal", "identity"),
    ("sub", "identity"),
    ("subject", "identity"),
    ("$remote_user", "identity"),
    ("jwt", "identity"),
    ("service", "route"),
    ("path", "route"),
    ("global", "route"),
    ("all", "route"),
    ("none", "route"),
    ("$server_name", "route"),
    ("$host", "route"),
    ("header", "{ header: x-tenant }"),
    ("headers", "{ header: x-tenant }"),
    ("cookie", "{ cookie: session }"),
];

/// Units of time, with the length that is meant.
const UNITS: [(&str, &str); 21] = [
    ("s", "1s"),
    ("sec", "1s"),
    ("second", "1s"),
    ("seconds", "1s"),
    ("m", "1m"),
    ("min", "1m"),
    ("minute", "1m"),
    ("minutes", "1m"),
    ("h", "1h"),
    ("hr", "1h"),
    ("hour", "1h"),
    ("hours", "1h"),
    ("d", "24h"),
    ("day", "24h"),
    ("days", "24h"),
    ("1d", "24h"),
    ("w", "168h"),
    ("week", "168h"),
    ("month", "720h"),
    ("year", "8760h"),
    ("1y", "8760h"),
];

fn of_table(text: &str, table: &[(&str, &'static str)]) -> Option<&'static str> {
    let mut all = table.iter();
    all.find(|(word, _)| word.eq_ignore_ascii_case(text))
        .map(|(_, meant)| *meant)
}

/// Returns the value of `by` that `text` means, as YAML.
pub(crate) fn key(text: &str) -> Option<String> {
    if let Some(meant) = of_table(text, &KEYS) {
        return Some(meant.to_owned());
    }
    let lower = text.to_ascii_lowercase();
    let name = match lower.split_once(['_', '.', ':']) {
        Some(("$http" | "header" | "request.header", name)) => {
            return named("header", &name.replace('_', "-"));
        }
        Some(("$cookie" | "cookie", name)) => return named("cookie", name),
        _ if lower.starts_with("x-") || lower == "authorization" => lower,
        _ => return None,
    };
    named("header", &name)
}

fn named(key: &str, name: &str) -> Option<String> {
    let yaml = format!("{{ {key}: {} }}", plain(name));
    (!name.is_empty() && is_showable(&yaml)).then_some(yaml)
}

/// Returns the time that a unit means.
pub(crate) fn period(text: &str) -> Option<&'static str> {
    of_table(text, &UNITS)
}

/// Returns the limit that `text` means, such as `10r/s`, as YAML.
pub(crate) fn limit(text: &str) -> Option<String> {
    let parameter = |name: &str| text.split_whitespace().find_map(|word| word.strip_prefix(name));
    let rate = parameter("rate=").unwrap_or_else(|| text.split_whitespace().next().unwrap_or_default());
    let digits = rate.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = rate.split_at(digits);
    let requests: u32 = number.parse().ok().filter(|number| *number > 0)?;
    let unit = unit
        .strip_prefix('r')
        .filter(|unit| unit.starts_with('/'))
        .unwrap_or(unit);
    let per = match unit.trim_start_matches(['/', '-', '_']) {
        "" => "1s",
        "rps" | "ps" | "rs" => "1s",
        "rpm" | "pm" => "1m",
        "rph" | "ph" => "1h",
        unit => period(unit.trim_start_matches("per").trim_start_matches('_'))?,
    };
    let burst = parameter("burst=").and_then(|burst| burst.parse::<u32>().ok());
    let burst = burst.map_or_else(String::new, |burst| {
        format!(", burst: {}", burst.saturating_add(1))
    });
    Some(format!("{{ requests: {requests}, per: {per}{burst} }}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_of_other_gateways_are_read() {
        for (text, expected) in [
            ("10r/s", Some("{ requests: 10, per: 1s }")),
            ("300r/m", Some("{ requests: 300, per: 1m }")),
            (
                "zone=web:10m rate=10r/s burst=20 nodelay",
                Some("{ requests: 10, per: 1s, burst: 21 }"),
            ),
            ("100/minute", Some("{ requests: 100, per: 1m }")),
            ("5/h", Some("{ requests: 5, per: 1h }")),
            ("50rps", Some("{ requests: 50, per: 1s }")),
            ("10", Some("{ requests: 10, per: 1s }")),
            ("1000 per day", Some("{ requests: 1000, per: 1s }")),
            ("0r/s", None),
            ("fast", None),
            ("", None),
            ("10 parsecs", Some("{ requests: 10, per: 1s }")),
            ("10/parsec", None),
        ] {
            assert_eq!(limit(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn keys_of_other_gateways_are_read() {
        for (text, expected) in [
            ("$binary_remote_addr", Some("client_ip")),
            ("Consumer", Some("identity")),
            ("$http_x_api_key", Some("{ header: x-api-key }")),
            ("$cookie_session", Some("{ cookie: session }")),
            ("X-Api-Key", Some("{ header: x-api-key }")),
            ("header", Some("{ header: x-tenant }")),
            ("clientip", None),
        ] {
            assert_eq!(key(text).as_deref(), expected, "{text}");
        }
    }
}
