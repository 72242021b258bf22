//! The identity of a client, as far as it is verified.

use std::fmt;
use std::sync::Arc;

use serde_json::Value;

use crate::claims::{Claims, is_kept_by_headers};

/// A client whose credentials were verified.
#[derive(Clone, PartialEq, Default)]
pub struct Identity {
    name: Option<Arc<str>>,
    groups: Arc<[Box<str>]>,
    claims: Option<Arc<Claims>>,
}

impl fmt::Debug for Identity {
    /// Leaves out what a token says beside the name: it may be personal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Identity {
    /// An identity of this name, which is absent if it could not stand in a header or would be another one there.
    pub fn named(name: &str) -> Self {
        Self {
            name: (!name.is_empty() && is_kept_by_headers(name)).then(|| name.into()),
            ..Self::default()
        }
    }

    /// The client that the claims of a token are about, in the groups that the claim `groups` lists.
    pub fn of_token(claims: &Arc<Claims>, groups: &str) -> Self {
        // Only a `scope` lists words (RFC 8693 §4.2): a text with blanks is one group, not several.
        let groups: Vec<Box<str>> = match claims.value(groups) {
            Some(Value::String(_)) if !matches!(groups, "scope" | "scp") => claims
                .text(groups)
                .into_iter()
                .map(|text| (*text).into())
                .collect(),
            _ => claims.members(groups).into_iter().map(Box::from).collect(),
        };
        let name = claims.text("sub").unwrap_or_default();
        Self::named(&name)
            .in_groups(groups.into())
            .with_claims(Arc::clone(claims))
    }

    /// The same with these groups.
    #[must_use]
    pub fn in_groups(self, groups: Arc<[Box<str>]>) -> Self {
        Self { groups, ..self }
    }

    /// The same with these claims.
    #[must_use]
    pub fn with_claims(self, claims: Arc<Claims>) -> Self {
        Self {
            claims: Some(claims),
            ..self
        }
    }

    /// The name, if it has one.
    pub fn name(&self) -> Option<&Arc<str>> {
        self.name.as_ref()
    }

    /// The groups.
    pub fn groups(&self) -> &[Box<str>] {
        &self.groups
    }

    /// The claims of its token, if it has one.
    pub fn claims(&self) -> Option<&Claims> {
        self.claims.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_a_header_can_have() {
        for (name, is_one) in [
            ("alice", true),
            ("a b", true),
            ("Zoë", true),
            ("", false),
            (" alice", false),
            ("alice\t", false),
            ("alice\r\nx-admin: 1", false),
            ("\u{85}", false),
            ("a\0", false),
        ] {
            assert_eq!(Identity::named(name).name().is_some(), is_one, "{name:?}");
        }
    }

    #[test]
    fn debug_output_has_no_groups_and_no_claims() {
        let groups: Arc<[Box<str>]> = Arc::new(["secret".into()]);
        let text = format!("{:?}", Identity::named("alice").in_groups(groups));
        assert_eq!(text, "Identity { name: Some(\"alice\"), .. }");
    }
}
