//! HTTP/2 as links: streams that clients open, streams that the gateway opens, and the connections below them.
//!
//! The `h2` library keeps streams, windows and header compression. [`fields`] turns its heads into heads as HTTP/1 writes
//! them, and back; [`guard`] counts the frames of a client's connection and gathers its writes.

mod body;
pub mod client_connection;
pub mod client_stream;
pub mod fields;
pub mod guard;
pub mod server_stream;
mod stream_count;
