//! Health checks: CPU time of 10,000 a second, without other work.

use std::thread;
use std::time::Duration;

use anyhow::Result;

use crate::bench::contender::{Contender, Peer, Running};
use crate::bench::layout::{Extra, Layout};
use crate::bench::machine::{ENDPOINTS_MAX, Machine};
use crate::bench::options::Options;
use crate::bench::report::{Section, spread};
use crate::bench::statistics::Spread;

/// Checks a second of each endpoint, as the configuration of the peers says.
const CHECKS_EACH: usize = 10;
const CORE_MAX: f64 = 0.05;
/// The first checks open connections.
const WARM_UP: Duration = Duration::from_secs(2);

pub(crate) fn run(machine: &Machine, options: &Options) -> Result<Section> {
    let start = |extra| {
        let layout = Layout::balanced(ENDPOINTS_MAX, extra);
        Running::start(machine, Contender::new(Peer::Waypost, layout))
    };
    let (idle, checking) = (start(Extra::Nothing)?, start(Extra::Checks)?);
    thread::sleep(WARM_UP);
    let mut shares = Vec::new();
    for round in 0..options.rounds() {
        let before = (idle.usage()?.cpu, checking.usage()?.cpu);
        let duration = Duration::from_secs(options.seconds().into());
        thread::sleep(duration);
        let without = idle.usage()?.cpu - before.0;
        let with = checking.usage()?.cpu - before.1;
        let share = with.saturating_sub(without).as_secs_f64() / duration.as_secs_f64();
        eprintln!("   round {}: {:.1} % of a core", round + 1, share * 100.0);
        shares.push(share);
    }
    let share = Spread::of(shares.iter().copied());
    let missed = (share.median > CORE_MAX).then(|| {
        format!(
            "{:.1} % of a core instead of {:.0} %",
            share.median * 100.0,
            CORE_MAX * 100.0
        )
    });
    let row = vec![
        (ENDPOINTS_MAX * CHECKS_EACH).to_string(),
        spread(Spread::of(shares.iter().map(|share| share * 100.0)), 1),
    ];
    let header = ["checks/s", "% of a core"];
    Ok(Section::table(&header, vec![row], missed.into_iter().collect()))
}
