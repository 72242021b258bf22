//! Edits of response heads; one writer for services' responses and local ones.

use waypost_plan::header_edits::HeaderEdits;
use waypost_plan::set_cookie::SetCookie;
use waypost_wire::version::Version;
use waypost_wire::write;

use crate::cors::CorsLines;
use crate::head::cookies;
use crate::head::reverse::WayBack;
use crate::rate::{self, RateFields};
use crate::request_id::{self, RequestId};

/// The `connection` header of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeepAlive {
    /// Open, without a header: the default of HTTP/1.1.
    Implied,
    /// Open, with `connection: keep-alive` for HTTP/1.0.
    Explicit,
    /// `connection: close`.
    Close,
}

/// The headers of `debug_headers: true`.
#[derive(Debug, Clone, Copy)]
pub struct DebugHeaders<'a> {
    /// The revision that served the request.
    pub revision: u64,
    /// The route; empty without one.
    pub route: &'a str,
}

/// Edits of a response head: the configured ones, and lines that are computed for each response.
#[derive(Debug, Clone, Copy)]
pub struct ResponseEdits<'a> {
    /// `response_headers` of the route. A name that they remove or set is left out of everything else.
    pub configured: &'a HeaderEdits,
    /// The lines of `configured`, where values are filled in.
    pub filled: &'a [u8],
    /// The fields of rate limits. Those of the service stay beside them.
    pub rate: RateFields<'a>,
    /// The id of the request, on listeners that send it.
    pub request_id: Option<RequestId<'a>>,
    /// The way back to the client's paths and host, where a service's references to itself are mapped.
    pub way_back: Option<&'a WayBack>,
    /// Rewrites of the cookies that a service sets.
    pub cookies: Option<&'a SetCookie>,
    /// The `date`, for a response that has none.
    pub date: Option<&'a [u8]>,
    /// The value of a `set-cookie` that is added; empty for none.
    pub set_cookie: &'a [u8],
    /// The debug headers.
    pub debug: Option<DebugHeaders<'a>>,
    /// The `connection` header.
    pub keep_alive: KeepAlive,
    /// The lines for pages of other origins, where a policy is in force.
    pub cors: Option<CorsLines<'a>>,
}

impl KeepAlive {
    /// The header for a client of this version, if the connection stays open.
    pub fn when(is_open: bool, client: Version) -> Self {
        match (is_open, client) {
            (false, _) => Self::Close,
            (true, Version::Http11) => Self::Implied,
            (true, Version::Http10) => Self::Explicit,
        }
    }

    /// Returns true if the connection stays open.
    pub fn is_open(self) -> bool {
        self != Self::Close
    }
}

impl ResponseEdits<'_> {
    /// Returns true if values of a service's head may be mapped.
    pub(crate) fn maps(&self) -> bool {
        self.way_back.is_some() || self.cookies.is_some()
    }

    /// The value that the client gets in place of a service's; `None` if it stays.
    pub(crate) fn map(&self, name: &[u8], value: &[u8]) -> Option<Vec<u8>> {
        if name.len() == 10 && name.eq_ignore_ascii_case(b"set-cookie") {
            return cookies::map(value, self.cookies, self.way_back);
        }
        self.way_back?.map(name, value)
    }

    /// Returns true if the configured edits remove or replace lines named `name`.
    #[inline]
    pub fn drops(&self, name: &[u8]) -> bool {
        self.configured.drops(name)
    }

    /// Appends all added lines, and the empty line that ends the head, which begins at `start`.
    // A call of its own would cost every response.
    #[inline(always)]
    pub fn finish(&self, start: usize, out: &mut Vec<u8>) {
        if let Some(date) = self.date {
            self.add(b"date", date, out);
        }
        if !self.set_cookie.is_empty() {
            self.add(b"set-cookie", self.set_cookie, out);
        }
        if !self.rate.limit.is_empty() {
            self.write_rate(out);
        }
        if let Some(debug) = &self.debug {
            self.add(b"x-waypost-revision", debug.revision.to_string().as_bytes(), out);
            if !debug.route.is_empty() {
                self.add(b"x-waypost-route", debug.route.as_bytes(), out);
            }
        }
        match self.keep_alive {
            KeepAlive::Implied => {}
            KeepAlive::Explicit => out.extend_from_slice(b"connection: keep-alive\r\n"),
            KeepAlive::Close => out.extend_from_slice(b"connection: close\r\n"),
        }
        if let Some(id) = self.request_id
            && !self.drops(request_id::HEADER)
        {
            request_id::write_line(id, out);
        }
        self.configured.write(self.filled, out);
        if let Some(cors) = self.cors {
            cors.replace(start, out);
        }
        out.extend_from_slice(b"\r\n");
    }

    #[inline(never)]
    fn write_rate(&self, out: &mut Vec<u8>) {
        self.add(rate::POLICY, self.rate.policy, out);
        self.add(rate::LIMIT, self.rate.limit, out);
    }

    /// Appends a computed line, unless the configured edits drop its name.
    pub fn add(&self, name: &[u8], value: &[u8], out: &mut Vec<u8>) {
        if !self.drops(name) {
            write::field(out, name, value);
        }
    }
}
