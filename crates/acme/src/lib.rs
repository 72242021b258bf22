//! Orders certificates from an authority, by ACME (RFC 8555).
//!
//! An [`account`] of the gateway orders at an authority. An order is begun, which tells the [challenges](order::Answer)
//! that the authority wants to see answered; once they are, it is completed, and the [certificate] is checked before
//! anyone sees it. [`schedule`] says when all of that is due.
//!
//! The messages are those of `instant-acme`; connections are made here, in [`client`], where every wait and every size has
//! a bound. Nothing is kept here: what outlives an order are texts that the caller keeps.
//!
//! ```no_run
//! use waypost_acme::account::{Account, Authority};
//! use waypost_acme::way::Way;
//!
//! # async fn order(csr: &[u8], publish: impl Fn(&[waypost_acme::order::Answer])) -> Result<String, waypost_acme::failure::Failure> {
//! let authority = Authority {
//!     directory: "https://acme.example/directory",
//!     roots: None,
//!     contact: Some("ops@example.com"),
//!     binding: None,
//! };
//! let opened = Account::open(&authority, None).await?;
//! let order = opened.account.begin(&["api.example.com".into()], &[Way::TlsAlpn], None).await?;
//! publish(order.answers());
//! order.complete(csr).await
//! # }
//! ```

pub mod account;
pub mod certificate;
pub mod client;
pub mod failure;
pub mod order;
pub mod schedule;
pub mod way;
