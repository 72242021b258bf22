//! Tokens in requests.

use std::time::Duration;

use waypost_auth::claims::Claims;
use waypost_auth::token::bearer;
use waypost_auth::token::live::Judgement;
use waypost_plan::auth::Place;
use waypost_plan::auth::jwt::Jwt;

use crate::auth::credentials::{self, Found};
use crate::auth::{Reason, Shown};
use crate::compiled::Compiled;
use crate::failure::Failure;
use crate::request::IncomingRequest;

/// The token that a request shows, and the client that it is about. Only a request that has not waited yet may wait for
/// other keys.
pub(super) fn shown(
    jwt: &Jwt,
    compiled: &Compiled,
    request: &IncomingRequest<'_>,
    now: Duration,
    may_wait: bool,
) -> Shown {
    let given = match credentials::at(&jwt.place, request) {
        Found::Nothing => return Shown::Nothing,
        Found::Several => return Shown::Failure(Failure::BadCredentials, Some(Reason::Several)),
        Found::One(given) => given,
    };
    let token = match &jwt.place {
        Place::Header(name) if **name == *Jwt::HEADER => bearer::of_authorization(&given),
        Place::Header(_) => bearer::of_header(&given),
        Place::Query(_) | Place::Cookie(_) => Some(&*given),
    };
    // Another scheme is the business of another way.
    let Some(token) = token else {
        return Shown::Nothing;
    };
    let keys = compiled.token_keys().keys(&jwt.keys);
    let Some(keys) = keys.as_deref().and_then(Option::as_ref) else {
        return Shown::Unknown;
    };
    match keys.judge(token, &jwt.rules, now, may_wait) {
        Judgement::Valid(verified) => Shown::Client(verified.client(&jwt.groups)),
        Judgement::Refused(refusal) => Shown::Failure(Failure::BadCredentials, Some(Reason::Token(refusal))),
        Judgement::NoKeys => Shown::Failure(Failure::AuthUnavailable, None),
        Judgement::Later => Shown::Unknown,
    }
}

/// Appends the lines of the claims that the service gets. One that is absent has no line.
pub(super) fn write_claims(jwt: &Jwt, claims: &Claims, out: &mut Vec<u8>) {
    for (claim, header) in jwt.claims.iter().zip(&jwt.headers) {
        if let Some(text) = claims.text(claim) {
            out.extend_from_slice(header.as_bytes());
            out.extend_from_slice(b": ");
            out.extend_from_slice(text.as_bytes());
            out.extend_from_slice(b"\r\n");
        }
    }
}

/// Appends the challenge (RFC 6750 §3). A request without a token learns no code of an error, and none learns why its token
/// is refused.
pub(super) fn write_challenge(failure: Failure, out: &mut Vec<u8>) {
    let error: &[u8] = match failure {
        Failure::NoCredentials => b"",
        Failure::BadCredentials => b", error=\"invalid_token\"",
        Failure::NotAllowed => b", error=\"insufficient_scope\"",
        _ => return,
    };
    out.extend_from_slice(b"www-authenticate: Bearer realm=\"api\"");
    out.extend_from_slice(error);
    out.extend_from_slice(b"\r\n");
}
