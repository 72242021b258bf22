//! Regular expressions on bytes, bounded in size, linear in time.

use std::fmt;
use std::sync::Arc;

use regex_automata::meta;
use regex_automata::util::syntax;

/// Maximum size of one compiled regex in bytes, as in the `regex` crate.
const COMPILED_BYTES_MAX: usize = 10 << 20;

/// A compiled regex with its source text.
///
/// The syntax is that of the `regex` crate. Matching is on bytes, case-sensitive, and unanchored.
#[derive(Clone)]
pub struct Regex(Arc<Inner>);

struct Inner {
    text: Box<str>,
    compiled: meta::Regex,
}

/// An error in a regex.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RegexError {
    /// Invalid syntax.
    #[error("{reason}")]
    Syntax {
        /// The parser's message.
        reason: String,
        /// Byte offset in the regex, if known.
        offset: Option<usize>,
    },
    /// The compiled regex is larger than 10 MiB.
    #[error("the expression is too large: compiled it takes more than 10 MiB")]
    TooLarge,
}

/// Parser settings, for single regexes and for sets.
pub(crate) fn syntax_config() -> syntax::Config {
    syntax::Config::new().utf8(false)
}

/// Compiler settings, for single regexes and for sets.
pub(crate) fn meta_config() -> meta::Config {
    meta::Config::new()
        .utf8_empty(false)
        .nfa_size_limit(Some(COMPILED_BYTES_MAX))
}

impl Regex {
    /// Compiles a regex.
    ///
    /// # Errors
    /// If the syntax is invalid, or the compiled regex is larger than 10 MiB.
    pub fn new(text: &str) -> Result<Self, RegexError> {
        let parsed = regex_syntax::ParserBuilder::new().utf8(false).build().parse(text);
        if let Err(error) = parsed {
            let (reason, offset) = match &error {
                regex_syntax::Error::Parse(e) => (e.kind().to_string(), Some(e.span().start.offset)),
                regex_syntax::Error::Translate(e) => (e.kind().to_string(), Some(e.span().start.offset)),
                other => (other.to_string(), None),
            };
            return Err(RegexError::Syntax { reason, offset });
        }
        let compiled = meta::Regex::builder()
            .syntax(syntax_config())
            .configure(meta_config())
            .build(text)
            .map_err(|_| RegexError::TooLarge)?;
        Ok(Self(Arc::new(Inner {
            text: text.into(),
            compiled,
        })))
    }

    /// Returns the source text.
    pub fn as_str(&self) -> &str {
        &self.0.text
    }

    /// Returns true if the regex has a match in `value`.
    pub fn is_match(&self, value: &[u8]) -> bool {
        self.0.compiled.is_match(value)
    }

    /// Returns true if every match begins at the start of the value.
    pub fn is_anchored(&self) -> bool {
        let parsed = regex_syntax::ParserBuilder::new()
            .utf8(false)
            .build()
            .parse(&self.0.text);
        parsed.is_ok_and(|parsed| {
            let prefix = parsed.properties().look_set_prefix();
            prefix.contains(regex_syntax::hir::Look::Start)
        })
    }

    /// Returns the compiled regex, for captures and replacements.
    pub fn compiled(&self) -> &meta::Regex {
        &self.0.compiled
    }

    /// Returns the names of named groups.
    pub fn group_names(&self) -> impl Iterator<Item = &str> {
        self.0
            .compiled
            .group_info()
            .pattern_names(regex_automata::PatternID::ZERO)
            .flatten()
    }
}

impl PartialEq for Regex {
    fn eq(&self, other: &Self) -> bool {
        self.0.text == other.0.text
    }
}

impl Eq for Regex {}

impl std::hash::Hash for Regex {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.text.hash(state);
    }
}

impl fmt::Debug for Regex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "~{}", self.0.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn found_anywhere_unless_anchored() {
        assert!(Regex::new("gold").unwrap().is_match(b"a golden day"));
        assert!(!Regex::new("^gold$").unwrap().is_match(b"golden"));
        assert!(!Regex::new("gold").unwrap().is_match(b"GOLD"));
        assert!(Regex::new(r"(?-u)\xff").unwrap().is_match(b"a\xff"));
    }

    #[test]
    fn anchored_if_every_match_begins_at_the_start() {
        for (text, anchored) in [
            ("^/a", true),
            ("^(/a|/b)", true),
            ("(^/a|^/b)", true),
            ("\\A", true),
            ("/a", false),
            ("^/a|/b", false),
            ("(?m)^/a", false),
            ("(^)?/a", false),
        ] {
            assert_eq!(Regex::new(text).unwrap().is_anchored(), anchored, "{text}");
        }
    }

    #[test]
    fn errors_say_what_and_where() {
        let Err(RegexError::Syntax { reason, offset }) = Regex::new("a(b") else {
            panic!("`a(b` should not compile");
        };
        assert_eq!((reason.as_str(), offset), ("unclosed group", Some(1)));
        assert!(matches!(Regex::new(r"(\w{500}){500}"), Err(RegexError::TooLarge)));
    }
}
