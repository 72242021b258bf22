//! `waypost export`: the config of a running gateway, or of a fleet in etcd, as files.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use serde_json::json;
use waypost_admin::api::config::Files;

use crate::cli::{AdminArgs, EtcdArgs, Format};
use crate::origin::{EtcdOrigin, Origin, OriginError};
use crate::output::{self, count};
use crate::remote::{Client, refused};
use crate::{Outcome, log};

/// The texts of a config by file name.
type Texts = Vec<(String, Vec<u8>)>;

/// The place that texts are taken from.
pub(crate) struct From<'a> {
    /// A URL of etcd, or a local file; `None` for the gateway at the admin address.
    pub(crate) place: Option<&'a Path>,
    pub(crate) etcd: &'a EtcdArgs,
    pub(crate) admin: &'a AdminArgs,
}

/// Writes the config to `directory`, which must be empty or not there.
pub(crate) fn export(directory: &Path, from: &From<'_>, format: Format) -> anyhow::Result<Outcome> {
    let texts = match from.place {
        None => match Client::new(from.admin)?.get::<Files>("/api/v1/config/files")? {
            Ok(config) => {
                let files = config.files.into_iter();
                files.map(|file| (file.name, file.text.into_bytes())).collect()
            }
            Err(problem) => return refused(&problem, format),
        },
        Some(place) => match Origin::named(place, from.etcd) {
            Ok(Origin::Etcd(origin)) => in_etcd(&origin)?,
            Ok(Origin::Path(path)) => {
                bail!(
                    "`{}` is a config itself: `--from` takes `etcd://HOST:PORT/PREFIX`, or a file with `source`",
                    path.display()
                )
            }
            Err(OriginError::Refused { diagnostics, texts }) => {
                log::diagnostics(&diagnostics, &texts);
                return Ok(Outcome::Bad);
            }
            Err(OriginError::Failed(error)) => return Err(error),
        },
    };
    if texts.is_empty() {
        bail!("there is no config to export");
    }
    write(directory, &texts).with_context(|| format!("cannot export to `{}`", directory.display()))?;
    match format {
        Format::Text => output::print(&format!(
            "{} in {}\n",
            count(texts.len(), "file"),
            directory.display()
        ))?,
        Format::Json => {
            let names: Vec<&str> = texts.iter().map(|(name, _)| &**name).collect();
            output::print_json(&json!({ "directory": directory.display().to_string(), "files": names }))?;
        }
    }
    Ok(Outcome::Good)
}

/// The texts of a fleet's config, as they are at one revision of the store.
#[cfg(feature = "etcd")]
fn in_etcd(origin: &EtcdOrigin) -> anyhow::Result<Texts> {
    use waypost_etcd::client::Client;
    use waypost_etcd::key::KeyRange;
    use waypost_fleet::key::{Folder, Prefix};
    use waypost_fleet::replica::Replica;
    use waypost_fleet::store::StoreRevision;

    use crate::fleet::entry;

    /// Keys that are read at a time. A text has a megabyte at most, and a response 64.
    const PAGE: u32 = 32;

    let prefix: Prefix = origin.source.prefix.as_str().parse()?;
    let options = origin.options()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start a runtime")?;
    let keys = KeyRange::prefix(prefix.folder(Folder::All));
    let read = runtime
        .block_on(async { Client::new(options).range_in_pages(&keys, PAGE).await })
        .with_context(|| format!("{origin}"))?;
    let entries = read.kvs.into_iter().map(entry::of);
    let mut replica = Replica::new(prefix);
    replica.reset(entries, StoreRevision(read.revision.0));
    let view = replica.view();
    if let Some(trouble) = &view.config_trouble {
        bail!("{origin}: `{}`: {}", trouble.key, trouble.why);
    }
    let texts = view.config.iter().flat_map(|config| &config.texts);
    Ok(texts
        .map(|(name, text)| (name.as_str().to_owned(), text.to_vec()))
        .collect())
}

/// Such a place is refused before.
#[cfg(not(feature = "etcd"))]
fn in_etcd(origin: &EtcdOrigin) -> anyhow::Result<Texts> {
    bail!("{origin}: this binary knows no etcd")
}

/// Writes files to a directory, all or none.
fn write(directory: &Path, texts: &Texts) -> anyhow::Result<()> {
    if let Ok(mut entries) = fs::read_dir(directory)
        && entries.next().is_some()
    {
        bail!("it is not empty; name a directory that is empty or not there");
    }
    let parent = match directory.parent() {
        Some(parent) if parent != Path::new("") => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    fs::create_dir_all(&parent)?;
    let begun = tempfile::Builder::new()
        .prefix(".waypost-export-")
        .tempdir_in(&parent)?;
    for (name, text) in texts {
        if Path::new(name).file_name() != Some(name.as_ref()) {
            bail!("`{name}` is not the name of a file");
        }
        let mut file = fs::File::create_new(begun.path().join(name))?;
        file.write_all(text)?;
        file.sync_all()?;
    }
    // An empty directory may be replaced.
    fs::rename(begun.path(), directory)?;
    let _ = begun.keep();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_come_all_or_not_at_all() {
        let at = tempfile::tempdir().unwrap();
        let directory = at.path().join("new/conf.d");
        let texts = vec![
            ("a.yaml".to_owned(), b"x".to_vec()),
            ("b.yml".to_owned(), Vec::new()),
        ];
        write(&directory, &texts).unwrap();
        assert_eq!(fs::read(directory.join("a.yaml")).unwrap(), b"x");
        assert!(directory.join("b.yml").exists());
        assert!(
            write(&directory, &texts)
                .unwrap_err()
                .to_string()
                .contains("not empty")
        );

        let empty = at.path().join("empty");
        fs::create_dir(&empty).unwrap();
        write(&empty, &texts).unwrap();

        for name in ["../x", "a/b", "", "..", "/x"] {
            let outside = at.path().join("outside");
            assert!(
                write(&outside, &vec![(name.to_owned(), Vec::new())]).is_err(),
                "{name}"
            );
            assert!(!outside.exists());
        }
        let left: Vec<_> = fs::read_dir(at.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert!(
            left.iter()
                .all(|name| !name.to_string_lossy().starts_with(".waypost")),
            "{left:?}"
        );
    }
}
