//! Matches of routes.

use std::collections::HashMap;

use waypost_plan::path_pattern;
use waypost_route::alternative::Alternative;
use waypost_route::attribute::{Attribute, AttributeCondition};
use waypost_route::condition::{FieldCondition, ValueCondition};
use waypost_route::host::HostPattern;
use waypost_route::path::PathPattern;
use waypost_route::regex::Regex;
use waypost_route::request::is_refused_method;
use waypost_wire::token;

use crate::collections::{Named, OneOrMany};
use crate::diagnostic::Code;
use crate::document;
use crate::document::route::Match;
use crate::keys::At;
use crate::lower::pattern::{self, Pattern, report_regex};
use crate::lower::{Context, entrance, host, network};
use crate::place::Span;
use crate::problems::{Problems, quote};
use crate::suggest::correction::{accepted, plain};
use crate::tree::Origin;
use crate::values::{OriginText, Text, ValueText};

/// The lowered matches of a route.
pub(super) struct Matching {
    /// One for each host and path of each `match`.
    pub(super) alternatives: Vec<Alternative>,
    /// Parallel to the alternatives.
    pub(super) spans: Vec<Span>,
    /// The path patterns, one for each path of each `match`, to check rewrites against.
    pub(super) patterns: Vec<Pattern>,
}

/// The kinds of named values of a request.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Field {
    Header,
    Query,
    Cookie,
}

pub(super) fn of(route: &document::route::Route, name: Span, context: &mut Context<'_>) -> Matching {
    let mut matching = Matching {
        alternatives: Vec::new(),
        spans: Vec::new(),
        patterns: Vec::new(),
    };
    let Some(written) = &route.matching else {
        matching.alternatives.push(Alternative::default());
        matching.spans.push(name);
        matching.patterns.push(Pattern {
            pattern: PathPattern::any(),
            span: name,
            written: false,
        });
        return matching;
    };
    let passes = route.passthrough.is_some();
    for one in &written.value.0 {
        add_alternatives(one, passes, &mut matching, context);
    }
    matching
}

fn add_alternatives(written: &At<Match>, passes: bool, matching: &mut Matching, context: &mut Context<'_>) {
    let given = &written.value;
    let mut alternative = Alternative::default();
    if let (Some(grpc), Some(path)) = (&given.grpc, &given.path) {
        context
            .problems
            .add(Code::ConflictingKeys, path.key, "a call of gRPC has its own path")
            .label(grpc.key, "the call")
            .help("leave `path` out, or match the path and `content-type` instead of `grpc`");
    }
    let mut paths: Vec<At<PathPattern>> = Vec::new();
    if let Some(written) = &given.path {
        for path in &written.value.0 {
            if let Some(pattern) = pattern::pattern(path, context) {
                matching.patterns.push(Pattern {
                    pattern: pattern.clone(),
                    span: path.span,
                    written: true,
                });
                paths.push(path.with(pattern));
            }
        }
    } else {
        if let Some(grpc) = &given.grpc
            && let Some(pattern) = grpc_path(grpc, context)
        {
            alternative.path = pattern;
        }
        matching.patterns.push(Pattern {
            pattern: alternative.path.clone(),
            span: given.grpc.as_ref().map_or(written.span, |grpc| grpc.span),
            written: given.grpc.is_some(),
        });
    }
    let listeners = given
        .listener
        .as_ref()
        .map(|listeners| entrance::listeners(listeners, context));
    entrance::report_closed(given, listeners.as_deref(), passes, context);
    let asked = context.asks_clients;
    let problems = &mut *context.problems;
    if let Some(methods) = &given.method {
        for method in &methods.value.0 {
            check_method(method, problems);
        }
        let names = methods.value.0.iter().map(|method| (*method.value).into());
        alternative.methods = names.collect();
        report_refused_methods(methods, problems);
    }
    let mut headers = conditions(Field::Header, given.headers.as_deref(), problems);
    if let Some(grpc) = &given.grpc {
        headers.extend(grpc_condition());
        if let Some(methods) = &given.method
            && !methods.value.0.iter().any(|method| &*method.value == "POST")
        {
            problems
                .add(
                    Code::ImpossibleMatch,
                    methods.key,
                    "calls of gRPC are POST requests",
                )
                .label(grpc.key, "the call")
                .help("leave `method` out");
        }
    }
    let mut attributes = Vec::new();
    if let Some(certificate) = &given.client_cert {
        attributes = certificate_conditions(certificate, asked, problems);
    }
    attributes.extend(entrance::conditions(given, listeners.as_deref()));
    alternative.attributes = attributes.into();
    alternative.headers = headers.into();
    alternative.cookies = conditions(Field::Cookie, given.cookies.as_deref(), problems).into();
    alternative.query = conditions(Field::Query, given.query.as_deref(), problems).into();
    let clients = given.client_ip.iter().flat_map(|clients| &clients.value.0);
    alternative.client_ips = clients
        .filter_map(|client| network::network(client, problems))
        .collect();
    let hosts: Option<Vec<At<HostPattern>>> = given.host.as_ref().map(|hosts| {
        let hosts = hosts.value.0.iter();
        hosts
            .filter_map(|host| {
                let pattern = host::pattern(host, context.problems)?;
                report_unserved(&pattern, host, listeners.as_deref(), context);
                Some(host.with(pattern))
            })
            .collect()
    });
    let paths = given.path.as_ref().map(|_| paths);
    if !context.alternatives.allow(hosts.as_deref(), paths.as_deref()) {
        context
            .problems
            .add(
                Code::OutOfRange,
                written.span,
                format!(
                    "hosts and paths together make more alternatives than the {ALTERNATIVES_MAX} that a config may have"
                ),
            )
            .help("use a wildcard for the hosts, or a prefix or regex for the paths");
        return;
    }
    matching.add(&alternative, written.span, hosts.as_deref(), paths.as_deref());
}

impl Matching {
    /// Adds an alternative for each path of each host; both are as in `alternative` if they are not given.
    fn add(
        &mut self,
        alternative: &Alternative,
        span: Span,
        hosts: Option<&[At<HostPattern>]>,
        paths: Option<&[At<PathPattern>]>,
    ) {
        let whole = alternative.clone();
        let hosts = hosts.map_or_else(
            || vec![(&whole.host, None)],
            |hosts| hosts.iter().map(|host| (&host.value, Some(host.span))).collect(),
        );
        let paths = paths.map_or_else(
            || vec![(&whole.path, None)],
            |paths| paths.iter().map(|path| (&path.value, Some(path.span))).collect(),
        );
        for (host, host_span) in &hosts {
            for (path, path_span) in &paths {
                self.alternatives.push(Alternative {
                    host: (*host).clone(),
                    path: (*path).clone(),
                    ..alternative.clone()
                });
                // The place that tells it from the others.
                let path_span = path_span.filter(|_| paths.len() > 1);
                self.spans.push(path_span.or(*host_span).unwrap_or(span));
            }
        }
    }
}

/// The number of alternatives that lists of hosts and paths multiply to.
#[derive(Debug, Default)]
pub(super) struct AlternativeCount(usize);

/// Maximum number of alternatives of lists of hosts and paths together. A few lines could multiply to millions.
const ALTERNATIVES_MAX: usize = 1_000_000;

impl AlternativeCount {
    /// Counts the alternatives of two lists; returns false if there are too many.
    fn allow<H, P>(&mut self, hosts: Option<&[H]>, paths: Option<&[P]>) -> bool {
        if let (Some(hosts), Some(paths)) = (hosts, paths)
            && hosts.len() > 1
            && paths.len() > 1
        {
            self.0 = self.0.saturating_add(hosts.len().saturating_mul(paths.len()));
        }
        self.0 <= ALTERNATIVES_MAX
    }
}

/// Warns of a host that no listener serves.
fn report_unserved(
    pattern: &HostPattern,
    written: &At<Text>,
    listeners: Option<&[Box<str>]>,
    context: &mut Context<'_>,
) {
    let mut ways_in = entrance::ways_in(listeners, context).peekable();
    if ways_in.peek().is_some()
        && !ways_in.any(|listener| {
            listener.hosts.is_empty() || listener.hosts.iter().any(|host| host.overlaps(pattern))
        })
    {
        let none = match listeners {
            None => "no listener serves",
            Some(_) => "its listeners do not serve",
        };
        drop(ways_in);
        context
            .problems
            .add(
                Code::UnreachableRoute,
                written.span,
                format!("{none} {}", quote(&written.value)),
            )
            .help("add it to the `hosts` of a listener");
    }
}

/// Checks a method.
pub(super) fn check_method(written: &At<Text>, problems: &mut Problems) {
    let method = &*written.value;
    if method == "*" || !token::is_token(method.as_bytes()) {
        problems
            .add(
                Code::BadCondition,
                written.span,
                format!("{} is not a method", quote(method)),
            )
            .help(if method == "*" {
                "leave `method` out to take every method"
            } else {
                "write one method, such as `GET`, or a list of them"
            });
    } else if method.starts_with('!') {
        problems
            .add(
                Code::ForeignValue,
                written.span,
                format!(
                    "{} is a method of that name: nothing is negated by `!`",
                    quote(method)
                ),
            )
            .help("list the methods that are meant, or let a route with the others take them");
    } else if method.bytes().any(|byte| byte.is_ascii_lowercase()) {
        let problem = problems.add(
            Code::LowerCaseMethod,
            written.span,
            format!(
                "methods are compared with case, and clients do not send {}",
                quote(method)
            ),
        );
        match method.to_ascii_uppercase() {
            upper if is_refused_method(&upper) => {
                problem.help(format!("requests with `{upper}` never reach a route"))
            }
            upper => match accepted(upper, |_| Ok::<(), ()>(())) {
                Some(upper) => {
                    problem
                        .help(format!("write `{upper}`"))
                        .mend(written.span, method, plain(&upper))
                }
                None => problem.help("write it in upper case"),
            },
        };
    }
}

/// Reports methods that never reach a route.
fn report_refused_methods(written: &At<OneOrMany<Text>>, problems: &mut Problems) {
    let methods = &written.value.0;
    if !methods.is_empty() && methods.iter().all(|method| is_refused_method(&method.value)) {
        let names: Vec<String> = methods.iter().map(|method| quote(&method.value)).collect();
        problems
            .add(
                Code::ImpossibleMatch,
                written.span,
                format!(
                    "no request matches: the gateway responds to {} itself, with 501",
                    names.join(" and ")
                ),
            )
            .help("remove this match; CONNECT and TRACE are never forwarded");
    }
}

fn conditions(
    field: Field,
    written: Option<&At<Named<ValueText>>>,
    problems: &mut Problems,
) -> Vec<FieldCondition> {
    let mut seen: HashMap<Box<str>, Span> = HashMap::new();
    let mut conditions = Vec::new();
    for (name, value) in written.iter().flat_map(|named| &named.value.0) {
        if !check_name(field, name, value.key, problems) {
            continue;
        }
        let name: Box<str> = match field {
            Field::Header => name.to_ascii_lowercase().into(),
            Field::Query | Field::Cookie => (**name).into(),
        };
        if let Some(first) = seen.insert(name.clone(), value.key) {
            problems
                .add(
                    Code::DuplicateKey,
                    value.key,
                    format!("the header {} has two conditions", quote(&name)),
                )
                .label(first, "first here")
                .help("names of headers are compared without case; a regex can hold several conditions");
        }
        if field == Field::Header {
            warn_of_credential(&name, value, problems);
        }
        if let Some(value) = value_condition(field, value, problems) {
            conditions.push(FieldCondition { name, value });
        }
    }
    conditions
}

/// Lowers a gRPC call to its path: `/package.Service/Method`.
fn grpc_path(written: &At<document::route::Grpc>, context: &mut Context<'_>) -> Option<PathPattern> {
    let given = &written.value;
    if given.given.keys().next().is_none() {
        context
            .problems
            .add(Code::MissingKey, written.key, "the call may be any")
            .help("add `service` or `method`");
    }
    for (name, dots) in [(&given.service, true), (&given.method, false)] {
        let Some(name) = name else { continue };
        let is_part =
            |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        let is_name = match dots {
            true => name.value.split('.').all(is_part),
            false => is_part(&name.value),
        };
        if !is_name {
            context
                .problems
                .add(
                    Code::BadCondition,
                    name.span,
                    format!("{} is not a name of gRPC", quote(&name.value)),
                )
                .help(if dots {
                    "write the full name of the service, such as `shop.Orders`"
                } else {
                    "write the name of the method alone, such as `Get`"
                });
            return None;
        }
    }
    let service = given.service.as_ref().map(|name| &*name.value);
    let method = given.method.as_ref().map(|name| &*name.value);
    let text = match (service, method) {
        (Some(service), Some(method)) => format!("/{service}/{method}"),
        (Some(service), None) => format!("/{service}/*"),
        (None, Some(method)) => format!("/{{service}}/{method}"),
        (None, None) => return None,
    };
    path_pattern::parse(&text, context.path_options).ok()
}

/// Returns the condition that distinguishes calls of gRPC and gRPC-Web from other requests.
fn grpc_condition() -> Option<FieldCondition> {
    let regex = Regex::new(r"(?i)^application/grpc(-web(-text)?)?([+; ]|$)").ok()?;
    Some(FieldCondition {
        name: "content-type".into(),
        value: ValueCondition::Matches(regex),
    })
}

/// Lowers conditions on a client's certificate.
fn certificate_conditions(
    written: &At<document::route::ClientCert>,
    asked: bool,
    problems: &mut Problems,
) -> Vec<AttributeCondition> {
    let given = &written.value;
    let wants = |value: &Option<Box<At<ValueText>>>| {
        value
            .as_ref()
            .is_some_and(|value| !matches!(value.value, ValueText::Absent))
    };
    if !asked && (wants(&given.subject) || wants(&given.san)) {
        problems
            .add(
                Code::ImpossibleMatch,
                written.key,
                "no listener asks clients for a certificate",
            )
            .help("add `client_auth: { ca: clients.crt }` to the `tls` of a listener");
    }
    if given.given.keys().next().is_none() {
        problems
            .add(Code::MissingKey, written.key, "the certificate may be any")
            .help("add `subject` or `san`; `san: true` for any certificate that has one");
    }
    let mut conditions = Vec::new();
    if let Some(subject) = &given.subject
        && let Some(value) = value_condition(Field::Header, subject, problems)
    {
        conditions.push(AttributeCondition {
            attribute: Attribute::ClientCertificateSubject,
            value,
        });
    }
    if let Some(san) = &given.san
        && let Some(value) = value_condition(Field::Header, san, problems)
    {
        conditions.push(AttributeCondition {
            attribute: Attribute::ClientCertificateSan,
            value: any_of_list(value),
        });
    }
    conditions
}

/// Returns a condition on any element of a list. The values of an attribute are joined by `, `, and no alternative name
/// contains a comma.
fn any_of_list(value: ValueCondition) -> ValueCondition {
    match &value {
        ValueCondition::Equals(text) => {
            let regex = format!("(?:^|, )(?:{})(?:$|, )", regex_escaped(text));
            Regex::new(&regex).map_or(value, ValueCondition::Matches)
        }
        _ => value,
    }
}

/// Escapes `text` for a regex.
fn regex_escaped(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        if c.is_ascii_punctuation() {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

/// Reports an invalid name of a field; returns true if it is valid.
fn check_name(field: Field, name: &str, span: Span, problems: &mut Problems) -> bool {
    let (what, help) = match field {
        Field::Header if name.eq_ignore_ascii_case("host") => (
            "the host is not matched as a header".to_owned(),
            "use `host:`, beside `headers`, which knows wildcards and ignores ports",
        ),
        Field::Header if !token::is_token(name.as_bytes()) => (
            format!("{} is not the name of a header", quote(name)),
            if name.starts_with(':') {
                "use `host`, `path` and `method` of the match"
            } else {
                "a header's name has letters, digits, `-` and a few others"
            },
        ),
        Field::Cookie if name.is_empty() || name.contains(['=', ';']) || name.trim() != name => (
            format!("{} is not the name of a cookie", quote(name)),
            "a cookie's name has no `=`, no `;` and no blanks around it",
        ),
        Field::Header | Field::Query | Field::Cookie => return true,
    };
    problems.add(Code::BadCondition, span, what).help(help);
    false
}

/// Headers that carry credentials.
const CREDENTIALS: [&str; 8] = [
    "authorization",
    "proxy-authorization",
    "x-api-key",
    "api-key",
    "apikey",
    "x-access-token",
    "x-auth-key",
    "x-auth-token",
];

/// Warns of a condition on a credential: all readers of the configuration have it, and it is compared as any text.
fn warn_of_credential(name: &str, written: &At<ValueText>, problems: &mut Problems) {
    if !CREDENTIALS.contains(&name) || !matches!(written.value, ValueText::Text(_) | ValueText::Regex(_)) {
        return;
    }
    problems
        .add(
            Code::PlainCredential,
            written.span,
            format!("the header {} carries a credential, which is compared as any text here", quote(name)),
        )
        .help("use `auth`: a key by its hash, `key: { header: x-api-key, file: keys }`, or one of the other ways");
}

fn value_condition(field: Field, written: &At<ValueText>, problems: &mut Problems) -> Option<ValueCondition> {
    let OriginText { text, origin } = match &written.value {
        ValueText::Present => return Some(ValueCondition::Present),
        ValueText::Absent => return Some(ValueCondition::Absent),
        ValueText::Regex(regex) => {
            return match Regex::new(regex) {
                Ok(regex) => Some(ValueCondition::Matches(regex)),
                Err(error) => {
                    report_regex(&error, written.span, problems);
                    None
                }
            };
        }
        ValueText::Text(written) => written,
    };
    if *origin != Origin::Variable && text.starts_with('!') {
        problems
            .add(
                Code::ForeignValue,
                written.span,
                format!("the condition holds for the text {}: nothing is negated by `!`", quote(text)),
            )
            .help("write `false` for an absent value; what is to be left out takes a route of its own, with this value");
    }
    if text.is_empty() {
        problems
            .add(
                Code::EmptyCondition,
                written.span,
                "the condition holds for an empty value",
            )
            .help("write `true` for any value, or `false` for none");
    }
    let impossible = match field {
        Field::Header if !token::is_field_value(text.as_bytes()) => {
            Some("the values of headers have no control characters, and blanks around them do not count")
        }
        Field::Cookie if text.contains(';') || text.trim_ascii_end() != &**text => {
            Some("the values of cookies end before `;`, and blanks behind them do not count")
        }
        Field::Cookie if text.contains(|c: char| c.is_ascii_control() && c != '\t') => {
            Some("the values of cookies have no control characters")
        }
        Field::Header | Field::Query | Field::Cookie => None,
    };
    if let Some(why) = impossible {
        problems
            .add(
                Code::ImpossibleMatch,
                written.span,
                format!("no request has the value {}", quote(text)),
            )
            .help(why);
        return None;
    }
    Some(ValueCondition::Equals((**text).into()))
}
