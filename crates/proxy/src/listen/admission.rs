//! Admission of a new connection: reads the PROXY header, completes the TLS handshake, and starts the task that serves
//! it.

use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::spawn_local;
use tokio::time::timeout;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::rustls::server::Acceptor;
use waypost_plan::listener::{Listener, ListenerTls, ProxyProtocol};
use waypost_plan::redirect::Scheme;
use waypost_tls::peer::ClientCertificate;
use waypost_tls::served::Served;
use waypost_tls::server::ServerTls;

use waypost_policy::peer::Peer;
use waypost_transport::link::Link;
use waypost_transport::listening::Accepted;
use waypost_transport::proxy_protocol::{self, ProxyPreamble};
use waypost_transport::socket::{Socket, Stream};

use crate::challenges::ChallengeType;
use crate::connection::http2::Http2;
use crate::generation::ListenerId;
use crate::local::Worker;
use crate::local::evictable::Evictables;
use crate::local::slots::ConnectionSlot;
use crate::observe::log::RareWarnings;
use crate::observe::metrics::ProxyHeaderFault;
use crate::request::client::Client;

/// Maximum bytes of a TLS `ClientHello` on a passthrough listener.
pub(crate) const HELLO_BYTES_MAX: usize = 64 << 10;

/// A connection being admitted.
pub(crate) struct Admission {
    pub(crate) worker: Rc<Worker>,
    pub(crate) listener_id: ListenerId,
    /// The listener as it was opened.
    pub(crate) listener: Rc<Listener>,
    /// The listener's pending handshakes.
    pub(crate) handshakes: Rc<Evictables>,
    /// The listener's warnings of missing PROXY headers.
    pub(crate) warnings: Rc<RareWarnings>,
    pub(crate) slot: ConnectionSlot,
}

/// A TLS handshake that is complete.
enum Handshake {
    /// The client may send requests.
    Client(Socket),
    /// It was the answer to a challenge.
    Challenge,
}

impl Admission {
    /// Admits a connection and starts serving it.
    ///
    /// A handshake needs more memory than a connection that mostly waits for requests, so each runs in a task of its
    /// own.
    pub(crate) fn admit(mut self, accepted: Accepted) {
        let Accepted { stream, client } = accepted;
        let peer = match (client, &stream) {
            (Some(client), Stream::Tcp(stream)) => {
                let Ok(local) = stream.local_addr() else {
                    return;
                };
                Peer::in_clear(client, local)
            }
            _ => Peer::unaddressed(),
        };
        let snapshot = self.worker.snapshot();
        if let Some(listener) = snapshot.listener(self.listener_id) {
            self.listener = Rc::clone(listener);
        }
        let tls = snapshot.generation.server_tls(self.listener_id);
        drop(snapshot);
        match (self.listener.proxy_protocol, &self.listener.tls) {
            (ProxyProtocol::Off, ListenerTls::Off) => self.serve(stream.into(), peer),
            (ProxyProtocol::Off, _) => {
                spawn_local(self.dispatch(stream, peer, tls));
            }
            _ => {
                spawn_local(async move {
                    if let Some((stream, peer)) = self.read_proxy_header(stream, peer).await {
                        self.dispatch(stream, peer, tls).await;
                    }
                });
            }
        }
    }

    /// Terminates TLS, passes it through, or serves clear text, as the listener is configured.
    async fn dispatch(self, stream: Stream, peer: Peer, tls: Option<Arc<ServerTls>>) {
        match (&self.listener.tls, tls) {
            (ListenerTls::Off, _) => self.serve(stream.into(), peer),
            (ListenerTls::Terminates(_), Some(tls)) => self.serve_tls(stream, peer, tls).await,
            (ListenerTls::Terminates(_), None) => {}
            (ListenerTls::Passthrough, _) => Box::pin(self.pass_through(stream, peer)).await,
        }
    }

    /// Reads the PROXY protocol header; `None` if the connection must be closed.
    async fn read_proxy_header(&self, mut stream: Stream, mut peer: Peer) -> Option<(Stream, Peer)> {
        let is_required = self.listener.proxy_protocol == ProxyProtocol::Required;
        if !self.listener.believes_proxy_header_of(peer.ip()) {
            if is_required {
                self.note_proxy_header(ProxyHeaderFault::Untrusted, &peer);
                return None;
            }
            return Some((stream, peer));
        }
        let limit = self.listener.limits.header_timeout;
        let header = self
            .bounded(limit, proxy_protocol::read_header(&mut stream))
            .await;
        match header {
            Some(Ok(ProxyPreamble::Header(Some(client)))) => peer.set_client(client),
            Some(Ok(ProxyPreamble::Header(None))) => {}
            Some(Ok(ProxyPreamble::None)) if !is_required => {}
            Some(Ok(ProxyPreamble::None)) | None => {
                self.note_proxy_header(ProxyHeaderFault::Missing, &peer);
                return None;
            }
            Some(Err(error)) => {
                // A connection that ends without a byte is how many health checks look.
                if error.kind() == io::ErrorKind::InvalidData {
                    self.note_proxy_header(ProxyHeaderFault::Malformed, &peer);
                }
                return None;
            }
        }
        Some((stream, peer))
    }

    /// Counts and reports a connection that is closed for its PROXY header.
    fn note_proxy_header(&self, fault: ProxyHeaderFault, peer: &Peer) {
        self.worker.recorder().own().proxy_headers.count(fault);
        self.warnings.warn(|| {
            let listener = self.listener.name.as_deref().unwrap_or(&self.listener.bind.text);
            let fault = match fault {
                ProxyHeaderFault::Missing => "without a PROXY header, which `proxy_protocol` expects",
                ProxyHeaderFault::Malformed => "with a malformed PROXY header",
                ProxyHeaderFault::Untrusted => {
                    "whose PROXY header is required, and not believed: it is not in `trusted_proxies`"
                }
            };
            format!(
                "the listener `{listener}` closed a connection{}{}, {fault}",
                if peer.is_unaddressed() { "" } else { " from " },
                peer.ip_text()
            )
        });
    }

    /// Runs `step` as a pending handshake; `None` if it times out or is evicted.
    async fn bounded<T>(&self, limit: Duration, step: impl Future<Output = T>) -> Option<T> {
        let mut handshake = self.handshakes.begin(self.listener.limits.handshakes);
        tokio::select! {
            result = timeout(limit, step) => result.ok(),
            () = poll_fn(|cx| handshake.poll_evicted(cx)) => None,
        }
    }

    /// Passes a TLS connection through to the service of the host in its SNI.
    async fn pass_through(self, mut stream: Stream, peer: Peer) {
        let limit = self.listener.limits.handshake_timeout;
        let hello = self.bounded(limit, read_hello(&mut stream)).await;
        let Some(Ok((host, read))) = hello else {
            self.worker.recorder().own().handshakes_failed.add(1);
            return;
        };
        let client = Client::new(
            self.worker,
            Link::Socket(stream.into()),
            Rc::new(peer),
            self.listener_id,
            self.listener,
            Rc::clone(self.slot.claim()),
        );
        client.pass_through(host.as_deref(), &read, &self.slot).await;
    }

    /// Starts the task that serves HTTP. It holds only the memory that a waiting connection needs.
    fn serve(self, socket: Socket, peer: Peer) {
        let Self {
            worker,
            listener_id,
            listener,
            slot,
            ..
        } = self;
        let peer = Rc::new(peer);
        let http2 = Http2 {
            worker: Rc::clone(&worker),
            peer: Rc::clone(&peer),
            listener_id,
            listener: Rc::clone(&listener),
        };
        if socket.chose_http2() {
            spawn_local(async move { http2.serve(socket, Vec::new(), &slot).await });
            return;
        }
        let claim = Rc::clone(slot.claim());
        let mut client = Client::new(worker, Link::Socket(socket), peer, listener_id, listener, claim);
        spawn_local(async move {
            if let Some((Link::Socket(socket), read)) = client.run(&slot).await {
                Box::pin(http2.serve(socket, read, &slot)).await;
            }
        });
    }

    /// Completes the TLS handshake, then serves HTTP.
    async fn serve_tls(self, stream: Stream, mut peer: Peer, tls: Arc<ServerTls>) {
        let limit = self.listener.limits.handshake_timeout;
        let handshake = self.tls_handshake(stream, &tls, &mut peer);
        match self.bounded(limit, handshake).await {
            Some(Ok(Handshake::Client(socket))) => self.serve(socket, peer),
            Some(Ok(Handshake::Challenge)) => {}
            Some(Err(_)) | None => self.worker.recorder().own().handshakes_failed.add(1),
        }
    }

    /// Completes the handshake with the certificate for the client's SNI, and records both certificates in `peer`. An
    /// authority that asks for a challenge gets its answer instead.
    async fn tls_handshake(
        &self,
        stream: Stream,
        tls: &Arc<ServerTls>,
        peer: &mut Peer,
    ) -> io::Result<Handshake> {
        let hello = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
        let challenges = Arc::clone(self.worker.snapshot().generation.challenges());
        let challenge = challenges.handshake(&hello.client_hello());
        if let Some(config) = challenge.map_err(io::Error::other)? {
            let mut stream = Box::pin(hello.into_stream(config)).await?;
            self.worker.recorder().own().challenges.count(ChallengeType::Tls);
            // The answer is in the certificate (RFC 8737 §3): nothing is left to say.
            let _ = stream.shutdown().await;
            return Ok(Handshake::Challenge);
        }
        let served = Served::to(tls, &hello.client_hello());
        let stream = hello.into_stream(Arc::clone(tls.config())).await?;
        let (_, session) = stream.get_ref();
        let presented = session.peer_certificates().and_then(|chain| chain.first());
        if let Some(presented) = presented {
            // A verified client must not match as one without a certificate.
            let certificate = ClientCertificate::of(presented).ok_or(io::ErrorKind::InvalidData)?;
            peer.certificate = Some(Box::new(certificate));
        }
        peer.served = Some(served);
        peer.scheme = Scheme::Https;
        Ok(Handshake::Client(Socket::tls(stream)))
    }
}

/// Reads the `ClientHello` without responding. Returns its SNI host and the bytes read.
async fn read_hello(stream: &mut Stream) -> io::Result<(Option<String>, Vec<u8>)> {
    let mut acceptor = Acceptor::default();
    let mut read = Vec::new();
    let mut piece = vec![0; 4 << 10];
    loop {
        let count = stream.read(&mut piece).await?;
        if count == 0 || read.len() + count > HELLO_BYTES_MAX {
            return Err(io::ErrorKind::InvalidData.into());
        }
        read.extend_from_slice(&piece[..count]);
        let mut fresh = &piece[..count];
        while !fresh.is_empty() {
            acceptor.read_tls(&mut fresh)?;
            let accepted = acceptor.accept().map_err(|(error, _)| io::Error::other(error))?;
            if let Some(accepted) = accepted {
                let host = accepted.client_hello().server_name().map(str::to_owned);
                return Ok((host, read));
            }
        }
    }
}
