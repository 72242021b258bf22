//! Path templates with `{name}`, filled in from a pattern's parameters, and regex replacements with `$1`.

use std::fmt;

use waypost_route::path::PathBinding;
use waypost_route::regex::Regex;

/// A path with `{name}` placeholders for parameters.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PathTemplate {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(Box<str>),
    Bound(Box<str>),
}

/// An error in a template or replacement.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// An unbalanced brace.
    #[error("a brace without its partner; a literal brace is written `%7B` or `%7D`")]
    Brace,
    /// `{}`.
    #[error("`{{}}` names nothing")]
    EmptyName,
    /// Does not begin with `/`.
    #[error("a path begins with `/`")]
    NoSlash,
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

impl PathTemplate {
    /// Parses a template.
    ///
    /// # Errors
    /// If it is not a path, or has unbalanced braces.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        if !text.starts_with('/') {
            return Err(TemplateError::NoSlash);
        }
        check_characters(text)?;
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, from) = rest.split_at(at);
            let inside = from.strip_prefix('{').ok_or(TemplateError::Brace)?;
            let end = inside.find(['{', '}']).ok_or(TemplateError::Brace)?;
            let (name, after) = inside.split_at(end);
            rest = after.strip_prefix('}').ok_or(TemplateError::Brace)?;
            if name.is_empty() {
                return Err(TemplateError::EmptyName);
            }
            if !before.is_empty() {
                parts.push(Part::Text(before.into()));
            }
            parts.push(Part::Bound(name.into()));
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.into()));
        }
        Ok(Self { parts })
    }

    /// Returns the template with `value` for every parameter.
    pub fn filled_with(&self, value: &str) -> String {
        let parts = self.parts.iter().map(|part| match part {
            Part::Text(text) => text,
            Part::Bound(_) => value,
        });
        parts.collect()
    }

    /// Returns the names of the placeholders.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Bound(name) => Some(&**name),
            Part::Text(_) => None,
        })
    }

    /// Appends the template with the parameters that `binding` took from `path`.
    ///
    /// A regex group that did not participate in the match is empty.
    pub fn fill(&self, path: &[u8], binding: &PathBinding<'_>, out: &mut Vec<u8>) {
        for part in &self.parts {
            match part {
                Part::Text(text) => out.extend_from_slice(text.as_bytes()),
                Part::Bound(name) => {
                    let found = binding.parameters.iter().find(|(bound, _)| *bound == &**name);
                    if let Some((_, range)) = found {
                        out.extend_from_slice(&path[range.clone()]);
                    }
                }
            }
        }
    }
}

impl fmt::Display for PathTemplate {
    /// Writes it as in a config.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.parts.iter().try_for_each(|part| match part {
            Part::Text(text) => f.write_str(text),
            Part::Bound(name) => write!(f, "{{{name}}}"),
        })
    }
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
    use waypost_route::path::PathPattern;

    fn fill(template: &str, pattern: &str, path: &str) -> String {
        let pattern = PathPattern::parse(pattern).unwrap();
        let binding = pattern.bind(path.as_bytes()).unwrap();
        let mut out = Vec::new();
        PathTemplate::parse(template)
            .unwrap()
            .fill(path.as_bytes(), &binding, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn placeholders_are_filled_with_parameters() {
        assert_eq!(
            fill("/x/{id}/{id}.json", "/users/{id}", "/users/7"),
            "/x/7/7.json"
        );
        assert_eq!(fill("/{a}{b}", "~^/(?<a>x)|(?<b>y)", "/x"), "/x");
    }

    #[test]
    fn invalid_templates_are_refused() {
        for (text, error) in [
            ("a", TemplateError::NoSlash),
            ("/{a", TemplateError::Brace),
            ("/a}", TemplateError::Brace),
            ("/{a{b}}", TemplateError::Brace),
            ("/{}", TemplateError::EmptyName),
            ("/a?b", TemplateError::Character('?')),
        ] {
            assert_eq!(PathTemplate::parse(text), Err(error), "{text}");
        }
    }

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
