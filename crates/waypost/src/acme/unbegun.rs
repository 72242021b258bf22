//! Orders that do not begin.

use waypost_acme::failure::Failure;

use super::record::{Failed, StoreError};

/// The reason that an order does not begin: a failure of the authority's or of the store's, or none.
pub(super) enum Unbegun {
    Authority(Failure),
    Store(StoreError),
    /// The authority wants to see no order of the account now.
    PutOff,
}

impl From<Failure> for Unbegun {
    fn from(failure: Failure) -> Self {
        Self::Authority(failure)
    }
}

impl From<StoreError> for Unbegun {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<Failure> for Failed {
    fn from(failure: Failure) -> Self {
        Self {
            why: failure.to_string(),
            retry_after: failure.retry_after,
            way: failure.failed_way(),
            is_put_off: false,
        }
    }
}

impl From<Unbegun> for Failed {
    fn from(either: Unbegun) -> Self {
        match either {
            Unbegun::Authority(failure) => failure.into(),
            Unbegun::Store(error) => Self::new(error),
            Unbegun::PutOff => Self {
                is_put_off: true,
                ..Self::new("the authority wants to see no order of the account now")
            },
        }
    }
}
