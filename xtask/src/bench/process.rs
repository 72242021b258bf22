//! Resource usage of a process, as the kernel counts it.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result};

/// Clock ticks per second in `/proc`; 100 on every Linux (`getconf CLK_TCK`).
const TICKS: u64 = 100;

/// Usage of a process and its children.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Usage {
    /// CPU time, user and system.
    pub(crate) cpu: Duration,
    /// Current resident memory.
    pub(crate) resident_kib: u64,
    /// Peak resident memory.
    pub(crate) peak_kib: u64,
}

/// Reads the usage of the process `id` and its children.
pub(crate) fn usage(id: u32) -> Result<Usage> {
    let mut all = Usage::default();
    for id in family(id)? {
        let stat = fs::read_to_string(format!("/proc/{id}/stat"))?;
        // The name in brackets may contain any character.
        let (_, fields) = stat
            .rsplit_once(") ")
            .context("`/proc/…/stat` reads otherwise than expected")?;
        // proc(5): after the state, which is field 3, utime is field 14 and stime field 15.
        let ticks: u64 = fields
            .split(' ')
            .skip(11)
            .take(2)
            .filter_map(|field| field.parse::<u64>().ok())
            .sum();
        all.cpu += Duration::from_millis(ticks * 1000 / TICKS);
        let status = fs::read_to_string(format!("/proc/{id}/status"))?;
        all.resident_kib += kib(&status, "VmRSS:");
        all.peak_kib += kib(&status, "VmHWM:");
    }
    Ok(all)
}

/// A process and its descendants.
fn family(id: u32) -> Result<Vec<u32>> {
    let mut parents = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(process) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        // The process may have ended meanwhile.
        let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        let parent = stat
            .rsplit_once(") ")
            .and_then(|(_, fields)| fields.split(' ').nth(1));
        if let Some(parent) = parent.and_then(|parent| parent.parse::<u32>().ok()) {
            parents.push((process, parent));
        }
    }
    let mut family = vec![id];
    let mut at = 0;
    while let Some(&of) = family.get(at) {
        family.extend(
            parents
                .iter()
                .filter(|(_, parent)| *parent == of)
                .map(|(process, _)| process),
        );
        at += 1;
    }
    Ok(family)
}

fn kib(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}
