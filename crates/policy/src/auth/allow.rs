//! Conditions on who may pass.

use serde_json::Value;
use waypost_auth::claims::Claims;
use waypost_auth::identity::Identity;
use waypost_plan::auth::allow::Allow;
use waypost_route::condition::ValueCondition;

/// Returns true if one of the entries holds for `identity`, or there are none.
pub(super) fn admits(allow: &[Allow], identity: &Identity) -> bool {
    allow.is_empty() || allow.iter().any(|entry| holds(entry, identity))
}

/// Returns true if all conditions of an entry hold.
fn holds(allow: &Allow, identity: &Identity) -> bool {
    let is = |conditions: &[ValueCondition], text: &str| {
        let mut conditions = conditions.iter();
        conditions.any(|condition| condition.holds(Some(text.as_bytes())))
    };
    let of_identity =
        |conditions: &[ValueCondition]| identity.name().is_some_and(|name| is(conditions, name));
    let of_groups = |conditions: &[ValueCondition]| {
        let mut groups = identity.groups().iter();
        groups.any(|group| is(conditions, group))
    };
    allow.identity.as_deref().is_none_or(of_identity)
        && allow.groups.as_deref().is_none_or(of_groups)
        && allow.claims.iter().all(|claim| {
            let claims = identity.claims();
            claims.is_some_and(|claims| any_text(claims, &claim.name, |text| is(&claim.values, text)))
        })
}

/// Returns true if `holds` does for a text that the claim of this name gives: itself, a member of a list, or a word of a
/// `scope` (RFC 8693 §4.2), which some issuers call `scp`.
fn any_text(claims: &Claims, name: &str, holds: impl Fn(&str) -> bool) -> bool {
    match claims.value(name) {
        Some(Value::Array(members)) => members.iter().any(|member| match member {
            Value::String(text) => holds(text),
            Value::Number(_) | Value::Bool(_) => holds(&member.to_string()),
            _ => false,
        }),
        Some(Value::String(text)) => {
            let mut words = text.split(' ').filter(|word| !word.is_empty());
            holds(text) || (matches!(name, "scope" | "scp") && words.any(holds))
        }
        Some(value @ (Value::Number(_) | Value::Bool(_))) => holds(&value.to_string()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    use waypost_plan::auth::allow::ClaimCondition;
    use waypost_route::regex::Regex;

    fn any_of(texts: &[&str]) -> Box<[ValueCondition]> {
        let condition = |text: &&str| match text.strip_prefix('~') {
            Some(regex) => ValueCondition::Matches(Regex::new(regex).unwrap()),
            None => ValueCondition::Equals((*text).into()),
        };
        texts.iter().map(condition).collect()
    }

    fn entry(identity: &[&str], groups: &[&str], claims: &[(&str, &[&str])]) -> Allow {
        let some = |texts: &[&str]| (!texts.is_empty()).then(|| any_of(texts));
        Allow {
            identity: some(identity),
            groups: some(groups),
            claims: claims
                .iter()
                .map(|(name, texts)| ClaimCondition {
                    name: (*name).into(),
                    values: any_of(texts),
                })
                .collect(),
        }
    }

    #[test]
    fn one_entry_has_to_hold_with_all_of_its_keys() {
        let claims =
            r#"{"scope": "orders:read orders:write", "roles": ["clerk"], "tier": 2, "verified": true}"#;
        let Value::Object(claims) = serde_json::from_str(claims).unwrap() else {
            panic!("{claims}")
        };
        let alice = Identity::named("alice")
            .in_groups(Arc::new(["staff".into(), "eu".into()]))
            .with_claims(Arc::new(Claims::new(claims)));
        let check = |allow: &[Allow], expected: bool| {
            let shown: Vec<String> = allow.iter().map(Allow::to_string).collect();
            assert_eq!(admits(allow, &alice), expected, "{shown:?}");
        };
        check(&[], true);
        check(&[entry(&["alice"], &[], &[])], true);
        check(&[entry(&["bob", "alice"], &[], &[])], true);
        check(&[entry(&["Alice"], &[], &[])], false);
        check(&[entry(&["~^al"], &[], &[])], true);
        check(&[entry(&[], &["admin", "staff"], &[])], true);
        check(&[entry(&[], &["admin"], &[])], false);
        check(&[entry(&["alice"], &["admin"], &[])], false);
        check(&[entry(&["bob"], &[], &[]), entry(&[], &["eu"], &[])], true);
        check(&[entry(&[], &[], &[("scope", &["orders:read"])])], true);
        check(&[entry(&[], &[], &[("scope", &["orders"])])], false);
        check(
            &[entry(&[], &[], &[("scope", &["orders:read orders:write"])])],
            true,
        );
        check(&[entry(&[], &[], &[("scope", &["~^orders:w"])])], true);
        check(&[entry(&[], &[], &[("roles", &["clerk"])])], true);
        check(&[entry(&[], &[], &[("roles", &["cle"])])], false);
        check(
            &[entry(&[], &[], &[("tier", &["2"]), ("verified", &["true"])])],
            true,
        );
        check(
            &[entry(&[], &[], &[("tier", &["2"]), ("verified", &["false"])])],
            false,
        );
        check(&[entry(&[], &[], &[("none", &["~"])])], false);
        assert!(!admits(&[entry(&["~"], &[], &[])], &Identity::default()));
    }
}
