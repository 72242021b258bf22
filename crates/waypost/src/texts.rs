//! The texts of a config, wherever they come from.

use std::path::Path;

use waypost_config::Kind;

/// The texts of a config, as they were at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Texts {
    pub(crate) sources: Vec<waypost_config::Source>,
    pub(crate) kind: Kind,
}

/// The last component of a text's name.
pub(crate) fn file_name(path: &str) -> &str {
    let name = Path::new(path).file_name();
    name.and_then(|name| name.to_str()).unwrap_or(path)
}
