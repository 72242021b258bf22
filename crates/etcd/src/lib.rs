//! A client of etcd, version 3.4 and later.
//!
//! [`client::Client`] reads, writes and carries out transactions; [`watch::Watches`] reports changes without gaps;
//! [`lease`], [`election`] and [`auth`] are about leases, leaders and users. Each number that etcd gives out has a type of
//! its own ([`revision`]), and each error says what is known about the store ([`error::Error`]).
//!
//! A client knows several members and uses one of them as long as it answers. A call has a deadline, with all its attempts
//! in it. Reads are tried again until then; writes only if it is certain that nothing was proposed.
//!
//! ```no_run
//! use waypost_etcd::client::Client;
//! use waypost_etcd::key::KeyRange;
//! use waypost_etcd::kv::range::Range;
//! use waypost_etcd::options::Options;
//! use waypost_etcd::watch::Watch;
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::new(Options::new(vec!["10.0.0.1:2379".parse()?, "10.0.0.2:2379".parse()?]));
//! let keys = KeyRange::prefix("/waypost/");
//! let read = client.range(&Range::new(keys.clone())).await?;
//! let mut watches = client.watches();
//! watches.add(Watch::new(keys, read.revision.next()));
//! while let Some(notice) = watches.next().await {
//!     println!("{notice:?}");
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Requests are gRPC over tonic, on a connection of hyper, with messages written by hand. tonic's own transport is left out:
//! it would bring a balancer and a second place where attempts are made again. Beside tokio, hyper and rustls, tonic and prost
//! with what they need take about 15 s to compile in a debug build, this crate 2 s; the code of all three is less than 300 kB.

pub mod auth;
mod channel;
pub mod client;
pub mod election;
pub mod error;
pub mod key;
pub mod kv;
pub mod lease;
mod messages;
mod method;
pub mod options;
pub mod revision;
#[cfg(feature = "simulated")]
pub mod simulated;
pub mod watch;
