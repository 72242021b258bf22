//! Descriptions for schema and reference, from doc comments.

/// Returns a doc comment without the line breaks of its source, paragraphs separated by blank lines.
pub(crate) fn paragraphs(doc: &str) -> String {
    let lines: Vec<&str> = doc.lines().map(str::trim).collect();
    let paragraphs: Vec<String> = lines
        .split(|line| line.is_empty())
        .map(|lines| lines.join(" "))
        .filter(|paragraph| !paragraph.is_empty())
        .collect();
    paragraphs.join("\n\n")
}

/// Returns a doc comment as one line.
pub(crate) fn one_line(doc: &str) -> String {
    paragraphs(doc).replace("\n\n", " ")
}

/// Returns the first paragraph of a doc comment without its full stop.
pub(crate) fn title(doc: &str) -> String {
    let paragraphs = paragraphs(doc);
    let title = paragraphs.split("\n\n").next().unwrap_or_default();
    title.strip_suffix('.').unwrap_or(title).to_owned()
}
