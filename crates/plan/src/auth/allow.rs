//! Conditions on who may pass, once it is known who asks.

use std::fmt;

use waypost_route::condition::ValueCondition;

/// Conditions that hold together.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Allow {
    /// The identity is one of these; `None` for any.
    pub identity: Option<Box<[ValueCondition]>>,
    /// One of the groups is one of these; `None` for any.
    pub groups: Option<Box<[ValueCondition]>>,
    /// Conditions on claims.
    pub claims: Box<[ClaimCondition]>,
}

/// A condition on a claim: it is one of these values, or has a member that is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimCondition {
    /// The name of the claim.
    pub name: Box<str>,
    /// The values.
    pub values: Box<[ValueCondition]>,
}

impl fmt::Display for Allow {
    /// Writes the conditions as in a config.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |conditions: &[ValueCondition]| match conditions {
            [one] => one.to_string(),
            all => {
                let all: Vec<String> = all.iter().map(ValueCondition::to_string).collect();
                format!("[{}]", all.join(", "))
            }
        };
        let mut parts = Vec::new();
        if let Some(identity) = &self.identity {
            parts.push(format!("identity: {}", list(identity)));
        }
        if let Some(groups) = &self.groups {
            let groups: Vec<String> = groups.iter().map(ValueCondition::to_string).collect();
            parts.push(format!("groups: [{}]", groups.join(", ")));
        }
        if !self.claims.is_empty() {
            let claims = self.claims.iter();
            let claims = claims.map(|claim| format!("{}: {}", claim.name, list(&claim.values)));
            let claims: Vec<String> = claims.collect();
            parts.push(format!("claims: {{ {} }}", claims.join(", ")));
        }
        write!(f, "{{ {} }}", parts.join(", "))
    }
}
