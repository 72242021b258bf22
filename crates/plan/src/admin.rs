//! Settings of the admin API.

use std::net::{Ipv4Addr, SocketAddr};

/// Address and access control of the admin API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin {
    /// The address to listen on.
    pub bind: AdminBind,
    /// True if configured. If only the default address is in use, the gateway runs without an admin API.
    pub is_explicit: bool,
    /// File of accepted tokens, one `[NAME] TOKEN` or `NAME TOKEN read` per line; `None` gives access to every client that reaches the
    /// address.
    pub token_file: Option<Box<str>>,
    /// Headers of failed requests whose values are shown, in lower case.
    pub show_headers: Box<[Box<str>]>,
}

/// An address for the admin API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AdminBind {
    /// An IP address and a port.
    Tcp(SocketAddr),
    /// The path of a unix socket.
    Unix(Box<str>),
}

impl Admin {
    /// The port of the default address.
    pub const PORT: u16 = 9900;

    /// Headers whose values are shown by default.
    pub const SHOW_HEADERS: [&str; 12] = [
        "accept",
        "content-length",
        "content-type",
        "grpc-timeout",
        "host",
        "te",
        "traceparent",
        "user-agent",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
        "x-request-id",
    ];

    /// Headers whose values are never shown.
    pub const SECRET_HEADERS: [&str; 4] = ["authorization", "cookie", "proxy-authorization", "set-cookie"];
}

impl Default for Admin {
    fn default() -> Self {
        Self {
            bind: AdminBind::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, Self::PORT))),
            is_explicit: false,
            token_file: None,
            show_headers: Self::SHOW_HEADERS.map(Box::from).into(),
        }
    }
}
