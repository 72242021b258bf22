//! The `waypost` command: an API routing gateway, and the tools to inspect and control it.

use std::process::ExitCode;

use clap::Parser as _;

use crate::check::Files;
use crate::cli::{Cli, Command, FleetCommand};
use crate::remote::apply::Way;
use crate::remote::wait::Changed;

mod acme;
mod background;
mod caller;
mod certificates;
mod check;
mod checksummed;
mod cli;
mod control;
mod demo;
mod explain;
mod export;
mod fix;
mod fleet;
mod hash_key;
mod key_sets;
mod limits;
mod load;
mod log;
mod member;
mod notifier;
mod origin;
mod output;
mod pid_file;
mod remote;
mod run;
mod source;
mod state;
mod systemd;
mod test;
mod texts;
#[cfg(feature = "tui")]
mod top;
mod upgrade;

/// Returns the memory that reading a config took to the system; the system's own allocator keeps it.
#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// The result of a command, as its exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// Exit code 0.
    Good,
    /// Exit code 1: the config, a test or the gateway's answer is bad.
    Bad,
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        // Help and version are no errors; anything else is a command that could not run.
        Err(error) => {
            let code = if error.use_stderr() { 2 } else { 0 };
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    let outcome = match cli.command {
        Command::Run(arguments) => run::run(&arguments),
        Command::Check {
            path,
            limits,
            without_files,
            fix,
            format,
        } => {
            let options = check::Options {
                limits,
                files: if without_files { Files::Unread } else { Files::Read },
                fix,
                format,
            };
            check::check(&path, &options)
        }
        Command::Explain(arguments) => explain::explain(&arguments),
        Command::Test { path, format } => test::test(&path, format),
        Command::Status { admin, format } => remote::status::status(&admin, format),
        Command::Fleet {
            command,
            admin,
            format,
        } => match command {
            None => remote::fleet::fleet(&admin, format),
            Some(FleetCommand::Abort) => remote::canary::abort(&admin, format),
        },
        Command::Routes { admin, format } => remote::routes::routes(&admin, format),
        Command::Services {
            service,
            admin,
            format,
        } => remote::services::services(&admin, service.as_deref(), format),
        Command::Drain {
            service,
            endpoint,
            undo,
            wait,
            admin,
            format,
        } => {
            let drained = remote::services::drain(&admin, &service, &endpoint, undo, format);
            remote::wait::after(drained, Changed::Weights, &admin, &wait)
        }
        Command::Dial {
            route,
            weights,
            deal,
            reset,
            force,
            wait,
            admin,
            format,
        } => {
            let dialed = match deal {
                Some(deal) => {
                    // Beside a deal, every word is a weight.
                    let weights: Vec<String> = route.into_iter().chain(weights).collect();
                    remote::dial::dial_deal(&admin, &deal, &weights, reset, format)
                }
                None => remote::dial::dial(
                    &admin,
                    &route.unwrap_or_default(),
                    &weights,
                    (reset, force),
                    format,
                ),
            };
            remote::wait::after(dialed, Changed::Weights, &admin, &wait)
        }
        Command::Rollout { command } => remote::rollout::rollout(command),
        Command::Stats {
            route,
            window,
            watch,
            admin,
            format,
        } => remote::stats::stats(&admin, route.as_deref(), &window, watch, format),
        #[cfg(feature = "tui")]
        Command::Top(arguments) => top::top(&arguments),
        Command::Tail(arguments) => remote::tail::tail(&arguments),
        Command::Apply {
            path,
            dry_run,
            confirm,
            canary,
            hold,
            if_match,
            wait,
            admin,
            format,
        } => {
            let way = match (canary, confirm) {
                _ if dry_run => Way::DryRun,
                (Some(instances), _) => Way::Canary { instances, hold },
                (None, Some(wait)) => Way::Confirm(wait),
                (None, None) => Way::Now,
            };
            let applied = remote::apply::apply(&admin, &path, &way, if_match.as_deref(), format);
            remote::wait::after(applied, Changed::Config, &admin, &wait)
        }
        Command::Confirm { admin, format } => remote::apply::confirm(&admin, format),
        Command::History {
            command,
            admin,
            format,
        } => remote::history::history(&admin, command.as_ref(), format),
        Command::Rollback {
            revision,
            wait,
            admin,
            format,
        } => {
            let applied = remote::apply::roll_back(&admin, revision, format);
            remote::wait::after(applied, Changed::Config, &admin, &wait)
        }
        Command::Export {
            directory,
            from,
            etcd,
            admin,
            format,
        } => {
            let from = export::From {
                place: from.as_deref(),
                etcd: &etcd,
                admin: &admin,
            };
            export::export(&directory, &from, format)
        }
        Command::Upgrade { admin, format } => remote::upgrade::upgrade(&admin, format),
        Command::HashKey { name, groups, stdin } => hash_key::hash_key(&name, &groups, stdin),
        Command::Schema => output::print_json(&waypost_config::schema::schema()),
        Command::Completions { shell } => cli::print_completions(shell),
        Command::Man { directory } => cli::write_manual(&directory),
        Command::Demo { rollout, traffic } => demo::demo(rollout, traffic),
    };
    match outcome {
        Ok(Outcome::Good) => ExitCode::SUCCESS,
        Ok(Outcome::Bad) => ExitCode::from(1),
        Err(error) if output::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            anstream::eprintln!("waypost: {error:#}");
            ExitCode::from(2)
        }
    }
}
