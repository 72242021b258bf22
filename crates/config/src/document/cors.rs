//! Requests from pages of other origins.

use crate::document::Document;
use crate::either::AllOr;
use crate::keys::Presence::{Default as Fallback, Optional, Required};
use crate::keys::keys;
use crate::times::DurationText;
use crate::values::Text;

keys! {
    root Document;

    /// Requests from pages of other origins, by the Fetch standard (CORS).
    ///
    /// Browsers ask first, with a preflight: an OPTIONS with `Origin` and `Access-Control-Request-Method`. It is answered
    /// with 204, in place of the route that takes the method asked for, before authentication; other OPTIONS go on. Every
    /// response, the gateway's own errors too, gets the headers of this policy in place of the service's
    /// `access-control-*`. An origin that is not allowed gets none of them, and no error.
    Cors, "a `cors`" {
        /// Origins of the pages that may read responses, or `"*"` for all.
        ///
        /// An origin is a scheme, a host, and a port unless it is the scheme's default. `https://*.example.com` stands for
        /// all hosts below `example.com`, however deep, and not for `example.com`.
        origins: AllOr<Text> = Required, "[\"https://app.example.com\", \"https://*.example.com\"]";
        /// Methods of their requests, case-sensitive, or `"*"` for all. GET, HEAD and POST need no permission.
        methods: AllOr<Text> = Fallback("[GET, HEAD, POST, PUT, PATCH, DELETE]"), "[GET, POST]";
        /// Headers that their requests may have beside those that need no permission, or `"*"` for all that a preflight asks
        /// for.
        headers: AllOr<Text> = Fallback("[authorization, content-type]"), "[content-type, x-csrf-token]";
        /// Headers of responses that pages may read beside `cache-control`, `content-language`, `content-length`,
        /// `content-type`, `expires`, `last-modified` and `pragma`; `"*"` for all.
        expose: AllOr<Text> = Fallback("[]"), "[etag, x-request-id]";
        /// Lets requests carry cookies and other credentials. Excludes `origins: "*"`.
        credentials: bool = Fallback("false"), "true";
        /// Time for which browsers may keep the answer to a preflight; `0s` for not at all.
        ///
        /// Without it they take 5 s. Chromium takes 2 h at most, Firefox 24 h.
        max_age: DurationText = Optional, "1h";
        /// Lets pages of public networks call a gateway in a private one, where browsers ask for it.
        private_network: bool = Fallback("false"), "true";
    }
}
