//! Options of the command line.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};

use crate::bench::contender::Peer;

pub(crate) const USAGE: &str = "\
usage: cargo xtask bench [--scenario NAME]… [--peer NAME]… [--quick] [--out FILE]

  --scenario NAME   only this one; may be given several times
  --peer NAME       beside Waypost only this one (floor, nginx, haproxy, envoy, traefik); may be given several times
  --quick           few and short rounds: figures to look at, not to quote
  --out FILE        write the report there too; where the file marks its place, what is in front of that stays

  NGINX, HAPROXY    other programs than those on the PATH, such as newer versions";

/// Options of the command line.
#[derive(Debug, Default)]
pub(crate) struct Options {
    /// Empty for all.
    pub(crate) scenarios: Vec<String>,
    /// Empty for all.
    pub(crate) peers: Vec<Peer>,
    pub(crate) quick: bool,
    pub(crate) out: Option<PathBuf>,
}

impl Options {
    pub(crate) fn parse(arguments: &[String]) -> Result<Self> {
        let mut options = Self::default();
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            let mut value = || {
                let value = arguments.next();
                value.with_context(|| format!("`{argument}` needs a value\n\n{USAGE}"))
            };
            match &**argument {
                "--scenario" => options.scenarios.push(value()?.clone()),
                "--peer" => options.peers.push(Peer::named(value()?)?),
                "--out" => options.out = Some(value()?.into()),
                "--quick" => options.quick = true,
                unknown => bail!("`{unknown}` is no option\n\n{USAGE}"),
            }
        }
        Ok(options)
    }

    /// Returns true if the scenario is selected.
    pub(crate) fn wants(&self, scenario: &str) -> bool {
        self.scenarios.is_empty() || self.scenarios.iter().any(|name| name == scenario)
    }

    /// Returns true if the peer is selected.
    pub(crate) fn wants_peer(&self, peer: Peer) -> bool {
        peer == Peer::Waypost || self.peers.is_empty() || self.peers.contains(&peer)
    }

    /// Number of rounds.
    pub(crate) fn rounds(&self) -> usize {
        if self.quick { 3 } else { 5 }
    }

    /// Duration of a turn.
    pub(crate) fn seconds(&self) -> u32 {
        if self.quick { 2 } else { 3 }
    }
}
