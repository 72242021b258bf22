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
    command::run(&mut command::cargo([
        "clippy",
        "--workspace",
        "--all-targets",
        "--features",
        "waypost/system-tests,waypost-etcd/system-tests",
        "--keep-going",
        "--",
        "-D",
        "warnings",
    ]))?;
    // Private items are documented too, as links to them help readers in an editor.
    command::run(
        command::cargo(["doc", "--workspace", "--no-deps", "--document-private-items"])
            .env("RUSTDOCFLAGS", "-D warnings -A rustdoc::private_intra_doc_links"),
    )?;
    println!("format, clippy and documentation are clean");
    Ok(())
}
