//! Trust in the proxies in front of a listener.

use std::num::NonZeroUsize;

use ipnet::IpNet;
use waypost_plan::trusted_proxies::{ClientSource, TrustedProxies};
use waypost_wire::token;

use crate::diagnostic::Code;
use crate::document;
use crate::either::ListOr;
use crate::keys::At;
use crate::lower::{network, whole};
use crate::problems::{Problems, quote};
use crate::values::Text;

/// Maximum of `hops`.
const HOPS_MAX: u64 = 100;

/// Headers that cannot have the address of a client.
const OTHER_HEADERS: [&str; 7] = [
    "connection",
    "content-length",
    "cookie",
    "host",
    "te",
    "transfer-encoding",
    "upgrade",
];

/// Lowers `trusted_proxies`.
pub(super) fn of(
    written: Option<&At<ListOr<Text, document::listener::TrustedProxies>>>,
    problems: &mut Problems,
) -> TrustedProxies {
    match written.map(|written| &written.value) {
        None => TrustedProxies::default(),
        Some(ListOr::List(list)) => TrustedProxies::of(networks(&list.0, problems)),
        Some(ListOr::Mapping(given)) => {
            let from = given.from.iter().flat_map(|list| &list.value.0);
            TrustedProxies {
                from: networks(from, problems),
                client: client(given, problems),
                host: given.host.as_ref().map(|host| host.value).unwrap_or_default(),
            }
        }
    }
}

fn networks<'w>(written: impl IntoIterator<Item = &'w At<Text>>, problems: &mut Problems) -> Vec<IpNet> {
    let items = written.into_iter();
    items
        .filter_map(|item| network::network(item, problems))
        .collect()
}

/// Lowers `hops` and `header`.
fn client(given: &document::listener::TrustedProxies, problems: &mut Problems) -> ClientSource {
    if let (Some(hops), Some(header)) = (&given.hops, &given.header) {
        let (first, second) = match hops.key < header.key {
            true => (hops.key, header.key),
            false => (header.key, hops.key),
        };
        problems
            .add(
                Code::ConflictingKeys,
                second,
                "the client's address is either in `X-Forwarded-For`, as `hops` says, or in `header`",
            )
            .label(first, "the other one")
            .help("keep one of them");
    }
    if let Some(header) = &given.header {
        return self::header(header, problems).map_or_else(ClientSource::default, ClientSource::Header);
    }
    let Some(hops) = &given.hops else {
        return ClientSource::default();
    };
    if hops.value == 0 {
        problems
            .add(Code::OutOfRange, hops.span, "`hops` begins with 1")
            .help(
                "1 is the address that the nearest proxy wrote; without proxies, leave `trusted_proxies` out",
            );
        return ClientSource::default();
    }
    let hops = NonZeroUsize::new(whole(hops, 1, HOPS_MAX, problems));
    hops.map_or_else(ClientSource::default, ClientSource::Hop)
}

fn header(written: &At<Text>, problems: &mut Problems) -> Option<Box<str>> {
    let name = written.value.to_ascii_lowercase();
    let (message, help) = if !token::is_token(name.as_bytes()) {
        (
            format!("{} is not the name of a header", quote(&written.value)),
            "write a name such as `cf-connecting-ip`, without a value",
        )
    } else if name == "forwarded" {
        (
            "`forwarded` has more in it than an address".to_owned(),
            "leave `header` out: `Forwarded` is read by itself",
        )
    } else if OTHER_HEADERS.contains(&&*name) {
        (
            format!("{} has no address of a client", quote(&name)),
            "name the header in which the proxies in front write it",
        )
    } else {
        return Some(name.into());
    };
    problems.add(Code::BadName, written.span, message).help(help);
    None
}
