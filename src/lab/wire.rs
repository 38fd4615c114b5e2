//! Line-based I/O for stand-ins of either side. It does not interpret commands.

use std::io;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Who is told of octets that arrive before TLS.
pub(crate) trait ClearListener: Send + Sync {
    /// These octets arrived in plaintext.
    fn hear(&self, octets: &[u8]);
}

/// A stream of lines. If it has a listener, every octet read is plaintext, and told to it.
pub(crate) struct Wire<S> {
    stream: S,
    buffer: Vec<u8>,
    clear: Option<Arc<dyn ClearListener>>,
}

/// One SMTP reply as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) code: u16,
    /// The text with its enhanced status code, lines joined by spaces.
    pub(crate) text: String,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    /// Wraps a stream; `clear` is told what is read from it.
    pub(crate) fn new(stream: S, clear: Option<Arc<dyn ClearListener>>) -> Self {
        Self { stream, buffer: Vec::new(), clear }
    }

    /// The next line, its LF included; `None` at the end of the stream.
    pub(crate) async fn line(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut from = 0_usize;
        loop {
            let unseen = self.buffer.get(from..).unwrap_or_default();
            if let Some(at) = memchr::memchr(b'\n', unseen) {
                let end = from.saturating_add(at).saturating_add(1);
                return Ok(Some(self.buffer.drain(..end).collect()));
            }
            from = self.buffer.len();
            if from > LINE_BYTES_MAX {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "a line without an end"));
            }
            if !self.fill().await? {
                return Ok(None);
            }
        }
    }

    /// The next line as text, without its line end.
    pub(crate) async fn text(&mut self) -> io::Result<Option<String>> {
        let line = self.line().await?;
        Ok(line.map(|line| String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned()))
    }

    pub(crate) async fn answer(&mut self) -> io::Result<Answer> {
        let mut text = String::new();
        loop {
            let line = self.text().await?.ok_or_else(|| {
                io::Error::new(io::ErrorKind::UnexpectedEof, "the connection ended without a reply")
            })?;
            let code = line.get(..3).and_then(|code| code.parse().ok());
            let code = code.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, line.clone()))?;
            if !text.is_empty() {
                text.push(' ');
            }
            text.push_str(line.get(4..).unwrap_or_default());
            if line.as_bytes().get(3) != Some(&b'-') {
                return Ok(Answer { code, text });
            }
        }
    }

    /// Exactly this number of octets.
    pub(crate) async fn exactly(&mut self, octets: usize) -> io::Result<Vec<u8>> {
        while self.buffer.len() < octets {
            if !self.fill().await? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(self.buffer.drain(..octets).collect())
    }

    /// Content up to the final dot, without dot-stuffing; `None` if the connection ended first.
    pub(crate) async fn content(&mut self, bytes_max: usize) -> io::Result<Option<Vec<u8>>> {
        let mut content = Vec::new();
        while let Some(line) = self.line().await? {
            if line == b".\r\n" {
                return Ok(Some(content));
            }
            content.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
            if content.len() > bytes_max {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "more content than SIZE allows"));
            }
        }
        Ok(None)
    }

    /// Writes octets and flushes them.
    pub(crate) async fn send(&mut self, octets: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(octets.as_ref()).await?;
        self.stream.flush().await
    }

    /// Closes our direction.
    pub(crate) async fn close(&mut self) -> io::Result<()> {
        self.stream.shutdown().await
    }

    /// The bare stream. Buffered input is discarded (RFC 3207 §4.2).
    pub(crate) fn into_inner(self) -> S {
        self.stream
    }

    async fn fill(&mut self) -> io::Result<bool> {
        let before = self.buffer.len();
        self.buffer.reserve(READ_BYTES);
        let count = self.stream.read_buf(&mut self.buffer).await?;
        if let Some(listener) = &self.clear {
            listener.hear(self.buffer.get(before..).unwrap_or_default());
        }
        Ok(count > 0)
    }
}

const LINE_BYTES_MAX: usize = 64 * 1024;
const READ_BYTES: usize = 4096;
