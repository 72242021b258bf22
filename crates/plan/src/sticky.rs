//! Sticky splits: a hash of a value of the request keeps a client in its cohort.
//!
//! There is no state. All gateways with the same `split_key` send a value to the same arm, before and after a
//! restart. Since arms keep their order, a client moves at most once while one of two arms grows.

use std::time::Duration;

use xxhash_rust::xxh3::xxh3_64;

/// The source of a client's value, with the hash over it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sticky {
    /// Source of the value.
    pub key: StickyKey,
    /// Prefix of the hashed text: `split_key ‖ route ‖ 0x00`.
    prefix: Box<[u8]>,
}

/// The source of a client's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StickyKey {
    /// A header by lower-case name, its lines joined by `, `.
    Header(Box<str>),
    /// A cookie, set if it is missing.
    Cookie(StickyCookie),
    /// The client's address, as text.
    ClientIp,
}

/// The cookie set for clients without one.
///
/// Its value is random and does not name the arm; the arm follows from its hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StickyCookie {
    /// Name, a token.
    pub name: Box<str>,
    /// `Path` attribute.
    pub path: Box<str>,
    /// `Max-Age` attribute; without it, the cookie lasts for the client's session.
    pub max_age: Option<Duration>,
    /// `Domain` attribute; without it, only the requested host gets the cookie.
    pub domain: Option<Box<str>>,
}

impl Sticky {
    /// Returns the sticky policy of the route named `route`.
    pub fn new(split_key: &str, route: &str, key: StickyKey) -> Self {
        let prefix = [split_key.as_bytes(), route.as_bytes(), b"\0"].concat();
        Self {
            key,
            prefix: prefix.into(),
        }
    }

    /// Returns the roll for `value`: `xxh3_64(split_key ‖ route ‖ 0x00 ‖ value)`. `scratch` is overwritten.
    pub fn roll(&self, value: &[u8], scratch: &mut Vec<u8>) -> u64 {
        scratch.clear();
        scratch.extend_from_slice(&self.prefix);
        scratch.extend_from_slice(value);
        xxh3_64(scratch)
    }
}

impl StickyCookie {
    /// Appends the value of a `Set-Cookie` header for `value` (RFC 6265 §4.1).
    pub fn write(&self, value: &[u8], is_secure: bool, out: &mut Vec<u8>) {
        out.extend_from_slice(self.name.as_bytes());
        out.push(b'=');
        out.extend_from_slice(value);
        out.extend_from_slice(b"; Path=");
        out.extend_from_slice(self.path.as_bytes());
        if let Some(domain) = &self.domain {
            out.extend_from_slice(b"; Domain=");
            out.extend_from_slice(domain.as_bytes());
        }
        if let Some(age) = self.max_age {
            out.extend_from_slice(format!("; Max-Age={}", age.as_secs()).as_bytes());
        }
        if is_secure {
            out.extend_from_slice(b"; Secure");
        }
        out.extend_from_slice(b"; HttpOnly; SameSite=Lax");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use waypost_route::split::Split;

    fn sticky(split_key: &str, route: &str) -> Sticky {
        Sticky::new(split_key, route, StickyKey::ClientIp)
    }

    #[test]
    fn the_roll_is_the_hash_of_key_route_and_value() {
        let mut scratch = Vec::new();
        assert_eq!(
            sticky("k", "users").roll(b"7", &mut scratch),
            xxh3_64(b"kusers\x007")
        );
        assert_eq!(sticky("", "r").roll(b"", &mut scratch), xxh3_64(b"r\0"));
    }

    #[test]
    fn rolls_depend_on_route_and_split_key() {
        let mut scratch = Vec::new();
        let rolls: Vec<u64> = [("", "a"), ("", "b"), ("k", "a")]
            .iter()
            .map(|(key, route)| sticky(key, route).roll(b"7", &mut scratch))
            .collect();
        assert!(rolls[0] != rolls[1] && rolls[0] != rolls[2] && rolls[1] != rolls[2]);
    }

    #[test]
    fn each_client_moves_once_during_a_ramp() {
        let sticky = sticky("", "users");
        let mut scratch = Vec::new();
        for client in 0..2000 {
            let roll = sticky.roll(format!("client-{client}").as_bytes(), &mut scratch);
            let arms: Vec<Option<usize>> = [0, 5, 10, 50, 100, 50, 10, 5, 0]
                .iter()
                .map(|percent| Split::new(&[100 - percent, *percent]).pick(roll))
                .collect();
            let moves = |arms: &[Option<usize>]| arms.windows(2).filter(|pair| pair[0] != pair[1]).count();
            assert_eq!((moves(&arms[..5]), moves(&arms[4..])), (1, 1), "client {client}");
        }
    }

    #[test]
    fn cookie_is_written_with_its_attributes() {
        let mut cookie = StickyCookie {
            name: "side".into(),
            path: "/".into(),
            max_age: None,
            domain: None,
        };
        let text = |cookie: &StickyCookie, is_secure| {
            let mut out = Vec::new();
            cookie.write(b"abc", is_secure, &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(text(&cookie, false), "side=abc; Path=/; HttpOnly; SameSite=Lax");
        cookie.path = "/shop".into();
        cookie.max_age = Some(Duration::from_secs(3600));
        cookie.domain = Some("example.com".into());
        assert_eq!(
            text(&cookie, true),
            "side=abc; Path=/shop; Domain=example.com; Max-Age=3600; Secure; HttpOnly; SameSite=Lax"
        );
    }
}
