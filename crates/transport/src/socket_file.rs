//! Unix sockets that listen at a path, and their files.

use std::fs;
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, fchmod};
use socket2::{Domain, SockAddr, Socket, Type};

use crate::sockets::BACKLOG;

/// The file of a listening unix socket.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    /// The device and the inode of the file.
    id: Option<(u64, u64)>,
    /// True if the file stays when this is dropped.
    is_kept: bool,
}

/// Opens a listening socket at `path`, with access by `mode`. A socket that a dead process left behind is replaced.
///
/// # Errors
/// When another process listens there, or anything else is in the place.
pub fn listen(path: &Path, mode: u32) -> io::Result<UnixListener> {
    let socket = match bind(path, mode) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            // Never remove anything other than a socket.
            let is_socket = fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket());
            if !is_socket {
                let message = "there is a file that is no socket";
                return Err(io::Error::new(io::ErrorKind::AlreadyExists, message));
            }
            if is_alive(path) {
                let message = "another process listens there";
                return Err(io::Error::new(io::ErrorKind::AddrInUse, message));
            }
            fs::remove_file(path)?;
            bind(path, mode)?
        }
        bound => bound?,
    };
    // The umask of the process has no say in it.
    fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Binds a socket whose file has no wider access than `mode` from the beginning: Linux takes it from the socket itself.
fn bind(path: &Path, mode: u32) -> io::Result<Socket> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    fchmod(socket.as_fd(), Mode::from_raw_mode(mode))?;
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::unix(path)?)?;
    Ok(socket)
}

/// Returns true unless nothing listens at `path`.
fn is_alive(path: &Path) -> bool {
    let connected = Socket::new(Domain::UNIX, Type::STREAM, None).and_then(|socket| {
        // A queue that is full would keep the connect waiting.
        socket.set_nonblocking(true)?;
        socket.connect(&SockAddr::unix(path)?)
    });
    !matches!(connected, Err(error) if error.kind() == io::ErrorKind::ConnectionRefused)
}

impl SocketFile {
    /// The file of a socket that this process has opened. It is removed when this is dropped.
    pub fn own(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            id: id_of(path),
            is_kept: false,
        }
    }

    /// The file of a socket that another process has opened. It stays, unless it is removed.
    pub fn inherited(path: &Path) -> Self {
        let mut file = Self::own(path);
        file.is_kept = true;
        file
    }

    /// Removes the file.
    pub fn remove(mut self) {
        self.is_kept = false;
    }

    /// Leaves the file where it is.
    pub fn leave(mut self) {
        self.is_kept = true;
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // A file that another process has put there meanwhile is not ours.
        if !self.is_kept && self.id.is_some() && id_of(&self.path) == self.id {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn id_of(path: &Path) -> Option<(u64, u64)> {
    let metadata = fs::symlink_metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::os::unix::net::UnixStream;

    /// A path of its own for each test, in the directory for temporary files.
    fn place(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("waypost-{}-{name}.sock", std::process::id()))
    }

    #[test]
    fn the_socket_of_a_dead_process_is_replaced_and_a_live_one_is_not() {
        let path = place("stale");
        let live = listen(&path, 0o660).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o660);
        UnixStream::connect(&path).unwrap();
        let error = listen(&path, 0o660).unwrap_err();
        assert_eq!(error.to_string(), "another process listens there");
        drop(live);
        drop(listen(&path, 0o600).unwrap());
        SocketFile::own(&path).remove();
        assert!(!path.exists());
    }

    #[test]
    fn a_file_that_is_no_socket_stays() {
        let path = place("file");
        fs::write(&path, "text").unwrap();
        let error = listen(&path, 0o660).unwrap_err();
        assert_eq!(error.to_string(), "there is a file that is no socket");
        assert_eq!(fs::read_to_string(&path).unwrap(), "text");
        fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_file_is_removed_by_its_owner_only() {
        let path = place("owner");
        let _first = listen(&path, 0o660).unwrap();
        SocketFile::inherited(&path).leave();
        drop(SocketFile::inherited(&path));
        assert!(path.exists());
        let own = SocketFile::own(&path);
        // Another process replaces the file; both exist for a moment, so that they differ in their inode.
        let beside = place("beside");
        let _second = listen(&beside, 0o660).unwrap();
        fs::rename(&beside, &path).unwrap();
        drop(own);
        assert!(path.exists());
        drop(SocketFile::own(&path));
        assert!(!path.exists());
    }
}
