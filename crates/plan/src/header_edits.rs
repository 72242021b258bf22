//! Edits of headers, applied in the order remove, set, add.

use waypost_wire::field::is_taken_for;
use waypost_wire::{token, write};

use crate::value::listed::ListedNames;
use crate::value::{ValueName, ValueTemplate, Values};

/// Edits of headers. Each name occurs once; none is a framing or hop-by-hop header.
///
/// Without edits, as in most routes, it takes one pointer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HeaderEdits(Option<Box<Lists>>);

#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Lists {
    remove: Vec<Box<str>>,
    set: Vec<(Box<str>, ValueTemplate)>,
    add: Vec<(Box<str>, ValueTemplate)>,
    /// Bit `n` is set if the length of a removed or set name is `n` modulo 64. It rules out most comparisons.
    lengths: u64,
    /// True if a value has names in it.
    has_templates: bool,
    /// True if a line is set to what authentication verifies.
    has_identity: bool,
}

/// An error in an edit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderEditError {
    /// The name is not a token.
    #[error("`{0}` is not a header name")]
    Name(Box<str>),
    /// The value has a control character, or blanks around it.
    #[error("the value of `{0}` has a control character, or blanks around it")]
    Value(Box<str>),
    /// The name is `host`, which `rewrite` changes.
    #[error("`host` is not edited as a header")]
    Host,
    /// The name is a framing or hop-by-hop header.
    #[error("`{0}` is set by the gateway itself")]
    Reserved(Box<str>),
    /// The name is edited already.
    #[error("`{0}` is edited twice")]
    Twice(Box<str>),
}

/// Framing and hop-by-hop headers, which cannot be edited.
const RESERVED: [&str; 10] = [
    "connection",
    "content-length",
    "expect",
    "http2-settings",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

impl HeaderEdits {
    /// No edits.
    pub const NONE: Self = Self(None);

    /// Removes every line named `name`.
    ///
    /// # Errors
    /// If the name is invalid, reserved, or edited already.
    pub fn remove(&mut self, name: &str) -> Result<(), HeaderEditError> {
        self.check(name, &ValueTemplate::default())?;
        let lists = self.lists();
        lists.lengths |= length_bit(name.as_bytes());
        lists.remove.push(name.into());
        Ok(())
    }

    /// Replaces all lines named `name` by one.
    ///
    /// # Errors
    /// If the name or value is invalid, or the name is reserved or edited already.
    pub fn set(&mut self, name: &str, value: impl Into<ValueTemplate>) -> Result<(), HeaderEditError> {
        let value = value.into();
        self.check(name, &value)?;
        let lists = self.lists();
        lists.lengths |= length_bit(name.as_bytes());
        lists.has_templates |= !value.is_literal();
        lists.has_identity |= is_of_auth(&value);
        lists.set.push((name.into(), value));
        Ok(())
    }

    /// Adds a line.
    ///
    /// # Errors
    /// If the name or value is invalid, or the name is reserved or edited already.
    pub fn add(&mut self, name: &str, value: impl Into<ValueTemplate>) -> Result<(), HeaderEditError> {
        let value = value.into();
        self.check(name, &value)?;
        let lists = self.lists();
        lists.has_templates |= !value.is_literal();
        lists.add.push((name.into(), value));
        Ok(())
    }

    /// Returns these edits and `later` ones, which replace those of the same name.
    #[must_use]
    pub fn followed_by(&self, later: &Self) -> Self {
        let (Some(lists), Some(more)) = (&self.0, &later.0) else {
            return if later.0.is_some() { later } else { self }.clone();
        };
        let mut joined = (**lists).clone();
        let stays = |name: &str| !more.edits(name);
        joined.remove.retain(|name| stays(name));
        joined.set.retain(|(name, _)| stays(name));
        joined.add.retain(|(name, _)| stays(name));
        joined.remove.extend(more.remove.iter().cloned());
        joined.set.extend(more.set.iter().cloned());
        joined.add.extend(more.add.iter().cloned());
        let dropped = joined.set.iter().map(|(name, _)| name).chain(&joined.remove);
        joined.has_templates = joined
            .set
            .iter()
            .chain(&joined.add)
            .any(|(_, value)| !value.is_literal());
        joined.has_identity = joined.set.iter().any(|(_, value)| is_of_auth(value));
        joined.lengths = dropped.fold(0, |lengths, name| lengths | length_bit(name.as_bytes()));
        Self(Some(Box::new(joined)))
    }

    /// Puts parameters in the place of the values of these names.
    pub(crate) fn shadow(&mut self, names: ListedNames) {
        if let Some(lists) = &mut self.0 {
            for (_, value) in lists.set.iter_mut().chain(&mut lists.add) {
                value.shadow(names);
            }
        }
    }

    /// Returns true if lines named `name` are removed or replaced. Names compare without case.
    #[inline]
    pub fn drops(&self, name: &[u8]) -> bool {
        // Called for every field of every message.
        let lists = self.0.as_ref();
        lists.is_some_and(|lists| lists.lengths & length_bit(name) != 0 && lists.drops(name))
    }

    /// The names of lines that are removed or replaced.
    pub fn dropped(&self) -> impl Iterator<Item = &str> {
        let lists = self.0.iter();
        lists.flat_map(|lists| {
            let set = lists.set.iter().map(|(name, _)| name);
            lists.remove.iter().chain(set).map(|name| &**name)
        })
    }

    /// Returns true if servers may take `name` for a header that is set to what authentication verifies: with `_` for `-`.
    /// No client may write it.
    pub fn is_verified(&self, name: &[u8]) -> bool {
        let lists = self.0.as_ref().filter(|lists| lists.has_identity);
        lists.is_some_and(|lists| {
            let mut verified = lists.set.iter().filter(|(_, value)| is_of_auth(value));
            verified.any(|(set, _)| is_taken_for(name, set))
        })
    }

    /// Returns the lines to insert: those set, then those added.
    pub fn lines(&self) -> impl Iterator<Item = (&str, &ValueTemplate)> {
        let lists = self.0.iter();
        lists
            .flat_map(|lists| lists.set.iter().chain(&lists.add))
            .map(|(name, value)| (&**name, value))
    }

    /// Returns true if a value has names in it, so that [`HeaderEdits::fill`] writes the lines.
    #[inline]
    pub fn has_templates(&self) -> bool {
        self.0.as_ref().is_some_and(|lists| lists.has_templates)
    }

    /// The value that is inserted under `name`. `filled` has the lines where a value has names in it.
    pub fn value<'a>(&'a self, name: &str, filled: &'a [u8]) -> Option<&'a [u8]> {
        if !self.has_templates() {
            let (_, value) = self.lines().find(|(line, _)| line.eq_ignore_ascii_case(name))?;
            return value.as_literal().map(str::as_bytes);
        }
        let mut lines = filled.split(|&byte| byte == b'\n');
        lines.find_map(|line| {
            let (found, value) = line.split_at_checked(name.len())?;
            let value = value.strip_prefix(b": ")?.strip_suffix(b"\r")?;
            found.eq_ignore_ascii_case(name.as_bytes()).then_some(value)
        })
    }

    /// Appends the lines to insert, with their values filled in.
    pub fn fill(&self, values: &dyn Values, out: &mut Vec<u8>) {
        for (name, value) in self.lines() {
            value.fill_header(name, values, out);
        }
    }

    /// Appends the lines to insert. `filled` has them where a value has names in it.
    #[inline]
    pub fn write(&self, filled: &[u8], out: &mut Vec<u8>) {
        if self.has_templates() {
            out.extend_from_slice(filled);
            return;
        }
        for (name, value) in self.lines() {
            write::field(
                out,
                name.as_bytes(),
                value.as_literal().unwrap_or_default().as_bytes(),
            );
        }
    }

    fn lists(&mut self) -> &mut Lists {
        self.0.get_or_insert_default()
    }

    fn check(&self, name: &str, value: &ValueTemplate) -> Result<(), HeaderEditError> {
        if !token::is_token(name.as_bytes()) {
            return Err(HeaderEditError::Name(name.into()));
        }
        if name.eq_ignore_ascii_case("host") {
            return Err(HeaderEditError::Host);
        }
        if RESERVED
            .iter()
            .any(|reserved| name.eq_ignore_ascii_case(reserved))
        {
            return Err(HeaderEditError::Reserved(name.into()));
        }
        // No value can end a line: the head that it comes from was parsed.
        if !token::is_field_value(value.filled_with("x").as_bytes()) {
            return Err(HeaderEditError::Value(name.into()));
        }
        let mut added = self.0.iter().flat_map(|lists| &lists.add);
        let added = added.any(|(edited, _)| edited.eq_ignore_ascii_case(name));
        if added || self.drops(name.as_bytes()) {
            return Err(HeaderEditError::Twice(name.into()));
        }
        Ok(())
    }
}

impl Lists {
    fn edits(&self, name: &str) -> bool {
        self.drops(name.as_bytes())
            || self
                .add
                .iter()
                .any(|(edited, _)| edited.eq_ignore_ascii_case(name))
    }

    fn drops(&self, name: &[u8]) -> bool {
        let is = |edited: &str| edited.as_bytes().eq_ignore_ascii_case(name);
        self.remove.iter().any(|edited| is(edited)) || self.set.iter().any(|(edited, _)| is(edited))
    }
}

/// Returns true if there is a value in `template` that authentication verifies.
fn is_of_auth(template: &ValueTemplate) -> bool {
    template.names().any(ValueName::is_of_auth)
}

fn length_bit(name: &[u8]) -> u64 {
    1 << (name.len() % 64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duplicate_and_reserved_names_are_refused() {
        let mut edits = HeaderEdits::default();
        edits.set("X-A", "1").unwrap();
        assert_eq!(edits.remove("x-a"), Err(HeaderEditError::Twice("x-a".into())));
        assert_eq!(edits.add("x-A", "2"), Err(HeaderEditError::Twice("x-A".into())));
        assert_eq!(edits.set("Host", "a"), Err(HeaderEditError::Host));
        assert_eq!(edits.set("TE", "a"), Err(HeaderEditError::Reserved("TE".into())));
        assert_eq!(edits.set("a b", "a"), Err(HeaderEditError::Name("a b".into())));
        assert_eq!(edits.set("a", "x\r\ny"), Err(HeaderEditError::Value("a".into())));
        assert!(edits.drops(b"x-A"));
    }

    #[test]
    fn a_later_edit_of_a_name_replaces_an_earlier_one() {
        let mut first = HeaderEdits::default();
        first.set("x-a", "1").unwrap();
        first.add("x-b", "1").unwrap();
        first.remove("x-c").unwrap();
        first.set("x-d", "1").unwrap();
        let mut later = HeaderEdits::default();
        later.remove("X-A").unwrap();
        later.set("X-B", "2").unwrap();
        later.add("x-C", "2").unwrap();
        let both = first.followed_by(&later);
        let lines = both
            .lines()
            .map(|(name, value)| (name, value.as_literal().unwrap()));
        let lines: Vec<(&str, &str)> = lines.collect();
        assert_eq!(lines, [("x-d", "1"), ("X-B", "2"), ("x-C", "2")]);
        let dropped = ["x-a", "x-b", "x-c", "x-d"].map(|name| both.drops(name.as_bytes()));
        assert_eq!(dropped, [true, true, false, true]);
        assert_eq!(first.followed_by(&HeaderEdits::NONE), first);
        assert_eq!(HeaderEdits::NONE.followed_by(&later), later);
    }

    #[test]
    fn removed_and_set_names_of_any_length_are_dropped() {
        let mut edits = HeaderEdits::default();
        let long = "l".repeat(68);
        edits.remove(&long).unwrap();
        edits.set("x-set", "1").unwrap();
        edits.add("added", "1").unwrap();
        for (name, dropped) in [
            (&*long, true),
            ("X-SET", true),
            ("x-sat", false),
            ("added", false),
            ("llll", false),
            ("", false),
        ] {
            assert_eq!(edits.drops(name.as_bytes()), dropped, "{name}");
        }
    }
}
