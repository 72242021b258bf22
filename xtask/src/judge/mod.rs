//! `cargo xtask judge`: the judge of rollouts, tried on thousands of simulated ones.
//!
//! [`traffic`] simulates services and clients, [`rollouts`] the rollouts, [`peers`] the rules of other programs. The full
//! form prints the tables of [`healthy`] and [`tables`]; the short one checks [`bounds`]. Seeds are fixed, so both say the same each time, but for the
//! cost.

mod bounds;
mod dice;
mod healthy;
mod peers;
mod report;
mod rollouts;
mod tables;
mod traffic;

use anyhow::{Result, bail};

use crate::judge::report::Report;

const USAGE: &str = "\
usage: cargo xtask judge [--quick] [--out FILE]

  --quick     bounds that must hold, with few rollouts; some seconds
  --out FILE  write the tables there too, behind the text in front of their place";

/// Checks the bounds, or prints the tables.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    match arguments {
        [quick] if quick == "--quick" => bounds::check(),
        [] => full(Report::new(None)),
        [out, file] if out == "--out" => full(Report::new(Some(file.into()))),
        [help] if help == "--help" => {
            println!("{USAGE}");
            Ok(())
        }
        _ => bail!("unknown options\n\n{USAGE}"),
    }
}

fn full(mut report: Report) -> Result<()> {
    healthy::print(&mut report);
    tables::print(&mut report);
    report.finish()
}
