//! Listening sockets, and the way of a connection from them to what serves it: PROXY header, TLS handshake, protocol.

pub(crate) mod accept;
pub(crate) mod admission;
pub(crate) mod handshakes;
