//! Representative client addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// The client's address in a witness without conditions on networks.
pub(super) const DEFAULT: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// `::ffff:0.0.0.0`, the first IPv4-mapped address. Clients never have such an address.
const MAPPED_FIRST: u128 = 0xffff_0000_0000;
/// The address after the last IPv4-mapped one.
const MAPPED_END: u128 = 0x1_0000_0000_0000;

/// Returns at least one address of every non-empty set formed by intersections, unions and differences of
/// `networks`.
///
/// Networks are intervals. They cut the address space into pieces that are each inside or outside of any network,
/// and each piece begins at the start of the space, at the start of a network, or right after its end. The unspecified
/// address, that of a client of a unix socket, is in no network, and comes last: only where no other does, it is shown.
pub(super) fn representatives<'n>(networks: impl Iterator<Item = &'n IpNet>) -> Vec<IpAddr> {
    let mut v4: Vec<u32> = vec![1];
    let mut v6: Vec<u128> = vec![1, MAPPED_END];
    for network in networks {
        match network {
            IpNet::V4(network) => {
                v4.push(network.network().to_bits().max(1));
                v4.extend(network.broadcast().to_bits().checked_add(1));
            }
            IpNet::V6(network) => {
                v6.push(network.network().to_bits().max(1));
                v6.extend(network.broadcast().to_bits().checked_add(1));
            }
        }
    }
    v4.sort_unstable();
    v4.dedup();
    v6.sort_unstable();
    v6.dedup();
    v6.retain(|address| !(MAPPED_FIRST..MAPPED_END).contains(address));
    let v4 = v4.into_iter().map(|bits| IpAddr::V4(Ipv4Addr::from_bits(bits)));
    let v6 = v6.into_iter().map(|bits| IpAddr::V6(Ipv6Addr::from_bits(bits)));
    std::iter::once(DEFAULT)
        .chain(v4)
        .chain(v6)
        .chain([Ipv4Addr::UNSPECIFIED.into()])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks for a representative in `inside` and in none of `outside`.
    fn check(inside: &str, outside: &[&str], expected: Option<&str>) {
        let inside: IpNet = inside.parse().unwrap();
        let outside: Vec<IpNet> = outside.iter().map(|text| text.parse().unwrap()).collect();
        let found = representatives(outside.iter().chain([&inside]))
            .into_iter()
            .find(|address| inside.contains(address) && !outside.iter().any(|net| net.contains(address)));
        assert_eq!(found, expected.map(|text| text.parse().unwrap()));
    }

    #[test]
    fn networks_are_subtracted_exactly() {
        check("10.0.0.0/8", &["10.0.0.0/9"], Some("10.128.0.0"));
        check("10.0.0.0/8", &["10.0.0.0/9", "10.128.0.0/9"], None);
        check("10.0.0.0/8", &["10.0.0.0/9", "10.128.0.0/10"], Some("10.192.0.0"));
        check("10.0.0.0/31", &["10.0.0.0/32"], Some("10.0.0.1"));
        check("0.0.0.0/0", &["0.0.0.0/1", "128.0.0.0/1"], None);
        check("255.0.0.0/8", &["255.0.0.0/9"], Some("255.128.0.0"));
        check("::/0", &["::/1", "8000::/1"], None);
        check("::/0", &["::/1"], Some("8000::"));
        check("::ffff:0:0/96", &[], None);
        check("::ffff:0:0/95", &["::fffe:0:0/96"], None);
    }
}
