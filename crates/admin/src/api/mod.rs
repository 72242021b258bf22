//! The operations, each once: router and OpenAPI document are made from this list.

pub mod config;
pub mod events;
pub mod explain;
pub mod health;
pub mod openapi;
pub mod revisions;
pub mod routes;
pub mod services;
pub mod stats;
pub mod status;

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Extension, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::MethodRouter;
use schemars::{JsonSchema, Schema, SchemaGenerator};

use crate::access::Access;
use crate::problem::Problem;
use crate::shared::Shared;

/// The longest body: a config, and a little beyond, so that the config's own bound speaks first.
const BODY_BYTES_MAX: usize = (16 << 20) + (64 << 10);
/// How long an answer may take, the reading of the body included.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// What every handler is given.
type App = State<Arc<Shared>>;
/// Who asks.
type Asker = Extension<By>;

/// Who asks: the name of a token, or a local user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct By(pub String);

/// An operation of the API.
pub struct Operation {
    /// `get`, `put`, `post` or `delete`.
    pub method: &'static str,
    /// The path, with parameters in braces.
    pub path: &'static str,
    /// What it does, in a sentence without a full stop.
    pub summary: &'static str,
    /// Its query parameters, and what they mean.
    pub query: &'static [(&'static str, &'static str)],
    /// Its body, by type.
    pub body: Option<Content>,
    /// What it answers when all is well.
    pub answer: Content,
    /// What else it answers: statuses, each with a problem document.
    pub problems: &'static [u16],
    handler: fn() -> MethodRouter<Arc<Shared>>,
}

/// The content of a body.
pub struct Content {
    /// Its type.
    pub kind: &'static str,
    /// Its schema, for JSON.
    pub schema: Option<fn(&mut SchemaGenerator) -> Schema>,
}

/// JSON of this type.
const fn json<T: JsonSchema>() -> Content {
    Content {
        kind: "application/json",
        schema: Some(|generator| generator.subschema_for::<T>()),
    }
}

/// Text of this kind.
const fn text(kind: &'static str) -> Content {
    Content { kind, schema: None }
}

/// The operations that are open to everybody: whoever supervises the process has no token.
const OPEN: [&str; 2] = ["/healthz", "/readyz"];

/// All operations.
pub fn operations() -> Vec<Operation> {
    let mut all = Vec::new();
    all.extend(health::operations());
    all.extend(status::operations());
    all.extend(routes::operations());
    all.extend(services::operations());
    all.extend(explain::operations());
    all.extend(config::operations());
    all.extend(revisions::operations());
    all.extend(stats::operations());
    all.extend(events::operations());
    all.extend(openapi::operations());
    all
}

/// The router of the API.
pub fn router(shared: Arc<Shared>, access: Arc<RwLock<Access>>) -> Router {
    let mut router = Router::new();
    for operation in operations() {
        router = router.route(operation.path, (operation.handler)());
    }
    router
        .fallback(async || Problem::not_found("there is nothing here; see /api/v1/openapi.json"))
        .method_not_allowed_fallback(async || {
            Problem::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "the method has no meaning here; see /api/v1/openapi.json",
            )
        })
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn(bound))
        .layer(middleware::from_fn_with_state(access, admit))
        .with_state(shared)
}

async fn admit(State(access): State<Arc<RwLock<Access>>>, mut request: Request, next: Next) -> Response {
    if !OPEN.contains(&request.uri().path()) {
        let admitted = access
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .admit(request.headers());
        match admitted {
            Ok(name) => {
                request.extensions_mut().insert(By(name));
            }
            Err(problem) => return problem.into_response(),
        }
    }
    next.run(request).await
}

async fn bound(request: Request, next: Next) -> Response {
    // Whoever announces too much is told before sending it.
    let announced = request.headers().get(header::CONTENT_LENGTH);
    let announced = announced.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > BODY_BYTES_MAX as u64) {
        return Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "the body is too long").into_response();
    }
    match tokio::time::timeout(ANSWER_TIMEOUT, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::new(StatusCode::REQUEST_TIMEOUT, "it took too long").into_response(),
    }
}

/// The body of a request, if its type is one of `kinds`.
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

/// The body as JSON of some type.
fn json_body<T: serde::de::DeserializeOwned>(headers: &HeaderMap, body: &Bytes) -> Result<T, Problem> {
    let body = body_of(headers, body, &["application/json"])?;
    serde_json::from_slice(body).map_err(|error| {
        let status = match error.classify() {
            serde_json::error::Category::Data => StatusCode::UNPROCESSABLE_ENTITY,
            _ => StatusCode::BAD_REQUEST,
        };
        Problem::new(status, format!("the body is not what it should be: {error}"))
    })
}
