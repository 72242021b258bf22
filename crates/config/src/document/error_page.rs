//! Error pages.

use waypost_plan::error_pages::ErrorsFrom;

use crate::collections::{Named, OneOrMany};
use crate::document::Document;
use crate::keys::Presence::{Default as Fallback, Optional, Required};
use crate::keys::keys;
use crate::numbers::Whole;
use crate::statuses::Statuses;
use crate::values::{Text, words};

words! {
    ErrorsFrom { "gateway" => ErrorsFrom::Gateway, "service" => ErrorsFrom::Service }
}

keys! {
    root Document;

    /// A page in place of an error: a body, and what comes with it. Exactly one of `body` and `file` is required.
    ///
    /// The first page of a list that fits counts, and the list of the route before those of its policies, the last of them
    /// first, then of the listener and its policies, and of the top level. What else an error says, such as `proxy-status` and `retry-after`, stays. Calls of gRPC get no page.
    ErrorPage, "an error page" {
        /// Status of the error: 400 to 599, `4xx`, `5xx`, or a list of them.
        status: OneOrMany<Statuses> = Required, "[502, 503, 504]";
        /// Party that the error comes from: the `gateway` itself, or the `service`.
        ///
        /// A `respond` without `body` is the gateway's. Of a service's response, the framing and `content-encoding` go, and
        /// its other headers stay. Retries see the status of the service.
        from: ErrorsFrom = Fallback("gateway"), "service";
        /// Text of the page, with values of the request as in `{request_id}`. Those of a file are left as they are.
        body: Text = Optional, "\"we are back at noon\"";
        /// File with the text of the page, of at most 1 MiB.
        ///
        /// It is reloaded when it changes; if it is gone or too large then, its last text stays in use. A relative path is
        /// relative to the configuration's directory, or to the working directory if there is no such file.
        file: Text = Optional, "sorry.html";
        /// Media type of the page.
        ///
        /// Defaults to that of the file by its extension, such as `.html` or `.json`, else to `text/plain; charset=utf-8`.
        content_type: Text = Optional, "text/html";
        /// Status that the client gets: 200 to 599. Defaults to that of the error.
        sent as "as": Whole = Optional, "503";
        /// Headers of the response, by name, in place of those that it has, likewise with values.
        headers: Named<Text> = Optional, "{ cache-control: no-store }";
    }
}
