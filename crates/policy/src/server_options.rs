//! The responses to `OPTIONS *` and to preflights.
//!
//! `OPTIONS *` is for the server that the client is connected to (RFC 9110 §9.3.7): the gateway, whichever host it names.
//! It is a way to find out that the server is alive.

use std::sync::LazyLock;

use waypost_plan::header_edits::HeaderEdits;
use waypost_plan::policies::{Policies, PolicySet};
use waypost_plan::route::Respond;
use waypost_plan::value::ValueTemplate;

/// The methods that services may get, and every server is expected to know. CONNECT and TRACE are refused; any other is
/// forwarded.
const ALLOWED: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/// A response without content: that to a preflight, too.
pub(crate) static RESPONSE: LazyLock<Respond> = LazyLock::new(|| Respond {
    status: 204,
    body: ValueTemplate::default(),
    content_type: Box::default(),
});

/// The policies for [`RESPONSE`]: its header. Those of listeners are for requests that have a path.
pub(crate) static POLICIES: LazyLock<Policies> = LazyLock::new(|| {
    let mut response_headers = HeaderEdits::default();
    response_headers
        .set("allow", ALLOWED)
        .expect("a header and its value");
    let policies = PolicySet {
        response_headers,
        ..PolicySet::default()
    };
    policies.into()
});
