//! Listening sockets, and the admission of a connection: PROXY header, TLS handshake, choice of protocol.

pub(crate) mod accept;
pub(crate) mod admission;
