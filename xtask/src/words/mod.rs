//! Text that no file of the repository may contain.

mod vocabulary;

use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::command;

/// This folder contains the words itself.
const EXEMPT: &str = "xtask/src/words/";

/// A forbidden text.
struct Rule {
    text: &'static str,
    place: Place,
    reason: &'static str,
}

/// Files that a rule applies to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// All files.
    Everywhere,
    /// All files except lock files, which cargo writes.
    NotInLockFiles,
    /// Tests in Rust.
    Tests,
}

const UNFINISHED: &str = "what is not finished is an issue, not a comment";
const LEFT_OVER: &str = "it was left over from debugging";
const NOT_RUN: &str = "a test that is not run proves nothing: mend it or take it out";
const LUCK: &str = "a test that sleeps passes by luck: wait for what it is waiting for";
const MACHINE: &str = "a path of one machine means nothing on another";
const REGISTRY: &str = "which registry packages come from is the business of the machine";

const RULES: [Rule; 15] = [
    everywhere("TODO", UNFINISHED),
    everywhere("FIXME", UNFINISHED),
    everywhere("XXX", UNFINISHED),
    everywhere("dbg!", LEFT_OVER),
    everywhere("#[ignore", NOT_RUN),
    Rule {
        text: "sleep(",
        place: Place::Tests,
        reason: LUCK,
    },
    everywhere("/work/", MACHINE),
    everywhere("/root/", MACHINE),
    everywhere("/home/", MACHINE),
    everywhere("/Users/", MACHINE),
    Rule {
        text: "crates.io",
        place: Place::NotInLockFiles,
        reason: REGISTRY,
    },
    everywhere("registry.npmjs.org", REGISTRY),
    everywhere("pypi.org", REGISTRY),
    everywhere("files.pythonhosted.org", REGISTRY),
    everywhere("proxy.golang.org", REGISTRY),
];

const fn everywhere(text: &'static str, reason: &'static str) -> Rule {
    Rule {
        text,
        place: Place::Everywhere,
        reason,
    }
}

/// Checks every file that git tracks or would add.
pub(crate) fn run() -> Result<()> {
    // In a container, the checkout may belong to another user.
    let mut git = Command::new("git");
    git.args([
        "-c",
        "safe.directory=*",
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
    ]);
    let names = command::output(git.current_dir(command::root()))?;
    let mut files = 0;
    let mut problems = Vec::new();
    for name in names
        .split_terminator('\0')
        .filter(|name| !name.starts_with(EXEMPT))
    {
        let path = command::root().join(name);
        if !path.is_file() {
            continue; // deleted, but still in the index
        }
        let bytes = fs::read(&path).with_context(|| format!("could not read `{name}`"))?;
        // A binary file, such as a seed of a fuzz target.
        let Ok(text) = String::from_utf8(bytes) else {
            continue;
        };
        files += 1;
        problems.extend(problems_of(name, &text));
    }
    command::report(
        &problems,
        &format!("{files} files, none with a word that must not be there"),
    )
}

fn problems_of(name: &str, text: &str) -> Vec<String> {
    let mut in_tests = is_test_file(name);
    let mut problems = Vec::new();
    let mut previous = "";
    for (index, line) in text.lines().enumerate() {
        // Tests are the last thing in a file.
        in_tests |= name.ends_with(".rs") && previous.trim() == "#[cfg(test)]" && line.ends_with('{');
        for rule in &RULES {
            let holds = match rule.place {
                Place::Everywhere => true,
                Place::NotInLockFiles => !name.ends_with("Cargo.lock"),
                Place::Tests => in_tests,
            };
            if holds && contains_word(line, rule.text) {
                problems.push(format!("{name}:{}: `{}`: {}", index + 1, rule.text, rule.reason));
            }
        }
        previous = line;
    }
    problems.extend(vocabulary::problems(name, text));
    problems
}

fn is_test_file(name: &str) -> bool {
    name.ends_with("tests.rs") || (name.ends_with(".rs") && name.split('/').any(|folder| folder == "tests"))
}

/// Returns true if `line` contains `word`, but not inside a longer word or path.
fn contains_word(line: &str, word: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        // Punctuation at an end of the word is its own boundary: the character before `/home/` matters, as a path may
        // start there; the one after it does not.
        let ends_in_letter = word.ends_with(char::is_alphanumeric);
        let continues = |c: char| c.is_alphanumeric() || c == '_';
        let is_part = before.is_some_and(is_word) || (ends_in_letter && after.is_some_and(continues));
        !is_part
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `expected` lists line and word of each problem.
    fn check(name: &str, text: &str, expected: &[&str]) {
        let found: Vec<String> = problems_of(name, text)
            .iter()
            .map(|problem| {
                let (place, rest) = problem.split_once(": `").unwrap();
                let line = place.rsplit_once(':').unwrap().1;
                format!("{line} {}", rest.split_once('`').unwrap().0)
            })
            .collect();
        assert_eq!(found, expected, "{name}: {text}");
    }

    #[test]
    fn words_are_found_as_whole_words() {
        check("a.rs", "let a = 1;\n// TODO: more", &["2 TODO"]);
        check("a.md", "FIXME, XXX", &["1 FIXME", "1 XXX"]);
        check("a.rs", "TODOS XXXX xTODO fixme", &[]);
        check("a.rs", "dbg!(x)", &["1 dbg!"]);
        check("a.rs", "#[ignore = \"slow\"]", &["1 #[ignore"]);
    }

    #[test]
    fn machine_paths_are_told_from_parts_of_urls() {
        check("a.md", "see /home/me/file", &["1 /home/"]);
        check("a.md", "(/root/.cargo)", &["1 /root/"]);
        check("a.md", "http://a.example/home/7", &[]);
        check("a.yaml", "path: /homes/*", &[]);
    }

    #[test]
    fn sleeping_is_for_the_code_that_is_tested() {
        let text = "sleep(1);\n#[cfg(test)]\nmod tests {\n    thread::sleep(2);\n}";
        check("src/a.rs", text, &["4 sleep("]);
        check("tests/a.rs", "tokio::time::sleep(x)", &["1 sleep("]);
        check("src/a/tests.rs", "sleep(x)", &["1 sleep("]);
        check("src/a.rs", "#[cfg(test)]\nmod tests;\nsleep(x)", &[]);
        check("tests/a.sh", "sleep(x)", &[]);
    }

    #[test]
    fn lock_files_may_name_their_registry() {
        check("fuzz/Cargo.lock", "crates.io-index", &[]);
        check("README.md", "from crates.io", &["1 crates.io"]);
    }
}
