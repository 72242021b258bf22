//! The commands that talk to a running gateway through its admin API.

pub(crate) mod apply;
pub(crate) mod canary;
pub(crate) mod client;
pub(crate) mod dial;
pub(crate) mod fleet;
pub(crate) mod history;
pub(crate) mod ready;
pub(crate) mod rollout;
pub(crate) mod routes;
pub(crate) mod services;
pub(crate) mod standing;
pub(crate) mod stats;
pub(crate) mod status;
mod table;
pub(crate) mod tail;
pub(crate) mod upgrade;
pub(crate) mod wait;

use waypost_admin::problem::Problem;

use crate::Outcome;
use crate::cli::Format;
use crate::output;

pub(crate) use client::Client;

/// The result of a request to the admin API.
pub(crate) type Response<T> = Result<T, Problem>;

/// Prints a result, in words or as JSON.
fn show<T: serde::Serialize>(
    answer: Response<T>,
    format: Format,
    in_words: impl FnOnce(&T) -> String,
) -> anyhow::Result<Outcome> {
    match (answer, format) {
        (Err(problem), _) => return refused(&problem, format),
        (Ok(answer), Format::Text) => output::print(&in_words(&answer))?,
        (Ok(answer), Format::Json) => {
            output::print_json(&answer)?;
        }
    }
    Ok(Outcome::Good)
}

/// Prints the refusal of a gateway: as JSON on standard output, in words on standard error.
pub(crate) fn refused(problem: &Problem, format: Format) -> anyhow::Result<Outcome> {
    if format == Format::Json {
        output::print_json(problem)?;
        return Ok(Outcome::Bad);
    }
    for diagnostic in &problem.diagnostics {
        let text = |key: &str| diagnostic[key].as_str().unwrap_or_default().to_owned();
        let mut line = format!("{}[{}]: {}\n", text("severity"), text("code"), text("message"));
        if diagnostic["file"].is_string() {
            let place = format!("{}:{}:{}", text("file"), diagnostic["line"], diagnostic["column"]);
            line = format!("{place}: {line}");
        }
        if diagnostic["help"].is_string() {
            line.push_str(&format!("hint: {}\n", text("help")));
        }
        output::eprint(&line);
    }
    output::eprint(&format!("waypost: {}\n", problem.detail));
    Ok(Outcome::Bad)
}
