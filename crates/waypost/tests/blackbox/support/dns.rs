//! A name server, over UDP and TCP, whose answers a test sets.

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::wait_for;

/// A type of records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    A = 1,
    Aaaa = 28,
    Srv = 33,
}

/// One record's data.
#[derive(Debug, Clone)]
pub(crate) enum Data {
    Address(IpAddr),
    Alias(&'static str),
    Service {
        priority: u16,
        weight: u16,
        port: u16,
        target: &'static str,
    },
}

/// The reply to a question.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// Records with this TTL.
    Records(u32, Vec<Data>),
    /// NXDOMAIN.
    NoName,
    /// No records of this type.
    NoData,
    /// SERVFAIL.
    Fails,
    /// None.
    Silent,
}

/// Addresses with this TTL.
pub(crate) fn addresses(ttl: u32, addresses: &[&str]) -> Reply {
    let addresses = addresses.iter().map(|address| address.parse().unwrap());
    Reply::Records(ttl, addresses.map(Data::Address).collect())
}

/// A name server on a free port of 127.0.0.1. A name that it does not know is NXDOMAIN.
pub(crate) struct NameServer {
    address: SocketAddr,
    zone: Arc<Mutex<Zone>>,
    stopped: Arc<AtomicBool>,
}

#[derive(Default)]
struct Zone {
    /// The replies for each name and type in turn, the last of which is repeated.
    replies: HashMap<(String, u16), Vec<Reply>>,
    /// Questions for each name and type.
    asked: HashMap<(String, u16), usize>,
    /// Questions over TCP.
    asked_over_tcp: usize,
}

impl NameServer {
    pub(crate) fn new() -> Self {
        let (udp, tcp) = sockets();
        let address = udp.local_addr().expect("its address");
        let (zone, stopped) = (Arc::<Mutex<Zone>>::default(), Arc::<AtomicBool>::default());
        let (known, stop) = (Arc::clone(&zone), Arc::clone(&stopped));
        std::thread::spawn(move || {
            let mut question = [0; 512];
            while let Ok((count, from)) = udp.recv_from(&mut question) {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                if let Some(reply) = reply_to(&question[..count], &known, Some(512)) {
                    let _ = udp.send_to(&reply, from);
                }
            }
        });
        let (known, stop) = (Arc::clone(&zone), Arc::clone(&stopped));
        std::thread::spawn(move || {
            for stream in tcp.incoming() {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                let (Ok(stream), known) = (stream, Arc::clone(&known)) else {
                    return;
                };
                std::thread::spawn(move || serve_tcp(stream, &known));
            }
        });
        Self {
            address,
            zone,
            stopped,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The key of a config that asks this server.
    pub(crate) fn key(&self) -> String {
        format!("resolver: {{ nameservers: [\"{}\"] }}", self.address)
    }

    /// Sets the replies for a name and type: one after the other, the last of which is repeated.
    pub(crate) fn set(&self, name: &str, kind: Kind, replies: &[Reply]) {
        let key = (name.to_owned(), kind as u16);
        let mut zone = self.lock();
        zone.asked.remove(&key);
        zone.replies.insert(key, replies.to_vec());
    }

    /// Waits until a name and type has been asked for so often since its replies were set.
    pub(crate) fn wait_until_asked(&self, name: &str, kind: Kind, times: usize) {
        let key = (name.to_owned(), kind as u16);
        wait_for("a question", || {
            (self.lock().asked.get(&key).copied().unwrap_or(0) >= times).then_some(())
        });
    }

    /// Number of questions over TCP.
    pub(crate) fn asked_over_tcp(&self) -> usize {
        self.lock().asked_over_tcp
    }

    fn lock(&self) -> MutexGuard<'_, Zone> {
        self.zone.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        // Wakes the threads.
        if let Ok(socket) = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)) {
            let _ = socket.send_to(&[0], self.address);
        }
        let _ = TcpStream::connect_timeout(&self.address, Duration::from_secs(1));
    }
}

/// A UDP and a TCP socket on one free port.
fn sockets() -> (UdpSocket, TcpListener) {
    wait_for("a port that is free for UDP and TCP", || {
        let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).ok()?;
        let tcp = TcpListener::bind(udp.local_addr().ok()?).ok()?;
        Some((udp, tcp))
    })
}

fn serve_tcp(mut stream: TcpStream, zone: &Mutex<Zone>) {
    let mut length = [0; 2];
    while stream.read_exact(&mut length).is_ok() {
        let mut question = vec![0; u16::from_be_bytes(length).into()];
        if stream.read_exact(&mut question).is_err() {
            return;
        }
        zone.lock().unwrap_or_else(PoisonError::into_inner).asked_over_tcp += 1;
        let Some(reply) = reply_to(&question, zone, None) else {
            return;
        };
        let length = u16::try_from(reply.len()).expect("a short reply").to_be_bytes();
        if stream.write_all(&[&length[..], &reply].concat()).is_err() {
            return;
        }
    }
}

/// The reply to a question (RFC 1035 §4.1), truncated if it is longer than `max`.
fn reply_to(question: &[u8], zone: &Mutex<Zone>, max: Option<usize>) -> Option<Vec<u8>> {
    const HEADER: usize = 12;
    let mut at = HEADER;
    let mut labels = Vec::new();
    loop {
        let length = usize::from(*question.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        labels.push(String::from_utf8_lossy(question.get(at..at + length)?).to_ascii_lowercase());
        at += length;
    }
    let kind = u16::from_be_bytes(question.get(at..at + 2)?.try_into().ok()?);
    let asked = question.get(HEADER..at + 4)?;
    let key = (labels.join("."), kind);
    let reply = {
        let mut zone = zone.lock().unwrap_or_else(PoisonError::into_inner);
        *zone.asked.entry(key.clone()).or_default() += 1;
        let is_known = zone.replies.keys().any(|(name, _)| *name == key.0);
        match zone.replies.get_mut(&key) {
            Some(replies) if replies.len() > 1 => replies.remove(0),
            Some(replies) => replies[0].clone(),
            None if is_known => Reply::NoData,
            None => Reply::NoName,
        }
    };
    let (code, ttl, records) = match reply {
        Reply::Records(ttl, records) => (0, ttl, records),
        Reply::NoData => (0, 0, Vec::new()),
        Reply::Fails => (2, 0, Vec::new()),
        Reply::NoName => (3, 0, Vec::new()),
        Reply::Silent => return None,
    };
    let message = |flags: u8, records: &[Data]| {
        let mut out = question[..2].to_vec();
        // A response, with recursion as desired and available.
        out.extend([0x81 | flags, 0x80 | code, 0, 1]);
        out.extend(u16::try_from(records.len()).expect("few records").to_be_bytes());
        out.extend([0; 4]);
        out.extend(asked);
        let mut name = vec![0xc0, HEADER as u8];
        for record in records {
            let (kind, data) = encoded(record);
            out.extend(&name);
            out.extend(kind.to_be_bytes());
            out.extend([0, 1]);
            out.extend(ttl.to_be_bytes());
            out.extend(u16::try_from(data.len()).expect("short data").to_be_bytes());
            out.extend(&data);
            // Records behind an alias are those of its target.
            if let Data::Alias(target) = record {
                name = name_of(target);
            }
        }
        out
    };
    let whole = message(0, &records);
    match max {
        Some(max) if whole.len() > max => Some(message(0x02, &[])),
        _ => Some(whole),
    }
}

/// The type and the bytes of a record.
fn encoded(record: &Data) -> (u16, Vec<u8>) {
    match record {
        Data::Address(IpAddr::V4(address)) => (Kind::A as u16, address.octets().to_vec()),
        Data::Address(IpAddr::V6(address)) => (Kind::Aaaa as u16, address.octets().to_vec()),
        Data::Alias(target) => (5, name_of(target)),
        Data::Service {
            priority,
            weight,
            port,
            target,
        } => {
            let numbers = [priority, weight, port].map(|number| number.to_be_bytes());
            (
                Kind::Srv as u16,
                [&numbers.concat()[..], &name_of(target)].concat(),
            )
        }
    }
}

fn name_of(name: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for label in name.split('.').filter(|label| !label.is_empty()) {
        out.push(u8::try_from(label.len()).expect("a short label"));
        out.extend(label.as_bytes());
    }
    out.push(0);
    out
}
