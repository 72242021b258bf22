//! Rewrites of the cookies that services set.

use waypost_plan::set_cookie::{SetCookie, Twice};
use waypost_plan::sticky::SameSite;
use waypost_wire::authority::Authority;

use crate::diagnostic::Code;
use crate::document;
use crate::keys::At;
use crate::problems::{Problems, quote};
use crate::suggest::correction::before_path;
use crate::values::Text;

/// Lowers `set_cookie`; reports and leaves out what is not allowed.
pub(super) fn of(written: &At<&document::route::SetCookie>, problems: &mut Problems) -> SetCookie {
    let given = written.value;
    if given.given.keys().next().is_none() {
        problems
            .add(
                Code::MissingKey,
                written.span,
                "nothing of the cookies is rewritten",
            )
            .help("add one of `path`, `domain`, `secure`, `http_only` and `same_site`");
    }
    let mut rules = SetCookie::of_flags(
        given.secure.as_ref().map(|secure| secure.value),
        given.http_only.as_ref().map(|http_only| http_only.value),
        given.same_site.as_ref().map(|same_site| same_site.value),
    );
    for (key, named, example) in [
        ("path", &given.path, "{ /: /shop }"),
        ("domain", &given.domain, "{ orders.internal: example.com }"),
    ] {
        if let Some(named) = named
            && named.value.0.is_empty()
            && named.value.1.is_empty()
        {
            problems
                .add(Code::EmptyList, named.span, "the mapping is empty")
                .help(format!("add one, such as `{key}: {example}`"));
        }
    }
    for (from, to) in given.path.iter().flat_map(|paths| &paths.value.0) {
        let are_paths = is_path(&to.with(from.clone()), true, problems) & is_path(to, false, problems);
        if are_paths {
            report_twice(rules.replace_path(from, &to.value), from, to, problems);
        }
    }
    for (from, to) in given.domain.iter().flat_map(|domains| &domains.value.0) {
        let is_gone = to.value.is_empty();
        let are_domains =
            is_domain(&to.with(from.clone()), true, problems) & (is_gone || is_domain(to, false, problems));
        if are_domains {
            report_twice(rules.replace_domain(from, &to.value), from, to, problems);
        }
    }
    if let Some(same_site) = &given.same_site
        && same_site.value == SameSite::None
    {
        match &given.secure {
            Some(secure) if secure.value => {}
            Some(secure) => {
                problems
                    .add(
                        Code::ConflictingKeys,
                        secure.key,
                        "browsers refuse a `SameSite=None` cookie that is not `Secure`",
                    )
                    .label(same_site.key, "all cookies are made so here")
                    .help("write `secure: true`");
            }
            None => {
                problems
                    .add(
                        Code::NoEffect,
                        same_site.key,
                        "browsers refuse a `SameSite=None` cookie that is not `Secure`",
                    )
                    .help("add `secure: true`");
            }
        }
    }
    rules
}

/// Checks a path, which is the name of its entry or the value.
fn is_path(written: &At<Text>, is_name: bool, problems: &mut Problems) -> bool {
    let text = &*written.value;
    let fits = |byte: u8| (b'!'..=b'~').contains(&byte) && !matches!(byte, b';' | b',' | b'*');
    if text.starts_with('/') && text.bytes().all(fits) {
        return true;
    }
    let help = if let Some(prefix) = text.strip_suffix("/*").filter(|_| text.starts_with('/')) {
        let prefix = if prefix.is_empty() { "/" } else { prefix };
        format!("write `{prefix}`, which covers all below it")
    } else if text.starts_with('~') || text.starts_with('^') {
        "paths of cookies are compared as text: write the beginning, such as `/shop`".to_owned()
    } else {
        "it begins with `/`, and stands in a `Set-Cookie` header as it is written here".to_owned()
    };
    let span = if is_name { written.key } else { written.span };
    problems
        .add(
            Code::BadValue,
            span,
            format!("{} is not the path of a cookie", quote(text)),
        )
        .help(help);
    false
}

/// Checks a domain, likewise.
fn is_domain(written: &At<Text>, is_name: bool, problems: &mut Problems) -> bool {
    let text = &*written.value;
    let is_host = |text: &str| {
        let host = text.strip_prefix('.').unwrap_or(text).as_bytes();
        !host.starts_with(b".")
            && Authority::parse(host).is_ok_and(|host| host.port.is_none())
            && !host.contains(&b':')
    };
    if is_host(text) {
        return true;
    }
    let bare = text.split_once("://").map_or(text, |(_, rest)| before_path(rest));
    let bare = bare.rsplit_once(':').map_or(bare, |(host, _)| host);
    let bare = bare.strip_prefix("*.").unwrap_or(bare);
    let help = match is_host(bare) {
        true if text.starts_with("*.") => {
            format!("write `{bare}`: a cookie of a domain is for all hosts below it, too")
        }
        true => format!("write `{bare}`: cookies know neither scheme nor port"),
        false if !text.is_ascii() => "write international names in their `xn--` form".to_owned(),
        false => "write the name of a host, such as `example.com`".to_owned(),
    };
    let span = if is_name { written.key } else { written.span };
    problems
        .add(
            Code::BadHost,
            span,
            format!("{} is not the domain of a cookie", quote(text)),
        )
        .help(help);
    false
}

fn report_twice(result: Result<(), Twice>, from: &str, to: &At<Text>, problems: &mut Problems) {
    if result.is_err() {
        problems
            .add(
                Code::DuplicateName,
                to.key,
                format!("{} is replaced already, written in another way", quote(from)),
            )
            .help("keep one of them");
    }
}
