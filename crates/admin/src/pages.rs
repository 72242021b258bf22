//! The pages in `docs/` that are made from what this crate defines.

/// Set to write the pages instead of comparing them.
const UPDATE: &str = "UPDATE_DOCS";

/// Checks that a page in `docs/` says `text`, or makes it so.
pub(crate) fn check(name: &str, text: &str) {
    let path = format!("{}/../../docs/{name}", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os(UPDATE).is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap();
    assert!(
        written == text,
        "docs/{name} is old; run the tests with {UPDATE}=1"
    );
}
