//! The values of a request that templates are filled in with.
//!
//! All of them are filled in while the request is decided on, as its head may have left its buffer when the response comes.
//! They are those of the request as the client sent it.

use std::cell::Cell;

use waypost_auth::identity::Identity;
use waypost_plan::value::{Parameters, ValueName, Values};
use waypost_route::attribute::Attribute;
use waypost_route::path::PathPattern;
use waypost_route::request::Headers as _;
use waypost_route::{cookie, query};
use waypost_wire::write;

use crate::request::IncomingRequest;
use crate::request_id::{RequestId, Uuid};

/// The values of a request that are not in the request.
pub trait Circumstances {
    /// A new id for the request.
    fn new_id(&self) -> Uuid;

    /// The time, in seconds since 1970.
    fn unix_seconds(&self) -> u64;

    /// The time, in milliseconds since 1970.
    fn unix_ms(&self) -> u64 {
        self.unix_seconds().saturating_mul(1000)
    }

    /// The number of the revision.
    fn revision(&self) -> u64;
}

/// The values of a request, each found when it is asked for.
pub struct RequestValues<'a> {
    request: &'a IncomingRequest<'a>,
    query: Option<&'a [u8]>,
    parameters: Parameters<'a>,
    /// Empty without one.
    route: &'a str,
    /// Empty before one is chosen.
    service: &'a str,
    circumstances: &'a dyn Circumstances,
    /// The id that was made, for all that use it.
    made: &'a Cell<Option<Uuid>>,
    /// The client, where it is verified.
    identity: Option<&'a Identity>,
}

impl<'a> RequestValues<'a> {
    /// The values of `request`, whose path `pattern` covers. `made` keeps its id.
    pub(crate) fn of(
        request: &'a IncomingRequest<'a>,
        pattern: &'a PathPattern,
        circumstances: &'a dyn Circumstances,
        made: &'a Cell<Option<Uuid>>,
    ) -> Self {
        Self {
            request,
            query: request.query,
            parameters: Parameters::of(request.normalized.path(), pattern),
            route: "",
            service: "",
            circumstances,
            made,
            identity: None,
        }
    }

    /// The values with those of a verified client.
    pub fn known_as(self, identity: Option<&'a Identity>) -> Self {
        Self { identity, ..self }
    }

    /// The values of the request with this query in place of its own.
    pub(crate) fn asking(self, query: Option<&'a [u8]>) -> Self {
        Self { query, ..self }
    }

    /// The values with the names of route and service; an empty one is none.
    pub(crate) fn named(self, route: &'a str, service: &'a str) -> Self {
        Self {
            route,
            service,
            ..self
        }
    }
}

/// The id of `request`. One that is made is kept in `made`.
pub(crate) fn request_id<'a>(
    request: &IncomingRequest<'a>,
    circumstances: &dyn Circumstances,
    made: &Cell<Option<Uuid>>,
) -> RequestId<'a> {
    match request.normalized.client().request_id() {
        Some(id) => RequestId::Given(id),
        None => {
            let id = made.get().unwrap_or_else(|| circumstances.new_id());
            made.set(Some(id));
            RequestId::Made(id)
        }
    }
}

impl Values for RequestValues<'_> {
    fn append(&self, name: &ValueName, out: &mut Vec<u8>) -> bool {
        let request = self.request;
        let url = request.url();
        let text = |text: &[u8], out: &mut Vec<u8>| {
            out.extend_from_slice(text);
            true
        };
        let some = |text: Option<&[u8]>, out: &mut Vec<u8>| {
            out.extend_from_slice(text.unwrap_or_default());
            text.is_some()
        };
        let any = |text: &[u8], out: &mut Vec<u8>| {
            out.extend_from_slice(text);
            !text.is_empty()
        };
        let named = |name: &str, out: &mut Vec<u8>| any(name.as_bytes(), out);
        match name {
            ValueName::Parameter(_) => self.parameters.append(name, out),
            ValueName::RequestId => {
                request_id(request, self.circumstances, self.made).write(out);
                true
            }
            ValueName::ClientIp => match request.normalized.client_ip() {
                client if client.is_unspecified() => false,
                client if client == request.peer.ip() => text(request.peer.ip_text().as_bytes(), out),
                client => text(client.to_string().as_bytes(), out),
            },
            ValueName::Host => some(url.host, out),
            ValueName::Port => match request.port() {
                Some(port) => {
                    write::decimal(out, port.into());
                    true
                }
                None => false,
            },
            ValueName::Scheme => text(url.scheme.as_str().as_bytes(), out),
            // A head that could not be read has neither.
            ValueName::Method => any(request.head.method(request.buffer), out),
            ValueName::Path => any(url.path, out),
            ValueName::Query => some(self.query, out),
            ValueName::Time => {
                write_time(self.circumstances.unix_seconds(), out);
                true
            }
            ValueName::Route => named(self.route, out),
            ValueName::Service => named(self.service, out),
            ValueName::Listener => named(request.listener.label(), out),
            ValueName::Revision => {
                write::decimal(out, self.circumstances.revision());
                true
            }
            ValueName::Header(name) => self.header(name, out),
            ValueName::Cookie(name) => {
                let mut scratch = Vec::new();
                some(cookie::find(&request.fields(), name, &mut scratch), out)
            }
            ValueName::QueryParameter(name) => {
                some(self.query.and_then(|query| query::find_raw(query, name)), out)
            }
            ValueName::Identity => {
                let name = self.identity.and_then(Identity::name);
                some(name.map(|name| name.as_bytes()), out)
            }
            ValueName::Claim(name) => {
                let claims = self.identity.and_then(Identity::claims);
                let value = claims.and_then(|claims| claims.text(name));
                some(value.as_deref().map(str::as_bytes), out)
            }
            ValueName::ClientCertificateSubject => {
                let mut is_found = false;
                let subject = Attribute::ClientCertificateSubject;
                request.peer.certificate_values(subject, &mut |subject| {
                    is_found = true;
                    // It is text of a certificate, not of a head.
                    out.extend(subject.iter().map(|&byte| match byte {
                        0..b' ' | 0x7f => b' ',
                        byte => byte,
                    }));
                });
                is_found
            }
        }
    }
}

impl RequestValues<'_> {
    /// Appends the lines of a header, joined by `, `.
    fn header(&self, name: &str, out: &mut Vec<u8>) -> bool {
        let mut is_found = false;
        self.request.fields().lines(name, &mut |line| {
            if std::mem::replace(&mut is_found, true) {
                out.extend_from_slice(b", ");
            }
            out.extend_from_slice(line);
        });
        is_found
    }
}

/// Appends a time, in seconds since 1970, as RFC 3339 writes it: `2026-11-30T03:01:36Z`.
fn write_time(unix_seconds: u64, out: &mut Vec<u8>) {
    let (days, second) = (unix_seconds / 86_400, unix_seconds % 86_400);
    // The Gregorian calendar from days, in years that begin in March, so that a leap day ends its year.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let text = format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z",
        second / 3600,
        second / 60 % 60,
        second % 60
    );
    out.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_calendar() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_709_164_800, "2024-02-29T00:00:00Z"),
            (1_735_689_599, "2024-12-31T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (1_796_007_696, "2026-11-30T03:01:36Z"),
        ] {
            let mut out = Vec::new();
            write_time(seconds, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }
}
