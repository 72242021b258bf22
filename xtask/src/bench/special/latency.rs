//! Tail latency at half of each gateway's maximum rate.

use anyhow::Result;

use crate::bench::contender::{Contender, Peer, Running};
use crate::bench::layout::Layout;
use crate::bench::load::{Load, Seen};
use crate::bench::machine::Machine;
use crate::bench::options::Options;
use crate::bench::report::{Section, spread};
use crate::bench::scenario::GATEWAYS;
use crate::bench::statistics::Spread;

const CONNECTIONS: usize = 512;
/// Factor on the number of rounds: the slowest of a thousand requests mostly wait for other activity on the machine,
/// whose share differs between rounds.
const ROUNDS: usize = 3;

pub(crate) fn run(machine: &Machine, options: &Options) -> Result<Section> {
    let mut running = Vec::new();
    let mut rates = Vec::new();
    for peer in [&[Peer::Waypost][..], &GATEWAYS].concat() {
        if options.wants_peer(peer) {
            let one = Running::start(machine, Contender::new(peer, Layout::PLAIN))?;
            rates.push(saturation(machine, &one, options)? / 2.0);
            running.push(one);
        }
    }
    let mut seen: Vec<Vec<Seen>> = vec![Vec::new(); running.len()];
    for round in 0..options.rounds() * ROUNDS {
        for step in 0..running.len() {
            let at = (round + step) % running.len();
            let load = Load::Paced {
                connections: CONNECTIONS,
                rate: rates[at] as usize,
            };
            seen[at].push(load.run(machine, &running[at], options.seconds().into())?);
        }
        let latest = running
            .iter()
            .zip(&seen)
            .filter_map(|(one, own)| Some(format!("{} {} µs", one.contender.label, own.last()?.p999_us)));
        eprintln!(
            "   round {}: p99.9 {}",
            round + 1,
            latest.collect::<Vec<_>>().join(", ")
        );
    }
    let mut rows = Vec::new();
    let mut missed = Vec::new();
    for ((one, own), rate) in running.iter().zip(&seen).zip(&rates) {
        let of = |figure: fn(&Seen) -> u64| {
            spread(Spread::of(own.iter().map(|seen| figure(seen) as f64 / 1000.0)), 2)
        };
        let ratios = seen[0].iter().zip(own);
        let ratio = Spread::of(ratios.map(|(ours, theirs)| ours.p999_us as f64 / theirs.p999_us as f64));
        let is_peer = one.contender.peer != Peer::Waypost;
        if is_peer && ratio.median > 1.0 {
            missed.push(format!(
                "p99.9 is {:.2} of that of {}",
                ratio.median, one.contender.label
            ));
        }
        rows.push(vec![
            one.contender.label.to_owned(),
            format!("{rate:.0}"),
            of(|seen| seen.p50_us),
            of(|seen| seen.p99_us),
            of(|seen| seen.p999_us),
            if is_peer { spread(ratio, 2) } else { String::new() },
        ]);
    }
    let header = [
        "",
        "requests/s",
        "p50 ms",
        "p99 ms",
        "p99.9 ms",
        "Waypost's p99.9 is",
    ];
    Ok(Section::table(&header, rows, missed))
}

/// Maximum rate, in requests per second (closed loop).
pub(crate) fn saturation(machine: &Machine, running: &Running, options: &Options) -> Result<f64> {
    let load = Load::http1(CONNECTIONS);
    load.run(machine, running, 1.0)?;
    let seen = load.run(machine, running, options.seconds().into())?;
    Ok(seen.requests as f64 / seen.seconds)
}
