//! A local file, which has what is one instance's alone, and leads to the config that it shares.

use waypost_plan::etcd::EtcdSource;
use waypost_plan::settings::Settings;

use crate::diagnostic::Code;
use crate::document::Document;
use crate::document::listener::Listener;
use crate::keys::{At, Given};
use crate::lower::etcd::{self, EtcdFiles};
use crate::lower::{Context, listener, settings};
use crate::place::Span;
use crate::problems::{Problems, quote};

/// Keys of a local file.
const KEYS: [&str; 6] = ["source", "admin", "state", "workers", "access_log", "listeners"];
/// Keys of a listener in a local file.
const LISTENER_KEYS: [&str; 2] = ["name", "bind"];

/// A local file, lowered. What is invalid is reported.
pub(crate) struct LoweredLocal {
    pub(crate) source: Option<EtcdSource>,
    /// The instance's own settings, which count as long as there is no shared config.
    pub(crate) settings: Settings,
    pub(crate) files: EtcdFiles<Span>,
}

/// Lowers a local file.
pub(crate) fn lower(document: &Document, problems: &mut Problems) -> LoweredLocal {
    check_keys(document, problems);
    let mut context = Context::new(document, false, problems);
    let settings = settings::of(document, &mut context);
    for written in document.listeners.iter().flat_map(|list| &list.value.0) {
        if let Some(name) = &written.value.name {
            context
                .listeners
                .declare(&name.value, name.span, context.problems);
        }
        if let Some(bind) = &written.value.bind {
            listener::bind(bind, context.problems);
        }
    }
    let written = document
        .source
        .as_ref()
        .and_then(|source| source.value.etcd.as_ref());
    let (source, files) = match written {
        Some(written) => etcd::of(&written.value, context.problems),
        None => (None, EtcdFiles::default()),
    };
    LoweredLocal {
        source,
        settings,
        files,
    }
}

/// Reports keys of what all instances share.
pub(crate) fn check_keys(document: &Document, problems: &mut Problems) {
    for (key, span) in other_keys(&document.given, &KEYS) {
        if Document::TABLE.ignores(key) || !Document::TABLE.keys.iter().any(|known| known.name == key) {
            continue;
        }
        problems
            .add(
                Code::MisplacedKey,
                span,
                format!("`{key}` does not belong into a file with `source`: all instances share it"),
            )
            .help("write it in a text under `PREFIX/config/`; beside `source` stand `admin`, `state`, `workers`, `access_log` and `listeners`");
    }
    let listeners = document.listeners.iter().flat_map(|list| &list.value.0);
    for (key, span) in listeners.flat_map(|written| other_keys(&written.value.given, &LISTENER_KEYS)) {
        if !Listener::TABLE.keys.iter().any(|known| known.name == key) {
            continue;
        }
        problems
            .add(
                Code::MisplacedKey,
                span,
                format!("`{key}` of a listener does not belong into a file with `source`: all instances share it"),
            )
            .help("write it in a text under `PREFIX/config/`; here a listener has `bind`, and the `name` that it has there");
    }
}

/// The keys that are not among `own`, with their places.
fn other_keys<'g>(given: &'g Given, own: &'g [&str]) -> impl Iterator<Item = (&'g str, Span)> {
    let entries = given.0.iter().flat_map(|entries| entries.iter());
    entries
        .map(|entry| (&*entry.key, entry.key_span))
        .filter(|(key, _)| !own.contains(key))
}

/// Puts what the `local` file says in place of what the shared texts say.
pub(crate) fn lay_over(shared: &mut Document, local: Document, problems: &mut Problems) {
    check_keys(&local, problems);
    shared.admin = local.admin.or(shared.admin.take());
    shared.state = local.state.or(shared.state.take());
    shared.workers = local.workers.or(shared.workers.take());
    shared.access_log = local.access_log.or(shared.access_log.take());
    let Some(listeners) = local.listeners else {
        return;
    };
    match &mut shared.listeners {
        Some(shared) if !shared.value.0.is_empty() => {
            let is_only = listeners.value.0.len() == 1;
            for own in listeners.value.0 {
                bind(&mut shared.value.0, own, is_only, problems);
            }
        }
        // All addresses are the instances' own.
        none => *none = Some(listeners),
    }
}

/// Puts the address of an instance's `own` listener in place of that of the shared one that it is.
fn bind(shared: &mut [At<Listener>], own: At<Listener>, is_only: bool, problems: &mut Problems) {
    let only = is_only && shared.len() == 1;
    let found = match &own.value.name {
        Some(name) => shared.iter_mut().find(|listener| {
            let known = listener.value.name.as_ref();
            known.is_some_and(|known| known.value == name.value)
        }),
        None if only => shared.first_mut(),
        None => {
            problems
                .add(
                    Code::MissingKey,
                    own.span,
                    "the listener has no `name`, and there are several that it can be",
                )
                .help("add the `name` of the shared listener that is to have this `bind`");
            return;
        }
    };
    match (found, &own.value.name) {
        (Some(listener), _) => listener.value.bind = own.value.bind,
        (None, Some(name)) => {
            problems
                .add(
                    Code::UnknownListener,
                    name.span,
                    format!("the shared config has no listener named {}", quote(&name.value)),
                )
                .help("write a `name` that a shared listener has, or leave the listener out");
        }
        // There is one in this case.
        (None, None) => {}
    }
}
