//! Cookies that services set, as clients get them.
//!
//! A route's `set_cookie` says what becomes of paths, domains and attributes; the [way back](crate::head::reverse) of a
//! rewrite maps paths and domains that are the service's own. Both look at what the service sent: where `set_cookie`
//! replaces a path or a domain, the way back has no say.

use waypost_plan::set_cookie::SetCookie as Rules;
use waypost_wire::set_cookie::{Attribute, SetCookie};

use crate::head::reverse::WayBack;

/// The result for one attribute.
enum Mapped {
    /// It stays as written.
    Stays,
    /// It has another value.
    Becomes(Vec<u8>),
    /// It is left out.
    Goes,
}

/// The flags of a cookie, which are added where they are missing.
#[derive(Default)]
struct Flags {
    secure: bool,
    http_only: bool,
    same_site: bool,
}

/// The value of `Set-Cookie` that the client gets in place of `value`; `None` if it stays. `rules` are for cookies alone,
/// and all else passes unchanged.
pub(crate) fn map(value: &[u8], rules: Option<&Rules>, way_back: Option<&WayBack>) -> Option<Vec<u8>> {
    let cookie = SetCookie::parse(value);
    let rules = rules.filter(|_| cookie.is_cookie());
    let prefix = cookie.name_prefix();
    // Browsers refuse such a cookie with any path but `/`, and with a domain.
    let moves = !prefix.is_of_host();
    let mut flags = Flags::default();
    let mut out = cookie.pair.to_vec();
    let mut is_changed = false;
    for attribute in cookie.attributes() {
        let mapped = if attribute.is("path") && moves {
            path(&attribute, rules, way_back)
        } else if attribute.is("domain") && moves {
            domain(&attribute, rules, way_back)
        } else if let Some(rules) = rules {
            flag(
                &attribute,
                rules,
                prefix.needs_secure(),
                prefix.needs_http_only(),
                &mut flags,
            )
        } else {
            Mapped::Stays
        };
        is_changed |= !matches!(mapped, Mapped::Stays);
        match mapped {
            Mapped::Goes => {}
            Mapped::Stays => {
                out.push(b';');
                out.extend_from_slice(attribute.written);
            }
            Mapped::Becomes(value) => {
                out.push(b';');
                attribute.write_with(&value, &mut out);
            }
        }
    }
    if let Some(rules) = rules {
        let whole = out.len();
        add_missing(rules, &flags, &mut out);
        is_changed |= out.len() > whole;
    }
    is_changed.then_some(out)
}

fn path(attribute: &Attribute<'_>, rules: Option<&Rules>, way_back: Option<&WayBack>) -> Mapped {
    let rules = rules.filter(|_| !attribute.is_ignored());
    let replaced = rules.and_then(|rules| rules.path(attribute.value));
    let mapped = replaced.or_else(|| way_back?.cookie_path(attribute.value));
    mapped.map_or(Mapped::Stays, Mapped::Becomes)
}

fn domain(attribute: &Attribute<'_>, rules: Option<&Rules>, way_back: Option<&WayBack>) -> Mapped {
    let rules = rules.filter(|_| !attribute.is_ignored());
    let become_or_go = |domain: &[u8]| match domain {
        b"" => Mapped::Goes,
        domain => Mapped::Becomes(domain.to_vec()),
    };
    if let Some(replaced) = rules.and_then(|rules| rules.domain(attribute.value)) {
        return become_or_go(replaced.as_bytes());
    }
    match way_back.filter(|way_back| way_back.is_internal_domain(attribute.value)) {
        Some(way_back) => become_or_go(way_back.cookie_domain().unwrap_or_default()),
        None => Mapped::Stays,
    }
}

/// Notes a flag, and says what becomes of it. One that the name of the cookie needs is not taken off.
fn flag(
    attribute: &Attribute<'_>,
    rules: &Rules,
    needs_secure: bool,
    needs_http_only: bool,
    flags: &mut Flags,
) -> Mapped {
    if attribute.is("secure") && rules.secure.is_some() {
        flags.secure = true;
        return match rules.secure == Some(false) && !needs_secure {
            true => Mapped::Goes,
            false => Mapped::Stays,
        };
    }
    if attribute.is("httponly") && rules.http_only.is_some() {
        flags.http_only = true;
        return match rules.http_only == Some(false) && !needs_http_only {
            true => Mapped::Goes,
            false => Mapped::Stays,
        };
    }
    match rules.same_site.filter(|_| attribute.is("samesite")) {
        // The last one counts, so there must not be another.
        Some(_) if flags.same_site => Mapped::Goes,
        Some(same_site) => {
            flags.same_site = true;
            Mapped::Becomes(same_site.as_str().as_bytes().to_vec())
        }
        None => Mapped::Stays,
    }
}

fn add_missing(rules: &Rules, flags: &Flags, out: &mut Vec<u8>) {
    if rules.secure == Some(true) && !flags.secure {
        out.extend_from_slice(b"; Secure");
    }
    if rules.http_only == Some(true) && !flags.http_only {
        out.extend_from_slice(b"; HttpOnly");
    }
    if let Some(same_site) = rules.same_site
        && !flags.same_site
    {
        out.extend_from_slice(b"; SameSite=");
        out.extend_from_slice(same_site.as_str().as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use waypost_plan::sticky::SameSite;

    use super::*;

    /// Rules for all that can be replaced.
    fn rules() -> Rules {
        let mut rules = Rules::of_flags(Some(true), Some(true), Some(SameSite::Lax));
        rules.replace_path("/", "/shop").unwrap();
        rules.replace_path("/api", "/").unwrap();
        rules.replace_domain("orders.internal", "example.com").unwrap();
        rules.replace_domain("gone.internal", "").unwrap();
        rules
    }

    fn check(rules: &Rules, value: &str, expected: &str) {
        let mapped = map(value.as_bytes(), Some(rules), None);
        let mapped = mapped.map_or(value.to_owned(), |mapped| String::from_utf8(mapped).unwrap());
        assert_eq!(mapped, expected, "{value}");
    }

    #[test]
    fn paths_domains_and_flags_are_rewritten() {
        for (value, expected) in [
            ("a=1", "a=1; Secure; HttpOnly; SameSite=Lax"),
            ("a=1;", "a=1;; Secure; HttpOnly; SameSite=Lax"),
            ("a", "a; Secure; HttpOnly; SameSite=Lax"),
            (
                "a=\"x\"; path = /cart ;Max-Age=5",
                "a=\"x\"; path = /shop/cart ;Max-Age=5; Secure; HttpOnly; SameSite=Lax",
            ),
            (
                "a=1; Path=/; DOMAIN=.Orders.Internal; secure; HTTPONLY; samesite=none",
                "a=1; Path=/shop; DOMAIN=example.com; secure; HTTPONLY; samesite=Lax",
            ),
            (
                "a=1; Domain=gone.internal; Path=/api/x; SameSite; SameSite=None",
                "a=1; Path=/x; SameSite=Lax; Secure; HttpOnly",
            ),
            (
                "a=1; Path=/api; Path=x; Path; Domain=other.test",
                "a=1; Path=/; Path=x; Path; Domain=other.test; Secure; HttpOnly; SameSite=Lax",
            ),
            (
                "__Host-a=1; Path=/; Secure",
                "__Host-a=1; Path=/; Secure; HttpOnly; SameSite=Lax",
            ),
        ] {
            check(&rules(), value, expected);
        }
    }

    #[test]
    fn what_is_no_cookie_passes_unchanged() {
        let long = format!("a={}; Path=/", "v".repeat(4096));
        for value in ["", "=; Path=/", "; Path=/", "__Secure-a; Path=/", &long] {
            check(&rules(), value, value);
        }
        // The attribute of such a length is none.
        let long = format!("a=1; Path=/{}", "p".repeat(1024));
        check(
            &rules(),
            &long,
            &format!("{long}; Secure; HttpOnly; SameSite=Lax"),
        );
    }

    #[test]
    fn flags_are_taken_off_unless_the_name_needs_them() {
        let rules = Rules::of_flags(Some(false), Some(false), None);
        for (value, expected) in [
            ("a=1; Secure; HttpOnly; Path=/", "a=1; Path=/"),
            ("a=1; Path=/", "a=1; Path=/"),
            ("__secure-a=1; Secure; HttpOnly", "__secure-a=1; Secure"),
            ("__Http-a=1; Secure; HttpOnly", "__Http-a=1; Secure; HttpOnly"),
        ] {
            check(&rules, value, expected);
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_rewritten_twice_is_rewritten_once(
            value in "(__Host-)?[a=]{0,3}(; ?(Path=/[a-z]{0,3}|Secure|HttpOnly|SameSite(=Strict)?|Domain=[a-b]|x){0,1}){0,5}",
        ) {
            let mut rules = Rules::of_flags(Some(true), Some(false), Some(SameSite::Strict));
            rules.replace_domain("a", "c").unwrap();
            rules.replace_path("/a", "/0").unwrap();
            let once = map(value.as_bytes(), Some(&rules), None).unwrap_or(value.clone().into_bytes());
            let twice = map(&once, Some(&rules), None).unwrap_or(once.clone());
            proptest::prop_assert_eq!(&once, &twice);
            let (was, is) = (SetCookie::parse(value.as_bytes()), SetCookie::parse(&once));
            proptest::prop_assert_eq!(was.pair, is.pair);
            proptest::prop_assert_eq!(was.is_cookie(), is.is_cookie());
            let has = |name: &str| is.attributes().filter(|attribute| attribute.is(name)).count();
            if was.is_cookie() {
                proptest::prop_assert!(has("secure") > 0);
                proptest::prop_assert_eq!(has("samesite"), 1);
            } else {
                proptest::prop_assert_eq!(&once, value.as_bytes());
            }
        }
    }
}
