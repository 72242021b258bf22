//! Certificates that authorities issue to the gateway itself, by ACME (RFC 8555).

pub(crate) mod issued;
