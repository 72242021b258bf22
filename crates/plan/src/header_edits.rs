//! Edits of headers: remove, then set, then add.

use waypost_wire::token;

/// Edits of headers. No name stands in two of the lists; none frames a message or ends at the gateway.
///
/// Most routes have none, and those take no more than a pointer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HeaderEdits(Option<Box<Lists>>);

#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Lists {
    remove: Vec<Box<str>>,
    set: Vec<(Box<str>, Box<str>)>,
    add: Vec<(Box<str>, Box<str>)>,
    /// A bit for the length of each name that is removed or set, modulo 64: few names have to be compared with.
    lengths: u64,
}

/// Why an edit is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderEditError {
    /// Not a token.
    #[error("`{0}` is no header name")]
    Name(Box<str>),
    /// A control character in the value, or blanks around it.
    #[error("the value of `{0}` has a control character, or blanks around it")]
    Value(Box<str>),
    /// `host`: rewriting it is the business of `rewrite`.
    #[error("`host` is not edited as a header")]
    Host,
    /// A header that frames the message or ends at the gateway.
    #[error("`{0}` is set by the gateway itself")]
    Reserved(Box<str>),
    /// One name in two edits.
    #[error("`{0}` is edited twice")]
    Twice(Box<str>),
}

/// The names that no edit may touch: framing, and what is meant for one connection only.
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

    /// Leaves out every line named `name`.
    ///
    /// # Errors
    /// When the name is no name, reserved, or edited already.
    pub fn add_remove(&mut self, name: &str) -> Result<(), HeaderEditError> {
        self.check(name, "")?;
        let lists = self.lists();
        lists.lengths |= length_bit(name.as_bytes());
        lists.remove.push(name.into());
        Ok(())
    }

    /// Replaces every line named `name` by one.
    ///
    /// # Errors
    /// When the name or value is not one, or the name reserved or edited already.
    pub fn add_set(&mut self, name: &str, value: &str) -> Result<(), HeaderEditError> {
        self.check(name, value)?;
        let lists = self.lists();
        lists.lengths |= length_bit(name.as_bytes());
        lists.set.push((name.into(), value.into()));
        Ok(())
    }

    /// Adds a line.
    ///
    /// # Errors
    /// When the name or value is not one, or the name reserved or edited already.
    pub fn add_add(&mut self, name: &str, value: &str) -> Result<(), HeaderEditError> {
        self.check(name, value)?;
        self.lists().add.push((name.into(), value.into()));
        Ok(())
    }

    /// Whether a line named `name`, in any case, is left out: it is removed or replaced.
    #[inline]
    pub fn drops(&self, name: &[u8]) -> bool {
        // Asked for every field of every message.
        let lists = self.0.as_ref();
        lists.is_some_and(|lists| lists.lengths & length_bit(name) != 0 && lists.drops(name))
    }

    /// The lines that are put in, in order: what is set, then what is added.
    pub fn lines(&self) -> impl Iterator<Item = (&str, &str)> {
        let lists = self.0.iter();
        lists
            .flat_map(|lists| lists.set.iter().chain(&lists.add))
            .map(|(name, value)| (&**name, &**value))
    }

    fn lists(&mut self) -> &mut Lists {
        self.0.get_or_insert_default()
    }

    fn check(&self, name: &str, value: &str) -> Result<(), HeaderEditError> {
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
        if !token::is_field_value(value.as_bytes()) {
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
    fn drops(&self, name: &[u8]) -> bool {
        let is = |edited: &str| edited.as_bytes().eq_ignore_ascii_case(name);
        self.remove.iter().any(|edited| is(edited)) || self.set.iter().any(|(edited, _)| is(edited))
    }
}

fn length_bit(name: &[u8]) -> u64 {
    1 << (name.len() % 64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_edited_once_and_never_a_reserved_one() {
        let mut edits = HeaderEdits::default();
        edits.add_set("X-A", "1").unwrap();
        assert_eq!(edits.add_remove("x-a"), Err(HeaderEditError::Twice("x-a".into())));
        assert_eq!(
            edits.add_add("x-A", "2"),
            Err(HeaderEditError::Twice("x-A".into()))
        );
        assert_eq!(edits.add_set("Host", "a"), Err(HeaderEditError::Host));
        assert_eq!(
            edits.add_set("TE", "a"),
            Err(HeaderEditError::Reserved("TE".into()))
        );
        assert_eq!(
            edits.add_set("a b", "a"),
            Err(HeaderEditError::Name("a b".into()))
        );
        assert_eq!(
            edits.add_set("a", "x\r\ny"),
            Err(HeaderEditError::Value("a".into()))
        );
        assert!(edits.drops(b"x-A"));
    }

    #[test]
    fn what_is_dropped_is_what_is_removed_or_set_whatever_its_length() {
        let mut edits = HeaderEdits::default();
        let long = "l".repeat(68);
        edits.add_remove(&long).unwrap();
        edits.add_set("x-set", "1").unwrap();
        edits.add_add("added", "1").unwrap();
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
