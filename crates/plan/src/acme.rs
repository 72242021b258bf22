//! Certificates that an authority issues to the gateway itself, by ACME (RFC 8555).

/// A certificate that the gateway orders, and renews before it ends.
///
/// Listeners that say the same share one certificate.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Acme {
    /// Address at which the authority reaches the owner of the account.
    pub email: Option<Box<str>>,
    /// URL of the authority's directory (RFC 8555 §7.1.1), with `https`.
    pub directory: Box<str>,
    /// Names that the certificate is for: lower case, sorted, each once; never empty, and no wildcards.
    pub hosts: Vec<Box<str>>,
    /// Binding of the account to one that the authority knows already.
    pub eab: Option<ExternalAccount>,
    /// File of the authorities (PEM) that are trusted to have signed the certificate of `directory` itself; those of the
    /// platform without it. The path is as configured.
    pub ca: Option<Box<str>>,
}

/// An account that the authority knows from elsewhere (RFC 8555 §7.3.4).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExternalAccount {
    /// Its id there.
    pub kid: Box<str>,
    /// File of its key, as the authority gave it: base64url, without padding. The path is as configured.
    pub key_file: Box<str>,
}
