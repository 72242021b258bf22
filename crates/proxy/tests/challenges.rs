//! Challenges of an authority are answered on every listener, in front of everything that is configured, and only while they
//! are there.

#![allow(clippy::unwrap_used, reason = "in tests an unwrap is an assertion")]

use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{AlertDescription, ClientConfig, Error};
use waypost_plan::Plan;
use waypost_plan::builder::PlanBuilder;
use waypost_plan::listener::{
    Bind, ClientAuth as ClientAuthentication, ClientAuthMode, Listener, ListenerTls, ProxyProtocol,
    TlsTermination,
};
use waypost_plan::query::QueryRewrite;
use waypost_plan::redirect::{Redirect, Scheme};
use waypost_plan::rewrite::PathRewrite;
use waypost_plan::route::{Action, Respond, Route};
use waypost_plan::settings::Settings;
use waypost_plan::trusted_proxies::TrustedProxies;
use waypost_proxy::challenges::Challenge;
use waypost_proxy::gateway::Gateway;
use waypost_proxy::generation::{Generation, Materials};
use waypost_proxy::observe::access_log;
use waypost_route::alternative::Alternative;
use waypost_route::host::HostPattern;
use waypost_tls::challenge::PROTOCOL;
use waypost_tls::peer::fingerprint;
use waypost_tls::placeholder;
use waypost_tls::server::{ClientAuth, ServerTls, Tickets};
use waypost_tls::testing::AnyCertificate;

/// The listeners, by position.
const CLEAR: usize = 0;
const OF_OTHER_HOST: usize = 1;
const TLS: usize = 2;
const TLS_WITH_CLIENT_CERTIFICATES: usize = 3;
const TLS_BEHIND_PROXIES: usize = 4;
const REDIRECTING: usize = 5;

/// A gateway whose only route responds `routed` to every request.
struct Started {
    runtime: Runtime,
    gateway: Gateway,
    addresses: Vec<SocketAddr>,
}

fn plan() -> Plan {
    let listener = |name: &str| Listener {
        name: Some(name.into()),
        ..Listener::new(Bind::tcp("127.0.0.1:0".parse().unwrap()))
    };
    let tls = |client_auth| {
        // Its certificates are those of the materials.
        ListenerTls::Terminates(TlsTermination {
            certificates: Vec::new(),
            client_auth,
        })
    };
    let client_auth = ClientAuthentication {
        ca: "ca.pem".into(),
        mode: ClientAuthMode::Required,
    };
    let listeners = [
        listener("clear"),
        Listener {
            hosts: vec![HostPattern::parse("other.test").unwrap()],
            ..listener("of other host")
        },
        Listener {
            tls: tls(None),
            ..listener("tls")
        },
        Listener {
            tls: tls(Some(client_auth)),
            ..listener("tls with client certificates")
        },
        Listener {
            tls: tls(None),
            proxy_protocol: ProxyProtocol::Required,
            trusted_proxies: TrustedProxies {
                from: vec!["127.0.0.1/32".parse().unwrap()],
                ..TrustedProxies::default()
            },
            ..listener("tls behind proxies")
        },
        Listener {
            redirect: Some(Redirect {
                status: 308,
                scheme: Some(Scheme::Https),
                host: None,
                port: None,
                path: PathRewrite::Keep,
                query: QueryRewrite::Keep,
                url: None,
            }),
            ..listener("redirecting")
        },
    ];
    let mut builder = PlanBuilder::default();
    for listener in listeners {
        builder.add_listener(listener).unwrap();
    }
    let matching = waypost_route::Route {
        name: "all".into(),
        alternatives: [Alternative::default()].into(),
    };
    let respond = Respond {
        status: 200,
        body: "routed".into(),
        content_type: "text/plain".into(),
    };
    builder
        .add_route(Route::new(matching, Action::Respond(respond)))
        .unwrap();
    builder.set_settings(Settings {
        workers: NonZeroUsize::new(1),
        ..Settings::default()
    });
    builder.build().unwrap()
}

/// The configuration of a listener with a certificate for `a.test`.
fn server_tls(client_auth: Option<&ClientAuth<'_>>) -> Option<Arc<ServerTls>> {
    let identity = placeholder::identity(&["a.test".into()]).unwrap();
    let tickets = Tickets::new().unwrap();
    let tls = ServerTls::new(vec![Arc::new(identity)], client_auth, &tickets).unwrap();
    Some(Arc::new(tls))
}

impl Started {
    fn new() -> Self {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let ca = rcgen::generate_simple_self_signed(["ca.test".to_owned()]).unwrap();
        let ca = ca.cert.pem();
        let client_auth = ClientAuth {
            ca: ca.as_bytes(),
            required: true,
        };
        let listeners = vec![
            None,
            None,
            server_tls(None),
            server_tls(Some(&client_auth)),
            server_tls(None),
            None,
        ];
        let generation = Generation::compile(plan()).unwrap().secured(Materials {
            listeners,
            ..Materials::default()
        });
        let started = Gateway::start(generation, runtime.handle().clone());
        let (gateway, listening) = runtime.block_on(started).unwrap();
        let addresses = listening.iter().map(|at| at.tcp().unwrap());
        Self {
            addresses: addresses.collect(),
            runtime,
            gateway,
        }
    }

    /// Answers a challenge of `a.test` with the token `7` from now on.
    fn challenge(&self) {
        let challenge = Challenge {
            host: "a.test".into(),
            token: "7".into(),
            key_authorization: KEY_AUTHORIZATION.into(),
        };
        self.gateway.generation().challenges().set([challenge]);
    }

    /// The response to a request on a connection of its own, without its date.
    fn ask(&self, listener: usize, method: &str, host: &str, path: &str) -> String {
        let request = format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        self.runtime.block_on(async {
            let mut client = TcpStream::connect(self.addresses[listener]).await.unwrap();
            client.write_all(request.as_bytes()).await.unwrap();
            read(&mut client).await
        })
    }

    /// The handshake of a client that names `host`. Over PROXY listeners, `before` is sent first.
    fn handshake(
        &self,
        listener: usize,
        before: &str,
        host: &str,
        protocol: &[u8],
    ) -> io::Result<TlsStream<TcpStream>> {
        let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyCertificate::default()))
            .with_no_client_auth();
        config.alpn_protocols = vec![protocol.to_vec()];
        let name = ServerName::try_from(host.to_owned()).unwrap();
        self.runtime.block_on(async {
            let mut client = TcpStream::connect(self.addresses[listener]).await?;
            client.write_all(before.as_bytes()).await?;
            TlsConnector::from(Arc::new(config)).connect(name, client).await
        })
    }

    /// Checks that a client that asks for the challenge of `host` gets the digest of the key authorization, and nothing
    /// behind it.
    fn check_answered(&self, listener: usize, before: &str, host: &str) {
        let mut stream = self.handshake(listener, before, host, PROTOCOL).unwrap();
        let (_, session) = stream.get_ref();
        assert_eq!(session.alpn_protocol(), Some(PROTOCOL));
        let shown = session.peer_certificates().unwrap()[0].as_ref();
        let shown: String = shown.iter().map(|byte| format!("{byte:02x}")).collect();
        let digest = fingerprint(KEY_AUTHORIZATION.as_bytes());
        assert!(shown.contains(&digest), "{host}: {shown}");
        let behind = self.runtime.block_on(stream.read(&mut [0]));
        assert_eq!(behind.unwrap(), 0);
    }

    /// Checks that a client that asks for a challenge of `host` is told that there is no such thing.
    fn check_refused(&self, listener: usize, host: &str) {
        let error = self.handshake(listener, "", host, PROTOCOL).unwrap_err();
        let error = error.downcast::<Error>().unwrap();
        let expected = Error::AlertReceived(AlertDescription::NoApplicationProtocol);
        assert_eq!(error, expected, "{host}");
    }

    /// The numbers of answered challenges, over HTTP and in TLS.
    fn answered(&self) -> [u64; 2] {
        self.gateway.view().metrics().read().challenges
    }

    fn drain(self) {
        self.runtime.block_on(self.gateway.drain(Duration::ZERO));
    }
}

const KEY_AUTHORIZATION: &str = "7.thumbprint";
const PATH: &str = "/.well-known/acme-challenge/7";

/// Reads until the end; leaves the date out.
async fn read(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    let lines = text.split_inclusive("\r\n");
    lines.filter(|line| !line.starts_with("date: ")).collect()
}

/// Returns true if a route took the request.
fn is_routed(response: &str) -> bool {
    response.starts_with("HTTP/1.1 200 OK\r\n") && response.ends_with("\r\n\r\nrouted")
}

const ANSWER: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\ncontent-length: 12\r\n\
                      connection: close\r\n\r\n";

#[test]
fn http_challenge_is_answered_in_clear_text_before_routing() {
    let started = Started::new();
    let ask = |listener, method, host, path| started.ask(listener, method, host, path);
    assert!(is_routed(&ask(CLEAR, "GET", "a.test", PATH)));
    started.challenge();
    let answer = [ANSWER, KEY_AUTHORIZATION].concat();
    assert_eq!(ask(CLEAR, "GET", "a.test", PATH), answer);
    assert_eq!(ask(CLEAR, "GET", "A.Test:80", PATH), answer);
    assert_eq!(ask(CLEAR, "HEAD", "a.test", PATH), ANSWER);
    // It does not serve the host otherwise.
    assert_eq!(ask(OF_OTHER_HOST, "GET", "a.test", PATH), answer);
    let elsewhere = ask(OF_OTHER_HOST, "GET", "a.test", "/");
    assert!(elsewhere.starts_with("HTTP/1.1 404 "), "{elsewhere}");
    assert_eq!(ask(REDIRECTING, "GET", "a.test", PATH), answer);
    let elsewhere = ask(REDIRECTING, "GET", "a.test", "/");
    assert!(elsewhere.starts_with("HTTP/1.1 308 "), "{elsewhere}");
    assert_eq!(started.answered(), [5, 0]);

    for (method, host, path) in [
        ("GET", "a.test", "/"),
        ("POST", "a.test", PATH),
        ("GET", "b.test", PATH),
        ("GET", "a.test", "/.well-known/acme-challenge/8"),
    ] {
        let response = ask(CLEAR, method, host, path);
        assert!(is_routed(&response), "{method} {host} {path}: {response}");
    }
    started.gateway.generation().challenges().set([]);
    assert!(is_routed(&ask(CLEAR, "GET", "a.test", PATH)));
    assert_eq!(started.answered(), [5, 0]);
    started.drain();
}

#[test]
fn http_challenge_is_answered_over_http2_too() {
    let started = Started::new();
    started.challenge();
    let address = started.addresses[CLEAR];
    let body = started.runtime.block_on(async move {
        let socket = TcpStream::connect(address).await.unwrap();
        let (mut requests, connection) = h2::client::handshake(socket).await.unwrap();
        tokio::spawn(connection);
        let request = Request::get(format!("http://a.test{PATH}")).body(()).unwrap();
        let (response, _) = requests.send_request(request, true).unwrap();
        let response = response.await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "application/octet-stream");
        let mut body = response.into_body();
        let mut all = Vec::new();
        while let Some(piece) = body.data().await {
            let piece: Bytes = piece.unwrap();
            all.extend_from_slice(&piece);
        }
        all
    });
    assert_eq!(body, KEY_AUTHORIZATION.as_bytes());
    started.drain();
}

#[test]
fn http_challenge_has_a_line_in_the_access_log() {
    let started = Started::new();
    started.challenge();
    let mut tail: access_log::Listener = started.gateway.view().tail();
    started.ask(CLEAR, "GET", "a.test", PATH);
    let lines = started.runtime.block_on(tail.next()).unwrap().lines;
    let line: serde_json::Value = serde_json::from_slice(&lines).unwrap();
    assert_eq!(line["path"], PATH);
    assert_eq!(line["status"], 200);
    assert_eq!(line["bytes"], KEY_AUTHORIZATION.len());
    assert_eq!(line["ended_by"], "gateway");
    assert_eq!(line["route"], serde_json::Value::Null);
    started.drain();
}

#[test]
fn challenge_in_tls_is_answered_with_its_certificate_and_the_end() {
    let started = Started::new();
    started.check_refused(TLS, "a.test");
    started.challenge();
    started.check_answered(TLS, "", "a.test");
    started.check_answered(TLS, "", "A.test");
    started.check_refused(TLS, "b.test");
    // The authority has no certificate to show.
    started.check_answered(TLS_WITH_CLIENT_CERTIFICATES, "", "a.test");
    let header = "PROXY TCP4 192.0.2.1 192.0.2.2 1000 443\r\n";
    started.check_answered(TLS_BEHIND_PROXIES, header, "a.test");
    started.gateway.generation().challenges().set([]);
    started.check_refused(TLS, "a.test");
    assert_eq!(started.answered(), [0, 4]);
    started.drain();
}

#[test]
fn others_are_served_over_tls_while_there_is_a_challenge() {
    let started = Started::new();
    started.challenge();
    let mut stream = started.handshake(TLS, "", "a.test", b"http/1.1").unwrap();
    let request = format!("GET {PATH} HTTP/1.1\r\nhost: a.test\r\nconnection: close\r\n\r\n");
    let response = started.runtime.block_on(async {
        stream.write_all(request.as_bytes()).await.unwrap();
        read(&mut stream).await
    });
    // HTTP challenges are for clear text.
    assert!(is_routed(&response), "{response}");
    started.drain();
}
