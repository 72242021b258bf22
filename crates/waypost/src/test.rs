//! `waypost test`: running the tests of a config.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use serde_json::json;
use waypost_plan::test_case::Expectation;

use crate::cli::Format;
use crate::load::{Mismatch, TestResult};
use crate::output::{self, count};
use crate::source::Source;
use crate::{Outcome, load};

/// Runs the tests of the config at `path`.
pub(crate) fn test(path: &Path, format: Format) -> anyhow::Result<Outcome> {
    let source = Source::at(path);
    let texts = source.read_once()?;
    let compiled =
        load::load(&texts).and_then(|loaded| Ok((load::compile_knowing(&loaded, &texts, &source)?, loaded)));
    let (generation, loaded) = match compiled {
        Ok(compiled) => compiled,
        Err(diagnostics) => {
            match format {
                Format::Text => {
                    output::print(&output::render(&diagnostics, &texts, output::stdout_has_colors()))?;
                }
                Format::Json => {
                    let diagnostics = waypost_config::diagnostic::to_json(&diagnostics);
                    output::print_json(&json!({ "ok": false, "diagnostics": diagnostics }))?;
                }
            }
            return Ok(Outcome::Bad);
        }
    };
    let results = load::run_tests(&generation);
    let failed = results
        .iter()
        .filter(|result| !result.mismatches.is_empty())
        .count();
    let asserted: BTreeSet<&str> = results
        .iter()
        .filter(|result| {
            let expect = &loaded.plan.tests()[result.index].expect;
            result.mismatches.is_empty() && asserts_route(expect)
        })
        .filter_map(|result| result.explanation.as_ref()?.route.as_deref())
        .collect();
    let unasserted: Vec<&str> = loaded
        .plan
        .routes()
        .iter()
        .map(|route| &*route.matching.name)
        .filter(|name| !asserted.contains(name))
        .collect();
    match format {
        Format::Text => {
            let mut text = String::new();
            for result in &results {
                let test = &loaded.plan.tests()[result.index];
                let place = &loaded.test_places[result.index];
                let verdict = if result.mismatches.is_empty() {
                    "ok  "
                } else {
                    "FAIL"
                };
                let request = format!("{} {}", test.method, test.url);
                let _ = writeln!(
                    text,
                    "{verdict}  {}:{}  {request}  {}",
                    place.file,
                    place.line,
                    got(result)
                );
                for Mismatch { key, expected, got } in &result.mismatches {
                    let _ = writeln!(text, "      {key}: expected {expected}, got {got}");
                }
            }
            let passed = results.len() - failed;
            let _ = writeln!(
                text,
                "{}: {passed} passed, {failed} failed",
                count(results.len(), "test")
            );
            if !unasserted.is_empty() {
                let _ = writeln!(text, "routes that no test asserts: {}", unasserted.join(", "));
            }
            output::print(&text)?;
        }
        Format::Json => {
            let tests: Vec<serde_json::Value> = results
                .iter()
                .map(|result| {
                    let test = &loaded.plan.tests()[result.index];
                    let place = &loaded.test_places[result.index];
                    json!({
                        "request": format!("{} {}", test.method, test.url),
                        "file": &*place.file,
                        "line": place.line,
                        "column": place.column,
                        "ok": result.mismatches.is_empty(),
                        "mismatches": result.mismatches,
                        "answer": result.explanation,
                    })
                })
                .collect();
            output::print_json(&json!({
                "ok": failed == 0,
                "passed": results.len() - failed,
                "failed": failed,
                "tests": tests,
                "unasserted_routes": unasserted,
            }))?;
        }
    }
    Ok(if failed == 0 { Outcome::Good } else { Outcome::Bad })
}

/// Returns true if a test asserts more of its route than that some route took the request.
fn asserts_route(expect: &Expectation) -> bool {
    expect.route.is_some()
        || expect.service.is_some()
        || expect.arms.is_some()
        || expect.path.is_some()
        || expect.status.is_some()
        || expect.location.is_some()
}

/// The outcome of the request, in a few words.
fn got(result: &TestResult) -> String {
    let Some(explanation) = &result.explanation else {
        return "not sent".to_owned();
    };
    crate::explain::in_short(explanation)
}
