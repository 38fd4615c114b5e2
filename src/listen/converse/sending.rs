//! Sends replies to the client and closes the connection. It composes no reply.

use std::io;
use std::pin::pin;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout};

use super::{Conversation, GRACE, Waits};
use crate::smtp::receive::Session;

impl Conversation {
    /// Sends the pending replies; returns whether it could. A client that does not read them is as idle as
    /// one that does not write; once the daemon stops, it is not waited for.
    pub(super) async fn flush<S: AsyncWrite + Unpin>(&mut self, stream: &mut S, waits: &mut Waits) -> bool {
        self.take_down();
        let out = self.session.as_mut().map(Session::take_output).unwrap_or_default();
        if out.is_empty() {
            return true;
        }
        let limit = if self.grace_until.is_some() { CLOSE_WAIT } else { self.shared.settings.timeouts.idle };
        waits.sleep.as_mut().reset(Instant::now() + limit);
        let mut writing = pin!(async {
            stream.write_all(&out).await?;
            stream.flush().await
        });
        loop {
            tokio::select! {
                biased;
                written = &mut writing => match written {
                    Ok(()) => return true,
                    Err(fault) => {
                        self.ended(&format!("connection lost: {fault}"));
                        return false;
                    }
                },
                () = waits.sleep.as_mut() => {
                    self.ended("the client does not read its replies");
                    return false;
                }
                () = waits.cut.as_mut() => {
                    self.ended("a reload has tightened the connector, and the client does not read its replies");
                    return false;
                }
                () = waits.stopped.as_mut(), if self.grace_until.is_none() => {
                    let now = Instant::now();
                    self.grace_until = Some(now + GRACE);
                    waits.sleep.as_mut().reset(now + CLOSE_WAIT);
                }
            }
        }
    }

    /// Sends the last replies, then close_notify within TLS, then closes the connection.
    pub(super) async fn finish<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        waits: &mut Waits,
        linger: bool,
    ) {
        if !self.flush(stream, waits).await {
            return;
        }
        let closing = timeout(CLOSE_WAIT, async {
            stream.shutdown().await?;
            // Closing with octets unread would reset the connection, and the client might never read the
            // reason.
            let mut left = if linger { LINGER_READS_MAX } else { 0 };
            let mut unread = vec![0_u8; 512];
            while left > 0 && stream.read(&mut unread).await? > 0 {
                left = left.saturating_sub(1);
            }
            io::Result::Ok(())
        });
        if let Ok(Err(fault)) = closing.await {
            tracing::debug!(peer = %self.peer, %fault, "closing");
        }
    }
}

/// Time limit for closing, or for writing once the daemon stops. With the grace period it stays under the 5
/// seconds in which SIGTERM ends the process.
const CLOSE_WAIT: Duration = Duration::from_secs(1);
/// How often input is still read and discarded after we closed.
const LINGER_READS_MAX: usize = 128;
