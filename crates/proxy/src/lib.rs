//! The data plane: everything between a client's socket and a service's.
//!
//! The modules lie on floors, each of which knows only those below it; `cargo xtask arrows` proves that. From the bottom:
//!
//! - [`priority`]: how threads give way to workers
//! - [`generation`]: a compiled plan with its services, numbered
//! - [`observe`]: metrics, the access log, messages for operators
//! - `local`: what the tasks of one worker share
//! - `exchange`: one exchange with a service, both directions
//! - `request`: a request in progress, from its decision to the end of its response
//! - `connection`: what drives the requests of a client: HTTP/1, HTTP/2, tunnels, TLS passed through
//! - `listen`: accepting clients, and finding out what they speak
//! - `worker`: a thread with all of that
//! - [`gateway`]: the control: start, apply a generation, drain
//! - [`limits`]: every limit that no config changes

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
mod worker;
