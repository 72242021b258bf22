//! Splits and their policies: sticky, force and mirror.

use std::time::Duration;

use waypost_plan::force::{Force, ForceKey};
use waypost_plan::mirror::Mirror;
use waypost_plan::service::ServiceId;
use waypost_plan::sticky::{SameSite, Sticky, StickyCookie, StickyKey};
use waypost_wire::token;

use crate::diagnostic::Code;
use crate::document;
use crate::either::{TextOr, To};
use crate::keys::At;
use crate::lower::effect::{Use, Uses};
use crate::lower::{Context, header_name, names};
use crate::numbers::Percent;
use crate::place::Span;
use crate::problems::{Problems, quote};
use crate::suggest::nearest;
use crate::values::Text;

/// Lowers the arms of a split, to be `used` so, to the services that exist, with their weights.
pub(super) fn arms(to: &To, used: Use, context: &mut Context<'_>) -> (Vec<ServiceId>, Vec<u64>) {
    let mut arms = Vec::new();
    let mut weights = Vec::new();
    let mut add = |name: &Text, span: Span, weight: u64| {
        if let Some(id) = resolve(name, span, used, context) {
            arms.push(id);
            weights.push(weight);
        }
    };
    match to {
        To::Service(name) => add(&name.value, name.span, 1),
        To::Split(split) => {
            for (name, weight) in &split.0 {
                add(name, weight.key, weight.value);
            }
        }
    }
    (arms, weights)
}

/// Returns the service with this name, which is `used` so, or reports that it does not exist.
pub(super) fn resolve(name: &Text, span: Span, used: Use, context: &mut Context<'_>) -> Option<ServiceId> {
    if !context.services.resolve_at(name, span, context.problems) {
        return None;
    }
    let uses = context.uses.entry(name.clone());
    uses.or_insert(Uses::new(used, span)).add(used);
    context.service_ids.get(name).copied()
}

/// Returns the names of the services of a split in order, including those that do not exist; then those whose weights
/// could not be read.
pub(super) fn names(to: &To) -> Vec<Text> {
    match to {
        To::Service(name) => vec![name.value.clone()],
        To::Split(split) => {
            let read = split.0.iter().map(|(name, _)| name);
            read.chain(split.1.iter().map(|(name, _)| name))
                .cloned()
                .collect()
        }
    }
}

/// Lowers `sticky`.
pub(super) fn sticky(route: &document::route::Route, context: &mut Context<'_>) -> Option<Sticky> {
    let written = route.sticky.as_ref()?;
    let given = &written.value;
    let problems = &mut *context.problems;
    let header = given.header.as_ref().map(|header| header.key);
    let cookie = given.cookie.as_ref().map(|cookie| cookie.key);
    let client_ip = given.client_ip.as_ref().map(|client_ip| client_ip.key);
    one_of(
        written,
        &[("header", header), ("cookie", cookie), ("client_ip", client_ip)],
        given
            .given
            .keys()
            .any(|key| matches!(key, "header" | "cookie" | "client_ip")),
        problems,
    );
    if let Some(deal) = &given.deal {
        names::check("deal", &deal.value, deal.span, problems);
    }
    if let Some(client_ip) = &given.client_ip
        && !client_ip.value
    {
        problems
            .add(
                Code::BadValue,
                client_ip.span,
                "`client_ip` is `true` or not there",
            )
            .help("leave it out if clients are not known by their address");
    }
    let key = match (&given.header, &given.cookie) {
        (Some(header), _) => StickyKey::Header(header_name(header, problems)?),
        (_, Some(cookie)) => StickyKey::Cookie(sticky_cookie(cookie, problems)?),
        _ => StickyKey::ClientIp,
    };
    Some(match &given.deal {
        Some(deal) => {
            context.deals.add(deal, &key, route);
            Sticky::of_deal(&context.split_key, &deal.value, key)
        }
        None => Sticky::new(&context.split_key, &route.name.as_ref()?.value, key),
    })
}

/// Lowers `force`, for one of `arms`.
pub(super) fn force(
    route: &document::route::Route,
    arms: &[Text],
    context: &mut Context<'_>,
) -> Option<Force> {
    let written = route.force.as_ref()?;
    let given = &written.value;
    let problems = &mut *context.problems;
    let header = given.header.as_ref().map(|header| header.key);
    let cookie = given.cookie.as_ref().map(|cookie| cookie.key);
    let misread = given.given.keys().any(|key| matches!(key, "header" | "cookie"));
    one_of(
        written,
        &[("header", header), ("cookie", cookie)],
        misread,
        problems,
    );
    let mut values = Vec::new();
    for (value, arm) in given.values.iter().flat_map(|values| &values.value.0) {
        match arms.iter().position(|known| *known == arm.value) {
            Some(at) => values.push(((&**value).into(), at)),
            // A missing `to` is reported already.
            None if route.to.is_none() => {}
            None => {
                let near = nearest(&arm.value, arms.iter().map(|arm| &**arm));
                problems
                    .add(
                        Code::UnknownService,
                        arm.span,
                        format!("{} is not a service of this route's `to`", quote(&arm.value)),
                    )
                    .help(match near {
                        Some(near) => format!("did you mean `{near}`?"),
                        None => "add it to `to`, with the weight 0 if it gets no other requests".to_owned(),
                    });
            }
        }
    }
    let key = match (&given.header, &given.cookie) {
        (Some(header), _) => ForceKey::Header(header_name(header, problems)?),
        (_, Some(cookie)) => ForceKey::Cookie(cookie_name(cookie, problems)?),
        _ => return None,
    };
    Some(Force { key, values })
}

/// Lowers `mirror`.
pub(super) fn mirror(route: &document::route::Route, context: &mut Context<'_>) -> Option<Mirror> {
    let given = &route.mirror.as_ref()?.value;
    if let (Some(percent), Some(fraction)) = (&given.percent, &given.fraction) {
        context
            .problems
            .add(
                Code::ConflictingKeys,
                fraction.key,
                "there is either `percent` or `fraction`",
            )
            .label(percent.key, "the other one")
            .help("keep one of them");
    }
    let (numerator, denominator) = match (&given.percent, &given.fraction) {
        (Some(percent), _) => (percent.value.0, Percent::ALL.0),
        (None, Some(fraction)) => share(&fraction.value, context.problems)?,
        (None, None) => (1, 1),
    };
    let to = given.to.as_ref()?;
    let id = resolve(&to.value, to.span, Use::Copies, context)?;
    Some(Mirror::new(id, numerator, denominator))
}

/// Lowers a fraction to numerator and denominator.
fn share(fraction: &document::route::Fraction, problems: &mut Problems) -> Option<(u64, u64)> {
    let numerator = fraction.numerator.as_ref()?;
    let denominator = fraction.denominator.as_ref().map_or(100, |written| written.value);
    if let Some(written) = &fraction.denominator
        && denominator == 0
    {
        problems
            .add(Code::OutOfRange, written.span, "the denominator is 0")
            .help("write a number of 1 or more");
        return None;
    }
    if numerator.value > denominator {
        problems
            .add(
                Code::OutOfRange,
                numerator.span,
                format!("{} of {denominator} is more than all", numerator.value),
            )
            .help("the numerator is at most the denominator");
        return None;
    }
    Some((numerator.value, denominator))
}

/// Reports if not exactly one of `keys` is given. `misread` is true if a key could not be read, which is reported
/// already.
pub(super) fn one_of<T>(
    written: &At<T>,
    keys: &[(&str, Option<Span>)],
    misread: bool,
    problems: &mut Problems,
) {
    let given: Vec<(&str, Span)> = keys
        .iter()
        .filter_map(|(name, span)| Some((*name, (*span)?)))
        .collect();
    let names: Vec<String> = keys.iter().map(|(name, _)| format!("`{name}`")).collect();
    match &given[..] {
        [] if misread => {}
        [] => {
            problems
                .add(Code::MissingKey, written.key, "a key is missing")
                .help(format!("add one of {}", names.join(", ")));
        }
        [_] => {}
        [(first, first_span), (second, second_span), ..] => {
            problems
                .add(
                    Code::ConflictingKeys,
                    *second_span,
                    format!("there is either `{first}` or `{second}`"),
                )
                .label(*first_span, "the other one")
                .help("keep one of them");
        }
    }
}

/// The name of a header that tells clients apart.
pub(super) fn header_name(written: &At<Text>, problems: &mut Problems) -> Option<Box<str>> {
    let name = header_name::of(written, problems)?;
    if &*name == "host" {
        problems
            .add(Code::BadName, written.span, "`host` is the same for all clients")
            .help("name a header that tells clients apart");
        return None;
    }
    Some(name)
}

pub(super) fn cookie_name(written: &At<Text>, problems: &mut Problems) -> Option<Box<str>> {
    if !token::is_token(written.value.as_bytes()) {
        problems
            .add(
                Code::BadName,
                written.span,
                format!("{} is not the name of a cookie", quote(&written.value)),
            )
            .help("a cookie's name has letters, digits, `-`, `_` and a few others");
        return None;
    }
    Some((&*written.value).into())
}

/// Maximum `Max-Age` of a cookie: 400 days, the limit of browsers (RFC 6265bis §5.5).
const MAX_AGE_MAX: Duration = Duration::from_secs(400 * 24 * 60 * 60);

fn sticky_cookie(
    written: &At<TextOr<document::route::StickyCookie>>,
    problems: &mut Problems,
) -> Option<StickyCookie> {
    let given = match &written.value {
        TextOr::Text(name) => {
            return Some(StickyCookie::named(cookie_name(name, problems)?));
        }
        TextOr::Mapping(given) => given,
    };
    let mut attribute = |text: &Option<Box<At<Text>>>, begins: &str, what: &str| {
        let written = text.as_ref()?;
        let value = &*written.value;
        let fits = |byte: u8| (b'!'..=b'~').contains(&byte) && !matches!(byte, b';' | b',');
        if value.is_empty() || !value.starts_with(begins) || !value.bytes().all(fits) {
            problems
                .add(
                    Code::BadValue,
                    written.span,
                    format!("{} is not {what}", quote(value)),
                )
                .help("it stands in a `Set-Cookie` header as it is written here");
            return None;
        }
        Some(Box::<str>::from(value))
    };
    let path = attribute(&given.path, "/", "the path of a cookie");
    let domain = attribute(&given.domain, "", "the domain of a cookie");
    let max_age = given
        .max_age
        .as_ref()
        .map(|age| super::duration_up_to(age, Duration::from_secs(1), MAX_AGE_MAX, problems));
    let same_site = given.same_site.as_ref().map(|same_site| same_site.value);
    let secure = given.secure.as_ref().map(|secure| secure.value);
    let name = given.name.as_ref()?;
    if let Some(written) = given.secure.as_ref().filter(|secure| !secure.value) {
        let reason = match same_site {
            Some(SameSite::None) => Some("browsers refuse a `SameSite=None` cookie that is not `Secure`"),
            _ if name.value.starts_with("__Host-") || name.value.starts_with("__Secure-") => {
                Some("browsers refuse a cookie of this name that is not `Secure`")
            }
            _ => None,
        };
        if let Some(reason) = reason {
            problems
                .add(Code::ConflictingKeys, written.key, reason)
                .help("leave `secure` out");
        }
    }
    if name.value.starts_with("__Host-")
        && (path.as_deref().is_some_and(|path| path != "/") || domain.is_some())
    {
        problems
            .add(
                Code::ConflictingKeys,
                name.span,
                "browsers refuse a `__Host-` cookie with a `domain`, or a `path` other than `/`",
            )
            .help("leave both out, or choose another name");
    }
    Some(StickyCookie {
        name: cookie_name(name, problems)?,
        path: path.unwrap_or("/".into()),
        max_age,
        domain,
        secure,
        http_only: given.http_only.as_ref().is_none_or(|http_only| http_only.value),
        same_site: same_site.unwrap_or_default(),
    })
}
