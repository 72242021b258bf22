//! The cost of rollouts under way: the CPU time that the gateway takes with a thousand of them and without, for the same
//! requests.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::thread;

use anyhow::{Context as _, Result, ensure};

use crate::bench::process;
use crate::command;
use crate::programs::{self, Running, Service};

/// Rollouts at once.
const ROLLOUTS: usize = 1000;
/// Requests a second, spread over all routes.
const RATE: usize = 1000;
/// Seconds with requests before the measurement, and in it. Evidence is stored twice in it.
const WARM_UP: u64 = 5;
const MEASURED: u64 = 60;
/// The share of a core that all rollouts together may take, in percent.
const SHARE_MAX: f64 = 2.0;

/// The rollouts of the routes.
#[derive(Clone, Copy, PartialEq)]
enum Routes {
    /// A split.
    Plain,
    /// A plan of a rollout, whose judge learns.
    Planned,
    /// A rollout under way.
    Moving,
}

/// Measures, and prints a table.
pub(crate) fn run() -> Result<()> {
    programs::build_release(&programs::THREE)?;
    println!("{ROLLOUTS} sticky routes, {RATE} requests a second, {MEASURED} s; percent of a core\n");
    let mut plain = 0.0;
    let mut problems = Vec::new();
    for (name, routes) in [
        ("no rollouts", Routes::Plain),
        ("judges that learn", Routes::Planned),
        ("rollouts under way", Routes::Moving),
    ] {
        let percent = measure(routes)?;
        if routes == Routes::Plain {
            plain = percent;
        }
        let more = percent - plain;
        println!("{percent:>6.2}  {more:>+6.2}  {name}");
        if more > SHARE_MAX {
            problems.push(format!(
                "{name} take {more:.2} % of a core, and may take {SHARE_MAX} %"
            ));
        }
    }
    command::report(&problems, "rollouts are cheap")
}

/// The percentage of a core that the gateway takes.
fn measure(routes: Routes) -> Result<f64> {
    let folder = command::root().join("target/rollouts");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    let service = Service::start(&mut Command::new(programs::release("service")))?;
    fs::write(folder.join("waypost.yaml"), config(service.address, routes))?;
    let mut gateway = Running(
        Command::new(programs::release("waypost"))
            .arg("run")
            .arg(folder.join("waypost.yaml"))
            .stderr(Stdio::piped())
            .spawn()
            .context("could not start the gateway")?,
    );
    let output = gateway.0.stderr.take().context("its output is piped")?;
    let mut lines = BufReader::new(output).lines();
    let (mut listening, mut admin) = (None, None);
    loop {
        let line = lines.next().context("the gateway did not start")??;
        if let Some((_, address)) = line.split_once("listening on http://") {
            listening = Some(address.to_owned());
        }
        if let Some((_, address)) = line.split_once("admin on ") {
            admin = Some(address.trim_start_matches("http://").to_owned());
        }
        if line == "ready" {
            break;
        }
    }
    // Drains the pipe.
    thread::spawn(move || lines.for_each(drop));
    let listening = listening.context("the gateway names no address")?;
    if routes == Routes::Moving {
        let admin: SocketAddr = admin.context("the gateway names no admin address")?.parse()?;
        for route in 0..ROLLOUTS {
            start(admin, route)?;
        }
    }
    let load = |seconds: u64| {
        let words = ["16", &RATE.to_string(), &ROLLOUTS.to_string()].map(str::to_owned);
        let mut load = Command::new(programs::release("load"));
        load.args(["paced", &listening, &seconds.to_string()]).args(words);
        command::output(&mut load)
    };
    load(WARM_UP)?;
    let before = process::usage(gateway.0.id())?.cpu;
    load(MEASURED)?;
    let taken = process::usage(gateway.0.id())?.cpu.saturating_sub(before);
    Ok(100.0 * taken.as_secs_f64() / MEASURED as f64)
}

/// Starts the rollout of a route.
fn start(admin: SocketAddr, route: usize) -> Result<()> {
    let mut client = TcpStream::connect(admin)?;
    write!(
        client,
        "POST /api/v1/routes/s{route}/rollout HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{{}}"
    )?;
    let mut answer = String::new();
    client.read_to_string(&mut answer)?;
    ensure!(answer.starts_with("HTTP/1.1 200"), "no rollout begins: {answer}");
    Ok(())
}

fn config(service: SocketAddr, routes: Routes) -> String {
    let mut text = format!(
        "listeners: [{{ bind: 127.0.0.1:0 }}]\nadmin: {{ bind: 127.0.0.1:0 }}\naccess_log: off\nservices:\n  \
         old: {{ endpoints: [http://{service}] }}\n  new: {{ endpoints: [http://{service}] }}\nrollouts:\n  \
         plan: {{ canary: new, steps: [10, 50, 100], at_least: 1h, judge: {{ late: 10s }} }}\nroutes:\n"
    );
    let rollout = match routes {
        Routes::Plain => "",
        Routes::Planned | Routes::Moving => ", rollout: plan",
    };
    for route in 0..ROLLOUTS {
        let _ = writeln!(
            text,
            "  - {{ name: s{route}, match: {{ path: /s{route}/* }}, to: {{ old: 90, new: 10 }}, \
             sticky: {{ header: x-user }}{rollout} }}"
        );
    }
    text
}
