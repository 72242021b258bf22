//! The files of a package, in a directory that stands for `/`.

use std::fs::{self, Permissions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};

use super::{Package, output_of};
use crate::command;

/// Files of the repository, and the places that they get.
const FILES: [(&str, &str); 7] = [
    ("packaging/etc/waypost.yaml", "etc/waypost/waypost.yaml"),
    (
        "packaging/systemd/waypost.service",
        "usr/lib/systemd/system/waypost.service",
    ),
    (
        "packaging/systemd/waypost.socket",
        "usr/lib/systemd/system/waypost.socket",
    ),
    (
        "packaging/systemd/waypost.sysusers",
        "usr/lib/sysusers.d/waypost.conf",
    ),
    ("README.md", "usr/share/doc/waypost/README.md"),
    ("CHANGELOG.md", "usr/share/doc/waypost/CHANGELOG.md"),
    ("LICENSE", "usr/share/doc/waypost/copyright"),
];

/// Directories of the repository, and the places that their files get.
const DIRECTORIES: [(&str, &str); 2] = [
    ("docs", "usr/share/doc/waypost/docs"),
    ("examples", "usr/share/doc/waypost/examples"),
];

/// Shells, and the places of their completions.
const COMPLETIONS: [(&str, &str); 3] = [
    ("bash", "usr/share/bash-completion/completions/waypost"),
    ("zsh", "usr/share/zsh/vendor-completions/_waypost"),
    ("fish", "usr/share/fish/vendor_completions.d/waypost.fish"),
];

/// The directory of the manual pages.
const MANUAL: &str = "usr/share/man/man1";

/// The scripts of a package for Debian.
const SCRIPTS: [&str; 3] = ["postinst", "prerm", "postrm"];

/// Puts all files in their places.
pub(super) fn stage(package: &Package) -> Result<()> {
    put(&package.binary, &package.root.join("usr/bin/waypost"), 0o755)?;
    for (from, to) in FILES {
        put(&command::root().join(from), &package.root.join(to), 0o644)?;
    }
    for (from, to) in DIRECTORIES {
        for name in files_in(&command::root().join(from))? {
            let from = command::root().join(from).join(&name);
            put(&from, &package.root.join(to).join(&name), 0o644)?;
        }
    }
    for (shell, to) in COMPLETIONS {
        let script = command::output(Command::new(&package.binary).args(["completions", shell]))?;
        write(&package.root.join(to), script.as_bytes(), 0o644)?;
    }
    manual(package)
}

/// Writes the manual pages, compressed as Debian has them.
fn manual(package: &Package) -> Result<()> {
    let pages = package.directory.join("man");
    fs::create_dir_all(&pages)?;
    command::run(Command::new(&package.binary).arg("man").arg(&pages))?;
    for name in files_in(&pages)? {
        let page = fs::read(pages.join(&name))?;
        let name = format!("{}.gz", name.display());
        write(&package.root.join(MANUAL).join(name), &compressed(&page)?, 0o644)?;
    }
    Ok(())
}

/// Writes the description of a package for Debian, and its scripts.
pub(super) fn describe(package: &Package, architecture: &str) -> Result<()> {
    let directory = package.root.join("DEBIAN");
    let library = output_of(Command::new("getconf").arg("GNU_LIBC_VERSION"))?;
    let library = library
        .strip_prefix("glibc ")
        .context("the C library is not glibc")?;
    let size: u64 = sizes(&package.root)?.div_ceil(1024);
    let control = format!(
        "Package: waypost\n\
         Version: {}\n\
         Architecture: {architecture}\n\
         Maintainer: The maintainers of Waypost <waypost@localhost>\n\
         Installed-Size: {size}\n\
         Depends: libc6 (>= {library}), libgcc-s1\n\
         Recommends: ca-certificates\n\
         Section: net\n\
         Priority: optional\n\
         Description: API routing gateway\n \
         One address for clients, one file for all routes: requests are matched by host,\n \
         path, method, headers, query, cookies and client address, and forwarded to the\n \
         right service, with weights that can be dialed while traffic flows.\n",
        package.version
    );
    write(&directory.join("control"), control.as_bytes(), 0o644)?;
    write(
        &directory.join("conffiles"),
        b"/etc/waypost/waypost.yaml\n",
        0o644,
    )?;
    for name in SCRIPTS {
        let from = command::root().join("packaging/debian").join(name);
        put(&from, &directory.join(name), 0o755)?;
    }
    Ok(())
}

/// The names of all files in a directory and its subdirectories, in order.
fn files_in(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = PathBuf::from(entry.file_name());
        // A gateway that ran on an example has left its state there.
        if name.to_string_lossy().starts_with('.') {
            continue;
        }
        match entry.file_type()?.is_dir() {
            true => files.extend(files_in(&entry.path())?.into_iter().map(|file| name.join(file))),
            false => files.push(name),
        }
    }
    files.sort();
    Ok(files)
}

/// The sizes of all files in a directory, together.
fn sizes(directory: &Path) -> Result<u64> {
    let mut sum = 0;
    for name in files_in(directory)? {
        sum += fs::metadata(directory.join(name))?.len();
    }
    Ok(sum)
}

fn put(from: &Path, to: &Path, mode: u32) -> Result<()> {
    let bytes = fs::read(from).with_context(|| format!("could not read `{}`", from.display()))?;
    write(to, &bytes, mode)
}

fn write(to: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let directory = to.parent().context("a path without a directory")?;
    fs::create_dir_all(directory)?;
    fs::write(to, bytes).with_context(|| format!("could not write `{}`", to.display()))?;
    fs::set_permissions(to, Permissions::from_mode(mode))?;
    Ok(())
}

/// The bytes as gzip packs them, without name and time.
fn compressed(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut gzip = Command::new("gzip")
        .args(["-9", "-n"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("could not start `gzip`")?;
    // A page fits into the pipe many times over.
    gzip.stdin.take().context("a pipe")?.write_all(bytes)?;
    Ok(gzip.wait_with_output()?.stdout)
}
