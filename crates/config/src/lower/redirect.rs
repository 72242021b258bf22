//! Redirects, of routes and of listeners.

use waypost_plan::redirect::Redirect;
use waypost_wire::authority::Authority;

use crate::diagnostic::Code;
use crate::document;
use crate::keys::At;
use crate::lower::pattern::Pattern;
use crate::lower::rewrite::{Reader, path_rewrite};
use crate::lower::{Context, host, whole};
use crate::problems::{Problems, quote};
use crate::suggest::correction::plain;
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
            .help("add `scheme`, `host`, `port`, `prefix`, `path` or `regex`");
    }
    Some(Redirect {
        status: u16::try_from(status).ok()?,
        scheme: given.scheme.as_ref().map(|scheme| scheme.value),
        host: given.host.as_ref().map(|host| (*host.value).into()),
        port: port.and_then(|port| u16::try_from(port).ok()),
        path,
    })
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
