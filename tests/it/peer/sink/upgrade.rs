//! What a sink does between its 220 and the handshake, if there is to be one.

use std::sync::Arc;

use rustls::ServerConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Shared, SinkTls};

/// The connection, and how its handshake is made; nothing if it is broken off here.
pub(super) async fn before_handshake(
    mut stream: TcpStream,
    tls: &SinkTls,
    shared: &Shared,
) -> std::io::Result<Option<(TcpStream, Arc<ServerConfig>)>> {
    match tls {
        SinkTls::Absent | SinkTls::Refuses(_) | SinkTls::RefusesAndCloses(_) => {}
        SinkTls::Garbage => {
            stream.write_all(b"this is not TLS at all, sorry\r\n").await?;
            drain(stream, shared).await?;
        }
        SinkTls::Closes => stream.shutdown().await?,
        SinkTls::Answers(octets) => {
            hello(&mut stream, shared).await?;
            stream.write_all(octets).await?;
            stream.shutdown().await?;
            drain(stream, shared).await?;
        }
        SinkTls::Resets => {
            hello(&mut stream, shared).await?;
            stream.set_zero_linger()?;
        }
        SinkTls::Stalls => drain(stream, shared).await?,
        SinkTls::SmallHello(octets, server) => {
            let mut head = [0; 5];
            while stream.peek(&mut head).await? < head.len() {}
            if usize::from(u16::from_be_bytes([head[3], head[4]])) <= *octets {
                return Ok(Some((stream, Arc::clone(server))));
            }
        }
        SinkTls::Injects(server) | SinkTls::Works(server) => return Ok(Some((stream, Arc::clone(server)))),
    }
    Ok(None)
}

/// Reads what comes first.
async fn hello(stream: &mut TcpStream, shared: &Shared) -> std::io::Result<()> {
    let mut first = Vec::with_capacity(16 << 10);
    stream.read_buf(&mut first).await?;
    shared.note(|log| log.broken.extend_from_slice(&first));
    Ok(())
}

/// Keeps what a peer sends where there is no handshake: nothing of it may be mail.
pub(super) async fn drain(mut stream: TcpStream, shared: &Shared) -> std::io::Result<()> {
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await?;
    shared.note(|log| log.broken.extend_from_slice(&rest));
    Ok(())
}
