use super::canary::CanaryRecord;
use super::dial::DialRecord;
use super::drain::DrainRecord;
use super::instance::InstanceRecord;
use super::revision::RevisionRecord;
use super::rollout::RolloutRecord;
use super::*;

const DIAL: &str =
    r#"{"declared":[["a",1],["b",0]],"live":[["a",1],["b",1]],"by":"x","time":"2026-01-01T00:00:00Z"}"#;
const DIGEST: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn why<T: Record>(value: &str) -> Option<String> {
    T::read(value.as_bytes()).err().map(|error| error.to_string())
}

/// Checks what reading `value` says; an empty text for a record that is accepted, and read again as it was written.
fn check<T: Record + PartialEq + fmt::Debug>(value: &str, expected: &str) {
    let found = why::<T>(value);
    match expected {
        "" => {
            assert_eq!(found, None, "{value}");
            let record = T::read(value.as_bytes()).unwrap();
            assert_eq!(T::read(&record.to_value()), Ok(record), "{value}");
        }
        expected => {
            let found = found.unwrap_or_default();
            assert!(found.contains(expected), "{value}: {found:?}");
        }
    }
}

#[test]
fn dials_are_refused_with_the_field() {
    check::<DialRecord>(DIAL, "");
    check::<DialRecord>(&DIAL.replace(r#""by""#, r#""newer":{"a":[1]},"by""#), "");
    for (from, to, expected) in [
        (r#","live":[["a",1],["b",1]]"#, "", ""),
        (r#"[["a",1],["b",1]]"#, "null", ""),
        (r#"[["a",1],["b",1]]"#, r#"[["a",1]]"#, "`live`: its services"),
        (
            r#"[["a",1],["b",1]]"#,
            r#"[["b",1],["a",1]]"#,
            "`live`: its services",
        ),
        (
            r#"[["a",1],["b",1]]"#,
            r#"[["a",0],["b",0]]"#,
            "`live`: all weights are 0",
        ),
        (r#"["b",1]"#, r#"["b",-1]"#, "invalid value"),
        (r#"["b",1]"#, r#"["b",18446744073709551616]"#, "invalid type"),
        (r#"["b",1]"#, r#"["b",1,2]"#, "trailing characters"),
        (r#""a",1],["b",0"#, r#""",1],["b",0"#, "`declared`: it is empty"),
        (r#""by":"x""#, r#""by":"a\u0007""#, "`by`: it has a control"),
        (r#""by":"x""#, r#""by":"x","by":"y""#, "duplicate field"),
        (r#""by":"x","#, "", "missing field `by`"),
        ("2026-01-01T00:00:00Z", "yesterday", "line 1 column"),
        (r#""by":"x""#, r#""by":"x","write":"a/b""#, "an id has 1 to 64"),
        ("}", "", "EOF"),
        ("}", "} x", "trailing characters"),
    ] {
        check::<DialRecord>(&DIAL.replacen(from, to, 1), expected);
    }
    check::<DialRecord>(
        &DIAL.replace(r#""x""#, &format!("\"{}\"", "x".repeat(2000))),
        "`by`: it is too long",
    );
    check::<DialRecord>(&" ".repeat(TRANSACTION_BYTES_MAX + 1), "are the most");
    check::<DialRecord>(&"[".repeat(100_000), "invalid type");
}

#[test]
fn records_that_make_no_sense_are_refused() {
    check::<DrainRecord>(r#"{"drained":[{"by":"x","time":"2026-01-01T00:00:00Z"}]}"#, "");
    check::<DrainRecord>(r#"{"drained":[]}"#, "`drained`: it is empty");
    check::<RolloutRecord>(r#"{"fence":7,"state":{"a":1.5}}"#, "");
    check::<RolloutRecord>(r#"{"fence":0,"state":{}}"#, "`fence`: it is not positive");
    check::<RolloutRecord>(r#"{"fence":7,"state":[]}"#, "`state`: it is no object");
    let deep = format!(
        r#"{{"fence":7,"state":{}1{}}}"#,
        "{\"a\":".repeat(500),
        "}".repeat(500)
    );
    check::<RolloutRecord>(&deep, "recursion limit");

    check::<InstanceRecord>(r#"{"version":"1","started":"2026-01-01T00:00:00Z"}"#, "");
    check::<InstanceRecord>(
        r#"{"version":"1","started":"2026-01-01T00:00:00Z","pid":-1}"#,
        "invalid value",
    );

    let revision = |rest: &str| {
        format!(r#"{{"time":"2026-01-01T00:00:00Z","origin":"api","hash":"h","digest":"{DIGEST}",{rest}}}"#)
    };
    for (rest, expected) in [
        (r#""files":{"a.yaml":2},"text":"x\n""#, ""),
        (r#""files":{},"text":"""#, ""),
        (r#""files":{"a.yaml":3},"text":"x\n""#, "`text`: its length"),
        (r#""files":{"a.yaml":2}"#, "`text`: its length"),
        (
            r#""files":{"a.yaml":2,"b.yaml":3},"text":"x\n","parts":{"b.yaml":"@parts DIGEST 1"}"#,
            "",
        ),
        (
            r#""files":{"a.yaml":2},"text":"x\n","parts":{"b.yaml":"@parts DIGEST 1"}"#,
            "`parts`: a name",
        ),
        (
            r#""files":{"a.yaml":2000000},"parts":{"a.yaml":"@parts DIGEST 2"}"#,
            "",
        ),
        (
            r#""files":{"a.yaml":2},"parts":{"a.yaml":"@parts DIGEST 17"}"#,
            "bytes at most",
        ),
        (
            r#""files":{"a.yaml":2},"parts":{"a.yaml":"x"}"#,
            "the value is not",
        ),
        (r#""files":{"../a.yaml":2},"text":"x\n""#, "a text's name"),
        (
            r#""files":{"a.yaml":18446744073709551615,"b.yaml":18446744073709551615},"text":"""#,
            "too large",
        ),
    ] {
        check::<RevisionRecord>(&revision(&rest.replace("DIGEST", DIGEST)), expected);
    }

    let canary = |stage: &str, chosen: &str| {
        format!(
            r#"{{"id":"w","draft":{{"time":"2026-01-01T00:00:00Z","origin":"api","hash":"h"}},
            "texts":{{"digest":"{DIGEST}","files":{{}},"text":""}},"chosen":{chosen},"hold_ms":1,"stage":{stage}}}"#
        )
    };
    check::<CanaryRecord>(&canary(r#""taking""#, r#"["i"]"#), "");
    check::<CanaryRecord>(&canary(r#"{"passed":3}"#, r#"["i"]"#), "");
    check::<CanaryRecord>(&canary(r#"{"taken_back":"why"}"#, r#"["i"]"#), "");
    check::<CanaryRecord>(&canary(r#""newer""#, r#"["i"]"#), "unknown variant");
    check::<CanaryRecord>(&canary(r#""taking""#, "[]"), "`chosen`: it is empty");
}
