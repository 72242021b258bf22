//! The files that a config names: certificates, keys, trusted authorities, the texts of error pages, and what clients are
//! known by; and beside them the certificates that authorities have issued.
//!
//! They are read with the config, and again when they change. If a good version is followed by a bad one, the good one
//! stays in use, so that a half-written file or a failed renewal refuses no client.

pub(crate) mod acme;
pub(crate) mod acme_files;
mod auth;
mod check;
mod read;
pub(crate) mod watch;

use std::collections::HashMap;
use std::sync::Arc;

use waypost_config::diagnostic::Diagnostic;
use waypost_config::files::NamedFiles;
use waypost_config::place::Place;
use waypost_config::{Loaded, Refused};
use waypost_plan::Plan;
use waypost_plan::acme::Acme;
use waypost_plan::certificate_files::CertificateFiles;
use waypost_policy::page_files::FileText;
use waypost_proxy::generation::{AuthMaterials, Materials};
use waypost_tls::client::ClientTls;
use waypost_tls::identity::Identity;
use waypost_tls::server::{ServerTls, Tickets};

use self::acme::KnownAcme;
use self::acme_files::AcmeFiles;
use self::auth::KnownAuth;
pub(crate) use self::auth::{KEY_FILE_BYTES_MAX, PASSWORD_FILE_BYTES_MAX};
use self::read::{ListenerKey, Reading, ServiceKey};
use self::watch::Watch;
use crate::acme::issued::Issued;
use crate::source::Source;
use crate::texts::Texts;

/// The last good version of all files, and the TLS configurations made of them.
#[derive(Debug, Default)]
pub(crate) struct Certificates {
    /// By pair of files, with the texts of both.
    identities: HashMap<CertificateFiles, (PairTexts, Arc<Identity>)>,
    /// The certificates that authorities have issued, as the orders put them in.
    issued: Issued,
    acme: KnownAcme,
    /// The text of each file of trusted certificates.
    authorities: HashMap<Box<str>, Arc<[u8]>>,
    /// The text of each file of an error page.
    pages: HashMap<Box<str>, Arc<FileText>>,
    auth: KnownAuth,
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
    /// The news for the log, if it is not that certificates were read again.
    pub(crate) renewed: Option<&'static str>,
}

impl Certificates {
    /// Reads the files of a loaded config.
    pub(crate) fn read(&mut self, loaded: &Loaded, texts: &Texts, source: &Source) -> ReadCertificates {
        let plan = &loaded.plan;
        let mut reading = self.reading(texts, source);
        let mut materials = reading.materials(plan.listeners(), plan.services(), &loaded.files);
        materials.pages = reading.pages(plan.error_pages(), &loaded.files.pages);
        materials.auth = reading.auth(plan, &loaded.files.auth);
        reading.finish(materials)
    }

    /// Diagnostics of the files of a refused config.
    pub(crate) fn check_refused(
        &mut self,
        refused: &Refused,
        texts: &Texts,
        source: &Source,
    ) -> Vec<Diagnostic> {
        let mut reading = self.reading(texts, source);
        reading.materials(&refused.listeners, &refused.services, &refused.files);
        let NamedFiles {
            listeners,
            services,
            refused,
            pages,
            auth: _,
        } = &*refused.files;
        for mention in pages {
            reading.page(&mention.path, pages);
        }
        for files in listeners.iter().chain(services).chain(refused) {
            reading.check_alone(files);
        }
        reading.diagnostics
    }

    /// Reads the files of the active plan again.
    pub(crate) fn renew(&mut self, plan: &Plan, texts: &Texts, source: &Source) -> ReadCertificates {
        let mut reading = self.reading(texts, source);
        let mut materials = reading.materials(plan.listeners(), plan.services(), &NamedFiles::default());
        materials.pages = reading.pages(plan.error_pages(), &[]);
        materials.auth = reading.auth(plan, &[]);
        reading.finish(materials)
    }

    fn reading<'r>(&'r mut self, texts: &Texts, source: &'r Source) -> Reading<'r> {
        let first = texts.sources.first().map(|source| source.name.clone());
        // One that is issued meanwhile is noticed.
        let watch = Watch::of(self.issued.version());
        Reading {
            certificates: self,
            source,
            anywhere: Place {
                file: first.unwrap_or_default().into(),
                line: 1,
                column: 1,
                end_line: 1,
                end_column: 1,
            },
            diagnostics: Vec::new(),
            watch,
            renewed: None,
        }
    }

    /// Reads what clients are known by, for a look at decisions. Files that are not usable are left out.
    pub(crate) fn auth_of(plan: &Plan, texts: &Texts, source: &Source) -> AuthMaterials {
        Self::default().reading(texts, source).auth(plan, &[])
    }

    /// Watches these files from now on, because their plan is active.
    pub(crate) fn watch(&mut self, watch: Watch) {
        self.watch = watch;
        self.acme.retain(self.watch.acme());
    }

    /// Of the certificates that authorities issue, those that a self-signed one is served in place of, unless told already.
    pub(crate) fn tell_placeholders(&mut self) -> Vec<Arc<Acme>> {
        self.acme.tell_placeholders(self.watch.acme())
    }

    /// The certificates that authorities have issued. Those that are put in come into force at the next poll.
    pub(crate) fn issued(&self) -> &Issued {
        &self.issued
    }

    /// The certificates that authorities issue for the active plan, each once, with what their files say.
    pub(crate) fn acme(&self) -> &[(Arc<Acme>, AcmeFiles)] {
        self.watch.acme()
    }

    /// Returns true if there is something to poll.
    pub(crate) fn are_watched(&self) -> bool {
        !self.watch.is_empty()
    }

    /// Polls the files and what has been issued. Returns true if they are to be read again.
    pub(crate) fn poll(&mut self) -> bool {
        self.watch.poll(self.issued.version())
    }

    /// The errors of files whose last good version is in use.
    pub(crate) fn stale(&self) -> &[String] {
        self.watch.stale()
    }
}
