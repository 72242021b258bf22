//! `instances/ID`: an instance that lives, and what it says of itself.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::record::{Record, RecordError, WriteId, at_most, clean_sentence, name, short};
use crate::store::StoreRevision;

/// The most errors that an instance reports.
const ERRORS_MAX: usize = 100;

/// The longest version.
const VERSION_BYTES_MAX: usize = 64;

/// The longest name of a host.
const HOST_BYTES_MAX: usize = 255;

/// An instance that lives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceRecord {
    /// The address of its admin API; `None` if it has none that others reach.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admin: Option<String>,
    /// Its version of the program.
    pub version: String,
    /// The name of its host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Its process id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// When its process started. Counts of an instance that started anew begin again.
    pub started: Timestamp,
    /// The revision in force; `None` if it is none of the fleet's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// Since when it is in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// The rules that it obeys, as [`View::rules`](crate::view::View::rules) counts them.
    #[serde(default)]
    pub obeys: StoreRevision,
    /// The config that it tries for the fleet, if that is in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<WriteId>,
    /// True if it serves well, and has obeyed all that it knows of.
    #[serde(default)]
    pub healthy: bool,
    /// The reason for which requests do not fare well with the config that it tries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unhealthy: Option<String>,
    /// All that it could not obey.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<InstanceErrorRecord>,
}

/// Something that an instance could not obey.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceErrorRecord {
    /// The revision, if it is of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// The config that it should have tried, if it is of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<WriteId>,
    /// The reason.
    pub why: String,
}

impl Record for InstanceRecord {
    fn check(&self) -> Result<(), RecordError> {
        short(&self.version, VERSION_BYTES_MAX, "version")?;
        if let Some(admin) = &self.admin {
            name(admin, "admin")?;
        }
        if let Some(host) = &self.host {
            short(host, HOST_BYTES_MAX, "host")?;
        }
        at_most(&self.errors, ERRORS_MAX, "errors")
    }

    fn clean(&mut self) {
        if let Some(unhealthy) = &mut self.unhealthy {
            clean_sentence(unhealthy);
        }
        self.errors
            .iter_mut()
            .for_each(|error| clean_sentence(&mut error.why));
    }

    fn write(&self) -> Option<&WriteId> {
        None
    }
}
