//! A port that leads to another one, as long as a test lets it.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

/// A relay on a free port of 127.0.0.1. Connections wait until it leads somewhere.
pub(crate) struct Relay {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    leads: Mutex<Leads>,
    changed: Condvar,
}

#[derive(Default)]
struct Leads {
    to: Option<SocketAddr>,
    /// Connections that are still relayed, if that is limited.
    left: Option<usize>,
    ended: bool,
}

impl Relay {
    pub(crate) fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::<Shared>::default();
        let known = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (Ok(stream), known) = (stream, Arc::clone(&known)) else {
                    return;
                };
                if known.lock().ended {
                    return;
                }
                thread::spawn(move || known.relay(stream));
            }
        });
        Self { address, shared }
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// Leads connections there from now on, also those that wait.
    pub(crate) fn lead_to(&self, to: SocketAddr) {
        let mut leads = self.shared.lock();
        (leads.to, leads.left) = (Some(to), None);
        self.shared.changed.notify_all();
    }

    /// Relays so many connections, and closes those that come then.
    pub(crate) fn end_after(&self, connections: usize) {
        self.shared.lock().left = Some(connections);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.lock().ended = true;
        self.shared.changed.notify_all();
        let _ = TcpStream::connect(self.address);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Leads> {
        self.leads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn relay(&self, stream: TcpStream) {
        let mut leads = self.lock();
        while leads.to.is_none() && !leads.ended {
            leads = self.changed.wait(leads).unwrap_or_else(PoisonError::into_inner);
        }
        if let Some(left) = &mut leads.left {
            if *left == 0 {
                return;
            }
            *left -= 1;
        }
        let Some(to) = leads.to.filter(|_| !leads.ended) else {
            return;
        };
        drop(leads);
        let Ok(onward) = TcpStream::connect(to) else {
            return;
        };
        let (Ok(from), Ok(back)) = (stream.try_clone(), onward.try_clone()) else {
            return;
        };
        let there = thread::spawn(move || copy(from, onward));
        copy(back, stream);
        let _ = there.join();
    }
}

fn copy(mut from: TcpStream, mut to: TcpStream) {
    let _ = io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
}
