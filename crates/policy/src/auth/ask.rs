//! Questions to a service that is asked who may pass, and what follows from its answers.
//!
//! A question is a GET that tells of the request by the names that such services know: `x-forwarded-method`, `-uri`,
//! `-host`, `-proto` and `-for`, and for those made for nginx `x-original-method`, `-url` and `-uri`. The client cannot
//! write any of them.

use std::net::IpAddr;
use std::sync::Arc;

use waypost_auth::identity::Identity;
use waypost_auth::recent::Digest;
use waypost_plan::auth::ask::Ask;
use waypost_plan::service::SentHost;
use waypost_wire::field::{Field, FieldKind};
use waypost_wire::response::ResponseHead;
use waypost_wire::write;

use crate::compiled::Compiled;
use crate::forwarded::ForwardedHeaders;
use crate::permissions::Permission;
use crate::request::IncomingRequest;
use crate::request_id::{self, RequestId};

/// The meaning of the head of an answer.
#[derive(Debug)]
pub enum Answered {
    /// The request passes.
    Permission(Arc<Permission>),
    /// The client gets the answer.
    Refusal,
    /// Nothing that an answer may be.
    Nonsense,
}

/// Appends a question, with its empty line. Returns the place of the authority of the endpoint, if that is its host.
pub fn write_question(
    ask: &Ask,
    host: &SentHost,
    request: &IncomingRequest<'_>,
    id: Option<RequestId<'_>>,
    out: &mut Vec<u8>,
) -> Option<usize> {
    out.extend_from_slice(b"GET ");
    out.extend_from_slice(ask.path.as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\nHost: ");
    let host = match host {
        SentHost::Client => request.head.authority(request.buffer),
        SentHost::Endpoint => None,
        SentHost::Named(name) => Some(name.as_bytes()),
    };
    let authority_at = host.is_none().then_some(out.len());
    out.extend_from_slice(host.unwrap_or_default());
    out.extend_from_slice(b"\r\n");
    let method = request.head.method(request.buffer);
    let path = request.normalized.path();
    let (mark, query) = match request.query {
        Some(query) => (&b"?"[..], query),
        None => (&b""[..], &b""[..]),
    };
    let scheme = request.url().scheme.as_str().as_bytes();
    let client = request.normalized.client();
    let authority = client
        .authority()
        .or_else(|| request.head.authority(request.buffer));
    let authority = authority.unwrap_or_default();
    for (name, parts) in [
        (&b"x-forwarded-method"[..], &[method][..]),
        (b"x-forwarded-uri", &[path, mark, query]),
        (b"x-original-method", &[method]),
        (b"x-original-uri", &[path, mark, query]),
        (b"x-original-url", &[scheme, b"://", authority, path, mark, query]),
    ] {
        out.extend_from_slice(name);
        out.extend_from_slice(b": ");
        parts.iter().for_each(|part| out.extend_from_slice(part));
        out.extend_from_slice(b"\r\n");
    }
    ForwardedHeaders::of(request, None).write(|_| false, out);
    let own_id = |field: &&Field| id.is_none() || field.kind != FieldKind::RequestId;
    for field in sent(ask, request).filter(own_id) {
        write::field(out, field.name.of(request.buffer), field.value.of(request.buffer));
    }
    if let Some(id) = id {
        request_id::write_line(id, out);
    }
    out.extend_from_slice(b"\r\n");
    authority_at
}

/// The lines of the request that a question has.
fn sent<'r>(ask: &Ask, request: &IncomingRequest<'r>) -> impl Iterator<Item = &'r Field> {
    let (head, buffer) = (request.head, request.buffer);
    head.fields().iter().filter(move |field| {
        let name = field.name.of(buffer);
        let mut names = ask.send.iter();
        names.any(|sent| name.eq_ignore_ascii_case(sent.as_bytes())) && !head.is_nominated(buffer, field)
    })
}

/// The digest of a question: of the way, of what is sent, of method and URL, and of the client's address, by which services
/// judge too: what one in the office may do is no permission for all others. `None` where no answer is kept.
pub fn digest(ask: &Ask, compiled: &Compiled, request: &IncomingRequest<'_>) -> Option<Digest> {
    ask.cache?;
    let permissions = compiled.permissions()?;
    let buffer = request.buffer;
    let url = request.url();
    let client = request.normalized.client();
    let authority = client.authority().or_else(|| request.head.authority(buffer));
    let address = match request.normalized.client_ip() {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    };
    let way = [ask.to.name.as_bytes(), ask.path.as_bytes(), &address];
    // Another way may ask the same service, and take other headers of its answer.
    let taken = ask.take.iter().map(|name| name.as_bytes());
    let parts = [
        &b""[..],
        request.head.method(buffer),
        url.scheme.as_str().as_bytes(),
        authority.unwrap_or_default(),
        url.path,
        match request.query {
            Some(_) => b"?",
            None => b"",
        },
        request.query.unwrap_or_default(),
    ];
    let sent = sent(ask, request).flat_map(|field| [field.name.of(buffer), field.value.of(buffer)]);
    Some(permissions.digest(way.into_iter().chain(taken).chain(parts).chain(sent)))
}

/// The permission for this question, if it is kept.
pub(super) fn recall(
    ask: &Ask,
    compiled: &Compiled,
    request: &IncomingRequest<'_>,
    now_ms: u64,
) -> Option<Arc<Permission>> {
    let digest = digest(ask, compiled, request)?;
    compiled.permissions()?.find(&digest, now_ms)
}

/// The meaning of an answer with this head, of which these headers are taken.
pub fn answered(take: &[Box<str>], head: &ResponseHead, buffer: &[u8]) -> Answered {
    match head.status() {
        200..=299 => Answered::Permission(Arc::new(permission(take, head, buffer))),
        // Nothing that is not modified was asked for.
        304 => Answered::Nonsense,
        300..=399 | 401 | 403 => Answered::Refusal,
        _ => Answered::Nonsense,
    }
}

/// Keeps a permission for its question. One that sets a cookie is for one client alone.
pub fn keep(
    ask: &Ask,
    compiled: &Compiled,
    question: Digest,
    permission: &Arc<Permission>,
    (head, buffer): (&ResponseHead, &[u8]),
    now_ms: u64,
) {
    let mut fields = head.fields().iter();
    let sets_cookie = fields.any(|field| field.name.of(buffer).eq_ignore_ascii_case(b"set-cookie"));
    if let (Some(time), Some(permissions), false) = (ask.cache, compiled.permissions(), sets_cookie) {
        let time = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        permissions.keep(question, permission, now_ms.saturating_add(time));
    }
}

fn permission(take: &[Box<str>], head: &ResponseHead, buffer: &[u8]) -> Permission {
    let mut lines = Vec::new();
    let mut identity = Identity::default();
    for (at, taken) in take.iter().enumerate() {
        let named = |field: &&Field| field.name.of(buffer).eq_ignore_ascii_case(taken.as_bytes());
        for (line, field) in head.fields().iter().filter(named).enumerate() {
            let value = field.value.of(buffer);
            if at == 0
                && line == 0
                && let Ok(name) = str::from_utf8(value)
            {
                identity = Identity::named(name);
            }
            write::field(&mut lines, taken.as_bytes(), value);
        }
    }
    Permission {
        identity,
        lines: lines.into(),
    }
}

/// The question, for an explanation: its request line and its headers, without the values of credentials.
pub(super) fn shown(ask: &Ask, request: &IncomingRequest<'_>) -> String {
    let mut out = Vec::new();
    write_question(ask, &SentHost::Client, request, None, &mut out);
    let text = String::from_utf8_lossy(&out);
    let mut lines = text.lines().filter(|line| !line.is_empty());
    let first = lines.next().unwrap_or_default();
    let first = first.strip_suffix(" HTTP/1.1").unwrap_or(first);
    let headers: Vec<String> = lines
        .skip(1)
        .map(|line| match line.split_once(": ") {
            Some((name, _)) if ask.send.iter().any(|sent| sent.eq_ignore_ascii_case(name)) => {
                format!("{}: (hidden)", name.to_ascii_lowercase())
            }
            _ => line.to_owned(),
        })
        .collect();
    format!(
        "the service `{}` is asked who may pass: {first} with {}",
        ask.to.name,
        headers.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    use waypost_wire::response::ResponseLimits;
    use waypost_wire::scan::HeadScan;

    /// The meaning of an answer: the identity and the lines of a permission, or a word.
    fn meaning(take: &[&str], answer: &str) -> String {
        let bytes = answer.as_bytes();
        let end = HeadScan::default().advance(bytes).unwrap().unwrap();
        let mut head = ResponseHead::default();
        head.parse(bytes, end, false, &ResponseLimits::default()).unwrap();
        let take: Vec<Box<str>> = take.iter().map(|name| (*name).into()).collect();
        match answered(&take, &head, bytes) {
            Answered::Permission(permission) => format!(
                "{:?} {}",
                permission.identity.name(),
                String::from_utf8_lossy(&permission.lines).replace("\r\n", ";")
            ),
            Answered::Refusal => "refusal".to_owned(),
            Answered::Nonsense => "nonsense".to_owned(),
        }
    }

    #[test]
    fn statuses_of_answers_are_permissions_refusals_or_nonsense() {
        for (status, expected) in [
            (200, "None "),
            (202, "None "),
            (204, "None "),
            (299, "None "),
            (300, "refusal"),
            (302, "refusal"),
            (303, "refusal"),
            (308, "refusal"),
            (401, "refusal"),
            (403, "refusal"),
            (304, "nonsense"),
            (400, "nonsense"),
            (402, "nonsense"),
            (404, "nonsense"),
            (407, "nonsense"),
            (429, "nonsense"),
            (500, "nonsense"),
            (503, "nonsense"),
        ] {
            let answer = format!("HTTP/1.1 {status} X\r\n\r\n");
            assert_eq!(meaning(&[], &answer), expected, "{status}");
        }
    }

    #[test]
    fn headers_are_taken_by_name_and_the_first_is_the_identity() {
        let answer =
            "HTTP/1.1 200 OK\r\nRemote-User: ann\r\nRemote-Groups: a\r\nRemote-Groups: b\r\nX: y\r\n\r\n";
        for (take, expected) in [
            (&[][..], "None "),
            (&["remote-user"], "Some(\"ann\") remote-user: ann;"),
            (
                &["remote-user", "remote-groups"],
                "Some(\"ann\") remote-user: ann;remote-groups: a;remote-groups: b;",
            ),
            (&["remote-name", "remote-user"], "None remote-user: ann;"),
        ] {
            assert_eq!(meaning(take, answer), expected, "{take:?}");
        }
    }
}
