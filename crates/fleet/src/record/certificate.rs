//! `certificates/NAME`: something that the leader has ordered, such as a certificate with its key, sealed.

use serde::{Deserialize, Serialize};

use crate::record::{Record, RecordError, WriteId, ensure};
use crate::store::StoreRevision;

/// The most characters of what is sealed: many chains of certificates, and more than challenges of an order have.
const SEALED_CHARS_MAX: usize = 256 << 10;

/// Something sealed, in the envelope of its leader.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateRecord {
    /// When the leader that wrote it became a candidate. No leader that did so before writes it again.
    pub fence: StoreRevision,
    /// The write that it comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub write: Option<WriteId>,
    /// The bytes in base64. The fleet does not know what is in them.
    pub sealed: String,
}

impl Record for CertificateRecord {
    fn check(&self) -> Result<(), RecordError> {
        ensure(self.fence.0 > 0, "fence", "it is not positive")?;
        ensure(!self.sealed.is_empty(), "sealed", "it is empty")?;
        ensure(self.sealed.len() <= SEALED_CHARS_MAX, "sealed", "it is too long")?;
        let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte);
        ensure(self.sealed.bytes().all(is_base64), "sealed", "it is no base64")
    }

    fn write(&self) -> Option<&WriteId> {
        self.write.as_ref()
    }
}
