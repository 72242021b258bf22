//! What the conditions of a route look at: a request, as borrowed bytes.

use std::net::IpAddr;

/// The headers of a request, looked up by name.
pub trait Headers {
    /// Calls `visit` with the value of each line named `name`, in order of arrival.
    ///
    /// `name` is lower-case; the lines' names compare without case. Values come without the blanks
    /// around them.
    fn lines(&self, name: &str, visit: &mut dyn FnMut(&[u8]));
}

/// A request as conditions see it: as the client sent it, except that host and path are normalised.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// Lower-case, without port and one trailing dot; `None` when the request names none (HTTP/1.0).
    pub host: Option<&'a [u8]>,
    /// The path in its normal form; it begins with `/` and has no query.
    pub path: &'a [u8],
    /// What follows the first `?` of the target, byte for byte; `None` without a `?`.
    pub query: Option<&'a [u8]>,
    /// The method, with case.
    pub method: &'a [u8],
    /// The address of the client; IPv4-mapped addresses are IPv4.
    pub client_ip: IpAddr,
    /// The headers, as the client sent them.
    pub headers: &'a dyn Headers,
}

impl Request<'_> {
    /// The lines named `name`, which is lower-case, as one value: joined by `, ` in order and trimmed; `None`
    /// without any. `scratch` is overwritten.
    pub fn header<'s>(&self, name: &str, scratch: &'s mut Vec<u8>) -> Option<&'s [u8]> {
        let mut lines = 0;
        scratch.clear();
        self.headers.lines(name, &mut |line| {
            if lines > 0 {
                scratch.extend_from_slice(b", ");
            }
            scratch.extend_from_slice(line);
            lines += 1;
        });
        (lines > 0).then(|| scratch.trim_ascii())
    }
}

/// Headers as a plain list: for tests, for the command line, and for the reference.
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
