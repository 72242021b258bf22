//! A scenario: contenders that do the same work in turns, with targets for Waypost against each.

use anyhow::{Context as _, Result};

use crate::bench::contender::{Contender, Peer, Running};
use crate::bench::load::Load;
use crate::bench::machine::Machine;
use crate::bench::options::Options;
use crate::bench::process::Usage;
use crate::bench::report::{Row, Section};
use crate::bench::statistics::Spread;

/// Warm-up before a measurement: opens connections and grows memory.
const WARM_UP_SECONDS: f64 = 1.0;
/// Warm-up of processes started per turn: enough to reach most of 100,000 routes.
const LONG_WARM_UP_SECONDS: f64 = 3.0;

/// A scenario.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) kind: Kind,
}

/// The work of a scenario.
pub(crate) enum Kind {
    /// A comparison of CPU time.
    Cpu(Cpu),
    /// Something else, by a function.
    Special(fn(&Machine, &Options) -> Result<Section>),
}

/// A comparison of CPU time.
pub(crate) struct Cpu {
    pub(crate) load: Load,
    /// The Waypost under judgement.
    pub(crate) subject: Contender,
    /// The contenders it is compared with.
    pub(crate) others: Vec<Contender>,
    /// Target: the CPU time of Waypost as a fraction of this contender's.
    pub(crate) targets: Vec<(&'static str, f64)>,
    pub(crate) unit: Unit,
}

/// Unit that CPU time is divided by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    Request,
    Handshake,
    Call,
    /// One MiB of responses of this size, in MiB.
    Mebibyte(u64),
}

impl Unit {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Handshake => "handshake",
            Self::Call => "call",
            Self::Mebibyte(_) => "MiB",
        }
    }

    fn units(self, requests: u64) -> f64 {
        match self {
            Self::Mebibyte(of_one) => (requests * of_one) as f64,
            _ => requests as f64,
        }
    }
}

/// Result of one turn of a contender.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Turn {
    /// CPU time per unit, in microseconds.
    pub(crate) cpu_us: f64,
    pub(crate) rate: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
}

impl Scenario {
    pub(crate) fn run(&self, machine: &Machine, options: &Options) -> Result<Section> {
        let mut section = match &self.kind {
            Kind::Cpu(cpu) => cpu.run(machine, options),
            Kind::Special(run) => run(machine, options),
        }
        .with_context(|| self.name.to_owned())?;
        section.name = self.name;
        section.title = self.title;
        Ok(section)
    }
}

impl Cpu {
    fn run(&self, machine: &Machine, options: &Options) -> Result<Section> {
        let mut running = vec![Running::start(machine, self.subject)?];
        for other in &self.others {
            if options.wants_peer(other.peer) {
                running.push(Running::start(machine, *other)?);
            }
        }
        let mut turns: Vec<Vec<Turn>> = vec![Vec::new(); running.len()];
        let is_own = |contender: Contender| contender.peer == Peer::Waypost;
        let compares_with_itself = self.others.iter().any(|other| is_own(*other));
        let warm_up = if compares_with_itself {
            LONG_WARM_UP_SECONDS
        } else {
            WARM_UP_SECONDS
        };
        for one in &running {
            self.load.run(machine, one, warm_up)?;
        }
        for round in 0..options.rounds() {
            for step in 0..running.len() {
                // The order rotates.
                let at = (round + step) % running.len();
                let contender = running[at].contender;
                if round > 0 && compares_with_itself && is_own(contender) {
                    // Memory layout makes two processes of one program differ by up to a twelfth.
                    drop(running.remove(at));
                    running.insert(at, Running::start(machine, contender)?);
                    self.load.run(machine, &running[at], warm_up)?;
                }
                let turn = self.turn(machine, &running[at], options)?;
                turns[at].push(turn);
            }
            show_round(round, &running, &turns);
        }
        let mut rows = Vec::new();
        for (one, own) in running.iter().zip(&turns) {
            let label = one.contender.label;
            let target = self.targets.iter().find(|(of, _)| *of == label);
            let ratios = turns[0]
                .iter()
                .zip(own)
                .map(|(subject, peer)| subject.cpu_us / peer.cpu_us);
            let of = |figure: fn(&Turn) -> f64| Spread::of(own.iter().map(figure)).median;
            rows.push(Row {
                label,
                cpu_us: Spread::of(own.iter().map(|turn| turn.cpu_us)),
                rate: of(|turn| turn.rate),
                p50_us: of(|turn| turn.p50_us),
                p99_us: of(|turn| turn.p99_us),
                peak_mib: one.usage()?.peak_kib as f64 / 1024.0,
                ratio: (one.contender != self.subject).then(|| Spread::of(ratios)),
                target: target.map(|(_, most)| *most),
            });
        }
        Ok(Section::compared(self.unit, &rows))
    }

    fn turn(&self, machine: &Machine, running: &Running, options: &Options) -> Result<Turn> {
        let before: Usage = running.usage()?;
        let seen = self.load.run(machine, running, options.seconds().into())?;
        let used = running.usage()?.cpu - before.cpu;
        let units = self.unit.units(seen.requests);
        Ok(Turn {
            cpu_us: used.as_secs_f64() * 1e6 / units,
            rate: units / seen.seconds,
            p50_us: seen.p50_us as f64,
            p99_us: seen.p99_us as f64,
        })
    }
}

/// All peers that support this, except the floor.
pub(crate) const GATEWAYS: [Peer; 4] = [Peer::Nginx, Peer::Haproxy, Peer::Envoy, Peer::Traefik];

/// Prints the results of a round, to show their spread.
fn show_round(round: usize, running: &[Running], turns: &[Vec<Turn>]) {
    let figures: Vec<String> = running
        .iter()
        .zip(turns)
        .filter_map(|(one, own)| Some(format!("{} {:.1} µs", one.contender.label, own.last()?.cpu_us)))
        .collect();
    eprintln!("   round {}: {}", round + 1, figures.join(", "));
}
