//! `waypost check`: the diagnostics of a config.

mod local_file;

use std::fmt::Write as _;
use std::path::Path;

use serde_json::json;
use waypost_config::diagnostic::{self, Diagnostic};
use waypost_plan::Plan;

use crate::certificates::Certificates;
use crate::cli::Format;
use crate::limits::{self, Limit};
use crate::output::{self, count};
use crate::source::Source;
use crate::texts::Texts;
use crate::{Outcome, fix, load};

/// The files that a config names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Files {
    /// They are read and checked.
    Read,
    /// They need not be there.
    Unread,
}

/// Parts of a check, and the form of its report.
pub(crate) struct Options {
    /// Print all limits.
    pub(crate) limits: bool,
    pub(crate) files: Files,
    /// Mend the config first.
    pub(crate) fix: bool,
    pub(crate) format: Format,
}

/// Prints the diagnostics of the config at `path`, and a summary.
pub(crate) fn check(path: &Path, options: &Options) -> anyhow::Result<Outcome> {
    let mut source = Source::at(path);
    // A pipe can be read once only.
    if !options.fix {
        let texts = source.read_once()?;
        if let Some(outcome) = local_file::check(path, &source, &texts, options)? {
            return Ok(outcome);
        }
        return report(path, &source, &texts, None, options);
    }
    local_file::check(path, &source, &source.read()?.0, options)?;
    let (texts, fixed) = fix::fix(&mut source)?;
    report(path, &source, &texts, Some(&fixed), options)
}

/// Prints the diagnostics of `texts`, and a summary; in front, the changes that were `fixed`.
fn report(
    path: &Path,
    source: &Source,
    texts: &Texts,
    fixed: Option<&fix::Changes>,
    options: &Options,
) -> anyhow::Result<Outcome> {
    let limits = options.limits;
    let checked = match options.files {
        Files::Read => load::check(texts, &mut Certificates::default(), source)
            .map(|checked| (checked.warnings, checked.generation)),
        Files::Unread => load::check_texts(texts),
    };
    let (diagnostics, plan) = match &checked {
        Ok((warnings, generation)) => (warnings, Some(generation.plan())),
        Err(diagnostics) => (diagnostics, None),
    };
    let errors = diagnostics
        .iter()
        .filter(|diagnostic| diagnostic.is_error())
        .count();
    let warnings = diagnostics.len() - errors;
    match options.format {
        Format::Text => {
            let mut text = fixed.map_or_else(String::new, fix::Changes::text);
            text.push_str(&output::render(diagnostics, texts, output::stdout_has_colors()));
            if !diagnostics.is_empty() {
                text.push('\n');
            }
            let summary =
                plan.map_or_else(|| count(errors, "error"), |plan| format!("ok: {}", summary(plan)));
            let also = if warnings > 0 {
                format!(", {}", count(warnings, "warning"))
            } else {
                String::new()
            };
            let _ = writeln!(text, "{}: {summary}{also}", path.display());
            let mendable = diagnostics.iter().filter(|found| found.is_mendable()).count();
            if mendable > 0 && fixed.is_none() {
                let _ = writeln!(
                    text,
                    "`waypost check --fix {}` mends {}",
                    path.display(),
                    count(mendable, "mistake"),
                );
            }
            if let Some(plan) = plan.filter(|_| limits) {
                text.push_str(&limits_text(plan));
            }
            output::print(&text)?;
        }
        Format::Json => {
            let mut value = json!({
                "ok": plan.is_some(),
                "errors": errors,
                "warnings": warnings,
                "diagnostics": shown(diagnostics),
            });
            if let Some(fixed) = fixed {
                value["fixed"] = fixed.to_json();
            }
            if diagnostics.len() > waypost_config::render::SHOWN_MAX {
                value["more"] = (diagnostics.len() - waypost_config::render::SHOWN_MAX).into();
            }
            if let Some(plan) = plan.filter(|_| limits) {
                value["limits"] = limits::of(plan).into_iter().map(Limit::into_json).collect();
            }
            output::print_json(&value)?;
        }
    }
    Ok(if plan.is_some() {
        Outcome::Good
    } else {
        Outcome::Bad
    })
}

/// The diagnostics as JSON, up to the number that is shown.
fn shown(diagnostics: &[Diagnostic]) -> serde_json::Value {
    let shown = diagnostics.len().min(waypost_config::render::SHOWN_MAX);
    diagnostic::to_json(&diagnostics[..shown])
}

/// A one-line summary of a plan.
pub(crate) fn summary(plan: &Plan) -> String {
    let tests = match plan.tests().len() {
        0 => "no tests".to_owned(),
        1 => "1 test passes".to_owned(),
        tests => format!("{tests} tests pass"),
    };
    format!(
        "{}, {}, {}, {tests}",
        count(plan.listeners().len(), "listener"),
        count(plan.services().len(), "service"),
        count(plan.routes().len(), "route"),
    )
}

fn limits_text(plan: &Plan) -> String {
    let limits = limits::of(plan);
    let scope_width = limits
        .iter()
        .map(|limit| limit.scope.chars().count())
        .max()
        .unwrap_or(0);
    let key_width = limits.iter().map(|limit| limit.key.len()).max().unwrap_or(0);
    let mut text = String::from("\nlimits in force\n");
    for Limit { scope, key, value } in limits {
        let _ = writeln!(text, "  {scope:scope_width$}  {key:key_width$}  {value}");
    }
    text
}
