//! The PROXY protocol: a header at the start of a connection that carries the client's address.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use proxy_header::{Error, ParseConfig, ProxiedAddress, ProxyHeader};
use tokio::io::AsyncReadExt as _;

use crate::socket::Stream;

/// Maximum length of a header, including the TLVs of version 2.
pub const HEADER_BYTES_MAX: usize = 4 << 10;

/// Maximum length of a version 1 header.
const V1_BYTES_MAX: usize = 107;

/// Delay between two looks at an incomplete header.
const PEEK_INTERVAL: Duration = Duration::from_millis(5);

/// The signatures of both versions.
const SIGNATURES: [&[u8]; 2] = [b"PROXY ", b"\r\n\r\n\0\r\nQUIT\n"];

/// The addresses of a client's connection, as sent to services.
#[derive(Debug, Clone, Copy)]
pub struct ProxiedAddresses {
    /// The client's address.
    pub client: SocketAddr,
    /// The address that the client connected to.
    pub local: SocketAddr,
}

/// The start of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyPreamble {
    /// A header with the client's address; `None` if the proxy opened the connection for itself (`LOCAL`, `UNKNOWN`).
    Header(Option<SocketAddr>),
    /// No header.
    None,
}

/// Reads a header from the start of a connection, and no bytes beyond it.
///
/// # Errors
/// When the connection ends, or the header is malformed or too long.
pub async fn read_header(stream: &mut Stream) -> io::Result<ProxyPreamble> {
    let mut bytes = vec![0; HEADER_BYTES_MAX];
    let mut peeked = 0;
    loop {
        let count = stream.system().peek(&mut bytes).await?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if count == peeked {
            // The socket stays readable while peeked bytes are unread, so readiness cannot signal new ones.
            tokio::time::sleep(PEEK_INTERVAL).await;
            continue;
        }
        peeked = count;
        match parse(&bytes[..count])? {
            Some((preamble, length)) => {
                stream.read_exact(&mut bytes[..length]).await?;
                return Ok(preamble);
            }
            None if count == HEADER_BYTES_MAX => return Err(io::ErrorKind::InvalidData.into()),
            None => {}
        }
    }
}

/// Parses the header at the start of `bytes`. Returns it with its length, or `None` if it is incomplete.
fn parse(bytes: &[u8]) -> io::Result<Option<(ProxyPreamble, usize)>> {
    let matches_prefix = |signature: &&&[u8]| {
        let length = signature.len().min(bytes.len());
        bytes[..length] == signature[..length]
    };
    let Some(signature) = SIGNATURES.iter().find(matches_prefix) else {
        return Ok(Some((ProxyPreamble::None, 0)));
    };
    if bytes.len() < signature.len() {
        return Ok(None);
    }
    let config = ParseConfig {
        include_tlvs: false,
        ..ParseConfig::default()
    };
    match ProxyHeader::parse(bytes, config) {
        Ok((_, length)) if *signature == SIGNATURES[0] && length > V1_BYTES_MAX => {
            Err(io::ErrorKind::InvalidData.into())
        }
        Err(Error::BufferTooShort) if *signature == SIGNATURES[0] && bytes.len() > V1_BYTES_MAX => {
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

/// A version of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// Version 1, a line of text.
    V1,
    /// Version 2, binary.
    V2,
}

/// Encodes a header. Without addresses, it says that the gateway opened the connection for itself (`LOCAL`,
/// `UNKNOWN`).
pub fn header(version: Version, addresses: Option<ProxiedAddresses>) -> Vec<u8> {
    let header = match addresses {
        Some(ProxiedAddresses { client, local }) if client.is_ipv4() == local.is_ipv4() => {
            ProxyHeader::with_address(ProxiedAddress::stream(client, local))
        }
        // The families may differ if a proxy in front sent the client's address. Both are then written as IPv6.
        Some(ProxiedAddresses { client, local }) => {
            ProxyHeader::with_address(ProxiedAddress::stream(mapped(client), mapped(local)))
        }
        None => ProxyHeader::with_local(),
    };
    let mut bytes = Vec::new();
    // Encoding cannot fail: the addresses are of one family.
    let _ = match version {
        Version::V1 => header.encode_v1(&mut bytes),
        Version::V2 => header.encode_v2(&mut bytes),
    };
    bytes
}

/// Maps an IPv4 address to IPv6 (`::ffff:0:0/96`).
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
    fn encoded_headers_parse_at_any_split() {
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
                    assert_eq!(parse(&bytes[..cut]).unwrap(), None, "{version:?} {cut}");
                }
                bytes.extend_from_slice(b"GET / HTTP/1.1");
                assert_eq!(
                    parse(&bytes).unwrap(),
                    Some((ProxyPreamble::Header(client), length)),
                    "{version:?}"
                );
            }
        }
    }

    #[test]
    fn only_well_formed_headers_are_consumed() {
        for bytes in [&b"GET /"[..], b"PUT / HTTP", b"\x16\x03\x01", b"\r\nGET"] {
            assert_eq!(parse(bytes).unwrap(), Some((ProxyPreamble::None, 0)), "{bytes:?}");
        }
        for bytes in [
            &b"PROXY TCP4 1.2.3.4 5.6.7.8 x 1\r\n"[..],
            b"PROXY TCP9 1.2.3.4 5.6.7.8 1 1\r\n",
            b"\r\n\r\n\0\r\nQUIT\n\x31\x11\0\x0c",
        ] {
            assert!(parse(bytes).is_err(), "{bytes:?}");
        }
    }
}
