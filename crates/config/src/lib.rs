//! From configuration text to a plan.
//!
//! [`load`] is given named texts and a way to look up environment variables, and returns data: a valid
//! [`Plan`], or every mistake at once as [`Diagnostic`]s with their places. It knows no file system.
//!
//! ```
//! use waypost_config::{Kind, Source, load, render};
//!
//! let text = "
//! listeners: [{ bind: 127.0.0.1:8080 }]
//! services: { orders: { endpoints: [http://10.0.0.11:8080] } }
//! routes: [{ name: orders, match: { path: /orders/* }, to: order }]
//! ";
//! let sources = [Source { name: "waypost.yaml".into(), text: text.as_bytes().into() }];
//! let mistakes = load(&sources, Kind::File, &|_| None).unwrap_err();
//! assert!(
//!     render::render(&mistakes, &sources, false)
//!         .starts_with("waypost.yaml:4:58: error[unknown-service]: there is no service named `order`")
//! );
//! ```
//!
//! The stages, in a reader's order: `yaml` turns bytes into a `tree` whose every value knows its place,
//! with `substitute` filling in variables. `document` is the language, written with `keys`, `values`,
//! `either` and `collections`: from that one definition come the reader, [`schema`](mod@schema) and
//! [`reference`](mod@reference). `merge` makes one document of the files of a directory, `meaning` makes a
//! plan of the document, and `overlap` looks for routes of it that cannot be meant.

use std::collections::HashMap;
use std::sync::Arc;

use waypost_plan::Plan;
use waypost_plan::listener::Listener;
use waypost_plan::service::Service;

use crate::diagnostic::{Code, Diagnostic};
use crate::document::Document;
use crate::keys::Read;
use crate::place::{Place, Span};
use crate::problems::Problems;

mod collections;
pub mod diagnostic;
mod document;
mod either;
mod keys;
mod meaning;
mod merge;
mod overlap;
pub mod place;
mod problems;
pub mod reference;
pub mod render;
pub mod schema;
pub mod size;
mod substitute;
mod suggest;
mod tree;
mod values;
pub mod yaml;

#[cfg(test)]
mod tests;

/// A text of a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Its name, as given by the user; diagnostics show it.
    pub name: String,
    /// Its bytes, as read. They are shared: what is read, what is in force and what was good last are mostly the same.
    pub text: Arc<[u8]>,
}

/// What the sources are together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// One file.
    File,
    /// The files of a directory, which are merged in the order of their names' bytes.
    Directory,
}

/// A configuration without errors.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// What it means.
    pub plan: Plan,
    /// What looks like a mistake.
    pub warnings: Vec<Diagnostic>,
    /// Where each test's request stands, parallel to [`Plan::tests`].
    pub test_places: Vec<Place>,
    /// Where each route's name stands, parallel to [`Plan::routes`].
    pub route_places: Vec<Place>,
    /// Where each file that is named, such as one of a certificate, is named first; by its path as written.
    pub file_places: HashMap<Box<str>, Place>,
}

/// A configuration with errors.
#[derive(Debug, Clone)]
pub struct Refused {
    /// All errors and warnings, in order of place.
    pub diagnostics: Vec<Diagnostic>,
    /// The listeners that could be read, for whoever looks at the files that they name.
    pub listeners: Vec<Arc<Listener>>,
    /// The services, likewise.
    pub services: Vec<Arc<Service>>,
    /// As [`Loaded::file_places`].
    pub file_places: HashMap<Box<str>, Place>,
}

/// Reads a configuration.
///
/// `env` looks up environment variables.
///
/// # Errors
/// All errors and warnings, in order of place, when there is any error.
pub fn load(
    sources: &[Source],
    kind: Kind,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Loaded, Vec<Diagnostic>> {
    load_or_refuse(sources, kind, env).map_err(|refused| refused.diagnostics)
}

/// As [`load`]; what is refused comes with those of its parts whose files can be looked at all the same.
///
/// # Errors
/// When there is any error.
pub fn load_or_refuse(
    sources: &[Source],
    kind: Kind,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Loaded, Refused> {
    let mut order: Vec<&Source> = sources.iter().collect();
    if kind == Kind::Directory {
        order.sort_by(|a, b| a.name.as_bytes().cmp(b.name.as_bytes()));
    }
    let files: Vec<Arc<str>> = order
        .iter()
        .map(|source| Arc::from(source.name.as_str()))
        .collect();
    if order.is_empty() {
        let diagnostic = Diagnostic {
            code: Code::EmptyFile,
            severity: Code::EmptyFile.severity(),
            message: "the directory has no `*.yaml` or `*.yml` file".to_owned(),
            // No file, no place.
            labels: Vec::new(),
            help: Some("the smallest config has `listeners`, `services` and `routes`".to_owned()),
        };
        return Err(Refused {
            diagnostics: vec![diagnostic],
            listeners: Vec::new(),
            services: Vec::new(),
            file_places: HashMap::new(),
        });
    }
    let mut problems = Problems::new(files);
    let mut documents = Vec::new();
    // Not all names are known when a file could not be read, or `services` or the like is misspelt.
    let mut complete = true;
    for (file, source) in order.iter().enumerate() {
        let file = u32::try_from(file).unwrap_or(u32::MAX);
        let document = yaml::parse(file, source, env, &mut problems)
            .and_then(|node| Document::read(&node, &mut problems));
        match document {
            Some(document) => {
                // A person misspells a few keys; a thousand are no configuration.
                complete &= !document.given.keys().take(1000).any(misspells_names);
                documents.push(document);
            }
            None => complete = false,
        }
    }
    let document = merge::merge(documents, &mut problems);
    let meaning = meaning::of(&document, complete, &mut problems);
    // Of many routes it is large, and nobody asks it again.
    drop(document);
    if let Ok(meaning) = &meaning {
        overlap::report(meaning, &mut problems);
    }
    let files = problems.files().to_vec();
    // Of a file that is named twice, the first place counts.
    let places = |named: Vec<(Box<str>, Span)>| {
        let named = named.into_iter().rev();
        named.map(|(path, span)| (path, span.place(&files))).collect()
    };
    match meaning {
        Ok(meaning) if !problems.has_errors() => Ok(Loaded {
            plan: meaning.plan,
            warnings: problems.into_diagnostics(),
            test_places: meaning.tests.iter().map(|span| span.place(&files)).collect(),
            route_places: meaning
                .routes
                .iter()
                .map(|route| route.name.place(&files))
                .collect(),
            file_places: places(meaning.files),
        }),
        Ok(meaning) => Err(Refused {
            diagnostics: problems.into_diagnostics(),
            listeners: meaning.plan.listeners().to_vec(),
            services: meaning.plan.services().to_vec(),
            file_places: places(meaning.files),
        }),
        Err(fragments) => Err(Refused {
            diagnostics: problems.into_diagnostics(),
            listeners: fragments.listeners,
            services: fragments.services,
            file_places: places(fragments.files),
        }),
    }
}

/// Whether a top-level key is none, but like one of those that declare names.
fn misspells_names(key: &str) -> bool {
    !Document::TABLE.keys.iter().any(|known| known.name == key)
        && keys::meant(key, &Document::TABLE)
            .is_some_and(|meant| matches!(meant, "listeners" | "services" | "routes"))
}
