//! Answers clients while the relay may not accept mail yet: it greets with 421 and closes. It receives
//! nothing.

use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::accept::BoundListener;
use super::settings::ListenerTls;

/// Answers every client with 421 until `stop` (RFC 5321 §3.1: a server that can't serve now says so at once).
/// With implicit TLS, the connection is only closed.
pub async fn turn_away(bound: Vec<BoundListener>, name: &str, stop: &CancellationToken) {
    let mut listeners = tokio::task::JoinSet::new();
    for one in bound {
        let greeting = (one.tls != ListenerTls::Implicit)
            .then(|| format!("421 4.3.0 {name} the spool is being checked; try again later\r\n"));
        let Ok(listener) = TcpListener::from_std(one.into_socket()) else { continue };
        listeners.spawn(keep(listener, greeting));
    }
    stop.cancelled().await;
    listeners.shutdown().await;
}

/// Serves clients one at a time, each for a moment at most.
async fn keep(listener: TcpListener, greeting: Option<String>) {
    loop {
        let Ok((mut stream, _)) = listener.accept().await else {
            sleep(PAUSE).await;
            continue;
        };
        if let Some(text) = &greeting {
            // The socket's buffer takes these few octets at once, whether the client reads or not.
            let _ = timeout(PAUSE, async {
                stream.write_all(text.as_bytes()).await?;
                stream.shutdown().await
            })
            .await;
        }
    }
}

/// The time limit for one client, and the pause after a failed accept.
const PAUSE: Duration = Duration::from_millis(100);
