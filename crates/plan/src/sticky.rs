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
    /// Name shared by routes that assign clients alike, instead of each by its own name.
    pub deal: Option<Box<str>>,
    /// Prefix of the hashed text: `split_key ‖ deal or route ‖ 0x00`.
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
    /// `Secure` attribute; `None` for clients that use TLS.
    pub secure: Option<bool>,
    /// `HttpOnly` attribute.
    pub http_only: bool,
    /// `SameSite` attribute.
    pub same_site: SameSite,
}

/// The requests from other sites that send a cookie (RFC 6265bis §5.6.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SameSite {
    /// None.
    Strict,
    /// Navigation to the site.
    #[default]
    Lax,
    /// All. Browsers take such a cookie only with `Secure`.
    None,
}

impl SameSite {
    /// Returns the value of the attribute.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Strict => "Strict",
            Self::Lax => "Lax",
            Self::None => "None",
        }
    }
}

impl Sticky {
    /// Returns the sticky policy of the route named `route`.
    pub fn new(split_key: &str, route: &str, key: StickyKey) -> Self {
        let prefix = [split_key.as_bytes(), route.as_bytes(), b"\0"].concat();
        Self {
            key,
            deal: None,
            prefix: prefix.into(),
        }
    }

    /// Returns the sticky policy of all routes of `deal`.
    pub fn of_deal(split_key: &str, deal: &str, key: StickyKey) -> Self {
        Self {
            deal: Some(deal.into()),
            ..Self::new(split_key, deal, key)
        }
    }

    /// Returns the roll for `value`: `xxh3_64(split_key ‖ deal or route ‖ 0x00 ‖ value)`. `scratch` is overwritten.
    pub fn roll(&self, value: &[u8], scratch: &mut Vec<u8>) -> u64 {
        scratch.clear();
        scratch.extend_from_slice(&self.prefix);
        scratch.extend_from_slice(value);
        xxh3_64(scratch)
    }
}

impl StickyCookie {
    /// Returns the cookie of this name with the attributes that it has by default.
    pub fn named(name: Box<str>) -> Self {
        Self {
            name,
            path: "/".into(),
            max_age: None,
            domain: None,
            secure: None,
            http_only: true,
            same_site: SameSite::Lax,
        }
    }

    /// Appends the value of a `Set-Cookie` header for `value` (RFC 6265 §4.1), for a client that uses TLS or not.
    pub fn write(&self, value: &[u8], uses_tls: bool, out: &mut Vec<u8>) {
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
        if self.same_site == SameSite::None || self.secure.unwrap_or(uses_tls) {
            out.extend_from_slice(b"; Secure");
        }
        if self.http_only {
            out.extend_from_slice(b"; HttpOnly");
        }
        out.extend_from_slice(b"; SameSite=");
        out.extend_from_slice(self.same_site.as_str().as_bytes());
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
    fn routes_of_a_deal_roll_alike() {
        let mut scratch = Vec::new();
        let dealt = Sticky::of_deal("k", "spring", StickyKey::ClientIp);
        assert_eq!(dealt.roll(b"7", &mut scratch), xxh3_64(b"kspring\x007"));
        assert_eq!(dealt.deal.as_deref(), Some("spring"));
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
        let mut cookie = StickyCookie::named("side".into());
        let text = |cookie: &StickyCookie, uses_tls| {
            let mut out = Vec::new();
            cookie.write(b"abc", uses_tls, &mut out);
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

    #[test]
    fn cookie_is_secure_as_configured_or_as_the_client() {
        for (secure, same_site, uses_tls, expected) in [
            (None, SameSite::Strict, false, "; HttpOnly; SameSite=Strict"),
            (
                None,
                SameSite::Strict,
                true,
                "; Secure; HttpOnly; SameSite=Strict",
            ),
            (
                Some(true),
                SameSite::Lax,
                false,
                "; Secure; HttpOnly; SameSite=Lax",
            ),
            (Some(false), SameSite::Lax, true, "; HttpOnly; SameSite=Lax"),
            (None, SameSite::None, false, "; Secure; HttpOnly; SameSite=None"),
            (
                Some(true),
                SameSite::None,
                true,
                "; Secure; HttpOnly; SameSite=None",
            ),
        ] {
            for http_only in [true, false] {
                let cookie = StickyCookie {
                    secure,
                    same_site,
                    http_only,
                    ..StickyCookie::named("side".into())
                };
                let mut out = Vec::new();
                cookie.write(b"abc", uses_tls, &mut out);
                let expected = if http_only {
                    expected.to_owned()
                } else {
                    expected.replace("; HttpOnly", "")
                };
                assert_eq!(
                    String::from_utf8_lossy(&out),
                    format!("side=abc; Path=/{expected}")
                );
            }
        }
    }
}
