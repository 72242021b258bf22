//! A fleet without the feature `etcd`: there is none.

/// The handle of a fleet, without a value.
#[derive(Debug)]
pub(crate) enum Fleet {}
