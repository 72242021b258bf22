//! Redirects that lead every request back to its own URL.
//!
//! An error is a proof: what may differ for some request counts as different. Ports in `Host` do not count.

use waypost_plan::listener::{Listener, ListenerTls};
use waypost_plan::path_pattern;
use waypost_plan::redirect::{Redirect, Scheme};
use waypost_plan::rewrite::PathRewrite;
use waypost_plan::value::{NoValues, ValueName};
use waypost_route::alternative::Alternative;
use waypost_route::attribute::{Attribute, AttributeCondition};
use waypost_route::host::HostPattern;
use waypost_route::path::PathPattern;
use waypost_wire::path::PathOptions;

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
    if context.problems.has_errors() || alternatives.is_empty() {
        return;
    }
    let loops = alternatives.iter().all(|alternative| {
        let schemes = schemes_of(alternative, &context.served);
        leads_back(
            redirect,
            &schemes,
            &alternative.host,
            &alternative.path,
            context.path_options,
        )
    });
    if loops {
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

/// Returns true if the redirect of a listener leads every request back to its own URL.
pub(super) fn of_listener(redirect: &Redirect, listener: &Listener) -> bool {
    let schemes: Vec<Scheme> = listener.client_schemes().into_iter().flatten().collect();
    let loops = |host| leads_back(redirect, &schemes, host, &PathPattern::any(), listener.paths);
    match &*listener.hosts {
        [] => loops(&HostPattern::Any),
        hosts => hosts.iter().all(loops),
    }
}

/// Returns true if `redirect` leads every request with one of these schemes, and with a host and a path of these patterns,
/// back to its own URL.
fn leads_back(
    redirect: &Redirect,
    schemes: &[Scheme],
    host: &HostPattern,
    path: &PathPattern,
    options: PathOptions,
) -> bool {
    let same_scheme = |scheme: &Scheme| redirect.scheme.is_none_or(|to| to == *scheme);
    let same_port = |scheme: &Scheme| redirect.port.is_none_or(|port| port == scheme.default_port());
    let same_host = match &redirect.host {
        None => true,
        Some(to) => match to.as_literal() {
            Some(to) => HostPattern::parse(to).is_ok_and(|to| to == *host),
            None => to.sole_name() == Some(&ValueName::Host),
        },
    };
    if let Some(url) = &redirect.url {
        let is_own = url
            .as_literal()
            .is_some_and(|url| is_own_url(url, schemes, host, path));
        return (is_own || url.is_of_request()) && !schemes.is_empty();
    }
    redirect.query.keeps()
        && !schemes.is_empty()
        && schemes
            .iter()
            .all(|scheme| same_scheme(scheme) && same_port(scheme))
        && same_host
        && keeps(&redirect.path, path, options)
}

/// Returns true if this is the URL of every request with such a scheme, host and path. A query that is dropped is no way
/// out: without it, the next request leads to its own URL.
fn is_own_url(url: &str, schemes: &[Scheme], host: &HostPattern, path: &PathPattern) -> bool {
    let Some((scheme, rest)) = url.split_once("://") else {
        return false;
    };
    let (authority, to) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let to = if to.is_empty() { "/" } else { to };
    let named = authority.split_once(':').map_or(authority, |(name, _)| name);
    let has_port = |scheme: &Scheme| match authority.split_once(':') {
        Some((_, port)) => port.parse() == Ok(scheme.default_port()),
        None => true,
    };
    schemes.iter().all(|own| own.as_str() == scheme && has_port(own))
        && HostPattern::parse(named).is_ok_and(|named| named == *host)
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
        _ => false,
    }
}

/// The schemes of the clients whose requests `alternative` may take; none if there is no way in.
fn schemes_of(alternative: &Alternative, listeners: &[Listener]) -> Vec<Scheme> {
    let fits = |attribute: Attribute, value: &str| {
        let mut conditions = alternative.attributes.iter();
        conditions.all(
            |AttributeCondition {
                 attribute: of,
                 value: wanted,
             }| { *of != attribute || wanted.holds(Some(value.as_bytes())) },
        )
    };
    let listeners = listeners.iter().filter(|listener| {
        let serves =
            listener.hosts.is_empty() || listener.hosts.iter().any(|host| host.overlaps(&alternative.host));
        serves && listener.tls != ListenerTls::Passthrough && fits(Attribute::Listener, listener.label())
    });
    let schemes = listeners.flat_map(|listener| {
        let schemes = listener.client_schemes().into_iter().flatten();
        schemes.filter(|scheme| {
            let redirect = listener.redirect.as_ref();
            redirect.is_none_or(|redirect| redirect.may_lead_back(*scheme))
        })
    });
    schemes
        .filter(|scheme| fits(Attribute::Scheme, scheme.as_str()))
        .collect()
}

fn other(scheme: Scheme) -> Scheme {
    match scheme {
        Scheme::Http => Scheme::Https,
        Scheme::Https => Scheme::Http,
    }
}
