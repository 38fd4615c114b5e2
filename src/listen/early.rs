//! Detects clients that speak before the greeting (RFC 5321 §4.3.1 requires them to wait): most are not mail
//! servers. It sends no reply.

use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Whether the client speaks within its listener's greeting delay, if there is one.
pub(super) async fn speaks_early(
    stream: &TcpStream,
    delay: Option<Duration>,
    stop: &CancellationToken,
) -> bool {
    let Some(delay) = delay else { return false };
    let mut first = [0_u8; 1];
    tokio::select! {
        spoken = timeout(delay, stream.peek(&mut first)) => matches!(spoken, Ok(Ok(1..))),
        () = stop.cancelled() => false,
    }
}
