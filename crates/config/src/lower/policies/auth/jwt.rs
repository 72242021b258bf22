//! Tokens.

use std::time::Duration;

use waypost_plan::auth::Place;
use waypost_plan::auth::jwt::Jwt;
use waypost_plan::token::{Algorithm, KeySource, KeyUrl, TokenRules};

use super::{RESERVED, file, place};
use crate::collections::OneOrMany;
use crate::diagnostic::Code;
use crate::document::auth::JwtWay;
use crate::keys::At;
use crate::lower::{Context, header_name};
use crate::problems::{Problems, quote};
use crate::suggest::nearest;
use crate::values::Text;

/// The difference of clocks that is put up with where nothing is said.
const LEEWAY: Duration = Duration::from_secs(30);

/// The claim of groups where nothing is said.
const GROUPS: &str = "groups";

/// Names of claims or headers.
type Names = Box<[Box<str>]>;

/// Lowers the way of a token.
pub(super) fn way(written: &At<JwtWay>, context: &mut Context<'_>) -> Option<Jwt> {
    let given = &written.value;
    let places = [&given.header, &given.query, &given.cookie].map(|place| place.as_deref());
    let is_placed = given
        .given
        .keys()
        .any(|key| matches!(key, "header" | "query" | "cookie"));
    let place = match is_placed {
        // One that could not be read is reported already.
        true if places.iter().all(Option::is_none) => None,
        true => place(written.key, places, context.problems),
        false => Some(Place::Header(Jwt::HEADER.into())),
    };
    let keys = given.keys.as_ref().and_then(|keys| source(keys, context));
    let algorithms = match &given.algorithms {
        Some(names) => algorithms(&names.value, keys.as_ref(), context.problems),
        None => Algorithm::defaults(),
    };
    let (claims, headers) = claims(given, context.problems);
    let audience = given.audience.iter().flat_map(|audience| &audience.value.0);
    let audience = audience.map(|text| (*text.value).into()).collect();
    report_empty(given, context.problems);
    Some(Jwt {
        place: place?,
        keys: keys?,
        rules: TokenRules {
            issuer: given.issuer.as_ref().map(|issuer| (*issuer.value).into()),
            audience,
            algorithms,
            leeway: given.leeway.as_ref().map_or(LEEWAY, |leeway| leeway.value.0),
            require_exp: given.require_exp.as_ref().is_none_or(|require| require.value),
        },
        claims,
        headers,
        groups: given
            .groups
            .as_ref()
            .map_or_else(|| GROUPS.into(), |groups| (*groups.value).into()),
        forward: given.forward.as_ref().is_some_and(|forward| forward.value),
    })
}

/// The source of keys: a URL, or else a file.
fn source(written: &At<Text>, context: &mut Context<'_>) -> Option<KeySource> {
    let text = &*written.value;
    if text.contains("-----BEGIN") {
        context
            .problems
            .add(Code::BadValue, written.span, "the keys stand in a file, not here")
            .help("write the path of the file, such as `public.pem`");
        return None;
    }
    if !text.contains("://") {
        return file(written, "keys.json", context).map(KeySource::File);
    }
    if text.ends_with("/.well-known/openid-configuration") {
        context
            .problems
            .add(
                Code::BadValue,
                written.span,
                format!("{} is a document about the issuer, not its key set", quote(text)),
            )
            .help("write the URL that it has as `jwks_uri`, and what it has as `issuer` for `issuer`");
        return None;
    }
    match KeyUrl::parse(text) {
        Ok(url) => Some(KeySource::Url(url)),
        Err(error) => {
            let message = format!("{} is not the URL of a key set: {error}", quote(text));
            context
                .problems
                .add(Code::BadValue, written.span, message)
                .help("write `https://` and the place of the key set, which OIDC calls `jwks_uri`");
            None
        }
    }
}

fn algorithms(
    written: &OneOrMany<Text>,
    keys: Option<&KeySource>,
    problems: &mut Problems,
) -> Box<[Algorithm]> {
    let mut algorithms = Vec::new();
    for name in &written.0 {
        let Some(algorithm) = Algorithm::named(&name.value) else {
            report_algorithm(name, problems);
            continue;
        };
        if algorithm.is_symmetric() && matches!(keys, Some(KeySource::Url(_))) {
            let message = format!("{algorithm} has a secret, and one that can be fetched is none");
            problems
                .add(Code::BadValue, name.span, message)
                .help("let `keys` name a file with a key of `kty: oct`, or leave the algorithm out");
            continue;
        }
        if !algorithms.contains(&algorithm) {
            algorithms.push(algorithm);
        }
    }
    algorithms.into()
}

fn report_algorithm(name: &At<Text>, problems: &mut Problems) {
    let (text, names) = (&*name.value, Algorithm::ALL.map(Algorithm::name));
    let (message, help) = if text.eq_ignore_ascii_case("none") {
        (
            "a token without a signature proves nothing".to_owned(),
            "leave it out".to_owned(),
        )
    } else {
        let near = names
            .into_iter()
            .find(|known| known.eq_ignore_ascii_case(text))
            .or_else(|| nearest(text, names));
        let known = names.join(", ");
        (
            format!("{} is not an algorithm that is known here", quote(text)),
            near.map_or_else(
                || format!("one of {known}"),
                |near| format!("write `{near}`; there are {known}"),
            ),
        )
    };
    problems.add(Code::BadValue, name.span, message).help(help);
}

/// Claims, and the headers that they are written into.
fn claims(given: &JwtWay, problems: &mut Problems) -> (Names, Names) {
    let (mut claims, mut headers) = (Vec::new(), Vec::<Box<str>>::new());
    for (claim, header) in given.claims.iter().flat_map(|claims| &claims.value.0) {
        let Some(name) = header_name::of(header, problems) else {
            continue;
        };
        if RESERVED.contains(&&*name) || *name == *Jwt::HEADER {
            let message = format!("{} is no header for a claim", quote(&name));
            problems
                .add(Code::BadName, header.span, message)
                .help("choose another header, such as `x-user-id`");
            continue;
        }
        if headers.contains(&name) {
            let message = format!("two claims are written into {}", quote(&name));
            problems
                .add(Code::ConflictingKeys, header.span, message)
                .help("give each its own header");
            continue;
        }
        claims.push((**claim).into());
        headers.push(name);
    }
    (claims.into(), headers.into())
}

/// Reports texts that no token can have.
fn report_empty(given: &JwtWay, problems: &mut Problems) {
    let audiences = given.audience.iter().flat_map(|audience| &audience.value.0);
    let texts = [
        ("an issuer", given.issuer.as_deref()),
        ("the name of a claim", given.groups.as_deref()),
    ];
    let texts = texts.into_iter().filter_map(|(of, text)| Some((of, text?)));
    for (of, text) in texts.chain(audiences.map(|text| ("an audience", text))) {
        if text.value.is_empty() {
            problems
                .add(Code::BadValue, text.span, format!("{of} is not empty"))
                .help("write it as the tokens have it, or leave the key out");
        }
    }
}
