//! Values of a request in configured texts: `{NAME}`.
//!
//! A [`ValueTemplate`] is a text with names in it. It is filled in from [`Values`], by the rules of the place where it
//! stands: see [`fill`]. A text without names is literal and is written as it stands.

pub mod fill;
pub mod listed;
pub mod parse;
pub mod url;

use std::cell::OnceCell;
use std::fmt;

use waypost_route::path::{PathBinding, PathPattern};

use crate::value::listed::ListedNames;
use crate::value::parse::{Braces, Resolved};

/// A text with names of values in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValueTemplate(Inner);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Inner {
    /// Most texts have no names.
    Literal(Box<str>),
    /// Texts between names are not empty.
    Parts(Box<[Part]>),
}

/// A part of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// This text.
    Text(Box<str>),
    /// The value of this name.
    Value(ValueName),
}

/// The name of a value of a request.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ValueName {
    /// A parameter of the path pattern, or a named group of its regex.
    Parameter(Box<str>),
    /// The id of the request.
    RequestId,
    /// The address of the client.
    ClientIp,
    /// The host that the client asked for, without port.
    Host,
    /// The port of the listener.
    Port,
    /// The scheme that the client used.
    Scheme,
    /// The method.
    Method,
    /// The path in its normal form.
    Path,
    /// The query without `?`, byte for byte.
    Query,
    /// The time of the decision.
    Time,
    /// The name of the route.
    Route,
    /// The name of the service.
    Service,
    /// The name of the listener, or its address without one.
    Listener,
    /// The number of the revision.
    Revision,
    /// A header; its lines are joined.
    Header(Box<str>),
    /// The first cookie of a name, as sent.
    Cookie(Box<str>),
    /// The first query parameter of a name, as sent.
    QueryParameter(Box<str>),
    /// The subject of the client's certificate.
    ClientCertificateSubject,
    /// The name of the client, as authentication verified it.
    Identity,
    /// A claim of the client's verified token.
    Claim(Box<str>),
}

/// The names without a part of their own, with their meaning for the reference.
const LISTED: &[(&str, ValueName, &str)] = &[
    (
        "request_id",
        ValueName::RequestId,
        "id of the request: the `x-request-id` of a trusted proxy if it has 1 to 128 letters, digits, `.`, `_` and `-`, \
        else a new UUID (version 7)",
    ),
    ("client_ip", ValueName::ClientIp, "address of the client"),
    (
        "host",
        ValueName::Host,
        "host that the client asked for, without port",
    ),
    ("port", ValueName::Port, "port of the listener"),
    (
        "scheme",
        ValueName::Scheme,
        "`http` or `https`, as the client used it",
    ),
    ("method", ValueName::Method, "method"),
    ("path", ValueName::Path, "path in its normal form"),
    (
        "query",
        ValueName::Query,
        "query without `?`, byte for byte; absent without a `?`",
    ),
    (
        "time",
        ValueName::Time,
        "time in UTC, in whole seconds, such as `2026-11-30T03:01:36Z`",
    ),
    ("route", ValueName::Route, "name of the route"),
    (
        "service",
        ValueName::Service,
        "name of the service; absent before one is chosen",
    ),
    (
        "listener",
        ValueName::Listener,
        "name of the listener, or its `bind` without one",
    ),
    ("revision", ValueName::Revision, "number of the revision"),
    (
        "client_cert.subject",
        ValueName::ClientCertificateSubject,
        "subject of the client's certificate, as `CN=web, O=Example`",
    ),
    (
        "identity",
        ValueName::Identity,
        "name of the client, as `auth` verified it: of its key, its user, or the `sub` of its token",
    ),
];

/// The names with a part of their own, such as `header.user-agent`, with their meaning for the reference.
const FAMILIES: &[(&str, &str)] = &[
    (
        "header",
        "header of the request; several lines are joined by `, `",
    ),
    ("cookie", "first cookie of that name, as sent"),
    ("query", "first query parameter of that name, as sent"),
    (
        "claim",
        "claim of the client's token, as `auth` verified it; members of a list are joined by `,`, and a name with `.` leads \
        into objects",
    ),
];

impl ValueName {
    /// The name of the list that is written as `text`; `None` if it is not on the list. Parameters are not looked for.
    pub fn listed(text: &str) -> Option<Self> {
        if let Some((_, name, _)) = LISTED.iter().find(|(known, ..)| *known == text) {
            return Some(name.clone());
        }
        let (family, name) = text.split_once('.')?;
        match family {
            _ if name.is_empty() => None,
            "header" => Some(Self::Header(name.to_ascii_lowercase().into())),
            "cookie" => Some(Self::Cookie(name.into())),
            "query" => Some(Self::QueryParameter(name.into())),
            "claim" => Some(Self::Claim(name.into())),
            _ => None,
        }
    }

    /// Every name of the list, with its meaning; families as `header.NAME`.
    pub fn reference() -> impl Iterator<Item = (String, &'static str)> {
        let listed = LISTED
            .iter()
            .map(|(name, _, meaning)| ((*name).to_owned(), *meaning));
        let families = FAMILIES
            .iter()
            .map(|(name, meaning)| (format!("{name}.NAME"), *meaning));
        listed.chain(families)
    }

    /// Returns true for a value that authentication verifies.
    pub(crate) fn is_of_auth(&self) -> bool {
        matches!(self, Self::Identity | Self::Claim(_))
    }

    /// Returns true for a value whose `%XX` are the client's encodings rather than text.
    pub(crate) fn is_as_sent(&self) -> bool {
        matches!(
            self,
            Self::Parameter(_) | Self::QueryParameter(_) | Self::Cookie(_)
        )
    }
}

impl fmt::Display for ValueName {
    /// Writes the name without braces.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Parameter(name) => f.write_str(name),
            Self::Header(name) => write!(f, "header.{name}"),
            Self::Cookie(name) => write!(f, "cookie.{name}"),
            Self::QueryParameter(name) => write!(f, "query.{name}"),
            Self::Claim(name) => write!(f, "claim.{name}"),
            other => {
                let mut listed = LISTED.iter();
                let found = listed.find(|(_, name, _)| name == other);
                f.write_str(found.map_or("", |(text, ..)| text))
            }
        }
    }
}

/// The values of a request.
pub trait Values {
    /// Appends the value of `name`; returns false if it is absent.
    fn append(&self, name: &ValueName, out: &mut Vec<u8>) -> bool;
}

/// A source without values: all are absent.
#[derive(Debug, Clone, Copy)]
pub struct NoValues;

impl Values for NoValues {
    fn append(&self, _: &ValueName, _: &mut Vec<u8>) -> bool {
        false
    }
}

/// The parameters that a pattern takes from a path; all other values are absent.
#[derive(Debug, Clone)]
pub struct Parameters<'a> {
    path: &'a [u8],
    pattern: &'a PathPattern,
    binding: OnceCell<Option<PathBinding<'a>>>,
}

impl<'a> Parameters<'a> {
    /// The parameters of `path`. They are looked for when the first one is asked for.
    pub fn of(path: &'a [u8], pattern: &'a PathPattern) -> Self {
        Self {
            path,
            pattern,
            binding: OnceCell::new(),
        }
    }
}

impl Values for Parameters<'_> {
    fn append(&self, name: &ValueName, out: &mut Vec<u8>) -> bool {
        let ValueName::Parameter(name) = name else {
            return false;
        };
        let binding = self.binding.get_or_init(|| self.pattern.bind(self.path));
        let mut bound = binding.iter().flat_map(|binding| &binding.parameters);
        // A regex group that did not participate in the match is absent.
        let found = bound.find(|(bound, _)| *bound == &**name);
        found
            .inspect(|(_, range)| out.extend_from_slice(&self.path[range.clone()]))
            .is_some()
    }
}

impl ValueTemplate {
    /// Returns a text without names. Braces are braces.
    pub fn literal(text: impl Into<Box<str>>) -> Self {
        Self(Inner::Literal(text.into()))
    }

    /// Returns a template of these parts; neighbouring texts are joined.
    pub fn of(parts: impl IntoIterator<Item = Part>) -> Self {
        let mut joined: Vec<Part> = Vec::new();
        for part in parts {
            match (joined.last_mut(), part) {
                (_, Part::Text(text)) if text.is_empty() => {}
                (Some(Part::Text(before)), Part::Text(text)) => *before = format!("{before}{text}").into(),
                (_, part) => joined.push(part),
            }
        }
        match &mut *joined {
            [] => Self::literal(""),
            [Part::Text(text)] => Self::literal(std::mem::take(text)),
            _ => Self(Inner::Parts(joined.into())),
        }
    }

    /// Parses a template, in which names that are not on the list are parameters. For hints and tests.
    ///
    /// # Errors
    /// A brace has no partner, or encloses no name.
    pub fn parse(text: &str) -> Result<Self, parse::BraceError> {
        parse::template(
            text,
            Braces::Strict,
            |_| None,
            |name, _| {
                let parameter = || ValueName::Parameter(name.into());
                Resolved::Value(ValueName::listed(name).unwrap_or_else(parameter))
            },
        )
    }

    /// The text, if it has no names.
    #[inline]
    pub fn as_literal(&self) -> Option<&str> {
        match &self.0 {
            Inner::Literal(text) => Some(text),
            Inner::Parts(_) => None,
        }
    }

    /// Returns true if there are no names in it.
    #[inline]
    pub fn is_literal(&self) -> bool {
        self.as_literal().is_some()
    }

    /// The name that is all of the text.
    pub fn sole_name(&self) -> Option<&ValueName> {
        match &self.0 {
            Inner::Parts(parts) => match &**parts {
                [Part::Value(name)] => Some(name),
                _ => None,
            },
            Inner::Literal(_) => None,
        }
    }

    /// The names in it.
    pub fn names(&self) -> impl Iterator<Item = &ValueName> {
        self.parts().filter_map(|part| match part {
            PartRef::Value(name) => Some(name),
            PartRef::Text(_) => None,
        })
    }

    /// The parts.
    pub(crate) fn parts(&self) -> impl Iterator<Item = PartRef<'_>> {
        let (literal, parts): (Option<&str>, &[Part]) = match &self.0 {
            Inner::Literal(text) => (Some(text), &[]),
            Inner::Parts(parts) => (None, parts),
        };
        literal
            .map(PartRef::Text)
            .into_iter()
            .chain(parts.iter().map(|part| match part {
                Part::Text(text) => PartRef::Text(text),
                Part::Value(name) => PartRef::Value(name),
            }))
    }

    /// The template with each text replaced by what `map` makes of it.
    #[must_use]
    pub fn map_text(&self, map: impl Fn(&str) -> String) -> Self {
        Self::of(self.parts().map(|part| match part {
            PartRef::Text(text) => Part::Text(map(text).into()),
            PartRef::Value(name) => Part::Value(name.clone()),
        }))
    }

    /// Puts parameters in the place of the values of these names.
    pub fn shadow(&mut self, names: ListedNames) {
        let Inner::Parts(parts) = &mut self.0 else {
            return;
        };
        for part in parts {
            if let Part::Value(name) = part
                && names.has(name)
            {
                *name = ValueName::Parameter(name.to_string().into());
            }
        }
    }

    /// The text with `value` for every name.
    pub fn filled_with(&self, value: &str) -> String {
        self.sampled(|_| value)
    }

    /// The text with what `sample` has for each name.
    pub fn sampled<'s>(&'s self, sample: impl Fn(&ValueName) -> &'s str) -> String {
        self.parts()
            .map(|part| match part {
                PartRef::Text(text) => text,
                PartRef::Value(name) => sample(name),
            })
            .collect()
    }
}

/// A borrowed [`Part`].
#[derive(Debug, Clone, Copy)]
pub(crate) enum PartRef<'t> {
    Text(&'t str),
    Value(&'t ValueName),
}

impl Default for ValueTemplate {
    fn default() -> Self {
        Self::literal("")
    }
}

impl From<&str> for ValueTemplate {
    /// A text without names.
    fn from(text: &str) -> Self {
        Self::literal(text)
    }
}

impl fmt::Display for ValueTemplate {
    /// Writes it as in a config; braces of texts stay single.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.parts().try_for_each(|part| match part {
            PartRef::Text(text) => f.write_str(text),
            PartRef::Value(name) => write!(f, "{{{name}}}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_print_as_written() {
        for (text, _) in ValueName::reference() {
            let text = text.replace("NAME", "x-a.b_c");
            assert_eq!(ValueName::listed(&text).unwrap().to_string(), text);
        }
        for unknown in ["", "id", "Host", "header", "header.", "client_cert", "host.x"] {
            assert_eq!(ValueName::listed(unknown), None, "{unknown}");
        }
        assert_eq!(
            ValueName::listed("header.X-A"),
            Some(ValueName::Header("x-a".into()))
        );
    }

    #[test]
    fn a_parameter_takes_the_place_of_a_listed_name() {
        let mut template = ValueTemplate::parse("{host}/{path}/{header.host}").unwrap();
        template.shadow(ListedNames::among(["host", "id"]));
        let names: Vec<&ValueName> = template.names().collect();
        let host = ValueName::Parameter("host".into());
        assert_eq!(
            names,
            [&host, &ValueName::Path, &ValueName::Header("host".into())]
        );
    }

    #[test]
    fn templates_without_names_are_literal() {
        assert_eq!(ValueTemplate::parse("a{{b}}").unwrap().as_literal(), Some("a{b}"));
        let template = ValueTemplate::parse("{host}").unwrap();
        assert_eq!(
            (template.as_literal(), template.sole_name()),
            (None, Some(&ValueName::Host))
        );
        assert_eq!(ValueTemplate::parse("{host}!").unwrap().sole_name(), None);
        assert_eq!(ValueTemplate::of([]).as_literal(), Some(""));
    }
}
