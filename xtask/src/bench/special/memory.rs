//! 100,000 routes: memory, load time, and the effect of a swap on latency.

use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::bench::contender::{Contender, Peer, Running};
use crate::bench::layout::{Kind, Layout};
use crate::bench::load::Load;
use crate::bench::machine::Machine;
use crate::bench::options::Options;
use crate::bench::report::{Section, spread};
use crate::bench::special::{changed, revisions, wait_for_revision};
use crate::bench::statistics::Spread;

const LAYOUT: Layout = Layout::routes(Kind::Prefix, 100_000);
const MIB_MAX: f64 = 120.0;
const LOAD_SECONDS_MAX: f64 = 1.5;
/// Allowed delay of a request by a swap.
const LATER_US_MAX: f64 = 2000.0;
/// Rate far below saturation, so that delays are the swap's.
const RATE: usize = 5_000;
/// Rate that requests every route within [`SECONDS`].
const ALL_RATE: usize = 20_000;
const CONNECTIONS: usize = 64;
const SECONDS: f64 = 5.0;
/// Time for a gateway to return the memory of a load to the system.
const SETTLED: Duration = Duration::from_secs(2);

pub(crate) fn run(machine: &Machine, options: &Options) -> Result<Section> {
    let mut rows = Vec::new();
    let mut missed = Vec::new();
    for peer in [Peer::Waypost, Peer::Nginx, Peer::Haproxy] {
        if !options.wants_peer(peer) {
            continue;
        }
        let running = Running::start(machine, Contender::new(peer, LAYOUT))?;
        let mut cells = vec![peer.name().to_owned()];
        let seconds = running.start_time.as_secs_f64();
        thread::sleep(SETTLED);
        let started = running.usage()?;
        let resident = mib(started.resident_kib);
        if peer == Peer::Waypost {
            let at = |rate| Load::Paced {
                connections: CONNECTIONS,
                rate,
            };
            let load = at(RATE);
            // Generating a config takes longer than loading it, so it is done before the measurement.
            let configurations = [
                running.configuration(&changed(LAYOUT, 0))?,
                running.configuration(&changed(LAYOUT, 1))?,
            ];
            let before = revisions(&running)?;
            running.rewrite(&configurations[1])?;
            wait_for_revision(&running, before)?;
            thread::sleep(SETTLED);
            let after = running.usage()?;
            // Counters of a route are allocated at its first request.
            at(ALL_RATE).run(machine, &running, SECONDS)?;
            thread::sleep(SETTLED);
            let asked = running.usage()?;
            let (mut calm, mut swapped) = (Vec::new(), Vec::new());
            for round in 1..=options.rounds() {
                calm.push(load.run(machine, &running, SECONDS)?.max_us);
                let before = revisions(&running)?;
                let seen = thread::scope(|scope| {
                    let asking = scope.spawn(|| load.run(machine, &running, SECONDS));
                    running.rewrite(&configurations[(round + 1) % 2])?;
                    wait_for_revision(&running, before)?;
                    asking.join().ok().context("the load panicked")?
                })?;
                swapped.push(seen.max_us);
                eprintln!(
                    "   round {round}: latest {} → {} µs",
                    calm[calm.len() - 1],
                    seen.max_us
                );
            }
            let later = Spread::of(
                calm.iter()
                    .zip(&swapped)
                    .map(|(calm, swapped)| *swapped as f64 - *calm as f64),
            );
            let ms = |latest: &[u64]| spread(Spread::of(latest.iter().map(|us| *us as f64 / 1000.0)), 2);
            cells.extend([
                format!("{resident:.0}"),
                format!("{:.0}", mib(started.peak_kib)),
                format!("{:.0}", mib(after.resident_kib)),
                format!("{:.0}", mib(asked.resident_kib)),
                format!("{seconds:.2}"),
                ms(&calm),
                ms(&swapped),
            ]);
            if resident > MIB_MAX {
                missed.push(format!("{resident:.0} MiB instead of {MIB_MAX}"));
            }
            if seconds > LOAD_SECONDS_MAX {
                missed.push(format!("{seconds:.2} s to load instead of {LOAD_SECONDS_MAX}"));
            }
            if later.median > LATER_US_MAX {
                missed.push(format!(
                    "a request {:.0} µs later because of a swap",
                    later.median
                ));
            }
        } else {
            cells.extend([
                format!("{resident:.0}"),
                format!("{:.0}", mib(started.peak_kib)),
                String::new(),
                String::new(),
                format!("{seconds:.2}"),
                String::new(),
                String::new(),
            ]);
        }
        rows.push(cells);
    }
    let header = [
        "",
        "resident MiB",
        "peak until then",
        "after a swap",
        "once all routes were asked",
        "start s",
        "latest request ms, calm",
        "latest request ms, with a swap",
    ];
    Ok(Section::table(&header, rows, missed))
}

fn mib(kib: u64) -> f64 {
    kib as f64 / 1024.0
}
