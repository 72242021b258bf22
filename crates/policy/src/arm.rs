//! The arm of a split that takes a request. The dice come in as an argument.

use std::io::Write as _;

use waypost_plan::force::{Force, ForceKey};
use waypost_plan::split_policies::SplitPolicySet;
use waypost_plan::sticky::{Sticky, StickyKey};
use waypost_route::cookie;
use waypost_route::request::Request;
use waypost_route::split::Split;

/// The rule that picks the arm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArmChoice {
    /// `force`: the request names the arm, by position.
    Forced(usize),
    /// `sticky`: the roll that the client's sticky value hashes to.
    Cohort(u64),
    /// A roll of the dice.
    Dice {
        /// True if the client gets a sticky cookie, whose value then decides instead.
        wants_cookie: bool,
    },
}

impl ArmChoice {
    /// The rule for `request` on a split with `policies`. `value` and `scratch` are overwritten.
    pub fn of(
        policies: &SplitPolicySet,
        request: &Request<'_>,
        value: &mut Vec<u8>,
        scratch: &mut Vec<u8>,
    ) -> Self {
        if let Some(force) = &policies.force
            && let Some(arm) = forced(force, request, value)
        {
            return Self::Forced(arm);
        }
        let Some(sticky) = &policies.sticky else {
            return Self::Dice { wants_cookie: false };
        };
        match sticky_value(sticky, request, value) {
            Some(value) => Self::Cohort(sticky.roll(value, scratch)),
            None => Self::Dice {
                wants_cookie: matches!(sticky.key, StickyKey::Cookie(_)),
            },
        }
    }

    /// The arm, by position; `None` when no arm has a weight. A forced arm needs none.
    pub fn pick(self, split: &Split, roll: impl FnOnce() -> u64) -> Option<usize> {
        match self {
            Self::Forced(arm) => Some(arm),
            Self::Cohort(roll) => split.pick(roll),
            Self::Dice { .. } => split.pick(roll()),
        }
    }
}

fn forced(force: &Force, request: &Request<'_>, scratch: &mut Vec<u8>) -> Option<usize> {
    let value = match &force.key {
        ForceKey::Header(name) => request.header(name, scratch),
        ForceKey::Cookie(name) => cookie::find(request.headers, name, scratch),
    };
    force.arm(value?)
}

/// The value that identifies the client; an empty one does not.
fn sticky_value<'s>(sticky: &Sticky, request: &Request<'_>, scratch: &'s mut Vec<u8>) -> Option<&'s [u8]> {
    let value = match &sticky.key {
        StickyKey::Header(name) => request.header(name, scratch),
        StickyKey::Cookie(cookie) => cookie::find(request.headers, &cookie.name, scratch),
        StickyKey::ClientIp if request.client_ip.is_unspecified() => None,
        StickyKey::ClientIp => {
            scratch.clear();
            // Writing to a Vec cannot fail.
            let _ = write!(scratch, "{}", request.client_ip);
            Some(&scratch[..])
        }
    };
    value.filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use waypost_plan::sticky::StickyCookie;

    fn check(
        sticky: Option<StickyKey>,
        force: Option<ForceKey>,
        headers: &[(&str, &str)],
        expected: ArmChoice,
    ) {
        let policies = SplitPolicySet {
            sticky: sticky.map(|key| Sticky::new("", "users", key)),
            force: force.map(|key| {
                let values = vec![("always".into(), 1)];
                Force { key, values }
            }),
            ..SplitPolicySet::default()
        };
        let headers: Vec<(String, Vec<u8>)> = headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec()))
            .collect();
        let request = Request {
            host: None,
            path: b"/",
            query: None,
            method: b"GET",
            client_ip: [10, 0, 0, 7].into(),
            headers: &headers,
            attributes: &waypost_route::attribute::NoAttributes,
        };
        let choice = ArmChoice::of(&policies, &request, &mut Vec::new(), &mut Vec::new());
        assert_eq!(choice, expected);
    }

    fn roll(value: &str) -> ArmChoice {
        let sticky = Sticky::new("", "users", StickyKey::ClientIp);
        ArmChoice::Cohort(sticky.roll(value.as_bytes(), &mut Vec::new()))
    }

    fn header() -> Option<StickyKey> {
        Some(StickyKey::Header("x-user".into()))
    }

    fn cookie() -> Option<StickyKey> {
        Some(StickyKey::Cookie(StickyCookie::named("side".into())))
    }

    #[test]
    fn header_cookie_or_address_identifies_a_client() {
        check(header(), None, &[("X-User", "7")], roll("7"));
        check(header(), None, &[("x-user", "7"), ("x-user", "8")], roll("7, 8"));
        check(cookie(), None, &[("cookie", "a=b; side=7")], roll("7"));
        check(Some(StickyKey::ClientIp), None, &[], roll("10.0.0.7"));
    }

    #[test]
    fn client_without_a_value_gets_a_random_arm() {
        let dice = |wants_cookie| ArmChoice::Dice { wants_cookie };
        check(None, None, &[("x-user", "7")], dice(false));
        check(header(), None, &[], dice(false));
        check(header(), None, &[("x-user", "")], dice(false));
        check(cookie(), None, &[("cookie", "other=1")], dice(true));
        check(cookie(), None, &[("cookie", "side=")], dice(true));
    }

    #[test]
    fn force_takes_precedence_and_unknown_values_fall_back_to_the_cohort() {
        let force = || Some(ForceKey::Header("x-canary".into()));
        check(
            header(),
            force(),
            &[("x-user", "7"), ("x-canary", "always")],
            ArmChoice::Forced(1),
        );
        check(
            header(),
            force(),
            &[("x-user", "7"), ("x-canary", "maybe")],
            roll("7"),
        );
        let by_cookie = Some(ForceKey::Cookie("canary".into()));
        check(
            None,
            by_cookie,
            &[("cookie", "canary=always")],
            ArmChoice::Forced(1),
        );
    }
}
