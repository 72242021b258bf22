//! Searches for routes: `host:example.com failing`, as a list of words that all hold for a route that is found.

pub(crate) mod index;

/// Conditions on routes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Search {
    /// Conditions on the texts of a route.
    pub(crate) parts: Vec<Part>,
    /// Conditions on the state of a route.
    pub(crate) states: Vec<State>,
}

/// A part of a text of a route, in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) of: Text,
    pub(crate) text: String,
}

/// A text of a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Text {
    /// A host, also one that a wildcard covers.
    Host,
    Path,
    /// The name of a service.
    Service,
    /// The name, a host or a path.
    Any,
}

/// A state of a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Requests have failed of late.
    Failing,
    /// Live weights differ from the declared ones.
    Dialed,
    /// A rollout is under way.
    Rollout,
}

impl Search {
    /// Parses a search.
    ///
    /// # Errors
    /// The key before a colon that there is not.
    pub(crate) fn parse(text: &str) -> Result<Self, &str> {
        let mut search = Self::default();
        for word in text.split_whitespace() {
            let (of, text) = match word.split_once(':') {
                Some(("host", text)) => (Text::Host, text),
                Some(("path", text)) => (Text::Path, text),
                Some(("service", text)) => (Text::Service, text),
                Some((key, _)) if !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphabetic()) => {
                    return Err(key);
                }
                _ => (Text::Any, word),
            };
            let state = match word {
                "failing" => Some(State::Failing),
                "dialed" => Some(State::Dialed),
                "rollout" => Some(State::Rollout),
                _ => None,
            };
            match state {
                Some(state) => search.states.push(state),
                // Nothing is asked yet by a key alone, while someone types.
                None if text.is_empty() => {}
                None => search.parts.push(Part {
                    of,
                    text: text.to_ascii_lowercase(),
                }),
            }
        }
        Ok(search)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn searches_are_words() {
        let check = |text, parts: &[(Text, &str)], states: &[State]| {
            let parts = parts.iter().map(|(of, text)| Part {
                of: *of,
                text: (*text).to_owned(),
            });
            let expected = Search {
                parts: parts.collect(),
                states: states.to_vec(),
            };
            assert_eq!(Search::parse(text), Ok(expected), "{text}");
        };
        check("", &[], &[]);
        check(
            " host:API.example  failing Users ",
            &[(Text::Host, "api.example"), (Text::Any, "users")],
            &[State::Failing],
        );
        check("host: path:/a:b", &[(Text::Path, "/a:b")], &[]);
        check("/v1:batch", &[(Text::Any, "/v1:batch")], &[]);
        check(
            "dialed rollout service:x",
            &[(Text::Service, "x")],
            &[State::Dialed, State::Rollout],
        );
        assert_eq!(Search::parse("a hots:b"), Err("hots"));
    }
}
