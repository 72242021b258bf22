//! Idle connections: each sends one request and stays open.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};

use crate::client;

/// An open connection.
#[expect(dead_code, reason = "they are held open, and that is all")]
enum Kept {
    Clear(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

/// Prints `{"connections":N}` once all are open, and keeps them until standard input ends.
pub(crate) fn run(address: SocketAddr, connections: usize, ca: Option<&str>) -> Result<()> {
    let tls = ca.map(|ca| client::tls(ca, false)).transpose()?;
    let mut kept = Vec::with_capacity(connections);
    for at in 0..connections {
        let connection = connect(address, tls.as_ref()).with_context(|| format!("connection {at}"))?;
        kept.push(connection);
    }
    println!("{{\"connections\":{}}}", kept.len());
    std::io::stdout().flush()?;
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

fn connect(address: SocketAddr, tls: Option<&Arc<rustls::ClientConfig>>) -> Result<Kept> {
    let socket = TcpStream::connect(address)?;
    socket.set_nodelay(true)?;
    let Some(config) = tls else {
        client::exchange(&socket, "keep-alive")?;
        return Ok(Kept::Clear(socket));
    };
    let session = ClientConnection::new(Arc::clone(config), ServerName::try_from("localhost")?)?;
    let mut stream = StreamOwned::new(session, socket);
    client::exchange(&mut stream, "keep-alive")?;
    Ok(Kept::Tls(Box::new(stream)))
}
