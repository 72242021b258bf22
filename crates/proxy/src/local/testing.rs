//! A worker for tests.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use arc_swap::ArcSwap;
use tokio::sync::mpsc;
use waypost_plan::Plan;
use waypost_plan::settings::AccessLog;
use waypost_transport::clock::Ticks;

use crate::generation::Generation;
use crate::local::reclaim::Reclaimer;
use crate::local::{Shared, Worker};
use crate::observe::access_log::Writer;
use crate::observe::log;
use crate::observe::metrics::Metrics;
use crate::observe::metrics::testing::plan;
use crate::verifier::Verifier;

/// A worker of a gateway with one listener and no routes.
pub(crate) fn worker() -> Rc<Worker> {
    worker_with(plan(&[]))
}

/// A worker of a gateway with this plan.
pub(crate) fn worker_with(plan: Plan) -> Rc<Worker> {
    let generation = Generation::compile(plan).unwrap();
    let (_, mut rings) = Writer::start(1, AccessLog::Off, log::warn).unwrap();
    let (_, mut recorders) = Metrics::new(1);
    let shared = Shared {
        generations: Arc::new(ArcSwap::from_pointee(generation)),
        connections_max: usize::MAX,
        idle_max: 8,
        connections_open: Arc::new(AtomicUsize::new(0)),
        notices: mpsc::channel(1).0,
        failed: mpsc::channel(1).0,
        reclaimer: Reclaimer::start().unwrap(),
        expendables: Arc::default(),
        verifier: Arc::new(Verifier::new()),
    };
    let (ring, recorder) = (rings.remove(0), recorders.remove(0));
    Rc::new(Worker::new(shared, Ticks::default(), ring, recorder))
}
