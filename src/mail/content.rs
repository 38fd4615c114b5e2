//! The content of one message in wire form, in memory or behind a reader. It does not parse MIME.

use std::fmt;
use std::io;
use std::sync::Arc;

/// The content of one message in **wire form**: lines end in CRLF, a line that starts with a dot is
/// dot-stuffed (RFC 5321 §4.5.2), and the final `.` line is not included. It always ends in CRLF, so it can
/// be sent as it is, followed by `.CRLF`.
#[derive(Clone)]
pub enum Content {
    /// Held in memory.
    Held(Arc<[u8]>),
    /// Read at offsets from where it is stored.
    Source(Arc<dyn ContentSource>),
}

/// Content stored outside the process's memory.
pub trait ContentSource: Send + Sync {
    /// Length in octets, in wire form.
    fn len(&self) -> u64;

    /// Whether the length is zero.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Fills `buffer` starting at `offset` and returns the number of octets read; 0 only at the end.
    ///
    /// # Errors
    /// The I/O error of the read.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
}

impl Content {
    /// Length in octets, in wire form.
    #[must_use]
    pub fn len(&self) -> u64 {
        match self {
            Self::Held(bytes) => u64::try_from(bytes.len()).unwrap_or(u64::MAX),
            Self::Source(source) => source.len(),
        }
    }

    /// Whether the length is zero.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Fills `buffer` starting at `offset`, as [`ContentSource::read_at`] does.
    ///
    /// # Errors
    /// The I/O error of the read.
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        match self {
            Self::Held(bytes) => {
                let start = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
                let rest = bytes.get(start..).unwrap_or_default();
                let count = rest.len().min(buffer.len());
                if let (Some(to), Some(from)) = (buffer.get_mut(..count), rest.get(..count)) {
                    to.copy_from_slice(from);
                }
                Ok(count)
            }
            Self::Source(source) => source.read_at(buffer, offset),
        }
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Content({} octets)", self.len())
    }
}
