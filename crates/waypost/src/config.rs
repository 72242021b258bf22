//! A config on disk: one file, or a directory of files that belong together.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use waypost_config::{Kind, Source};

/// The most that is read of one file; a little beyond what the language allows, so that it can say so.
const READ_BYTES_MAX: u64 = waypost_config::yaml::FILE_BYTES_MAX as u64 + 1;

/// The texts of a config, as they were at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Texts {
    pub(crate) sources: Vec<Source>,
    pub(crate) kind: Kind,
}

/// Reads the config at `path`.
///
/// # Errors
/// When it is not there, or cannot be read.
pub(crate) fn read(path: &Path) -> anyhow::Result<Texts> {
    let metadata = fs::metadata(path).with_context(|| format!("cannot read `{}`", path.display()))?;
    if !metadata.is_dir() {
        return Ok(Texts {
            sources: vec![read_source(path)?],
            kind: Kind::File,
        });
    }
    let sources: anyhow::Result<Vec<Source>> = files_of(path)?.iter().map(|file| read_source(file)).collect();
    Ok(Texts {
        sources: sources?,
        kind: Kind::Directory,
    })
}

/// Reads the config at `path` as a gateway does that serves it: only files, as a pipe would be waited for.
///
/// # Errors
/// When it is not there, cannot be read, or is something else.
pub(crate) fn read_served(path: &Path) -> anyhow::Result<Texts> {
    let metadata = fs::metadata(path).with_context(|| format!("cannot read `{}`", path.display()))?;
    let files = if metadata.is_dir() {
        files_of(path)?
    } else {
        vec![path.to_owned()]
    };
    for file in files {
        // One that has just gone is missed when it is read.
        if fs::metadata(&file).is_ok_and(|metadata| !metadata.is_file()) {
            bail!("cannot read `{}`: it is not a file", file.display());
        }
    }
    read(path)
}

/// The files of a directory that belong to the config, by name.
pub(crate) fn files_of(directory: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let unreadable = || format!("cannot read the directory `{}`", directory.display());
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).with_context(unreadable)? {
        let path = entry.with_context(unreadable)?.path();
        let name = path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        let is_yaml = name.ends_with(".yaml") || name.ends_with(".yml");
        if is_yaml && !name.starts_with('.') && !path.is_dir() {
            files.push(path);
        }
    }
    files.sort_by(|a, b| {
        a.as_os_str()
            .as_encoded_bytes()
            .cmp(b.as_os_str().as_encoded_bytes())
    });
    Ok(files)
}

fn read_source(path: &Path) -> anyhow::Result<Source> {
    let read = || -> io::Result<Vec<u8>> {
        let file = fs::File::open(path)?;
        // One byte more, so that the end is found without more memory.
        let bytes = file.metadata()?.len().min(READ_BYTES_MAX) + 1;
        let mut text = Vec::with_capacity(usize::try_from(bytes).unwrap_or_default());
        io::Read::read_to_end(&mut io::Read::take(file, READ_BYTES_MAX), &mut text)?;
        Ok(text)
    };
    let text = read().with_context(|| format!("cannot read `{}`", path.display()))?;
    Ok(Source {
        name: path.display().to_string(),
        text: text.into(),
    })
}
