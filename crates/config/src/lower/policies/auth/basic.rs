//! Names and passwords.

use waypost_plan::auth::basic::Basic;

use super::file;
use crate::diagnostic::Code;
use crate::document::auth::BasicWay;
use crate::keys::At;
use crate::lower::Context;

/// The realm where none is given.
const REALM: &str = "Restricted";

/// Lowers the way of a name and a password.
pub(super) fn way(written: &At<BasicWay>, context: &mut Context<'_>) -> Option<Basic> {
    let given = &written.value;
    let path = given.file.as_ref();
    let file = path.and_then(|path| file(path, "users.htpasswd", context));
    let mut realm = REALM;
    if let Some(given) = &given.realm {
        realm = &given.value;
        // It is sent as a quoted string (RFC 9110 §5.6.4), and clients read other characters differently.
        if realm.is_empty() || !realm.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            context
                .problems
                .add(Code::BadValue, given.span, "the realm is not plain text")
                .help("write letters, digits, blanks and signs of ASCII, such as `Shop`");
            return None;
        }
    }
    let forward = given.forward.as_ref().is_some_and(|forward| forward.value);
    Some(Basic::new(file?, realm.into(), forward))
}
