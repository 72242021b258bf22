//! `waypost history`: the applied configs, their texts, and the differences between two.

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
            text.push_str(&output::unified_diff((from, &was), (to, &is)));
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

fn path(number: u64) -> String {
    format!("/api/v1/revisions/{number}")
}
