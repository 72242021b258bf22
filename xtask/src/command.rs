//! Runs other programs, mostly cargo, from the root of the repository.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

/// The choice of packages and features of every check in the `dev` profile. Cargo unifies features over the packages that
/// are chosen: for any other choice it would build half of everything again.
pub(crate) const WORKSPACE: [&str; 3] = [
    "--workspace",
    "--features",
    "waypost/system-tests,waypost-etcd/system-tests",
];

/// The root of the repository.
pub(crate) fn root() -> &'static Path {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask)
}

/// The running cargo, with `arguments`.
pub(crate) fn cargo<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(root());
    command
}

/// Runs `command` with its output shown.
///
/// # Errors
/// If it cannot be started or fails.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let text = text(command);
    let status = command
        .status()
        .with_context(|| format!("could not start `{text}`"))?;
    ensure!(status.success(), "`{text}` failed");
    Ok(())
}

/// Returns the standard output of `command`.
///
/// # Errors
/// If it cannot be started, fails, or prints something other than UTF-8.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let text = text(command);
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("could not start `{text}`"))?;
    ensure!(output.status.success(), "`{text}` failed");
    String::from_utf8(output.stdout).with_context(|| format!("`{text}` printed something else than text"))
}

/// Prints `problems`, or `fine` if there are none.
///
/// # Errors
/// If there are problems.
pub(crate) fn report(problems: &[String], fine: &str) -> Result<()> {
    for problem in problems {
        eprintln!("{problem}");
    }
    match problems.len() {
        0 => println!("{fine}"),
        1 => anyhow::bail!("1 problem"),
        many => anyhow::bail!("{many} problems"),
    }
    Ok(())
}

/// The program and its arguments, for messages.
fn text(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or_default();
    let words: Vec<_> = std::iter::once(program).chain(command.get_args()).collect();
    words
        .iter()
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}
