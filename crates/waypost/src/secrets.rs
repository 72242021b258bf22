//! The files that a config names: certificates, keys, and those who sign them.
//!
//! They are read with the config, and again whenever they change. A pair that was good and is not any more leaves the one
//! that is in use, so that a file that is half written, or a renewal that went wrong, closes no door.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use waypost_config::diagnostic::{Code, Diagnostic, diagnostic};
use waypost_config::place::Place;
use waypost_config::{Loaded, Refused};
use waypost_plan::Plan;
use waypost_plan::listener::{CertificateFiles, ClientAuthMode, Listener, ListenerTls, TlsEnd};
use waypost_plan::service::{Service, Trust};
use waypost_proxy::generation::Materials;
use waypost_tls::client::{self, ClientTls};
use waypost_tls::identity::Identity;
use waypost_tls::name::CertificateName;
use waypost_tls::server::{ClientAuth, ServerTls, Tickets};

use crate::config::Texts;

/// The most that is read of one file.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// A certificate that ends sooner than this is warned of.
const ENDS_SOON_DAYS: i64 = 14;

/// How long files may go on changing before they are read.
const UNQUIET_MAX: Duration = Duration::from_secs(1);

const DAY: i64 = 24 * 60 * 60;

/// What has been read of the files, and what was made of it.
#[derive(Debug, Default)]
pub(crate) struct Secrets {
    /// The last good version of each pair.
    identities: HashMap<CertificateFiles, (Fingerprint, Arc<Identity>)>,
    /// The last good version of each file of trusted certificates.
    authorities: HashMap<Box<str>, Arc<[u8]>>,
    tickets: HashMap<String, Tickets>,
    listeners: HashMap<String, (ListenerKey, Arc<ServerTls>)>,
    services: HashMap<Arc<str>, (ServiceKey, Arc<ClientTls>)>,
    watch: Watch,
    /// Since when files have been seen to change, until they are read.
    unquiet_since: Option<Instant>,
}

/// The files that a plan needs, as they were when they were read.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    prints: Vec<Print>,
    /// What is wrong with those whose last good version is in use.
    stale: Vec<String>,
}

/// What the files of a pair are.
const PAIR: &str = "a certificate with its chain is one PEM file, its own certificate first; its key is another, without \
                    a password";
/// What the file of a `ca` is.
const AUTHORITIES: &str = "a `ca` is a PEM file with the certificates that are trusted to have signed others";

/// The texts of a pair.
type Fingerprint = (Vec<u8>, Vec<u8>);

/// What a listener's TLS was made of.
#[derive(Debug, PartialEq, Eq)]
struct ListenerKey {
    certificates: Vec<usize>,
    client_auth: Option<(Arc<[u8]>, ClientAuthMode)>,
}

/// What a service's TLS was made of.
#[derive(Debug, PartialEq, Eq)]
struct ServiceKey {
    ca: Option<Arc<[u8]>>,
    trust: Trust,
    certificate: Option<usize>,
}

/// What changes with a file's content, and is cheap to ask.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Print {
    path: PathBuf,
    file: Option<(u64, u64, [i64; 2])>,
}

/// What the files of a plan come to.
pub(crate) struct Secured {
    pub(crate) materials: Materials,
    pub(crate) diagnostics: Vec<Diagnostic>,
    pub(crate) watch: Watch,
}

/// One reading of the files of a plan.
struct Reading<'a> {
    secrets: &'a mut Secrets,
    directory: PathBuf,
    places: &'a HashMap<Box<str>, Place>,
    anywhere: Place,
    diagnostics: Vec<Diagnostic>,
    watch: Watch,
}

impl Secrets {
    /// Reads the files of a plan.
    pub(crate) fn secure(&mut self, loaded: &Loaded, texts: &Texts) -> Secured {
        let plan = &loaded.plan;
        self.read(plan.listeners(), plan.services(), &loaded.file_places, texts)
    }

    /// What is wrong with the files of a config that is refused.
    pub(crate) fn examine(&mut self, refused: &Refused, texts: &Texts) -> Vec<Diagnostic> {
        let secured = self.read(&refused.listeners, &refused.services, &refused.file_places, texts);
        secured.diagnostics
    }

    fn read(
        &mut self,
        listeners: &[Arc<Listener>],
        services: &[Arc<Service>],
        places: &HashMap<Box<str>, Place>,
        texts: &Texts,
    ) -> Secured {
        let first = texts.sources.first().map(|source| source.name.clone());
        let first = first.unwrap_or_default();
        let directory = Path::new(&first).parent().map(Path::to_owned).unwrap_or_default();
        let mut reading = Reading {
            secrets: self,
            directory,
            places,
            anywhere: Place {
                file: first.into(),
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
        Secured {
            materials: Materials { listeners, services },
            diagnostics: reading.diagnostics,
            watch: reading.watch,
        }
    }

    /// Has these files be looked at from now on: their plan is in force.
    pub(crate) fn watch(&mut self, watch: Watch) {
        self.watch = watch;
        self.unquiet_since = None;
    }

    /// Whether there is anything to look at now and then.
    pub(crate) fn are_watched(&self) -> bool {
        !self.watch.prints.is_empty()
    }

    /// Looks whether a file has changed, and has been quiet since the last look.
    pub(crate) fn have_changed(&mut self) -> bool {
        let prints = self.watch.prints.iter();
        let now: Vec<Print> = prints.map(|print| Print::of(print.path.clone())).collect();
        if now != self.watch.prints {
            self.watch.prints = now;
            let since = *self.unquiet_since.get_or_insert_with(Instant::now);
            // What never is quiet is read all the same.
            if since.elapsed() < UNQUIET_MAX {
                return false;
            }
        }
        self.unquiet_since.take().is_some()
    }

    /// Reads the files of a plan again that is in force.
    pub(crate) fn renew(&mut self, plan: &Plan, texts: &Texts) -> Secured {
        self.read(plan.listeners(), plan.services(), &HashMap::new(), texts)
    }

    /// What is wrong with files whose last good version is in use.
    pub(crate) fn stale(&self) -> &[String] {
        &self.watch.stale
    }
}

impl Reading<'_> {
    fn listener(&mut self, listener: &Listener) -> Option<Arc<ServerTls>> {
        let ListenerTls::Ends(end) = &listener.tls else {
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
        self.judge(listener, end, &identities);
        let key = ListenerKey {
            certificates: identities
                .iter()
                .map(|identity| Arc::as_ptr(identity).addr())
                .collect(),
            client_auth: authority,
        };
        let name = format!(
            "{} {}",
            listener.bind.text,
            listener.name.as_deref().unwrap_or_default()
        );
        if let Some((known, tls)) = self.secrets.listeners.get(&name)
            && *known == key
        {
            return Some(Arc::clone(tls));
        }
        // A session that began under other conditions must not go on under these.
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
                self.secrets.listeners.insert(name, (key, Arc::clone(&tls)));
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

    fn tickets(&mut self, of: String) -> Result<Tickets, waypost_tls::server::ServerError> {
        if let Some(tickets) = self.secrets.tickets.get(&of) {
            return Ok(tickets.clone());
        }
        let tickets = Tickets::new()?;
        self.secrets.tickets.insert(of, tickets.clone());
        Ok(tickets)
    }

    fn service(&mut self, service: &Service) -> Option<Arc<ClientTls>> {
        if !service.uses_tls() {
            return None;
        }
        let authority = match &service.tls.trust {
            Trust::Ca(path) => Some(self.authority(path)?),
            Trust::Platform | Trust::Anybody => None,
        };
        let identity = match &service.tls.client_cert {
            Some(files) => Some(self.identity(files)?),
            None => None,
        };
        let key = ServiceKey {
            ca: authority,
            trust: service.tls.trust.clone(),
            certificate: identity.as_ref().map(|identity| Arc::as_ptr(identity).addr()),
        };
        if let Some((known, tls)) = self.secrets.services.get(&service.name)
            && *known == key
        {
            return Some(Arc::clone(tls));
        }
        let trust = match (&key.trust, &key.ca) {
            (Trust::Ca(_), Some(ca)) => client::Trust::Ca(ca),
            (Trust::Anybody, _) => client::Trust::Unverified,
            _ => client::Trust::Platform,
        };
        match ClientTls::new(trust, identity.as_deref()) {
            Ok(tls) => {
                let tls = Arc::new(tls);
                let known = (key, Arc::clone(&tls));
                self.secrets.services.insert(Arc::clone(&service.name), known);
                Some(tls)
            }
            Err(error) => {
                let path = match &service.tls.trust {
                    Trust::Ca(path) => &**path,
                    Trust::Platform | Trust::Anybody => "",
                };
                let message = format!("the service `{}`: {error}", service.name);
                self.fail(path, Code::BadCertificate, message, AUTHORITIES);
                None
            }
        }
    }

    /// A certificate with its key: as the files have it, or else the last good version.
    fn identity(&mut self, files: &CertificateFiles) -> Option<Arc<Identity>> {
        let (certificate, key) = (self.file(&files.cert), self.file(&files.key));
        let known = self.secrets.identities.get(files);
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
                        waypost_tls::identity::IdentityError::Certificate(_) => &files.cert,
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
                self.secrets.identities.insert(files.clone(), known);
                Some(identity)
            }
            (Err((_, _, message)), Some((_, identity))) => {
                let identity = Arc::clone(identity);
                self.keep_old(message);
                Some(identity)
            }
            (Err((path, code, message)), None) => {
                self.fail(path, code, message, PAIR);
                None
            }
        }
    }

    /// Trusted certificates: as the file has them, or else the last good version.
    fn authority(&mut self, path: &str) -> Option<Arc<[u8]>> {
        let read = match self.file(path) {
            Ok(text) => match waypost_tls::check_roots(&text) {
                Ok(()) => Ok(text),
                Err(error) => Err((Code::BadCertificate, format!("`{path}`: {error}"))),
            },
            Err(error) => Err((Code::UnreadableFile, unreadable(path, &error))),
        };
        let known = self.secrets.authorities.get(path);
        match (read, known) {
            (Ok(text), Some(known)) if **known == *text => Some(Arc::clone(known)),
            (Ok(text), _) => {
                let text: Arc<[u8]> = text.into();
                self.secrets.authorities.insert(path.into(), Arc::clone(&text));
                Some(text)
            }
            (Err((_, message)), Some(known)) => {
                let known = Arc::clone(known);
                self.keep_old(message);
                Some(known)
            }
            (Err((code, message)), None) => {
                self.fail(path, code, message, AUTHORITIES);
                None
            }
        }
    }

    /// A file, beside the config, or else where the process runs.
    fn file(&mut self, path: &str) -> io::Result<Vec<u8>> {
        let beside = self.directory.join(path);
        let path = if beside.exists() || !Path::new(path).exists() {
            beside
        } else {
            PathBuf::from(path)
        };
        // Looked at first: a change in between is seen at the next look.
        let print = Print::of(path.clone());
        if !self.watch.prints.contains(&print) {
            self.watch.prints.push(print);
        }
        read(&path)
    }

    /// Warns of what will not work, or not for long.
    fn judge(&mut self, listener: &Listener, end: &TlsEnd, identities: &[Arc<Identity>]) {
        let now = Timestamp::now().as_second();
        for (files, identity) in end.certificates.iter().zip(identities) {
            let path = &files.cert;
            let left = identity.not_after() - now;
            let message = if left < 0 {
                Some(format!("`{path}` has ended {}", days_ago(-left)))
            } else if identity.not_before() > now {
                Some(format!("`{path}` is not valid yet"))
            } else if left < ENDS_SOON_DAYS * DAY {
                Some(format!("`{path}` ends {}", in_days(left)))
            } else {
                None
            };
            if let Some(message) = message {
                let place = self.place(path);
                let mut found = diagnostic(Code::CertificateTime, place, message);
                found.help = Some("renew it; the files are read again when they change".to_owned());
                self.diagnostics.push(found);
            }
            if !identity.has_alternative_names() {
                let message =
                    format!("`{path}` has no alternative names, and clients of today look at nothing else");
                let place = self.place(path);
                let mut found = diagnostic(Code::CertificateNames, place, message);
                found.help = Some("have one issued with a `subjectAltName`".to_owned());
                self.diagnostics.push(found);
            }
            if listener.hosts.is_empty() {
                continue;
            }
            let is_useless = |name: &&CertificateName| {
                let text = name.to_string();
                let pattern = waypost_route::host::HostPattern::parse(&text);
                pattern.is_ok_and(|pattern| !listener.hosts.iter().any(|host| host.overlaps(&pattern)))
            };
            let useless: Vec<String> = identity
                .names()
                .iter()
                .filter(is_useless)
                .map(|name| format!("`{name}`"))
                .collect();
            if !useless.is_empty() {
                let message = format!(
                    "`{path}` is for {}, which the listener's `hosts` turn away",
                    useless.join(", ")
                );
                let place = self.place(path);
                let mut found = diagnostic(Code::CertificateNames, place, message);
                found.help = Some("add them to `hosts`, or use another certificate".to_owned());
                self.diagnostics.push(found);
            }
        }
        for host in &listener.hosts {
            let text = host.to_string();
            // A wildcard of the listener takes more labels than a certificate's; one below is all that can be asked.
            let example = text
                .strip_prefix("*.")
                .map_or_else(|| text.clone(), |rest| format!("x.{rest}"));
            if !identities.iter().any(|identity| identity.serves(&example)) {
                let path = end.certificates.first().map_or("", |files| &*files.cert);
                let message = format!("no certificate of the listener is for its host `{text}`");
                let place = self.place(path);
                let mut found = diagnostic(Code::CertificateNames, place, message);
                found.help = Some("add a certificate; requests for it are answered 421".to_owned());
                self.diagnostics.push(found);
            }
        }
    }

    fn place(&self, path: &str) -> Place {
        self.places.get(path).unwrap_or(&self.anywhere).clone()
    }

    /// Refuses a file; `wanted` says what should be in it.
    fn fail(&mut self, path: &str, code: Code, message: String, wanted: &str) {
        let place = self.place(path);
        let mut found = diagnostic(code, place, message);
        found.help = Some(match code {
            Code::UnreadableFile if self.directory.as_os_str().is_empty() => {
                "a relative path counts from the working directory".to_owned()
            }
            Code::UnreadableFile => format!(
                "a relative path counts from `{}`, or else from the working directory",
                self.directory.display()
            ),
            _ => wanted.to_owned(),
        });
        self.diagnostics.push(found);
    }

    fn keep_old(&mut self, message: String) {
        if !self.watch.stale.contains(&message) {
            self.watch.stale.push(message);
        }
    }
}

impl Print {
    fn of(path: PathBuf) -> Self {
        use std::os::unix::fs::MetadataExt as _;
        let file = fs::metadata(&path)
            .ok()
            // The time of its last change of any kind, permissions among them.
            .map(|found| (found.ino(), found.len(), [found.ctime(), found.ctime_nsec()]));
        Self { path, file }
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    use std::os::unix::fs::OpenOptionsExt as _;
    // To open a pipe would be to wait for whoever writes into it.
    let no_wait = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let file = fs::File::options().read(true).custom_flags(no_wait).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    let mut text = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut text)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(io::Error::other("it is larger than 4 MiB"));
    }
    Ok(text)
}

fn unreadable(path: &str, error: &io::Error) -> String {
    format!("cannot read `{path}`: {error}")
}

fn in_days(seconds: i64) -> String {
    match seconds / DAY {
        0 => "within a day".to_owned(),
        1 => "in 1 day".to_owned(),
        days => format!("in {days} days"),
    }
}

fn days_ago(seconds: i64) -> String {
    match seconds / DAY {
        0 => "today".to_owned(),
        1 => "1 day ago".to_owned(),
        days => format!("{days} days ago"),
    }
}
