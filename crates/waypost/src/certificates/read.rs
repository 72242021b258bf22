//! Reading certificate files, and turning them into TLS configurations.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use jiff::Timestamp;
use waypost_config::diagnostic::{Code, Diagnostic, diagnostic};
use waypost_config::files::{Mention, NamedFiles, TlsFiles};
use waypost_config::place::Place;
use waypost_plan::certificate_files::CertificateFiles;
use waypost_plan::certificate_source::CertificateSource;
use waypost_plan::error_pages::ErrorPage;
use waypost_plan::listener::{ClientAuthMode, Listener, ListenerTls};
use waypost_plan::service::{Service, Trust};
use waypost_policy::page_files::FileText;
use waypost_proxy::generation::{AuthMaterials, Materials};
use waypost_tls::RootsError;
use waypost_tls::client::{self, ClientTls};
use waypost_tls::identity::{Identity, IdentityError, KeyError};
use waypost_tls::server::{ClientAuth, ServerError, ServerTls, Tickets};

use super::check::{Finding, check};
use super::watch::Watch;
use super::{Certificates, ReadCertificates};
use crate::source::Source;

/// The size limit of an error page.
const PAGE_BYTES_MAX: usize = 1 << 20;
/// The help for a pair of files that is refused.
const PAIR: &str = "a certificate with its chain is one PEM file, its own certificate first; its key is another, without \
                    a password";
/// The help for an RSA key of a size that is refused.
const RSA: &str = "make a new key, of an elliptic curve (P-256) or of RSA with 2048 bits or more, and get a certificate for \
                   it";
/// The help for the file of a `ca` that is refused.
const AUTHORITIES: &str = "a `ca` is a PEM file with the certificates that are trusted to have signed others";

/// The input that a listener's TLS configuration was made of.
#[derive(Debug, PartialEq)]
pub(super) struct ListenerKey {
    certificates: Vec<Same>,
    client_auth: Option<(Arc<[u8]>, ClientAuthMode)>,
}

/// The input that a service's TLS configuration was made of.
#[derive(Debug, PartialEq)]
pub(super) struct ServiceKey {
    ca: Option<Arc<[u8]>>,
    trust: Trust,
    certificate: Option<Same>,
}

/// An identity that equals itself only. It is kept alive, so no other one can have its address.
#[derive(Debug)]
struct Same(Arc<Identity>);

impl PartialEq for Same {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// One reading of the files of a plan.
pub(super) struct Reading<'a> {
    pub(super) certificates: &'a mut Certificates,
    pub(super) source: &'a Source,
    /// The place of files whose mention is not known.
    pub(super) anywhere: Place,
    pub(super) diagnostics: Vec<Diagnostic>,
    pub(super) watch: Watch,
    /// The news for the log, if it is not that certificates were read again.
    pub(super) renewed: Option<&'static str>,
}

impl Reading<'_> {
    /// Reads the files of listeners and services. `named` has their mentions, if they are known.
    pub(super) fn materials(
        &mut self,
        listeners: &[Arc<Listener>],
        services: &[Arc<Service>],
        named: &NamedFiles,
    ) -> Materials {
        let unknown = TlsFiles::default();
        let listeners = listeners.iter().enumerate();
        let listeners = listeners
            .map(|(at, listener)| self.listener(listener, named.listeners.get(at).unwrap_or(&unknown)))
            .collect();
        let services = services.iter().enumerate();
        let services = services
            .map(|(at, service)| self.service(service, named.services.get(at).unwrap_or(&unknown)))
            .collect();
        Materials {
            listeners,
            services,
            pages: Vec::new(),
            auth: AuthMaterials::default(),
        }
    }

    /// Reads the files of error pages. `named` has their mentions, if they are known.
    pub(super) fn pages<'p>(
        &mut self,
        pages: impl Iterator<Item = &'p ErrorPage>,
        named: &[Mention],
    ) -> Vec<(Box<str>, Arc<FileText>)> {
        // Routes share pages.
        let paths: BTreeSet<&str> = pages.filter_map(ErrorPage::file).collect();
        let read = paths.into_iter().map(|path| {
            let text = self.page(path, named)?;
            Some((path.into(), text))
        });
        read.flatten().collect()
    }

    /// The text of an error page: the present one of the file, or else the last.
    pub(super) fn page(&mut self, path: &str, named: &[Mention]) -> Option<Arc<FileText>> {
        let read = match self.file(path) {
            Ok(text) if text.len() > PAGE_BYTES_MAX => Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                "it is larger than 1 MiB",
            )),
            read => read,
        };
        let known = self.certificates.pages.get(path);
        match (read, known) {
            (Ok(text), Some(known)) if known.is(&text) => Some(Arc::clone(known)),
            (Ok(text), _) => {
                self.renewed = Some("the error pages were read again");
                let text = Arc::new(FileText::new(text));
                self.certificates.pages.insert(path.into(), Arc::clone(&text));
                Some(text)
            }
            (Err(error), Some(known)) => {
                let known = Arc::clone(known);
                self.watch.add_stale(unreadable(path, &error));
                Some(known)
            }
            (Err(error), None) => {
                let mentions = named.iter().filter(|mention| *mention.path == *path);
                let places = self.or_anywhere(mentions.map(|mention| mention.place.clone()).collect());
                let code = match error.kind() {
                    io::ErrorKind::FileTooLarge => Code::BadErrorPage,
                    _ => Code::UnreadableFile,
                };
                let wanted = "leave large parts of the page to a service";
                self.fail(places, code, &unreadable(path, &error), wanted);
                None
            }
        }
    }

    /// Reads files without making a TLS configuration of them.
    pub(super) fn check_alone(&mut self, named: &TlsFiles) {
        for mention in &named.certificates {
            match (&mention.cert, &mention.key) {
                (Some(cert), Some(key)) => {
                    let files = CertificateFiles {
                        cert: cert.path.clone(),
                        key: key.path.clone(),
                    };
                    self.identity(&files, named);
                }
                // The other one is missing, which is reported.
                (Some(alone), None) | (None, Some(alone)) => {
                    if let Err(error) = self.file(&alone.path) {
                        let message = unreadable(&alone.path, &error);
                        self.fail(vec![alone.place.clone()], Code::UnreadableFile, &message, PAIR);
                    }
                }
                (None, None) => {}
            }
        }
        if let Some(ca) = &named.ca {
            self.authority(&ca.path, self.place_of_ca(named));
        }
        self.check_acme_alone(named);
    }

    pub(super) fn finish(self, materials: Materials) -> ReadCertificates {
        ReadCertificates {
            materials,
            diagnostics: self.diagnostics,
            watch: self.watch,
            renewed: self.renewed,
        }
    }

    /// The TLS of a listener; `None` if it has none, or its files are refused.
    fn listener(&mut self, listener: &Listener, named: &TlsFiles) -> Option<Arc<ServerTls>> {
        let ListenerTls::Terminates(end) = &listener.tls else {
            return None;
        };
        let identities: Vec<Arc<Identity>> = end
            .certificates
            .iter()
            .filter_map(|source| match source {
                CertificateSource::Files(files) => self.identity(files, named),
                CertificateSource::Acme(acme) => self.acme(acme, named),
            })
            .collect();
        let authority = match &end.client_auth {
            Some(auth) => Some((self.authority(&auth.ca, self.place_of_ca(named))?, auth.mode)),
            None => None,
        };
        // One without its files is a mistake in the text, which is reported already.
        let written = named.certificates.len() + named.acme.len();
        let written = end.certificates.len().max(written);
        if identities.is_empty() || identities.len() < written {
            return None;
        }
        for Finding {
            of,
            code,
            message,
            help,
        } in check(listener, end, &identities, Timestamp::now())
        {
            for place in self.places_of(of, named) {
                let mut found = diagnostic(code, place, message.clone());
                found.help = Some(help.to_owned());
                self.add(found);
            }
        }
        let key = ListenerKey {
            certificates: identities.iter().cloned().map(Same).collect(),
            client_auth: authority,
        };
        let name = format!(
            "{} {}",
            listener.bind.text,
            listener.name.as_deref().unwrap_or_default()
        );
        if let Some((known, tls)) = self.certificates.listeners.get(&name)
            && *known == key
        {
            return Some(Arc::clone(tls));
        }
        // A session must not be resumed under other conditions than it began under.
        let tickets_of = format!(
            "{name} {:?}",
            key.client_auth
                .as_ref()
                .map(|(ca, mode)| (waypost_tls::peer::fingerprint(ca), *mode))
        );
        let made = self.tickets(tickets_of).and_then(|tickets| {
            let client_auth = key.client_auth.as_ref().map(|(ca, mode)| ClientAuth {
                ca,
                required: *mode == ClientAuthMode::Required,
            });
            ServerTls::new(identities, client_auth.as_ref(), &tickets)
        });
        match made {
            Ok(tls) => {
                let tls = Arc::new(tls);
                self.certificates.listeners.insert(name, (key, Arc::clone(&tls)));
                Some(tls)
            }
            Err(error) => {
                let places = self.place_of_ca(named);
                self.fail(places, Code::BadCertificate, &error.to_string(), AUTHORITIES);
                None
            }
        }
    }

    /// The session ticket keys of a listener, the same as long as its conditions are.
    fn tickets(&mut self, of: String) -> Result<Tickets, ServerError> {
        if let Some(tickets) = self.certificates.tickets.get(&of) {
            return Ok(tickets.clone());
        }
        let tickets = Tickets::new()?;
        self.certificates.tickets.insert(of, tickets.clone());
        Ok(tickets)
    }

    /// The TLS of a service; `None` if it has none, or its files are refused.
    fn service(&mut self, service: &Service, named: &TlsFiles) -> Option<Arc<ClientTls>> {
        if !service.uses_tls() {
            return None;
        }
        // Both are read, so that a mistake in one does not hide one in the other.
        let authority = match &service.tls.trust {
            Trust::Ca(path) => self.authority(path, self.place_of_ca(named)).map(Some),
            Trust::Platform | Trust::Unverified => Some(None),
        };
        let identity = match &service.tls.client_cert {
            Some(files) => self.identity(files, named).map(Some),
            None => Some(None),
        };
        let (authority, identity) = (authority?, identity?);
        let key = ServiceKey {
            ca: authority,
            trust: service.tls.trust.clone(),
            certificate: identity.clone().map(Same),
        };
        if let Some((known, tls)) = self.certificates.services.get(&service.name)
            && *known == key
        {
            return Some(Arc::clone(tls));
        }
        let trust = match (&key.trust, &key.ca) {
            (Trust::Ca(_), Some(ca)) => client::Trust::Ca(ca),
            (Trust::Unverified, _) => client::Trust::Unverified,
            _ => client::Trust::Platform,
        };
        match ClientTls::new(trust, identity.as_deref()) {
            Ok(tls) => {
                let tls = Arc::new(tls);
                let known = (key, Arc::clone(&tls));
                self.certificates
                    .services
                    .insert(Arc::clone(&service.name), known);
                Some(tls)
            }
            Err(error) => {
                let message = format!("the service `{}`: {error}", service.name);
                let places = self.place_of_ca(named);
                self.fail(places, Code::BadCertificate, &message, AUTHORITIES);
                None
            }
        }
    }

    /// A certificate with its key: the present version of the files, or else the last good one.
    fn identity(&mut self, files: &CertificateFiles, named: &TlsFiles) -> Option<Arc<Identity>> {
        let (certificate, key) = (self.file(&files.cert), self.file(&files.key));
        let known = self.certificates.identities.get(files);
        let read = match (&certificate, &key) {
            (Ok(certificate), Ok(key)) => {
                if let Some((texts, identity)) = known
                    && texts.0 == *certificate
                    && texts.1 == *key
                {
                    return Some(Arc::clone(identity));
                }
                Identity::from_pem(certificate, key).map_err(|error| vec![Fault::of(&error, files)])
            }
            // Both can be unreadable.
            _ => Err([(Part::Certificate, &certificate), (Part::Key, &key)]
                .into_iter()
                .filter_map(|(part, text)| {
                    let error = text.as_ref().err()?;
                    Some(Fault {
                        part,
                        code: Code::UnreadableFile,
                        message: unreadable(part.path(files), error),
                        wanted: PAIR,
                    })
                })
                .collect()),
        };
        match (read, known) {
            (Ok(identity), _) => {
                let identity = Arc::new(identity);
                let texts = (certificate.unwrap_or_default(), key.unwrap_or_default());
                let known = (texts, Arc::clone(&identity));
                self.certificates.identities.insert(files.clone(), known);
                Some(identity)
            }
            (Err(faults), Some((_, identity))) => {
                let identity = Arc::clone(identity);
                for fault in faults {
                    self.watch.add_stale(fault.message);
                }
                Some(identity)
            }
            (Err(faults), None) => {
                for fault in faults {
                    let places = self.places_in_pair(files, fault.part, named);
                    self.fail(places, fault.code, &fault.message, fault.wanted);
                }
                None
            }
        }
    }

    /// Trusted certificates: the present version of the file, or else the last good one. `places` are those of the path.
    pub(super) fn authority(&mut self, path: &str, places: Vec<Place>) -> Option<Arc<[u8]>> {
        let read = match self.file(path) {
            Ok(text) => match waypost_tls::check_roots(&text) {
                Ok(()) => Ok(text),
                Err(error) => {
                    let wanted = match error {
                        RootsError::RsaBits { .. } => RSA,
                        _ => AUTHORITIES,
                    };
                    Err((Code::BadCertificate, format!("`{path}`: {error}"), wanted))
                }
            },
            Err(error) => Err((Code::UnreadableFile, unreadable(path, &error), AUTHORITIES)),
        };
        let known = self.certificates.authorities.get(path);
        match (read, known) {
            (Ok(text), Some(known)) if **known == *text => Some(Arc::clone(known)),
            (Ok(text), _) => {
                let text: Arc<[u8]> = text.into();
                self.certificates
                    .authorities
                    .insert(path.into(), Arc::clone(&text));
                Some(text)
            }
            (Err((_, message, _)), Some(known)) => {
                let known = Arc::clone(known);
                self.watch.add_stale(message);
                Some(known)
            }
            (Err((code, message, wanted)), None) => {
                self.fail(places, code, &message, wanted);
                None
            }
        }
    }

    pub(super) fn file(&mut self, name: &str) -> io::Result<Vec<u8>> {
        let (stamp, text) = self.source.read_material(name);
        self.watch.add(stamp);
        text
    }

    /// The places where a listener names a certificate.
    fn places_of(&self, source: &CertificateSource, named: &TlsFiles) -> Vec<Place> {
        let places = match source {
            CertificateSource::Files(files) => {
                let mentions = named.certificates.iter().filter_map(|pair| pair.cert.as_ref());
                let mentions = mentions.filter(|mention| mention.path == files.cert);
                mentions.map(|mention| mention.place.clone()).collect()
            }
            CertificateSource::Acme(_) => named.acme.iter().map(|acme| acme.place.clone()).collect(),
        };
        self.or_anywhere(places)
    }

    /// The place of a `ca`.
    fn place_of_ca(&self, named: &TlsFiles) -> Vec<Place> {
        let place = named.ca.iter().map(|mention| mention.place.clone());
        self.or_anywhere(place.collect())
    }

    /// The places where a listener or service names a certificate, or its key, as one of this pair.
    fn places_in_pair(&self, files: &CertificateFiles, part: Part, named: &TlsFiles) -> Vec<Place> {
        let pairs = named.certificates.iter().filter_map(|pair| {
            let (cert, key) = (pair.cert.as_ref()?, pair.key.as_ref()?);
            let is_meant = cert.path == files.cert && key.path == files.key;
            is_meant.then(|| match part {
                Part::Certificate => cert.place.clone(),
                Part::Key => key.place.clone(),
            })
        });
        self.or_anywhere(pairs.collect())
    }

    pub(super) fn or_anywhere(&self, places: Vec<Place>) -> Vec<Place> {
        if places.is_empty() {
            return vec![self.anywhere.clone()];
        }
        places
    }

    /// Refuses a file at each of these places; `wanted` describes the content it should have.
    pub(super) fn fail(&mut self, places: Vec<Place>, code: Code, message: &str, wanted: &str) {
        let directory = self.source.material_directory();
        let help = match code {
            Code::UnreadableFile if directory.as_os_str().is_empty() => {
                "a relative path counts from the working directory".to_owned()
            }
            Code::UnreadableFile => format!(
                "a relative path counts from `{}`, or else from the working directory",
                directory.display()
            ),
            _ => wanted.to_owned(),
        };
        for place in places {
            let mut found = diagnostic(code, place, message);
            found.help = Some(help.clone());
            self.add(found);
        }
    }

    /// Adds a diagnostic, unless an alias or a second check has brought it already.
    fn add(&mut self, found: Diagnostic) {
        if !self.diagnostics.contains(&found) {
            self.diagnostics.push(found);
        }
    }
}

/// One file of a pair.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Certificate,
    Key,
}

impl Part {
    fn path(self, files: &CertificateFiles) -> &str {
        match self {
            Self::Certificate => &files.cert,
            Self::Key => &files.key,
        }
    }
}

/// The reason why a pair is refused.
struct Fault {
    part: Part,
    code: Code,
    message: String,
    /// The content that the file should have.
    wanted: &'static str,
}

impl Fault {
    fn of(error: &IdentityError, files: &CertificateFiles) -> Self {
        let part = match error {
            IdentityError::Certificate(_) => Part::Certificate,
            IdentityError::Key(_) | IdentityError::Mismatch => Part::Key,
        };
        Self {
            part,
            code: Code::BadCertificate,
            message: format!("`{}`: {error}", part.path(files)),
            wanted: match error {
                IdentityError::Key(KeyError::RsaBits { .. }) => RSA,
                _ => PAIR,
            },
        }
    }
}

pub(super) fn unreadable(path: &str, error: &io::Error) -> String {
    format!("cannot read `{path}`: {error}")
}
