//! Certificates that authorities issue to the gateway itself, by ACME (RFC 8555).
//!
//! [`issued`] has those that listeners serve. The rest orders them, with the feature `acme`: [`orders`] keeps a [task] for
//! each certificate that the config in force wants, on the control's runtime; a [store] keeps what outlives the process,
//! [pace] keeps orders for the same host apart, and [clock] is the time by which all of it goes.

#[cfg(not(feature = "acme"))]
mod absent;
#[cfg(feature = "acme")]
mod accounts;
#[cfg(feature = "acme")]
mod clock;
#[cfg(feature = "acme")]
mod common;
#[cfg(feature = "acme")]
mod disk;
#[cfg(feature = "acme")]
mod entry;
pub(crate) mod issued;
#[cfg(feature = "acme")]
mod name;
#[cfg(feature = "acme")]
mod orders;
#[cfg(feature = "acme")]
mod pace;
#[cfg(feature = "acme")]
mod record;
#[cfg(feature = "acme")]
mod sealed;
#[cfg(feature = "acme")]
mod store;
#[cfg(feature = "acme")]
mod sweep;
mod taken;
#[cfg(feature = "acme")]
mod task;
#[cfg(feature = "acme")]
mod unbegun;

#[cfg(not(feature = "acme"))]
pub(crate) use self::absent::{Orders, Store};
#[cfg(feature = "acme")]
pub(crate) use self::orders::Orders;
#[cfg(feature = "acme")]
pub(crate) use self::store::Store;
pub(crate) use self::taken::Taken;

/// The limits of orders, with their values.
#[cfg(feature = "acme")]
pub(crate) fn limits() -> Vec<(&'static str, String)> {
    use waypost_acme::{client, order, schedule};
    use waypost_config::size;
    use waypost_plan::duration;

    let seconds = |seconds: i64| duration::format(std::time::Duration::from_secs(seconds.unsigned_abs()));
    vec![
        (
            "orders of certificates at a time",
            orders::AT_ONCE_MAX.to_string(),
        ),
        ("timeout of an order", duration::format(task::TIMEOUT)),
        (
            "timeout of a request to an authority",
            duration::format(client::TIMEOUT),
        ),
        (
            "timeout of a connection to an address of an authority",
            duration::format(client::CONNECT_TIMEOUT),
        ),
        ("response of an authority", size::format(client::BYTES_MAX as u64)),
        (
            "time in which an authority has to see that a host is served here",
            duration::format(order::PROOF_TIMEOUT),
        ),
        (
            "time in which an authority has to issue a certificate",
            duration::format(order::ISSUE_TIMEOUT),
        ),
        (
            "time between two orders for a host",
            seconds(schedule::BETWEEN_MIN),
        ),
        (
            "wait after an order that failed, at most",
            seconds(schedule::BACKOFF_MAX),
        ),
        (
            "wait that an authority may ask for",
            duration::format(client::RETRY_AFTER_MAX),
        ),
        (
            "wait after it has refused the order of another certificate of the account",
            duration::format(accounts::OTHERS_MAX),
        ),
    ]
}
