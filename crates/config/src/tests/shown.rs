//! Rendered diagnostics and the schema.

use super::*;

/// Checks the diagnostics of `config` as rendered without colour.
fn check(config: &str, expected: &str) {
    let sources = [source("conf/c.yaml", config)];
    let found = load(&sources, Kind::File, &environment).unwrap_err();
    let shown = render::render(&found, &sources, false);
    assert_eq!(shown, expected, "\n{shown}");
}

#[test]
fn place_code_message_line_and_hint_are_shown() {
    check(
        "listeners: [{ bind: 0.0.0.0:80 }]\nworkres: 1\n",
        "\
conf/c.yaml:2:1: error[unknown-key]: `workres` is not a key of the configuration
  |
2 | workres: 1
  | ^^^^^^^
hint: did you mean `workers`?
",
    );
}

#[test]
fn without_a_file_there_is_no_place() {
    let found = load(&[], Kind::Directory, &environment).unwrap_err();
    let shown = render::render(&found, &[], false);
    let expected = "\
error[empty-file]: the directory has no `*.yaml` or `*.yml` file
hint: the smallest config has `listeners`, `services` and `routes`
";
    assert_eq!(shown, expected);
}

#[test]
fn columns_count_characters_and_the_second_place_is_shown() {
    check(
        "listeners: [{ bind: 0.0.0.0:80 }]\n\"üü\": 1\n\"üü\": 2\n",
        "\
conf/c.yaml:2:1: error[unknown-key]: `üü` is not a key of the configuration
  |
2 | \"üü\": 1
  | ^^^^
hint: the keys here are `listeners`, `services`, `routes`, `policies`, `rollouts`, `errors`, `tests`, `access_log`, `drain_timeout`, `debug_headers`, `admin`, `state`, `metrics`, `resolver`, `workers`, `split_key`, `source`

conf/c.yaml:3:1: error[duplicate-key]: the key `üü` is set twice in one mapping
  |
3 | \"üü\": 2
  | ^^^^
  ::: 2:1
  |
2 | \"üü\": 1
  | ---- first here
hint: keep one of the two
",
    );
}

#[test]
fn json_has_all_parts_of_a_diagnostic() {
    let found = load_text("listeners: [{ bind: x }]\n").unwrap_err();
    let json = diagnostic::to_json(&found);
    assert_eq!(
        json,
        serde_json::json!([{
            "code": "bad-bind", "severity": "error", "message": "`x` is not an address to listen on",
            "file": "c.yaml", "line": 1, "column": 21, "end_line": 1, "end_column": 22,
            "labels": [{ "file": "c.yaml", "line": 1, "column": 21, "end_line": 1, "end_column": 22, "text": "" }],
            "help": "write an IP address and a port, such as `0.0.0.0:8080`",
        }])
    );
}

#[test]
fn control_characters_do_not_reach_the_terminal() {
    let config = "listeners: [{ bind: \"\\e[31m\" }]\n\"\\e]0;x\\a\": 1\n";
    let sources = [source("c\x1b[2J.yaml", config)];
    let found = load(&sources, Kind::File, &environment).unwrap_err();
    let shown = render::render(&found, &sources, false);
    assert!(!shown.contains(['\x1b', '\x07']), "{shown}");
}

#[test]
fn the_schema_knows_every_key_and_the_examples_fit() {
    let schema = schema::schema();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    assert_eq!(schema["additionalProperties"], false);
    assert_eq!(schema["properties"]["drain_timeout"]["default"], "30s");
    let limits = &schema["$defs"]["Limits"]["properties"];
    assert_eq!(limits["headers"]["default"], 100);
    assert_eq!(
        limits["headers"]["title"],
        "Maximum number of header fields (431)"
    );
    assert_eq!(
        schema["$defs"]["Listener"]["required"],
        serde_json::json!(["bind"])
    );
}
