//! Path patterns as nginx writes them, with its modifiers: `= /exact`, `^~ /prefix`, `~ regex`, `~* regex`.

/// A pattern of this language for one of nginx.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Location {
    /// The modifier.
    pub(crate) modifier: &'static str,
    pub(crate) pattern: String,
    /// True if it takes the same paths.
    pub(crate) is_same: bool,
}

/// Returns the pattern that is meant by `text`, which begins with a modifier of nginx; it may be invalid for other reasons.
pub(crate) fn of(text: &str) -> Option<Location> {
    let location = |modifier, pattern, is_same| {
        Some(Location {
            modifier,
            pattern,
            is_same,
        })
    };
    if let Some(path) = text.strip_prefix("^~") {
        let path = path.trim();
        return path
            .starts_with('/')
            .then(|| location("^~", format!("{}/*", path.trim_end_matches('/')), false))?;
    }
    if let Some(path) = text.strip_prefix('=') {
        let path = path.trim();
        return path
            .starts_with('/')
            .then(|| location("=", path.to_owned(), true))?;
    }
    if let Some(regex) = text.strip_prefix("~*") {
        return location("~*", format!("~(?i){}", regex.trim()), true);
    }
    let regex = text.strip_prefix("~ ")?;
    location("~ ", format!("~{}", regex.trim()), true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modifiers_are_translated() {
        for (text, expected) in [
            ("= /exact", Some(("/exact", true))),
            ("=/", Some(("/", true))),
            ("^~ /x/", Some(("/x/*", false))),
            ("^~ /", Some(("/*", false))),
            (r"~* \.php$", Some((r"~(?i)\.php$", true))),
            (r"~*\.php$", Some((r"~(?i)\.php$", true))),
            ("~ ^/v[0-9]/", Some(("~^/v[0-9]/", true))),
            ("~^/v1", None),
            ("^~", None),
            ("=", None),
            ("/x", None),
        ] {
            let found = of(text);
            let found = found.as_ref().map(|found| (&*found.pattern, found.is_same));
            assert_eq!(found, expected, "{text}");
        }
    }
}
