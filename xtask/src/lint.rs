//! Formatting, clippy and documentation; warnings are errors.

use anyhow::Result;

use crate::command;

/// Checks the workspace and the fuzz targets.
pub(crate) fn run() -> Result<()> {
    command::run(&mut command::cargo(["fmt", "--all", "--check"]))?;
    // Clippy on the fuzz targets would build libFuzzer; `cargo xtask fuzz` compiles them.
    command::run(&mut command::cargo([
        "fmt",
        "--manifest-path",
        "fuzz/Cargo.toml",
        "--check",
    ]))?;
    let mut clippy = command::cargo(["clippy"]);
    clippy.args(command::WORKSPACE);
    command::run(clippy.args(["--all-targets", "--keep-going", "--", "-D", "warnings"]))?;
    let mut doc = command::cargo(["doc"]);
    doc.args(command::WORKSPACE)
        // Private items are documented too, as links to them help readers in an editor.
        .args(["--no-deps", "--document-private-items"])
        // With examples, dependencies have the features that tests ask for, and are those that clippy has checked.
        .args(["--lib", "--bins", "--examples"])
        .env("RUSTDOCFLAGS", "-D warnings -A rustdoc::private_intra_doc_links");
    command::run(&mut doc)?;
    println!("format, clippy and documentation are clean");
    Ok(())
}
