//! README and `docs/`: every command they show works from the root of the repository.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::command::{Output, output, repository};
use crate::support::config::Config;
use crate::support::demo::{Demo, starting};
use crate::support::gateway::{Gateway, Lines};

/// A command in a document, with the output shown below it.
#[derive(Debug)]
struct Shown {
    place: String,
    command: String,
    output: String,
}

fn documents() -> Vec<PathBuf> {
    let root = repository();
    let mut files = vec![root.join("README.md"), root.join("CONTRIBUTING.md")];
    let docs = fs::read_dir(root.join("docs")).unwrap();
    files.extend(
        docs.map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "md")),
    );
    files.sort();
    files
}

/// Commands in the `console` blocks of a document.
fn commands(file: &Path) -> Vec<Shown> {
    let text = fs::read_to_string(file).unwrap();
    let mut commands: Vec<Shown> = Vec::new();
    let mut inside = false;
    for (index, line) in text.lines().enumerate() {
        match line {
            "```console" => inside = true,
            "```" => inside = false,
            _ if !inside => {}
            _ => match line.strip_prefix("$ ") {
                Some(command) => commands.push(Shown {
                    place: format!("{}:{}", file.display(), index + 1),
                    command: command.to_owned(),
                    output: String::new(),
                }),
                None => {
                    let shown = commands.last_mut().expect("a command above its output");
                    shown.output.push_str(line);
                    shown.output.push('\n');
                }
            },
        }
    }
    commands
}

#[test]
fn documented_commands_work() {
    let mut ran = 0;
    for file in documents() {
        let shown = commands(&file);
        // Commands to a running gateway talk to one demo per document, as a reader's do.
        let demo = shown
            .iter()
            .any(|shown| is_live(&shown.command))
            .then(|| Demo::start(&[], &[]));
        let directory = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(repository().join("examples"), directory.path().join("examples")).unwrap();
        for shown in &shown {
            check(shown, directory.path(), demo.as_ref());
            ran += 1;
        }
    }
    assert!(ran >= 30, "only {ran} commands found");
}

/// Returns true for a command that talks to a running gateway.
fn is_live(command: &str) -> bool {
    let remote = [
        "status", "top", "routes", "dial", "rollout", "stats", "apply", "confirm", "history", "rollback",
    ];
    let words: Vec<&str> = command.split_whitespace().collect();
    command.contains("127.0.0.1:") && command.contains("curl")
        || matches!(&words[..], ["waypost", verb, ..] if remote.contains(verb))
}

/// Replaces the documented addresses, which may be taken, with the demo's.
fn adapt(command: &str, demo: &Demo) -> String {
    command
        .replace("127.0.0.1:8080", &demo.gateway)
        .replace("127.0.0.1:9900", &demo.admin)
}

fn check(shown: &Shown, directory: &Path, demo: Option<&Demo>) {
    let words = shlex::split(&shown.command).unwrap_or_else(|| panic!("{shown:?}"));
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match &words[..] {
        ["cargo", "xtask", task, ..] => {
            let xtask = fs::read_to_string(repository().join("xtask/src/main.rs")).unwrap();
            let alias = fs::read_to_string(repository().join(".cargo/config.toml")).unwrap();
            assert!(alias.contains("xtask ="), "{shown:?}");
            assert!(
                xtask.to_lowercase().contains(task),
                "{shown:?}: there is no such task"
            );
        }
        ["cargo", "run", "--release", "--", "demo"] | ["waypost", "demo", ..] => {}
        ["cargo", "test" | "install" | "build" | "clippy" | "fmt", ..] => {}
        ["waypost", "run", path] => {
            // On free ports, as the documented ones may be taken.
            let environment: Vec<(String, String)> = ["LISTEN", "LISTEN_INTERNAL", "ADMIN"]
                .map(|name| (name.to_owned(), "127.0.0.1:0".to_owned()))
                .into();
            let directory = tempfile::tempdir().unwrap();
            let mut gateway = Gateway::run(directory, repository().join(path), &environment);
            gateway.signal(Signal::TERM);
            assert_eq!(gateway.wait().code(), Some(0), "{shown:?}");
        }
        ["waypost", "upgrade"] => {
            // A demo cannot be upgraded: its services live in the same process.
            let gateway = Gateway::with(Config::new().all_respond("hello"));
            gateway.command(&["upgrade"]).expect(0);
        }
        _ => {
            let command = demo.map_or(shown.command.clone(), |demo| adapt(&shown.command, demo));
            let admin = demo.map(|demo| format!("http://{}", demo.admin));
            let ran = shell(&command, directory, admin.as_deref());
            assert_eq!(ran.code, 0, "{shown:?}: {}{}", ran.stdout, ran.stderr);
            if !shown.output.is_empty() {
                assert_eq!(ran.stdout.trim_end(), shown.output.trim_end(), "{}", shown.place);
            }
        }
    }
}

#[test]
fn demo_commands_work() {
    let empty = tempfile::tempdir().unwrap();
    let one = starting();
    let mut demo = Command::new(env!("CARGO_BIN_EXE_waypost"))
        .arg("demo")
        .env("PATH", empty.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let said = Lines::of(demo.stdout.take().unwrap());
    let errors = Lines::of(demo.stderr.take().unwrap());
    said.wait_for("that ends the guide", |line| line.contains("Ctrl-C"));
    drop(one);
    let lines = said.all();
    let commands: Vec<&str> = lines
        .iter()
        .filter_map(|line| line.trim_start().strip_prefix("$ "))
        .collect();
    let ran: Vec<(&str, Output)> = commands
        .iter()
        .map(|command| (*command, shell(command, &repository(), None)))
        .collect();
    let id = i32::try_from(demo.id()).ok().and_then(Pid::from_raw).unwrap();
    kill_process(id, Signal::INT).unwrap();
    assert_eq!(demo.wait().unwrap().code(), Some(0), "{:?}", errors.all());

    assert_eq!(ran.len(), 8, "{commands:?}");
    for (command, ran) in ran {
        assert_eq!(ran.code, 0, "`{command}`: {}{}", ran.stdout, ran.stderr);
        assert_ne!(ran.stdout, "", "`{command}`");
    }
    let first = lines.iter().position(|line| line.contains("$ waypost")).unwrap();
    assert!(
        lines[..first].iter().any(|line| {
            line.contains(env!("CARGO_BIN_EXE_waypost"))
                && line.contains("cargo install --path crates/waypost")
        }),
        "where `waypost` is, when it is not on the path: {lines:?}"
    );
    let config = lines.iter().find_map(|line| line.strip_prefix("The config is "));
    let config = Path::new(config.expect("the path of the config"));
    assert!(config.is_file(), "it is left for editing");
    fs::remove_dir_all(config.parent().unwrap()).unwrap();
}

#[test]
fn demo_omits_install_hint_when_waypost_is_on_the_path() {
    let binary = Path::new(env!("CARGO_BIN_EXE_waypost"));
    let one = starting();
    let mut demo = Command::new(binary)
        .arg("demo")
        .env("PATH", binary.parent().unwrap())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let said = Lines::of(demo.stdout.take().unwrap());
    said.wait_for("that ends the guide", |line| line.contains("Ctrl-C"));
    drop(one);
    let lines = said.all();
    let id = i32::try_from(demo.id()).ok().and_then(Pid::from_raw).unwrap();
    kill_process(id, Signal::INT).unwrap();
    assert_eq!(demo.wait().unwrap().code(), Some(0));
    assert!(
        !lines.iter().any(|line| line.contains("cargo install")),
        "{lines:?}"
    );
    let config = lines.iter().find_map(|line| line.strip_prefix("The config is "));
    fs::remove_dir_all(Path::new(config.unwrap()).parent().unwrap()).unwrap();
}

/// Runs a shell command with the built binary first on the path.
fn shell(line: &str, directory: &Path, admin: Option<&str>) -> Output {
    let binary = Path::new(env!("CARGO_BIN_EXE_waypost"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(
        binary
            .parent()
            .map(Path::to_owned)
            .into_iter()
            .chain(std::env::split_paths(&path)),
    );
    output(
        Command::new("sh")
            .args(["-c", line])
            .env("PATH", path.unwrap())
            .envs(admin.map(|admin| ("WAYPOST_ADMIN", admin)))
            .current_dir(directory),
    )
}
