//! Explaining the lines of an access log.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;

use anyhow::Context as _;
use serde::Deserialize;
use serde_json::json;
use waypost_policy::explain::{Explanation, Question};
use waypost_proxy::generation::Generation;
use waypost_proxy::generation::KnownEndpoints;

use crate::cli::{Explain, Format};
use crate::{Outcome, output};

/// The fields of a log line that describe the request.
#[derive(Debug, Deserialize)]
struct Line {
    #[serde(default)]
    client: Option<std::net::IpAddr>,
    method: String,
    host: String,
    path: String,
    #[serde(default)]
    query: Option<String>,
    #[serde(default)]
    route: Option<String>,
    #[serde(default)]
    status: u16,
    #[serde(default)]
    ended_by: Option<String>,
}

impl Line {
    /// The reason why there is nothing to explain: a request that was refused before it was parsed has no method.
    fn unread(&self) -> Option<String> {
        let refused = match self.status {
            0 => "refused".to_owned(),
            status => format!("refused: {status}"),
        };
        self.method
            .is_empty()
            .then(|| format!("{refused}, not explained"))
    }

    /// Returns true if the log names another route than the one that would take the request now.
    ///
    /// A gateway error without a route may be due to something that the log does not have, such as headers.
    fn differs_from(&self, explanation: &Explanation) -> bool {
        let is_error_of_gateway = self.route.is_none()
            && self.status >= 400
            && self.ended_by.as_deref().is_none_or(|who| who == "gateway");
        self.route != explanation.route && !is_error_of_gateway
    }
}

/// Prints, for each line of `file`, the route that would take its request now, and the logged route if it differs.
///
/// The log has no headers, so a route with conditions on headers may have taken a request that is explained otherwise.
pub(super) fn explain(generation: &Generation, file: &Path, arguments: &Explain) -> anyhow::Result<Outcome> {
    let unreadable = || format!("cannot read `{}`", file.display());
    let reader = BufReader::new(File::open(file).with_context(unreadable)?);
    let mut outcome = Outcome::Good;
    let mut documents = Vec::new();
    for (index, bytes) in reader.split(b'\n').enumerate() {
        let bytes = bytes.with_context(unreadable)?;
        if bytes.trim_ascii().is_empty() {
            continue;
        }
        let number = index + 1;
        let line = serde_json::from_slice::<Line>(&bytes)
            .map_err(|error| format!("this is not a line of an access log: {error}"));
        if let Ok(line) = &line
            && let Some(reason) = line.unread()
        {
            match arguments.format {
                Format::Text => output::print(&format!("{number}  {reason}\n"))?,
                Format::Json => documents.push(json!({ "line": number, "reason": reason })),
            }
            continue;
        }
        let explained = line
            .and_then(|line| explain_line(generation, line, arguments).map_err(|error| error.to_string()));
        match (explained, arguments.format) {
            (Ok((line, explanation)), Format::Text) => {
                let logged = line.route.as_deref().unwrap_or("no route");
                let differs = if line.differs_from(&explanation) {
                    format!("  (logged: {logged})")
                } else {
                    String::new()
                };
                let query = line
                    .query
                    .as_ref()
                    .map(|query| format!("?{query}"))
                    .unwrap_or_default();
                let request = format!("{} {}{}{query}", line.method, line.host, line.path);
                output::print(&format!(
                    "{number}  {request}  {}{differs}\n",
                    super::in_short(&explanation)
                ))?;
            }
            (Ok((line, explanation)), Format::Json) => {
                documents.push(json!({ "line": number, "logged_route": line.route, "answer": explanation }));
            }
            (Err(error), Format::Text) => {
                outcome = Outcome::Bad;
                output::print(&format!("{number}  {error}\n"))?;
            }
            (Err(error), Format::Json) => {
                outcome = Outcome::Bad;
                documents.push(json!({ "line": number, "error": error }));
            }
        }
    }
    if arguments.format == Format::Json {
        output::print_json(&documents)?;
    }
    Ok(outcome)
}

fn explain_line(
    generation: &Generation,
    line: Line,
    arguments: &Explain,
) -> anyhow::Result<(Line, Explanation)> {
    let query = line
        .query
        .as_ref()
        .map(|query| format!("?{query}"))
        .unwrap_or_default();
    let mut headers = Vec::new();
    let origin = if line.host.is_empty() {
        String::new()
    } else if line.path == "*" {
        headers.push(("host".to_owned(), line.host.clone()));
        String::new()
    } else {
        format!("http://{}", line.host)
    };
    let question = Question {
        method: line.method.clone(),
        url: format!("{origin}{}{query}", line.path),
        headers,
        client_ip: line.client.or(arguments.client_ip),
        listener: arguments.listener.clone(),
        all: arguments.all,
    };
    let explanation = generation.explain(&question, KnownEndpoints::Declared)?;
    Ok((line, explanation))
}
