//! Settings of the gateway as a whole.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use crate::admin::Admin;
use crate::error_pages::ErrorPage;

/// Settings of the gateway as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Destination of the access log.
    pub access_log: AccessLog,
    /// Timeout for requests in flight when the gateway stops.
    pub drain_timeout: Duration,
    /// True if responses carry `x-waypost-revision` and `x-waypost-route`.
    pub debug_headers: bool,
    /// The admin API; `None` if it is off.
    pub admin: Option<Admin>,
    /// Storage of revisions and dials.
    pub state: StateSettings,
    /// Values of the label `code` of metrics.
    pub code_label: CodeLabel,
    /// Error pages of all listeners and routes.
    pub errors: Arc<[ErrorPage]>,
    /// Number of worker threads; `None` for one per core. Read at start only.
    pub workers: Option<NonZeroUsize>,
    /// Name servers; empty for those of the system.
    pub name_servers: Vec<SocketAddr>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            access_log: AccessLog::Off,
            drain_timeout: Duration::from_secs(30),
            debug_headers: false,
            admin: Some(Admin::default()),
            state: StateSettings::default(),
            code_label: CodeLabel::Exact,
            errors: Arc::default(),
            workers: None,
            name_servers: Vec::new(),
        }
    }
}

/// Destination of the access log.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum AccessLog {
    /// Nowhere.
    #[default]
    Off,
    /// Standard output.
    Stdout,
    /// A file to append to; a relative path is relative to the working directory.
    File(Box<str>),
}

/// Storage of revisions and dials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateSettings {
    /// The directory, relative to the working directory; `None` for `.waypost` next to the config.
    pub path: Option<Box<str>>,
    /// Number of revisions to keep.
    pub keep: NonZeroUsize,
}

impl StateSettings {
    /// Default number of revisions to keep.
    pub const KEEP: NonZeroUsize = NonZeroUsize::new(100).expect("a hundred is not zero");
}

impl Default for StateSettings {
    fn default() -> Self {
        Self {
            path: None,
            keep: Self::KEEP,
        }
    }
}

/// Values of the label `code` of metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CodeLabel {
    /// The status: `200`.
    #[default]
    Exact,
    /// Its class: `2xx`.
    Class,
}
