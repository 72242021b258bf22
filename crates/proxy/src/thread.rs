//! Threads with a runtime of their own, whose tasks never leave them.

use std::io;
use std::thread::{Builder, JoinHandle};

use tokio::runtime::{self, LocalOptions};
use waypost_transport::clock::Ticks;

/// Starts a thread that calls `prepare`, and then drives the future that `run` returns. `run` gets the ticks of the
/// runtime.
///
/// # Errors
/// The thread or its runtime cannot be started.
pub fn start<F: Future<Output = ()>>(
    name: String,
    prepare: impl FnOnce() + Send + 'static,
    run: impl FnOnce(Ticks) -> F + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    let (started, outcome) = std::sync::mpsc::channel();
    let thread = Builder::new().name(name).spawn(move || {
        prepare();
        let ticks = Ticks::default();
        let counted = ticks.clone();
        // A local runtime is built on the thread that drives it.
        let runtime = runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .on_thread_unpark(move || counted.add())
            .build_local(LocalOptions::default());
        match runtime {
            Ok(runtime) => {
                let _ = started.send(Ok(()));
                runtime.block_on(run(ticks));
            }
            Err(error) => {
                let _ = started.send(Err(error));
            }
        }
    })?;
    outcome
        .recv()
        .unwrap_or_else(|_| Err(io::ErrorKind::BrokenPipe.into()))?;
    Ok(thread)
}
