//! Where the admin listener is reached: loopback addresses, and a Unix socket that a proxy, a tunnel or the host of a
//! container opens.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::UnixListener as StdUnixListener;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio_util::either::Either;

/// A bound socket of the admin listener.
pub(super) enum AdminDoor {
    Port(TcpListener),
    /// The file comes first: it is removed while the socket still listens, so that no successor takes it for one that is dead.
    Socket {
        _file: SocketFile,
        socket: UnixListener,
    },
}

/// The file of a Unix socket; removed when dropped.
pub(super) struct SocketFile(PathBuf);

impl AdminDoor {
    /// Binds an address; returns it with port 0 resolved.
    pub(super) fn at_port(address: SocketAddr) -> io::Result<(Self, SocketAddr)> {
        // It sets SO_REUSEADDR, so a restart does not wait for connections of the last run.
        let socket = std::net::TcpListener::bind(address)?;
        socket.set_nonblocking(true)?;
        let at = socket.local_addr()?;
        Ok((Self::Port(TcpListener::from_std(socket)?), at))
    }

    /// Makes a Unix socket that the daemon's user and group may open. One that a process has left which died is replaced.
    pub(super) fn at_path(path: &Path) -> io::Result<Self> {
        clear(path)?;
        let socket = StdUnixListener::bind(path)?;
        let file = SocketFile(path.to_owned());
        fs::set_permissions(path, fs::Permissions::from_mode(0o660))?;
        socket.set_nonblocking(true)?;
        Ok(Self::Socket { socket: UnixListener::from_std(socket)?, _file: file })
    }

    pub(super) async fn accept(&self) -> io::Result<Either<TcpStream, UnixStream>> {
        match self {
            Self::Port(socket) => socket.accept().await.map(|(stream, _)| Either::Left(stream)),
            Self::Socket { socket, .. } => socket.accept().await.map(|(stream, _)| Either::Right(stream)),
        }
    }
}

/// Removes a socket on which nobody listens, and nothing else.
fn clear(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Err(none) if none.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(fault) => return Err(fault),
        Ok(found) if !found.file_type().is_socket() => {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "a file that is no socket is there"));
        }
        Ok(_) => {}
    }
    match knock(path) {
        // A process that does not accept has its queue full: it is there all the same.
        Ok(()) | Err(Errno::AGAIN) => {
            Err(io::Error::new(io::ErrorKind::AddrInUse, "another process listens there"))
        }
        Err(Errno::CONNREFUSED) => fs::remove_file(path),
        Err(fault) => Err(fault.into()),
    }
}

/// Whether somebody listens, without waiting for an answer.
fn knock(path: &Path) -> Result<(), Errno> {
    let socket = socket_with(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::NONBLOCK | SocketFlags::CLOEXEC,
        None,
    )?;
    connect(&socket, &SocketAddrUnix::new(path)?)
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if let Err(fault) = fs::remove_file(&self.0) {
            tracing::debug!(%fault, "the socket of the admin listener was gone already");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_socket_replaces_only_one_on_which_nobody_listens() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("admin.sock");
        let kind = |path: &Path| AdminDoor::at_path(path).err().map(|fault| fault.kind());
        fs::write(&path, "mine").expect("a file");
        assert_eq!(kind(&path), Some(io::ErrorKind::AlreadyExists));
        assert_eq!(fs::read(&path).expect("it is there"), b"mine");
        fs::remove_file(&path).expect("removed");
        drop(StdUnixListener::bind(&path).expect("a socket whose process has died"));
        let door = AdminDoor::at_path(&path).expect("it is replaced");
        let mode = fs::metadata(&path).expect("a socket").permissions().mode();
        assert_eq!(mode & 0o777, 0o660);
        assert_eq!(kind(&path), Some(io::ErrorKind::AddrInUse));
        assert!(path.exists(), "that of the other one stays");
        // One that accepts nobody, and whose queue is full.
        let crowd: Vec<_> = std::iter::from_fn(|| knock(&path).ok()).take(100_000).collect();
        assert!(!crowd.is_empty());
        assert_eq!(kind(&path), Some(io::ErrorKind::AddrInUse));
        drop(door);
        assert!(!path.exists());
        assert_eq!(kind(&folder.path().join("none/admin.sock")), Some(io::ErrorKind::NotFound));
    }
}
