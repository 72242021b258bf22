//! The etcd that a local file leads to.

use std::collections::HashMap;

use waypost_plan::certificate_files::CertificateFiles;
use waypost_plan::etcd::{EtcdEndpoint, EtcdEndpointError, EtcdPrefix, EtcdPrefixError, EtcdSource, EtcdTls};

use crate::diagnostic::Code;
use crate::document::source::{Etcd, EtcdTls as WrittenTls};
use crate::files::{CertificateMention, Mention, TlsFiles};
use crate::keys::At;
use crate::lower::settings::path_of;
use crate::place::Span;
use crate::problems::{Problems, quote};
use crate::suggest::correction::plain;
use crate::values::Text;

/// Files by which etcd and the instance know each other.
#[derive(Debug, Default)]
pub(crate) struct EtcdFiles<P> {
    pub(crate) tls: TlsFiles<P>,
    pub(crate) user: Option<Mention<P>>,
    pub(crate) certificates_key: Option<Mention<P>>,
}

/// Lowers an etcd; `None` if it is invalid, which is reported.
pub(super) fn of(written: &Etcd, problems: &mut Problems) -> (Option<EtcdSource>, EtcdFiles<Span>) {
    let mut files = EtcdFiles::default();
    let endpoints = written.endpoints.as_ref().map(|endpoints| {
        let mut seen: HashMap<EtcdEndpoint, Span> = HashMap::new();
        let endpoints = endpoints.value.0.iter();
        let endpoints = endpoints.filter_map(|written| {
            let endpoint = endpoint(written, problems)?;
            if let Some(first) = seen.insert(endpoint.clone(), written.span) {
                problems
                    .add(
                        Code::DuplicateName,
                        written.span,
                        format!("{} is there twice", quote(endpoint.as_str())),
                    )
                    .label(first, "first here")
                    .help("name each member once");
            }
            Some(endpoint)
        });
        endpoints.collect::<Vec<_>>()
    });
    let prefix = written
        .prefix
        .as_ref()
        .and_then(|written| prefix(written, problems));
    let tls = written
        .tls
        .as_ref()
        .map(|tls| self::tls(&tls.value, &mut files, problems));
    if let (Some(tls), Some(endpoints)) = (&written.tls, &endpoints)
        && !endpoints.is_empty()
        && endpoints.iter().all(EtcdEndpoint::is_clear)
    {
        problems
            .add(
                Code::ConflictingKeys,
                tls.key,
                "`tls` has no effect: every endpoint says `http`",
            )
            .help("write the endpoints without a scheme or with `https`, or leave `tls` out");
    }
    let user = written
        .user_file
        .as_ref()
        .and_then(|file| mention(file, problems));
    let user_file = user.as_ref().map(|user| user.path.clone());
    files.user = user;
    files.certificates_key = written
        .certificates_key
        .as_ref()
        .and_then(|file| mention(file, problems));
    let certificates_key = files.certificates_key.as_ref().map(|key| key.path.clone());
    let source = endpoints
        .zip(prefix)
        .map(|(endpoints, prefix)| EtcdSource {
            endpoints,
            prefix,
            tls,
            user_file,
            certificates_key,
        })
        .filter(|source| !source.endpoints.is_empty());
    (source, files)
}

fn endpoint(written: &At<Text>, problems: &mut Problems) -> Option<EtcdEndpoint> {
    let text = &*written.value;
    let error = match text.parse() {
        Ok(endpoint) => return Some(endpoint),
        Err(error) => error,
    };
    let help = match error {
        _ if text.contains(',') => "write each member as an item of the list",
        EtcdEndpointError::Scheme => {
            "write host and port, such as `10.0.0.1:2379`; for TLS, `https://10.0.0.1:2379`, or `tls` beside `endpoints`"
        }
        EtcdEndpointError::User => "name and password of the user stand in the file of `user_file`",
        EtcdEndpointError::Path => "write host and port alone; the keys begin with `prefix`",
        EtcdEndpointError::Host => {
            "write host and port, such as `10.0.0.1:2379`; an IPv6 address stands in brackets"
        }
        EtcdEndpointError::Port => "write host and port, such as `10.0.0.1:2379`",
    };
    problems
        .add(
            Code::BadEndpoint,
            written.span,
            format!("{} is not an endpoint of etcd: {error}", quote(text)),
        )
        .help(help);
    None
}

fn prefix(written: &At<Text>, problems: &mut Problems) -> Option<EtcdPrefix> {
    let text = &*written.value;
    let error = match text.parse() {
        Ok(prefix) => return Some(prefix),
        Err(error) => error,
    };
    let names: Vec<&str> = text.split('/').filter(|name| !name.is_empty()).collect();
    let meant = format!("/{}", names.join("/"));
    let help = match error {
        EtcdPrefixError::NoSlash | EtcdPrefixError::Empty if meant.parse::<EtcdPrefix>().is_ok() => {
            format!("write `{meant}`")
        }
        _ => "write a prefix such as `/waypost/prod`".to_owned(),
    };
    let problem = problems
        .add(
            Code::BadValue,
            written.span,
            format!("{} is not a prefix: {error}", quote(text)),
        )
        .help(help);
    if meant.parse::<EtcdPrefix>().is_ok() {
        problem.propose(written.span, text, plain(&meant));
    }
    None
}

fn tls(written: &WrittenTls, files: &mut EtcdFiles<Span>, problems: &mut Problems) -> EtcdTls {
    let ca = written.ca.as_ref().and_then(|file| mention(file, problems));
    let cert = written.cert.as_ref().and_then(|file| mention(file, problems));
    let key = written.key.as_ref().and_then(|file| mention(file, problems));
    for (one, name, other) in [(&written.cert, "cert", "key"), (&written.key, "key", "cert")] {
        if let Some(one) = one
            && !written.given.keys().any(|key| key == other)
        {
            problems
                .add(
                    Code::MissingKey,
                    one.key,
                    format!("there is a `{name}`, but no `{other}`"),
                )
                .help(format!("add `{other}`: a certificate and its key go together"));
        }
    }
    let path = |mention: &Option<Mention<Span>>| Some(mention.as_ref()?.path.clone());
    let tls = EtcdTls {
        ca: path(&ca),
        certificate: path(&cert)
            .zip(path(&key))
            .map(|(cert, key)| CertificateFiles { cert, key }),
    };
    files.tls.ca = ca;
    if cert.is_some() || key.is_some() {
        files.tls.certificates.push(CertificateMention { cert, key });
    }
    tls
}

/// Lowers the path of a file.
fn mention(written: &At<Text>, problems: &mut Problems) -> Option<Mention<Span>> {
    Some(Mention {
        path: path_of(written, problems)?,
        place: written.span,
    })
}
