//! `cargo xtask bench`: Waypost, other gateways and the floor, side by side on this machine.
//!
//! Gateways run on one core, loads and services on another. All contenders of a scenario run at the same time and take
//! turns under load, which spreads disturbances evenly; the result is the ratio per turn.

mod contender;
mod layout;
mod load;
mod machine;
mod options;
pub(crate) mod process;
mod report;
mod scenario;
mod scenarios;
mod special;
mod statistics;

use anyhow::{Result, ensure};

use crate::bench::machine::Machine;
use crate::bench::options::{Options, USAGE};
use crate::bench::report::Report;

/// Runs the selected scenarios and prints a report in Markdown.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    if arguments.iter().any(|argument| argument == "--help") {
        println!("{USAGE}");
        return Ok(());
    }
    let options = Options::parse(arguments)?;
    let all = scenarios::all();
    for name in &options.scenarios {
        let names: Vec<&str> = all.iter().map(|scenario| scenario.name).collect();
        ensure!(
            names.contains(&&**name),
            "`{name}` is no scenario; there are {}",
            names.join(", ")
        );
    }
    let machine = Machine::set_up(&options)?;
    let mut report = Report::begin(&options, &machine)?;
    for scenario in &all {
        if options.wants(scenario.name) {
            eprintln!("== {}", scenario.name);
            match scenario.run(&machine, &options) {
                Ok(section) => report.add(section)?,
                // Other scenarios may still succeed.
                Err(error) => report.add_failure(scenario.name, &format!("{error:#}"))?,
            }
        }
    }
    report.finish()
}
