//! The configuration language: from text to a plan.
//!
//! [`load`] takes named texts and a lookup for environment variables. It returns a valid [`Plan`], or all
//! mistakes at once as [`Diagnostic`]s with their places. It does not access the file system.
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
//! The stages, in reading order: `yaml` parses bytes to a `tree` of values with places, in which `substitute`
//! replaces variables. `document` defines the language in terms of `keys`, `values`, `either` and
//! `collections`; the parser, [`schema`](mod@schema) and [`reference`](mod@reference) are generated from this
//! definition. `merge` combines the files of a directory, `lower` lowers the document to a plan, and `overlap`
//! reports unreachable and ambiguous routes.

use std::sync::Arc;

use waypost_plan::Plan;
use waypost_plan::listener::Listener;
use waypost_plan::service::Service;

use crate::diagnostic::{Code, Diagnostic};
use crate::document::Document;
use crate::files::NamedFiles;
use crate::keys::Read;
use crate::place::{Place, Span};
use crate::problems::Problems;
use crate::yaml::Parsed;

mod collections;
mod decimal;
mod description;
pub mod diagnostic;
mod document;
pub mod edit;
mod either;
pub mod files;
pub mod fix;
mod keys;
pub mod local;
mod lower;
mod merge;
mod numbers;
pub mod overlap;
pub mod place;
mod problems;
pub mod reference;
pub mod render;
mod retry_reason;
pub mod schema;
pub mod size;
mod statuses;
mod substitute;
mod suggest;
mod times;
mod tree;
mod values;
mod windows;
pub mod yaml;

#[cfg(test)]
mod tests;

/// A text of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Name as given by the user, shown in diagnostics.
    pub name: String,
    /// Bytes as read. They are shared, since the text read, the active one and the last good one are mostly the same.
    pub text: Arc<[u8]>,
}

/// The kind of configuration that the sources form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A single file.
    File,
    /// The files of a directory, merged in byte order of their names.
    Directory,
}

/// A configuration without errors.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The plan.
    pub plan: Plan,
    /// Warnings.
    pub warnings: Vec<Diagnostic>,
    /// Place of the request of each test, parallel to [`Plan::tests`].
    pub test_places: Vec<Place>,
    /// Place of the name of each route, parallel to [`Plan::routes`].
    pub route_places: Vec<Place>,
    /// Files that it names.
    pub files: NamedFiles,
}

/// A configuration with errors.
#[derive(Debug, Clone)]
pub struct Refused {
    /// All errors and warnings, in order of place.
    pub diagnostics: Vec<Diagnostic>,
    /// Listeners that could be read, so that the files they name can be checked.
    pub listeners: Vec<Arc<Listener>>,
    /// Services, likewise.
    pub services: Vec<Arc<Service>>,
    /// Files that it names.
    pub files: Box<NamedFiles>,
}

/// The hint where there is nothing to read.
const SMALLEST: &str = "the smallest config has `listeners`, `services` and `routes`";

/// Loads a configuration.
///
/// `env` looks up environment variables.
///
/// # Errors
/// If there is any error: all errors and warnings, in order of place.
pub fn load(
    sources: &[Source],
    kind: Kind,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Loaded, Vec<Diagnostic>> {
    load_or_refuse(sources, kind, env).map_err(|refused| refused.diagnostics)
}

/// Like [`load`]; a refused configuration comes with the parts whose files can still be checked.
///
/// # Errors
/// If there is any error.
pub fn load_or_refuse(
    sources: &[Source],
    kind: Kind,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Loaded, Refused> {
    load_over(sources, kind, None, env)
}

/// Like [`load_or_refuse`], for one of the instances that share `sources`: what its `local` file says comes first.
///
/// # Errors
/// If there is any error.
pub fn load_over(
    sources: &[Source],
    kind: Kind,
    local: Option<&Source>,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Loaded, Refused> {
    let mut order: Vec<&Source> = sources.iter().collect();
    if kind == Kind::Directory {
        order.sort_by(|a, b| a.name.as_bytes().cmp(b.name.as_bytes()));
    }
    let files: Vec<Arc<str>> = order
        .iter()
        .copied()
        .chain(local)
        .map(|source| Arc::from(source.name.as_str()))
        .collect();
    if order.is_empty() {
        let diagnostic = Diagnostic {
            code: Code::EmptyFile,
            severity: Code::EmptyFile.severity(),
            message: "the directory has no `*.yaml` or `*.yml` file".to_owned(),
            // Without a file there is no place.
            labels: Vec::new(),
            help: Some(SMALLEST.to_owned()),
            suggestion: None,
        };
        return Err(Refused {
            diagnostics: vec![diagnostic],
            listeners: Vec::new(),
            services: Vec::new(),
            files: Box::default(),
        });
    }
    let mut problems = Problems::new(files);
    let mut documents = Vec::new();
    // Not all names are known if a file could not be read, or `services` or the like is misspelt.
    let mut complete = true;
    let mut nothing = 0;
    for (file, source) in order.iter().enumerate() {
        let file = u32::try_from(file).unwrap_or(u32::MAX);
        let document = match yaml::parse(file, source, env, &mut problems) {
            Parsed::Mapping(root) => Document::read(&root, &mut problems),
            Parsed::Nothing => {
                nothing += 1;
                continue;
            }
            Parsed::Broken => None,
        };
        match document {
            Some(document) => {
                local::check_absent(&document, &mut problems);
                // Users misspell a few keys; more than a thousand are not a configuration.
                complete &= !document.given.keys().take(1000).any(misspells_names);
                complete &=
                    document.services.is_some() || !document.given.keys().any(|key| key == "services");
                documents.push(document);
            }
            None => complete = false,
        }
    }
    // A file of a directory may have its last route commented out; the whole has to be something.
    if nothing == order.len() {
        complete = false;
        problems
            .add(
                Code::EmptyFile,
                Span::start_of(0),
                match kind {
                    Kind::File => "there is nothing in this file",
                    Kind::Directory => "there is nothing in the files of this directory",
                },
            )
            .help(SMALLEST);
    }
    let mut document = merge::merge(documents, &mut problems);
    if let Some(local) = local {
        let file = u32::try_from(order.len()).unwrap_or(u32::MAX);
        let own = match yaml::parse(file, local, env, &mut problems) {
            Parsed::Mapping(root) => Document::read(&root, &mut problems),
            Parsed::Nothing | Parsed::Broken => None,
        };
        if let Some(own) = own {
            lower::local::lay_over(&mut document, own, &mut problems);
        }
    }
    let lowered = lower::lower(&document, complete, &mut problems);
    // It is large for many routes, and no longer needed.
    drop(document);
    if let Ok(lowered) = &lowered {
        overlap::report(lowered, &mut problems);
    }
    let files = problems.files().to_vec();
    let places = |named: NamedFiles<Span>| named.placed(|span| span.place(&files));
    match lowered {
        Ok(lowered) if !problems.has_errors() => Ok(Loaded {
            plan: lowered.plan,
            warnings: problems.into_diagnostics(),
            test_places: lowered.tests.iter().map(|span| span.place(&files)).collect(),
            route_places: lowered
                .routes
                .iter()
                .map(|route| route.name.place(&files))
                .collect(),
            files: places(lowered.files),
        }),
        Ok(lowered) => Err(Refused {
            diagnostics: problems.into_diagnostics(),
            listeners: lowered.plan.listeners().to_vec(),
            services: lowered.plan.services().to_vec(),
            files: places(lowered.files).into(),
        }),
        Err(partial) => Err(Refused {
            diagnostics: problems.into_diagnostics(),
            listeners: partial.listeners,
            services: partial.services,
            files: places(*partial.files).into(),
        }),
    }
}

/// Returns true for an unknown top-level key that looks like one of those that declare names.
fn misspells_names(key: &str) -> bool {
    !Document::TABLE.ignores(key)
        && !Document::TABLE.keys.iter().any(|known| known.name == key)
        && keys::meant(key, &Document::TABLE).is_some_and(|meant| {
            matches!(
                meant,
                "listeners" | "services" | "routes" | "policies" | "rollouts"
            )
        })
}
