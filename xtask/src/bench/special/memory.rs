//! What 100,000 routes take: memory, time to load, and what a request notices of a swap.

use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::bench::contender::{Contender, Peer, Running};
use crate::bench::layout::{Kind, Layout};
use crate::bench::load::Load;
use crate::bench::machine::Machine;
use crate::bench::options::Options;
use crate::bench::report::Section;
use crate::bench::special::{changed, revisions, wait_for_revision};

const LAYOUT: Layout = Layout::routes(Kind::Prefix, 100_000);
const MIB_MAX: f64 = 120.0;
const LOAD_SECONDS_MAX: f64 = 1.5;
/// How much later a request may be because of a swap.
const LATER_US_MAX: u64 = 2000;
/// Far from what saturates: what is late is late because of the swap.
const RATE: usize = 5_000;
const CONNECTIONS: usize = 64;
const SECONDS: f64 = 5.0;
/// Until what it took to read a config has gone back to the system, where a gateway gives it back.
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
        if peer == Peer::Waypost {
            let load = Load::Paced {
                connections: CONNECTIONS,
                rate: RATE,
            };
            let resident = running.usage()?.resident_kib as f64 / 1024.0;
            let calm = load.run(machine, &running, SECONDS)?;
            let before = revisions(&running)?;
            let swapped = thread::scope(|scope| {
                let asking = scope.spawn(|| load.run(machine, &running, SECONDS));
                running.rewrite(&changed(LAYOUT, 1))?;
                wait_for_revision(&running, before)?;
                asking.join().ok().context("the load panicked")?
            })?;
            thread::sleep(SETTLED);
            let after = running.usage()?;
            let later = swapped.max_us.saturating_sub(calm.max_us);
            cells.extend([
                format!("{resident:.0}"),
                format!("{:.0}", after.resident_kib as f64 / 1024.0),
                format!("{:.0}", after.peak_kib as f64 / 1024.0),
                format!("{seconds:.2}"),
                format!(
                    "{:.2} → {:.2}",
                    calm.max_us as f64 / 1000.0,
                    swapped.max_us as f64 / 1000.0
                ),
            ]);
            if resident > MIB_MAX {
                missed.push(format!("{resident:.0} MiB instead of {MIB_MAX}"));
            }
            if seconds > LOAD_SECONDS_MAX {
                missed.push(format!("{seconds:.2} s to load instead of {LOAD_SECONDS_MAX}"));
            }
            if later > LATER_US_MAX {
                missed.push(format!("requests {later} µs later because of a swap"));
            }
        } else {
            let usage = running.usage()?;
            cells.extend([
                format!("{:.0}", usage.resident_kib as f64 / 1024.0),
                String::new(),
                format!("{:.0}", usage.peak_kib as f64 / 1024.0),
                format!("{seconds:.2}"),
                String::new(),
            ]);
        }
        rows.push(cells);
    }
    let header = [
        "",
        "resident MiB",
        "after a swap",
        "peak MiB",
        "start s",
        "latest ms: calm → with a swap",
    ];
    Ok(Section::table(&header, rows, missed))
}
