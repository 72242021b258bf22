//! HTTP/2 links: streams opened by clients, streams opened by the gateway, and their connections.
//!
//! The `h2` crate handles streams, flow control and header compression. [`fields`] converts its heads to HTTP/1 format
//! and back; [`guard`] counts the frames of a client connection and batches its writes.

mod body;
pub mod client_connection;
pub mod client_stream;
pub mod fields;
pub mod guard;
pub mod server_stream;
pub mod stream_count;
mod watched_socket;
