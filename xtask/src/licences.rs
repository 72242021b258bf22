//! Checks the licences of the binary's dependencies.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use crate::command;

/// Licences that require attribution only, by SPDX identifier.
const ALLOWED: [&str; 11] = [
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Exceptions for single crates, with reasons.
const EXCEPTIONS: [(&str, &str, &str); 1] = [(
    "webpki-root-certs",
    "CDLA-Permissive-2.0",
    "a list of certificates, asks for nothing; used on systems without a list of their own, none of them Linux",
)];

/// Checks every dependency of the binary on every platform, including build scripts.
pub(crate) fn run() -> Result<()> {
    let text = command::output(&mut command::cargo(["metadata", "--format-version", "1"]))?;
    let metadata =
        serde_json::from_str(&text).context("`cargo metadata` printed something else than JSON")?;
    let licences = licences(&metadata, "waypost")?;
    let problems: Vec<String> = licences
        .iter()
        .filter_map(|(package, licence)| problem(package, licence.as_deref()))
        .collect();
    command::report(
        &problems,
        &format!("{} crates, all with an allowed licence", licences.len()),
    )
}

fn problem(package: &str, licence: Option<&str>) -> Option<String> {
    let Some(licence) = licence else {
        return Some(format!("`{package}` names no licence"));
    };
    let name = package.split(' ').next().unwrap_or(package);
    let is_exception = |(of, allowed, _): &(&str, &str, &str)| *of == name && *allowed == licence;
    match is_allowed(licence) {
        Ok(true) => None,
        Ok(false) if EXCEPTIONS.iter().any(is_exception) => None,
        Ok(false) => Some(format!(
            "`{package}` has a licence that is not allowed: {licence}"
        )),
        Err(error) => Some(format!(
            "the licence of `{package}` cannot be read: {licence}: {error}"
        )),
    }
}

/// `name version` and licence of the package `root` and its dependencies.
fn licences(metadata: &Value, root: &str) -> Result<BTreeMap<String, Option<String>>> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let packages = list(&metadata["packages"]);
    let by_id: BTreeMap<&str, &Value> = packages
        .iter()
        .filter_map(|package| Some((package["id"].as_str()?, package)))
        .collect();
    let nodes = list(&metadata["resolve"]["nodes"]);
    let dependencies: BTreeMap<&str, &Value> = nodes
        .iter()
        .filter_map(|node| Some((node["id"].as_str()?, &node["deps"])))
        .collect();
    let mut waiting: Vec<&str> = by_id
        .iter()
        .filter(|(_, package)| package["name"] == root)
        .map(|(id, _)| *id)
        .collect();
    ensure!(!waiting.is_empty(), "there is no package `{root}`");
    let mut seen = BTreeSet::new();
    let mut licences = BTreeMap::new();
    while let Some(id) = waiting.pop() {
        if !seen.insert(id) {
            continue;
        }
        let package = by_id
            .get(id)
            .with_context(|| format!("`{id}` is not among the packages"))?;
        let text = |key: &str| package[key].as_str();
        let name = format!(
            "{} {}",
            text("name").unwrap_or(id),
            text("version").unwrap_or_default()
        );
        licences.insert(name, text("license").map(str::to_owned));
        let used = dependencies
            .get(id)
            .and_then(|deps| deps.as_array())
            .into_iter()
            .flatten();
        waiting.extend(
            used.filter(|dep| is_built_in(dep))
                .filter_map(|dep| dep["pkg"].as_str()),
        );
    }
    Ok(licences)
}

/// Returns true for a dependency that is not only for tests.
fn is_built_in(dependency: &Value) -> bool {
    let kinds = dependency["dep_kinds"].as_array();
    kinds.is_none_or(|kinds| kinds.iter().any(|kind| kind["kind"] != "dev"))
}

/// Returns true if allowed licences satisfy an SPDX expression.
///
/// # Errors
/// If it is not a valid expression.
fn is_allowed(expression: &str) -> Result<bool> {
    // The syntax that crates used before SPDX expressions.
    let spaced = expression
        .replace('/', " OR ")
        .replace('(', " ( ")
        .replace(')', " ) ");
    let mut words = Words(spaced.split_whitespace().collect());
    words.0.reverse();
    let allowed = any(&mut words)?;
    ensure!(words.0.is_empty(), "something is left at its end");
    Ok(allowed)
}

/// Tokens of an expression, in reverse order.
struct Words<'a>(Vec<&'a str>);

impl Words<'_> {
    fn takes(&mut self, word: &str) -> bool {
        let is_next = self.0.last() == Some(&word);
        if is_next {
            self.0.pop();
        }
        is_next
    }
}

fn any(words: &mut Words<'_>) -> Result<bool> {
    let mut allowed = all(words)?;
    while words.takes("OR") {
        allowed |= all(words)?;
    }
    Ok(allowed)
}

fn all(words: &mut Words<'_>) -> Result<bool> {
    let mut allowed = one(words)?;
    while words.takes("AND") {
        allowed &= one(words)?;
    }
    Ok(allowed)
}

fn one(words: &mut Words<'_>) -> Result<bool> {
    if words.takes("(") {
        let allowed = any(words)?;
        ensure!(words.takes(")"), "a parenthesis is not closed");
        return Ok(allowed);
    }
    let name = match words.0.pop() {
        None | Some(")" | "AND" | "OR" | "WITH") => bail!("a licence is missing"),
        Some(name) => name,
    };
    if !words.takes("WITH") {
        return Ok(ALLOWED.contains(&name));
    }
    let exception = words.0.pop().context("an exception is missing")?;
    Ok(ALLOWED.contains(&&*format!("{name} WITH {exception}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `None` for an invalid expression.
    fn check(expression: &str, expected: Option<bool>) {
        assert_eq!(is_allowed(expression).ok(), expected, "{expression}");
    }

    #[test]
    fn expressions_are_fulfilled_as_spdx_says() {
        check("MIT", Some(true));
        check("GPL-3.0-only", Some(false));
        check("MIT OR GPL-3.0-only", Some(true));
        check("MIT AND GPL-3.0-only", Some(false));
        check("MIT/Apache-2.0", Some(true));
        check("Apache-2.0 WITH LLVM-exception", Some(true));
        check("MIT WITH LLVM-exception", Some(false));
        check("(MIT OR Apache-2.0) AND Unicode-3.0", Some(true));
        check("(MIT OR Apache-2.0) AND MPL-2.0", Some(false));
        // AND binds tighter.
        check("MIT OR Apache-2.0 AND MPL-2.0", Some(true));
        check("MPL-2.0 AND Apache-2.0 OR ISC", Some(true));
        check("MPL-2.0 AND (Apache-2.0 OR ISC)", Some(false));
    }

    #[test]
    fn what_is_no_expression_is_said_to_be_none() {
        for expression in ["", "MIT OR", "AND MIT", "(MIT", "MIT)", "MIT ISC", "MIT WITH"] {
            check(expression, None);
        }
    }

    #[test]
    fn what_only_tests_need_is_not_looked_at() {
        let metadata = serde_json::json!({
            "packages": [
                { "id": "w", "name": "waypost", "version": "1.0.0", "license": "Apache-2.0" },
                { "id": "a", "name": "a", "version": "2.0.0", "license": "MIT" },
                { "id": "b", "name": "b", "version": "3.0.0", "license": null },
                { "id": "t", "name": "t", "version": "4.0.0", "license": "MPL-2.0" },
            ],
            "resolve": { "nodes": [
                { "id": "w", "deps": [
                    { "pkg": "a", "dep_kinds": [{ "kind": null }] },
                    { "pkg": "t", "dep_kinds": [{ "kind": "dev" }] },
                ] },
                { "id": "a", "deps": [{ "pkg": "b", "dep_kinds": [{ "kind": "dev" }, { "kind": "build" }] }] },
                { "id": "b", "deps": [] },
            ] },
        });
        let found = licences(&metadata, "waypost").unwrap();
        let names: Vec<&str> = found.keys().map(|name| &**name).collect();
        assert_eq!(names, ["a 2.0.0", "b 3.0.0", "waypost 1.0.0"]);
        assert_eq!(
            problem("b 3.0.0", found["b 3.0.0"].as_deref()).unwrap(),
            "`b 3.0.0` names no licence"
        );
        assert!(licences(&metadata, "other").is_err());
    }
}
