//! Messages to the service manager, `sd_notify(3)`.

use std::env;
use std::ffi::OsStr;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::log;

/// The address of the manager's socket: a path, or an abstract name behind `@`.
pub(crate) const SOCKET: &str = "NOTIFY_SOCKET";
/// The interval, in microseconds, within which the manager wants to hear from the process.
pub(crate) const WATCHDOG: &str = "WATCHDOG_USEC";
/// The process that it wants to hear from.
pub(crate) const WATCHDOG_PID: &str = "WATCHDOG_PID";

/// The process that systemd has started.
const STARTED: &str = "SYSTEMD_EXEC_PID";

/// Timeout for a message; a manager that does not read must not stop the gateway.
const TIMEOUT: Duration = Duration::from_secs(1);

/// The service manager. Without one, messages go nowhere.
#[derive(Debug, Clone, Default)]
pub(crate) struct Supervisor(Option<Arc<Notified>>);

#[derive(Debug)]
struct Notified {
    socket: UnixDatagram,
    address: SocketAddr,
    watchdog: Option<Duration>,
    /// True from RELOADING to the next READY.
    is_reloading: AtomicBool,
    /// True once a message could not be sent.
    has_failed: AtomicBool,
}

impl Supervisor {
    /// The manager that the environment names.
    pub(crate) fn from_environment() -> Self {
        let Some(name) = env::var_os(SOCKET).filter(|name| !name.is_empty()) else {
            return Self::default();
        };
        let opened = address(&name).and_then(|address| {
            let socket = UnixDatagram::unbound()?;
            socket.set_write_timeout(Some(TIMEOUT))?;
            Ok((socket, address))
        });
        match opened {
            Ok((socket, address)) => Self(Some(Arc::new(Notified {
                socket,
                address,
                watchdog: watchdog(),
                is_reloading: AtomicBool::new(false),
                has_failed: AtomicBool::new(false),
            }))),
            Err(error) => {
                log::warn(format_args!("{SOCKET} cannot be used: {error}"));
                Self::default()
            }
        }
    }

    /// The gateway serves. One that has taken over from another process is the main process from now on.
    pub(crate) fn ready(&self, status: &str, has_taken_over: bool) {
        let main = match has_taken_over {
            true => format!("MAINPID={}\n", std::process::id()),
            false => String::new(),
        };
        self.send(&format!("{main}READY=1\n{}", line_of(status)));
    }

    /// A reload begins. It ends with [`Supervisor::reloaded`].
    pub(crate) fn reloading(&self) {
        let Some(notified) = &self.0 else { return };
        if !notified.is_reloading.swap(true, Ordering::Relaxed) {
            let now = clock_gettime(ClockId::Monotonic);
            let microseconds = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1000;
            self.send(&format!(
                "RELOADING=1\nMONOTONIC_USEC={microseconds}\nSTATUS=reloading the config\n"
            ));
        }
    }

    /// A reload has ended, well or not.
    pub(crate) fn reloaded(&self, status: &str) {
        let Some(notified) = &self.0 else { return };
        if notified.is_reloading.swap(false, Ordering::Relaxed) {
            self.send(&format!("READY=1\n{}", line_of(status)));
        }
    }

    /// The status has changed. The end of a reload says so anyway.
    pub(crate) fn status(&self, status: &str) {
        let Some(notified) = &self.0 else { return };
        if !notified.is_reloading.load(Ordering::Relaxed) {
            self.send(&line_of(status));
        }
    }

    /// Another process has taken over. It says so itself; but a manager that listens to the main process alone, as systemd
    /// does by default, would end it with this one.
    pub(crate) fn handed_over(&self, pid: u32) {
        self.send(&format!("MAINPID={pid}\n"));
    }

    /// Returns true if a manager ends all processes of the service with this one, since it cannot be told of another.
    pub(crate) fn ends_with_this(&self) -> bool {
        let started = env::var(STARTED).is_ok_and(|id| id == std::process::id().to_string());
        self.0.is_none() && started
    }

    /// The gateway drains, and exits.
    pub(crate) fn stopping(&self) {
        self.send("STOPPING=1\nSTATUS=draining\n");
    }

    /// The gateway is alive.
    pub(crate) fn alive(&self) {
        self.send("WATCHDOG=1\n");
    }

    /// The interval at which the manager has to be told that the gateway is alive.
    pub(crate) fn watchdog(&self) -> Option<Duration> {
        self.0.as_ref()?.watchdog
    }

    fn send(&self, message: &str) {
        let Some(notified) = &self.0 else { return };
        let sent = notified
            .socket
            .send_to_addr(message.as_bytes(), &notified.address);
        if let Err(error) = sent
            && !notified.has_failed.swap(true, Ordering::Relaxed)
        {
            log::warn(format_args!("the service manager cannot be told: {error}"));
        }
    }
}

/// The line with the status.
fn line_of(status: &str) -> String {
    format!("STATUS={}\n", status.replace('\n', " "))
}

fn address(name: &OsStr) -> std::io::Result<SocketAddr> {
    match name.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(name),
    }
}

/// Half of the time within which the manager wants to hear from this process.
fn watchdog() -> Option<Duration> {
    let microseconds = env::var(WATCHDOG).ok()?.parse::<u64>().ok()?;
    let is_for_this = env::var(WATCHDOG_PID).map_or(true, |id| id == std::process::id().to_string());
    (is_for_this && microseconds > 0).then(|| Duration::from_micros(microseconds) / 2)
}
