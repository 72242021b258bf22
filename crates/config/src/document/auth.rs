//! Authentication: who may pass.

use crate::collections::{List, Named, NonEmptyList, OneOrMany};
use crate::document::Document;
use crate::keys::Presence::{Default as Fallback, Optional, Required};
use crate::keys::keys;
use crate::times::DurationText;
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
        /// Signed token of an issuer (JSON Web Token, RFC 7519).
        jwt: JwtWay = Optional, "{ issuer: https://id.example.com, audience: shop, keys: https://id.example.com/jwks.json }";
        /// Name and password (`Authorization: Basic`), of a file as `htpasswd -B` makes it.
        basic: BasicWay = Optional, "{ file: users.htpasswd, realm: Shop }";
        /// Service that is asked who may pass, such as authelia or oauth2-proxy.
        ask: AskWay = Optional, "{ to: authelia, path: /verify, take: [remote-user] }";
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

    /// Tokens of an issuer. Of `header`, `query` and `cookie` one at most is given; without them, tokens are those of
    /// `authorization: Bearer`.
    ///
    /// The signature, `iss`, `aud`, `exp` and `nbf` are verified. A key verifies what its kind and its own `alg` allow; one
    /// with a `use` other than `sig` verifies nothing.
    JwtWay, "a `jwt`" {
        /// Issuer that a token has to name as its `iss`, to the letter; any if it is not given.
        issuer: Text = Optional, "https://id.example.com";
        /// Audience that a token has to name in its `aud`, or a list of which it has to name one; any if it is not given.
        audience: OneOrMany<Text> = Optional, "[shop, till]";
        /// Keys of the issuer: the URL of a key set (RFC 7517), or a file with one, or with public keys or certificates in
        /// PEM.
        ///
        /// A URL is fetched when the config is loaded, again as its `Cache-Control` says (after 5 minutes at least and a day
        /// at most), and when a token names an unknown key (every 30 seconds at most; such a request waits up to 2 seconds).
        /// If that fails, the last set stays in use; until there is one, requests with tokens get 503. A file is read again
        /// when it changes.
        keys: Text = Required, "https://id.example.com/jwks.json";
        /// Algorithms of signatures that are accepted. HS256, HS384 and HS512 need a file with a key of `kty: oct`.
        algorithms: OneOrMany<Text> = Fallback("[RS256, RS384, RS512, ES256, ES384, PS256, PS384, PS512, EdDSA]"), "[RS256, ES256]";
        /// Difference of clocks that is put up with.
        leeway: DurationText = Fallback("30s"), "5s";
        /// Refuses tokens that never expire.
        require_exp: bool = Fallback("true"), "false";
        /// Header with the token, with or without `Bearer` before it; `authorization` needs `Bearer`.
        header: Text = Fallback("authorization"), "x-token";
        /// Query parameter with the token. It is left out of the access log.
        query: Text = Optional, "access_token";
        /// Cookie with the token.
        cookie: Text = Optional, "session";
        /// Claims that are written into request headers, replacing what the client sent. A claim that is absent, or that has
        /// control characters, is not written; lists are joined by commas.
        claims: Named<Text> = Optional, "{ sub: x-user-id, email: x-user-email }";
        /// Claim with the groups of the client, for `allow`. A name with `.` leads into objects: `realm_access.roles`.
        groups: Text = Fallback("groups"), "realm_access.roles";
        /// Lets the service have the token by which a request passed.
        forward: bool = Fallback("false"), "true";
    }

    /// Names and passwords, by `Authorization: Basic` (RFC 7617).
    ///
    /// A password that was right is not verified again for five minutes, unless the file changes. At most two are verified
    /// at a time for each core, and 64 requests wait for that; further ones get 503.
    BasicWay, "a `basic`" {
        /// File with a line `USER:HASH` for each user, as `htpasswd -B` makes it: bcrypt, SHA-256-crypt, SHA-512-crypt or
        /// Argon2.
        ///
        /// It is reloaded when it changes; if it is gone or has a mistake then, its last users stay in use. A relative path
        /// is relative to the configuration's directory, or to the working directory if there is no such file.
        file: Text = Required, "users.htpasswd";
        /// Name of what is protected, which browsers show.
        realm: Text = Fallback("Restricted"), "Shop";
        /// Lets the service have the name and password by which a request passed.
        forward: bool = Fallback("false"), "true";
    }

    /// Service that is asked who may pass.
    ///
    /// It gets a GET that tells of the request in `x-forwarded-method`, `-uri`, `-host`, `-proto` and `-for`, and in
    /// `x-original-method`, `-uri` and `-url`. A request passes if it answers 2xx; the client gets its 401, 403 and
    /// redirects, up to 64 KiB. Anything else is 502, no answer in time 504.
    AskWay, "an `ask`" {
        /// Service to ask, of `services`.
        to: Text = Required, "authelia";
        /// Path of the question, which may have a query.
        path: Text = Fallback("/"), "/verify";
        /// Headers of its answer that the request gets. The first has the name of the client, `{identity}`.
        ///
        /// The client's own headers of these names never reach a service.
        take: List<Text> = Optional, "[remote-user, remote-groups]";
        /// Headers of the request that the question has.
        send: List<Text> = Fallback("[cookie, authorization]"), "[cookie, authorization, accept]";
        /// Lets requests pass where the service gives no usable answer, instead of 502 and 504.
        open: bool = Fallback("false"), "true";
        /// Time for which a permission holds for requests with the same method, URL and headers of `send`.
        ///
        /// Without it, the service is asked each time. Only 2xx are kept, and none that sets a cookie.
        cache: DurationText = Optional, "10s";
        /// Time for an answer.
        timeout: DurationText = Fallback("2s"), "500ms";
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
