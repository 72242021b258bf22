//! The vocabulary: names that were given up for the field's words, and phrases that plain technical English does without.

/// Identifiers that were given up, with what replaces them; see docs/glossary.md.
const RETIRED: [(&str, &str); 34] = [
    ("Asked", "ClientStream"),
    ("await_or_make", "claim_connect"),
    ("be_introduced", "read_proxy_header"),
    ("bring_into_force", "activate"),
    ("complain", "log::warn"),
    ("culprit", "blame"),
    ("Door", "ListeningSocket"),
    ("Envelope", "LocalResponse"),
    ("Facts", "NormalizedRequest"),
    ("IdlePlace", "Permit"),
    ("Introduction", "ProxyPreamble"),
    ("is_introduced", "set_client"),
    ("is_to_make_room", "evicted"),
    ("Keeps", "KeepAlive"),
    ("Making", "ConnectPermit"),
    ("Multiplexed", "ClientConnection"),
    ("Outlet", "WriteQueue"),
    ("Patience", "Deadlines"),
    ("Persistence", "KeepAlive"),
    ("Provenance", "Activation"),
    ("Recoding", "Transform"),
    ("RequestCells", "RouteCounters"),
    ("resting", "ejected"),
    ("revive", "recover"),
    ("Seat", "ConnectionSlot"),
    ("Seats", "Slots"),
    ("ServiceCells", "ServiceCounters"),
    ("Spares", "FreeList"),
    ("Successor", "Candidate"),
    ("Watched", "GuardedIo"),
    ("Wish", "ForwardOptions"),
    ("WorkerCells", "WorkerCounters"),
    ("WorkerService", "LocalService"),
    ("Workspace", "RequestBuffers"),
];

/// Words that prose does without: name the thing or the party.
const MANNERED: [&str; 7] = [
    "anybody",
    "everybody",
    "nobody",
    "somebody",
    "whoever",
    "came about",
    "come about",
];

/// Beginnings of doc comments that put a clause where a noun belongs.
const CLAUSES: [&str; 9] = [
    "Everything ",
    "How ",
    "That ",
    "Those ",
    "What ",
    "Whatever ",
    "Whether ",
    "Who ",
    "Whoever ",
];

/// The places in a file that break the vocabulary.
pub(super) fn problems(name: &str, text: &str) -> Vec<String> {
    let mut problems = Vec::new();
    let is_rust = name.ends_with(".rs");
    if !is_rust && !name.ends_with(".md") {
        return problems;
    }
    let mut is_fenced = false;
    for (index, line) in text.lines().enumerate() {
        let at = format!("{name}:{}", index + 1);
        is_fenced ^= !is_rust && line.trim_start().starts_with("```");
        let (code, prose) = if is_rust { split(line) } else { ("", line) };
        for (old, new) in RETIRED.iter().filter(|(old, _)| contains(code, old)) {
            problems.push(format!("{at}: `{old}`: the word is `{new}`"));
        }
        if is_fenced {
            continue;
        }
        let lower = prose.to_lowercase();
        for word in MANNERED.iter().filter(|word| contains(&lower, word)) {
            problems.push(format!("{at}: `{word}`: name the thing or the party instead"));
        }
        let doc = prose.strip_prefix("///").or_else(|| prose.strip_prefix("//!"));
        let doc = doc.map(str::trim_start).filter(|_| begins_comment(text, index));
        for clause in CLAUSES
            .iter()
            .filter(|clause| doc.is_some_and(|doc| doc.starts_with(**clause)))
        {
            problems.push(format!("{at}: `{}`: begin with the noun", clause.trim_end()));
        }
    }
    problems
}

/// Returns true if the line at `index` is the first of a doc comment, or of a paragraph in it.
fn begins_comment(text: &str, index: usize) -> bool {
    let before = index.checked_sub(1).and_then(|before| text.lines().nth(before));
    let before = before.unwrap_or_default().trim();
    matches!(before, "///" | "//!") || !(before.starts_with("///") || before.starts_with("//!"))
}

/// A line of Rust as code and comment. A `//` within a string, as in a URL, is taken for code.
fn split(line: &str) -> (&str, &str) {
    let mut comments = line.match_indices("//").map(|(at, _)| at);
    let at =
        comments.find(|at| !line[..*at].ends_with(':') && line[..*at].matches('"').count().is_multiple_of(2));
    let (code, prose) = line.split_at(at.unwrap_or(line.len()));
    (code, prose)
}

/// Returns true if `line` contains `word`, but not inside a longer identifier or word.
fn contains(line: &str, word: &str) -> bool {
    let continues = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        !before.is_some_and(continues) && !after.is_some_and(continues)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, text: &str, expected: &[&str]) {
        let found: Vec<String> = problems(name, text)
            .iter()
            .map(|problem| problem.split('`').nth(1).unwrap().to_owned())
            .collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn retired_names_are_found_in_code() {
        check("a.rs", "struct Facts;\nfn revive() {}", &["Facts", "revive"]);
        check("a.rs", "struct Factsheet; // Facts", &[]);
        check("a.md", "Facts", &[]);
    }

    #[test]
    fn mannered_words_are_found_in_prose() {
        check("a.rs", "// Nobody waits.\nlet nobody = \"whoever\";", &["nobody"]);
        check("a.md", "Whoever\n```console\nwhoever\n```\n", &["whoever"]);
        check("a.yaml", "whoever", &[]);
    }

    #[test]
    fn docs_begin_with_a_noun() {
        check("a.rs", "/// Whether it is so.\nfn a() {}", &["Whether"]);
        check(
            "a.rs",
            "/// True if it is so.\n/// What follows goes on.\nfn a() {}",
            &[],
        );
        check("a.rs", "//! A module.\n//!\n//! What it does.", &["What"]);
        check("a.rs", "// What a plain comment says.", &[]);
    }
}
