//! The fuzz targets, on the stable compiler and without cargo-fuzz.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anyhow::{Context as _, Result, bail, ensure};

use crate::command;

/// The targets, in the order in which bytes pass through the gateway, with the calls of each in a smoke run: some
/// seconds per target.
const TARGETS: [(&str, u32); 11] = [
    ("request_head", 120_000),
    ("response_head", 120_000),
    ("chunked", 60_000),
    ("frames", 5_000),
    ("forwarded", 120_000),
    ("path", 180_000),
    ("set_cookie", 120_000),
    ("token", 40_000),
    ("table", 12_000),
    ("config", 25_000),
    ("fleet", 25_000),
];

/// Instrumentation for libFuzzer: edge counters and operands of comparisons.
const RUSTFLAGS: &str = "\
    --cfg fuzzing -Ccodegen-units=1 -Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares";

/// A fixed seed and a fixed number of runs make a smoke run reproducible. Inputs may be long from the start.
const SMOKE: [&str; 3] = ["-seed=1", "-max_len=4096", "-len_control=0"];

/// Folder for the inputs that a smoke run finds.
const SMOKE_CORPUS: &str = "target/smoke-corpus";

/// Smoke-runs all targets, or runs the one that `arguments` starts with; the rest goes to libFuzzer.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let host = host()?;
    match arguments.split_first() {
        None => {
            build(&host)?;
            smoke(&host)
        }
        Some((target, rest)) => {
            let names = TARGETS.map(|(name, _)| name);
            ensure!(
                names.contains(&&**target),
                "`{target}` is no target; there are {}",
                names.join(", ")
            );
            build(&host)?;
            let rest: Vec<&str> = rest.iter().map(String::as_str).collect();
            fuzz(&host, target, folder("corpus", target)?, &rest, Log::Shown)
        }
    }
}

/// Runs each target for its number of runs, as many at a time as there are cores: one keeps a core busy, and knows nothing of
/// the others.
fn smoke(host: &str) -> Result<()> {
    let next = AtomicUsize::new(0);
    let lane = || {
        while let Some(&(target, runs)) = TARGETS.get(next.fetch_add(1, Ordering::Relaxed)) {
            println!("fuzzing {target}, {runs} runs");
            smoke_one(host, target, runs)?;
        }
        Ok(())
    };
    let lanes = thread::available_parallelism()?.get().min(TARGETS.len());
    thread::scope(|scope| {
        let lanes: Vec<_> = (0..lanes).map(|_| scope.spawn(lane)).collect();
        let ended = lanes.into_iter().map(|lane| match lane.join() {
            Ok(result) => result,
            Err(_) => bail!("a thread has panicked"),
        });
        ended.collect::<Result<()>>()
    })?;
    println!("{} targets found nothing", TARGETS.len());
    Ok(())
}

fn smoke_one(host: &str, target: &str, runs: u32) -> Result<()> {
    // Inputs of an earlier run would change this one.
    fs::remove_dir_all(folder(SMOKE_CORPUS, target)?).context("could not clear the corpus")?;
    let corpus = folder(SMOKE_CORPUS, target)?;
    let runs = format!("-runs={runs}");
    let arguments: Vec<&str> = std::iter::once(&*runs).chain(SMOKE).collect();
    fuzz(host, target, corpus, &arguments, Log::Quiet)
}

/// Display of libFuzzer's log of a run without findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Log {
    Shown,
    Quiet,
}

/// The host platform. Naming it keeps cargo's flags away from build scripts and macros.
fn host() -> Result<String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = command::output(Command::new(rustc).arg("-vV"))?;
    host_of(&version).context("`rustc -vV` names no host")
}

fn host_of(version: &str) -> Option<String> {
    let host = version.lines().find_map(|line| line.strip_prefix("host: "))?;
    Some(host.trim().to_owned())
}

/// Builds all targets, in a target directory of their own: the flags would rebuild everything else.
fn build(host: &str) -> Result<()> {
    let mut cargo = command::cargo(["build", "--release", "--bins", "--locked", "--target", host]);
    cargo.args([
        "--manifest-path",
        "fuzz/Cargo.toml",
        "--target-dir",
        "fuzz/target",
    ]);
    cargo
        .env("RUSTFLAGS", RUSTFLAGS)
        .env_remove("CARGO_ENCODED_RUSTFLAGS");
    command::run(&mut cargo)
}

/// Creates and returns the folder `kind/target` of the fuzz crate.
fn folder(kind: &str, target: &str) -> Result<PathBuf> {
    let folder = command::root().join("fuzz").join(kind).join(target);
    fs::create_dir_all(&folder).with_context(|| format!("could not make `{}`", folder.display()))?;
    Ok(folder)
}

fn fuzz(host: &str, target: &str, corpus: PathBuf, arguments: &[&str], log: Log) -> Result<()> {
    let root = command::root();
    let artifacts = folder("artifacts", target)?;
    let mut fuzzer = Command::new(root.join("fuzz/target").join(host).join("release").join(target));
    fuzzer
        .current_dir(root)
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        .args(arguments)
        // libFuzzer stores new inputs in the first folder.
        .arg(corpus)
        .arg(root.join("fuzz/seeds").join(target));
    let finding = || format!("`{target}` found something; the input is in fuzz/artifacts/{target}");
    if log == Log::Shown {
        return command::run(&mut fuzzer).with_context(finding);
    }
    let output = fuzzer
        .output()
        .with_context(|| format!("could not start `{target}`"))?;
    if !output.status.success() {
        eprintln!("{}", String::from_utf8_lossy(&output.stderr));
    }
    ensure!(output.status.success(), finding());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_is_read_from_the_compilers_version() {
        let version = "rustc 1.95.0\nbinary: rustc\nhost: x86_64-unknown-linux-gnu\nrelease: 1.95.0\n";
        assert_eq!(host_of(version).as_deref(), Some("x86_64-unknown-linux-gnu"));
        assert_eq!(host_of("rustc 1.95.0\n"), None);
    }

    #[test]
    fn every_target_has_seeds() {
        for (target, _) in TARGETS {
            let seeds = command::root().join("fuzz/seeds").join(target);
            assert!(fs::read_dir(seeds).unwrap().next().is_some(), "{target}");
        }
    }
}
