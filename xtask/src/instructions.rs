//! Instructions per request, compared with recorded counts. They do not depend on the load of the machine.
//!
//! `cargo xtask bench` compares time; this catches a regression in the commit that causes it. One client sends requests
//! one after the other while callgrind counts the instructions of the gateway's worker. What other threads do once a second
//! would depend on the time that callgrind takes.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use anyhow::{Context as _, Result, bail, ensure};

use crate::command;
use crate::programs::{self, Running, Service};

/// A build whose instructions are counted.
struct Build {
    /// Builds programs.
    build: fn(&[&str]) -> Result<()>,
    /// The path of one of them.
    path: fn(&str) -> PathBuf,
    /// File with the recorded counts.
    kept: &'static str,
    /// Arguments that choose it.
    arguments: &'static str,
}

/// The build that is shipped.
const DIST: Build = Build {
    build: programs::build,
    path: programs::dist,
    kept: "bench/instructions.txt",
    arguments: "",
};

/// A build in half the time, for a check of each change.
const RELEASE: Build = Build {
    build: programs::build_release,
    path: programs::release,
    kept: "bench/instructions-release.txt",
    arguments: " --release",
};

/// Measured requests.
const REQUESTS: u64 = 2000;
/// Warm-up requests, which open connections and allocate memory.
const WARM_UP: u64 = 200;
const ROUTES: usize = 100;
/// Allowed growth of a count, in percent.
const GROWTH_MAX: u64 = 5;

/// Counted parts and their functions; without functions, everything.
const COUNTED: [(&str, Option<&str>); 6] = [
    ("finding the route", Some("waypost_route::table::Table::find")),
    (
        "parsing a request's head",
        Some("waypost_wire::request::RequestHead::parse"),
    ),
    (
        "parsing a response's head",
        Some("waypost_wire::response::ResponseHead::parse"),
    ),
    (
        "writing a service's head",
        Some("waypost_policy::head::upstream::UpstreamHead::write"),
    ),
    (
        "writing a client's head",
        Some("waypost_policy::head::downstream::DownstreamHead::write"),
    ),
    ("a whole forwarded exchange", None),
];

/// A whole exchange on a sticky split, and on one whose rollout asks for all that the workers can count: keys of the route.
const ON_SPLIT: &str = "to: { service: 100, other: 0 }, sticky: { client_ip: true }";
const IN_ROLLOUT: &str = "to: { service: 100, other: 0 }, sticky: { client_ip: true }, \
                          rollout: { canary: other, steps: [1, 100], judge: { late: 10s } }";
/// Allowed growth of an exchange by a rollout, in percent.
const ROLLOUT_GROWTH_MAX: u64 = 2;

/// Counts and compares; with `--update`, records the counts instead. With `--release`, of the quicker build.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let mut updates = false;
    let mut build = DIST;
    for argument in arguments {
        match &**argument {
            "--update" => updates = true,
            "--release" => build = RELEASE,
            _ => bail!("usage: cargo xtask instructions [--release] [--update]"),
        }
    }
    (build.build)(&programs::THREE)?;
    let counted = count(&build)?;
    // One route, so that the judge's own seconds are lost among the requests.
    let split = costs(&build, 1, ON_SPLIT)?.all / REQUESTS;
    let rollout = costs(&build, 1, IN_ROLLOUT)?.all / REQUESTS;
    let kept = command::root().join(build.kept);
    if updates {
        let mut text = format!(
            "# Instructions for each request, by `cargo xtask instructions{} --update`\n",
            build.arguments
        );
        for (name, instructions) in &counted {
            let _ = writeln!(text, "{instructions:>6}  {name}");
        }
        fs::write(&kept, text)?;
    }
    let allowed = read_kept(&kept)?;
    let mut problems = Vec::new();
    println!("{rollout:>6} ({split:>6})  a whole exchange in a rollout, and without it");
    if rollout * 100 > split * (100 + ROLLOUT_GROWTH_MAX) {
        problems.push(format!(
            "a rollout takes more than {ROLLOUT_GROWTH_MAX} % of an exchange: {rollout} instructions instead of {split}"
        ));
    }
    for (name, instructions) in &counted {
        let before = allowed
            .get(*name)
            .with_context(|| format!("{} says nothing of {name}", build.kept))?;
        println!("{instructions:>6} ({before:>6})  {name}");
        if instructions * 100 > before * (100 + GROWTH_MAX) {
            problems.push(format!(
                "{name} takes {instructions} instructions, {before} before: mend it, or say why in the commit that runs \
                 `cargo xtask instructions{} --update`",
                build.arguments
            ));
        }
    }
    command::report(&problems, "no count has grown")
}

fn read_kept(path: &Path) -> Result<HashMap<String, u64>> {
    let text = fs::read_to_string(path).with_context(|| format!("could not read {}", path.display()))?;
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (number, name) = line
                .trim()
                .split_once("  ")
                .with_context(|| format!("`{line}` is no count"))?;
            Ok((name.to_owned(), number.parse()?))
        })
        .collect()
}

/// Instructions per request, for each counted part.
fn count(build: &Build) -> Result<Vec<(&'static str, u64)>> {
    let costs = costs(build, ROUTES, "to: service")?;
    let parts = COUNTED.into_iter().map(|(name, function)| {
        let all = match function {
            None => costs.all,
            Some(function) => *costs
                .inclusive
                .get(function)
                .with_context(|| format!("`{function}` is not called, or is part of its caller"))?,
        };
        Ok((name, all / REQUESTS))
    });
    parts.collect()
}

/// The profile of [`REQUESTS`] requests to so many routes with these keys.
fn costs(build: &Build, routes: usize, keys: &str) -> Result<Costs> {
    let folder = command::root().join("target/instructions");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;

    let service = Service::start(&mut Command::new((build.path)("service")))?;
    fs::write(folder.join("waypost.yaml"), config(service.address, routes, keys))?;

    let profile = folder.join("profile");
    let mut gateway = Running(
        Command::new("valgrind")
            .args([
                "--tool=callgrind",
                "--instr-atstart=no",
                "--separate-threads=yes",
                "--quiet",
            ])
            .arg(format!("--callgrind-out-file={}", profile.display()))
            .arg((build.path)("waypost"))
            .arg("run")
            .arg(folder.join("waypost.yaml"))
            .stderr(Stdio::piped())
            .spawn()
            .context("could not start valgrind")?,
    );
    let output = gateway.0.stderr.take().context("its output is piped")?;
    let mut lines = BufReader::new(output).lines();
    let mut listening = None;
    loop {
        let line = lines.next().context("the gateway did not start")??;
        if let Some((_, address)) = line.split_once("listening on http://") {
            listening = Some(address.to_owned());
        }
        if line == "ready" {
            break;
        }
    }
    // Drains the pipe.
    thread::spawn(move || lines.for_each(drop));
    let listening = listening.context("the gateway names no address")?;
    let id = gateway.0.id().to_string();
    let ask = |requests: u64| {
        let words = ["1", "1", &requests.to_string(), &routes.to_string()].map(str::to_owned);
        let mut load = Command::new((build.path)("load"));
        load.args(["paced", &listening]).args(words);
        let seen = command::output(&mut load)?;
        let whole = format!("{{\"requests\":{requests},");
        ensure!(seen.starts_with(&whole), "not all requests were answered: {seen}");
        Ok(())
    };
    let control = |argument: &str, value: Option<&str>| {
        let mut control = Command::new("callgrind_control");
        control.arg(argument).args(value).arg(&id);
        command::output(&mut control)
    };
    ask(WARM_UP)?;
    control("-i", Some("on"))?;
    ask(REQUESTS)?;
    control("-i", Some("off"))?;
    control("-d", None)?;
    worker_costs(&folder)
}

/// The costs of the worker, the thread that does most, from the profiles of all threads in `folder`.
fn worker_costs(folder: &Path) -> Result<Costs> {
    let mut costs = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with("profile.1-") {
            costs.push(Costs::of(&fs::read_to_string(entry.path())?));
        }
    }
    costs
        .into_iter()
        .max_by_key(|costs| costs.all)
        .context("callgrind wrote no profile")
}

fn config(service: SocketAddr, routes: usize, keys: &str) -> String {
    let mut text = format!(
        "listeners: [{{ bind: 127.0.0.1:0 }}]\nadmin: off\nworkers: 1\nservices:\n  \
         service: {{ endpoints: [http://{service}] }}\n  other: {{ endpoints: [http://{service}] }}\nroutes:\n"
    );
    for route in 0..routes {
        let _ = writeln!(
            text,
            "  - {{ name: s{route}, match: {{ path: /s{route}/* }}, {keys} }}"
        );
    }
    text
}

/// A callgrind profile (its manual, "Callgrind Format Specification").
struct Costs {
    all: u64,
    /// Inclusive costs of functions.
    inclusive: HashMap<String, u64>,
}

impl Costs {
    fn of(profile: &str) -> Self {
        let mut names: HashMap<&str, &str> = HashMap::new();
        let mut costs = Self {
            all: 0,
            inclusive: HashMap::new(),
        };
        let mut callee = "";
        let mut is_call = false;
        for line in profile.lines() {
            if let Some(totals) = line.strip_prefix("totals: ") {
                costs.all = totals.trim().parse().unwrap_or(0);
            } else if let Some(name) = line.strip_prefix("cfn=") {
                callee = full_name(name, &mut names);
            } else if let Some(name) = line.strip_prefix("fn=") {
                full_name(name, &mut names);
            } else if line.starts_with("calls=") {
                is_call = true;
            } else if std::mem::take(&mut is_call) {
                // A position and the cost of the calls.
                let cost = line.split(' ').nth(1).and_then(|cost| cost.parse::<u64>().ok());
                *costs.inclusive.entry(callee.to_owned()).or_default() += cost.unwrap_or(0);
            }
        }
        costs
    }
}

/// Resolves compressed names: `(12) name` the first time, `(12)` afterwards.
fn full_name<'p>(text: &'p str, names: &mut HashMap<&'p str, &'p str>) -> &'p str {
    match text.split_once(' ') {
        Some((number, name)) => {
            names.insert(number, name);
            name
        }
        None => names.get(text).copied().unwrap_or(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_calls_cost_is_summed_by_the_function_that_is_called() {
        let profile = "fn=(1) main\n4 10\ncfn=(2) find\ncalls=3 9\n5 300\nfn=(3) other\ncfn=(2)\ncalls=1 9\n7 100\n\
                       fn=(2)\n9 400\ntotals: 810\n";
        let costs = Costs::of(profile);
        assert_eq!((costs.all, costs.inclusive["find"]), (810, 400));
    }
}
