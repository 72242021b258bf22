//! Memory per idle connection.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};

use crate::bench::contender::{Contender, Peer, Running};
use crate::bench::layout::Layout;
use crate::bench::load::{Load, own};
use crate::bench::machine::Machine;
use crate::bench::options::Options;
use crate::bench::report::Section;
use crate::bench::scenario::GATEWAYS;

const CONNECTIONS: usize = 10_000;
const KIB_MAX: f64 = 2.0;
const TLS_KIB_MAX: f64 = 12.0;

pub(crate) fn run(machine: &Machine, options: &Options) -> Result<Section> {
    let mut rows = Vec::new();
    let mut missed = Vec::new();
    for peer in [&[Peer::Waypost][..], &GATEWAYS].concat() {
        if !options.wants_peer(peer) {
            continue;
        }
        let mut cells = vec![peer.name().to_owned()];
        for (tls, most) in [(false, KIB_MAX), (true, TLS_KIB_MAX)] {
            let layout = Layout { tls, ..Layout::PLAIN };
            let kib = match each(machine, Contender::new(peer, layout)) {
                // The other results are still reported.
                Err(error) if peer != Peer::Waypost => {
                    eprintln!("   {error:#}");
                    cells.push("failed".to_owned());
                    continue;
                }
                kib => kib?,
            };
            eprintln!(
                "   {}, {}: {kib:.2} KiB",
                peer.name(),
                if tls { "TLS" } else { "clear" }
            );
            cells.push(format!("{kib:.2}"));
            if peer == Peer::Waypost && kib > most {
                missed.push(format!(
                    "{kib:.2} KiB instead of {most}{}",
                    if tls { " under TLS" } else { "" }
                ));
            }
        }
        rows.push(cells);
    }
    let header = ["", "KiB each, in clear text", "KiB each, TLS 1.3"];
    Ok(Section::table(&header, rows, missed))
}

/// Resident memory per connection, in KiB.
fn each(machine: &Machine, contender: Contender) -> Result<f64> {
    let running = Running::start(machine, contender)?;
    // One-time costs of the first requests do not count.
    Load::http1(16).run(machine, &running, 1.0)?;
    let before = running.usage()?.resident_kib;
    let mut load = own("idle", running.address);
    load.arg(CONNECTIONS.to_string());
    if contender.layout.tls {
        load.arg(&machine.certificate);
    }
    let mut load = load
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("could not start the load")?;
    let output = load.stdout.take().context("its output is piped")?;
    let mut line = String::new();
    BufReader::new(output).read_line(&mut line)?;
    let all = format!("{{\"connections\":{CONNECTIONS}}}");
    ensure!(line.trim() == all, "not all connections were accepted: {line}");
    let after = running.usage()?.resident_kib;
    // The load ends with its standard input.
    drop(load.stdin.take());
    ensure!(load.wait()?.success(), "the load failed");
    Ok(after.saturating_sub(before) as f64 / CONNECTIONS as f64)
}
