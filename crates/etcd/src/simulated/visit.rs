//! One connection of a client to a member.

use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::Stream;
use tokio::sync::Notify;
use tonic::Status;

use super::cluster::Cluster;

/// One connection of a client to a member.
#[derive(Debug, Clone)]
pub(super) struct Visit {
    pub(super) cluster: Arc<Cluster>,
    pub(super) member: usize,
    pub(super) breaks: Arc<Notify>,
}

/// The messages that a stream sends.
pub(super) type Sent = Pin<Box<dyn Stream<Item = Result<Bytes, Status>> + Send>>;

impl Visit {
    /// Breaks the connection; the call goes no further.
    pub(super) async fn break_off(&self) -> ! {
        self.breaks.notify_one();
        std::future::pending().await
    }
}
