//! The service manager: the sockets that it opens for the gateway, and the messages that it gets.
//!
//! The protocols are those of systemd, `sd_listen_fds(3)` and `sd_notify(3)`, which other managers speak too. Without a
//! manager all of this does nothing.

pub(crate) mod activation;
pub(crate) mod supervisor;
