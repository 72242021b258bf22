//! The admin address, where the running gateway is asked and told.

use std::net::{Ipv4Addr, SocketAddr};

/// Where the admin API is, and who may use it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin {
    /// Where it listens.
    pub bind: AdminBind,
    /// Whether the config says so. When the default address is taken, the gateway goes on without it.
    pub is_explicit: bool,
    /// The file with the tokens that are let in, one `[NAME] TOKEN` a line; `None` lets in everybody who reaches
    /// the address.
    pub token_file: Option<Box<str>>,
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
}

impl Default for Admin {
    fn default() -> Self {
        Self {
            bind: AdminBind::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, Self::PORT))),
            is_explicit: false,
            token_file: None,
        }
    }
}
