//! `waypost check --fix`: mends in a config what can mean one thing only.

use std::fmt::Write as _;

use anyhow::Context as _;
use serde_json::json;
use waypost_config::diagnostic::{Diagnostic, Suggestion};

use crate::output::{self, count};
use crate::source::{Source, Version};
use crate::texts::Texts;

/// The changes of a config.
pub(crate) struct Changes {
    applied: Vec<Diagnostic>,
    /// The difference of each changed file.
    differences: Vec<String>,
}

/// Mends the config of `source`, and writes the files that change. Returns its texts, and the changes.
///
/// # Errors
/// If the config cannot be read or written, or is just being edited.
pub(crate) fn fix(source: &mut Source) -> anyhow::Result<(Texts, Changes)> {
    let (texts, version) = source.read()?;
    let env = |name: &str| std::env::var(name).ok();
    let fixed = waypost_config::fix::fix(&texts.sources, texts.kind, &env);
    let pairs = texts.sources.iter().zip(&fixed.sources);
    let changed = pairs.filter(|(before, after)| before.text != after.text);
    let differences = changed
        .map(|(before, after)| {
            let [old, new] = [before, after].map(|source| String::from_utf8_lossy(&source.text));
            output::unified_diff((before.name.clone(), &old), (after.name.clone(), &new))
        })
        .collect();
    let changes = Changes {
        applied: fixed.applied,
        differences,
    };
    let texts = Texts {
        sources: fixed.sources,
        kind: texts.kind,
        local: texts.local,
    };
    if !changes.differences.is_empty() {
        write(source, &texts, &version).with_context(|| format!("cannot write `{}`", source.name()))?;
    }
    Ok((texts, changes))
}

/// Replaces the files that changed; a kill at any moment leaves the old texts or the new ones.
fn write(source: &mut Source, texts: &Texts, version: &Version) -> anyhow::Result<()> {
    source.prepare(texts, version, |_, _| true)?.commit()?.finish();
    Ok(())
}

impl Changes {
    /// The differences, with the number of changes.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        for difference in &self.differences {
            text.push_str(difference);
            text.push('\n');
        }
        let _ = match self.applied.len() {
            0 => writeln!(text, "nothing to mend unasked"),
            mended => writeln!(text, "mended {}", count(mended, "mistake")),
        };
        text.push('\n');
        text
    }

    /// The changes as JSON: a list of suggestions with the code of each.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        let mended = self.applied.iter().map(|found| {
            let mut value = json!({ "code": found.code.as_str(), "message": found.message });
            if let (Some(object), Some(serde_json::Value::Object(suggestion))) = (
                value.as_object_mut(),
                found.suggestion.as_ref().map(Suggestion::to_json),
            ) {
                object.extend(suggestion);
            }
            value
        });
        mended.collect()
    }
}
