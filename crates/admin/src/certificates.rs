//! The certificates that listeners serve.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use waypost_plan::listener::ListenerTls;
use waypost_proxy::generation::Generation;

/// A certificate that a listener serves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CertificateView {
    /// The listener, by name or by the text of its `bind`.
    pub listener: String,
    /// The hosts and addresses that it is for.
    pub names: Vec<String>,
    /// The time from which on it is valid.
    #[schemars(with = "String")]
    pub not_before: Timestamp,
    /// The time of its end.
    #[schemars(with = "String")]
    pub not_after: Timestamp,
    /// Whole days until then; negative afterwards.
    pub days: i64,
    /// Its file, as in the config.
    pub file: String,
}

/// The certificates of all listeners, the one that ends first in front.
pub(crate) fn of(generation: &Generation) -> Vec<CertificateView> {
    let now = Timestamp::now().as_second();
    let time = |seconds: i64| Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX);
    let mut views = Vec::new();
    for (listener, tls) in generation.certificates() {
        let (ListenerTls::Terminates(end), Some(tls)) = (&listener.tls, tls) else {
            continue;
        };
        let identities = end.certificates.iter().zip(tls.identities());
        views.extend(identities.map(|(files, identity)| CertificateView {
            listener: listener.label().to_owned(),
            names: identity.names().iter().map(ToString::to_string).collect(),
            not_before: time(identity.not_before()),
            not_after: time(identity.not_after()),
            days: (identity.not_after() - now).div_euclid(24 * 60 * 60),
            file: files.cert.to_string(),
        }));
    }
    views.sort_by_key(|view| view.not_after);
    views
}
