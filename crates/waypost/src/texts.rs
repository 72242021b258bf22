//! The texts of a config, wherever they come from.

use std::borrow::Cow;
use std::path::Path;

use waypost_config::Kind;

/// The texts of a config, as they were at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Texts {
    pub(crate) sources: Vec<waypost_config::Source>,
    pub(crate) kind: Kind,
    /// The file with what is this instance's alone, which comes before what it shares with others.
    pub(crate) local: Option<waypost_config::Source>,
}

impl Texts {
    /// All texts that a place in a diagnostic can be in.
    pub(crate) fn all(&self) -> Cow<'_, [waypost_config::Source]> {
        match &self.local {
            None => Cow::Borrowed(&self.sources),
            Some(local) => Cow::Owned(self.sources.iter().chain([local]).cloned().collect()),
        }
    }
}

/// The last component of a text's name.
pub(crate) fn file_name(path: &str) -> &str {
    let name = Path::new(path).file_name();
    name.and_then(|name| name.to_str()).unwrap_or(path)
}
