//! The certificate that a client was served.

use std::sync::Arc;

use rustls::server::ClientHello;

use crate::identity::Identity;
use crate::server::ServerTls;

/// The certificate that a client was served, and the reason for it.
#[derive(Debug, Clone)]
pub struct Served {
    identity: Arc<Identity>,
    tls: Arc<ServerTls>,
    /// The choice of `tls` for the host that the client named (SNI); `None` if it named none.
    choice: Option<usize>,
}

impl Served {
    /// The certificate that `tls` serves to a client with this hello.
    pub fn to(tls: &Arc<ServerTls>, hello: &ClientHello<'_>) -> Self {
        Self::with(tls, tls.choose(hello), hello.server_name())
    }

    /// The certificate that `tls` serves to a client that names `host` and supports every signature scheme.
    pub fn to_host(tls: &Arc<ServerTls>, host: Option<&str>) -> Self {
        Self::with(tls, tls.identity_for(host), host)
    }

    fn with(tls: &Arc<ServerTls>, identity: &Arc<Identity>, host: Option<&str>) -> Self {
        Self {
            identity: Arc::clone(identity),
            tls: Arc::clone(tls),
            choice: host.map(|host| tls.choice_for(host)),
        }
    }

    /// Returns true if requests for `host`, in lower case and without a port, may come on this connection.
    ///
    /// Otherwise the client does better on another connection: one on which it names `host`, and is served another
    /// certificate. A client that names no host is served the same certificate on every connection. Under client
    /// authentication the certificate has to be for `host`, as the client showed its own to that name alone.
    pub fn may_serve(&self, host: &str) -> bool {
        self.identity.serves(host)
            || !self.tls.authenticates_clients()
                && self
                    .choice
                    .is_none_or(|choice| choice == self.tls.choice_for(host))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resolver::testing::identity;
    use crate::server::{ClientAuth, Tickets};
    use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256};

    const HOSTS: [&str; 8] = [
        "first.test",
        "a.test",
        "b.test",
        "x.wild.test",
        "x.y.wild.test",
        "other.test",
        "10.0.0.1",
        "10.0.0.2",
    ];

    /// Checks the hosts that a client with this SNI may ask for, among [`HOSTS`], and that all others are misdirected.
    fn check(tls: &Arc<ServerTls>, name: Option<&str>, expected: &[&str]) {
        let served = Served::to_host(tls, name);
        let may = HOSTS.into_iter().filter(|host| served.may_serve(host));
        assert_eq!(may.collect::<Vec<_>>(), expected, "{name:?}");
    }

    fn authority() -> String {
        let key = KeyPair::generate().unwrap();
        CertificateParams::default().self_signed(&key).unwrap().pem()
    }

    #[test]
    fn host_is_misdirected_where_its_own_certificate_is_another() {
        let (p256, rsa) = (&PKCS_ECDSA_P256_SHA256, &PKCS_RSA_SHA256);
        let identities = || {
            vec![
                identity(&["first.test", "10.0.0.1"], p256),
                identity(&["a.test", "b.test"], rsa),
                identity(&["b.test", "a.test"], p256),
                identity(&["*.wild.test", "a.test"], p256),
            ]
        };
        let tls = |auth: Option<&ClientAuth<'_>>| {
            Arc::new(ServerTls::new(identities(), auth, &Tickets::new().unwrap()).unwrap())
        };
        let by_first = [
            "first.test",
            "x.y.wild.test",
            "other.test",
            "10.0.0.1",
            "10.0.0.2",
        ];
        let open = tls(None);
        check(&open, None, &HOSTS);
        check(&open, Some("first.test"), &by_first);
        check(&open, Some("other.test"), &by_first);
        check(&open, Some("a.test"), &["a.test", "b.test"]);
        check(&open, Some("B.Test."), &["a.test", "b.test"]);
        // It covers `a.test` too, though another certificate is chosen for it.
        check(&open, Some("x.wild.test"), &["a.test", "x.wild.test"]);

        let ca = authority();
        let auth = ClientAuth {
            ca: ca.as_bytes(),
            required: false,
        };
        let guarded = tls(Some(&auth));
        check(&guarded, None, &["first.test", "10.0.0.1"]);
        check(&guarded, Some("other.test"), &["first.test", "10.0.0.1"]);
        check(&guarded, Some("a.test"), &["a.test", "b.test"]);
    }
}
