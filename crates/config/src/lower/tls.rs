//! TLS of listeners and services.

use waypost_plan::certificate_files::CertificateFiles;
use waypost_plan::certificate_source::CertificateSource;
use waypost_plan::listener::{ClientAuth, ClientAuthMode, ListenerTls, ProxyProtocol, TlsTermination};
use waypost_plan::service::{EndpointScheme, ProxyVersion, ServiceTls, Trust};

use crate::diagnostic::Code;
use crate::document;
use crate::document::listener::{Certificate, FilesOrAcme};
use crate::files::{CertificateMention, Mention, TlsFiles};
use crate::keys::{self, At};
use crate::lower::acme::Ordered;
use crate::lower::{Context, host, settings};
use crate::place::Span;
use crate::problems::{Problems, quote};
use crate::values::{Text, words};

words! {
    ClientAuthMode {
        "optional" => ClientAuthMode::Optional,
        "required" => ClientAuthMode::Required,
    }
    ProxyProtocol {
        "optional" => ProxyProtocol::Optional,
        "required" => ProxyProtocol::Required,
    }
    ProxyVersion {
        "v1" => ProxyVersion::V1,
        "v2" => ProxyVersion::V2,
    }
}

/// Lowers the TLS of a listener, with the files that it names.
pub(super) fn of_listener(
    listener: &document::listener::Listener,
    context: &mut Context<'_>,
) -> (ListenerTls, TlsFiles<Span>) {
    let mut files = TlsFiles::default();
    let Some(written) = &listener.tls else {
        return (ListenerTls::Off, files);
    };
    let given = &written.value;
    let passthrough = given.passthrough.as_ref().filter(|passes| passes.value);
    if let Some(passes) = passthrough {
        let others = [
            given.certificates.as_ref().map(|given| given.key),
            given.client_auth.as_ref().map(|given| given.key),
        ];
        if let Some(other) = others.into_iter().flatten().next() {
            context
                .problems
                .add(
                    Code::ConflictingKeys,
                    other,
                    "a listener with `passthrough` does not terminate TLS",
                )
                .label(passes.key, "it passes through")
                .help("keep one of them, or make two listeners of it");
        }
        return (ListenerTls::Passthrough, files);
    }
    let is_known = |key: &str| {
        document::listener::ListenerTls::TABLE
            .keys
            .iter()
            .any(|known| known.name == key)
    };
    // Misspelt keys, and values that could not be read, are reported already.
    let is_reported = given
        .given
        .keys()
        .any(|key| key == "certificates" || !is_known(key));
    if given.certificates.is_none() && !is_reported {
        context
            .problems
            .add(
                Code::MissingKey,
                written.key,
                "the `tls` of a listener has no `certificates`",
            )
            .help(
                "add `certificates: [{ cert: api.crt, key: api.key }]`, `certificates: [{ acme: {} }]`, or \
                 `passthrough: true`",
            );
    }
    let certificates = given.certificates.iter().flat_map(|list| &list.value.0);
    let mut ordered = Ordered::of(listener);
    let certificates = certificates
        .filter_map(|one| {
            let FilesOrAcme(written) = &one.value;
            certificate(&one.with(written), listener, &mut ordered, &mut files, context)
        })
        .collect();
    let client_auth = given.client_auth.as_ref().and_then(|auth| {
        let auth = &auth.value;
        files.ca = file(auth.ca.as_deref(), context);
        Some(ClientAuth {
            ca: files.ca.as_ref()?.path.clone(),
            mode: auth
                .mode
                .as_ref()
                .map_or(ClientAuthMode::Required, |mode| mode.value),
        })
    });
    let end = TlsTermination {
        certificates,
        client_auth,
    };
    (ListenerTls::Terminates(end), files)
}

/// Lowers the TLS of a service, with the files that it names; `schemes` are those of its endpoints.
pub(super) fn of_service(
    service: &document::service::Service,
    schemes: &[EndpointScheme],
    context: &mut Context<'_>,
) -> (ServiceTls, TlsFiles<Span>) {
    let mut files = TlsFiles::default();
    let Some(written) = &service.tls else {
        return (ServiceTls::default(), files);
    };
    let given = &written.value;
    if !schemes.is_empty() && !schemes.contains(&EndpointScheme::Https) {
        context
            .problems
            .add(
                Code::ConflictingKeys,
                written.key,
                "`tls` has no effect: the service has no `https://` endpoint",
            )
            .help("write the endpoints with `https://`, or leave `tls` out");
    }
    files.ca = file(given.ca.as_deref(), context);
    let ca = files.ca.as_ref().map(|ca| ca.path.clone());
    let insecure = given.insecure.as_ref().filter(|insecure| insecure.value);
    if let (Some(insecure), Some(ca)) = (insecure, &given.ca) {
        context
            .problems
            .add(
                Code::ConflictingKeys,
                insecure.key,
                "`insecure` checks no certificate, so that `ca` means nothing",
            )
            .label(ca.key, "the trusted certificates")
            .help("leave `insecure` out");
    } else if let Some(insecure) = insecure {
        context
            .problems
            .add(
                Code::InsecureService,
                insecure.key,
                "the certificates of this service are not verified: an attacker on the path can impersonate it",
            )
            .help("set `ca` to the CA certificates that sign its certificates");
    }
    if let Some(name) = &given.server_name {
        check_server_name(name, context);
    }
    let tls = ServiceTls {
        trust: match (insecure, ca) {
            (Some(_), _) => Trust::Unverified,
            (None, Some(ca)) => Trust::Ca(ca),
            (None, None) => Trust::Platform,
        },
        server_name: given.server_name.as_ref().map(|name| (*name.value).into()),
        client_cert: given.client_cert.as_ref().and_then(|one| {
            pair(
                one.value.cert.as_deref(),
                one.value.key.as_deref(),
                &mut files,
                context,
            )
        }),
    };
    (tls, files)
}

fn check_server_name(written: &At<Text>, context: &mut Context<'_>) {
    let parsed = host::authority(&written.value);
    if parsed.is_ok_and(|authority| authority.port.is_none()) {
        return;
    }
    context
        .problems
        .add(
            Code::BadHost,
            written.span,
            format!("{} is not the name of a host", quote(&written.value)),
        )
        .help("write the name that stands in the certificate, without scheme and port");
}

/// Lowers a certificate of a listener, and adds its files to `files`.
fn certificate(
    written: &At<&Certificate>,
    listener: &document::listener::Listener,
    ordered: &mut Ordered,
    files: &mut TlsFiles<Span>,
    context: &mut Context<'_>,
) -> Option<CertificateSource> {
    let given = written.value;
    let Some(acme) = &given.acme else {
        report_missing(written, context.problems);
        let files = pair(given.cert.as_deref(), given.key.as_deref(), files, context)?;
        return Some(CertificateSource::Files(files));
    };
    let others = [&given.cert, &given.key];
    let other = others.into_iter().flatten().next();
    if let Some(other) = other {
        context
            .problems
            .add(
                Code::ConflictingKeys,
                acme.key,
                "a certificate is in files, or an authority issues it",
            )
            .label(other.key, "a file")
            .help("leave out `acme`, or `cert` and `key`; two certificates are two items of the list");
    }
    let lowered = ordered.add(acme, listener, files, context.problems)?;
    let shared = context.acme.share(lowered, acme.key, context.problems)?;
    Some(CertificateSource::Acme(shared))
}

/// Reports keys that a certificate in files lacks.
fn report_missing(written: &At<&Certificate>, problems: &mut Problems) {
    let given = &written.value.given;
    let is_meant = |wanted: &str| {
        let mut keys = given.keys();
        keys.any(|key| key == wanted || keys::meant(key, &Certificate::TABLE) == Some(wanted))
    };
    if is_meant("acme") {
        return;
    }
    for (name, example, other) in [("cert", "api.crt", "key"), ("key", "api.key", "cert")] {
        if is_meant(name) {
            continue;
        }
        // Without any key it is open which way is meant.
        let (message, help) = match is_meant(other) {
            true => (format!("a certificate has no `{name}`"), format!("add `{name}: {example}`")),
            false => (
                "a certificate has no `cert` and `key`".to_owned(),
                "add `cert: api.crt` and `key: api.key`, or `acme: { email: ops@example.com }` to have one issued"
                    .to_owned(),
            ),
        };
        problems.add(Code::MissingKey, written.span, message).help(help);
        return;
    }
}

/// Lowers the files of a certificate, and adds them to `files`.
fn pair(
    cert: Option<&At<Text>>,
    key: Option<&At<Text>>,
    files: &mut TlsFiles<Span>,
    context: &mut Context<'_>,
) -> Option<CertificateFiles> {
    let mention = CertificateMention {
        cert: file(cert, context),
        key: file(key, context),
    };
    let path = |mention: &Option<Mention<Span>>| Some(mention.as_ref()?.path.clone());
    let paths = (path(&mention.cert), path(&mention.key));
    files.certificates.push(mention);
    Some(CertificateFiles {
        cert: paths.0?,
        key: paths.1?,
    })
}

/// Lowers the path of a file.
fn file(written: Option<&At<Text>>, context: &mut Context<'_>) -> Option<Mention<Span>> {
    let written = written?;
    Some(Mention {
        path: settings::path_of(written, context.problems)?,
        place: written.span,
    })
}
