//! `waypost history`: the applied configs, their texts, and the differences between two.

use diffy::{DiffOptions, PatchFormatter};
use waypost_admin::command::{Revision, RevisionTexts};

use super::table::Table;
use super::{Client, refused};
use crate::Outcome;
use crate::cli::{AdminArgs, Format, HistoryCommand};
use crate::output;

/// Lists the revisions, or runs a subcommand on them.
pub(crate) fn history(
    admin: &AdminArgs,
    command: Option<&HistoryCommand>,
    format: Format,
) -> anyhow::Result<Outcome> {
    let client = Client::new(admin)?;
    match command {
        None => list(&client, format),
        Some(HistoryCommand::Show { number }) => show(&client, *number, format),
        Some(HistoryCommand::Diff { from, to }) => diff(&client, *from, *to, format),
    }
}

fn list(client: &Client, format: Format) -> anyhow::Result<Outcome> {
    let revisions: Vec<Revision> = match client.get("/api/v1/revisions")? {
        Ok(revisions) => revisions,
        Err(problem) => return refused(&problem, format),
    };
    if format == Format::Json {
        return output::print_json(&revisions);
    }
    let mut table = Table::new(&[">REVISION", "TIME", "ORIGIN", "BY", "SUMMARY"]);
    for revision in &revisions {
        table.row([
            &*revision.number.to_string(),
            &format!("{:.0}", revision.time),
            &revision.origin,
            revision.by.as_deref().unwrap_or("-"),
            &revision.summary,
        ]);
    }
    output::print(&table.text())?;
    Ok(Outcome::Good)
}

fn show(client: &Client, number: u64, format: Format) -> anyhow::Result<Outcome> {
    let revision: RevisionTexts = match client.get(&path(number))? {
        Ok(revision) => revision,
        Err(problem) => return refused(&problem, format),
    };
    if format == Format::Json {
        return output::print_json(&revision);
    }
    let mut text = String::new();
    for file in &revision.files {
        if revision.files.len() > 1 {
            text.push_str(&format!("# {}\n", file.name));
        }
        text.push_str(&file.text);
    }
    output::print(&text)?;
    Ok(Outcome::Good)
}

fn diff(client: &Client, from: u64, to: u64, format: Format) -> anyhow::Result<Outcome> {
    let mut both = Vec::new();
    for number in [from, to] {
        match client.get::<RevisionTexts>(&path(number))? {
            Ok(revision) => both.push(revision),
            Err(problem) => return refused(&problem, format),
        }
    }
    let (before, after) = (&both[0], &both[1]);
    let mut names: Vec<&str> = Vec::new();
    for file in before.files.iter().chain(&after.files) {
        if !names.contains(&&*file.name) {
            names.push(&file.name);
        }
    }
    let mut text = String::new();
    for name in names {
        let of = |revision: &RevisionTexts| {
            let file = revision.files.iter().find(|file| file.name == name);
            file.map(|file| file.text.clone()).unwrap_or_default()
        };
        let (was, is) = (of(before), of(after));
        if was != is {
            let (from, to) = (
                format!("{name} (revision {from})"),
                format!("{name} (revision {to})"),
            );
            text.push_str(&unified_diff((from, &was), (to, &is)));
        }
    }
    if format == Format::Json {
        return output::print_json(&serde_json::json!({ "from": from, "to": to, "diff": text }));
    }
    if text.is_empty() {
        text = format!("revisions {from} and {to} have the same text\n");
    }
    output::print(&text)?;
    Ok(Outcome::Good)
}

/// A unified diff of two named texts, with three lines of context.
fn unified_diff((from, before): (String, &str), (to, after): (String, &str)) -> String {
    let mut options = DiffOptions::new();
    options.set_original_filename(from).set_modified_filename(to);
    let patch = options.create_patch(before, after);
    let formatter = PatchFormatter::new().suppress_blank_empty(false);
    formatter.fmt_patch(&patch).to_string()
}

fn path(number: u64) -> String {
    format!("/api/v1/revisions/{number}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(before: &str, after: &str, expected: &str) {
        let diff = unified_diff(
            ("a.yaml (revision 1)".to_owned(), before),
            ("a.yaml (revision 2)".to_owned(), after),
        );
        let expected = format!("--- a.yaml (revision 1)\n+++ a.yaml (revision 2)\n{expected}");
        assert_eq!(diff, expected);
    }

    #[test]
    fn changes_have_three_lines_of_context() {
        check(
            "1\n2\n\n4\n5\n6\n7\n8\n9\n",
            "1\n2\n\n4\n5!\n6\n7\n8\n9\n",
            "@@ -2,7 +2,7 @@\n 2\n \n 4\n-5\n+5!\n 6\n 7\n 8\n",
        );
    }

    #[test]
    fn new_removed_and_unterminated_files_are_told_apart() {
        check("", "1\n2\n", "@@ -0,0 +1,2 @@\n+1\n+2\n");
        check("1\n2\n", "", "@@ -1,2 +0,0 @@\n-1\n-2\n");
        check("1", "1\n", "@@ -1 +1 @@\n-1\n\\ No newline at end of file\n+1\n");
    }
}
