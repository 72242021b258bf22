//! Whole URLs as templates.

use waypost_wire::path::PathOptions;

use crate::value::fill::FillError;
use crate::value::{Part, PartRef, ValueName, ValueTemplate, Values};

/// A whole URL with names of values in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UrlTemplate(Form);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Form {
    Literal(Box<str>),
    Parts(Box<Url>),
}

/// The parts of a URL, without what separates them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Url {
    scheme: ValueTemplate,
    authority: ValueTemplate,
    path: ValueTemplate,
    query: Option<ValueTemplate>,
    fragment: Option<ValueTemplate>,
}

/// A text that is no URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// There is no `://`, or something else than a scheme in front of it.
    #[error("a URL begins with a scheme and a host")]
    NoScheme,
    /// `{query}` in front of the path.
    #[error("a query does not belong there")]
    Query,
}

/// The part of a URL that a character belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Authority,
    Path,
    Query,
    Fragment,
}

impl UrlTemplate {
    /// Takes a template apart.
    ///
    /// # Errors
    /// It is no URL.
    pub fn new(template: &ValueTemplate) -> Result<Self, UrlError> {
        if let Some(text) = template.as_literal() {
            return match text.contains("://") {
                true => Ok(Self(Form::Literal(text.into()))),
                false => Err(UrlError::NoScheme),
            };
        }
        let mut parts: Vec<Part> = template
            .parts()
            .map(|part| match part {
                PartRef::Text(text) => Part::Text(text.into()),
                PartRef::Value(name) => Part::Value(name.clone()),
            })
            .collect();
        let scheme = match &mut *parts {
            [Part::Value(ValueName::Scheme), Part::Text(text), ..] => {
                *text = text.strip_prefix("://").ok_or(UrlError::NoScheme)?.into();
                Part::Value(ValueName::Scheme)
            }
            [Part::Text(text), ..] => {
                let (scheme, rest) = text.split_once("://").ok_or(UrlError::NoScheme)?;
                let scheme = Part::Text(scheme.into());
                *text = rest.into();
                scheme
            }
            _ => return Err(UrlError::NoScheme),
        };
        if scheme == Part::Value(ValueName::Scheme) {
            parts.remove(0);
        }
        let mut places: [Option<Vec<Part>>; 4] = [Some(Vec::new()), Some(Vec::new()), None, None];
        let mut at = Place::Authority;
        let mut push = |at: Place, part: Part| places[at as usize].get_or_insert_default().push(part);
        for part in parts {
            match part {
                Part::Value(name) => {
                    match (at, &name) {
                        (Place::Authority, ValueName::Path) => at = Place::Path,
                        (Place::Authority | Place::Path, ValueName::Query) => return Err(UrlError::Query),
                        _ => {}
                    }
                    push(at, Part::Value(name));
                }
                Part::Text(text) => {
                    let mut rest = &*text;
                    loop {
                        let ends: &[char] = match at {
                            Place::Authority => &['/', '?', '#'],
                            Place::Path => &['?', '#'],
                            Place::Query => &['#'],
                            Place::Fragment => &[],
                        };
                        let (inside, behind) = rest.split_at(rest.find(ends).unwrap_or(rest.len()));
                        push(at, Part::Text(inside.into()));
                        (at, rest) = match behind.as_bytes().first() {
                            Some(b'/') => (Place::Path, behind),
                            Some(b'?') => (Place::Query, &behind[1..]),
                            Some(_) => (Place::Fragment, &behind[1..]),
                            None => break,
                        };
                    }
                }
            }
        }
        let mut places = places.into_iter();
        let mut next = || places.next().flatten().map(ValueTemplate::of);
        Ok(Self(Form::Parts(Box::new(Url {
            scheme: ValueTemplate::of([scheme]),
            authority: next().unwrap_or_default(),
            path: next().unwrap_or_default(),
            query: next(),
            fragment: next(),
        }))))
    }

    /// Appends the URL.
    ///
    /// # Errors
    /// A value makes no valid host, or leads out of its segment.
    pub fn fill(
        &self,
        values: &dyn Values,
        options: PathOptions,
        out: &mut Vec<u8>,
    ) -> Result<(), FillError> {
        let url = match &self.0 {
            Form::Literal(text) => {
                out.extend_from_slice(text.as_bytes());
                return Ok(());
            }
            Form::Parts(url) => url,
        };
        url.scheme.fill(values, out);
        out.extend_from_slice(b"://");
        url.authority.fill_host(values, true, out)?;
        url.path.fill_path(values, options, out)?;
        if let Some(query) = &url.query {
            let start = out.len();
            out.push(b'?');
            query.fill_query(values, out);
            // An absent query leaves no `?` behind.
            if out.len() == start + 1 && !query.is_literal() {
                out.truncate(start);
            }
        }
        if let Some(fragment) = &url.fragment {
            out.push(b'#');
            fragment.fill_parameter(values, out);
        }
        Ok(())
    }

    /// The URL, if there are no names in it.
    pub fn as_literal(&self) -> Option<&str> {
        match &self.0 {
            Form::Literal(text) => Some(text),
            Form::Parts(_) => None,
        }
    }

    /// Returns true if it is the URL of every request: `{scheme}://{host}{path}`.
    pub fn is_of_request(&self) -> bool {
        match &self.0 {
            Form::Literal(_) => false,
            Form::Parts(url) => {
                url.scheme.sole_name() == Some(&ValueName::Scheme)
                    && url.authority.sole_name() == Some(&ValueName::Host)
                    && url.path.sole_name() == Some(&ValueName::Path)
                    && url
                        .query
                        .as_ref()
                        .is_some_and(|query| query.sole_name() == Some(&ValueName::Query))
                    && url.fragment.is_none()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Request;

    impl Values for Request {
        fn append(&self, name: &ValueName, out: &mut Vec<u8>) -> bool {
            let value = match name.to_string().as_str() {
                "scheme" => "https",
                "host" => "a.example",
                "path" => "/x/y",
                "query" => "q=1&r",
                "header.odd" => "a/b?c#d&e f",
                "header.port" => "a:1",
                _ => return false,
            };
            out.extend_from_slice(value.as_bytes());
            true
        }
    }

    fn check(template: &str, expected: Result<&str, FillError>) {
        let template = ValueTemplate::parse(template).unwrap();
        let url = UrlTemplate::new(&template).unwrap();
        let mut out = Vec::new();
        let filled = url.fill(&Request, PathOptions::default(), &mut out);
        let filled = filled.map(|()| String::from_utf8(out).unwrap());
        assert_eq!(filled.as_deref().map_err(|error| *error), expected, "{template}");
    }

    #[test]
    fn values_are_filled_in_by_their_place() {
        check("https://b.example/{{x}}", Ok("https://b.example/{x}"));
        check("https://b.example{path}", Ok("https://b.example/x/y"));
        check(
            "https://b.example/{path}?{query}",
            Ok("https://b.example/x/y?q=1&r"),
        );
        check("{scheme}://www.{host}/", Ok("https://www.a.example/"));
        check("https://{header.port}", Ok("https://a:1"));
        check("https://b.example", Ok("https://b.example"));
        check("https://b.example?to={path}", Ok("https://b.example?to=/x/y"));
        check(
            "https://b.example/l?next={header.odd}#{header.odd}",
            Ok("https://b.example/l?next=a/b?c%23d%26e%20f#a/b?c%23d%26e%20f"),
        );
        check("https://b.example/?{header.none}", Ok("https://b.example/"));
        check("https://{header.odd}/", Err(FillError::Host));
        check("https://{header.none}/", Err(FillError::Host));
        check(
            "https://b.example/{header.odd}",
            Err(FillError::Path(waypost_wire::path::PathError::Encoded(1))),
        );
    }

    #[test]
    fn texts_that_are_no_url_are_refused() {
        for (text, error) in [
            ("/a", UrlError::NoScheme),
            ("{host}/a", UrlError::NoScheme),
            ("{scheme}:{host}", UrlError::NoScheme),
            ("{scheme}", UrlError::NoScheme),
            ("https://{query}", UrlError::Query),
            ("https://a/{query}", UrlError::Query),
        ] {
            let template = ValueTemplate::parse(text).unwrap();
            assert_eq!(UrlTemplate::new(&template), Err(error), "{text}");
        }
    }
}
