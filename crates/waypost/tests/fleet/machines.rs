//! Machines: network namespaces on a bridge, each with an address that the others see and one that only the test sees.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::process::Command;

use crate::namespaces::run;

/// Three machines on a network, in the namespaces of the test.
pub(crate) struct Machines;

impl Machines {
    /// Sets up the network: 10.0.0.1 to 10.0.0.3, which reach each other, and 10.0.1.1 to 10.0.1.3 for the test.
    pub(crate) fn new() -> Self {
        run(&["mount", "-t", "tmpfs", "tmpfs", "/run"]);
        fs::create_dir_all("/run/netns").unwrap();
        for (bridge, address) in [("fleet", "10.0.0.254/24"), ("test", "10.0.1.254/24")] {
            run(&["ip", "link", "add", bridge, "type", "bridge"]);
            run(&["ip", "addr", "add", address, "dev", bridge]);
            run(&["ip", "link", "set", bridge, "up"]);
        }
        for machine in 0..3 {
            let name = name(machine);
            run(&["ip", "netns", "add", &name]);
            run(&["ip", "-n", &name, "link", "set", "lo", "up"]);
            for (network, bridge) in ["fleet", "test"].into_iter().enumerate() {
                let (end, inside) = (port(machine, bridge), format!("{bridge}0"));
                let address = format!("10.0.{network}.{}/24", machine + 1);
                run(&[
                    "ip", "link", "add", &end, "type", "veth", "peer", "name", &inside, "netns", &name,
                ]);
                run(&["ip", "link", "set", &end, "master", bridge, "up"]);
                run(&["ip", "-n", &name, "addr", "add", &address, "dev", &inside]);
                run(&["ip", "-n", &name, "link", "set", &inside, "up"]);
            }
        }
        Self
    }

    /// The address that the other machines see.
    pub(crate) fn address(&self, machine: usize) -> IpAddr {
        IpAddr::V4(Ipv4Addr::new(10, 0, 0, last(machine)))
    }

    /// The address that only the test sees.
    pub(crate) fn test_address(&self, machine: usize) -> IpAddr {
        IpAddr::V4(Ipv4Addr::new(10, 0, 1, last(machine)))
    }

    /// The words in front of a program that runs on a machine.
    pub(crate) fn on(&self, machine: usize) -> Vec<String> {
        let name = name(machine);
        ["ip", "netns", "exec", &name].map(str::to_owned).into()
    }

    /// Cuts a machine off from the others: packets are lost, and no connection is told.
    pub(crate) fn cut(&self, machine: usize) {
        run(&["ip", "link", "set", &port(machine, "fleet"), "down"]);
    }

    pub(crate) fn mend(&self, machine: usize) {
        run(&["ip", "link", "set", &port(machine, "fleet"), "up"]);
    }
}

/// A disk, in the namespaces of the test.
pub(crate) struct Disk(tempfile::TempDir);

impl Disk {
    pub(crate) fn new(size: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (options, at) = (format!("size={size}"), directory.path().to_str().unwrap());
        run(&["mount", "-t", "tmpfs", "-o", &options, "tmpfs", at]);
        Self(directory)
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Members may still use it.
        let _ = Command::new("umount").arg("--lazy").arg(self.path()).status();
    }
}

fn name(machine: usize) -> String {
    format!("machine{}", machine + 1)
}

fn port(machine: usize, bridge: &str) -> String {
    format!("{bridge}-{}", machine + 1)
}

fn last(machine: usize) -> u8 {
    u8::try_from(machine + 1).unwrap()
}
