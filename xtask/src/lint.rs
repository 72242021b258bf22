//! Format, clippy and documentation; a warning is a failure.

use anyhow::Result;

use crate::command;

/// Checks the workspace and the fuzz targets.
pub(crate) fn run() -> Result<()> {
    command::run(&mut command::cargo(["fmt", "--all", "--check"]))?;
    // Clippy of the fuzz targets would build libFuzzer; what they hold is compiled by `cargo xtask fuzz`.
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
        "waypost/system-tests",
        "--keep-going",
        "--",
        "-D",
        "warnings",
    ]))?;
    // Links to private items are of use to those who read the code in an editor, so those are
    // documented, too, and the links lead somewhere.
    command::run(
        command::cargo(["doc", "--workspace", "--no-deps", "--document-private-items"])
            .env("RUSTDOCFLAGS", "-D warnings -A rustdoc::private_intra_doc_links"),
    )?;
    println!("format, clippy and documentation are clean");
    Ok(())
}
