//! The operations of the API, each defined once. The router and the OpenAPI document are generated from the list.

mod certificates;
pub mod config;
pub mod deals;
pub mod events;
pub mod explain;
pub mod failures;
mod fleet;
pub mod fleet_health;
pub mod health;
pub mod lately;
pub mod openapi;
pub mod paging;
pub mod revisions;
mod rollouts;
pub mod routes;
pub mod services;
pub mod stats;
pub mod status;
pub mod tail;
pub mod timeline;
mod upgrade;
pub mod whoami;

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, FromRequest, FromRequestParts, Path, Query, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::MethodRouter;
use axum::{Json, Router};
use schemars::{JsonSchema, Schema, SchemaGenerator};

use crate::access::{Access, INSTANCE, PASSED_ON, Role};
use crate::problem::Problem;
use crate::state::AppState;
use crate::ui;

/// Maximum size of a body: slightly above that of a config in JSON, where each character may be escaped, so that the config's
/// own limit applies first.
pub const BODY_BYTES_MAX: usize = (32 << 20) + (64 << 10);
/// Timeout for a response, including the time to read the body.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(60);
/// The same for an upgrade, which has a timeout of 60 s itself.
const UPGRADE_TIMEOUT: Duration = Duration::from_secs(75);

/// The state passed to every handler.
type App = State<Arc<AppState>>;

/// The client of a request: the name of its token, or a local user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller(pub String);

/// An operation of the API.
pub struct Operation {
    /// `get`, `put`, `post` or `delete`.
    pub method: &'static str,
    /// The path, with parameters in braces.
    pub path: &'static str,
    /// A summary, without a full stop.
    pub summary: &'static str,
    /// Query parameters: name, JSON type and meaning.
    pub query: &'static [(&'static str, &'static str, &'static str)],
    /// Forms of the request body; empty without a body.
    pub body: Vec<Content>,
    /// Forms of the body of a successful response.
    pub response: Vec<Content>,
    /// Statuses of error responses, each with a problem document.
    pub problems: &'static [u16],
    handler: fn() -> MethodRouter<Arc<AppState>>,
}

/// A form of a body.
pub struct Content {
    /// The media type.
    pub kind: &'static str,
    /// The schema, for JSON.
    pub schema: Option<fn(&mut SchemaGenerator) -> Schema>,
}

/// A JSON body of this type.
const fn json<T: JsonSchema>() -> Content {
    Content {
        kind: "application/json",
        schema: Some(|generator| generator.subschema_for::<T>()),
    }
}

/// A text body of this media type.
const fn text(kind: &'static str) -> Content {
    Content { kind, schema: None }
}

/// Operations without access control: supervisors that probe the process have no token.
const OPEN: [&str; 2] = ["/healthz", "/readyz"];

/// All operations.
pub fn operations() -> Vec<Operation> {
    let mut all = Vec::new();
    all.extend(health::operations());
    all.extend(status::operations());
    all.extend(fleet::operations());
    all.extend(lately::operations());
    all.extend(fleet_health::operations());
    all.extend(routes::operations());
    all.extend(failures::operations());
    all.extend(deals::operations());
    all.extend(rollouts::operations());
    all.extend(services::operations());
    all.extend(certificates::operations());
    all.extend(explain::operations());
    all.extend(config::operations());
    all.extend(revisions::operations());
    all.extend(stats::operations());
    all.extend(timeline::operations());
    all.extend(events::operations());
    all.extend(tail::operations());
    all.extend(upgrade::operations());
    all.extend(whoami::operations());
    all.extend(openapi::operations());
    all
}

/// The router of the API.
pub fn router(state: Arc<AppState>, access: Arc<RwLock<Access>>) -> Router {
    let mut router = Router::new();
    for operation in operations() {
        router = router.route(operation.path, (operation.handler)());
    }
    for (path, handler) in ui::routes() {
        router = router.route(path, handler);
    }
    if state.test_clock {
        router = router.route("/api/v1/clock", axum::routing::post(rollouts::advance));
    }
    router
        .fallback(async || Problem::not_found("no such path; see /api/v1/openapi.json"))
        .method_not_allowed_fallback(async || {
            Problem::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "the path does not support this method; see /api/v1/openapi.json",
            )
        })
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn(bound))
        .layer(middleware::from_fn_with_state(Arc::clone(&state), lead))
        .layer(middleware::from_fn_with_state(access, admit))
        .with_state(state)
}

async fn admit(State(access): State<Arc<RwLock<Access>>>, mut request: Request, next: Next) -> Response {
    let path = request.uri().path();
    if ui::serves(path) {
        let access = access.read().unwrap_or_else(PoisonError::into_inner);
        if let Err(problem) = access.admit_to_dashboard(request.headers()) {
            return problem.into_response();
        }
    } else if !OPEN.contains(&path) {
        let admitted = access
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .admit(request.headers());
        match admitted {
            Ok(client) => {
                if client.role == Role::Read && !reads(&request) {
                    return read_only(&client.name).into_response();
                }
                request.extensions_mut().insert(Caller(client.name.clone()));
                request.extensions_mut().insert(client);
            }
            Err(problem) => return problem.into_response(),
        }
    }
    next.run(request).await
}

/// Refuses requests that are meant for another instance of the fleet, and those that were passed on to this one as the leader,
/// if it is not, or no longer. They are not passed on again.
async fn lead(state: App, request: Request, next: Next) -> Response {
    let meant = request.headers().get(INSTANCE);
    let own = state.instance();
    if let Some(meant) = meant.filter(|meant| own.as_deref().map(str::as_bytes) != Some(meant.as_bytes())) {
        return other_instance(&String::from_utf8_lossy(meant.as_bytes()), own.as_deref()).into_response();
    }
    if request.headers().contains_key(PASSED_ON) && !state.leads() {
        let detail = "this instance does not lead the fleet; try again";
        return Problem::new(StatusCode::MISDIRECTED_REQUEST, detail).into_response();
    }
    next.run(request).await
}

fn other_instance(meant: &str, own: Option<&str>) -> Problem {
    let own = match own {
        Some(own) => format!("it is that of instance {own}"),
        None => "it belongs to no fleet".to_owned(),
    };
    let detail = format!(
        "this is not the admin API of instance {meant}: {own}; bind `admin` to an address that leads the other instances to it alone"
    );
    Problem::new(StatusCode::MISDIRECTED_REQUEST, detail)
}

/// Returns true if a request changes nothing.
fn reads(request: &Request) -> bool {
    let is_question = request.method() == Method::POST && request.uri().path() == explain::PATH;
    matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS) || is_question
}

fn read_only(name: &str) -> Problem {
    let detail = format!(
        "the token of `{name}` is for reading only; to change something, take one without `read` behind it in the token file"
    );
    Problem::new(StatusCode::FORBIDDEN, detail)
}

async fn bound(request: Request, next: Next) -> Response {
    // Refuse an announced length early, before the body is sent.
    let announced = request.headers().get(header::CONTENT_LENGTH);
    let announced = announced.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if let Some(length) = announced.filter(|length| *length > BODY_BYTES_MAX as u64) {
        let detail = format!(
            "the body has {length} bytes, and at most {BODY_BYTES_MAX} are taken: a configuration of 16 MiB in JSON"
        );
        return Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail).into_response();
    }
    let limit = match request.uri().path() {
        upgrade::PATH => UPGRADE_TIMEOUT,
        _ => RESPONSE_TIMEOUT,
    };
    match tokio::time::timeout(limit, next.run(request)).await {
        Ok(response) => response,
        // The command is not cancelled and may still take effect.
        Err(_) => Problem::new(
            StatusCode::GATEWAY_TIMEOUT,
            "the operation did not finish in time; check the status later",
        )
        .into_response(),
    }
}

/// The query of a request. A malformed one is rejected with a problem document.
struct QueryParams<T>(T);

impl<T: serde::de::DeserializeOwned, S: Send + Sync> FromRequestParts<S> for QueryParams<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let query = Query::<T>::from_request_parts(parts, state).await;
        query
            .map(|Query(asked)| Self(asked))
            .map_err(|rejection| Problem::new(rejection.status(), rejection.body_text()))
    }
}

/// A name in the path of a request. A malformed one is rejected with a problem document.
///
/// Browsers take `.` and `..` out of paths, however they are spelled (WHATWG URL standard, "double-dot URL path segment"). So
/// they may be written with a `~` in front, which no name begins with.
struct PathName(String);

impl<S: Send + Sync> FromRequestParts<S> for PathName {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let name = Path::<String>::from_request_parts(parts, state).await;
        name.map(|Path(name)| match &*name {
            "~." | "~.." => Self(name[1..].to_owned()),
            _ => Self(name),
        })
        .map_err(|rejection| Problem::new(rejection.status(), rejection.body_text()))
    }
}

/// The body of a request. One that is too long or incomplete is rejected with a problem document.
struct Body(Bytes);

impl<S: Send + Sync> FromRequest<S> for Body {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let body = Bytes::from_request(request, state).await;
        body.map(Self)
            .map_err(|rejection| Problem::new(rejection.status(), rejection.body_text()))
    }
}

/// The body of a request, if its media type is one of `kinds`.
fn body_of<'b>(headers: &HeaderMap, body: &'b Bytes, kinds: &[&str]) -> Result<&'b [u8], Problem> {
    let kind = headers
        .get(header::CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok());
    let essence = kind.map(|kind| kind.split(';').next().unwrap_or(kind).trim().to_ascii_lowercase());
    if essence.as_deref().is_some_and(|essence| kinds.contains(&essence)) {
        return Ok(body);
    }
    Err(Problem::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        format!("the content type has to be {}", kinds.join(" or ")),
    ))
}

/// The entity tags of `If-Match` (RFC 9110 §13.1.1), without quotes; `None` without the header.
fn if_match(headers: &HeaderMap) -> Option<Vec<String>> {
    headers.get(header::IF_MATCH)?;
    let mut tags = Vec::new();
    for line in headers.get_all(header::IF_MATCH) {
        let line = line.to_str().unwrap_or_default();
        // Only a bare `*` matches anything; in quotes it is a tag.
        let tags_of_line = line.split(',').map(str::trim).filter(|tag| *tag != "\"*\"");
        tags.extend(tags_of_line.map(|tag| tag.trim_matches('"').to_owned()));
    }
    Some(tags)
}

/// A JSON body, with the version of what it shows as its ETag.
type Versioned<T> = ([(HeaderName, HeaderValue); 1], Json<T>);

/// A strong entity tag.
fn etag(version: &str) -> HeaderValue {
    HeaderValue::try_from(format!("\"{version}\"")).unwrap_or(HeaderValue::from_static("\"\""))
}

/// Parses a JSON body.
fn json_body<T: serde::de::DeserializeOwned>(headers: &HeaderMap, body: &Bytes) -> Result<T, Problem> {
    let body = body_of(headers, body, &["application/json"])?;
    serde_json::from_slice(body).map_err(|error| {
        let status = match error.classify() {
            serde_json::error::Category::Data => StatusCode::UNPROCESSABLE_ENTITY,
            _ => StatusCode::BAD_REQUEST,
        };
        Problem::new(status, format!("the body is not valid: {error}"))
    })
}

/// Pairs as a query has them.
fn query(pairs: &[(&str, &str)]) -> String {
    let mut text = String::new();
    for (name, value) in pairs {
        let separator = if text.is_empty() { "" } else { "&" };
        text.push_str(&format!("{separator}{name}="));
        for byte in value.bytes() {
            match byte.is_ascii_alphanumeric() {
                true => text.push(char::from(byte)),
                false => text.push_str(&format!("%{byte:02X}")),
            }
        }
    }
    text
}
