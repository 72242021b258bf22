//! Operations on the config: read, replace, confirm.

use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use waypost_plan::duration;

use super::{
    App, Body, Caller, Operation, PathName, QueryParams, body_of, etag, if_match, json, json_body, text,
};
use crate::command::{Applied, Change, Command, ConfigTexts, Replaced, Trial};
use crate::problem::Problem;

/// The media type of a config.
const YAML: &str = "application/yaml";
/// Media types accepted for a config.
const YAML_KINDS: [&str; 5] = [
    YAML,
    "application/x-yaml",
    "text/yaml",
    "text/x-yaml",
    "text/plain",
];
/// The media type of all files of a directory.
const FILES: &str = "application/json";
/// Maximum time to confirm a change.
const CONFIRM_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// Default time that a canary has to be healthy.
const HOLD: Duration = Duration::from_secs(60);
/// Maximum of it.
const HOLD_MAX: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// Query parameters of a change.
const CHANGE_QUERY: &[(&str, &str, &str)] = &[
    (
        "dry_run",
        "boolean",
        "`true` validates the config without applying it",
    ),
    (
        "confirm",
        "string",
        "a duration such as `60s`: the change is reverted unless confirmed within it",
    ),
    (
        "canary",
        "string",
        "in a fleet, the number of instances that try the config before all take it, such as `1`, or their share, such as `25%`; \
         the answer then is 202, with the canary that `GET /api/v1/fleet/canary` follows",
    ),
    (
        "hold",
        "string",
        "the time that the config has to be healthy at all instances that try it; by default `60s`",
    ),
];

/// The query of a change.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ChangeQuery {
    #[serde(default)]
    dry_run: bool,
    confirm: Option<String>,
    canary: Option<String>,
    hold: Option<String>,
}

/// All files of a config directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Files {
    /// The files.
    pub files: Vec<File>,
}

/// A file of the config.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct File {
    /// The file name, without directories.
    pub name: String,
    /// The text.
    pub text: String,
    /// Hash of the text; ignored in requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<String>,
}

pub(super) fn operations() -> Vec<Operation> {
    const PROBLEMS: &[u16] = &[400, 404, 409, 412, 413, 415, 422, 428, 503, 507];
    vec![
        Operation {
            method: "get",
            path: "/api/v1/config",
            summary: "The active config, byte for byte, with an ETag; for a directory, all files as JSON",
            query: &[],
            body: Vec::new(),
            response: vec![text(YAML), json::<Files>()],
            problems: &[503],
            handler: || get(read),
        },
        Operation {
            method: "put",
            path: "/api/v1/config",
            summary: "Replace the config; requires If-Match with the ETag of the current one",
            query: CHANGE_QUERY,
            body: vec![text(YAML), json::<Files>()],
            response: vec![json::<Applied>()],
            problems: PROBLEMS,
            handler: || put(replace),
        },
        Operation {
            method: "get",
            path: "/api/v1/config/files",
            summary: "All files of the config, with their texts",
            query: &[],
            body: Vec::new(),
            response: vec![json::<Files>()],
            problems: &[503],
            handler: || get(read_files),
        },
        Operation {
            method: "get",
            path: "/api/v1/config/files/{name}",
            summary: "The text of one file, byte for byte, with an ETag",
            query: &[],
            body: Vec::new(),
            response: vec![text(YAML)],
            problems: &[404, 503],
            handler: || get(read_file),
        },
        Operation {
            method: "put",
            path: "/api/v1/config/files/{name}",
            summary: "Replace or create one file; requires If-Match with its ETag, or `*`",
            query: CHANGE_QUERY,
            body: vec![text(YAML)],
            response: vec![json::<Applied>()],
            problems: PROBLEMS,
            handler: || put(replace_file),
        },
        Operation {
            method: "post",
            path: "/api/v1/config/confirm",
            summary: "Confirm the pending change; with If-Match, only if the pending config has this ETag",
            query: &[],
            body: Vec::new(),
            response: vec![json::<Applied>()],
            problems: &[409, 412, 503, 507],
            handler: || post(confirm),
        },
        Operation {
            method: "post",
            path: "/api/v1/config/revert",
            summary: "Revert the pending change now; with If-Match, only if the pending config has this ETag",
            query: &[],
            body: Vec::new(),
            response: vec![json::<Applied>()],
            problems: &[409, 412, 503, 507],
            handler: || post(revert),
        },
    ]
}

async fn read(State(state): App) -> Result<Response, Problem> {
    let config = state.execute(|reply| Command::ReadConfig { reply }).await?;
    if config.is_directory {
        return Ok(all_files(config));
    }
    let file = config.files.into_iter().next();
    file.map(|file| yaml(&file.hash, file.text))
        .ok_or_else(|| Problem::not_found("there is no text"))
}

async fn read_files(State(state): App) -> Result<Response, Problem> {
    let config = state.execute(|reply| Command::ReadConfig { reply }).await?;
    Ok(all_files(config))
}

async fn read_file(State(state): App, PathName(name): PathName) -> Result<Response, Problem> {
    let config = state.execute(|reply| Command::ReadConfig { reply }).await?;
    let file = config.files.into_iter().find(|file| file.name == name);
    file.map(|file| yaml(&file.hash, file.text))
        .ok_or_else(|| Problem::not_found(format!("the config has no file `{name}`")))
}

async fn replace(
    State(state): App,
    Extension(Caller(by)): Extension<Caller>,
    QueryParams(query): QueryParams<ChangeQuery>,
    headers: HeaderMap,
    Body(body): Body,
) -> Result<Response, Problem> {
    let if_match = required_if_match(&headers)?;
    let kind = headers
        .get(header::CONTENT_TYPE)
        .map(|kind| kind.as_bytes().to_ascii_lowercase());
    let what = if kind.is_some_and(|kind| kind.starts_with(FILES.as_bytes())) {
        let sent: Files = json_body(&headers, &body)?;
        let files = sent.files.into_iter();
        Replaced::Files(files.map(|file| (file.name, file.text.into_bytes())).collect())
    } else {
        Replaced::Text(body_of(&headers, &body, &YAML_KINDS)?.to_vec())
    };
    apply(&state, what, if_match, query, by).await
}

async fn replace_file(
    State(state): App,
    Extension(Caller(by)): Extension<Caller>,
    PathName(name): PathName,
    QueryParams(query): QueryParams<ChangeQuery>,
    headers: HeaderMap,
    Body(body): Body,
) -> Result<Response, Problem> {
    let if_match = required_if_match(&headers)?;
    let text = body_of(&headers, &body, &YAML_KINDS)?.to_vec();
    apply(&state, Replaced::File(name, text), if_match, query, by).await
}

async fn apply(
    state: &crate::state::AppState,
    what: Replaced,
    if_match: Vec<String>,
    query: ChangeQuery,
    by: String,
) -> Result<Response, Problem> {
    let change = Change {
        what,
        if_match,
        dry_run: query.dry_run,
        confirm: confirm_in(query.confirm.as_deref())?,
        canary: trial_in(&query)?,
        by,
    };
    let applied = state.execute(|reply| Command::Apply { change, reply }).await?;
    let etag = etag(&applied.hash);
    let status = match &applied.canary {
        Some(_) => StatusCode::ACCEPTED,
        None => StatusCode::OK,
    };
    Ok((status, [(header::ETAG, etag)], Json(applied)).into_response())
}

async fn confirm(
    State(state): App,
    Extension(Caller(by)): Extension<Caller>,
    headers: HeaderMap,
) -> Result<Json<Applied>, Problem> {
    let if_match = if_match(&headers);
    let confirmed = state.execute(|reply| Command::Confirm { if_match, by, reply });
    Ok(Json(confirmed.await?))
}

async fn revert(
    State(state): App,
    Extension(Caller(by)): Extension<Caller>,
    headers: HeaderMap,
) -> Result<Json<Applied>, Problem> {
    let if_match = if_match(&headers);
    let reverted = state.execute(|reply| Command::Revert { if_match, by, reply });
    Ok(Json(reverted.await?))
}

/// Parses the time to confirm a change.
fn confirm_in(text: Option<&str>) -> Result<Option<Duration>, Problem> {
    let Some(text) = text else {
        return Ok(None);
    };
    let parsed = duration::parse(text);
    let wait = parsed.map_err(|error| Problem::invalid(format!("`confirm={text}`: {error}")))?;
    if wait.is_zero() || wait > CONFIRM_MAX {
        return Err(Problem::invalid("`confirm` is a duration from `1ms` to `24h`"));
    }
    Ok(Some(wait))
}

/// The way in which some instances try a change.
fn trial_in(query: &ChangeQuery) -> Result<Option<Trial>, Problem> {
    let Some(instances) = query.canary.clone() else {
        return match &query.hold {
            None => Ok(None),
            Some(_) => Err(Problem::invalid("`hold` goes with `canary`")),
        };
    };
    if query.confirm.is_some() {
        return Err(Problem::invalid(
            "`canary` does not go with `confirm`: what some instances try is taken back by itself unless it is healthy",
        ));
    }
    let hold = match query.hold.as_deref() {
        None => HOLD,
        Some(text) => {
            duration::parse(text).map_err(|error| Problem::invalid(format!("`hold={text}`: {error}")))?
        }
    };
    if hold > HOLD_MAX {
        return Err(Problem::invalid("`hold` is a duration up to `168h`"));
    }
    Ok(Some(Trial { instances, hold }))
}

/// The entity tags of `If-Match`, which is required.
fn required_if_match(headers: &HeaderMap) -> Result<Vec<String>, Problem> {
    if_match(headers).ok_or_else(|| {
        Problem::new(
            StatusCode::PRECONDITION_REQUIRED,
            "`If-Match` is required: the ETag from GET, or `*`",
        )
    })
}

fn all_files(config: ConfigTexts) -> Response {
    let etag = etag(&config.hash);
    let files = config.files.into_iter().map(|file| File {
        name: file.name,
        text: String::from_utf8_lossy(&file.text).into_owned(),
        hash: Some(file.hash),
    });
    let files = Files {
        files: files.collect(),
    };
    ([(header::ETAG, etag)], Json(files)).into_response()
}

fn yaml(hash: &str, text: Bytes) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(YAML)),
        (header::ETAG, etag(hash)),
    ];
    (headers, text).into_response()
}
