//! TLS of listeners and services.

use waypost_plan::listener::{
    CertificateFiles, ClientAuth, ClientAuthMode, ListenerTls, ProxyProtocol, TlsTermination,
};
use waypost_plan::service::{EndpointScheme, ProxyVersion, ServiceTls, Trust};

use crate::diagnostic::Code;
use crate::document;
use crate::keys::At;
use crate::lower::{Context, host, settings};
use crate::problems::quote;
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

/// Lowers the TLS of a listener.
pub(super) fn of_listener(
    written: Option<&At<document::ListenerTls>>,
    context: &mut Context<'_>,
) -> ListenerTls {
    let Some(written) = written else {
        return ListenerTls::Off;
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
        return ListenerTls::Passthrough;
    }
    if given.certificates.is_none() && !given.given.keys().any(|key| key == "certificates") {
        context
            .problems
            .add(
                Code::MissingKey,
                written.key,
                "the `tls` of a listener has no `certificates`",
            )
            .help("add `certificates: [{ cert: api.crt, key: api.key }]`, or `passthrough: true`");
    }
    let certificates = given.certificates.iter().flat_map(|list| &list.value.0);
    let certificates = certificates
        .filter_map(|one| certificate(&one.value, context))
        .collect();
    let client_auth = given.client_auth.as_ref().and_then(|auth| {
        let auth = &auth.value;
        Some(ClientAuth {
            ca: file(auth.ca.as_ref()?, context)?,
            mode: auth
                .mode
                .as_ref()
                .map_or(ClientAuthMode::Required, |mode| mode.value),
        })
    });
    ListenerTls::Terminates(TlsTermination {
        certificates,
        client_auth,
    })
}

/// Lowers the TLS of a service; `schemes` are those of its endpoints.
pub(super) fn of_service(
    service: &document::Service,
    schemes: &[EndpointScheme],
    context: &mut Context<'_>,
) -> ServiceTls {
    let Some(written) = &service.tls else {
        return ServiceTls::default();
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
    let ca = given.ca.as_ref().and_then(|ca| file(ca, context));
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
    ServiceTls {
        trust: match (insecure, ca) {
            (Some(_), _) => Trust::Unverified,
            (None, Some(ca)) => Trust::Ca(ca),
            (None, None) => Trust::Platform,
        },
        server_name: given.server_name.as_ref().map(|name| (*name.value).into()),
        client_cert: given
            .client_cert
            .as_ref()
            .and_then(|files| certificate(&files.value, context)),
    }
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

fn certificate(written: &document::Certificate, context: &mut Context<'_>) -> Option<CertificateFiles> {
    let cert = written.cert.as_ref().and_then(|path| file(path, context));
    let key = written.key.as_ref().and_then(|path| file(path, context));
    Some(CertificateFiles {
        cert: cert?,
        key: key?,
    })
}

/// Lowers the path of a file, and records it for the caller to read.
fn file(written: &At<Text>, context: &mut Context<'_>) -> Option<Box<str>> {
    let path = settings::path_of(written, context.problems)?;
    context.files.push((path.clone(), written.span));
    Some(path)
}
