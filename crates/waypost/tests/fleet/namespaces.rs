//! Tests in namespaces of their own: networks that can be cut, disks that can be full. All of it ends with the test.

use std::env;
use std::io::{self, Write as _};
use std::process::{Command, Stdio};

use crate::support::command::output;

/// Set for a test that runs in namespaces.
const INSIDE: &str = "WAYPOST_TEST_NAMESPACES";

/// A network with no other machine, mounts that only the test sees, and processes that end with it.
const UNSHARE: [&str; 6] = [
    "--net",
    "--mount",
    "--pid",
    "--fork",
    "--kill-child",
    "--mount-proc",
];

/// Returns true in namespaces. Else it runs this test again, in such, and returns false once that has passed. Where the
/// machine does not allow them, the test is skipped, which standard error tells.
pub(crate) fn enter(test: &str) -> bool {
    if env::var_os(INSIDE).is_some() {
        run(&["ip", "link", "set", "lo", "up"]);
        return true;
    }
    let mut command = Command::new("unshare");
    let may = command.args(UNSHARE).arg("true").stderr(Stdio::piped()).output();
    let why_not = match may {
        Ok(tried) if tried.status.success() => None,
        Ok(tried) => Some(String::from_utf8_lossy(&tried.stderr).trim().to_owned()),
        Err(error) => Some(error.to_string()),
    };
    if let Some(why) = why_not {
        // The test harness keeps what a passing test prints, but not this.
        let _ = writeln!(
            io::stderr(),
            "\nSKIPPED: {test}: it needs namespaces, thus root: {why}"
        );
        return false;
    }
    let program = env::current_exe().unwrap();
    let ran = output(
        Command::new("unshare")
            .args(UNSHARE)
            .arg(program)
            .args(["--exact", test, "--nocapture"])
            .env(INSIDE, "1"),
    );
    assert!(
        ran.code == 0 && ran.stdout.contains("1 passed"),
        "in namespaces, `{test}` fails:\n{}\n{}",
        ran.stdout,
        ran.stderr
    );
    false
}

/// Runs a program that has to succeed.
pub(crate) fn run(words: &[&str]) {
    let (program, arguments) = words.split_first().unwrap();
    let ran = output(Command::new(program).args(arguments));
    assert_eq!(ran.code, 0, "{words:?}: {}{}", ran.stdout, ran.stderr);
}
