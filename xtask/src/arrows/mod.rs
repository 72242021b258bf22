//! The arrows of the house: which crates and which modules may know each other.

mod crates;
mod modules;

use anyhow::Result;

use crate::command;

/// Checks crates and modules.
pub(crate) fn run() -> Result<()> {
    let mut problems = crates::problems()?;
    problems.extend(modules::problems()?);
    command::report(
        &problems,
        "all arrows point downwards, modules lie on their floors, and no crate is there twice",
    )
}
