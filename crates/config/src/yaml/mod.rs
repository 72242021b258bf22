//! The parser from the bytes of a file to a tree.
//!
//! It has limits and diagnostics for broken and malicious input: files that are too large or not text, tabs,
//! several documents, deep nesting, and aliases that expand to gigabytes.

mod syntax;

use std::collections::hash_map;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use granit_parser::{Event, Marker, Options, Parser, ScalarStyle};

use crate::Source;
use crate::diagnostic::Code;
use crate::place::Span;
use crate::problems::{Problems, quote};
use crate::substitute::{NoValue, substitute};
use crate::suggest::other_config;
use crate::tree::{Entry, Node, Origin, Scalar, Style, Value};

/// Maximum size of a file: 16 MiB.
pub const FILE_BYTES_MAX: usize = 16 << 20;

/// Maximum nesting depth of collections.
pub const DEPTH_MAX: usize = 64;

/// Maximum number of values that all aliases of a file expand to.
pub const ALIASED_VALUES_MAX: usize = 100_000;

/// Maximum number of interned keys: more than the language has, fewer than a hostile file can contain.
const KEYS_SHARED_MAX: usize = 1000;

/// Mappings with up to this many keys are searched linearly for duplicates; larger ones are indexed.
const KEYS_SEARCHED: usize = 16;

/// The content of a source.
pub(crate) enum Parsed {
    /// A mapping.
    Mapping(Node),
    /// No value: at most comments.
    Nothing,
    /// Anything else, which is reported.
    Broken,
}

/// Parses a source to a tree.
pub(crate) fn parse(
    file: u32,
    source: &Source,
    env: &dyn Fn(&str) -> Option<String>,
    problems: &mut Problems,
) -> Parsed {
    mapping(file, source, env, problems).map_or(Parsed::Broken, |root| {
        root.map_or(Parsed::Nothing, Parsed::Mapping)
    })
}

/// Parses a source to a mapping; `Some(None)` if there is nothing in it, `None` if it is broken, which is reported.
fn mapping(
    file: u32,
    source: &Source,
    env: &dyn Fn(&str) -> Option<String>,
    problems: &mut Problems,
) -> Option<Option<Node>> {
    if source.text.len() > FILE_BYTES_MAX {
        // The actual size is not known: reading ends early.
        let largest = crate::size::format(FILE_BYTES_MAX as u64);
        problems
            .add(
                Code::FileTooLarge,
                Span::start_of(file),
                format!("the file is larger than {largest}"),
            )
            .help("split it into several files of one directory");
        return None;
    }
    let text = decode(file, &source.text, problems)?;
    let mut builder = Builder {
        file,
        env,
        problems,
        open: Vec::new(),
        anchors: HashMap::new(),
        keys: HashSet::new(),
        aliased_values: 0,
        root: None,
        documents: 0,
    };
    match builder.build(text) {
        Ok(()) => {}
        Err(Stopped::Reported) => return None,
        Err(Stopped::Syntax(error)) => {
            syntax::report(file, text, &error, problems);
            return None;
        }
    }
    match builder.root {
        Some(root) if matches!(root.value, Value::Mapping(_)) => Some(Some(root)),
        Some(root) if !root.is_null() => {
            problems
                .add(
                    Code::WrongType,
                    root.span,
                    format!("a configuration is a mapping, not {}", root.found()),
                )
                .help(other_config::hint_at_text(text).unwrap_or_else(|| {
                    "begin with a key at the start of a line, such as `listeners:`".to_owned()
                }));
            None
        }
        _ => Some(None),
    }
}

/// Decodes the bytes as text, without a byte order mark.
fn decode<'t>(file: u32, bytes: &'t [u8], problems: &mut Problems) -> Option<&'t str> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    match std::str::from_utf8(bytes) {
        Ok(text) => Some(text),
        Err(error) => {
            let before = std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default();
            let span = end_of(file, before);
            let byte = bytes.get(error.valid_up_to()).copied().unwrap_or_default();
            let utf16 = bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff");
            problems
                .add(
                    Code::NotUtf8,
                    span,
                    format!("the file is not UTF-8: byte 0x{byte:02X} is not allowed here"),
                )
                .help(if utf16 {
                    "the file looks like UTF-16; save it as UTF-8"
                } else {
                    "save the file as UTF-8"
                });
            None
        }
    }
}

/// Returns the place after `before`, the beginning of a file.
fn end_of(file: u32, before: &str) -> Span {
    let normal = before.replace("\r\n", "\n");
    let line = normal.matches(['\n', '\r']).count() + 1;
    let column = normal
        .rsplit(['\n', '\r'])
        .next()
        .unwrap_or_default()
        .chars()
        .count()
        + 1;
    Span::char_at(file, number(line), number(column))
}

fn number(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

/// The reason why building ended early.
enum Stopped {
    /// The text is not YAML.
    Syntax(granit_parser::ScanError),
    /// The reason is reported already.
    Reported,
}

/// A collection that is still open.
struct Open {
    span: Span,
    anchor: usize,
    /// True if it is written with brackets or braces, where its span ends.
    flow: bool,
    content: Content,
}

enum Content {
    List(Vec<Node>),
    Mapping {
        entries: Vec<Entry>,
        key: Option<(Rc<str>, Span)>,
        /// Index of each key, if there are more than [`KEYS_SEARCHED`].
        index: HashMap<Rc<str>, usize>,
    },
}

struct Builder<'b> {
    file: u32,
    env: &'b dyn Fn(&str) -> Option<String>,
    problems: &'b mut Problems,
    open: Vec<Open>,
    anchors: HashMap<usize, Node>,
    /// Interned keys, up to [`KEYS_SHARED_MAX`]: a few words repeat many times.
    keys: HashSet<Rc<str>>,
    aliased_values: usize,
    root: Option<Node>,
    documents: usize,
}

impl Builder<'_> {
    fn build(&mut self, text: &str) -> Result<(), Stopped> {
        let mut options = Options::default();
        options.set_emit_comments(false);
        options.flow_nesting_limit = DEPTH_MAX;
        options.block_nesting_limit = DEPTH_MAX;
        for event in Parser::new_from_str_with_options(text, options) {
            let (event, span) = event.map_err(Stopped::Syntax)?;
            let span = self.span(span.start, span.end);
            if event.tag().is_some() {
                self.problems
                    .add(
                        Code::UnsupportedYaml,
                        span,
                        "tags such as `!!str` are not supported",
                    )
                    .help("quote the value to make it text, and leave the tag out");
                return Err(Stopped::Reported);
            }
            match event {
                Event::DocumentStart(..) => {
                    self.documents += 1;
                    if self.documents > 1 {
                        self.problems
                            .add(Code::SeveralDocuments, span, "a second YAML document begins here")
                            .help("put it into a file of its own, and give Waypost the directory");
                        return Err(Stopped::Reported);
                    }
                }
                Event::Scalar(text, style, anchor, _) => self.scalar(&text, style, anchor, span)?,
                Event::SequenceStart(style, anchor, _) => {
                    let flow = style == granit_parser::StructureStyle::Flow;
                    self.begin(span, anchor, flow, Content::List(Vec::new()))?;
                }
                Event::MappingStart(style, anchor, _) => {
                    let flow = style == granit_parser::StructureStyle::Flow;
                    let content = Content::Mapping {
                        entries: Vec::new(),
                        key: None,
                        index: HashMap::new(),
                    };
                    self.begin(span, anchor, flow, content)?;
                }
                Event::SequenceEnd | Event::MappingEnd => self.end(span)?,
                Event::Alias(anchor) => self.alias(anchor, span)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn span(&self, start: Marker, end: Marker) -> Span {
        Span {
            file: self.file,
            line: number(start.line()),
            column: number(start.col() + 1),
            end_line: number(end.line()),
            end_column: number(end.col() + 1),
        }
    }

    /// Returns true if the next node is a key.
    fn awaits_key(&self) -> bool {
        matches!(
            self.open.last(),
            Some(Open {
                content: Content::Mapping { key: None, .. },
                ..
            })
        )
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, anchor: usize, span: Span) -> Result<(), Stopped> {
        let style = if style == ScalarStyle::Plain {
            Style::Plain
        } else {
            Style::Quoted
        };
        if self.awaits_key() {
            return self.key(text, style, span);
        }
        let scalar = match substitute(text, self.env) {
            Ok((text, origin)) => Scalar {
                text: text.as_ref().into(),
                style,
                origin,
            },
            Err(error) => {
                let (name, what, help) = match error {
                    NoValue::Unset(name) => (
                        name,
                        "not set",
                        format!(
                            "set it, give a default as in `${{{name}:-default}}`, or write `$${{` for a literal `${{`"
                        ),
                    ),
                    NoValue::Empty(name) => (
                        name,
                        "empty",
                        format!("give it a value, or write `${{{name}:-}}` where empty is meant"),
                    ),
                };
                self.problems
                    .add(
                        Code::UnsetVariable,
                        span,
                        format!("the environment variable {} is {what}", quote(name)),
                    )
                    .help(help);
                Scalar {
                    text: text.into(),
                    style: Style::Unset,
                    origin: Origin::Written,
                }
            }
        };
        let node = Node {
            span,
            value: Value::Scalar(scalar),
        };
        self.finish(node, anchor)
    }

    fn key(&mut self, text: &str, style: Style, span: Span) -> Result<(), Stopped> {
        if style == Style::Plain && text == "<<" {
            self.problems
                .add(Code::UnsupportedYaml, span, "merge keys (`<<`) are not supported")
                .help("write the keys out, or use an alias for a whole value");
            return Err(Stopped::Reported);
        }
        let key = self.shared_key(text);
        if let Some(Open {
            content: Content::Mapping { key: slot, .. },
            ..
        }) = self.open.last_mut()
        {
            *slot = Some((key, span));
        }
        Ok(())
    }

    fn shared_key(&mut self, text: &str) -> Rc<str> {
        if let Some(known) = self.keys.get(text) {
            return Rc::clone(known);
        }
        let key: Rc<str> = text.into();
        if self.keys.len() < KEYS_SHARED_MAX {
            self.keys.insert(Rc::clone(&key));
        }
        key
    }

    fn begin(&mut self, span: Span, anchor: usize, flow: bool, content: Content) -> Result<(), Stopped> {
        if self.awaits_key() {
            self.problems
                .add(
                    Code::UnsupportedYaml,
                    span,
                    "a key is text, not a list or a mapping",
                )
                .help("a value that begins with `{` or `[` has to be quoted to be text");
            return Err(Stopped::Reported);
        }
        if self.open.len() >= DEPTH_MAX {
            report_depth(span, self.problems);
            return Err(Stopped::Reported);
        }
        self.open.push(Open {
            span,
            anchor,
            flow,
            content,
        });
        Ok(())
    }

    fn end(&mut self, end: Span) -> Result<(), Stopped> {
        let Some(open) = self.open.pop() else {
            return Ok(());
        };
        let (value, first) = match open.content {
            Content::List(items) => {
                let first = items.first().map(|item| item.span);
                (Value::List(items.into()), first)
            }
            Content::Mapping { entries, .. } => {
                let first = entries.first().map(|entry| entry.key_span);
                (Value::Mapping(entries.into()), first)
            }
        };
        let span = if open.flow {
            open.span.to(end)
        } else {
            first.unwrap_or(open.span)
        };
        self.finish(Node { span, value }, open.anchor)
    }

    fn alias(&mut self, anchor: usize, span: Span) -> Result<(), Stopped> {
        let Some(node) = self.anchors.get(&anchor).cloned() else {
            self.problems
                .add(Code::Alias, span, "the alias refers to a value that contains it");
            return Err(Stopped::Reported);
        };
        if self.awaits_key() {
            self.problems
                .add(Code::UnsupportedYaml, span, "an alias cannot be a key")
                .help("write the key out");
            return Err(Stopped::Reported);
        }
        let budget = ALIASED_VALUES_MAX.saturating_sub(self.aliased_values);
        let mut measure = Measure {
            values: 0,
            values_max: budget,
            depth: self.open.len(),
        };
        match measure.take(&node, self.open.len()) {
            true => {}
            false => {
                self.problems
                    .add(
                        Code::Alias,
                        span,
                        format!("the aliases of this file stand for more than {ALIASED_VALUES_MAX} values"),
                    )
                    .help("write the values out, or generate the file");
                return Err(Stopped::Reported);
            }
        }
        if measure.depth > DEPTH_MAX {
            report_depth(span, self.problems);
            return Err(Stopped::Reported);
        }
        self.aliased_values += measure.values;
        self.finish(node, 0)
    }

    /// Adds a finished node to the open collection.
    fn finish(&mut self, node: Node, anchor: usize) -> Result<(), Stopped> {
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        match &mut open.content {
            Content::List(items) => items.push(node),
            Content::Mapping { entries, key, index } => {
                let Some((key, key_span)) = key.take() else {
                    return Ok(());
                };
                let earlier = if entries.len() <= KEYS_SEARCHED {
                    entries.iter().position(|entry| entry.key == key)
                } else {
                    if index.is_empty() {
                        index.extend(
                            entries
                                .iter()
                                .enumerate()
                                .map(|(at, entry)| (entry.key.clone(), at)),
                        );
                    }
                    match index.entry(key.clone()) {
                        hash_map::Entry::Occupied(earlier) => Some(*earlier.get()),
                        hash_map::Entry::Vacant(vacant) => {
                            vacant.insert(entries.len());
                            None
                        }
                    }
                };
                match earlier {
                    Some(at) => {
                        let message = format!("the key {} is set twice in one mapping", quote(&key));
                        self.problems
                            .add(Code::DuplicateKey, key_span, message)
                            .label(entries[at].key_span, "first here")
                            .help("keep one of the two");
                    }
                    None => entries.push(Entry {
                        key,
                        key_span,
                        value: node,
                    }),
                }
            }
        }
        Ok(())
    }
}

fn report_depth(span: Span, problems: &mut Problems) {
    problems.add(
        Code::NestedTooDeep,
        span,
        format!("lists and mappings are nested more than {DEPTH_MAX} deep"),
    );
}

/// Counts the values and depth of an alias, up to a limit.
struct Measure {
    values: usize,
    values_max: usize,
    depth: usize,
}

impl Measure {
    fn take(&mut self, node: &Node, depth: usize) -> bool {
        self.values += 1;
        if self.values > self.values_max {
            return false;
        }
        match &node.value {
            Value::Scalar(_) => true,
            Value::List(items) => {
                self.depth = self.depth.max(depth + 1);
                items.iter().all(|item| self.take(item, depth + 1))
            }
            Value::Mapping(entries) => {
                self.depth = self.depth.max(depth + 1);
                entries.iter().all(|entry| self.take(&entry.value, depth + 1))
            }
        }
    }
}
