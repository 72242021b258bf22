//! The data plane: from a client's socket to a service's.
//!
//! The modules are layers, each of which depends only on those below it; `cargo xtask arrows` checks that. From the
//! bottom:
//!
//! - [`priority`]: scheduling priorities of threads; [`thread`]: threads with a runtime of their own
//! - [`challenges`]: challenges of an authority that issues certificates
//! - [`generation`]: a compiled and numbered plan with the state of its services
//! - [`observe`]: metrics, the access log, messages for operators
//! - `local`: state shared by the tasks of one worker
//! - `exchange`: one exchange with a service, both directions
//! - `request`: a request in progress, from its decision to the end of its response
//! - `connection`: client connections: HTTP/1, HTTP/2, tunnels, TLS passthrough
//! - `listen`: accepting clients and choosing their protocol
//! - `worker`: the thread that runs these
//! - [`gateway`]: control: start, apply a generation, drain
//! - [`limits`]: limits that cannot be configured

pub mod challenges;
mod connection;
mod exchange;
pub mod gateway;
pub mod generation;
pub mod limits;
mod listen;
mod local;
pub mod observe;
pub mod priority;
mod request;
pub mod thread;
mod verifier;
mod worker;
