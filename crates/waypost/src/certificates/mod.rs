//! The certificates, keys and trusted authorities that a config names.
//!
//! They are read with the config, and again when they change. If a good version is followed by a bad one, the good one
//! stays in use, so that a half-written file or a failed renewal refuses no client.

mod check;
mod read;
pub(crate) mod watch;

use std::collections::HashMap;
use std::sync::Arc;

use waypost_config::diagnostic::Diagnostic;
use waypost_config::place::Place;
use waypost_config::{Loaded, Refused};
use waypost_plan::Plan;
use waypost_plan::listener::{CertificateFiles, Listener};
use waypost_plan::service::Service;
use waypost_proxy::generation::Materials;
use waypost_tls::client::ClientTls;
use waypost_tls::identity::Identity;
use waypost_tls::server::{ServerTls, Tickets};

use self::read::{ListenerKey, Reading, ServiceKey};
use self::watch::Watch;
use crate::source::Source;
use crate::texts::Texts;

/// The last good version of all files, and the TLS configurations made of them.
#[derive(Debug, Default)]
pub(crate) struct Certificates {
    /// By pair of files, with the texts of both.
    identities: HashMap<CertificateFiles, (PairTexts, Arc<Identity>)>,
    /// The text of each file of trusted certificates.
    authorities: HashMap<Box<str>, Arc<[u8]>>,
    tickets: HashMap<String, Tickets>,
    listeners: HashMap<String, (ListenerKey, Arc<ServerTls>)>,
    services: HashMap<Arc<str>, (ServiceKey, Arc<ClientTls>)>,
    /// The files of the active plan.
    watch: Watch,
}

/// The texts of a certificate and its key.
type PairTexts = (Vec<u8>, Vec<u8>);

/// The result of reading the files of a plan.
pub(crate) struct ReadCertificates {
    pub(crate) materials: Materials,
    pub(crate) diagnostics: Vec<Diagnostic>,
    pub(crate) watch: Watch,
}

impl Certificates {
    /// Reads the files of a loaded config.
    pub(crate) fn read(&mut self, loaded: &Loaded, texts: &Texts, source: &Source) -> ReadCertificates {
        let plan = &loaded.plan;
        self.read_files(
            plan.listeners(),
            plan.services(),
            &loaded.file_places,
            texts,
            source,
        )
    }

    /// Diagnostics of the files of a refused config.
    pub(crate) fn check_refused(
        &mut self,
        refused: &Refused,
        texts: &Texts,
        source: &Source,
    ) -> Vec<Diagnostic> {
        let read = self.read_files(
            &refused.listeners,
            &refused.services,
            &refused.file_places,
            texts,
            source,
        );
        read.diagnostics
    }

    /// Reads the files of the active plan again.
    pub(crate) fn renew(&mut self, plan: &Plan, texts: &Texts, source: &Source) -> ReadCertificates {
        self.read_files(plan.listeners(), plan.services(), &HashMap::new(), texts, source)
    }

    fn read_files(
        &mut self,
        listeners: &[Arc<Listener>],
        services: &[Arc<Service>],
        places: &HashMap<Box<str>, Place>,
        texts: &Texts,
        source: &Source,
    ) -> ReadCertificates {
        let first = texts.sources.first().map(|source| source.name.clone());
        let mut reading = Reading {
            certificates: self,
            source,
            places,
            anywhere: Place {
                file: first.unwrap_or_default().into(),
                line: 1,
                column: 1,
                end_line: 1,
                end_column: 1,
            },
            diagnostics: Vec::new(),
            watch: Watch::default(),
        };
        let listeners = listeners
            .iter()
            .map(|listener| reading.listener(listener))
            .collect();
        let services = services.iter().map(|service| reading.service(service)).collect();
        ReadCertificates {
            materials: Materials { listeners, services },
            diagnostics: reading.diagnostics,
            watch: reading.watch,
        }
    }

    /// Watches these files from now on, because their plan is active.
    pub(crate) fn watch(&mut self, watch: Watch) {
        self.watch = watch;
    }

    /// Returns true if there are files to poll.
    pub(crate) fn are_watched(&self) -> bool {
        !self.watch.is_empty()
    }

    /// Polls the files. Returns true if they are to be read again.
    pub(crate) fn poll(&mut self) -> bool {
        self.watch.poll()
    }

    /// The errors of files whose last good version is in use.
    pub(crate) fn stale(&self) -> &[String] {
        self.watch.stale()
    }
}
