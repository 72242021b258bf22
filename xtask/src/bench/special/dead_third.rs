//! The death of one of three endpoints, under load.

use std::thread;
use std::time::Duration;

use anyhow::Result;

use crate::bench::contender::{Contender, Peer, Running};
use crate::bench::layout::{Extra, Layout};
use crate::bench::load::{Load, Seen};
use crate::bench::machine::{Machine, service};
use crate::bench::options::Options;
use crate::bench::report::{Section, spread};
use crate::bench::special::latency;
use crate::bench::statistics::Spread;

const CONNECTIONS: usize = 64;
/// Time from the death to the measurement.
const AFTER: Duration = Duration::from_secs(1);
const LATER_MAX: f64 = 1.2;

pub(crate) fn run(machine: &Machine, options: &Options) -> Result<Section> {
    let (mut healthy, mut broken) = (Vec::new(), Vec::new());
    let mut rate = 0.0;
    for round in 0..options.rounds() {
        let third = service("service")?;
        let layout = Layout {
            last_endpoint: Some(third.address),
            ..Layout::balanced(3, Extra::LeastRequest)
        };
        let running = Running::start(machine, Contender::new(Peer::Waypost, layout))?;
        if round == 0 {
            rate = latency::saturation(machine, &running, options)? / 2.0;
        }
        let load = Load::Paced {
            connections: CONNECTIONS,
            rate: rate as usize,
        };
        load.run(machine, &running, 1.0)?;
        healthy.push(load.run(machine, &running, options.seconds().into())?);
        // Requests that are in flight at the death are not measured: the load pauses.
        drop(third);
        thread::sleep(AFTER);
        broken.push(load.run(machine, &running, options.seconds().into())?);
        if let (Some(healthy), Some(broken)) = (healthy.last(), broken.last()) {
            eprintln!(
                "   round {}: p99 {} → {} µs",
                round + 1,
                healthy.p99_us,
                broken.p99_us
            );
        }
    }
    let ratios = healthy.iter().zip(&broken);
    let ratio = Spread::of(ratios.map(|(healthy, broken)| broken.p99_us as f64 / healthy.p99_us as f64));
    let p99 = |seen: &[Seen]| spread(Spread::of(seen.iter().map(|seen| seen.p99_us as f64 / 1000.0)), 2);
    let missed = (ratio.median > LATER_MAX).then(|| {
        format!(
            "p99 is {:.2} of that with all three, instead of {LATER_MAX}",
            ratio.median
        )
    });
    let row = vec![
        format!("{rate:.0}"),
        "0".to_owned(),
        p99(&healthy),
        p99(&broken),
        spread(ratio, 2),
    ];
    let header = [
        "requests/s",
        "failed",
        "p99 ms, all three",
        "p99 ms, one dead",
        "ratio",
    ];
    Ok(Section::table(&header, vec![row], missed.into_iter().collect()))
}
