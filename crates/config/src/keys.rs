//! One definition of a key: parser, schema and reference are made from it.
//!
//! [`keys!`] declares a mapping of the language as a struct. Its doc comments become the descriptions of
//! the schema and the text of the reference; its fields say what [`Read`] reads.

use std::rc::Rc;

use schemars::{Schema, SchemaGenerator, json_schema};

use crate::diagnostic::Code;
use crate::place::Span;
use crate::problems::{Problems, quote};
use crate::suggest::nearest;
use crate::tree::{Entry, Node, Value};

/// A value with its place.
#[derive(Debug, Clone)]
pub(crate) struct At<T> {
    /// The key it stands behind; for an item of a list, the item.
    pub(crate) key: Span,
    pub(crate) span: Span,
    pub(crate) value: T,
}

/// What can be read from a node.
pub(crate) trait Read: Sized {
    /// Reads it. `None` when it is not what it should be, which is among the problems then.
    fn read(node: &Node, problems: &mut Problems) -> Option<Self>;

    /// What it is, for `expected …` and the reference: `a duration`.
    fn words() -> String;

    /// Its schema, before variables are filled in.
    fn schema(generator: &mut SchemaGenerator) -> Schema;

    /// The mapping behind it, if it is one or holds one.
    fn table() -> Option<&'static Table> {
        None
    }
}

/// The keys of a mapping.
#[derive(Debug)]
pub(crate) struct Table {
    /// What it is, with its article: `a listener`.
    pub(crate) words: &'static str,
    pub(crate) doc: &'static str,
    pub(crate) keys: &'static [Key],
    /// Keys that a later version will know.
    pub(crate) later: &'static [&'static str],
}

/// One key of a mapping.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) doc: &'static str,
    pub(crate) presence: Presence,
    /// A value, as written in YAML.
    pub(crate) example: &'static str,
    pub(crate) words: fn() -> String,
    pub(crate) table: fn() -> Option<&'static Table>,
    pub(crate) schema: fn(&mut SchemaGenerator) -> Schema,
}

/// Whether a key has to be there, and what holds when it is not.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Presence {
    Required,
    Optional,
    /// The default, as written in YAML.
    Default(&'static str),
}

/// The keys of a mapping as written: a key whose value could not be read is given all the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Given(pub(crate) Option<Rc<[Entry]>>);

impl Given {
    /// The keys, in order.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        self.0
            .iter()
            .flat_map(|entries| entries.iter())
            .map(|entry| &*entry.key)
    }

    /// Where those of `names` stand that are given.
    pub(crate) fn places(&self, names: &[&str]) -> impl Iterator<Item = Span> {
        let entries = self.0.iter().flat_map(|entries| entries.iter());
        entries
            .filter(|entry| names.contains(&&*entry.key))
            .map(|entry| entry.key_span)
    }

    /// Whether an empty list is written behind `key`.
    pub(crate) fn is_empty_list(&self, key: &str) -> bool {
        self.0.iter().flat_map(|entries| entries.iter()).any(|entry| {
            &*entry.key == key && matches!(&entry.value.value, Value::List(items) if items.is_empty())
        })
    }
}

impl<T: Read> At<T> {
    /// Reads the value behind `key`.
    pub(crate) fn read(key: Span, node: &Node, problems: &mut Problems) -> Option<Self> {
        // That it is unset is reported already; what it would have been is anyone's guess.
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
    /// The same place with another value.
    pub(crate) fn with<U>(&self, value: U) -> At<U> {
        At {
            key: self.key,
            span: self.span,
            value,
        }
    }
}

/// Says that `node` should have been `expected`.
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

/// The entries of a mapping whose keys `table` lists: unknown and missing ones are reported.
pub(crate) fn entries(node: &Node, table: &Table, problems: &mut Problems) -> Option<Rc<[Entry]>> {
    let Value::Mapping(entries) = &node.value else {
        wrong_type(node, table.words, problems);
        return None;
    };
    // A key that is misspelt is not missing as well.
    let mut meant = Vec::new();
    for entry in entries.iter() {
        if !table.keys.iter().any(|key| key.name == &*entry.key) {
            meant.extend(report_unknown(entry, table, problems));
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

/// Reports a key; what comes back is the key that was probably meant.
fn report_unknown(entry: &Entry, table: &Table, problems: &mut Problems) -> Option<&'static str> {
    if problems.is_full() {
        return None;
    }
    let name = &*entry.key;
    let names = || table.keys.iter().map(|key| key.name);
    let later = table.later.contains(&name);
    let near = if later { None } else { meant(name, table) };
    let help = if later {
        format!("{} is not supported by this version", quote(name))
    } else if let Some(near) = near {
        format!("did you mean `{near}`?")
    } else if let Some(elsewhere) = table_with(name, table) {
        format!("`{name}` is a key of {elsewhere}")
    } else {
        let names: Vec<String> = names().map(|name| format!("`{name}`")).collect();
        format!("the keys here are {}", names.join(", "))
    };
    problems
        .add(
            Code::UnknownKey,
            entry.key_span,
            format!("{} is not a key of {}", quote(name), table.words),
        )
        .help(help);
    near
}

/// The words of other gateways for keys of this language.
const FOREIGN: &[(&str, &[&str])] = &[
    (
        "to",
        &[
            "service",
            "upstream",
            "backend",
            "cluster",
            "proxy_pass",
            "use_backend",
            "target",
            "destination",
        ],
    ),
    ("respond", &["return", "direct_response"]),
    ("bind", &["listen", "address", "socket_address"]),
    (
        "endpoints",
        &[
            "url", "urls", "server", "servers", "targets", "backends", "address", "hosts",
        ],
    ),
    ("hosts", &["server_name", "server_names", "domains"]),
    (
        "host",
        &[
            "hostname",
            "hostnames",
            "domain",
            "domains",
            "authority",
            "server_name",
        ],
    ),
    ("path", &["uri", "url", "location", "path_prefix"]),
    ("client_ip", &["source_ip", "remote_addr", "src"]),
    ("listeners", &["entrypoints", "entry_points", "frontends"]),
    ("services", &["upstreams", "backends", "clusters"]),
    ("routes", &["rules", "locations", "routers"]),
];

/// The key of `table` that was probably meant by `name`, which is none.
pub(crate) fn meant(name: &str, table: &Table) -> Option<&'static str> {
    let foreign = table.keys.iter().map(|key| key.name).find(|key| {
        FOREIGN
            .iter()
            .any(|(own, words)| own == key && words.contains(&name))
    });
    foreign.or_else(|| nearest(name, table.keys.iter().map(|key| key.name)))
}

/// The mapping elsewhere in the language that has this key.
fn table_with(name: &str, not: &Table) -> Option<&'static str> {
    fn find(table: &'static Table, name: &str, not: &Table) -> Option<&'static str> {
        if table.words != not.words && table.keys.iter().any(|key| key.name == name) {
            return Some(table.words);
        }
        table.keys.iter().find_map(|key| find((key.table)()?, name, not))
    }
    find(&crate::document::Document::TABLE, name, not)
}

/// The schema of a mapping.
pub(crate) fn schema(table: &Table, generator: &mut SchemaGenerator) -> Schema {
    let mut properties = serde_json::Map::new();
    let mut required = Vec::new();
    for key in table.keys {
        let mut schema = (key.schema)(generator);
        let (title, description) = crate::reference::title_and_text(key.doc);
        schema.insert("title".to_owned(), title.into());
        schema.insert("description".to_owned(), description.into());
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
        "description": crate::reference::one_line(table.doc),
        "properties": properties,
        "additionalProperties": false,
    });
    if !required.is_empty() {
        schema.insert("required".to_owned(), required.into());
    }
    schema
}

/// A scalar of the table above as JSON: a number, a truth value, an empty list, or text.
fn json_of(yaml: &str) -> serde_json::Value {
    serde_json::from_str(yaml).unwrap_or_else(|_| yaml.into())
}

/// Declares mappings: a struct, its [`Table`], how it is read, and its schema.
///
/// Every field is an `Option`, required ones too: a mistake in one key must not hide those in others. It is boxed, as a mapping
/// has many keys of which few are written, and there may be 100,000 routes.
macro_rules! keys {
    ($(
        $(#[doc = $doc:literal])+
        $name:ident, $words:literal $(, later [$($later:literal),* $(,)?])? {
            $(
                $(#[doc = $key_doc:literal])+
                $field:ident $(as $text:literal)?: $type:ty = $presence:expr, $example:literal;
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
            /// What is written, whether or not it could be read.
            pub(crate) given: $crate::keys::Given,
        }

        impl $name {
            pub(crate) const TABLE: $crate::keys::Table = $crate::keys::Table {
                words: $words,
                doc: concat!($($doc, "\n"),+),
                keys: &[$(
                    $crate::keys::Key {
                        name: $crate::keys::key_name!($field $($text)?),
                        doc: concat!($($key_doc, "\n"),+),
                        presence: $presence,
                        example: $example,
                        words: <$type as $crate::keys::Read>::words,
                        table: <$type as $crate::keys::Read>::table,
                        schema: <$type as $crate::keys::Read>::schema,
                    },
                )+],
                later: &[$($($later),*)?],
            };
        }

        impl $crate::keys::Read for $name {
            fn read(
                node: &$crate::tree::Node,
                problems: &mut $crate::problems::Problems,
            ) -> Option<Self> {
                let entries = $crate::keys::entries(node, &Self::TABLE, problems)?;
                let mut found = Self::default();
                for entry in entries.iter() {
                    let key = &*entry.key;
                    $(
                        if key == $crate::keys::key_name!($field $($text)?) {
                            let read = $crate::keys::At::read(entry.key_span, &entry.value, problems);
                            found.$field = read.map(Box::new);
                            continue;
                        }
                    )+
                }
                found.given = $crate::keys::Given(Some(entries));
                Some(found)
            }

            fn words() -> String {
                $words.to_owned()
            }

            fn schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
                generator.subschema_for::<Self>()
            }

            fn table() -> Option<&'static $crate::keys::Table> {
                static TABLE: $crate::keys::Table = $name::TABLE;
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

/// The key of a field: the field's name, or the text given for it.
macro_rules! key_name {
    ($field:ident) => {
        stringify!($field)
    };
    ($field:ident $text:literal) => {
        $text
    };
}

pub(crate) use {key_name, keys};
