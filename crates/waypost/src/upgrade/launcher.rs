//! Starting the binary that is at the path of this one.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;

use anyhow::Context as _;
use tokio::sync::oneshot;

use crate::systemd::activation;
use crate::systemd::supervisor;
use crate::upgrade::handover::{VARIABLE, VERSION};

/// Starts processes from a thread of its own.
///
/// A process begins with the priority of the thread that starts it. The control's has been lowered, which cannot be undone,
/// and the workers of the new process have to run at the priority that this process was started with.
#[derive(Debug, Clone)]
pub(crate) struct Launcher {
    program: PathBuf,
    orders: mpsc::Sender<Order>,
}

struct Order {
    command: Command,
    started: oneshot::Sender<io::Result<Child>>,
}

/// A process that has been started; killed on drop, unless it is released.
#[derive(Debug)]
pub(crate) struct Launched(Option<Child>);

impl Launcher {
    /// Notes the path of this process's binary, which may be replaced later. Must be called at normal priority.
    pub(crate) fn start() -> anyhow::Result<Self> {
        let program = path_of_this_process().context("the path of this binary is unknown")?;
        let (orders, inbox) = mpsc::channel::<Order>();
        let thread = thread::Builder::new().name("launcher".to_owned());
        thread
            .spawn(move || {
                for mut order in inbox {
                    let _ = order.started.send(order.command.spawn());
                }
            })
            .context("a thread cannot be started")?;
        Ok(Self { program, orders })
    }

    /// The path of the binary.
    pub(crate) fn program(&self) -> &Path {
        &self.program
    }

    /// Starts the binary with the arguments and the environment of this process, and this socket as standard input.
    pub(crate) async fn launch(&self, socket: OwnedFd) -> io::Result<Launched> {
        let (started, child) = oneshot::channel();
        let order = Order {
            command: self.command(socket),
            started,
        };
        let gone = || io::Error::from(io::ErrorKind::BrokenPipe);
        self.orders.send(order).map_err(|_| gone())?;
        Ok(Launched(Some(child.await.map_err(|_| gone())??)))
    }

    fn command(&self, socket: OwnedFd) -> Command {
        let mut arguments = env::args_os();
        let mut command = Command::new(&self.program);
        if let Some(name) = arguments.next() {
            command.arg0(name);
        }
        command
            .args(arguments)
            .stdin(Stdio::from(socket))
            .env(VARIABLE, VERSION)
            .env_remove(supervisor::WATCHDOG_PID);
        for name in activation::VARIABLES {
            command.env_remove(name);
        }
        command
    }
}

impl Launched {
    /// The result of the process in words, if it has ended.
    pub(crate) fn ended(&mut self) -> Option<String> {
        let status = self.0.as_mut()?.try_wait().ok().flatten()?;
        Some(status.to_string())
    }

    /// Lets the process live on.
    pub(crate) fn release(mut self) {
        self.0 = None;
    }
}

impl Drop for Launched {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The path that this process was started by. Unlike `/proc/self/exe` it keeps a symbolic link, which may point to another
/// binary by the time of an upgrade.
fn path_of_this_process() -> io::Result<PathBuf> {
    let exe = env::current_exe();
    let named = env::args_os().next().and_then(|name| named(&name));
    match (exe, named) {
        (Ok(exe), Some(named)) if is_same(&named, &exe) => Ok(named),
        (Err(_), Some(named)) => Ok(named),
        (exe, _) => exe,
    }
}

/// The path of a command, as a shell finds it.
fn named(name: &OsString) -> Option<PathBuf> {
    let name = Path::new(name);
    if name.components().count() > 1 {
        return std::path::absolute(name).ok();
    }
    let path = env::var_os("PATH")?;
    let mut found = env::split_paths(&path).map(|directory| directory.join(name));
    std::path::absolute(found.find(|path| path.is_file())?).ok()
}

fn is_same(one: &Path, other: &Path) -> bool {
    let id = |path| fs::metadata(path).map(|metadata| (metadata.dev(), metadata.ino()));
    matches!((id(one), id(other)), (Ok(one), Ok(other)) if one == other)
}
