//! Requests from pages of other origins: preflights, and the fields that tell a browser what a page may (Fetch §3.2).
//!
//! The browser enforces them. An origin that is not allowed gets no field, and no error: requests without an origin come
//! from programs that would not heed it anyway.

use memchr::memchr;
use waypost_plan::cors::{Cors, Origins, Permitted};
use waypost_route::request::Headers;
use waypost_wire::token;
use waypost_wire::write;

use crate::request::IncomingRequest;

/// A question of a browser whether a page may send a request: an OPTIONS with `Origin` and
/// `Access-Control-Request-Method`.
#[derive(Debug, Clone, Copy)]
pub struct Preflight<'a> {
    /// The method asked for.
    pub method: &'a [u8],
}

/// The headers of the request that a preflight is about, as conditions look them up.
///
/// The preflight's own are known. Of one that it asks for, the value is not: it is taken to be empty, but for the type of a
/// call by gRPC-Web.
pub struct AnnouncedHeaders<'a> {
    request: IncomingRequest<'a>,
}

/// The fields for the response to a request, in memory that is reused for the next one.
#[derive(Debug, Default)]
pub struct CorsFields {
    lines: Vec<u8>,
    vary: &'static str,
    state: State,
}

/// The state of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    /// There is no policy.
    #[default]
    Off,
    /// Its origin is not allowed, or it has none.
    Withheld,
    /// Its origin is allowed.
    Granted,
}

/// The lines of a response's head.
#[derive(Debug, Clone, Copy)]
pub struct CorsLines<'a> {
    lines: &'a [u8],
    /// Names for `vary`.
    vary: &'static str,
}

/// The lines of a request with one name.
enum Sent<'a> {
    None,
    One(&'a [u8]),
    Several,
}

const ORIGIN: &[u8] = b"origin";
const METHOD: &[u8] = b"access-control-request-method";
const HEADERS: &[u8] = b"access-control-request-headers";
const NETWORK: &[u8] = b"access-control-request-private-network";

impl<'a> Preflight<'a> {
    /// The preflight that `request` is; `None` if it is none.
    #[inline]
    pub fn of(request: &IncomingRequest<'a>) -> Option<Self> {
        match request.head.method(request.buffer) {
            b"OPTIONS" => Self::of_options(request),
            _ => None,
        }
    }

    #[cold]
    fn of_options(request: &IncomingRequest<'a>) -> Option<Self> {
        if matches!(sent(request, ORIGIN), Sent::None) {
            return None;
        }
        match sent(request, METHOD) {
            Sent::One(method) if token::is_token(method) => Some(Self { method }),
            _ => None,
        }
    }
}

impl<'a> AnnouncedHeaders<'a> {
    /// The headers of the request that `preflight` is about.
    pub fn of(preflight: &IncomingRequest<'a>) -> Self {
        Self { request: *preflight }
    }

    fn asks_for(&self, name: &str) -> bool {
        let mut asked = asked_headers(&self.request);
        asked.any(|asked| asked.eq_ignore_ascii_case(name.as_bytes()))
    }
}

impl Headers for AnnouncedHeaders<'_> {
    fn lines(&self, name: &str, visit: &mut dyn FnMut(&[u8])) {
        let mut is_sent = false;
        self.request.fields().lines(name, &mut |value| {
            is_sent = true;
            visit(value);
        });
        if is_sent || !self.asks_for(name) {
            return;
        }
        match name.eq_ignore_ascii_case("content-type") && self.asks_for("x-grpc-web") {
            true => visit(b"application/grpc-web"),
            false => visit(b""),
        }
    }
}

impl CorsFields {
    /// The lines for the head of the response; `None` where no policy is in force.
    #[inline]
    pub fn lines(&self) -> Option<CorsLines<'_>> {
        (self.state != State::Off).then_some(CorsLines {
            lines: &self.lines,
            vary: self.vary,
        })
    }

    /// Returns true if the origin of the request is allowed.
    pub fn is_granted(&self) -> bool {
        self.state == State::Granted
    }

    /// Writes the fields for a response to `request`, which could not be read if it is `None`.
    #[inline]
    pub(crate) fn write(&mut self, cors: Option<&Cors>, request: Option<&IncomingRequest<'_>>) {
        match cors {
            None => self.state = State::Off,
            Some(cors) => {
                self.begin(cors, request);
                if self.is_granted() && !cors.expose.is_empty() {
                    self.add("access-control-expose-headers", cors.expose.as_bytes());
                }
            }
        }
    }

    /// Writes the fields for the answer to a preflight.
    pub(crate) fn answer(&mut self, cors: &Cors, request: &IncomingRequest<'_>, preflight: Preflight<'_>) {
        self.begin(cors, Some(request));
        self.vary = match cors.origins {
            Origins::Any => "access-control-request-method, access-control-request-headers",
            Origins::Listed(_) => "origin, access-control-request-method, access-control-request-headers",
        };
        if !self.is_granted() {
            return;
        }
        match &cors.methods {
            Permitted::Any => self.add("access-control-allow-methods", preflight.method),
            Permitted::Listed(methods) if methods.is_empty() => {}
            Permitted::Listed(methods) => self.add("access-control-allow-methods", methods.as_bytes()),
        }
        match &cors.headers {
            Permitted::Any => self.echo_headers(request),
            Permitted::Listed(headers) if headers.is_empty() => {}
            Permitted::Listed(headers) => self.add("access-control-allow-headers", headers.as_bytes()),
        }
        if let Some(seconds) = cors.max_age {
            self.add("access-control-max-age", seconds.to_string().as_bytes());
        }
        if cors.private_network && matches!(sent(request, NETWORK), Sent::One(b"true")) {
            self.add("access-control-allow-private-network", b"true");
        }
    }

    /// The reason for which a browser does not let the page of `request` have what it asks for; `None` if it does.
    pub(crate) fn refusal(
        &self,
        cors: &Cors,
        request: &IncomingRequest<'_>,
        preflight: Option<Preflight<'_>>,
    ) -> Option<String> {
        let shown = |name: &[u8]| String::from_utf8_lossy(name).into_owned();
        match sent(request, ORIGIN) {
            Sent::None => return Some("the request names no origin".to_owned()),
            Sent::Several if !self.is_granted() => {
                return Some("the request names several origins".to_owned());
            }
            Sent::One(origin) if !self.is_granted() => {
                return Some(format!("the origin `{}` is not allowed", shown(origin)));
            }
            Sent::One(_) | Sent::Several => {}
        }
        let preflight = preflight?;
        let lists = |permitted: &Permitted, is_it: &dyn Fn(&str) -> bool| match permitted {
            Permitted::Any => true,
            Permitted::Listed(names) => names.split(", ").any(is_it),
        };
        let method = preflight.method;
        // These need no permission (Fetch §2.2.1).
        if !matches!(method, b"GET" | b"HEAD" | b"POST")
            && !lists(&cors.methods, &|known| known.as_bytes() == method)
        {
            return Some(format!("the method `{}` is not allowed", shown(method)));
        }
        let missing = asked_headers(request).find(|name| {
            !lists(&cors.headers, &|known| {
                known.as_bytes().eq_ignore_ascii_case(name)
            })
        })?;
        Some(format!("the header `{}` is not allowed", shown(missing)))
    }

    /// Begins with what every response has.
    fn begin(&mut self, cors: &Cors, request: Option<&IncomingRequest<'_>>) {
        self.lines.clear();
        self.state = State::Granted;
        // Credentials are for listed origins alone: a browser that gets `*` sends none.
        let Origins::Listed(list) = &cors.origins else {
            self.vary = "";
            self.add("access-control-allow-origin", b"*");
            return;
        };
        self.vary = "origin";
        match request.map(|request| sent(request, ORIGIN)) {
            Some(Sent::One(origin)) if list.covers(origin) => {
                self.add("access-control-allow-origin", origin);
                if cors.credentials {
                    self.add("access-control-allow-credentials", b"true");
                }
            }
            _ => self.state = State::Withheld,
        }
    }

    /// Allows the headers that a preflight asks for.
    fn echo_headers(&mut self, request: &IncomingRequest<'_>) {
        let start = self.lines.len();
        self.lines.extend_from_slice(b"access-control-allow-headers: ");
        let first = self.lines.len();
        for name in asked_headers(request).filter(|name| token::is_token(name)) {
            if self.lines.len() > first {
                self.lines.extend_from_slice(b", ");
            }
            self.lines.extend_from_slice(name);
        }
        match self.lines.len() > first {
            true => self.lines.extend_from_slice(b"\r\n"),
            false => self.lines.truncate(start),
        }
    }

    fn add(&mut self, name: &str, value: &[u8]) {
        write::field(&mut self.lines, name.as_bytes(), value);
    }

    /// Discards the fields, and memory beyond `keep` bytes.
    pub(crate) fn tidy(&mut self, keep: usize) {
        self.lines.clear();
        self.lines.shrink_to(keep);
        self.state = State::Off;
    }
}

/// The values of the lines of a request named `name`.
fn values<'a>(request: &IncomingRequest<'a>, name: &'static [u8]) -> impl Iterator<Item = &'a [u8]> {
    let (head, buffer) = (request.head, request.buffer);
    let named = move |line: &[u8]| line.len() == name.len() && line.eq_ignore_ascii_case(name);
    let fields = head
        .fields()
        .iter()
        .filter(move |field| named(field.name.of(buffer)));
    fields.map(move |field| field.value.of(buffer))
}

/// The names of headers that a preflight asks for.
fn asked_headers<'a>(request: &IncomingRequest<'a>) -> impl Iterator<Item = &'a [u8]> {
    let names = values(request, HEADERS).flat_map(|value| value.split(|&byte| byte == b','));
    names.map(<[u8]>::trim_ascii).filter(|name| !name.is_empty())
}

fn sent<'a>(request: &IncomingRequest<'a>, name: &'static [u8]) -> Sent<'a> {
    let mut values = values(request, name);
    match (values.next(), values.next()) {
        (None, _) => Sent::None,
        (Some(value), None) => Sent::One(value),
        (Some(_), Some(_)) => Sent::Several,
    }
}

impl CorsLines<'_> {
    /// Puts the lines in place of all `access-control-*` in the head that begins at `start` of `out`, and joins `vary`. The
    /// head lacks its empty line yet.
    ///
    /// It comes after everything else that writes lines: what a service, an edit or an error page says of other origins
    /// does not stand beside the policy.
    pub(crate) fn replace(self, start: usize, out: &mut Vec<u8>) {
        let mut read = line_end(out, start);
        let mut kept = read;
        // The end of the last `vary`, without its line end.
        let mut vary = None;
        let mut missing = self.vary;
        while read < out.len() {
            let end = line_end(out, read);
            let line = &out[read..end];
            if starts_with(line, b"access-control-") {
                read = end;
                continue;
            }
            let is_vary = starts_with(line, b"vary:");
            if is_vary && !missing.is_empty() {
                missing = without(missing, &line[5..]);
            }
            if kept != read {
                out.copy_within(read..end, kept);
            }
            kept += end - read;
            read = end;
            if is_vary {
                vary = Some(kept - 2);
            }
        }
        out.truncate(kept);
        match vary {
            _ if missing.is_empty() => {}
            Some(end) => {
                let names = b", ".iter().chain(missing.as_bytes());
                out.splice(end..end, names.copied());
            }
            None => write::field(out, b"vary", missing.as_bytes()),
        }
        out.extend_from_slice(self.lines);
    }
}

/// The names of `wanted` that have to be added to a `vary` of `value`: all but the leading ones that it has.
fn without<'n>(mut wanted: &'n str, value: &[u8]) -> &'n str {
    let has = |name: &str| {
        let mut named = value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
        named.any(|known| known == b"*" || known.eq_ignore_ascii_case(name.as_bytes()))
    };
    while let Some(name) = wanted
        .split(", ")
        .next()
        .filter(|name| !name.is_empty() && has(name))
    {
        wanted = wanted[name.len()..].trim_start_matches(", ");
    }
    wanted
}

fn starts_with(line: &[u8], prefix: &[u8]) -> bool {
    line.get(..prefix.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

/// The place behind the line that begins at `start`.
fn line_end(out: &[u8], start: usize) -> usize {
    memchr(b'\n', &out[start..]).map_or(out.len(), |at| start + at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The head that `lines` and `vary` make of `head`, both without its status line.
    fn check(head: &str, vary: &'static str, expected: &str) {
        let lines = CorsLines {
            lines: b"access-control-allow-origin: https://a.test\r\n",
            vary,
        };
        let with_ends = |text: &str| text.replace('|', "\r\n");
        let mut out = format!("before\r\nHTTP/1.1 200 OK\r\n{}", with_ends(head)).into_bytes();
        lines.replace("before\r\n".len(), &mut out);
        let expected = format!(
            "before\r\nHTTP/1.1 200 OK\r\n{}access-control-allow-origin: https://a.test\r\n",
            with_ends(expected)
        );
        assert_eq!(String::from_utf8(out).unwrap(), expected, "{head}");
    }

    #[test]
    fn what_others_say_is_replaced_and_vary_is_joined() {
        for (head, expected) in [
            ("", "vary: origin|"),
            ("server: x|", "server: x|vary: origin|"),
            (
                "Access-Control-Allow-Origin: *|server: x|ACCESS-CONTROL-MAX-AGE: 5|a: b|access-control-x:|",
                "server: x|a: b|vary: origin|",
            ),
            ("access-control: x|", "access-control: x|vary: origin|"),
            (
                "Vary: Accept-Encoding|a: b|",
                "Vary: Accept-Encoding, origin|a: b|",
            ),
            ("vary: Origin|", "vary: Origin|"),
            ("vary: accept ,ORIGIN, cookie|", "vary: accept ,ORIGIN, cookie|"),
            ("vary: *|", "vary: *|"),
            ("vary: origin|vary: accept|", "vary: origin|vary: accept|"),
            ("vary: cookie|vary: accept|", "vary: cookie|vary: accept, origin|"),
            ("vary: x-origin|", "vary: x-origin, origin|"),
            ("access-control-a: b|vary: a|c: d|", "vary: a, origin|c: d|"),
            ("varying: a|", "varying: a|vary: origin|"),
        ] {
            check(head, "origin", expected);
        }
        check("vary: accept|", "", "vary: accept|");
        check("a: b|", "", "a: b|");
        check("vary: origin|", "origin, x", "vary: origin, x|");
    }
}
