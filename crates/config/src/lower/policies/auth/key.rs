//! Keys.

use waypost_plan::auth::key::Key;

use super::{file, place};
use crate::document::auth::KeyWay;
use crate::keys::At;
use crate::lower::Context;

/// Lowers the way of a key.
pub(super) fn way(written: &At<KeyWay>, context: &mut Context<'_>) -> Option<Key> {
    let given = &written.value;
    let places = [&given.header, &given.query, &given.cookie].map(|place| place.as_deref());
    let misread = given
        .given
        .keys()
        .any(|key| matches!(key, "header" | "query" | "cookie"))
        && places.iter().all(Option::is_none);
    let place = match misread {
        true => None,
        false => place(written.key, places, context.problems),
    };
    let file = given.file.as_ref().and_then(|path| file(path, "keys", context));
    Some(Key {
        place: place?,
        file: file?,
        forward: given.forward.as_ref().is_some_and(|forward| forward.value),
    })
}
