//! The PROXY protocol: who the client of a connection is, in front of everything else on it.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use proxy_header::{Error, ParseConfig, ProxiedAddress, ProxyHeader};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use waypost_plan::service::ProxyVersion;

/// The longest header that is read, with all that a proxy may add to it.
pub(crate) const HEADER_BYTES_MAX: usize = 4 << 10;

/// The longest header of the first version.
const V1_BYTES_MAX: usize = 107;

/// How long it is waited until a header that has begun is looked at again.
const LOOK: Duration = Duration::from_millis(5);

/// What the headers of both versions begin with.
const BEGINNINGS: [&[u8]; 2] = [b"PROXY ", b"\r\n\r\n\0\r\nQUIT\n"];

/// The two ends of a client's connection, as it is told to services.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ends {
    /// The client's.
    pub(crate) client: SocketAddr,
    /// The one that it has connected to.
    pub(crate) local: SocketAddr,
}

/// What a connection begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Introduction {
    /// A header that names the client; `None` when the proxy speaks for itself.
    Header(Option<SocketAddr>),
    /// No header.
    None,
}

/// Takes a header off the beginning of a connection, and nothing else.
///
/// # Errors
/// When the connection ends, or begins like a header that is none.
pub(crate) async fn take(stream: &mut TcpStream) -> io::Result<Introduction> {
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
fn read(bytes: &[u8]) -> io::Result<Option<(Introduction, usize)>> {
    let may_be = |beginning: &&&[u8]| {
        let length = beginning.len().min(bytes.len());
        bytes[..length] == beginning[..length]
    };
    let Some(beginning) = BEGINNINGS.iter().find(may_be) else {
        return Ok(Some((Introduction::None, 0)));
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
            Ok(Some((Introduction::Header(client), length)))
        }
        Err(Error::BufferTooShort) => Ok(None),
        Err(error) => Err(io::Error::new(io::ErrorKind::InvalidData, error)),
    }
}

/// The header for a service. Without a client, the gateway speaks for itself.
pub(crate) fn header(version: ProxyVersion, ends: Option<Ends>) -> Vec<u8> {
    let header = match ends {
        Some(Ends { client, local }) if client.is_ipv4() == local.is_ipv4() => {
            ProxyHeader::with_address(ProxiedAddress::stream(client, local))
        }
        // A client of the other family, whom a proxy in front has named: both as IPv6 says them.
        Some(Ends { client, local }) => {
            ProxyHeader::with_address(ProxiedAddress::stream(mapped(client), mapped(local)))
        }
        None => ProxyHeader::with_local(),
    };
    let mut bytes = Vec::new();
    // Addresses of one family always fit.
    let _ = match version {
        ProxyVersion::V1 => header.encode_v1(&mut bytes),
        ProxyVersion::V2 => header.encode_v2(&mut bytes),
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

    fn ends() -> Ends {
        Ends {
            client: "192.0.2.7:4711".parse().unwrap(),
            local: "198.51.100.1:443".parse().unwrap(),
        }
    }

    #[test]
    fn what_is_written_is_read_again_however_it_is_cut() {
        for version in [ProxyVersion::V1, ProxyVersion::V2] {
            for (ends, client) in [
                (Some(ends()), Some(ends().client)),
                (None, None),
                (
                    Some(Ends {
                        client: "[2001:db8::1]:1".parse().unwrap(),
                        ..ends()
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
                    Some((Introduction::Header(client), length)),
                    "{version:?}"
                );
            }
        }
    }

    #[test]
    fn what_is_no_header_is_left_alone() {
        for bytes in [&b"GET /"[..], b"PUT / HTTP", b"\x16\x03\x01", b"\r\nGET"] {
            assert_eq!(read(bytes).unwrap(), Some((Introduction::None, 0)), "{bytes:?}");
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
