//! Merging of the files of a directory.

use crate::diagnostic::Code;
use crate::document::Document;
use crate::keys::{At, Given};
use crate::problems::Problems;
use crate::tree::Entry;

/// Merges documents: lists are concatenated and services merged; any other key may occur in one file only.
pub(crate) fn merge(documents: Vec<Document>, problems: &mut Problems) -> Document {
    let mut merged = Document::default();
    // At most one entry for each key of the language, so a linear search is cheap.
    let mut given: Vec<Entry> = Vec::new();
    for document in documents {
        append(&mut merged.listeners, document.listeners, |to, from| {
            to.0.extend(from.0);
        });
        append(&mut merged.services, document.services, |to, from| {
            to.0.extend(from.0);
            to.1.extend(from.1);
        });
        append(&mut merged.routes, document.routes, |to, from| {
            to.0.extend(from.0);
        });
        append(&mut merged.rollouts, document.rollouts, |to, from| {
            to.0.extend(from.0);
            to.1.extend(from.1);
        });
        append(&mut merged.policies, document.policies, |to, from| {
            to.0.extend(from.0);
            to.1.extend(from.1);
        });
        append(&mut merged.tests, document.tests, |to, from| {
            to.0.extend(from.0);
        });
        // Keys are compared as written, so a value that could not be read hides nothing.
        let known = |entry: &&Entry| Document::TABLE.keys.iter().any(|key| key.name == &*entry.key);
        let entries = document.given.0.iter().flat_map(|entries| entries.iter());
        for entry in entries.filter(known) {
            let first = given.iter().find(|earlier| earlier.key == entry.key);
            let merges = matches!(
                &*entry.key,
                "listeners" | "services" | "routes" | "policies" | "rollouts" | "tests"
            );
            match first {
                Some(first) if !merges => {
                    problems
                        .add(
                            Code::DuplicateKey,
                            entry.key_span,
                            format!("`{}` is in two files", entry.key),
                        )
                        .label(first.key_span, "first here")
                        .help(
                            "keep one of them; only `listeners`, `services`, `routes`, `policies`, `rollouts` and `tests` are merged",
                        );
                }
                Some(_) => {}
                None => given.push(entry.clone()),
            }
        }
        merged.errors = merged.errors.or(document.errors);
        merged.access_log = merged.access_log.or(document.access_log);
        merged.drain_timeout = merged.drain_timeout.or(document.drain_timeout);
        merged.debug_headers = merged.debug_headers.or(document.debug_headers);
        merged.admin = merged.admin.or(document.admin);
        merged.state = merged.state.or(document.state);
        merged.metrics = merged.metrics.or(document.metrics);
        merged.resolver = merged.resolver.or(document.resolver);
        merged.workers = merged.workers.or(document.workers);
        merged.split_key = merged.split_key.or(document.split_key);
    }
    merged.given = Given(Some(given.into()));
    merged
}

fn append<T>(merged: &mut Option<Box<At<T>>>, more: Option<Box<At<T>>>, extend: impl FnOnce(&mut T, T)) {
    match (merged.as_mut(), more) {
        (Some(merged), Some(more)) => extend(&mut merged.value, more.value),
        (None, more) => *merged = more,
        (Some(_), None) => {}
    }
}
