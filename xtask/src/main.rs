//! Tasks for contributors: `cargo xtask test` and others.

mod arrows;
mod bench;
mod command;
mod fuzz;
mod instructions;
mod judge;
mod licences;
mod lint;
mod npm;
mod package;
mod programs;
mod rollouts;
mod system;
mod test;
mod ui;
mod words;

use std::process::ExitCode;

use anyhow::{Result, bail, ensure};

const USAGE: &str = "\
usage: cargo xtask COMMAND

  test [ARGS…]             all tests; ARGS are passed to `cargo test`
  system                   tests against prometheus, curl, openssl, nghttp2, grpcio, etcd, pebble and others, and on a full disk;
                           needs their packages, and root
  lint                     rustfmt, clippy and rustdoc, warnings denied
  arrows                   dependency rules of crates and modules
  words                    forbidden text, retired names, mannered prose
  licences                 licences of all dependencies
  ui [TEST…]               the dashboard in Chromium, or the tests whose paths contain one of TEST; needs Node and Chromium
  bench [OPTIONS]          comparison with other gateways; see `cargo xtask bench --help`
  instructions [--release] [--update]
                           instructions per request of the `dist` build, or of the quicker `release` one, compared with those
                           that bench/ records; needs valgrind
  package [--binary PATH]  a tarball and a package for Debian, of the `dist` build or of PATH, tried out
  rollouts                 CPU time that 1,000 rollouts take
  judge [--quick]          simulated rollouts: tables of the judge's figures, or bounds that must hold
  fuzz [TARGET [ARGS…]]    all fuzz targets for a fixed number of runs; or one, with ARGS passed to libFuzzer";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<()> {
    let Some((command, rest)) = arguments.split_first() else {
        bail!("a command is missing\n\n{USAGE}");
    };
    if !matches!(
        &**command,
        "bench" | "test" | "fuzz" | "instructions" | "judge" | "package" | "ui"
    ) {
        ensure!(rest.is_empty(), "`{command}` takes no arguments\n\n{USAGE}");
    }
    match &**command {
        "test" => test::run(rest),
        "system" => system::run(),
        "lint" => lint::run(),
        "arrows" => arrows::run(),
        "words" => words::run(),
        "ui" => ui::run(rest),
        "licences" => licences::run(),
        "bench" => bench::run(rest),
        "instructions" => instructions::run(rest),
        "package" => package::run(rest),
        "rollouts" => rollouts::run(),
        "judge" => judge::run(rest),
        "fuzz" => fuzz::run(rest),
        "help" | "--help" | "-h" => {
            println!("{USAGE}");
            Ok(())
        }
        unknown => bail!("`{unknown}` is no command\n\n{USAGE}"),
    }
}
