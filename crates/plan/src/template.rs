//! Replacements of the matches of a regex, with `$1`.

use waypost_route::regex::Regex;

/// An error in a replacement.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// `?` or `#`.
    #[error("`{0}` is not allowed in a path")]
    Character(char),
    /// The regex has no group of this name or number.
    #[error("the expression has no group `{0}`")]
    NoGroup(Box<str>),
    /// A `$` that is followed by neither a group nor another `$`.
    #[error("`$` is followed by a group's number or name, or by another `$`")]
    Dollar,
}

/// A replacement for every match of a regex: text with `$1`, `${1}`, `$name`, `${name}` and `$$`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replacement {
    from: Regex,
    parts: Vec<ReplacementPart>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum ReplacementPart {
    Text(Box<str>),
    Group(usize),
}

impl Replacement {
    /// Parses the replacement `to` for the matches of `from`.
    ///
    /// # Errors
    /// If it refers to a group that `from` does not have, has a stray `$`, or text that no path has.
    pub fn parse(from: Regex, to: &str) -> Result<Self, TemplateError> {
        let mut parts = Vec::new();
        let mut text = String::new();
        let mut rest = to;
        while let Some(at) = rest.find('$') {
            text.push_str(&rest[..at]);
            rest = &rest[at + 1..];
            if let Some(after) = rest.strip_prefix('$') {
                text.push('$');
                rest = after;
                continue;
            }
            let (name, after) = match rest.strip_prefix('{') {
                Some(inside) => inside.split_once('}').ok_or(TemplateError::Dollar)?,
                None => {
                    let end = rest
                        .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
                        .unwrap_or(rest.len());
                    rest.split_at(end)
                }
            };
            if name.is_empty() {
                return Err(TemplateError::Dollar);
            }
            let group = group_index(&from, name).ok_or_else(|| TemplateError::NoGroup(name.into()))?;
            if !text.is_empty() {
                parts.push(ReplacementPart::Text(std::mem::take(&mut text).into()));
            }
            parts.push(ReplacementPart::Group(group));
            rest = after;
        }
        text.push_str(rest);
        if !text.is_empty() {
            parts.push(ReplacementPart::Text(text.into()));
        }
        for part in &parts {
            if let ReplacementPart::Text(text) = part {
                check_characters(text)?;
            }
        }
        Ok(Self { from, parts })
    }

    /// Returns the regex whose matches are replaced.
    pub fn from(&self) -> &Regex {
        &self.from
    }

    /// Returns the replacement with `value` for every group.
    pub fn filled_with(&self, value: &str) -> String {
        let parts = self.parts.iter().map(|part| match part {
            ReplacementPart::Text(text) => text,
            ReplacementPart::Group(_) => value,
        });
        parts.collect()
    }

    /// Returns the beginning of every replaced path, as far as it is known: the text in front of the first group, if
    /// every match begins at the start of the path. `None` if nothing is known.
    pub fn beginning(&self) -> Option<&str> {
        match self.parts.first()? {
            ReplacementPart::Text(text) if self.from.is_anchored() => Some(text),
            _ => None,
        }
    }

    /// Appends `path` with every match replaced; without a match, `path` unchanged.
    pub fn replace_all(&self, path: &[u8], out: &mut Vec<u8>) {
        let mut copied = 0;
        for captures in self.from.compiled().captures_iter(path) {
            let Some(whole) = captures.get_match() else {
                continue;
            };
            out.extend_from_slice(&path[copied..whole.start()]);
            copied = whole.end();
            for part in &self.parts {
                match part {
                    ReplacementPart::Text(text) => out.extend_from_slice(text.as_bytes()),
                    ReplacementPart::Group(group) => {
                        let span = captures.get_group(*group);
                        out.extend_from_slice(span.map_or(&[], |span| &path[span.range()]));
                    }
                }
            }
        }
        out.extend_from_slice(&path[copied..]);
    }
}

/// Refuses the characters that end a path.
fn check_characters(text: &str) -> Result<(), TemplateError> {
    match text.chars().find(|c| matches!(c, '?' | '#')) {
        Some(odd) => Err(TemplateError::Character(odd)),
        None => Ok(()),
    }
}

fn group_index(regex: &Regex, name: &str) -> Option<usize> {
    let groups = regex.compiled().group_info();
    match name.parse::<usize>() {
        Ok(index) => (index < groups.group_len(regex_automata::PatternID::ZERO)).then_some(index),
        Err(_) => groups.to_index(regex_automata::PatternID::ZERO, name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replace(from: &str, to: &str, path: &str) -> String {
        let replacement = Replacement::parse(Regex::new(from).unwrap(), to).unwrap();
        let mut out = Vec::new();
        replacement.replace_all(path.as_bytes(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn every_match_is_replaced() {
        assert_eq!(replace("a", "b", "/a/a"), "/b/b");
        assert_eq!(
            replace("^/v([0-9]+)/(?<rest>.*)", "/$rest/${1}x/$1/$$", "/v2/a"),
            "/a/2x/2/$"
        );
        assert_eq!(replace("x", "y", "/a"), "/a");
    }

    #[test]
    fn known_text_of_a_replacement() {
        for (from, to, beginning, filled) in [
            ("^/a(.*)", "/b$1/c", Some("/b"), "/bx/c"),
            ("^/a(.*)", "b", Some("b"), "b"),
            ("^/a(.*)", "$1/b", None, "x/b"),
            ("^/a", "", None, ""),
            ("/a(.*)", "/b$1$$", None, "/bx$"),
        ] {
            let replacement = Replacement::parse(Regex::new(from).unwrap(), to).unwrap();
            assert_eq!(replacement.beginning(), beginning, "{from} → {to}");
            assert_eq!(replacement.filled_with("x"), filled, "{from} → {to}");
        }
    }

    #[test]
    fn invalid_replacements_are_refused() {
        let parse = |to| Replacement::parse(Regex::new("(a)").unwrap(), to);
        assert_eq!(parse("$2"), Err(TemplateError::NoGroup("2".into())));
        assert_eq!(parse("$1x"), Err(TemplateError::NoGroup("1x".into())));
        assert_eq!(parse("a$"), Err(TemplateError::Dollar));
        assert_eq!(parse("${1"), Err(TemplateError::Dollar));
        assert_eq!(parse("$1?a"), Err(TemplateError::Character('?')));
        assert_eq!(parse("#$1"), Err(TemplateError::Character('#')));
    }
}
