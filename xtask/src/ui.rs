//! Checks of the dashboard: types, pure modules, and each page in the system's Chromium.
//!
//! The product needs neither Node nor a browser; only these checks do.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use anyhow::{Context as _, Result, ensure};

use crate::{command, npm};

/// The folder of the dashboard.
const UI: &str = "crates/admin/ui";

/// Runs all checks, or the tests whose files `filters` name, such as `browser/dial`.
pub(crate) fn run(filters: &[String]) -> Result<()> {
    let ui = command::root().join(UI);
    npm::install(&ui)?;
    if filters.is_empty() {
        command::run(node(&ui).arg("node_modules/typescript/bin/tsc"))?;
        tests(&ui, &files(&ui, "unit")?)?;
    }
    // A test beside it is built as other tests are, and so is the gateway then.
    let mut build = command::cargo(["build"]);
    build.args(command::WORKSPACE);
    command::run(build.args(["--bin", "waypost", "--test", "decisions"]))?;
    let mut chosen = files(&ui, "browser")?;
    if !filters.is_empty() {
        chosen.extend(files(&ui, "unit")?);
        chosen.retain(|file| {
            let file = file.to_string_lossy();
            filters.iter().any(|filter| file.contains(&**filter))
        });
        ensure!(
            !chosen.is_empty(),
            "no test has `{}` in its path",
            filters.join("` or `")
        );
    }
    tests(&ui, &chosen)
}

/// Runs test files, one after the other: each has a gateway and a browser of its own.
fn tests(ui: &Path, files: &[PathBuf]) -> Result<()> {
    command::run(
        node(ui)
            .args(["--test", "--test-concurrency=1", "--test-reporter=spec"])
            .args(files),
    )
}

/// Test files of a folder, in order of their names.
fn files(ui: &Path, folder: &str) -> Result<Vec<PathBuf>> {
    let folder = ui.join("test").join(folder);
    let mut files = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("`{}` cannot be read", folder.display()))? {
        let path = entry?.path();
        if path.to_string_lossy().ends_with(".test.js") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Node, in the folder of the dashboard.
fn node(ui: &Path) -> Command {
    let mut node = Command::new(env::var_os("NODE").unwrap_or_else(|| OsString::from("node")));
    node.current_dir(ui);
    node
}
