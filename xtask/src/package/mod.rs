//! Builds what is shipped: a tarball and a package for Debian, and tries the package out.

mod stage;
mod trial;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

use crate::{command, programs};

/// The directory of the results.
const DIRECTORY: &str = "target/package";

/// The places of a package under construction.
struct Package {
    /// The binary that is packed.
    binary: PathBuf,
    version: String,
    /// The directory of the results.
    directory: PathBuf,
    /// The files, as they are to be installed.
    root: PathBuf,
}

/// Builds the packages. With `--binary PATH`, nothing is compiled, and that binary is packed.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let binary = match arguments {
        [] => {
            // As for `instructions` and `bench`, which leave nothing to compile then.
            programs::build(&["waypost"])?;
            programs::dist("waypost")
        }
        [flag, path] if flag == "--binary" => std::path::absolute(path)?,
        _ => bail!("usage: cargo xtask package [--binary PATH]"),
    };
    let directory = command::root().join(DIRECTORY);
    if directory.exists() {
        fs::remove_dir_all(&directory)?;
    }
    fs::create_dir_all(&directory)?;
    let package = Package {
        version: version_of(&binary)?,
        root: directory.join("root"),
        binary,
        directory,
    };
    stage::stage(&package)?;
    let tarball = package.tarball()?;
    println!("{}", tarball.display());
    if is_there("dpkg-deb") {
        let deb = package.deb()?;
        println!("{}", deb.display());
        trial::try_out(&package, &deb)?;
    } else {
        println!("no package for Debian: there is no `dpkg-deb`");
    }
    Ok(())
}

impl Package {
    /// Packs the files with the names that they have below `/`.
    fn tarball(&self) -> Result<PathBuf> {
        let machine = output_of(Command::new("uname").arg("-m"))?;
        let name = format!("waypost-{}-linux-{machine}.tar.gz", self.version);
        let path = self.directory.join(name);
        // The same files make the same tarball.
        command::run(
            Command::new("tar")
                .args([
                    "--sort=name",
                    "--owner=0",
                    "--group=0",
                    "--numeric-owner",
                    "--mtime=@0",
                    "--format=gnu",
                ])
                .args(["--use-compress-program=gzip -n", "--exclude=./DEBIAN", "-cf"])
                .arg(&path)
                .arg("-C")
                .arg(&self.root)
                .arg("."),
        )?;
        Ok(path)
    }

    /// Packs the files for Debian.
    fn deb(&self) -> Result<PathBuf> {
        let architecture = output_of(Command::new("dpkg").arg("--print-architecture"))?;
        let path = self
            .directory
            .join(format!("waypost_{}_{architecture}.deb", self.version));
        stage::describe(self, &architecture)?;
        command::run(
            Command::new("dpkg-deb")
                .args(["--root-owner-group", "-Zgzip", "--build"])
                .arg(&self.root)
                .arg(&path),
        )?;
        Ok(path)
    }
}

/// The version that a binary says it has.
fn version_of(binary: &Path) -> Result<String> {
    let said = output_of(Command::new(binary).arg("--version"))?;
    let version = said
        .strip_prefix("waypost ")
        .context("the binary is not Waypost's")?;
    Ok(version.to_owned())
}

/// The output of a command, without the end of its line.
fn output_of(command: &mut Command) -> Result<String> {
    let output = command::output(command)?;
    let line = output.trim_end();
    ensure!(!line.is_empty(), "a command printed nothing");
    Ok(line.to_owned())
}

/// Returns true if there is a program of this name.
fn is_there(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(program).is_file())
}
