//! Addresses and networks of clients.

use std::net::{IpAddr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net};

use crate::diagnostic::Code;
use crate::keys::At;
use crate::lower::pattern::NOTHING_NEGATED;
use crate::problems::{Problems, quote};
use crate::values::Text;

/// Lowers an address or a network without host bits. IPv4-mapped ones are IPv4.
pub(super) fn network(written: &At<Text>, problems: &mut Problems) -> Option<IpNet> {
    let text = &*written.value;
    let network = match text.parse::<IpAddr>() {
        Ok(address) => Some(IpNet::from(address.to_canonical())),
        Err(_) => text.parse::<IpNet>().ok().map(unmapped),
    };
    let Some(network) = network else {
        let host = text.rsplit_once(':').map(|(host, _)| host);
        let bare = |host: &str| host.trim_matches(['[', ']']).parse::<IpAddr>().ok();
        let help = match (bare(text), host.and_then(bare)) {
            (Some(address), _) => format!("leave the brackets out: `{address}`"),
            (None, Some(address)) => format!("leave the port out: `{address}`"),
            (None, None) if matches!(text, "all" | "*" | "any") => {
                "every client is `0.0.0.0/0` and `::/0`; with `allow`, every other client is denied by itself"
                    .to_owned()
            }
            (None, None) if text == "localhost" => {
                "write `127.0.0.1`, and `::1` where IPv6 is used".to_owned()
            }
            (None, None) if text.starts_with('!') => NOTHING_NEGATED.to_owned(),
            (None, None) => {
                "write an address such as `192.0.2.7`, or a network such as `10.0.0.0/8`".to_owned()
            }
        };
        problems
            .add(
                Code::BadNetwork,
                written.span,
                format!("{} is neither an address nor a network", quote(text)),
            )
            .help(help);
        return None;
    };
    if network.addr() != network.network() {
        problems
            .add(
                Code::BadNetwork,
                written.span,
                format!("{} has bits set behind its prefix", quote(text)),
            )
            .help(format!(
                "the network is `{}`; for the one address write `{}`",
                network.trunc(),
                network.addr()
            ));
        return None;
    }
    Some(network)
}

/// Lowers the address of a client. IPv4-mapped ones are IPv4.
pub(super) fn address(written: &At<Text>, problems: &mut Problems) -> Option<IpAddr> {
    let address = written.value.parse::<IpAddr>().ok();
    if address.is_none() {
        problems
            .add(
                Code::BadNetwork,
                written.span,
                format!("{} is not an IP address", quote(&written.value)),
            )
            .help("write an address such as `192.0.2.7` or `2001:db8::7`");
    }
    address.map(|address| address.to_canonical())
}

/// Converts IPv4-mapped networks: `::ffff:10.0.0.0/104` is `10.0.0.0/8`.
fn unmapped(network: IpNet) -> IpNet {
    let mapped_prefix = Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0);
    if let IpNet::V6(v6) = network
        && v6.prefix_len() >= 96
        && let Some(address) = v6.addr().to_ipv4_mapped()
        && v6.addr().segments()[..6] == mapped_prefix.segments()[..6]
        && let Ok(v4) = Ipv4Net::new(address, v6.prefix_len() - 96)
    {
        return IpNet::V4(v4);
    }
    network
}
