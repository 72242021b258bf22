//! Reading a config from disk: one file, or all files of a directory.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use waypost_config::{Kind, Source};

use crate::texts::Texts;

/// The size limit of one file: one byte more than the language allows, so that its own check reports it.
const READ_BYTES_MAX: u64 = waypost_config::yaml::FILE_BYTES_MAX as u64 + 1;

/// Reads the config at `path`.
///
/// # Errors
/// If it does not exist, or cannot be read.
pub(in crate::source) fn read(path: &Path) -> anyhow::Result<Texts> {
    let metadata = match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && path.to_string_lossy().contains("://") => {
            bail!(
                "`{}` is no file or directory, which this command reads; hint: `waypost export DIRECTORY --from URL` writes the \
             config that is in etcd to files",
                path.display()
            )
        }
        read => read.with_context(|| format!("cannot read `{}`", path.display()))?,
    };
    if !metadata.is_dir() {
        return Ok(Texts {
            sources: vec![read_source(path)?],
            kind: Kind::File,
            local: None,
        });
    }
    let mut sources = Vec::new();
    for file in files_of(path)? {
        // Two other names may be shown as the same.
        if file.file_name().and_then(OsStr::to_str).is_none() {
            bail!("cannot read `{}`: its name is not UTF-8", file.display());
        }
        sources.push(read_source(&file)?);
    }
    Ok(Texts {
        sources,
        kind: Kind::Directory,
        local: None,
    })
}

/// Reads the config at `path` for a gateway that serves it: regular files only, because a pipe would block.
///
/// # Errors
/// If it does not exist, cannot be read, or is of another file type.
pub(in crate::source) fn read_served(path: &Path) -> anyhow::Result<Texts> {
    let metadata = fs::metadata(path).with_context(|| format!("cannot read `{}`", path.display()))?;
    let files = if metadata.is_dir() {
        files_of(path)?
    } else {
        vec![path.to_owned()]
    };
    for file in files {
        // A file that has just been removed fails when it is read.
        if fs::metadata(&file).is_ok_and(|metadata| !metadata.is_file()) {
            bail!("cannot read `{}`: it is not a file", file.display());
        }
    }
    read(path)
}

/// The files of a directory that belong to the config, sorted by name.
pub(super) fn files_of(directory: &Path) -> anyhow::Result<Vec<PathBuf>> {
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
        // With one byte more, the end is found without growing the buffer.
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

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt as _;

    use super::*;

    #[test]
    fn name_that_is_not_utf_8_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &[u8]| directory.path().join(OsStr::from_bytes(name));
        fs::write(file("é.yaml".as_bytes()), "routes: []\n").unwrap();
        fs::write(file(b"\xff.txt"), "no config").unwrap();
        assert_eq!(read(directory.path()).unwrap().sources.len(), 1);
        fs::write(file(b"\xff.yaml"), "routes: []\n").unwrap();
        let error = read(directory.path()).unwrap_err().to_string();
        assert!(
            error.ends_with("\u{fffd}.yaml`: its name is not UTF-8"),
            "{error}"
        );
    }
}
