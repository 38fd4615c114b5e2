//! Both ends of a handshake with TLS 1.1 or 1.0, written by hand: the lab's TLS library can't speak it, and
//! neither end gets further than the first message anyway.

use std::fmt;
use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Answers a client's first message as a server does that knows TLS 1.1 at most: it reads what versions
/// the client has, and finds none.
pub(super) async fn answer<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) -> io::Result<()> {
    read_record(stream).await?;
    stream.write_all(&ALERT).await?;
    stream.shutdown().await?;
    // Whatever the client still says is read, so that the alert is not lost by a reset.
    let mut rest = Vec::new();
    stream.take(REST_BYTES_MAX).read_to_end(&mut rest).await?;
    Ok(())
}

/// A version that nobody should speak any more (RFC 8996).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OldTlsVersion {
    V10,
    V11,
}

/// What a server made of a handshake with an old version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OldTlsAnswer {
    /// It ended the handshake with this alert.
    Alert(u8),
    /// It went on with the handshake.
    Spoken(OldTlsVersion),
}

/// Begins a handshake as a client that knows no later version, and reads the answer.
pub(crate) async fn ask<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    newest: OldTlsVersion,
) -> io::Result<OldTlsAnswer> {
    stream.write_all(&hello(newest)).await?;
    let record = read_record(stream).await?;
    Ok(match record.as_slice() {
        [21, _, _, _, _, _, description, ..] => OldTlsAnswer::Alert(*description),
        _ => OldTlsAnswer::Spoken(newest),
    })
}

impl fmt::Display for OldTlsVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V10 => "TLS 1.0",
            Self::V11 => "TLS 1.1",
        })
    }
}

impl fmt::Display for OldTlsAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Alert(PROTOCOL_VERSION) => {
                write!(f, "the gateway ended the handshake with alert {PROTOCOL_VERSION} (protocol_version)")
            }
            Self::Alert(alert) => write!(f, "the gateway ended the handshake with alert {alert}"),
            Self::Spoken(version) => write!(f, "the gateway answered a handshake with {version}"),
        }
    }
}

/// One record: type, version, length, content.
async fn read_record<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<Vec<u8>> {
    let mut head = [0_u8; 5];
    stream.read_exact(&mut head).await?;
    let [_, _, _, high, low] = head;
    let mut record = head.to_vec();
    record.resize(head.len().saturating_add(usize::from(u16::from_be_bytes([high, low]))), 0);
    stream.read_exact(record.get_mut(head.len()..).unwrap_or_default()).await?;
    Ok(record)
}

/// A ClientHello of an old version (RFC 4346 section 7.4.1.2) with the suites that were usual then.
fn hello(newest: OldTlsVersion) -> Vec<u8> {
    let suites = [0xC0, 0x14, 0xC0, 0x13, 0x00, 0x35, 0x00, 0x2F];
    // supported_groups: secp256r1; ec_point_formats: uncompressed (RFC 4492).
    let extensions = [0, 10, 0, 4, 0, 2, 0, 23, 0, 11, 0, 2, 1, 0];
    let minor = match newest {
        OldTlsVersion::V10 => 1,
        OldTlsVersion::V11 => 2,
    };
    let mut body = vec![3, minor];
    body.extend(std::iter::repeat_with(|| fastrand::u8(..)).take(32));
    body.extend([0, 0, 8]);
    body.extend(suites);
    body.extend([1, 0, 0, 14]);
    body.extend(extensions);
    let length = u16::try_from(body.len()).unwrap_or_default();
    let [high, low] = length.to_be_bytes();
    let mut message = vec![1, 0, high, low];
    message.append(&mut body);
    let [high, low] = length.saturating_add(4).to_be_bytes();
    let mut record = vec![22, 3, 1, high, low];
    record.append(&mut message);
    record
}

const PROTOCOL_VERSION: u8 = 70;
/// A fatal alert: protocol_version (RFC 8446 section 4.2.1).
const ALERT: [u8; 7] = [21, 3, 2, 0, 2, 2, PROTOCOL_VERSION];
const REST_BYTES_MAX: u64 = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn both_ends_find_no_common_version() {
        let (mut client, mut server) = tokio::io::duplex(4096);
        let (said, ()) =
            tokio::join!(async { ask(&mut client, OldTlsVersion::V11).await.expect("an answer") }, async {
                let hello = read_record(&mut server).await.expect("a record");
                assert_eq!((hello[0], hello[5], &hello[9..11]), (22, 1, [3, 2].as_slice()));
                server.write_all(&ALERT).await.expect("an alert");
            });
        assert_eq!(said.to_string(), "the gateway ended the handshake with alert 70 (protocol_version)");
    }
}
