//! What a new connection speaks: who is behind it, whether it is under TLS, and which HTTP is in it.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::rustls::server::Acceptor;
use waypost_plan::listener::{Listener, ListenerTls};
use waypost_plan::redirect::Scheme;
use waypost_tls::peer::ClientCertificate;
use waypost_tls::server::ServerTls;

use crate::client::Client;
use crate::client::http2::Http2;
use crate::client::peer::Peer;
use crate::generation::ListenerId;
use crate::link::Link;
use crate::link::socket::Socket;
use crate::worker::{Seat, Worker};

/// Everything that a new connection is let in by.
pub(crate) struct Admission {
    pub(crate) worker: Rc<Worker>,
    pub(crate) listener_id: ListenerId,
    /// The listener as it was opened.
    pub(crate) listener: Rc<Listener>,
    pub(crate) seat: Seat,
}

impl Admission {
    /// Serves a connection until it ends.
    pub(crate) async fn admit(mut self, stream: TcpStream, peer: SocketAddr) {
        let peer = Peer::plain(peer);
        let snapshot = self.worker.snapshot();
        if let Some(listener) = snapshot.listener(self.listener_id) {
            self.listener = Rc::clone(listener);
        }
        let tls = snapshot.generation.server_tls(self.listener_id);
        drop(snapshot);
        match (&self.listener.tls, tls) {
            (ListenerTls::Off, _) => self.serve(Socket::Tcp(stream), peer).await,
            // What a connection under TLS needs is kept out of all the others.
            (ListenerTls::Ends(_), Some(tls)) => Box::pin(self.serve_tls(stream, peer, tls)).await,
            (ListenerTls::Ends(_) | ListenerTls::PassesThrough, _) => {}
        }
    }

    /// Serves whatever HTTP comes in clear text.
    async fn serve(self, socket: Socket, peer: Peer) {
        let peer = Rc::new(peer);
        let client = Client::new(
            Rc::clone(&self.worker),
            Link::Socket(socket),
            Rc::clone(&peer),
            self.listener_id,
            Rc::clone(&self.listener),
        );
        if let Some((Link::Socket(socket), read)) = client.run(&self.seat).await {
            Box::pin(self.serve_http2(socket, peer, read)).await;
        }
    }

    async fn serve_http2(self, socket: Socket, peer: Rc<Peer>, read_before: Vec<u8>) {
        let http2 = Http2 {
            worker: self.worker,
            peer,
            listener_id: self.listener_id,
            listener: self.listener,
        };
        http2.serve(socket, read_before, &self.seat).await;
    }

    /// Serves what comes behind a handshake.
    async fn serve_tls(self, stream: TcpStream, mut peer: Peer, tls: Arc<ServerTls>) {
        let handshakes = self.worker.handshakes().begin();
        let shaken = timeout(
            self.listener.limits.handshake_timeout,
            shake_hands(stream, &tls, &mut peer),
        );
        let shaken = shaken.await;
        drop(handshakes);
        let Ok(Ok(socket)) = shaken else {
            self.worker.recorder().own().handshakes_failed.add(1);
            return;
        };
        if socket.chose_http2() {
            self.serve_http2(socket, Rc::new(peer), Vec::new()).await;
        } else {
            self.serve(socket, peer).await;
        }
    }
}

/// Makes the handshake with the certificate that the client asks for, and notes what both have shown.
async fn shake_hands(stream: TcpStream, tls: &ServerTls, peer: &mut Peer) -> io::Result<Socket> {
    let hello = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
    let certificate = tls.choose(&hello.client_hello()).clone();
    let stream = hello.into_stream(certificate.config).await?;
    let (_, session) = stream.get_ref();
    let shown = session.peer_certificates().and_then(|chain| chain.first());
    peer.certificate = shown.and_then(ClientCertificate::of).map(Box::new);
    peer.served = Some(certificate.identity);
    peer.scheme = Scheme::Https;
    Ok(Socket::tls(stream))
}
