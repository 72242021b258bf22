//! A config of 10,000 routes that changes every second, under load.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::bench::contender::{Contender, Peer, Running};
use crate::bench::layout::{Kind, Layout};
use crate::bench::load::Load;
use crate::bench::machine::Machine;
use crate::bench::options::Options;
use crate::bench::report::{Section, spread};
use crate::bench::special::{changed, latency, revisions};
use crate::bench::statistics::Spread;

const LAYOUT: Layout = Layout::routes(Kind::Prefix, 10_000);
const EVERY: Duration = Duration::from_secs(1);
const CONNECTIONS: usize = 64;
const LATER_MAX: f64 = 1.2;
/// Duration of a turn: a few configs come into force.
const SECONDS: f64 = 6.0;

pub(crate) fn run(machine: &Machine, options: &Options) -> Result<Section> {
    let running = Running::start(machine, Contender::new(Peer::Waypost, LAYOUT))?;
    let rate = latency::saturation(machine, &running, options)? / 2.0;
    let load = Load::Paced {
        connections: CONNECTIONS,
        rate: rate as usize,
    };
    let (mut calm, mut changing) = (Vec::new(), Vec::new());
    let mut times = 0;
    let before = revisions(&running)?;
    // Generating a config takes longer than loading it, so it is done before the measurement.
    let configurations = [
        running.configuration(&changed(LAYOUT, 0))?,
        running.configuration(&changed(LAYOUT, 1))?,
    ];
    for round in 0..options.rounds() {
        calm.push(load.run(machine, &running, SECONDS)?);
        let done = AtomicBool::new(false);
        let seen = thread::scope(|scope| {
            let asking = scope.spawn(|| {
                let seen = load.run(machine, &running, SECONDS);
                done.store(true, Ordering::Relaxed);
                seen
            });
            while !done.load(Ordering::Relaxed) {
                times += 1;
                running.rewrite(&configurations[times % 2])?;
                thread::sleep(EVERY);
            }
            asking
                .join()
                .unwrap_or_else(|_| anyhow::bail!("the load panicked"))
        })?;
        changing.push(seen);
        if let (Some(calm), Some(changing)) = (calm.last(), changing.last()) {
            eprintln!(
                "   round {}: p99 {} → {} µs",
                round + 1,
                calm.p99_us,
                changing.p99_us
            );
        }
    }
    let came = revisions(&running)? - before;
    ensure!(
        came * 10 >= times * 8,
        "only {came} of {times} configs came into force"
    );
    let ratio = Spread::of(
        calm.iter()
            .zip(&changing)
            .map(|(calm, changing)| changing.p99_us as f64 / calm.p99_us as f64),
    );
    let p99 = |seen: &[crate::bench::load::Seen]| {
        spread(Spread::of(seen.iter().map(|seen| seen.p99_us as f64 / 1000.0)), 2)
    };
    let missed = if ratio.median > LATER_MAX {
        vec![format!(
            "p99 is {:.2} of that without, instead of {LATER_MAX}",
            ratio.median
        )]
    } else {
        Vec::new()
    };
    let row = vec![
        format!("{rate:.0}"),
        came.to_string(),
        "0".to_owned(),
        p99(&calm),
        p99(&changing),
        spread(ratio, 2),
    ];
    let header = [
        "requests/s",
        "reloads",
        "failed",
        "p99 ms, calm",
        "p99 ms, reloading",
        "ratio",
    ];
    Ok(Section::table(&header, vec![row], missed))
}
