//! The socket between two processes: lines of JSON, some with a descriptor.

use std::collections::VecDeque;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::cmsg_space;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::Interest;

/// Maximum length of a line.
const LINE_MAX: usize = 64 << 20;
/// Bytes to read at a time.
const READ: usize = 64 << 10;

/// One end.
#[derive(Debug)]
pub(crate) struct Channel {
    stream: tokio::net::UnixStream,
    received: Vec<u8>,
    descriptors: VecDeque<OwnedFd>,
}

impl Channel {
    pub(crate) fn new(stream: UnixStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self {
            stream: tokio::net::UnixStream::from_std(stream)?,
            received: Vec::new(),
            descriptors: VecDeque::new(),
        })
    }

    /// Sends a message, and a copy of a descriptor with it.
    pub(crate) async fn send(
        &self,
        message: &impl Serialize,
        descriptor: Option<BorrowedFd<'_>>,
    ) -> io::Result<()> {
        let mut line = serde_json::to_vec(message)?;
        line.push(b'\n');
        let (mut rest, mut descriptor) = (&line[..], descriptor);
        while !rest.is_empty() {
            let sent = self
                .stream
                .async_io(Interest::WRITABLE, || {
                    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
                    let mut control = SendAncillaryBuffer::new(&mut space);
                    if let Some(descriptor) = &descriptor {
                        control.push(SendAncillaryMessage::ScmRights(std::slice::from_ref(descriptor)));
                    }
                    let parts = [IoSlice::new(rest)];
                    Ok(sendmsg(&self.stream, &parts, &mut control, SendFlags::NOSIGNAL)?)
                })
                .await?;
            rest = &rest[sent..];
            descriptor = None;
        }
        Ok(())
    }

    /// Receives the next message; `None` at the end. Cancel safe.
    pub(crate) async fn receive<T: DeserializeOwned>(&mut self) -> io::Result<Option<T>> {
        loop {
            if let Some(end) = self.received.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.received.drain(..=end).collect();
                return Ok(Some(serde_json::from_slice(&line)?));
            }
            if self.received.len() > LINE_MAX {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "a message is too long",
                ));
            }
            if self.fill().await? == 0 {
                return Ok(None);
            }
        }
    }

    /// The next descriptor, in the order of the messages that had one. One read may bring several messages, and with them
    /// the descriptor of the last.
    pub(crate) fn descriptor(&mut self) -> io::Result<OwnedFd> {
        let descriptor = self.descriptors.pop_front();
        descriptor.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "a descriptor is missing"))
    }

    /// Reads what there is; 0 at the end.
    async fn fill(&mut self) -> io::Result<usize> {
        let Self {
            stream,
            received,
            descriptors,
        } = self;
        let mut bytes = vec![0; READ];
        let count = stream
            .async_io(Interest::READABLE, || {
                // The kernel delivers the descriptors of one message at a time.
                let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(8))];
                let mut control = RecvAncillaryBuffer::new(&mut space);
                let mut parts = [IoSliceMut::new(&mut bytes)];
                let read = recvmsg(&*stream, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC)?;
                for message in control.drain() {
                    if let RecvAncillaryMessage::ScmRights(rights) = message {
                        descriptors.extend(rights);
                    }
                }
                Ok(read.bytes)
            })
            .await?;
        received.extend_from_slice(&bytes[..count]);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};

    #[tokio::test]
    async fn messages_arrive_in_order_with_their_descriptors() {
        let (one, other) = UnixStream::pair().unwrap();
        let (one, mut other) = (Channel::new(one).unwrap(), Channel::new(other).unwrap());
        let (mut near, far) = UnixStream::pair().unwrap();
        let long = "x".repeat(3 << 20);
        let send = async {
            use std::os::fd::AsFd as _;
            one.send(&"first", None).await.unwrap();
            one.send(&"second", Some(far.as_fd())).await.unwrap();
            one.send(&long, None).await.unwrap();
            drop((one, far));
        };
        let receive = async {
            assert_eq!(other.receive::<String>().await.unwrap().unwrap(), "first");
            assert_eq!(other.receive::<String>().await.unwrap().unwrap(), "second");
            let passed = other.descriptor().unwrap();
            assert!(other.descriptor().is_err());
            assert_eq!(other.receive::<String>().await.unwrap().unwrap().len(), 3 << 20);
            assert!(other.receive::<String>().await.unwrap().is_none());
            passed
        };
        let ((), passed) = tokio::join!(send, receive);
        near.write_all(b"a").unwrap();
        let mut byte = [0];
        UnixStream::from(passed).read_exact(&mut byte).unwrap();
        assert_eq!(&byte, b"a");
    }

    #[tokio::test]
    async fn a_line_that_is_no_message_is_an_error() {
        let (mut one, other) = UnixStream::pair().unwrap();
        let mut other = Channel::new(other).unwrap();
        one.write_all(b"hello\n").unwrap();
        assert!(other.receive::<String>().await.is_err());
    }
}
