//! The config: reading it, replacing it, and taking the replacement back unless it is confirmed.

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

use super::{App, Asked, Asker, Body, By, Named, Operation, body_of, json, json_body, text};
use crate::command::{Applied, Change, Command, ConfigTexts, Replaced};
use crate::problem::Problem;

/// The type of a config.
const YAML: &str = "application/yaml";
/// The types that a config may come as.
const YAML_KINDS: [&str; 5] = [
    YAML,
    "application/x-yaml",
    "text/yaml",
    "text/x-yaml",
    "text/plain",
];
/// The type of all files of a directory together.
const FILES: &str = "application/json";
/// The longest time to confirm in.
const CONFIRM_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// What can be said with a change.
const CHANGE_QUERY: &[(&str, &str, &str)] = &[
    ("dry_run", "boolean", "`true` only tries it: nothing changes"),
    (
        "confirm",
        "string",
        "a duration such as `60s`: the change is taken back unless it is confirmed in time",
    ),
];

/// How a change is to be made.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct How {
    #[serde(default)]
    dry_run: bool,
    confirm: Option<String>,
}

/// All files of a config that is a directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Files {
    /// Each file.
    pub files: Vec<File>,
}

/// A file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct File {
    /// The name, without directories.
    pub name: String,
    /// The text.
    pub text: String,
    /// Identifies the text; not needed when it is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<String>,
}

pub(super) fn operations() -> Vec<Operation> {
    const PROBLEMS: &[u16] = &[400, 404, 409, 412, 413, 415, 422, 428, 503, 507];
    vec![
        Operation {
            method: "get",
            path: "/api/v1/config",
            summary: "The text in force, byte for byte, with an ETag; of a directory, all files as JSON",
            query: &[],
            body: Vec::new(),
            answer: vec![text(YAML), json::<Files>()],
            problems: &[503],
            handler: || get(read),
        },
        Operation {
            method: "put",
            path: "/api/v1/config",
            summary: "Replace the config; needs If-Match with the ETag of the one that is replaced",
            query: CHANGE_QUERY,
            body: vec![text(YAML), json::<Files>()],
            answer: vec![json::<Applied>()],
            problems: PROBLEMS,
            handler: || put(replace),
        },
        Operation {
            method: "get",
            path: "/api/v1/config/files",
            summary: "All files of the config, with their texts",
            query: &[],
            body: Vec::new(),
            answer: vec![json::<Files>()],
            problems: &[503],
            handler: || get(read_files),
        },
        Operation {
            method: "get",
            path: "/api/v1/config/files/{name}",
            summary: "The text of one file, byte for byte, with an ETag",
            query: &[],
            body: Vec::new(),
            answer: vec![text(YAML)],
            problems: &[404, 503],
            handler: || get(read_file),
        },
        Operation {
            method: "put",
            path: "/api/v1/config/files/{name}",
            summary: "Replace one file; needs If-Match with its ETag, or `*`, also for a new one",
            query: CHANGE_QUERY,
            body: vec![text(YAML)],
            answer: vec![json::<Applied>()],
            problems: PROBLEMS,
            handler: || put(replace_file),
        },
        Operation {
            method: "post",
            path: "/api/v1/config/confirm",
            summary: "Keep the change that waits to be confirmed",
            query: &[],
            body: Vec::new(),
            answer: vec![json::<Applied>()],
            problems: &[409, 503, 507],
            handler: || post(confirm),
        },
    ]
}

async fn read(State(shared): App) -> Result<Response, Problem> {
    let config = shared.ask(|reply| Command::ReadConfig { reply }).await?;
    if config.is_directory {
        return Ok(all_files(config));
    }
    let file = config.files.into_iter().next();
    file.map(|file| yaml(&file.hash, file.text))
        .ok_or_else(|| Problem::not_found("there is no text"))
}

async fn read_files(State(shared): App) -> Result<Response, Problem> {
    let config = shared.ask(|reply| Command::ReadConfig { reply }).await?;
    Ok(all_files(config))
}

async fn read_file(State(shared): App, Named(name): Named) -> Result<Response, Problem> {
    let config = shared.ask(|reply| Command::ReadConfig { reply }).await?;
    let file = config.files.into_iter().find(|file| file.name == name);
    file.map(|file| yaml(&file.hash, file.text))
        .ok_or_else(|| Problem::not_found(format!("the config has no file `{name}`")))
}

async fn replace(
    State(shared): App,
    Extension(By(by)): Asker,
    Asked(how): Asked<How>,
    headers: HeaderMap,
    Body(body): Body,
) -> Result<Response, Problem> {
    let if_match = if_match(&headers)?;
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
    apply(&shared, what, if_match, how, by).await
}

async fn replace_file(
    State(shared): App,
    Extension(By(by)): Asker,
    Named(name): Named,
    Asked(how): Asked<How>,
    headers: HeaderMap,
    Body(body): Body,
) -> Result<Response, Problem> {
    let if_match = if_match(&headers)?;
    let text = body_of(&headers, &body, &YAML_KINDS)?.to_vec();
    apply(&shared, Replaced::File(name, text), if_match, how, by).await
}

async fn apply(
    shared: &crate::shared::Shared,
    what: Replaced,
    if_match: Vec<String>,
    how: How,
    by: String,
) -> Result<Response, Problem> {
    let change = Change {
        what,
        if_match,
        dry_run: how.dry_run,
        confirm: confirm_in(how.confirm.as_deref())?,
        by,
    };
    let applied = shared.ask(|reply| Command::Apply { change, reply }).await?;
    let etag = etag(&applied.hash);
    Ok(([(header::ETAG, etag)], Json(applied)).into_response())
}

async fn confirm(State(shared): App, Extension(By(by)): Asker) -> Result<Json<Applied>, Problem> {
    Ok(Json(shared.ask(|reply| Command::Confirm { by, reply }).await?))
}

/// How long a change waits to be confirmed.
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

/// What a client believes to replace (RFC 9110 §13.1.1).
fn if_match(headers: &HeaderMap) -> Result<Vec<String>, Problem> {
    let mut tags = Vec::new();
    for line in headers.get_all(header::IF_MATCH) {
        let line = line.to_str().unwrap_or_default();
        // Only the bare `*` is anything: within quotes it is a tag.
        let tags_of_line = line.split(',').map(str::trim).filter(|tag| *tag != "\"*\"");
        tags.extend(tags_of_line.map(|tag| tag.trim_matches('"').to_owned()));
    }
    if headers.get(header::IF_MATCH).is_none() {
        return Err(Problem::new(
            StatusCode::PRECONDITION_REQUIRED,
            "say what you replace: `If-Match` with the ETag that GET gives, or `*`",
        ));
    }
    Ok(tags)
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

/// A strong ETag.
fn etag(hash: &str) -> HeaderValue {
    HeaderValue::try_from(format!("\"{hash}\"")).unwrap_or(HeaderValue::from_static("\"\""))
}
