//! Redirects that lead every request back to its own URL.
//!
//! An error is a proof: what may differ for some request counts as different. Ports in `Host` do not count, nor do other
//! routes, which may take what would lead elsewhere.

use std::borrow::Cow;

use waypost_plan::listener::{Listener, ListenerTls};
use waypost_plan::path_pattern;
use waypost_plan::redirect::{Redirect, Scheme};
use waypost_plan::rewrite::PathRewrite;
use waypost_plan::trusted_proxies::MatchedHost;
use waypost_plan::value::{NoValues, ValueName};
use waypost_route::alternative::Alternative;
use waypost_route::attribute::{Attribute, AttributeCondition};
use waypost_route::host::HostPattern;
use waypost_route::overlap;
use waypost_route::path::PathPattern;
use waypost_wire::path::{DoubleSlash, PathOptions};

use crate::diagnostic::Code;
use crate::lower::Context;
use crate::place::Span;

/// Reports the redirect of a route that leads every request which the route takes back to its own URL.
pub(super) fn report_route(
    redirect: &Redirect,
    span: Span,
    alternatives: &[Alternative],
    context: &mut Context<'_>,
) {
    // After other mistakes, the listeners may not be those that are meant.
    if context.problems.errors() > context.redirect_loops || alternatives.is_empty() {
        return;
    }
    let mut options = context.path_options;
    let mut served = context.served.iter();
    if served.any(|listener| listener.paths.double_slash == DoubleSlash::Keep) {
        options.double_slash = DoubleSlash::Keep;
    }
    let led_back = alternatives.iter().filter_map(|alternative| {
        let ways = ways_of(alternative, &context.served);
        leads_back(redirect, ways, &alternative.path, options)
    });
    // A route without any requests does not loop.
    let mut led_back = led_back.peekable();
    let loops = led_back.peek().is_some() && led_back.all(|loops| loops);
    if loops {
        context.redirect_loops += 1;
        let help = match redirect.scheme {
            Some(scheme) => format!(
                "add `scheme: {}` to the match, or lead to another host or path",
                other(scheme).as_str()
            ),
            None => "lead to another scheme, host or path, or match others".to_owned(),
        };
        context
            .problems
            .add(
                Code::RedirectLoop,
                span,
                "the redirect leads every request that the route takes back to its own URL",
            )
            .help(help);
    }
}

/// A scheme with the hosts of requests that come in under it.
struct Way<'h> {
    scheme: Scheme,
    /// The host that the client asked for. It may be any where a proxy says so, whatever is matched.
    host: Cow<'h, HostPattern>,
}

/// Returns true if the redirect of a listener leads every request back to its own URL.
pub(super) fn of_listener(redirect: &Redirect, listener: &Listener) -> bool {
    let ways = ways_at(listener, &HostPattern::Any);
    leads_back(redirect, ways, &PathPattern::any(), listener.paths) == Some(true)
}

/// Returns true if `redirect` leads every request that comes in by one of these ways, with a path of this pattern, back to
/// its own URL; `None` if there is no way.
fn leads_back<'h>(
    redirect: &Redirect,
    ways: impl Iterator<Item = Way<'h>>,
    path: &PathPattern,
    options: PathOptions,
) -> Option<bool> {
    let mut ways = ways.peekable();
    ways.peek()?;
    Some(match &redirect.url {
        Some(url) => {
            let literal = url.as_literal();
            url.is_of_request() || literal.is_some_and(|url| ways.all(|way| is_own_url(url, &way, path)))
        }
        None => {
            redirect.query.keeps()
                && ways.all(|way| keeps_origin(redirect, &way))
                && keeps(&redirect.path, path, options)
        }
    })
}

fn keeps_origin(redirect: &Redirect, way: &Way<'_>) -> bool {
    let same_host = match &redirect.host {
        None => true,
        Some(to) => match to.as_literal() {
            Some(to) => HostPattern::parse(to).is_ok_and(|to| to == *way.host),
            None => to.sole_name() == Some(&ValueName::Host),
        },
    };
    same_host
        && redirect.scheme.is_none_or(|to| to == way.scheme)
        && redirect.port.is_none_or(|port| port == way.scheme.default_port())
}

/// Returns true if this is the URL of every request by this way and with such a path. A query that is dropped is no way
/// out: without it, the next request leads to its own URL.
fn is_own_url(url: &str, way: &Way<'_>, path: &PathPattern) -> bool {
    let Some((scheme, rest)) = url.split_once("://") else {
        return false;
    };
    let (authority, to) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let to = if to.is_empty() { "/" } else { to };
    let named = authority.split_once(':').map_or(authority, |(name, _)| name);
    let has_port = match authority.split_once(':') {
        Some((_, port)) => port.parse() == Ok(way.scheme.default_port()),
        None => true,
    };
    way.scheme.as_str() == scheme
        && has_port
        && HostPattern::parse(named).is_ok_and(|named| named == *way.host)
        && matches!(path, PathPattern::Exact(path) if **path == *to)
}

/// Returns true if the rewrite leaves every path of `pattern` as it is.
fn keeps(rewrite: &PathRewrite, pattern: &PathPattern, options: PathOptions) -> bool {
    let is_pattern = |text: String| path_pattern::parse(&text, options).is_ok_and(|same| same == *pattern);
    match (rewrite, pattern) {
        (PathRewrite::Keep, _) => true,
        (PathRewrite::Path(template), _) if template.sole_name() == Some(&ValueName::Path) => true,
        // What it leads to depends on the request.
        (PathRewrite::Prefix(template) | PathRewrite::Path(template), _)
            if !template
                .names()
                .all(|name| matches!(name, ValueName::Parameter(_))) =>
        {
            false
        }
        (_, PathPattern::Exact(path)) => {
            let mut to = Vec::new();
            let applied = rewrite.apply(path.as_bytes(), pattern, options, &NoValues, &mut to);
            applied.is_ok() && to == path.as_bytes()
        }
        (PathRewrite::Prefix(template), PathPattern::Open(_)) => {
            let text = template.to_string();
            is_pattern(format!("{}/*", text.strip_suffix('/').unwrap_or(&text)))
        }
        (PathRewrite::Path(template), PathPattern::Template(_)) => is_pattern(template.to_string()),
        // Without a match, nothing is replaced. Nothing is known of paths with `//`.
        (PathRewrite::Regex(replacement), _) if options.double_slash == DoubleSlash::Merge => {
            overlap::excludes(replacement.from(), pattern)
        }
        _ => false,
    }
}

/// The ways of the requests that `alternative` may take.
fn ways_of<'h>(alternative: &'h Alternative, listeners: &'h [Listener]) -> impl Iterator<Item = Way<'h>> {
    let fits = |attribute: Attribute, value: &str| {
        let mut conditions = alternative.attributes.iter();
        conditions.all(
            |AttributeCondition {
                 attribute: of,
                 value: wanted,
             }| { *of != attribute || wanted.holds(Some(value.as_bytes())) },
        )
    };
    let listeners = listeners.iter().filter(move |listener| {
        listener.tls != ListenerTls::Passthrough && fits(Attribute::Listener, listener.label())
    });
    listeners
        .flat_map(|listener| {
            let ways = ways_at(listener, &alternative.host);
            ways.filter_map(move |way| match &listener.redirect {
                None => Some(way),
                Some(redirect) => left_by(redirect, way),
            })
        })
        .filter(move |way| fits(Attribute::Scheme, way.scheme.as_str()))
}

/// The rest of a way behind the redirect of its listener, which passes the requests that it would lead back.
fn left_by<'h>(redirect: &Redirect, way: Way<'h>) -> Option<Way<'h>> {
    if !redirect.may_lead_back(way.scheme) {
        return None;
    }
    let Some(to) = redirect.host.as_ref().and_then(|to| to.as_literal()) else {
        return Some(way);
    };
    let to = HostPattern::parse(to).ok().filter(|to| to.overlaps(&way.host))?;
    let host = Cow::Owned(to);
    Some(Way { host, ..way })
}

/// The ways of the requests for hosts of `pattern` that come in by `listener`.
fn ways_at<'h>(listener: &'h Listener, pattern: &'h HostPattern) -> impl Iterator<Item = Way<'h>> {
    let proxies = &listener.trusted_proxies;
    let is_said = !proxies.from.is_empty() && proxies.host == MatchedHost::Requested;
    let any = listener.hosts.is_empty().then_some(pattern);
    let hosts = listener.hosts.iter().filter(|host| host.overlaps(pattern));
    // Of two that overlap, one covers the other.
    let hosts = hosts.map(move |host| {
        if breadth(host) < breadth(pattern) {
            host
        } else {
            pattern
        }
    });
    let schemes = listener.client_schemes().into_iter().flatten();
    schemes.flat_map(move |scheme| {
        any.into_iter().chain(hosts.clone()).map(move |host| Way {
            scheme,
            host: Cow::Borrowed(if is_said { &HostPattern::Any } else { host }),
        })
    })
}

/// A measure that is less for a pattern than for others that cover it.
fn breadth(pattern: &HostPattern) -> usize {
    match pattern {
        HostPattern::Exact(_) => 0,
        HostPattern::Wildcard(suffix) => usize::MAX - suffix.len(),
        HostPattern::Any => usize::MAX,
    }
}

fn other(scheme: Scheme) -> Scheme {
    match scheme {
        Scheme::Http => Scheme::Https,
        Scheme::Https => Scheme::Http,
    }
}
