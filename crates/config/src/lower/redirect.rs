//! Redirects, of routes and of listeners.

use waypost_plan::redirect::Redirect;
use waypost_wire::authority::Authority;

use crate::diagnostic::Code;
use crate::document;
use crate::keys::At;
use crate::lower::pattern::Pattern;
use crate::lower::rewrite::{Reader, path_rewrite};
use crate::lower::{Context, host, query, whole};
use crate::problems::{Problems, quote};
use crate::suggest::correction::{before_path, plain};
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
    if let Some(host) = &given.host {
        check_redirect_host(host, problems);
    }
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
    let query = query::of(given.query.as_deref(), problems);
    if let Some(url) = &given.url {
        check_url(url, problems);
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
        host: given.host.as_ref().map(|host| (*host.value).into()),
        port: port.and_then(|port| u16::try_from(port).ok()),
        path,
        query,
        url: given.url.as_ref().map(|url| (*url.value).into()),
    })
}

/// Checks a whole `Location`: a scheme, and what every client takes for a URL.
fn check_url(written: &At<Text>, problems: &mut Problems) {
    let text = &*written.value;
    if query::refuse_braces(text, written.span, problems) {
        return;
    }
    let scheme = text.split_once("://").filter(|(scheme, _)| {
        let mut bytes = scheme.bytes();
        bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic())
            && bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'))
    });
    let is_odd = |c: char| !c.is_ascii_graphic() || "\"<>\\^`|".contains(c);
    let help = match scheme {
        None if text.starts_with('/') => "a path alone goes into `path`",
        None => "write the whole URL, such as `https://www.example.com/moved`",
        Some((_, rest)) if host::authority(before_path(rest)).is_err() => "a host follows the scheme",
        Some(_) if text.contains(is_odd) => {
            "percent-encode characters that are not allowed in a URL, a space as `%20`"
        }
        Some(_) => return,
    };
    problems
        .add(
            Code::BadRewrite,
            written.span,
            format!("{} is not a URL", quote(text)),
        )
        .help(help);
}

/// Checks the host of a `Location`, whose scheme and port have keys of their own.
fn check_redirect_host(written: &At<Text>, problems: &mut Problems) {
    let text = &*written.value;
    let (bare, what) = match text.split_once("://") {
        Some((_, bare)) => (bare, "has a scheme and a port"),
        None => (text, "has a port"),
    };
    let Ok(Authority { port: Some(port), .. }) = host::authority(bare) else {
        return host::check_portless(written, problems);
    };
    let host = bare.rsplit_once(':').map_or(bare, |(host, _)| host);
    let help = match port {
        0 => format!("write `host: {}`", plain(host)),
        _ => format!("write `host: {}` and `port: {port}`", plain(host)),
    };
    problems
        .add(Code::BadHost, written.span, format!("{} {what}", quote(text)))
        .help(help);
}
