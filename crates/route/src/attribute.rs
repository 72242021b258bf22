//! Attributes of a request: facts about the client and its way here that are not in the request head.

use std::fmt;

use crate::condition::ValueCondition;

/// An attribute of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Attribute {
    /// The subject of the client's certificate (RFC 5280 §4.1.2.6).
    ClientCertificateSubject,
    /// The subject alternative names of the client's certificate (RFC 5280 §4.2.1.6), one value each.
    ClientCertificateSan,
    /// The listener that the request came in by. Every request has one.
    Listener,
    /// The scheme that the client used, `http` or `https`. Every request has one.
    Scheme,
}

impl Attribute {
    /// Returns true for the attributes of the way here, which rank by themselves, behind the client's address.
    pub fn is_entrance(self) -> bool {
        matches!(self, Self::Listener | Self::Scheme)
    }
}

/// A condition on an attribute.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AttributeCondition {
    /// The attribute.
    pub attribute: Attribute,
    /// The condition on its values, joined by `, `.
    pub value: ValueCondition,
}

/// The attributes of a request.
pub trait Attributes {
    /// Calls `visit` with each value of `attribute`, in order.
    fn values(&self, attribute: Attribute, visit: &mut dyn FnMut(&[u8]));
}

/// The attributes of a request that has none.
#[derive(Debug, Clone, Copy)]
pub struct NoAttributes;

impl Attributes for NoAttributes {
    fn values(&self, _: Attribute, _: &mut dyn FnMut(&[u8])) {}
}

/// Attributes as a plain list, for tests and witnesses.
impl Attributes for Vec<(Attribute, Vec<u8>)> {
    fn values(&self, attribute: Attribute, visit: &mut dyn FnMut(&[u8])) {
        for (_, value) in self.iter().filter(|(other, _)| *other == attribute) {
            visit(value.trim_ascii());
        }
    }
}

impl fmt::Display for Attribute {
    /// Writes the keys of the condition in a config: `client_cert subject`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ClientCertificateSubject => "client_cert subject",
            Self::ClientCertificateSan => "client_cert san",
            Self::Listener => "listener",
            Self::Scheme => "scheme",
        })
    }
}
