//! Names of the list of values that parameters of a path have too.

use crate::value::{LISTED, ValueName};

/// A set of names of the list that a parameter can have: without a `.`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct ListedNames(u32);

const _: () = assert!(LISTED.len() <= u32::BITS as usize);

impl ListedNames {
    /// The part of `names` that is on the list.
    pub fn among<'n>(names: impl IntoIterator<Item = &'n str>) -> Self {
        let listed = names.into_iter().filter(|name| !name.contains('.'));
        let places = listed.filter_map(|name| LISTED.iter().position(|(known, ..)| *known == name));
        Self(places.fold(0, |names, place| names | 1 << place))
    }

    /// Returns true if there are none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Returns true if `name` is one of them.
    pub fn has(self, name: &ValueName) -> bool {
        let place = LISTED.iter().position(|(_, known, _)| known == name);
        place.is_some_and(|place| self.0 & 1 << place != 0)
    }

    /// The names that are in both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// The names that are in either.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_have_some_names_of_the_list() {
        let names = ListedNames::among(["id", "host", "client_cert.subject", "query", "header.x", "Path"]);
        for (name, expected) in [
            (ValueName::Host, true),
            (ValueName::Query, true),
            (ValueName::Path, false),
            (ValueName::ClientCertificateSubject, false),
            (ValueName::Header("host".into()), false),
            (ValueName::Parameter("host".into()), false),
        ] {
            assert_eq!(names.has(&name), expected, "{name}");
        }
        let host = ListedNames::among(["host", "route"]);
        assert_eq!(names.and(host), ListedNames::among(["host"]));
        assert_eq!(names.or(host), ListedNames::among(["host", "route", "query"]));
        assert!(ListedNames::among(["id"]).is_empty());
    }
}
