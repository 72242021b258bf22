//! `waypost check` of a local file, which leads to a config in etcd.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::bail;
use serde_json::json;
use waypost_config::Refused;
use waypost_config::diagnostic::{Code, Diagnostic, diagnostic};
use waypost_config::files::NamedFiles;
use waypost_config::local::{self, Local};
use waypost_plan::etcd::EtcdEndpoint;

use super::{Files, Options, shown};
use crate::certificates::Certificates;
use crate::cli::Format;
use crate::fleet::seal::{self, Seal};
use crate::origin::user_of;
use crate::output::{self, count};
use crate::source::Source;
use crate::texts::Texts;
use crate::{Outcome, origin};

/// The help for a `user_file` that is refused.
const USER: &str = "write one line `NAME:PASSWORD`";

/// Checks the local file at `path`, and prints its diagnostics; `None` if `texts` are the config themselves.
///
/// # Errors
/// If more is asked for than a local file has, or the binary knows no etcd.
pub(super) fn check(
    path: &Path,
    source: &Source,
    texts: &Texts,
    options: &Options,
) -> anyhow::Result<Option<Outcome>> {
    let env = |name: &str| std::env::var(name).ok();
    let ([text], waypost_config::Kind::File) = (&texts.sources[..], texts.kind) else {
        return Ok(None);
    };
    let Some(read) = local::read(text, &env) else {
        return Ok(None);
    };
    origin::require_etcd(&format!("`source: {{ etcd: … }}` in `{}`", path.display()))?;
    if options.fix || options.limits {
        bail!(
            "`{}` leads to a config in etcd: `--fix` and `--limits` take the config itself",
            path.display()
        );
    }
    let (found, local) = match read {
        Ok(local) => {
            let mut found = local.warnings.clone();
            if options.files == Files::Read {
                found.extend(in_files(&local, texts, source));
            }
            (found, Some(local))
        }
        Err(found) => (found, None),
    };
    let local = local.filter(|_| !found.iter().any(Diagnostic::is_error));
    report(path, texts, &found, local.as_ref(), options.format)?;
    Ok(Some(match local {
        Some(_) => Outcome::Good,
        None => Outcome::Bad,
    }))
}

/// Diagnostics of the files that are named.
fn in_files(local: &Local, texts: &Texts, source: &Source) -> Vec<Diagnostic> {
    let named = Refused {
        diagnostics: Vec::new(),
        listeners: Vec::new(),
        services: Vec::new(),
        files: Box::new(NamedFiles {
            refused: vec![local.tls.clone()],
            ..NamedFiles::default()
        }),
    };
    let mut found = Certificates::default().check_refused(&named, texts, source);
    if let Some(user) = &local.user {
        let problem = match source.read_material(&user.path).1 {
            Ok(text) => std::str::from_utf8(&text)
                .ok()
                .and_then(user_of)
                .is_none()
                .then(|| {
                    (
                        Code::BadPasswordFile,
                        "it is not one line `NAME:PASSWORD`".to_owned(),
                    )
                }),
            Err(error) => Some((Code::UnreadableFile, error.to_string())),
        };
        if let Some((code, problem)) = problem {
            let message = format!("`{}` cannot be used: {problem}", user.path);
            let mut refused = diagnostic(code, user.place.clone(), message);
            refused.help = Some(USER.to_owned());
            found.push(refused);
        }
    }
    if let Some(key) = &local.certificates_key {
        let problem = match source.read_material(&key.path).1 {
            Ok(text) => Seal::read(&text)
                .err()
                .map(|error| (Code::BadKeyFile, error.to_string())),
            Err(error) => Some((Code::UnreadableFile, error.to_string())),
        };
        if let Some((code, problem)) = problem {
            let message = format!("`{}` cannot be used: {problem}", key.path);
            let mut refused = diagnostic(code, key.place.clone(), message);
            refused.help = Some(seal::HELP.to_owned());
            found.push(refused);
        }
    }
    found
}

fn report(
    path: &Path,
    texts: &Texts,
    found: &[Diagnostic],
    local: Option<&Local>,
    format: Format,
) -> anyhow::Result<()> {
    let errors = found.iter().filter(|found| found.is_error()).count();
    let warnings = found.len() - errors;
    match format {
        Format::Text => {
            let mut text = output::render(found, texts, output::stdout_has_colors());
            if !found.is_empty() {
                text.push('\n');
            }
            let summary = match local {
                Some(Local { source, .. }) => {
                    let members = count(source.endpoints.len(), "endpoint");
                    format!(
                        "ok: a local file; the config is in etcd, {members}, under {}/config/",
                        source.prefix
                    )
                }
                None => count(errors, "error"),
            };
            let also = match warnings {
                0 => String::new(),
                warnings => format!(", {}", count(warnings, "warning")),
            };
            let _ = writeln!(text, "{}: {summary}{also}", path.display());
            output::print(&text)?;
        }
        Format::Json => {
            let source = local.map(|Local { source, .. }| {
                let endpoints: Vec<&str> = source.endpoints.iter().map(EtcdEndpoint::as_str).collect();
                json!({ "etcd": { "endpoints": endpoints, "prefix": source.prefix.as_str() } })
            });
            output::print_json(&json!({
                "ok": local.is_some(),
                "errors": errors,
                "warnings": warnings,
                "diagnostics": shown(found),
                "source": source,
            }))?;
        }
    }
    Ok(())
}
