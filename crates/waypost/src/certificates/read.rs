//! Reading certificate files, and turning them into TLS configurations.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use jiff::Timestamp;
use waypost_config::diagnostic::{Code, Diagnostic, diagnostic};
use waypost_config::place::Place;
use waypost_plan::listener::{CertificateFiles, ClientAuthMode, Listener, ListenerTls};
use waypost_plan::service::{Service, Trust};
use waypost_tls::client::{self, ClientTls};
use waypost_tls::identity::{Identity, IdentityError};
use waypost_tls::server::{ClientAuth, ServerError, ServerTls, Tickets};

use super::Certificates;
use super::check::{Finding, check};
use super::watch::Watch;
use crate::source::Source;

/// The help for a pair of files that is refused.
const PAIR: &str = "a certificate with its chain is one PEM file, its own certificate first; its key is another, without \
                    a password";
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
    /// The place of each file name in the config.
    pub(super) places: &'a HashMap<Box<str>, Place>,
    /// The place of file names that are not in `places`.
    pub(super) anywhere: Place,
    pub(super) diagnostics: Vec<Diagnostic>,
    pub(super) watch: Watch,
}

impl Reading<'_> {
    /// The TLS of a listener; `None` if it has none, or its files are refused.
    pub(super) fn listener(&mut self, listener: &Listener) -> Option<Arc<ServerTls>> {
        let ListenerTls::Terminates(end) = &listener.tls else {
            return None;
        };
        let identities: Vec<Arc<Identity>> = end
            .certificates
            .iter()
            .filter_map(|files| self.identity(files))
            .collect();
        let authority = match &end.client_auth {
            Some(auth) => Some((self.authority(&auth.ca)?, auth.mode)),
            None => None,
        };
        if identities.len() < end.certificates.len() {
            return None;
        }
        for Finding {
            path,
            code,
            message,
            help,
        } in check(listener, end, &identities, Timestamp::now())
        {
            let mut found = diagnostic(code, self.place(path), message);
            found.help = Some(help.to_owned());
            self.diagnostics.push(found);
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
                let path = end.client_auth.as_ref().map(|auth| &*auth.ca);
                self.fail(
                    path.unwrap_or_default(),
                    Code::BadCertificate,
                    error.to_string(),
                    AUTHORITIES,
                );
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
    pub(super) fn service(&mut self, service: &Service) -> Option<Arc<ClientTls>> {
        if !service.uses_tls() {
            return None;
        }
        let authority = match &service.tls.trust {
            Trust::Ca(path) => Some(self.authority(path)?),
            Trust::Platform | Trust::Unverified => None,
        };
        let identity = match &service.tls.client_cert {
            Some(files) => Some(self.identity(files)?),
            None => None,
        };
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
                let path = match &service.tls.trust {
                    Trust::Ca(path) => &**path,
                    Trust::Platform | Trust::Unverified => "",
                };
                let message = format!("the service `{}`: {error}", service.name);
                self.fail(path, Code::BadCertificate, message, AUTHORITIES);
                None
            }
        }
    }

    /// A certificate with its key: the present version of the files, or else the last good one.
    fn identity(&mut self, files: &CertificateFiles) -> Option<Arc<Identity>> {
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
                Identity::from_pem(certificate, key).map_err(|error| {
                    let path = match error {
                        IdentityError::Certificate(_) => &files.cert,
                        _ => &files.key,
                    };
                    (path, Code::BadCertificate, format!("`{path}`: {error}"))
                })
            }
            (Err(error), _) => Err((&files.cert, Code::UnreadableFile, unreadable(&files.cert, error))),
            (_, Err(error)) => Err((&files.key, Code::UnreadableFile, unreadable(&files.key, error))),
        };
        match (read, known) {
            (Ok(identity), _) => {
                let identity = Arc::new(identity);
                let texts = (certificate.unwrap_or_default(), key.unwrap_or_default());
                let known = (texts, Arc::clone(&identity));
                self.certificates.identities.insert(files.clone(), known);
                Some(identity)
            }
            (Err((_, _, message)), Some((_, identity))) => {
                let identity = Arc::clone(identity);
                self.watch.add_stale(message);
                Some(identity)
            }
            (Err((path, code, message)), None) => {
                self.fail(path, code, message, PAIR);
                None
            }
        }
    }

    /// Trusted certificates: the present version of the file, or else the last good one.
    fn authority(&mut self, path: &str) -> Option<Arc<[u8]>> {
        let read = match self.file(path) {
            Ok(text) => match waypost_tls::check_roots(&text) {
                Ok(()) => Ok(text),
                Err(error) => Err((Code::BadCertificate, format!("`{path}`: {error}"))),
            },
            Err(error) => Err((Code::UnreadableFile, unreadable(path, &error))),
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
            (Err((_, message)), Some(known)) => {
                let known = Arc::clone(known);
                self.watch.add_stale(message);
                Some(known)
            }
            (Err((code, message)), None) => {
                self.fail(path, code, message, AUTHORITIES);
                None
            }
        }
    }

    fn file(&mut self, name: &str) -> io::Result<Vec<u8>> {
        let (stamp, text) = self.source.read_material(name);
        self.watch.add(stamp);
        text
    }

    fn place(&self, path: &str) -> Place {
        self.places.get(path).unwrap_or(&self.anywhere).clone()
    }

    /// Refuses a file; `wanted` describes the content it should have.
    fn fail(&mut self, path: &str, code: Code, message: String, wanted: &str) {
        let place = self.place(path);
        let mut found = diagnostic(code, place, message);
        let directory = self.source.material_directory();
        found.help = Some(match code {
            Code::UnreadableFile if directory.as_os_str().is_empty() => {
                "a relative path counts from the working directory".to_owned()
            }
            Code::UnreadableFile => format!(
                "a relative path counts from `{}`, or else from the working directory",
                directory.display()
            ),
            _ => wanted.to_owned(),
        });
        self.diagnostics.push(found);
    }
}

fn unreadable(path: &str, error: &io::Error) -> String {
    format!("cannot read `{path}`: {error}")
}
