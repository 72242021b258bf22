//! Tasks for contributors: `cargo xtask test` and others.

mod arrows;
mod bench;
mod command;
mod fuzz;
mod instructions;
mod licences;
mod lint;
mod programs;
mod system;
mod test;
mod words;

use std::process::ExitCode;

use anyhow::{Result, bail, ensure};

const USAGE: &str = "\
usage: cargo xtask COMMAND

  test [ARGS…]           all tests; ARGS go to `cargo test`
  system                 tests against prometheus, curl, openssl, nghttp2, grpcio and others, and a full disk: needs
                         their packages, and root
  lint                   format, clippy and documentation, without a warning
  arrows                 what a crate must not depend on, and that no crate is there twice
  words                  what must not stand in a file
  licences               the licences of all dependencies
  bench [OPTIONS]        Waypost beside other gateways; `cargo xtask bench --help` says more
  instructions [--update]  what a request costs in instructions, held against bench/instructions.txt: needs valgrind
  fuzz [TARGET [ARGS…]]  each target for a fixed number of runs; or one, ARGS go to libFuzzer";

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
    if !matches!(&**command, "bench" | "test" | "fuzz" | "instructions") {
        ensure!(rest.is_empty(), "`{command}` takes no arguments\n\n{USAGE}");
    }
    match &**command {
        "test" => test::run(rest),
        "system" => system::run(),
        "lint" => lint::run(),
        "arrows" => arrows::run(),
        "words" => words::run(),
        "licences" => licences::run(),
        "bench" => bench::run(rest),
        "instructions" => instructions::run(rest),
        "fuzz" => fuzz::run(rest),
        "help" | "--help" | "-h" => {
            println!("{USAGE}");
            Ok(())
        }
        unknown => bail!("`{unknown}` is no command\n\n{USAGE}"),
    }
}
