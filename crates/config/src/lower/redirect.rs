//! Redirects, of routes and of listeners.

use waypost_plan::redirect::Redirect;
use waypost_plan::value::url::{UrlError, UrlTemplate};
use waypost_plan::value::{ValueName, ValueTemplate};
use waypost_wire::authority::Authority;

use crate::diagnostic::Code;
use crate::document;
use crate::keys::At;
use crate::lower::pattern::Pattern;
use crate::lower::rewrite::{Reader, path_rewrite};
use crate::lower::{Context, host, query, value, whole};
use crate::problems::{Problems, quote, warn_of_variable};
use crate::suggest::correction::{before_path, plain};
use crate::suggest::variable::{self, Place};
use crate::values::Text;

/// Lowers a redirect; `patterns` are those of the route.
pub(super) fn redirect(
    written: &At<document::route::Redirect>,
    patterns: &[Pattern],
    context: &mut Context<'_>,
) -> Option<Redirect> {
    let given = &written.value;
    let path = path_rewrite(
        [given.prefix.as_deref(), given.path.as_deref()],
        given.regex.as_deref(),
        patterns,
        Reader::Client,
        context,
    );
    let problems = &mut *context.problems;
    let status = given.status.as_ref().map_or(302, |status| status.value);
    if let Some(written) = &given.status
        && !matches!(status, 301 | 302 | 303 | 307 | 308)
    {
        problems
            .add(
                Code::OutOfRange,
                written.span,
                format!("{status} is not the status of a redirect"),
            )
            .help("301 and 308 are permanent, 302, 303 and 307 are not; 307 and 308 keep the method");
    }
    let host = given.host.as_deref();
    let host = host.and_then(|host| redirect_host(host, patterns, problems));
    let port = given.port.as_ref().map(|port| whole(port, 1, 65535, problems));
    if given.given.keys().all(|key| key == "status") {
        problems
            .add(
                Code::MissingKey,
                written.key,
                "the redirect leads back to where it came from",
            )
            .help("add `scheme`, `host`, `port`, `prefix`, `path`, `regex`, `query` or `url`");
    }
    let query = query::of(given.query.as_deref(), patterns, problems);
    let whole_url = given
        .url
        .as_deref()
        .and_then(|url| self::url(url, patterns, problems));
    if let Some(url) = &given.url {
        let others = ["scheme", "host", "port", "prefix", "path", "regex", "query"];
        if let Some(other) = given.given.places(&others).next() {
            problems
                .add(Code::ConflictingKeys, other, "`url` is the whole `Location`")
                .label(url.key, "the URL")
                .help("write it into the URL, or leave `url` out");
        }
    }
    Some(Redirect {
        status: u16::try_from(status).ok()?,
        scheme: given.scheme.as_ref().map(|scheme| scheme.value),
        host,
        port: port.and_then(|port| u16::try_from(port).ok()),
        path,
        query: query.simplified(),
        url: whole_url,
    })
}

/// Lowers a whole `Location`: a scheme, and what every client takes for a URL.
fn url(written: &At<Text>, patterns: &[Pattern], problems: &mut Problems) -> Option<UrlTemplate> {
    let text = &*written.value;
    let errors = problems.errors();
    let template = match value::template(written, Place::Url, patterns, problems) {
        Ok(template) => template.map_text(value::encoded_braces),
        Err(error) => {
            value::report_brace(&error, "a URL", Code::BadRewrite, written, problems);
            return None;
        }
    };
    if problems.errors() > errors {
        return None;
    }
    let fault = match parsed_url(&template) {
        Ok(url) => {
            warn_of_variable(text, written.span, Place::Url, problems);
            return Some(url);
        }
        Err(fault) => fault,
    };
    let found = variable::find(text, Place::Url);
    let meant = found.and_then(|_| variable::replaced(text, Place::Url));
    let meant = meant.filter(|meant| {
        let template = ValueTemplate::parse(meant).map(|meant| meant.map_text(value::encoded_braces));
        template.is_ok_and(|template| parsed_url(&template).is_ok())
    });
    let help = match found {
        Some(found) => variable::hint_at(text, found, Place::Url, meant.as_deref()),
        None => fault.to_owned(),
    };
    problems
        .add(
            Code::BadRewrite,
            written.span,
            format!("{} is not a URL", quote(text)),
        )
        .help(help)
        .propose_if(written.span, text, meant);
    None
}

/// The URL that a template gives, or a hint at what is wrong with it.
fn parsed_url(template: &ValueTemplate) -> Result<UrlTemplate, &'static str> {
    let sample = template.sampled(|name| match name {
        ValueName::Scheme => "https",
        ValueName::Path => "/",
        _ => "1",
    });
    let scheme = sample.split_once("://").filter(|(scheme, _)| {
        let mut bytes = scheme.bytes();
        bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic())
            && bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'))
    });
    let is_odd = |c: char| !c.is_ascii_graphic() || "\"<>\\^`|".contains(c);
    match scheme {
        None if sample.starts_with('/') => Err("a path alone goes into `path`"),
        None => Err("write the whole URL, such as `https://www.example.com/moved`"),
        Some((_, rest)) if host::authority(before_path(rest)).is_err() => Err("a host follows the scheme"),
        Some(_) if sample.contains(is_odd) => {
            Err("percent-encode characters that are not allowed in a URL, a space as `%20`")
        }
        Some(_) => UrlTemplate::new(template).map_err(|error| match error {
            UrlError::Query => "write a `?` in front of `{query}`",
            UrlError::NoScheme => "write the whole URL, such as `https://{host}{path}`",
        }),
    }
}

/// Lowers the host of a `Location`, whose scheme and port have keys of their own.
fn redirect_host(written: &At<Text>, patterns: &[Pattern], problems: &mut Problems) -> Option<ValueTemplate> {
    let text = &*written.value;
    let (bare, what) = match text.split_once("://") {
        Some((_, bare)) => (bare, "has a scheme and a port"),
        None => (text, "has a port"),
    };
    let sample = ValueTemplate::parse(bare).map_or_else(|_| bare.to_owned(), |host| host.filled_with("x"));
    let Ok(Authority { port: Some(port), .. }) = host::authority(&sample) else {
        return host::portless_template(written, patterns, problems);
    };
    let host = bare.rsplit_once(':').map_or(bare, |(host, _)| host);
    let help = match port {
        0 => format!("write `host: {}`", plain(host)),
        _ => format!("write `host: {}` and `port: {port}`", plain(host)),
    };
    problems
        .add(Code::BadHost, written.span, format!("{} {what}", quote(text)))
        .help(help);
    None
}
