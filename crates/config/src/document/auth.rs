//! Authentication: who may pass.

use crate::collections::{Named, NonEmptyList, OneOrMany};
use crate::document::Document;
use crate::keys::Presence::{Default as Fallback, Optional, Required};
use crate::keys::keys;
use crate::values::{Bare, Text};

keys! {
    root Document;

    /// Clients that may pass, by what they prove. It has exactly one way, or `any` of several.
    ///
    /// A request that proves nothing gets 401 with the challenges of all ways, one that may not pass 403. Credentials stay
    /// here: of all ways, also those that did not decide. The client that passes is `{identity}` in texts, and `identity` in
    /// the access log.
    Auth, "an `auth`", shares way: Way {
        /// Ways, of which the first that the request carries credentials for decides.
        any: NonEmptyList<Way> = Optional, "[{ key: { header: x-api-key, file: keys } }]";
        /// Clients that may pass, once it is known who asks: any entry of the list suffices. Others get 403.
        allow: NonEmptyList<Allow> = Optional, "[{ groups: [admin] }, { identity: alice }]";
    }

    /// A way to prove who one is. Exactly one key is required.
    Way, "a way" {
        /// Key, one for each client, whose hash is in a file.
        key: KeyWay = Optional, "{ header: x-api-key, file: keys }";
    }

    /// Keys of clients. Exactly one of `header`, `query` and `cookie` is required.
    ///
    /// A request with several keys at that place is refused.
    KeyWay, "a `key`" {
        /// Header with the key, and nothing else.
        header: Text = Optional, "x-api-key";
        /// Query parameter with the key. It is left out of the access log.
        query: Text = Optional, "apikey";
        /// Cookie with the key.
        cookie: Text = Optional, "apikey";
        /// File with a line for each key: `NAME HASH [GROUP,…]`. `waypost hash-key` makes a key and its line.
        ///
        /// It is reloaded when it changes; if it is gone or has a mistake then, its last keys stay in use. A relative path
        /// is relative to the configuration's directory, or to the working directory if there is no such file.
        file: Text = Required, "keys";
        /// Lets the service have the key by which a request passed.
        forward: bool = Fallback("false"), "true";
    }

    /// Conditions on a client that hold together. At least one key is required.
    ///
    /// A value is text, `"~regex"`, or a list of which one has to fit.
    Allow, "an entry of `allow`" {
        /// Name of the client: of its key, its user, or the `sub` of its token.
        identity: OneOrMany<Bare> = Optional, "[alice, bob]";
        /// Groups, of which the client has to be in one.
        groups: OneOrMany<Bare> = Optional, "[admin, staff]";
        /// Claims of its token, by name; each has the value, or it as a member of a list, or as a word of a `scope`.
        ///
        /// A name with `.` leads into objects: `realm_access.roles`.
        claims: Named<OneOrMany<Bare>> = Optional, "{ scope: orders:read }";
    }
}
