//! The command line.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
#[cfg(feature = "tui")]
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, CommandFactory as _, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::Outcome;

/// The default path of a config.
pub(crate) const DEFAULT_PATH: &str = "waypost.yaml";

/// The default admin address.
pub(crate) const ADMIN: &str = "http://127.0.0.1:9900";

/// An API routing gateway: one address for clients, one file for all routes.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve a config, and reload it when it changes.
    Run(Run),
    /// Check a config and print all errors and warnings.
    Check {
        /// The config: a file, or a directory of *.yaml files.
        #[arg(default_value = DEFAULT_PATH)]
        path: PathBuf,
        /// Print all limits too.
        #[arg(long)]
        limits: bool,
        /// Do not read the files that the config names: certificates and keys need not be there.
        #[arg(long)]
        without_files: bool,
        /// Mend what can mean one thing only, print the difference, and write the files.
        #[arg(long)]
        fix: bool,
        /// Output format.
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Explain which route takes a request, and why the others do not.
    Explain(Explain),
    /// Run the tests of a config.
    Test {
        /// The config: a file, or a directory of *.yaml files.
        #[arg(default_value = DEFAULT_PATH)]
        path: PathBuf,
        /// Output format.
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Show the status of a running gateway.
    Status {
        #[command(flatten)]
        admin: AdminArgs,
        /// Output format.
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Show the fleet that a running gateway belongs to: its instances, if they obey it, and what some of them try.
    Fleet {
        #[command(subcommand)]
        command: Option<FleetCommand>,
        #[command(flatten)]
        admin: AdminArgs,
        /// Output format.
        #[arg(long, value_enum, default_value_t, global = true)]
        format: Format,
    },
    /// List the routes of a running gateway, with their live weights.
    Routes {
        #[command(flatten)]
        admin: AdminArgs,
        /// Output format.
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Watch a running gateway in the terminal: routes by failures, versions side by side, their dials.
    #[cfg(feature = "tui")]
    Top(Top),
    /// Show the endpoints of a running gateway, with their state and their requests.
    Services {
        /// The service; by default all services.
        service: Option<String>,
        #[command(flatten)]
        admin: AdminArgs,
        /// Output format.
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Take an endpoint out of use: it finishes its requests, and takes no further ones.
    #[command(after_help = "\
Examples:
  waypost drain orders http://10.0.0.11:8080
  waypost drain orders 10.0.0.11:8080 --undo")]
    Drain {
        /// The service.
        service: String,
        /// The endpoint: its URL as in the config, host and port, or one of its addresses.
        endpoint: String,
        /// Take it back into use.
        #[arg(long)]
        undo: bool,
        #[command(flatten)]
        wait: WaitArgs,
        #[command(flatten)]
        admin: AdminArgs,
        /// Output format.
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Change the live weights of a route, or of all routes of a deal.
    #[command(
        override_usage = "\
waypost dial [OPTIONS] <ROUTE> <SERVICE=WEIGHT>...
       waypost dial [OPTIONS] <ROUTE> --reset
       waypost dial [OPTIONS] --deal <DEAL> <SERVICE=WEIGHT>...
       waypost dial [OPTIONS] --deal <DEAL> --reset",
        after_help = "\
Examples:
  waypost dial users users-v2=25         of two services that add up to 100, the other gets the rest
  waypost dial users users-v1=1 users-v2=3
  waypost dial users --reset             back to what the config declares
  waypost dial --deal checkout-2026 v2=10"
    )]
    Dial {
        /// The route.
        #[arg(required_unless_present = "deal")]
        route: Option<String>,
        /// The new weights.
        #[arg(value_name = "SERVICE=WEIGHT", required_unless_present_any = ["reset", "deal"])]
        weights: Vec<String>,
        /// Change all routes of this deal at once. Their services are matched by position.
        #[arg(long, value_name = "DEAL")]
        deal: Option<String>,
        /// Restore the weights of the config.
        #[arg(long, conflicts_with = "weights")]
        reset: bool,
        /// Abort a rollout of the route first.
        #[arg(long, conflicts_with = "deal")]
        force: bool,
        #[command(flatten)]
        wait: WaitArgs,
        #[command(flatten)]
        admin: AdminArgs,
        /// Output format.
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Start, follow and steer rollouts, in which the gateway turns a dial step by step.
    Rollout {
        #[command(subcommand)]
        command: RolloutCommand,
    },
    /// Show recent requests, errors and latencies of each service of a route.
    Stats {
        /// The route; by default all routes that got requests.
        route: Option<String>,
        /// Length of the window that ends now, up to 1h.
        #[arg(long, value_name = "DURATION", default_value = "1m")]
        window: String,
        /// Refresh until Ctrl-C; in JSON, print one line each time.
        #[arg(long)]
        watch: bool,
        #[command(flatten)]
        admin: AdminArgs,
        /// Output format.
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Show the requests of a running gateway as they end, also while its access log is off.
    Tail(Tail),
    /// Replace the config of a running gateway, also on disk.
    #[command(after_help = "\
With --canary, the instance that is asked is the first to try the config, and the leader of the fleet takes it back everywhere
unless all that try it stay healthy for the time of --hold. The command waits for the verdict: it exits with 0 if the config has
passed, and with 1 if it was taken back. If it is ended before, the canary goes on; `waypost fleet` shows it, and
`waypost fleet abort` takes it back.

Examples:
  waypost apply conf.d
  waypost apply conf.d --canary 1
  waypost apply conf.d --canary 25% --hold 5m --wait")]
    Apply {
        /// The new config: a file, or a directory if the gateway's config is one.
        path: PathBuf,
        /// Only check the config and show what would change.
        #[arg(long, conflicts_with = "wait")]
        dry_run: bool,
        /// Revert after this time, unless `waypost confirm` comes first.
        #[arg(long, value_name = "DURATION")]
        confirm: Option<String>,
        /// In a fleet, so many instances try it first: a number, or a share such as `25%`. The others follow if it is healthy.
        #[arg(long, value_name = "INSTANCES", conflicts_with_all = ["confirm", "dry_run"])]
        canary: Option<String>,
        /// The time that it has to be healthy at all instances that try it.
        #[arg(long, value_name = "DURATION", default_value = "60s", requires = "canary")]
        hold: String,
        /// Only if this revision is in force, or a config with this ETag; otherwise nothing changes.
        #[arg(long, value_name = "REVISION|ETAG")]
        if_match: Option<String>,
        #[command(flatten)]
        wait: WaitArgs,
        #[command(flatten)]
        admin: AdminArgs,
        /// Output format.
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Confirm a config that was applied with --confirm.
    Confirm {
        #[command(flatten)]
        admin: AdminArgs,
        /// Output format.
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// List the applied configs of a running gateway, newest first.
    History {
        #[command(subcommand)]
        command: Option<HistoryCommand>,
        #[command(flatten)]
        admin: AdminArgs,
        /// Output format.
        #[arg(long, value_enum, default_value_t, global = true)]
        format: Format,
    },
    /// Apply an earlier config again, also on the gateway's disk.
    Rollback {
        /// The revision, as listed by `waypost history`.
        revision: u64,
        #[command(flatten)]
        wait: WaitArgs,
        #[command(flatten)]
        admin: AdminArgs,
        /// Output format.
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Write the config of a running gateway, or of a fleet in etcd, to a directory.
    #[command(after_help = "\
The way back is `waypost apply DIRECTORY`, at any instance of the fleet.

Examples:
  waypost export conf.d
  waypost export backup/today --from etcd://10.0.0.1:2379,10.0.0.2:2379/waypost/prod")]
    Export {
        /// The directory; it is made, or has to be empty.
        directory: PathBuf,
        /// Take it from etcd, without a running gateway: `etcd://HOST:PORT,HOST:PORT/PREFIX`, or a file with `source`.
        #[arg(long, value_name = "CONFIG")]
        from: Option<PathBuf>,
        #[command(flatten)]
        etcd: EtcdArgs,
        #[command(flatten)]
        admin: AdminArgs,
        /// Output format.
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Replace a running gateway by the binary at its path now, without losing a request.
    #[command(after_help = "\
The running process starts the binary at the path that it was started by, with the same arguments and environment. The
new process loads the config from disk, takes over the listening sockets and the state, and serves; the old one finishes
its requests and exits. If the new process fails, or is not ready within 60 s, the old one goes on, and the command says
why and exits with 1. The signal SIGUSR2 does the same.

Example:
  install -m 755 waypost-0.2.0 /usr/bin/waypost && waypost upgrade")]
    Upgrade {
        #[command(flatten)]
        admin: AdminArgs,
        /// Output format.
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Make a key for a client of `auth: { key: … }`, and print it, this once, with its line for the file of keys.
    #[command(after_help = "\
The first line of the output is the key, for the client. The second is for the file: it has the hash alone, from which the
key cannot be found.

Examples:
  waypost hash-key acme --group gold --group eu
  waypost hash-key acme --stdin < old-key       the line of a key that the client has already")]
    HashKey {
        /// The name of the client: its identity in logs and headers.
        #[arg(default_value = "client")]
        name: String,
        /// A group that the client is in; may be given several times.
        #[arg(long = "group", value_name = "GROUP")]
        groups: Vec<String>,
        /// Read a key from standard input instead of making one.
        #[arg(long)]
        stdin: bool,
    },
    /// Print the JSON Schema of the config language.
    Schema,
    /// Print a completion script for a shell.
    Completions {
        /// The shell.
        shell: Shell,
    },
    /// Write the manual pages, one for each command.
    Man {
        /// The directory to write to.
        directory: PathBuf,
    },
    /// Run a demo: a gateway in front of three small built-in services.
    Demo {
        /// With a rollout to watch, of a good or a bad version: it goes all the way, or back.
        #[arg(long, value_enum, value_name = "VERSION")]
        rollout: Option<Version>,
        /// With some requests a second from clients of its own, and a new version that fails one in five.
        #[arg(long, conflicts_with = "rollout")]
        traffic: bool,
    },
}

/// The requests that are shown, and their form.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  waypost tail --failing
  waypost tail users --status 5xx --service users-v2
  waypost tail --host '*.example.com' --path /api/ --format json")]
pub(crate) struct Tail {
    /// The route; by default all routes.
    pub(crate) route: Option<String>,
    /// Only requests to this service.
    #[arg(long)]
    pub(crate) service: Option<String>,
    /// Only requests for this host, or `*.example.net`.
    #[arg(long)]
    pub(crate) host: Option<String>,
    /// Only requests with a path that begins so.
    #[arg(long, value_name = "PREFIX")]
    pub(crate) path: Option<String>,
    /// Only requests with this method.
    #[arg(long)]
    pub(crate) method: Option<String>,
    /// Only requests with this status, or of this class, such as `5xx`.
    #[arg(long)]
    pub(crate) status: Option<String>,
    /// Only failed requests.
    #[arg(long)]
    pub(crate) failing: bool,
    /// Requests in a second, at most; what is more is counted. By default 100, up to 1000.
    #[arg(long, value_name = "NUMBER")]
    pub(crate) rate: Option<u32>,
    /// End after this many requests.
    #[arg(short, long, value_name = "NUMBER")]
    pub(crate) number: Option<u64>,
    #[command(flatten)]
    pub(crate) admin: AdminArgs,
    /// Output format; as JSON, the lines of the access log.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
}

/// The gateway that is watched, and the way.
#[cfg(feature = "tui")]
#[derive(Debug, Args)]
#[command(after_help = "\
Keys: Enter shows a route, d turns its dial, / searches, e explains a request, ? lists all keys, q quits.

Examples:
  waypost top
  waypost top users
  waypost top --once")]
pub(crate) struct Top {
    /// The route to begin with; by default all routes.
    pub(crate) route: Option<String>,
    /// Print one frame as text, and end.
    #[arg(long)]
    pub(crate) once: bool,
    /// The time between two pictures, such as `500ms` or `5s`.
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = interval)]
    pub(crate) interval: Duration,
    #[command(flatten)]
    pub(crate) admin: AdminArgs,
}

/// Parses an interval.
#[cfg(feature = "tui")]
fn interval(text: &str) -> Result<Duration, String> {
    let interval = waypost_plan::duration::parse(text).map_err(|error| error.to_string())?;
    match interval >= Duration::from_millis(100) && interval <= Duration::from_secs(3_600) {
        true => Ok(interval),
        false => Err("an interval is a duration from `100ms` to `1h`".to_owned()),
    }
}

/// The arguments of `run`.
#[derive(Debug, Args)]
pub(crate) struct Run {
    /// The config: a file, a directory of *.yaml files, or its place in etcd: `etcd://HOST:PORT,HOST:PORT/PREFIX`, with TLS
    /// `https://HOST:PORT,HOST:PORT/PREFIX`.
    #[arg(default_value = DEFAULT_PATH, value_name = "CONFIG")]
    pub(crate) path: PathBuf,
    #[command(flatten)]
    pub(crate) etcd: EtcdArgs,
    /// Write the process id to this file once clients are accepted, and remove it at the end.
    #[arg(long, value_name = "FILE")]
    pub(crate) pid_file: Option<PathBuf>,
    /// Start nothing, but ask the gateway at this admin address, HOST:PORT or unix:PATH, for its readiness, and exit with 0
    /// or 1.
    #[arg(long, value_name = "ADDRESS", exclusive = true)]
    pub(crate) check_ready: Option<String>,
}

/// The way to an etcd that a URL names.
#[derive(Debug, Default, Args)]
pub(crate) struct EtcdArgs {
    /// Trust etcd by the authorities in this file (PEM), instead of the platform's. With it, there is TLS.
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// Show etcd the certificate in this file (PEM). With it, there is TLS.
    #[arg(long, value_name = "FILE", requires = "key")]
    pub(crate) cert: Option<PathBuf>,
    /// The key of that certificate (PEM).
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub(crate) key: Option<PathBuf>,
    /// File with one line `NAME:PASSWORD`, the user at etcd.
    #[arg(long, value_name = "FILE")]
    pub(crate) user_file: Option<PathBuf>,
    /// File with the key that certificates of `acme` are sealed with in etcd: 32 bytes in base64.
    #[arg(long, value_name = "FILE")]
    pub(crate) certificates_key: Option<PathBuf>,
}

impl EtcdArgs {
    /// Returns true if there is any.
    pub(crate) fn is_given(&self) -> bool {
        let Self {
            ca,
            cert,
            key,
            user_file,
            certificates_key,
        } = self;
        let all = [ca, cert, key, user_file, certificates_key];
        all.into_iter().any(Option::is_some)
    }
}

/// The admin API of a running gateway.
#[derive(Debug, Args)]
pub(crate) struct AdminArgs {
    /// The admin address of the gateway: http://HOST:PORT or unix:PATH.
    #[arg(
        long,
        value_name = "URL",
        env = "WAYPOST_ADMIN",
        default_value = ADMIN,
        global = true
    )]
    pub(crate) admin: String,
    /// File with the access token: the last word of its first line.
    #[arg(long, value_name = "FILE", env = "WAYPOST_TOKEN_FILE", global = true)]
    pub(crate) token_file: Option<PathBuf>,
    /// The access token. Prefer the environment variable: other users can see the command line.
    #[arg(
        long,
        value_name = "TOKEN",
        env = "WAYPOST_TOKEN",
        hide_env_values = true,
        global = true
    )]
    pub(crate) token: Option<String>,
}

/// The subcommands of `fleet`.
#[derive(Debug, Subcommand)]
pub(crate) enum FleetCommand {
    /// Take the config back that some instances try: all obey the config of all again.
    Abort,
}

/// The subcommands of `history`.
#[derive(Debug, Subcommand)]
pub(crate) enum HistoryCommand {
    /// Print the text of a revision.
    Show {
        /// The number of the revision.
        number: u64,
    },
    /// Print the differences between two revisions.
    Diff {
        /// The number of the earlier one.
        from: u64,
        /// The number of the later one.
        to: u64,
    },
}

/// The arguments of `explain`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  waypost explain gateway.yaml GET http://api.example.com/users/7 -H 'x-api-version: 2'
  waypost explain gateway.yaml --curl curl -X POST https://api.example.com/orders -d a=b
  waypost explain gateway.yaml --log access.log")]
pub(crate) struct Explain {
    /// The config (default: waypost.yaml), and the method and URL of the request.
    #[arg(value_name = "[CONFIG] METHOD URL", num_args = 0..=3)]
    pub(crate) request: Vec<String>,
    /// A header of the request; `host` overrides the URL's.
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    pub(crate) headers: Vec<String>,
    /// The address of the client; by default 127.0.0.1, or none at a unix socket.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) client_ip: Option<IpAddr>,
    /// The listener, by name or address; by default the first that serves the host and fits the scheme of
    /// the URL.
    #[arg(long, value_name = "LISTENER")]
    pub(crate) listener: Option<String>,
    /// Include the routes of other hosts.
    #[arg(long)]
    pub(crate) all: bool,
    /// Output format.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
    /// Explain each line of an access log instead.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["curl", "headers"])]
    pub(crate) log: Option<PathBuf>,
    /// Take the request from a curl command line: all arguments that follow.
    #[arg(long, value_name = "ARGUMENTS", num_args = 1.., allow_hyphen_values = true, conflicts_with = "headers")]
    pub(crate) curl: Option<Vec<String>>,
}

/// Output format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Format {
    /// For people and grep.
    #[default]
    Text,
    /// For scripts, one JSON document.
    Json,
}

/// The new version in a rollout of the demo.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Version {
    /// As good as the old one.
    Good,
    /// One in five requests fails.
    Bad,
}

/// Prints a completion script.
pub(crate) fn print_completions(shell: Shell) -> anyhow::Result<Outcome> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "waypost", &mut script);
    crate::output::print(&String::from_utf8_lossy(&script))?;
    Ok(Outcome::Good)
}

/// Writes the manual pages.
pub(crate) fn write_manual(directory: &Path) -> anyhow::Result<Outcome> {
    // `help` would make pages of the help of every command.
    let command = Cli::command().disable_help_subcommand(true);
    clap_mangen::generate_to(command, directory)
        .with_context(|| format!("the manual cannot be written to `{}`", directory.display()))?;
    Ok(Outcome::Good)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}

/// The commands of `waypost rollout`.
#[derive(Debug, Subcommand)]
pub(crate) enum RolloutCommand {
    /// Begin a rollout: the first step is taken at once.
    Start {
        /// The route.
        route: String,
        /// The service that is rolled out; can be left out if the plan names it.
        #[arg(long, value_name = "SERVICE")]
        to: Option<String>,
        /// The plan, one of `rollouts` in the config; by default the route's.
        #[arg(long, value_name = "NAME")]
        plan: Option<String>,
        /// Shares in percent, instead of the plan's steps.
        #[arg(long, value_name = "PERCENT,...", value_delimiter = ',')]
        steps: Option<Vec<f64>>,
        /// Put the weights into the config when the rollout succeeds.
        #[arg(long)]
        write: bool,
        #[command(flatten)]
        wait: WaitArgs,
        #[command(flatten)]
        admin: AdminArgs,
        /// Output format.
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Show how rollouts stand, and why.
    Status {
        /// The route; by default all routes that had a rollout.
        route: Option<String>,
        /// Refresh until Ctrl-C; in JSON, print one line each time.
        #[arg(long)]
        watch: bool,
        #[command(flatten)]
        admin: AdminArgs,
        /// Output format.
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Take no further steps. The judge goes on, and rolls back.
    Pause(ActOnRollout),
    /// Go on after a pause, or with a changed plan.
    Resume(ActOnRollout),
    /// Take the next step now.
    Promote(ActOnRollout),
    /// Approve of the next step.
    Approve(ActOnRollout),
    /// Go back to the weights of the start.
    Abort(ActOnRollout),
    /// Give the new version everything now.
    Finish {
        /// Put the weights into the config.
        #[arg(long)]
        write: bool,
        #[command(flatten)]
        on: ActOnRollout,
    },
    /// Show the changes of a route's rollouts, latest first.
    History(OnRollout),
}

/// The arguments of an action on a rollout.
#[derive(Debug, Args)]
pub(crate) struct ActOnRollout {
    #[command(flatten)]
    pub(crate) on: OnRollout,
    /// Only if the rollout still has this version, as `rollout status --format json` says it.
    #[arg(long, value_name = "VERSION")]
    pub(crate) if_version: Option<String>,
    #[command(flatten)]
    pub(crate) wait: WaitArgs,
}

/// Waiting for the instances of a fleet.
#[derive(Debug, Args)]
pub(crate) struct WaitArgs {
    /// In a fleet, wait until all instances obey the change, for 30 s unless it says otherwise; name those that do not, and exit
    /// with 1.
    #[arg(
        long,
        value_name = "DURATION",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "30s"
    )]
    pub(crate) wait: Option<String>,
}

/// A route whose rollout is meant.
#[derive(Debug, Args)]
pub(crate) struct OnRollout {
    /// The route.
    pub(crate) route: String,
    #[command(flatten)]
    pub(crate) admin: AdminArgs,
    /// Output format.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
}
