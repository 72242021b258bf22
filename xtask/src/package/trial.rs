//! A trial of a package: it is installed into a directory that stands for `/`, run, and removed.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, Signal, geteuid, kill_process};

use super::{Package, is_there};
use crate::command;
use crate::programs::Running;

/// The config of the package, in the root.
const CONFIG: &str = "etc/waypost/waypost.yaml";

/// Tries a package out.
pub(super) fn try_out(package: &Package, deb: &Path) -> Result<()> {
    let root = package.directory.join("trial");
    // Other users cannot give files to root, as installing does.
    let installs = geteuid().is_root();
    match installs {
        true => install(&root, deb)?,
        false => command::run(Command::new("dpkg-deb").arg("-x").arg(deb).arg(&root))?,
    }
    run(&root)?;
    check_units(package, &root)?;
    if installs {
        remove(&root)?;
    }
    println!("the package can be installed, run and removed");
    Ok(())
}

/// dpkg, on the packages of another root.
fn dpkg(root: &Path) -> Command {
    let mut dpkg = Command::new("dpkg");
    // The scripts run here, and leave this system alone.
    dpkg.arg(format!("--root={}", root.display()))
        .args(["--force-script-chrootless", "--force-depends"])
        .stdout(Stdio::null());
    dpkg
}

fn install(root: &Path, deb: &Path) -> Result<()> {
    for directory in [
        "var/lib/dpkg/updates",
        "var/lib/dpkg/info",
        "var/lib/dpkg/triggers",
    ] {
        fs::create_dir_all(root.join(directory))?;
    }
    for file in ["status", "available"] {
        fs::write(root.join("var/lib/dpkg").join(file), "")?;
    }
    command::run(dpkg(root).arg("--install").arg(deb).stderr(Stdio::null()))
}

/// Removes the package. A config stays until it is purged.
fn remove(root: &Path) -> Result<()> {
    command::run(dpkg(root).args(["--remove", "waypost"]))?;
    ensure!(
        !root.join("usr/bin/waypost").exists(),
        "the binary is left behind"
    );
    ensure!(
        root.join(CONFIG).exists(),
        "the config is removed before it is purged"
    );
    command::run(dpkg(root).args(["--purge", "waypost"]))?;
    for left in ["etc/waypost", "usr/lib/systemd", "usr/share/man", "usr/share/doc"] {
        ensure!(!root.join(left).exists(), "`/{left}` is left behind");
    }
    Ok(())
}

/// Runs the gateway on the config of the package, but at other addresses and with its state in the root.
fn run(root: &Path) -> Result<()> {
    let config = fs::read_to_string(root.join(CONFIG))?;
    let mut text = config
        .replace("0.0.0.0:8080", "127.0.0.1:0")
        .replace("/var/lib/waypost", &root.join("state").display().to_string());
    ensure!(text != config, "the config of the package is not as expected");
    text.push_str("admin: { bind: 127.0.0.1:0 }\n");
    let config = root.join("trial.yaml");
    fs::write(&config, text)?;
    let binary = root.join("usr/bin/waypost");
    command::run(
        Command::new(&binary)
            .arg("check")
            .arg(&config)
            .stdout(Stdio::null()),
    )?;

    let started = Command::new(&binary)
        .arg("run")
        .arg(&config)
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn();
    let mut gateway = Running(started.context("the gateway does not start")?);
    let lines = BufReader::new(gateway.0.stderr.take().context("its output is piped")?).lines();
    let mut admin = None;
    for line in lines {
        let line = line?;
        if let Some(address) = line.strip_prefix("admin on http://") {
            admin = Some(address.to_owned());
        }
        if line == "ready" {
            break;
        }
    }
    let admin = admin.context("the gateway is not ready")?;
    command::run(Command::new(&binary).args(["run", "--check-ready", &admin]))?;
    let id = i32::try_from(gateway.0.id()).ok().and_then(Pid::from_raw);
    kill_process(id.context("the gateway has no id")?, Signal::TERM)?;
    let ended = gateway.0.wait()?;
    ensure!(ended.success(), "the gateway ends with {ended}");
    Ok(())
}

/// Lets systemd and man judge what is theirs, where they can be had.
fn check_units(package: &Package, root: &Path) -> Result<()> {
    if is_there("systemd-analyze") {
        let units: Result<Vec<PathBuf>> = ["waypost.service", "waypost.socket"]
            .into_iter()
            .map(|name| {
                let unit = fs::read_to_string(root.join("usr/lib/systemd/system").join(name))?;
                // The binary and the manual have to be where the unit says.
                let binary = root.join("usr/bin/waypost").display().to_string();
                let unit = unit
                    .replace("ExecStart=/usr/bin/waypost", &format!("ExecStart={binary}"))
                    .replace("Documentation=man:waypost(1)\n", "");
                let path = package.directory.join(name);
                fs::write(&path, unit)?;
                Ok(path)
            })
            .collect();
        command::run(Command::new("systemd-analyze").arg("verify").args(units?))?;
    }
    if is_there("man") {
        let page = root.join("usr/share/man/man1/waypost.1.gz");
        let mut man = Command::new("man");
        let text = command::output(man.arg("--local-file").arg(page).env("LC_ALL", "C.UTF-8"))?;
        ensure!(
            text.contains("waypost-upgrade"),
            "the manual does not name the commands"
        );
    }
    Ok(())
}
