//! `waypost apply`, `waypost confirm`, `waypost rollback`: replacing the config of a running gateway.

use std::path::Path;

use anyhow::{Context as _, bail};
use serde::Deserialize;
use waypost_admin::api::BODY_BYTES_MAX;
use waypost_admin::api::config::{File, Files};
use waypost_admin::command::Applied;
use waypost_admin::problem::Problem;
use waypost_config::Kind;

use super::client::segment;
use super::{Client, Response, canary, refused, show};
use crate::Outcome;
use crate::cli::{AdminArgs, Format};
use crate::output;
use crate::source::Source;
use crate::texts::file_name;

/// The part of the status that says what is in force.
#[derive(Deserialize)]
struct Status {
    revision: u64,
}

/// The way in which a config is applied.
#[derive(Debug)]
pub(crate) enum Way {
    /// At once.
    Now,
    /// Not at all: it is only checked.
    DryRun,
    /// Until this time, unless it is confirmed.
    Confirm(String),
    /// At some instances of a fleet first.
    Canary {
        /// Their number, or their share.
        instances: String,
        /// The time that it has to be healthy.
        hold: String,
    },
}

impl Way {
    /// The query that asks for it.
    fn query(&self) -> String {
        match self {
            Self::Now => String::new(),
            Self::DryRun => "?dry_run=true".to_owned(),
            Self::Confirm(wait) => format!("?confirm={}", segment(wait)),
            Self::Canary { instances, hold } => {
                format!("?canary={}&hold={}", segment(instances), segment(hold))
            }
        }
    }
}

/// Replaces the config of the gateway by the one at `path`, if that is the revision or has the tag in `if_match`. A canary is
/// followed to its verdict.
pub(crate) fn apply(
    admin: &AdminArgs,
    path: &Path,
    way: &Way,
    if_match: Option<&str>,
    format: Format,
) -> anyhow::Result<Outcome> {
    let client = Client::new(admin)?;
    let texts = Source::at(path).read_once()?;
    let tag = match tag_of(&client, if_match)? {
        Ok(tag) => tag,
        Err(problem) => return refused(&problem, format),
    };
    let target = format!("/api/v1/config{}", way.query());
    let answer: Response<Applied> = match (texts.kind, &texts.sources[..]) {
        (Kind::File, [source]) => {
            client.put(&target, "application/yaml", Some(&tag), source.text.to_vec())?
        }
        _ => {
            let mut files = Files { files: Vec::new() };
            for source in &texts.sources {
                let text = std::str::from_utf8(&source.text)
                    .with_context(|| format!("`{}` is not UTF-8 text", source.name))?;
                files.files.push(File {
                    name: file_name(&source.name).to_owned(),
                    text: text.to_owned(),
                    hash: None,
                });
            }
            client.put(&target, "application/json", Some(&tag), body_of(&files, path)?)?
        }
    };
    match &answer {
        Ok(Applied {
            canary: Some(canary),
            warnings,
            ..
        }) => {
            if format == Format::Text {
                output::print(&warnings_in_words(warnings))?;
            }
            canary::follow(&client, canary, format)
        }
        _ => show(answer, format, in_words),
    }
}

/// The tag of the version to be replaced. Without `if_match` it is the present one; a change in between is refused.
fn tag_of(client: &Client, if_match: Option<&str>) -> anyhow::Result<Response<String>> {
    let revision = match if_match {
        None => None,
        Some(wanted) => match wanted.parse::<u64>() {
            Ok(number) => Some(number),
            Err(_) if wanted == "*" || wanted.contains('"') => return Ok(Ok(wanted.to_owned())),
            Err(_) => return Ok(Ok(format!("\"{wanted}\""))),
        },
    };
    let tag = match client.get_text("/api/v1/config")? {
        Ok((_, tag)) => tag,
        Err(problem) => return Ok(Err(problem)),
    };
    let Some(wanted) = revision else {
        return Ok(Ok(tag));
    };
    // It is read after the tag: what comes in between has another tag.
    Ok(client
        .get::<Status>("/api/v1/status")?
        .and_then(|Status { revision }| match revision == wanted {
            true => Ok(tag),
            false => Err(Problem::stale(format!(
                "nothing is done: revision {revision} is in force, and not {wanted}; `waypost history` says what has changed since"
            ))),
        }))
}

/// The texts in JSON. A gateway closes the connection on a body that is too long, so none is sent.
fn body_of(files: &Files, path: &Path) -> anyhow::Result<Vec<u8>> {
    let body = serde_json::to_vec(files)?;
    if body.len() > BODY_BYTES_MAX {
        let bytes: usize = files.files.iter().map(|file| file.text.len()).sum();
        bail!(
            "`{}` is too large: its texts have {bytes} bytes in all, and a configuration has 16 MiB at most",
            path.display()
        );
    }
    Ok(body)
}

/// Confirms the change that waits for it.
pub(crate) fn confirm(admin: &AdminArgs, format: Format) -> anyhow::Result<Outcome> {
    show(
        Client::new(admin)?.act("POST", "/api/v1/config/confirm", None)?,
        format,
        in_words,
    )
}

/// Activates an earlier revision again.
pub(crate) fn roll_back(admin: &AdminArgs, number: u64, format: Format) -> anyhow::Result<Outcome> {
    let path = format!("/api/v1/revisions/{number}/rollback");
    show(Client::new(admin)?.act("POST", &path, None)?, format, in_words)
}

fn warnings_in_words(warnings: &[serde_json::Value]) -> String {
    let mut text = String::new();
    for warning in warnings {
        let word = |key: &str| warning[key].as_str().unwrap_or_default();
        text.push_str(&format!(
            "{}:{}:{}: warning[{}]: {}\n",
            word("file"),
            warning["line"],
            warning["column"],
            word("code"),
            word("message")
        ));
    }
    text
}

fn in_words(applied: &Applied) -> String {
    let mut text = warnings_in_words(&applied.warnings);
    text.push_str(&match (applied.dry_run, applied.changed) {
        (true, _) => format!(
            "it would be accepted: {}; revision {} stays in force\n",
            applied.summary, applied.revision
        ),
        (false, true) => format!("revision {} is in force: {}\n", applied.revision, applied.summary),
        (false, false) => format!(
            "revision {} stays in force: {}\n",
            applied.revision, applied.summary
        ),
    });
    for route in &applied.dials_dropped {
        let word = if applied.dry_run { "would be" } else { "is" };
        text.push_str(&format!(
            "the dial of `{route}` {word} dropped, as its split changes\n"
        ));
    }
    if let Some(at) = applied.reverts_at.filter(|_| !applied.dry_run) {
        text.push_str(&format!(
            "it is reverted at {at:.0} unless you confirm it: waypost confirm\n"
        ));
    }
    text
}
