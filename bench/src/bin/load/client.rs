//! Requests and TLS settings shared by all clients.

use std::io::{self, Read, Write};
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use waypost_bench::message;

/// Sessions kept for resumption.
const SESSIONS_KEPT: usize = 1024;

/// A request for `/sROUTE/…` with six ordinary fields.
pub(crate) fn request(route: usize, connection: &str) -> Vec<u8> {
    format!(
        "GET /s{route}/items/7?page=2 HTTP/1.1\r\nHost: api.example.com\r\nUser-Agent: load/1.0\r\n\
         Accept: application/json\r\nAccept-Language: en\r\nAccept-Encoding: gzip\r\nConnection: {connection}\r\n\r\n"
    )
    .into_bytes()
}

/// Reads one response.
pub(crate) fn read_answer(mut from: impl Read) -> io::Result<()> {
    let mut buffer = vec![0; 16 << 10];
    let (mut filled, mut whole) = (0, None);
    while whole.is_none_or(|whole| filled < whole) {
        match from.read(&mut buffer[filled..])? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => filled += count,
        }
        if whole.is_none() {
            let head = message::head_len(&buffer[..filled]);
            whole = head.map(|len| len + message::body_len(&buffer[..len]));
        }
    }
    if buffer.starts_with(b"HTTP/1.1 200") {
        Ok(())
    } else {
        Err(io::Error::other("the answer is another one than 200"))
    }
}

/// Sends a request and reads its response.
pub(crate) fn exchange(mut socket: impl Read + Write, connection: &str) -> io::Result<()> {
    socket.write_all(&request(0, connection))?;
    read_answer(socket)
}

/// Trusts the certificates in the file `ca`. Offers only TLS 1.3 with X25519 and AES-128, for equal work at every
/// gateway.
pub(crate) fn tls(ca: &str, resumes: bool) -> Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(ca).with_context(|| format!("could not read `{ca}`"))? {
        roots.add(certificate?)?;
    }
    ensure!(!roots.is_empty(), "`{ca}` has no certificate");
    let mut provider = aws_lc_rs::default_provider();
    provider.kx_groups = vec![aws_lc_rs::kx_group::X25519];
    provider.cipher_suites = vec![aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256];
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.resumption = if resumes {
        Resumption::in_memory_sessions(SESSIONS_KEPT)
    } else {
        Resumption::disabled()
    };
    Ok(Arc::new(config))
}
