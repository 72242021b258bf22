//! The PROXY protocol: who the client of a connection is, in front of everything else on it.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use proxy_header::{Error, ParseConfig, ProxiedAddress, ProxyHeader};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

/// The longest header that is read, with all that a proxy may add to it.
pub const HEADER_BYTES_MAX: usize = 4 << 10;

/// The longest header of the first version.
const V1_BYTES_MAX: usize = 107;

/// How long it is waited until a header that has begun is looked at again.
const LOOK: Duration = Duration::from_millis(5);

/// What the headers of both versions begin with.
const BEGINNINGS: [&[u8]; 2] = [b"PROXY ", b"\r\n\r\n\0\r\nQUIT\n"];

/// The two ends of a client's connection, as it is told to services.
#[derive(Debug, Clone, Copy)]
pub struct ProxiedAddresses {
    /// The client's.
    pub client: SocketAddr,
    /// The one that it has connected to.
    pub local: SocketAddr,
}

/// What a connection begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyPreamble {
    /// A header that names the client; `None` when the proxy speaks for itself.
    Header(Option<SocketAddr>),
    /// No header.
    None,
}

/// Takes a header off the beginning of a connection, and nothing else.
///
/// # Errors
/// When the connection ends, or begins like a header that is none.
pub async fn read_header(stream: &mut TcpStream) -> io::Result<ProxyPreamble> {
    let mut seen = vec![0; HEADER_BYTES_MAX];
    let mut known = 0;
    loop {
        let count = stream.peek(&mut seen).await?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if count == known {
            // The kernel calls it ready for what is there already.
            tokio::time::sleep(LOOK).await;
            continue;
        }
        known = count;
        match read(&seen[..count])? {
            Some((introduction, length)) => {
                stream.read_exact(&mut seen[..length]).await?;
                return Ok(introduction);
            }
            None if count == HEADER_BYTES_MAX => return Err(io::ErrorKind::InvalidData.into()),
            None => {}
        }
    }
}

/// The header at the beginning of `bytes`, and its length; `None` while it is not complete.
fn read(bytes: &[u8]) -> io::Result<Option<(ProxyPreamble, usize)>> {
    let may_be = |beginning: &&&[u8]| {
        let length = beginning.len().min(bytes.len());
        bytes[..length] == beginning[..length]
    };
    let Some(beginning) = BEGINNINGS.iter().find(may_be) else {
        return Ok(Some((ProxyPreamble::None, 0)));
    };
    if bytes.len() < beginning.len() {
        return Ok(None);
    }
    let config = ParseConfig {
        include_tlvs: false,
        ..ParseConfig::default()
    };
    match ProxyHeader::parse(bytes, config) {
        Ok((_, length)) if *beginning == BEGINNINGS[0] && length > V1_BYTES_MAX => {
            Err(io::ErrorKind::InvalidData.into())
        }
        Err(Error::BufferTooShort) if *beginning == BEGINNINGS[0] && bytes.len() > V1_BYTES_MAX => {
            Err(io::ErrorKind::InvalidData.into())
        }
        Ok((header, length)) => {
            let client = header.proxied_address().map(|address| address.source);
            Ok(Some((ProxyPreamble::Header(client), length)))
        }
        Err(Error::BufferTooShort) => Ok(None),
        Err(error) => Err(io::Error::new(io::ErrorKind::InvalidData, error)),
    }
}

/// A version of the protocol that can be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// Version 1, a line of text.
    V1,
    /// Version 2, binary.
    V2,
}

/// The header for a service. Without addresses, it says that the gateway speaks for itself (`LOCAL`, `UNKNOWN`).
pub fn header(version: Version, addresses: Option<ProxiedAddresses>) -> Vec<u8> {
    let header = match addresses {
        Some(ProxiedAddresses { client, local }) if client.is_ipv4() == local.is_ipv4() => {
            ProxyHeader::with_address(ProxiedAddress::stream(client, local))
        }
        // The families differ where a proxy in front named the client: both are written as IPv6.
        Some(ProxiedAddresses { client, local }) => {
            ProxyHeader::with_address(ProxiedAddress::stream(mapped(client), mapped(local)))
        }
        None => ProxyHeader::with_local(),
    };
    let mut bytes = Vec::new();
    // Addresses of one family always fit.
    let _ = match version {
        Version::V1 => header.encode_v1(&mut bytes),
        Version::V2 => header.encode_v2(&mut bytes),
    };
    bytes
}

fn mapped(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(v4) => SocketAddr::new(v4.ip().to_ipv6_mapped().into(), v4.port()),
        SocketAddr::V6(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses() -> ProxiedAddresses {
        ProxiedAddresses {
            client: "192.0.2.7:4711".parse().unwrap(),
            local: "198.51.100.1:443".parse().unwrap(),
        }
    }

    #[test]
    fn what_is_written_is_read_again_however_it_is_cut() {
        for version in [Version::V1, Version::V2] {
            for (ends, client) in [
                (Some(addresses()), Some(addresses().client)),
                (None, None),
                (
                    Some(ProxiedAddresses {
                        client: "[2001:db8::1]:1".parse().unwrap(),
                        ..addresses()
                    }),
                    Some("[2001:db8::1]:1".parse().unwrap()),
                ),
            ] {
                let mut bytes = header(version, ends);
                let length = bytes.len();
                for cut in 1..length {
                    assert_eq!(read(&bytes[..cut]).unwrap(), None, "{version:?} {cut}");
                }
                bytes.extend_from_slice(b"GET / HTTP/1.1");
                assert_eq!(
                    read(&bytes).unwrap(),
                    Some((ProxyPreamble::Header(client), length)),
                    "{version:?}"
                );
            }
        }
    }

    #[test]
    fn what_is_no_header_is_left_alone() {
        for bytes in [&b"GET /"[..], b"PUT / HTTP", b"\x16\x03\x01", b"\r\nGET"] {
            assert_eq!(read(bytes).unwrap(), Some((ProxyPreamble::None, 0)), "{bytes:?}");
        }
        for bytes in [
            &b"PROXY TCP4 1.2.3.4 5.6.7.8 x 1\r\n"[..],
            b"PROXY TCP9 1.2.3.4 5.6.7.8 1 1\r\n",
            b"\r\n\r\n\0\r\nQUIT\n\x31\x11\0\x0c",
        ] {
            assert!(read(bytes).is_err(), "{bytes:?}");
        }
    }
}
