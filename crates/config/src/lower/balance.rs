//! Load balancing of a service.

use waypost_plan::balance::{Balance, HashKey};

use crate::diagnostic::Code;
use crate::document::service::{Hash, HashBalance};
use crate::either::WordOr;
use crate::keys::At;
use crate::lower::split::{cookie_name, header_name, one_of};
use crate::problems::Problems;

/// Lowers `balance`.
pub(super) fn of(written: &At<WordOr<Balance, HashBalance>>, problems: &mut Problems) -> Balance {
    match &written.value {
        WordOr::Word(balance) => balance.clone(),
        WordOr::Mapping(given) => {
            let key = given.hash.as_ref().and_then(|hash| key(hash, problems));
            key.map_or_else(Balance::default, Balance::Hash)
        }
    }
}

/// Lowers `hash`.
fn key(written: &At<Hash>, problems: &mut Problems) -> Option<HashKey> {
    let given = &written.value;
    let keys = [
        ("header", given.header.as_ref().map(|header| header.key)),
        ("cookie", given.cookie.as_ref().map(|cookie| cookie.key)),
        (
            "client_ip",
            given.client_ip.as_ref().map(|client_ip| client_ip.key),
        ),
        ("path", given.path.as_ref().map(|path| path.key)),
    ];
    let misread = given
        .given
        .keys()
        .any(|given| keys.iter().any(|(key, _)| *key == given));
    one_of(written, &keys, misread, problems);
    for (name, flag) in [("client_ip", &given.client_ip), ("path", &given.path)] {
        if let Some(flag) = flag
            && !flag.value
        {
            problems
                .add(
                    Code::BadValue,
                    flag.span,
                    format!("`{name}` is `true` or not there"),
                )
                .help("leave it out if another value of the request is meant");
        }
    }
    if let Some(header) = &given.header {
        return header_name(header, problems).map(HashKey::Header);
    }
    if let Some(cookie) = &given.cookie {
        return cookie_name(cookie, problems).map(HashKey::Cookie);
    }
    match (&given.client_ip, &given.path) {
        (Some(_), _) => Some(HashKey::ClientIp),
        (None, Some(_)) => Some(HashKey::Path),
        (None, None) => None,
    }
}
