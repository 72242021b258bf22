//! The JSON Schema, judged by an independent validator: it accepts what is accepted, and refuses what is refused.

use std::fs;
use std::path::{Path, PathBuf};

use boon::{Compiler, SchemaIndex, Schemas};
use serde_json::{Map, Number, Value as Json};

use super::*;
use crate::tree::{Node, ScalarKind, Value};
use crate::yaml::Parsed;

/// The schema, compiled.
struct Judge {
    schemas: Schemas,
    index: SchemaIndex,
}

impl Judge {
    fn new() -> Self {
        let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
        compiler
            .add_resource("waypost.json", schema::schema())
            .expect("a schema");
        let index = compiler.compile("waypost.json", &mut schemas).expect("a schema");
        Self { schemas, index }
    }

    /// Judges a config as an editor does: before variables are replaced.
    fn judge(&self, config: &str) -> Result<(), String> {
        let json = json(config).ok_or("it is not a mapping")?;
        self.schemas
            .validate(&json, self.index)
            .map_err(|error| error.to_string())
    }
}

/// A config as JSON, its variables as written.
fn json(config: &str) -> Option<Json> {
    let mut problems = Problems::new(vec!["c.yaml".into()]);
    let as_written = |name: &str| Some(format!("${{{name}}}"));
    match yaml::parse(0, &source("c.yaml", config), &as_written, &mut problems) {
        Parsed::Mapping(root) if !problems.has_errors() => Some(value(&root)),
        _ => None,
    }
}

fn value(node: &Node) -> Json {
    match &node.value {
        Value::List(items) => items.iter().map(value).collect(),
        Value::Mapping(entries) => {
            let entries = entries
                .iter()
                .map(|entry| (entry.key.to_string(), value(&entry.value)));
            Json::Object(entries.collect::<Map<String, Json>>())
        }
        Value::Scalar(scalar) => match scalar.kind() {
            ScalarKind::Null => Json::Null,
            ScalarKind::Bool(value) => value.into(),
            ScalarKind::Text => (*scalar.text).into(),
            ScalarKind::Number => scalar
                .text
                .parse::<Number>()
                .map_or_else(|_| (*scalar.text).into(), Json::Number),
        },
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The files of a directory and of those below it, with this extension.
fn files(directory: &Path, extension: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(self::files(&path, extension));
        } else if path.extension().is_some_and(|found| found == extension) {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// The configs in the `yaml` blocks of a page, each with its line.
fn blocks(page: &str) -> Vec<(usize, String)> {
    let mut blocks: Vec<(usize, String)> = Vec::new();
    let mut inside = false;
    for (at, line) in page.lines().enumerate() {
        match line {
            "```yaml" => {
                blocks.push((at + 1, String::new()));
                inside = true;
            }
            "```" => inside = false,
            _ if inside => {
                let (_, block) = blocks.last_mut().expect("a block that has begun");
                block.push_str(line);
                block.push('\n');
            }
            _ => {}
        }
    }
    blocks
}

/// The configs that a block can stand for: keys of a route or a listener are shown without what is around them.
fn configs(block: &str) -> Vec<String> {
    if !block.starts_with(' ') {
        return vec![block.to_owned()];
    }
    ["routes:\n  - name: x\n", "listeners:\n  - bind: 0.0.0.0:80\n"]
        .map(|around| format!("{around}{block}"))
        .into()
}

#[test]
fn schema_accepts_every_example_and_every_config_of_the_docs() {
    let judge = Judge::new();
    let mut count = 0;
    let directories = ["examples", "packaging"];
    let configs_alone = directories.map(|directory| files(&root().join(directory), "yaml"));
    for file in configs_alone.into_iter().flatten() {
        let config = fs::read_to_string(&file).unwrap();
        if let Err(error) = judge.judge(&config) {
            panic!("{}: {error}", file.display());
        }
        count += 1;
    }
    let mut pages = files(&root().join("docs"), "md");
    pages.push(root().join("README.md"));
    for file in pages {
        let page = fs::read_to_string(&file).unwrap();
        let blocks = blocks(&page);
        assert_eq!(blocks.len(), page.matches("```y").count(), "{}", file.display());
        for (line, block) in blocks {
            let judged: Vec<Result<(), String>> =
                configs(&block).iter().map(|config| judge.judge(config)).collect();
            assert!(
                judged.iter().any(Result::is_ok),
                "{}:{line}: {judged:?}",
                file.display()
            );
            count += 1;
        }
    }
    assert!(count >= 25, "{count}");
}

#[test]
fn schema_refuses_what_is_refused() {
    let judge = Judge::new();
    for wrong in [
        "listener: []",
        "listeners: { bind: 0.0.0.0:80 }",
        "listeners: [0.0.0.0:80]",
        "listeners: [{ name: public }]",
        "listeners: [{ bind: 0.0.0.0:80, hosts: [] }]",
        "listeners: [{ bind: 0.0.0.0:80, hosts: a.example }]",
        "listeners: [{ bind: 0.0.0.0:80, tls: true }]",
        "listeners: [{ bind: 0.0.0.0:80, tls: { certificates: [{ cert: a.crt }] } }]",
        "listeners: [{ bind: 0.0.0.0:80, tls: { certificates: [{}] } }]",
        "listeners: [{ bind: 0.0.0.0:80, hosts: [a], tls: { certificates: [{ cert: a.crt, acme: {} }] } }]",
        "listeners: [{ bind: 0.0.0.0:80, hosts: [a], tls: { certificates: [{ cert: a, key: b, acme: {} }] } }]",
        "listeners: [{ bind: 0.0.0.0:80, tls: { certificates: [{ acme: { hosts: [] } }] } }]",
        "listeners: [{ bind: 0.0.0.0:80, tls: { certificates: [{ acme: { hosts: [a], eab: { kid: a } } }] } }]",
        "listeners: [{ bind: 0.0.0.0:80, proxy_protocol: v2 }]",
        "listeners: [{ bind: 0.0.0.0:80, trusted_proxies: 10.0.0.0/8 }]",
        "listeners: [{ bind: 0.0.0.0:80, trusted_proxies: { hops: 2 } }]",
        "listeners: [{ bind: 0.0.0.0:80, trusted_proxies: { from: [], hops: 2 } }]",
        "listeners: [{ bind: 0.0.0.0:80, trusted_proxies: { from: [10.0.0.1], host: client } }]",
        "listeners: [{ bind: 0.0.0.0:80, limits: { body_bytes: 10m } }]",
        "listeners: [{ bind: 0.0.0.0:80, limits: { headers: -1 } }]",
        "listeners: [{ bind: 0.0.0.0:80, limits: { header_timeout: 10 } }]",
        "listeners: [{ bind: 0.0.0.0:80, paths: { double_slash: refuse } }]",
        "services: [{ name: a }]",
        "services: { a: http://a }",
        "services: { a: { url: http://a } }",
        "services: { a: { endpoints: http://a } }",
        "services: { a: { endpoints: [], http2: yes } }",
        "services: { a: { endpoints: [], timeouts: { connect: fast } } }",
        "routes: { a: { to: a } }",
        "routes: [{ to: a }]",
        "routes: [{ name: a, to: [a] }]",
        "routes: [{ name: a, to: { a: many } }]",
        "routes: [{ name: a, match: /a, to: a }]",
        "routes: [{ name: a, match: [], to: a }]",
        "routes: [{ name: a, match: { paths: /a }, to: a }]",
        "routes: [{ name: a, match: { path: null }, to: a }]",
        "routes: [{ name: a, match: { headers: [x] }, to: a }]",
        "routes: [{ name: a, redirect: https }]",
        "routes: [{ name: a, redirect: { scheme: ftp } }]",
        "routes: [{ name: a, respond: 404 }]",
        "routes: [{ name: a, respond: { body: x } }]",
        "routes: [{ name: a, to: a, rewrite: { regex: [a] } }]",
        "routes: [{ name: a, to: a, timeout: 5 }]",
        "routes: [{ name: a, to: a, sticky: { cookie: [a] } }]",
        "routes: [{ name: a, to: a, request_headers: { x-a: b } }]",
        "tests: [{ request: GET / }]",
        "tests: [{ request: GET /, expect: { outcome: fine } }]",
        "admin: false",
        "drain_timeout: 30",
        "debug_headers: on",
        "workers: all",
    ] {
        assert!(judge.judge(wrong).is_err(), "the schema accepts {wrong}");
        // A key of another shape is refused by the parser too, with every other part as it should be.
        let mut config = format!("{wrong}\n");
        for (key, part) in [
            ("listeners", "listeners: [{ bind: 127.0.0.1:0 }]\n"),
            ("services", "services: { a: { endpoints: [] } }\n"),
        ] {
            if !wrong.starts_with(key) {
                config.push_str(part);
            }
        }
        assert!(load_text(config).is_err(), "the parser accepts {wrong}");
    }
}
