//! The input of matching: a request as borrowed bytes.

use std::net::IpAddr;

use crate::attribute::{Attribute, Attributes};

/// Headers of a request, by name.
pub trait Headers {
    /// Calls `visit` with the value of each line named `name`, in order of arrival.
    ///
    /// `name` is lower-case; names of lines compare without case. Values have no surrounding blanks.
    fn lines(&self, name: &str, visit: &mut dyn FnMut(&[u8]));
}

/// A request as sent by the client, except that host and path are normalised.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// Lower-case host without port and one trailing dot; `None` if the request has none (HTTP/1.0).
    pub host: Option<&'a [u8]>,
    /// Path in normal form; begins with `/`, without query.
    pub path: &'a [u8],
    /// Query as sent, without the `?`; `None` without a `?`.
    pub query: Option<&'a [u8]>,
    /// Method.
    pub method: &'a [u8],
    /// Address of the client; IPv4-mapped addresses are IPv4.
    pub client_ip: IpAddr,
    /// Headers.
    pub headers: &'a dyn Headers,
    /// Attributes.
    pub attributes: &'a dyn Attributes,
}

impl Request<'_> {
    /// Returns the lines named `name`, which is lower-case, as one value: joined by `, ` in order and trimmed
    /// (RFC 9110 §5.3); `None` without any. `scratch` is overwritten.
    pub fn header<'s>(&self, name: &str, scratch: &'s mut Vec<u8>) -> Option<&'s [u8]> {
        joined(scratch, |visit| self.headers.lines(name, visit))
    }

    /// Returns the values of `attribute` as one value, joined like the lines of a header; `None` without any.
    /// `scratch` is overwritten.
    pub fn attribute<'s>(&self, attribute: Attribute, scratch: &'s mut Vec<u8>) -> Option<&'s [u8]> {
        joined(scratch, |visit| self.attributes.values(attribute, visit))
    }
}

/// Joins the values that `each` visits by `, ` in `scratch`, trimmed; `None` without any.
#[inline]
fn joined(scratch: &mut Vec<u8>, each: impl FnOnce(&mut dyn FnMut(&[u8]))) -> Option<&[u8]> {
    let mut count = 0;
    scratch.clear();
    each(&mut |value| {
        if count > 0 {
            scratch.extend_from_slice(b", ");
        }
        scratch.extend_from_slice(value);
        count += 1;
    });
    (count > 0).then(|| scratch.trim_ascii())
}

/// Returns true for methods that never reach a route: the gateway responds to them itself.
pub fn is_refused_method(method: &str) -> bool {
    matches!(method, "CONNECT" | "TRACE")
}

/// Headers as a plain list, for tests and witnesses.
impl Headers for [(String, Vec<u8>)] {
    fn lines(&self, name: &str, visit: &mut dyn FnMut(&[u8])) {
        for (line, value) in self {
            if line.eq_ignore_ascii_case(name) {
                visit(value.trim_ascii());
            }
        }
    }
}

impl Headers for Vec<(String, Vec<u8>)> {
    fn lines(&self, name: &str, visit: &mut dyn FnMut(&[u8])) {
        self.as_slice().lines(name, visit);
    }
}
