//! An upgrade: a new process of the binary takes over from the running one, and no connection is lost.
//!
//! The running process starts the binary that is at its path, with a socket as standard input, over which both talk:
//!
//! ```text
//! running process                              new process
//!   starts it                             ──►
//!                                         ◄──  prepared: its config is loaded, names are looked up
//!   freezes the state on disk
//!   sends health and copies of sockets    ──►  reads the state, opens further sockets
//!                                         ◄──  take
//!   accepts no more, keeps the sockets
//!   says so                               ──►  accepts
//!                                         ◄──  ready
//!   drains, and exits
//! ```
//!
//! A failure before `ready` ends the new process, and the running one goes on: it has kept its sockets and
//! connections all the time. Descriptors go over a unix socket because that gives them an owner on the other side; an
//! inherited number would have none.

pub(crate) mod channel;
pub(crate) mod handover;
pub(crate) mod health;
pub(crate) mod launcher;
pub(crate) mod predecessor;
pub(crate) mod successor;
