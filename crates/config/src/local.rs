//! Local files: what is one instance's alone, and the place of the config that it shares with others.

use waypost_plan::etcd::EtcdSource;
use waypost_plan::settings::Settings;

use crate::Source;
use crate::diagnostic::{Code, Diagnostic};
use crate::document::Document;
use crate::files::{Mention, TlsFiles};
use crate::keys::Read as _;
use crate::lower;
use crate::problems::Problems;
use crate::yaml::{self, Parsed};

/// A local file without errors.
#[derive(Debug, Clone)]
pub struct Local {
    /// The place of the shared config.
    pub source: EtcdSource,
    /// The instance's own settings. Where this file says nothing, the shared config does once there is one.
    pub settings: Settings,
    /// Files by which etcd is verified and the instance is known there.
    pub tls: TlsFiles,
    /// The file with the user at etcd.
    pub user: Option<Mention>,
    /// The file with the key that certificates are sealed with.
    pub certificates_key: Option<Mention>,
    /// Warnings.
    pub warnings: Vec<Diagnostic>,
}

/// Reads a local file; `None` if `source` is none, since it does not say where else the config is.
///
/// `env` looks up environment variables.
///
/// # Errors
/// If there is any error: all errors and warnings, in order of place.
pub fn read(source: &Source, env: &dyn Fn(&str) -> Option<String>) -> Option<Result<Local, Vec<Diagnostic>>> {
    let mut problems = Problems::new(vec![source.name.as_str().into()]);
    let Parsed::Mapping(root) = yaml::parse(0, source, env, &mut problems) else {
        return None;
    };
    let document = Document::read(&root, &mut problems)?;
    if !is_local(&document) {
        return None;
    }
    let lowered = lower::local::lower(&document, &mut problems);
    let files = problems.files().to_vec();
    let Some(place) = lowered.source.filter(|_| !problems.has_errors()) else {
        return Some(Err(problems.into_diagnostics()));
    };
    Some(Ok(Local {
        source: place,
        settings: lowered.settings,
        tls: lowered.files.tls.placed(&|span| span.place(&files)),
        user: lowered
            .files
            .user
            .map(|user| user.placed(&|span| span.place(&files))),
        certificates_key: lowered
            .files
            .certificates_key
            .map(|key| key.placed(&|span| span.place(&files))),
        warnings: problems.into_diagnostics(),
    }))
}

/// Returns true if a document says where else the config is.
fn is_local(document: &Document) -> bool {
    document.given.keys().any(|key| key == "source")
}

/// Reports `source` in a text that is the config itself.
pub(crate) fn check_absent(document: &Document, problems: &mut Problems) {
    for span in document.given.places(&["source"]) {
        problems
            .add(
                Code::MisplacedKey,
                span,
                "`source` stands in a file that leads to the config, not in the config itself",
            )
            .help(
                "leave it out; it counts in a single file that `waypost run` is started with, and is read at the start only",
            );
    }
}
