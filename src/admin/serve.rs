//! Opens and serves the control socket. What may be asked over it is in `api`.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use axum::extract::connect_info::Connected;
use axum::serve::IncomingStream;
use tokio::net::UnixListener;
use tokio_util::sync::CancellationToken;

use super::asker::Asker;
use super::control::Control;

/// The control socket: a Unix socket that only the daemon's own user may open.
pub struct ControlSocket {
    listener: UnixListener,
    path: PathBuf,
}

/// Why the control socket can't be opened.
#[derive(Debug, thiserror::Error)]
#[error("the control socket {path}: {source}")]
pub struct ControlFault {
    path: String,
    source: io::Error,
}

impl ControlSocket {
    /// Opens the socket. A file left by a process that died is replaced: the caller holds the
    /// spool's lock, so no other daemon serves this path.
    ///
    /// # Errors
    /// [`ControlFault`] names the path.
    pub fn open(path: &Path) -> Result<Self, ControlFault> {
        let fault = |source| ControlFault { path: path.display().to_string(), source };
        match fs::remove_file(path) {
            Ok(()) => {}
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(fault(e)),
        }
        let listener = UnixListener::bind(path).map_err(fault)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(fault)?;
        Ok(Self { listener, path: path.to_owned() })
    }

    /// Serves until `stop`, then removes the socket.
    pub async fn serve(self, control: Control, stop: CancellationToken) {
        let service = control.router().into_make_service_with_connect_info::<Asker>();
        let served = axum::serve(self.listener, service)
            .with_graceful_shutdown(async move { stop.cancelled().await })
            .await;
        if let Err(fault) = served {
            tracing::error!(%fault, "the control socket has ended");
        }
        if let Err(fault) = fs::remove_file(&self.path) {
            tracing::debug!(%fault, "the control socket was gone already");
        }
    }
}

impl Connected<IncomingStream<'_, UnixListener>> for Asker {
    fn connect_info(stream: IncomingStream<'_, UnixListener>) -> Self {
        Self::User(stream.io().peer_cred().ok().map(|peer| peer.uid()))
    }
}
