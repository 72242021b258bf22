//! Definitions of keys, from which parser, schema and reference are generated.
//!
//! [`keys!`] declares a mapping of the language as a struct. Its doc comments become the descriptions in
//! schema and reference; the types of its fields implement [`Read`].

use std::rc::Rc;

use schemars::{Schema, SchemaGenerator, json_schema};

use crate::description;
use crate::diagnostic::Code;
use crate::place::Span;
use crate::problems::{Problems, quote};
use crate::suggest::{foreign, nearest, only_near, resilience, shape};
use crate::tree::{Entry, Node, Value};

mod unknown;

/// A value with its place.
#[derive(Debug, Clone)]
pub(crate) struct At<T> {
    /// Place of the key; for an item of a list, of the item.
    pub(crate) key: Span,
    pub(crate) span: Span,
    pub(crate) value: T,
}

/// Types that can be read from a node.
pub(crate) trait Read: Sized {
    /// Reads a value. `None` if the node is not of this type, which is then reported.
    fn read(node: &Node, problems: &mut Problems) -> Option<Self>;

    /// Description of the type for `expected …` and the reference: `a duration`.
    fn words() -> String;

    /// JSON Schema, for the text before variables are replaced.
    fn schema(generator: &mut SchemaGenerator) -> Schema;

    /// The keys, if the type is or contains a mapping.
    fn table() -> Option<&'static KeyTable> {
        None
    }

    /// Returns true if `false` is such a value.
    fn takes_false() -> bool {
        false
    }

    /// The hint at an empty list of such values.
    fn help_if_empty() -> &'static str {
        "leave the key out if nothing is meant"
    }
}

/// A mapping of the language, as read.
pub(crate) trait Mapping {
    /// Returns the keys whose values could be read, in declared order, each with its place.
    fn read_keys(&self) -> Vec<(&'static Key, Span)>;
}

/// The keys of a mapping.
#[derive(Debug)]
pub(crate) struct KeyTable {
    /// Description with its article: `a listener`.
    pub(crate) words: &'static str,
    pub(crate) doc: &'static str,
    pub(crate) keys: &'static [Key],
    /// Keys reserved for later versions.
    pub(crate) later: &'static [&'static str],
    /// The beginning of keys that are ignored.
    pub(crate) ignored: Option<&'static str>,
    /// The mapping whose keys it has besides its own, as the last of `keys`.
    pub(crate) shared: Option<fn() -> Option<&'static KeyTable>>,
    /// The mapping at the top level of the language.
    pub(crate) root: fn() -> Option<&'static KeyTable>,
}

/// One key of a mapping.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) doc: &'static str,
    pub(crate) presence: Presence,
    /// A value, as written in YAML.
    pub(crate) example: &'static str,
    /// The key needs one of these beside it; empty for none.
    pub(crate) only_with: &'static [&'static str],
    pub(crate) words: fn() -> String,
    pub(crate) table: fn() -> Option<&'static KeyTable>,
    pub(crate) schema: fn(&mut SchemaGenerator) -> Schema,
}

impl KeyTable {
    /// Returns true if a key of this name means nothing.
    pub(crate) fn ignores(&self, name: &str) -> bool {
        self.ignored.is_some_and(|beginning| name.starts_with(beginning))
    }

    /// Returns the key with this name.
    fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }

    /// Returns true if other keys than this one are required.
    fn requires_more_than(&self, name: &str) -> bool {
        let mut keys = self.keys.iter();
        keys.any(|key| matches!(key.presence, Presence::Required) && key.name != name)
    }

    /// Returns true if there is a key with this name.
    fn has(&self, name: &str) -> bool {
        self.key(name).is_some()
    }
}

impl Key {
    /// Returns the description, with the keys that it needs beside it.
    pub(crate) fn description(&self) -> String {
        let text = description::one_line(self.doc);
        let names: Vec<String> = self.only_with.iter().map(|name| format!("`{name}`")).collect();
        match names.split_last() {
            None => text,
            Some((last, [])) => format!("{text} Only with {last}."),
            Some((last, names)) => format!("{text} Only with {} or {last}.", names.join(", ")),
        }
    }
}

/// The presence of a key: required, or optional with or without a default.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Presence {
    Required,
    Optional,
    /// The default, as written in YAML.
    Default(&'static str),
}

/// The keys of a mapping as written, including those whose values could not be read.
#[derive(Debug, Clone, Default)]
pub(crate) struct Given(pub(crate) Option<Rc<[Entry]>>);

impl Given {
    /// Returns the keys in order.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        self.0
            .iter()
            .flat_map(|entries| entries.iter())
            .map(|entry| &*entry.key)
    }

    /// Returns the places of the keys in `names`.
    pub(crate) fn places(&self, names: &[&str]) -> impl Iterator<Item = Span> {
        let entries = self.0.iter().flat_map(|entries| entries.iter());
        entries
            .filter(|entry| names.contains(&&*entry.key))
            .map(|entry| entry.key_span)
    }

    /// Returns true if the value of `key` is an empty list.
    pub(crate) fn is_empty_list(&self, key: &str) -> bool {
        self.0.iter().flat_map(|entries| entries.iter()).any(|entry| {
            &*entry.key == key && matches!(&entry.value.value, Value::List(items) if items.is_empty())
        })
    }
}

impl<T: Read> At<T> {
    /// Reads the value of `key`.
    pub(crate) fn read(key: Span, node: &Node, problems: &mut Problems) -> Option<Self> {
        // The unset variable is reported already; the type of the value is unknown.
        if node.is_unset() {
            return None;
        }
        Some(Self {
            key,
            span: node.span,
            value: T::read(node, problems)?,
        })
    }
}

impl<T> At<T> {
    /// Returns another value with the same place.
    pub(crate) fn with<U>(&self, value: U) -> At<U> {
        At {
            key: self.key,
            span: self.span,
            value,
        }
    }
}

/// Reports that `node` is not the `expected` type.
pub(crate) fn wrong_type(node: &Node, expected: &str, problems: &mut Problems) {
    if node.is_null() {
        problems
            .add(
                Code::NullValue,
                node.span,
                format!("there is no value; expected {expected}"),
            )
            .help("give a value, or leave the key out");
        return;
    }
    problems.add(
        Code::WrongType,
        node.span,
        format!("expected {expected}, found {}", node.found()),
    );
}

/// Returns the entries of a mapping with the keys of `table`; reports unknown and missing keys.
pub(crate) fn entries(node: &Node, table: &KeyTable, problems: &mut Problems) -> Option<Rc<[Entry]>> {
    let Value::Mapping(entries) = &node.value else {
        report_no_mapping(node, table, problems);
        return None;
    };
    // A misspelt key is not reported as missing too.
    let mut meant = Vec::new();
    for entry in entries.iter() {
        if !table.has(&entry.key) && !table.ignores(&entry.key) {
            meant.extend(report_unknown(entry, entries, table, problems));
        }
    }
    for key in table.keys {
        let given = || entries.iter().any(|entry| &*entry.key == key.name);
        if matches!(key.presence, Presence::Required) && !given() && !meant.contains(&key.name) {
            problems
                .add(
                    Code::MissingKey,
                    node.span,
                    format!("{} has no `{}`", table.words, key.name),
                )
                .help(format!("add `{}: {}`", key.name, key.example));
        }
    }
    Some(Rc::clone(entries))
}

/// Reports that `node` is no mapping, with the mapping that was probably meant.
fn report_no_mapping(node: &Node, table: &KeyTable, problems: &mut Problems) {
    if let Some(help) = resilience::none(node, table.words) {
        let message = format!("expected {}, found {}", table.words, node.found());
        problems.add(Code::WrongType, node.span, message).help(help);
        return;
    }
    let Some(meant) = shape::of(node, table.words, |key| table.has(key)) else {
        match shape::example(table.words) {
            Some(example) if !node.is_null() => {
                let message = format!("expected {}, found {}", table.words, node.found());
                problems
                    .add(Code::WrongType, node.span, message)
                    .help(format!("write its keys, such as `{example}`"));
            }
            _ => wrong_type(node, table.words, problems),
        }
        return;
    };
    let problem = problems
        .add(
            Code::WrongType,
            node.span,
            format!("expected {}, found {}", table.words, node.found()),
        )
        .help(format!("write `{}`", meant.yaml));
    match node.written() {
        Some(written) if meant.is_certain => problem.mend(node.span, written, meant.yaml),
        Some(written) => problem.propose(node.span, written, meant.yaml),
        None => problem,
    };
}

/// Reports an unknown key among `given`; returns the key that was probably meant.
fn report_unknown(
    entry: &Entry,
    given: &[Entry],
    table: &KeyTable,
    problems: &mut Problems,
) -> Option<&'static str> {
    if problems.is_full() {
        return None;
    }
    let name = &*entry.key;
    let names = || table.keys.iter().map(|key| key.name);
    let later = table.later.contains(&name);
    let near = if later { None } else { meant(name, table) };
    let help = if later {
        format!("{} is not supported by this version", quote(name))
    } else if let Some(help) = unknown::hint(entry, table) {
        help
    } else if let Some(near) = near {
        format!("did you mean `{near}`?")
    } else if let Some(help) = unknown::hint_elsewhere(entry, table) {
        help
    } else if table.ignored.is_none() && name.starts_with("x-") {
        "keys that begin with `x-` are ignored at the top level alone".to_owned()
    } else if let Some((key, elsewhere)) = elsewhere(name, table) {
        match key == name {
            true => format!("`{name}` is a key of {elsewhere}"),
            false => format!("did you mean `{key}`, which is a key of {elsewhere}?"),
        }
    } else {
        let names: Vec<String> = names().map(|name| format!("`{name}`")).collect();
        format!("the keys here are {}", names.join(", "))
    };
    let problem = problems
        .add(
            Code::UnknownKey,
            entry.key_span,
            format!("{} is not a key of {}", quote(name), table.words),
        )
        .help(help);
    if let Some(near) = near {
        let is_free = !given.iter().any(|other| &*other.key == near);
        // The word of another gateway can have another value, but for the plain plurals of conditions.
        let is_own = unknown::meaning(name, table).is_none() || table.words == "a match";
        match is_free && is_own && only_near(name, names()) == Some(near) {
            true => problem.mend(entry.key_span, name, near),
            false => problem.propose(entry.key_span, name, near),
        };
    }
    near
}

/// Returns the key of `table` that was probably meant by the unknown key `name`.
pub(crate) fn meant(name: &str, table: &KeyTable) -> Option<&'static str> {
    match unknown::meaning(name, table) {
        Some(foreign::Meaning::Key(key, _)) => Some(key),
        Some(foreign::Meaning::Elsewhere(_)) => None,
        None => nearest(name, table.keys.iter().map(|key| key.name)),
    }
}

/// Returns the key that was probably meant by `name`, and another mapping of the language that has it: one that is near, if
/// there are several.
fn elsewhere(name: &str, not: &KeyTable) -> Option<(&'static str, &'static str)> {
    type Found = Option<(&'static str, &'static str)>;
    type Fits<'f> = &'f dyn Fn(&'static KeyTable) -> Option<&'static str>;
    fn holds(table: &KeyTable, other: &KeyTable) -> bool {
        let mut inner = table.keys.iter().filter_map(|key| (key.table)());
        table.words == other.words || inner.any(|table| holds(table, other))
    }
    fn find(table: &'static KeyTable, not: &KeyTable, fits: Fits<'_>) -> Found {
        if let Some(key) = fits(table).filter(|_| table.words != not.words) {
            return Some((key, table.words));
        }
        table.keys.iter().find_map(|key| find((key.table)()?, not, fits))
    }
    fn near(table: &'static KeyTable, not: &KeyTable, fits: Fits<'_>) -> Found {
        let mut inner = table.keys.iter().filter_map(|key| (key.table)());
        let inner = inner.find(|table| holds(table, not));
        let found = inner.and_then(|table| near(table, not, fits));
        found.or_else(|| find(table, not, fits))
    }
    let root = (not.root)()?;
    let own = |table: &'static KeyTable| table.key(name).map(|key| key.name);
    let foreign = |table: &'static KeyTable| match unknown::meaning(name, table)? {
        foreign::Meaning::Key(key, _) => Some(key),
        foreign::Meaning::Elsewhere(_) => None,
    };
    near(root, not, &own).or_else(|| near(root, not, &foreign))
}

/// Returns the JSON Schema of a mapping.
pub(crate) fn schema(table: &KeyTable, generator: &mut SchemaGenerator) -> Schema {
    let mut properties = serde_json::Map::new();
    let mut required = Vec::new();
    for key in table.keys {
        let mut schema = (key.schema)(generator);
        schema.insert("title".to_owned(), description::title(key.doc).into());
        schema.insert("description".to_owned(), key.description().into());
        match key.presence {
            Presence::Required => required.push(key.name),
            Presence::Optional => {}
            Presence::Default(default) => {
                schema.insert("default".to_owned(), json_of(default));
            }
        }
        properties.insert(key.name.to_owned(), schema.to_value());
    }
    let mut schema = json_schema!({
        "type": "object",
        "description": description::one_line(table.doc),
        "properties": properties,
        "additionalProperties": false,
    });
    if let Some(beginning) = table.ignored {
        let ignored = serde_json::json!({ format!("^{beginning}"): true });
        schema.insert("patternProperties".to_owned(), ignored);
    }
    if !required.is_empty() {
        schema.insert("required".to_owned(), required.into());
    }
    schema
}

/// Converts a default to JSON: a number, a boolean, an empty list, or text.
fn json_of(yaml: &str) -> serde_json::Value {
    serde_json::from_str(yaml).unwrap_or_else(|_| yaml.into())
}

/// Returns the keys of a mapping: its own, then those that it shares.
pub(crate) const fn joined<const N: usize>(own: &[Key], shared: &[Key]) -> [Key; N] {
    let mut all = [own[0]; N];
    let mut at = 0;
    while at < N {
        all[at] = if at < own.len() {
            own[at]
        } else {
            shared[at - own.len()]
        };
        at += 1;
    }
    all
}

/// Declares mappings, each as a struct with its [`KeyTable`], parser and schema. One that shares another has the keys of
/// that one too, in a field of its own.
///
/// Every field is an `Option`, even if required: a mistake in one key must not hide those in others. Values are boxed,
/// since few of the keys are present in a mapping, and there may be 100,000 routes.
macro_rules! keys {
    (root $root:ident; $(
        $(#[doc = $doc:literal])+
        $name:ident, $words:literal $(, later [$($later:literal),* $(,)?])? $(, ignores $ignored:literal)?
        $(, shares $share:ident: $shared:ident)? {
            $(
                $(#[doc = $key_doc:literal])+
                $field:ident $(as $text:literal)?: $type:ty = $presence:expr, $example:literal
                    $(, only with [$($with:literal),+])?;
            )+
        }
    )+) => {$(
        $(#[doc = $doc])+
        #[derive(Debug, Clone, Default)]
        pub(crate) struct $name {
            $(
                $(#[doc = $key_doc])+
                pub(crate) $field: Option<Box<$crate::keys::At<$type>>>,
            )+
            $(
                /// The keys that it shares.
                pub(crate) $share: $shared,
            )?
            /// The keys as written.
            pub(crate) given: $crate::keys::Given,
        }

        impl $name {
            pub(crate) const OWN: &'static [$crate::keys::Key] = &[$(
                $crate::keys::Key {
                    name: $crate::keys::key_name!($field $($text)?),
                    doc: concat!($($key_doc, "\n"),+),
                    presence: $presence,
                    example: $example,
                    only_with: &[$($($with),+)?],
                    words: <$type as $crate::keys::Read>::words,
                    table: <$type as $crate::keys::Read>::table,
                    schema: <$type as $crate::keys::Read>::schema,
                },
            )+];

            pub(crate) const TABLE: $crate::keys::KeyTable = $crate::keys::KeyTable {
                words: $words,
                doc: concat!($($doc, "\n"),+),
                keys: $crate::keys::all_keys!($name $($shared)?),
                later: &[$($($later),*)?],
                ignored: $crate::keys::ignored!($($ignored)?),
                shared: $crate::keys::shared!($($shared)?),
                root: <$root as $crate::keys::Read>::table,
            };

            /// Reads the value of an entry; returns false if its key is none of these.
            pub(crate) fn read_entry(
                &mut self,
                entry: &$crate::tree::Entry,
                problems: &mut $crate::problems::Problems,
            ) -> bool {
                let key = &*entry.key;
                $(
                    if key == $crate::keys::key_name!($field $($text)?) {
                        let read = $crate::keys::At::read(entry.key_span, &entry.value, problems);
                        self.$field = read.map(Box::new);
                        return true;
                    }
                )+
                $(
                    if self.$share.read_entry(entry, problems) {
                        return true;
                    }
                )?
                false
            }
        }

        impl $crate::keys::Mapping for $name {
            fn read_keys(&self) -> Vec<(&'static $crate::keys::Key, $crate::place::Span)> {
                let places = [$(self.$field.as_ref().map(|given| given.key)),+];
                let keys = Self::OWN.iter().zip(places);
                let keys = keys.filter_map(|(key, place)| Some((key, place?)));
                $(
                    let keys = keys.chain($crate::keys::Mapping::read_keys(&self.$share));
                )?
                keys.collect()
            }
        }

        impl $crate::keys::Read for $name {
            fn read(
                node: &$crate::tree::Node,
                problems: &mut $crate::problems::Problems,
            ) -> Option<Self> {
                let entries = $crate::keys::entries(node, &Self::TABLE, problems)?;
                let mut found = Self::default();
                for entry in entries.iter() {
                    found.read_entry(entry, problems);
                }
                found.given = $crate::keys::Given(Some(entries));
                $(
                    found.$share.given = found.given.clone();
                )?
                Some(found)
            }

            fn words() -> String {
                $words.to_owned()
            }

            fn schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
                generator.subschema_for::<Self>()
            }

            fn table() -> Option<&'static $crate::keys::KeyTable> {
                static TABLE: $crate::keys::KeyTable = $name::TABLE;
                Some(&TABLE)
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
                $crate::keys::schema(&Self::TABLE, generator)
            }
        }
    )+};
}

/// The key of a field: its name, or the text given with `as`.
macro_rules! key_name {
    ($field:ident) => {
        stringify!($field)
    };
    ($field:ident $text:literal) => {
        $text
    };
}

/// The beginning of ignored keys, if any are.
macro_rules! ignored {
    () => {
        None
    };
    ($beginning:literal) => {
        Some($beginning)
    };
}

/// The keys of a mapping: its own, and those of the mapping that it shares.
macro_rules! all_keys {
    ($name:ident) => {
        $name::OWN
    };
    ($name:ident $shared:ident) => {{
        const ALL: [$crate::keys::Key; $name::OWN.len() + $shared::OWN.len()] =
            $crate::keys::joined($name::OWN, $shared::OWN);
        &ALL
    }};
}

/// The mapping that is shared, if one is.
macro_rules! shared {
    () => {
        None
    };
    ($shared:ident) => {
        Some(<$shared as $crate::keys::Read>::table)
    };
}

pub(crate) use {all_keys, ignored, key_name, keys, shared};
