//! Leases: keys that go unless they are renewed.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use prost::Message as _;
use tokio::sync::mpsc;
use tokio::time;

use crate::channel::verdict::Verdict;
use crate::channel::{Channel, Opened};
use crate::client::{Client, written};
use crate::error::Error;
use crate::kv::revision;
use crate::messages::counted;
use crate::messages::lease::{
    LeaseGrantRequest, LeaseKeepAliveRequest, LeaseKeepAliveResponse, LeaseRevokeRequest,
    LeaseTimeToLiveRequest,
};
use crate::method::KEEP_ALIVE;
use crate::revision::LeaseId;

/// A lease that was granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Granted {
    /// The lease.
    pub id: LeaseId,
    /// The time after which it ends, unless it is renewed. etcd may grant more than was asked for.
    pub ttl: Duration,
}

/// The rest of a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimeToLive {
    /// The time until it ends.
    pub left: Duration,
    /// The time that a renewal gives it.
    pub granted: Duration,
    /// The keys that are attached to it, if they were asked for.
    pub keys: Vec<Vec<u8>>,
}

impl Client {
    /// Grants a lease that ends after `ttl`, in whole seconds, rounded up, unless it is renewed. etcd picks an `id` if none
    /// is given.
    ///
    /// # Errors
    /// `LeaseExists`; else as every call that writes. If the outcome is unknown, a lease may be there that ends by itself.
    pub async fn grant(&self, ttl: Duration, id: Option<LeaseId>) -> Result<Granted, Error> {
        let seconds = ttl.as_secs().saturating_add(u64::from(ttl.subsec_nanos() > 0));
        let request = LeaseGrantRequest {
            ttl: i64::try_from(seconds).unwrap_or(i64::MAX),
            id: id.map_or(0, |id| id.0),
        };
        let response = self.channel.call(&request).await?;
        if !response.error.is_empty() {
            return Err(Error::Refused {
                reason: response.error,
            });
        }
        if response.id == 0 {
            return written(Err(Error::malformed("a lease without a number was granted")));
        }
        written(
            counted(response.ttl, "the time of a lease").map(|seconds| Granted {
                id: LeaseId(response.id),
                ttl: Duration::from_secs(seconds.unsigned_abs()),
            }),
        )
    }

    /// Ends a lease and deletes its keys.
    ///
    /// # Errors
    /// `LeaseNotFound`; else as every call that writes.
    pub async fn revoke(&self, lease: LeaseId) -> Result<(), Error> {
        self.channel.call(&LeaseRevokeRequest { id: lease.0 }).await?;
        Ok(())
    }

    /// Asks what is left of a lease, and with `keys`, which keys are attached to it.
    ///
    /// # Errors
    /// `LeaseNotFound`; else as every call.
    pub async fn time_to_live(&self, lease: LeaseId, keys: bool) -> Result<TimeToLive, Error> {
        let request = LeaseTimeToLiveRequest { id: lease.0, keys };
        let response = self.channel.call(&request).await?;
        revision(response.header)?;
        // etcd says so by a negative time.
        let Ok(left) = u64::try_from(response.ttl) else {
            return Err(Error::LeaseNotFound { lease });
        };
        let granted = counted(response.granted_ttl, "the time of a lease")?;
        Ok(TimeToLive {
            left: Duration::from_secs(left),
            granted: Duration::from_secs(granted.unsigned_abs()),
            keys: response.keys,
        })
    }

    /// Renews a lease, each time it is asked to.
    pub fn keep_alive(&self, lease: LeaseId) -> KeepAlive {
        KeepAlive {
            channel: self.channel.clone(),
            lease,
            stream: None,
        }
    }
}

/// Renews a lease on a stream of its own, which it opens again when it breaks.
///
/// It has no clock: who holds the lease renews it, at a third of its time or so, and counts the time from before the renewal.
pub struct KeepAlive {
    channel: Channel,
    lease: LeaseId,
    /// Gone while a renewal is under way: if that is given up, its late answer is not taken for the next one's.
    stream: Option<Renewals>,
}

struct Renewals {
    questions: mpsc::UnboundedSender<Bytes>,
    answers: Opened,
}

impl fmt::Debug for KeepAlive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeepAlive")
            .field("lease", &self.lease)
            .finish_non_exhaustive()
    }
}

impl KeepAlive {
    /// The lease.
    pub fn lease(&self) -> LeaseId {
        self.lease
    }

    /// Renews the lease once, with as many attempts as the deadline allows. Returns the time that it has from then on.
    ///
    /// # Errors
    /// `LeaseNotFound` if it has ended; else as every call.
    pub async fn renew(&mut self) -> Result<Duration, Error> {
        let until = self.channel.until();
        let mut last = "the deadline passed".to_owned();
        let mut failures = 0;
        let attempts = async {
            loop {
                match self.attempt().await {
                    Ok(ttl) => return Ok(ttl),
                    Err(Verdict::Final(error)) => return Err(error),
                    Err(Verdict::Denied) => return Err(self.channel.denied(Vec::new()).await),
                    Err(Verdict::Renew(reason)) if failures > 2 => {
                        return Err(Error::Unauthenticated { reason });
                    }
                    Err(Verdict::Renew(reason) | Verdict::Elsewhere(reason)) => {
                        last = reason;
                        failures += 1;
                        let back_off = self.channel.options().back_off;
                        time::sleep(back_off.wait(failures, fastrand::f64())).await;
                    }
                }
            }
        };
        match time::timeout_at(until, attempts).await {
            Ok(result) => result,
            Err(_) => Err(Error::Unavailable { reason: last }),
        }
    }

    async fn attempt(&mut self) -> Result<Duration, Verdict> {
        let question: Bytes = LeaseKeepAliveRequest { id: self.lease.0 }.encode_to_vec().into();
        let mut stream = match self.stream.take() {
            Some(stream) if stream.questions.send(question.clone()).is_ok() => stream,
            _ => {
                let (questions, mut waiting) = mpsc::unbounded_channel();
                // The receiver is there.
                let _ = questions.send(question);
                let messages = stream::poll_fn(move |context| waiting.poll_recv(context));
                Renewals {
                    answers: self.channel.open(KEEP_ALIVE, messages).await?,
                    questions,
                }
            }
        };
        // A member that stands still is left for another.
        let patience = self.channel.options().connect;
        let answer = match time::timeout(patience, stream.answers.messages.message()).await {
            Ok(Ok(Some(answer))) => answer,
            Ok(Ok(None)) => {
                self.channel.leave(&stream.answers);
                return Err(Verdict::Elsewhere("the stream ended".to_owned()));
            }
            Ok(Err(status)) => return Err(self.channel.ended(&stream.answers, &status)),
            Err(_) => {
                self.channel.leave(&stream.answers);
                return Err(Verdict::Elsewhere("the member does not answer".to_owned()));
            }
        };
        let ttl = self.read(answer).map_err(Verdict::Final)?;
        self.stream = Some(stream);
        Ok(ttl)
    }

    fn read(&self, answer: Bytes) -> Result<Duration, Error> {
        let answer =
            LeaseKeepAliveResponse::decode(answer).map_err(|error| Error::malformed(error.to_string()))?;
        if answer.id != self.lease.0 {
            return Err(Error::malformed("another lease was renewed"));
        }
        // etcd says that it has ended by a time of 0.
        match counted(answer.ttl, "the time of a lease")?.unsigned_abs() {
            0 => Err(Error::LeaseNotFound { lease: self.lease }),
            seconds => Ok(Duration::from_secs(seconds)),
        }
    }
}
