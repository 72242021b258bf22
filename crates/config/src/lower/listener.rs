//! Listeners.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use waypost_plan::listener::{Bind, BindAddress, Limits, Listener, ListenerTls};
use waypost_plan::redirect::Scheme;

use crate::diagnostic::Code;
use crate::document::{self, Document};
use crate::either::ListOr;
use crate::files::TlsFiles;
use crate::keys::At;
use crate::lower::endpoint::{self, EndpointError};
use crate::lower::pattern::Pattern;
use crate::lower::redirect::redirect;
use crate::lower::{Context, bytes, host, policies, redirect_loop, timeout, tls, trusted_proxies, whole};
use crate::place::Span;
use crate::problems::{Problems, quote};
use crate::suggest::correction;
use crate::values::Text;

/// Minimum of the timeouts.
const TIMEOUT_MIN: Duration = Duration::from_millis(1);

/// Keys about requests.
const OF_REQUESTS: [&str; 10] = [
    "redirect",
    "paths",
    "half_close",
    "scheme",
    "request_id",
    "request_headers",
    "response_headers",
    "cors",
    "auth",
    "errors",
];
/// Trust in what requests say.
const TRUST_IN_REQUESTS: [&str; 3] = ["hops", "header", "host"];
/// Limits for requests.
const LIMITS_OF_REQUESTS: [&str; 8] = [
    "header_bytes",
    "headers",
    "target_bytes",
    "keep_alive_timeout",
    "body_idle_timeout",
    "body_bytes",
    "body_rate",
    "underscores",
];

pub(super) fn add_all(document: &Document, context: &mut Context<'_>) {
    let listeners = document.listeners.iter().flat_map(|list| &list.value.0);
    // Addresses are unique. With port 0 every socket gets its own port, and names distinguish the listeners.
    let mut taken: HashMap<(BindAddress, Option<Text>), Span> = HashMap::new();
    let mut count = 0;
    for written in listeners {
        count += 1;
        if let Some(name) = &written.value.name {
            context
                .listeners
                .declare(&name.value, name.span, context.problems);
        }
        let layers = policies::layers_of(&written.value, context);
        let (mut listener, files) = listener(&written.value, context);
        if let Some(listener) = &mut listener {
            listener.policies = policies::of_listener(layers.as_ref(), context);
        }
        if listener.is_some_and(|listener| add(&written.value, listener, &mut taken, context)) {
            policies::add_listener(layers, context);
            context.files.listeners.push(files);
        } else {
            context.files.refused.push(files);
        }
    }
    if count == 0 {
        let span = document.listeners.as_ref().map(|list| list.span);
        // A misspelt or invalid `listeners`, or an invalid item, is reported already.
        if document.given.is_empty_list("listeners") || !context.problems.has_errors() {
            context
                .problems
                .add(
                    Code::NoListeners,
                    span.unwrap_or(Span::start_of(0)),
                    "there are no listeners",
                )
                .help("add `listeners: [{ bind: 0.0.0.0:8080 }]`");
        }
    }
}

/// Adds a listener to the plan; returns true if its address and name are free.
fn add(
    written: &document::listener::Listener,
    listener: Listener,
    taken: &mut HashMap<(BindAddress, Option<Text>), Span>,
    context: &mut Context<'_>,
) -> bool {
    let Some(bind) = &written.bind else {
        return false;
    };
    context.listeners.also(&bind.value, bind.span);
    let name = written.name.as_ref().map(|name| name.value.clone());
    let name = name.filter(|_| listener.bind.address.port() == Some(0));
    if let Some(first) = taken.insert((listener.bind.address.clone(), name), bind.span) {
        context
            .problems
            .add(
                Code::DuplicateName,
                bind.span,
                format!("a listener on {} is declared already", quote(&bind.value)),
            )
            .label(first, "first here")
            .help("give each listener its own address; one listener can serve many `hosts`");
        return false;
    }
    // Any other conflict is one of names, which is reported already.
    let added = context.builder.add_listener(listener.clone()).is_ok();
    if added {
        context.served.push(listener);
    }
    added
}

/// Lowers a listener, if its address is valid, and the files that it names in any case.
fn listener(
    written: &document::listener::Listener,
    context: &mut Context<'_>,
) -> (Option<Listener>, TlsFiles<Span>) {
    let (tls, files) = tls::of_listener(written, context);
    let redirect = written
        .redirect
        .as_ref()
        .and_then(|redirect| self::redirect(redirect, &[Pattern::everything()], context));
    let problems = &mut *context.problems;
    let hosts = written.hosts.iter().flat_map(|hosts| &hosts.value.0);
    let hosts = hosts.filter_map(|host| host::pattern(host, problems)).collect();
    let trusted_proxies = trusted_proxies::of(written.trusted_proxies.as_deref(), problems);
    let limits = written
        .limits
        .as_ref()
        .map(|limits| self::limits(&limits.value, problems));
    let bind = written.bind.as_ref().and_then(|bind| self::bind(bind, problems));

    let Some(bind) = bind else {
        return (None, files);
    };
    let mut listener = Listener::new(bind);
    listener.tls = tls;
    if let Some(proxy) = &written.proxy_protocol {
        let misread =
            written.trusted_proxies.is_none() && written.given.keys().any(|key| key == "trusted_proxies");
        let is_tcp = listener.bind.address.path().is_none();
        if is_tcp && trusted_proxies.from.is_empty() && !misread && !problems.has_errors() {
            problems
                .add(
                    Code::ConflictingKeys,
                    proxy.key,
                    "`proxy_protocol` has no effect without `trusted_proxies`",
                )
                .help("name the proxies in front as `trusted_proxies`");
        }
        listener.proxy_protocol = proxy.value;
    }
    if let Some(half_close) = &written.half_close {
        listener.half_close = half_close.value;
    }
    listener.request_id = written.request_id.as_ref().is_some_and(|id| id.value);
    listener.client_scheme = written.scheme.as_ref().map(|scheme| scheme.value);
    listener.redirect = redirect;
    listener.name = written.name.as_ref().map(|name| (*name.value).into());
    listener.hosts = hosts;
    listener.trusted_proxies = trusted_proxies;
    if let Some(limits) = limits {
        listener.limits = limits;
    }
    report_needless(written, &listener, problems);
    if let Some(paths) = &written.paths {
        if let Some(slash) = &paths.value.encoded_slash {
            listener.paths.encoded_slash = slash.value;
        }
        if let Some(slash) = &paths.value.double_slash {
            listener.paths.double_slash = slash.value;
        }
        if let Some(parameters) = &paths.value.dot_segment_parameters {
            listener.paths.dot_segment_parameters = parameters.value;
        }
    }
    (Some(listener), files)
}

/// Reports keys without effect.
fn report_needless(written: &document::listener::Listener, listener: &Listener, problems: &mut Problems) {
    if listener.tls == ListenerTls::Passthrough {
        let limits = written.limits.iter();
        let keys = written.given.places(&OF_REQUESTS);
        let trusted = written.trusted_proxies.as_ref();
        let trusted = trusted.and_then(|trusted| match &trusted.value {
            ListOr::List(_) => None,
            ListOr::Mapping(trusted) => Some(trusted.given.places(&TRUST_IN_REQUESTS)),
        });
        for span in keys
            .chain(trusted.into_iter().flatten())
            .chain(limits.flat_map(|limits| limits.value.given.places(&LIMITS_OF_REQUESTS)))
        {
            problems
                .add(
                    Code::ConflictingKeys,
                    span,
                    "a listener that passes TLS through sees no requests",
                )
                .help("leave it out");
        }
    }
    if let Some(scheme) = &written.scheme
        && listener.terminates_tls()
        && scheme.value == Scheme::Http
    {
        problems
            .add(
                Code::ConflictingKeys,
                scheme.key,
                "clients of a listener with `tls` use `https`",
            )
            .help("leave `scheme` out, or leave `tls` out");
    }
    if let (Some(redirect), Some(written)) = (&listener.redirect, &written.redirect)
        && listener.tls != ListenerTls::Passthrough
        && !problems.has_errors()
        && redirect_loop::of_listener(redirect, listener)
    {
        let help = match redirect.scheme {
            Some(Scheme::Https) => "put it on the listener in clear text",
            Some(Scheme::Http) => "put it on the listener under TLS",
            None => "lead to another scheme, host or path, or serve other `hosts`",
        };
        problems
            .add(
                Code::RedirectLoop,
                written.key,
                "the redirect leads every request of the listener back to its own URL",
            )
            .help(help);
    }
}

/// Lowers an address to listen on.
pub(super) fn bind(written: &At<Text>, problems: &mut Problems) -> Option<Bind> {
    let text = &*written.value;
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Some(Bind {
            text: text.into(),
            address: BindAddress::Tcp(address),
        });
    }
    if let Some(path) = text.strip_prefix("unix:") {
        return socket(path, written, problems);
    }
    if text.starts_with('/') && is_plain_socket(text) {
        problems
            .add(
                Code::BadBind,
                written.span,
                format!("{} is a path, and not an address to listen on", quote(text)),
            )
            .help(format!("write `unix:{text}`"))
            .propose(written.span, text, correction::plain(&format!("unix:{text}")));
        return None;
    }
    let (what, advice) = if text.contains("://") {
        ("has a scheme", "leave it out")
    } else if text.parse::<IpAddr>().is_ok_and(|address| address.is_ipv4()) {
        ("has no port", "add one")
    } else if text.trim_matches(['[', ']']).parse::<Ipv6Addr>().is_ok() {
        ("has no port", "add one, with the address in brackets")
    } else if text.trim_start_matches(['*', ':']).parse::<u16>().is_ok() {
        ("has no address", "for every IPv4 address")
    } else if let Some((host, port)) = text.rsplit_once(':')
        && port.parse::<u16>().is_ok()
        && host.parse::<IpAddr>().is_err()
    {
        ("has a name where an IP address belongs", "")
    } else {
        ("is not an address to listen on", "")
    };
    let help = match (correction::address(text, "0.0.0.0", 8080), advice) {
        (Some(address), "") => format!("write `{address}`"),
        (Some(address), "for every IPv4 address") => format!("write `{address}` {advice}"),
        (Some(address), _) => format!("{advice}: `{address}`"),
        (None, _) => match text.rsplit_once(':').map(|(_, port)| port.parse::<u16>()) {
            Some(Ok(port)) => {
                format!("write an IP address, such as `0.0.0.0:{port}`; the hosts to serve go into `hosts`")
            }
            _ => "write an IP address and a port, such as `0.0.0.0:8080`".to_owned(),
        },
    };
    problems
        .add(Code::BadBind, written.span, format!("{} {what}", quote(text)))
        .help(help);
    None
}

/// Lowers the path of a unix socket.
fn socket(path: &str, written: &At<Text>, problems: &mut Problems) -> Option<Bind> {
    let text = &*written.value;
    let Err(error) = endpoint::check_socket(path) else {
        return Some(Bind {
            text: text.into(),
            address: BindAddress::Unix(path.into()),
        });
    };
    let rest = format!("/{}", path.trim_start_matches('/'));
    let help = match error {
        EndpointError::SchemeOfSocket if is_plain_socket(&rest) => format!("write `unix:{rest}`"),
        _ => "write an absolute path such as `unix:/run/waypost.sock`".to_owned(),
    };
    problems
        .add(Code::BadBind, written.span, format!("{} {error}", quote(text)))
        .help(help);
    None
}

/// Returns true for the path of a socket that can be shown in a hint.
fn is_plain_socket(path: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && byte != b'`';
    path.bytes().all(is_plain) && endpoint::check_socket(path).is_ok()
}

fn limits(written: &document::listener::Limits, problems: &mut Problems) -> Limits {
    let mut limits = Limits::default();
    if let Some(size) = &written.header_bytes {
        limits.header_bytes = bytes(size, 1 << 10, 1 << 20, problems);
    }
    if let Some(number) = &written.headers {
        limits.headers = whole(number, 1, 10_000, problems);
    }
    if let Some(size) = &written.target_bytes {
        limits.target_bytes = bytes(size, 64, 1 << 20, problems);
    }
    for (field, time) in [
        (&mut limits.header_timeout, &written.header_timeout),
        (&mut limits.keep_alive_timeout, &written.keep_alive_timeout),
        (&mut limits.body_idle_timeout, &written.body_idle_timeout),
        (&mut limits.handshake_timeout, &written.handshake_timeout),
    ] {
        if let Some(time) = time {
            *field = timeout(time, TIMEOUT_MIN, problems);
        }
    }
    if let Some(size) = &written.body_bytes {
        limits.body_bytes = size.value.0;
    }
    if let Some(rate) = &written.body_rate {
        limits.body_rate = rate.value.0;
        if limits.body_rate == Some(0) {
            problems
                .add(Code::OutOfRange, rate.span, "a minimum rate of 0 is no minimum")
                .help("write `none` for no minimum, or a size per second such as `1KiB`");
        }
    }
    if let Some(number) = &written.connections {
        limits.connections = whole(number, 1, 10_000_000, problems);
    }
    if let Some(number) = &written.handshakes {
        limits.handshakes = whole(number, 1, 1_000_000, problems);
    }
    if let Some(underscores) = &written.underscores {
        limits.underscores = underscores.value;
    }
    // Only a configured limit is compared: a smaller head limit reduces the default for targets.
    if let Some(target) = &written.target_bytes
        && limits.target_bytes > limits.header_bytes
    {
        problems
            .add(
                Code::OutOfRange,
                target.span,
                "a target that is larger than a whole head can never come in",
            )
            .help(format!(
                "raise `header_bytes`, which is {}, or lower this",
                crate::size::format(limits.header_bytes as u64)
            ));
    }
    limits
}
