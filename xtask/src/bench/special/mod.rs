//! Scenarios that compare something other than CPU time.

pub(crate) mod checks;
pub(crate) mod dead_third;
pub(crate) mod idle;
pub(crate) mod latency;
pub(crate) mod memory;
pub(crate) mod reload;
pub(crate) mod upgrade;

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::bench::contender::Running;
use crate::bench::layout::{Kind, Layout};

/// Timeout until a config is in force.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// The config of `layout` with one more route.
fn changed(layout: Layout, times: usize) -> Layout {
    debug_assert!(layout.kind == Kind::Prefix);
    Layout {
        size: layout.size + times % 2,
        ..layout
    }
}

/// Number of configs that a Waypost has applied.
fn revisions(running: &Running) -> Result<usize> {
    let output = fs::read_to_string(running.folder().join("output.log"))?;
    Ok(output.lines().filter(|line| line.contains("in force")).count())
}

/// Waits until a Waypost has applied more than `before` configs.
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
