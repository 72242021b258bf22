//! Pages in `docs/` that are generated from this crate.

/// Environment variable that makes the tests write the pages instead of comparing them.
const UPDATE: &str = "UPDATE_DOCS";

/// Compares a page in `docs/` with `text`, or writes it if [`UPDATE`] is set.
pub(crate) fn check(name: &str, text: &str) {
    let path = format!("{}/../../docs/{name}", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os(UPDATE).is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap();
    assert!(
        written == text,
        "docs/{name} is out of date; run the tests with {UPDATE}=1"
    );
}
