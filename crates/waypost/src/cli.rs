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
    /// Say how a running gateway is doing.
    Status {
        #[command(flatten)]
        admin: AdminArgs,
        /// How to print.
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// List the routes of a running gateway, with their live weights.
    Routes {
        #[command(flatten)]
        admin: AdminArgs,
        /// How to print.
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Change the live weights of a route.
    #[command(after_help = "\
Examples:
  waypost dial users users-v2=25         of two services that add up to 100, the other gets the rest
  waypost dial users users-v1=1 users-v2=3
  waypost dial users --reset             back to what the config declares")]
    Dial {
        /// The route.
        route: String,
        /// The weights.
        #[arg(value_name = "SERVICE=WEIGHT", required_unless_present = "reset")]
        weights: Vec<String>,
        /// Go back to the weights of the config.
        #[arg(long, conflicts_with = "weights")]
        reset: bool,
        #[command(flatten)]
        admin: AdminArgs,
        /// How to print.
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Say what each service of a route got lately: requests, errors, times.
    Stats {
        /// Only this route; else all that got requests.
        route: Option<String>,
        /// How long a time that ends now: up to 1h.
        #[arg(long, value_name = "DURATION", default_value = "1m")]
        window: String,
        /// Look again and again, until Ctrl-C; with JSON, a line for each look.
        #[arg(long)]
        watch: bool,
        #[command(flatten)]
        admin: AdminArgs,
        /// How to print.
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Replace the config of a running gateway, on its disk too.
    Apply {
        /// The new config: a file, or a directory where the gateway's is one.
        path: PathBuf,
        /// Only say what would become of it.
        #[arg(long)]
        dry_run: bool,
        /// Take it back after this time, unless `waypost confirm` comes before.
        #[arg(long, value_name = "DURATION")]
        confirm: Option<String>,
        #[command(flatten)]
        admin: AdminArgs,
        /// How to print.
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Keep a config that was applied with --confirm.
    Confirm {
        #[command(flatten)]
        admin: AdminArgs,
        /// How to print.
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// List the configs that a running gateway has applied, the newest first.
    History {
        #[command(subcommand)]
        command: Option<HistoryCommand>,
        #[command(flatten)]
        admin: AdminArgs,
        /// How to print.
        #[arg(long, value_enum, default_value_t, global = true)]
        format: Format,
    },
    /// Apply an earlier config again, on the gateway's disk too.
    Rollback {
        /// Its revision, as `waypost history` lists it.
        revision: u64,
        #[command(flatten)]
        admin: AdminArgs,
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

/// Where a running gateway is asked and told.
#[derive(Debug, Args)]
pub(crate) struct AdminArgs {
    /// The admin address of the gateway: http://HOST:PORT or unix:PATH.
    #[arg(
        long,
        value_name = "URL",
        env = "WAYPOST_ADMIN",
        default_value = "http://127.0.0.1:9900",
        global = true
    )]
    pub(crate) admin: String,
    /// A file with the token that lets one in: the last word of its first line.
    #[arg(long, value_name = "FILE", env = "WAYPOST_TOKEN_FILE", global = true)]
    pub(crate) token_file: Option<PathBuf>,
    /// The token itself. The command line can be seen by others: better set it in the environment.
    #[arg(
        long,
        value_name = "TOKEN",
        env = "WAYPOST_TOKEN",
        hide_env_values = true,
        global = true
    )]
    pub(crate) token: Option<String>,
}

/// What is asked of the revisions.
#[derive(Debug, Subcommand)]
pub(crate) enum HistoryCommand {
    /// Print the text of one.
    Show {
        /// Its number.
        number: u64,
    },
    /// Print what differs between two.
    Diff {
        /// The number of the earlier one.
        from: u64,
        /// The number of the later one.
        to: u64,
    },
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
