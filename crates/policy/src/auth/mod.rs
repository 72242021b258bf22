//! Authentication: the way that decides, and the conditions on who may pass.
//!
//! The first way that a request carries credentials for decides. What it finds out at once is judged at once; for what
//! lies elsewhere the decision waits ([`Verdict::Wait`](crate::decision::Verdict::Wait)), and is made again with what came
//! of it ([`Waited`]).

mod allow;
pub mod ask;
pub mod basic;
pub mod credentials;
mod jwt;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use waypost_auth::identity::Identity;
use waypost_auth::token::verify::Refusal;
use waypost_plan::auth::jwt::Jwt;
use waypost_plan::auth::{Auth, Place, Way, WayKind};

use crate::auth::basic::Carried;
use crate::auth::credentials::Found;
use crate::compiled::Compiled;
use crate::failure::Failure;
use crate::permissions::Permission;
use crate::request::IncomingRequest;

/// The result of an authentication; its name is a metric label, and a stable interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthResult {
    /// The request passed.
    Passed,
    /// It carried no credentials.
    NoCredentials,
    /// Its credentials are wrong.
    BadCredentials,
    /// It is known who asks, and no entry of `allow` holds.
    NotAllowed,
    /// It could not be found out who asks.
    Unavailable,
}

/// The judgement on who sends a request.
#[derive(Debug, Clone)]
pub struct Judged {
    /// The way that decided, by position; `None` where the request carried no credentials.
    pub way: Option<usize>,
    /// The kind of that way.
    pub kind: Option<WayKind>,
    /// The client, as far as it was verified.
    pub identity: Option<Identity>,
    /// The permission of a service, if one was asked.
    pub permission: Option<Arc<Permission>>,
    /// The result.
    pub result: AuthResult,
    /// The reason that the credentials are wrong, where there is more to say.
    pub reason: Option<Reason>,
}

/// A reason that credentials are wrong. It holds nothing of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// There are several at the place of one.
    Several,
    /// Its token is refused.
    Token(Refusal),
}

/// The outcome of what a decision waited for.
#[derive(Debug, Clone)]
pub enum Waited {
    /// No more is known than before.
    Over,
    /// This client was verified.
    Admitted(Identity),
    /// A service permits the request.
    Permitted(Arc<Permission>),
    /// The request is refused.
    Refused(Failure),
}

/// The step that follows from a judgement.
pub(crate) enum Next<'p> {
    /// The request goes on.
    Pass,
    /// It is refused.
    Refuse(Failure),
    /// It waits for an outcome of this way.
    Wait(&'p Way),
}

/// The credentials that one way finds in a request.
enum Shown {
    /// No credentials.
    Nothing,
    /// The credentials of this client.
    Client(Identity),
    /// A permission of a service.
    Permission(Arc<Permission>),
    /// Wrong ones, or none that can be verified.
    Failure(Failure, Option<Reason>),
    /// Some that are verified elsewhere.
    Unknown,
}

impl AuthResult {
    /// All results, in the order of their counters.
    pub const ALL: [Self; 5] = [
        Self::Passed,
        Self::NoCredentials,
        Self::BadCredentials,
        Self::NotAllowed,
        Self::Unavailable,
    ];

    /// The value of the label `result`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::NoCredentials => "no_credentials",
            Self::BadCredentials => "bad_credentials",
            Self::NotAllowed => "not_allowed",
            Self::Unavailable => "unavailable",
        }
    }

    fn of(failure: Failure) -> Self {
        match failure {
            Failure::NoCredentials => Self::NoCredentials,
            Failure::BadCredentials => Self::BadCredentials,
            Failure::NotAllowed => Self::NotAllowed,
            _ => Self::Unavailable,
        }
    }
}

/// Judges who sends a request. `waited` is what came of a wait, if there was one.
pub(crate) fn judge<'p>(
    auth: &'p Auth,
    compiled: &Compiled,
    request: &IncomingRequest<'_>,
    waited: Option<Waited>,
    now_ms: u64,
) -> (Option<Judged>, Next<'p>) {
    let mut waited = waited;
    for (mut at, way) in auth.ways.iter().enumerate() {
        let shown = match way {
            Way::Key(key) => match credentials::at(&key.place, request) {
                Found::Nothing => Shown::Nothing,
                Found::Several => Shown::Failure(Failure::BadCredentials, Some(Reason::Several)),
                Found::One(given) => match compiled.key_files().keys(&key.file).as_deref() {
                    Some(Some(keys)) => match keys.find(&given) {
                        Some(identity) => Shown::Client(identity.clone()),
                        None => Shown::Failure(Failure::BadCredentials, None),
                    },
                    _ => Shown::Unknown,
                },
            },
            Way::Jwt(jwt) => {
                let now = Duration::from_millis(now_ms);
                let shown = |jwt: &Jwt| jwt::shown(jwt, compiled, request, now, waited.is_none());
                let (decides, shown) = verifying(auth, at, shown(jwt), shown);
                at = decides;
                shown
            }
            Way::Basic(way) => match basic::carried(way, request) {
                Carried::Nothing => Shown::Nothing,
                Carried::Malformed => Shown::Failure(Failure::BadCredentials, None),
                Carried::Pair(pair) => {
                    basic::recall(way, &pair, compiled, now_ms).map_or(Shown::Unknown, Shown::Client)
                }
            },
            // What was asked is known.
            Way::Ask(_) if waited.is_some() => Shown::Unknown,
            // It judges every request: one without credentials is led to where they are got.
            Way::Ask(ask) => {
                ask::recall(ask, compiled, request, now_ms).map_or(Shown::Unknown, Shown::Permission)
            }
        };
        let shown = match (shown, waited.take()) {
            (Shown::Nothing, kept) => {
                waited = kept;
                continue;
            }
            (_, Some(Waited::Admitted(identity))) => Shown::Client(identity),
            (_, Some(Waited::Permitted(permission))) => Shown::Permission(permission),
            (_, Some(Waited::Refused(failure))) => Shown::Failure(failure, None),
            (Shown::Unknown, Some(Waited::Over)) => Shown::Failure(Failure::AuthUnavailable, None),
            (Shown::Unknown, None) => return (None, Next::Wait(&auth.ways[at])),
            (shown, Some(Waited::Over) | None) => shown,
        };
        return decided(auth, at, shown);
    }
    let judged = Judged {
        way: None,
        kind: None,
        identity: None,
        permission: None,
        result: AuthResult::NoCredentials,
        reason: None,
    };
    (Some(judged), Next::Refuse(Failure::NoCredentials))
}

/// The way that decides on a token, by position, with what it found. The token at a place is for the one of the ways there
/// that can verify it: each issuer is a way. `first` is what the first of them found, at this position.
fn verifying(auth: &Auth, at: usize, first: Shown, find: impl Fn(&Jwt) -> Shown) -> (usize, Shown) {
    /// The order in which outcomes count.
    fn rank(shown: &Shown) -> u8 {
        match shown {
            Shown::Client(_) | Shown::Permission(_) | Shown::Nothing => 3,
            // It may become valid.
            Shown::Unknown => 2,
            Shown::Failure(Failure::BadCredentials, _) => 0,
            Shown::Failure(..) => 1,
        }
    }
    let place = auth.ways[at].place();
    let mut best = (at, first);
    for (other, way) in auth.ways.iter().enumerate().skip(at + 1) {
        if rank(&best.1) == 3 {
            break;
        }
        if let Way::Jwt(jwt) = way
            && way.place() == place
        {
            let shown = find(jwt);
            if rank(&shown) > rank(&best.1) {
                best = (other, shown);
            }
        }
    }
    best
}

/// The judgement by the way at this position.
fn decided(auth: &Auth, way: usize, shown: Shown) -> (Option<Judged>, Next<'_>) {
    let judged = |identity, result, reason| {
        Some(Judged {
            way: Some(way),
            kind: auth.ways.get(way).map(Way::kind),
            identity,
            permission: None,
            result,
            reason,
        })
    };
    let refuse = |identity, failure, reason| {
        let judged = judged(identity, AuthResult::of(failure), reason);
        (judged, Next::Refuse(failure))
    };
    let (shown, permission) = match shown {
        Shown::Permission(permission) => {
            let identity = permission.identity.clone();
            (Shown::Client(identity), Some(permission))
        }
        shown => (shown, None),
    };
    match shown {
        Shown::Client(identity) if allow::admits(&auth.allow, &identity) => {
            let judged = judged(Some(identity), AuthResult::Passed, None);
            let judged = judged.map(|judged| Judged { permission, ..judged });
            (judged, Next::Pass)
        }
        Shown::Client(identity) => refuse(Some(identity), Failure::NotAllowed, None),
        Shown::Failure(failure, reason) => refuse(None, failure, reason),
        Shown::Nothing | Shown::Unknown | Shown::Permission(_) => refuse(None, Failure::NoCredentials, None),
    }
}

/// Appends the lines that the way which decided writes into the request.
pub(crate) fn write_lines(auth: &Auth, judged: &Judged, out: &mut Vec<u8>) {
    if let Some(permission) = &judged.permission {
        out.extend_from_slice(&permission.lines);
    }
    let way = judged.way.and_then(|way| auth.ways.get(way));
    let claims = judged.identity.as_ref().and_then(Identity::claims);
    if let (Some(Way::Jwt(jwt)), Some(claims)) = (way, claims) {
        jwt::write_claims(jwt, claims, out);
    }
}

/// The outcome of a wait that an explanation need not wait for: a password is verified at once. `None` for any other.
pub(crate) fn find_out(
    way: &Way,
    compiled: &Compiled,
    request: &IncomingRequest<'_>,
    now_ms: u64,
) -> Option<Waited> {
    let Way::Basic(way) = way else {
        return None;
    };
    let Carried::Pair(pair) = basic::carried(way, request) else {
        return None;
    };
    let users = compiled.password_files().users(&way.file)?;
    Some(match users.verify(&pair, now_ms) {
        Some(identity) => Waited::Admitted(identity),
        None => Waited::Refused(Failure::BadCredentials),
    })
}

/// Appends the challenges of a refusal (RFC 9110 §11.6.1), one line for each way. `by` is the way that decided.
pub(crate) fn write_challenges(auth: &Auth, failure: Failure, by: Option<usize>, out: &mut Vec<u8>) {
    for (at, way) in auth.ways.iter().enumerate() {
        let failure = match by {
            Some(by) if by != at => Failure::NoCredentials,
            _ => failure,
        };
        write_challenge(way, failure, out);
    }
}

/// Appends the challenge of one way, to a request that it found `failure` in.
fn write_challenge(way: &Way, failure: Failure, out: &mut Vec<u8>) {
    match way {
        // There is no registered scheme for keys; a client learns where to put one.
        Way::Key(key) if failure.status() == 401 => {
            out.extend_from_slice(b"www-authenticate: ApiKey ");
            out.extend_from_slice(key.place.key().as_bytes());
            out.extend_from_slice(b"=\"");
            for byte in key.place.name().bytes() {
                if matches!(byte, b'"' | b'\\') {
                    out.push(b'\\');
                }
                out.push(byte);
            }
            out.extend_from_slice(b"\"\r\n");
        }
        Way::Jwt(_) => jwt::write_challenge(failure, out),
        Way::Basic(way) if failure.status() == 401 => basic::write_challenge(way, out),
        // A service that is asked challenges by itself.
        Way::Key(_) | Way::Basic(_) | Way::Ask(_) => {}
    }
}

/// The reason of a refusal, for an explanation: without anything of the credentials.
pub(crate) fn because(auth: &Auth, judged: &Judged) -> String {
    let list = |items: Vec<String>| items.join(", ");
    match judged.result {
        AuthResult::NoCredentials => {
            let places = auth.ways.iter().filter_map(Way::place).map(Place::to_string);
            format!(
                "the request has no credentials; they go into {}",
                list(places.collect())
            )
        }
        AuthResult::NotAllowed => {
            let entries = auth.allow.iter().map(ToString::to_string).collect();
            let name = judged.identity.as_ref().and_then(Identity::name);
            format!(
                "{} meets none of `allow`: {}",
                name.map_or_else(
                    || "a client without a name".to_owned(),
                    |name| format!("`{name}`")
                ),
                list(entries)
            )
        }
        AuthResult::BadCredentials => {
            let way = judged.way.and_then(|way| auth.ways.get(way));
            match judged.reason {
                Some(Reason::Several) => format!("there are several credentials of {}", Named(way)),
                Some(Reason::Token(refusal)) => format!("{refusal}, of {}", Named(way)),
                None => format!("the credentials of {} are wrong", Named(way)),
            }
        }
        AuthResult::Unavailable => {
            let way = judged.way.and_then(|way| auth.ways.get(way));
            format!("the credentials of {} cannot be verified here", Named(way))
        }
        AuthResult::Passed => String::new(),
    }
}

/// The reason that an explanation does not say what comes of a wait.
pub(crate) fn unknown(way: &Way, request: &IncomingRequest<'_>) -> String {
    if let Way::Ask(ask) = way {
        return ask::shown(ask, request);
    }
    format!("the credentials of {} are verified elsewhere", Named(Some(way)))
}

/// A way by its key and its place.
struct Named<'a>(Option<&'a Way>);

impl fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(way) = self.0 else {
            return f.write_str("the request");
        };
        write!(f, "`{}`", way.kind().as_str())?;
        match way.place() {
            Some(place) => write!(f, " in {place}"),
            None => Ok(()),
        }
    }
}
