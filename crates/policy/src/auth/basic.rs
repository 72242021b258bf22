//! Names and passwords of a request.

use waypost_auth::basic::{self, Pair};
use waypost_auth::identity::Identity;
use waypost_plan::auth::basic::Basic;

use super::credentials::{self, Found};
use crate::compiled::Compiled;
use crate::request::IncomingRequest;

/// The name and password that a request carries.
pub enum Carried {
    /// None: no `authorization`, or one of another scheme.
    Nothing,
    /// Several lines, or none that is well-formed.
    Malformed,
    /// These.
    Pair(Pair),
}

/// The name and password of `request`.
pub fn carried(way: &Basic, request: &IncomingRequest<'_>) -> Carried {
    match credentials::at(&way.place, request) {
        Found::Nothing => Carried::Nothing,
        Found::Several => Carried::Malformed,
        Found::One(value) => match basic::credentials(&value).map(Pair::parse) {
            None => Carried::Nothing,
            Some(Ok(pair)) => Carried::Pair(pair),
            Some(Err(_)) => Carried::Malformed,
        },
    }
}

/// The user of a pair that was verified a short while ago.
pub(super) fn recall(way: &Basic, pair: &Pair, compiled: &Compiled, now_ms: u64) -> Option<Identity> {
    let users = compiled.password_files().users(&way.file)?;
    users.recall(pair, now_ms)
}

/// Appends the challenge (RFC 7617 §2).
pub(super) fn write_challenge(way: &Basic, out: &mut Vec<u8>) {
    out.extend_from_slice(b"www-authenticate: Basic realm=\"");
    for byte in way.realm.bytes() {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.extend_from_slice(b"\", charset=\"UTF-8\"\r\n");
}
