//! A way between an instance and a member of etcd that can be cut, or lose all that is sent.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

/// A relay in front of one member.
pub(crate) struct Relay {
    address: SocketAddr,
    way: Arc<Way>,
}

#[derive(Default)]
struct Way {
    state: Mutex<State>,
    mended: Condvar,
}

#[derive(Default)]
struct State {
    is_cut: bool,
    is_silent: bool,
    open: Vec<TcpStream>,
}

impl Relay {
    pub(crate) fn to(member: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let way = Arc::<Way>::default();
        let shared = Arc::clone(&way);
        thread::spawn(move || {
            for client in listener.incoming() {
                let Ok(client) = client else { break };
                let mut state = shared.lock();
                if state.is_cut {
                    continue;
                }
                let Ok(member) = TcpStream::connect(member) else {
                    continue;
                };
                let ends = [client, member];
                state.open.extend(ends.iter().map(|end| end.try_clone().unwrap()));
                let [client, member] = ends;
                let back = (member.try_clone().unwrap(), client.try_clone().unwrap());
                let (there, here) = (Arc::clone(&shared), Arc::clone(&shared));
                thread::spawn(move || there.copy(client, member));
                thread::spawn(move || here.copy(back.0, back.1));
            }
        });
        Self { address, way }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends all connections, and refuses new ones.
    pub(crate) fn cut(&self) {
        let mut state = self.way.lock();
        state.is_cut = true;
        end_all(&mut state);
    }

    /// Keeps all connections, accepts new ones, and passes nothing on.
    pub(crate) fn silence(&self) {
        self.way.lock().is_silent = true;
    }

    /// Passes everything on again. What was sent meanwhile is lost, with its connections.
    pub(crate) fn mend(&self) {
        let mut state = self.way.lock();
        if std::mem::take(&mut state.is_silent) {
            end_all(&mut state);
        }
        state.is_cut = false;
        self.way.mended.notify_all();
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.cut();
        self.way.lock().is_silent = false;
        self.way.mended.notify_all();
    }
}

impl Way {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn copy(&self, mut from: TcpStream, mut to: TcpStream) {
        let mut buffer = [0; 16 << 10];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            let state = self.lock();
            if state.is_silent {
                let mended = self.mended.wait_while(state, |state| state.is_silent);
                drop(mended.unwrap_or_else(PoisonError::into_inner));
                break;
            }
            drop(state);
            if to.write_all(&buffer[..count]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Both);
        let _ = from.shutdown(Shutdown::Both);
    }
}

fn end_all(state: &mut State) {
    for end in state.open.drain(..) {
        let _ = end.shutdown(Shutdown::Both);
    }
}
