//! Scenarios that compare something else than time on a core.

pub(crate) mod idle;
pub(crate) mod latency;
pub(crate) mod memory;
pub(crate) mod reload;

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::bench::contender::Running;
use crate::bench::layout::{Kind, Layout};

/// How long a config may take until it is in force.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// A config that differs from that of `layout` in one route more.
fn changed(layout: Layout, times: usize) -> Layout {
    debug_assert!(layout.kind == Kind::Prefix);
    Layout {
        size: layout.size + times % 2,
        ..layout
    }
}

/// How many configs a Waypost has taken so far.
fn revisions(running: &Running) -> Result<usize> {
    let output = fs::read_to_string(running.folder().join("output.log"))?;
    Ok(output.lines().filter(|line| line.contains("in force")).count())
}

/// Waits until a Waypost has taken more than `before` configs.
fn wait_for_revision(running: &Running, before: usize) -> Result<Duration> {
    let began = Instant::now();
    while revisions(running)? <= before {
        ensure!(
            began.elapsed() < PATIENCE,
            "a changed config does not come into force"
        );
        thread::sleep(LOOK_AGAIN);
    }
    Ok(began.elapsed())
}
