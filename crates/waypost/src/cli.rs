//! The command line.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, CommandFactory as _, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::Outcome;

/// What a command reads when it is given no path.
pub(crate) const DEFAULT_PATH: &str = "waypost.yaml";

/// An API routing gateway: one address for clients, one file that says what lives where.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve a config, and every change of it.
    Run {
        /// The config: a file, or a directory whose *.yaml files belong together.
        #[arg(default_value = DEFAULT_PATH)]
        path: PathBuf,
    },
    /// Say everything that is wrong with a config.
    Check {
        /// The config: a file, or a directory whose *.yaml files belong together.
        #[arg(default_value = DEFAULT_PATH)]
        path: PathBuf,
        /// Print every limit in force too.
        #[arg(long)]
        limits: bool,
        /// How to print.
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Say which route takes a request, and for every other route why not.
    Explain(Explain),
    /// Run the tests of a config.
    Test {
        /// The config: a file, or a directory whose *.yaml files belong together.
        #[arg(default_value = DEFAULT_PATH)]
        path: PathBuf,
        /// How to print.
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Print the JSON Schema of the config language.
    Schema,
    /// Print a completion script for a shell.
    Completions {
        /// The shell.
        shell: Shell,
    },
    /// Try it: a gateway in front of three small built-in services.
    Demo,
}

/// What `explain` is asked.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  waypost explain gateway.yaml GET http://api.example.com/users/7 -H 'x-api-version: 2'
  waypost explain gateway.yaml --curl curl -X POST https://api.example.com/orders -d a=b
  waypost explain gateway.yaml --log access.log")]
pub(crate) struct Explain {
    /// The config, then the request's method and URL; without a config, waypost.yaml.
    #[arg(value_name = "[CONFIG] METHOD URL", num_args = 0..=3)]
    pub(crate) request: Vec<String>,
    /// A header of the request; `host` overrides the URL's.
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    pub(crate) headers: Vec<String>,
    /// The address that the request comes from.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    pub(crate) client_ip: IpAddr,
    /// The listener that it comes in by, by name or address; else the first that serves its host.
    #[arg(long, value_name = "LISTENER")]
    pub(crate) listener: Option<String>,
    /// Consider the routes of other hosts too.
    #[arg(long)]
    pub(crate) all: bool,
    /// How to print.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
    /// Explain each line of an access log instead.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["curl", "headers"])]
    pub(crate) log: Option<PathBuf>,
    /// Take the request from a curl command line; it takes all the arguments that follow.
    #[arg(long, value_name = "ARGUMENTS", num_args = 1.., allow_hyphen_values = true, conflicts_with = "headers")]
    pub(crate) curl: Option<Vec<String>>,
}

/// How to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Format {
    /// For people, and for grep.
    #[default]
    Text,
    /// For scripts: one JSON document.
    Json,
}

/// Prints a completion script.
pub(crate) fn print_completions(shell: Shell) -> anyhow::Result<Outcome> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "waypost", &mut script);
    crate::output::print(&String::from_utf8_lossy(&script))?;
    Ok(Outcome::Good)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
