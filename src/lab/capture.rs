//! What a stand-in saw: the judge of whether anything left in clear is what arrived, not what the
//! gateway says of itself.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// What one stand-in saw so far. Shared by its sessions.
#[derive(Debug, Default)]
pub struct Capture {
    seen: Mutex<SeenTraffic>,
}

#[derive(Debug, Default)]
struct SeenTraffic {
    clear: Vec<u8>,
    messages: Vec<AcceptedMessage>,
    refused: Vec<String>,
}

/// A message that a stand-in accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptedMessage {
    /// Between the brackets of MAIL FROM.
    pub reverse_path: String,
    /// Between the brackets of each RCPT TO.
    pub recipients: Vec<String>,
    /// The content, without the second dots.
    pub content: Vec<u8>,
    /// Version and suite; `None` in clear.
    pub tls: Option<String>,
}

impl Capture {
    /// Notes octets that came before TLS.
    pub fn heard_in_clear(&self, octets: &[u8]) {
        let mut seen = self.lock();
        let room = CLEAR_BYTES_MAX.saturating_sub(seen.clear.len());
        let octets = octets.get(..room.min(octets.len())).unwrap_or_default();
        seen.clear.extend_from_slice(octets);
    }

    /// Notes a message that was accepted.
    pub fn took(&self, message: AcceptedMessage) {
        let mut seen = self.lock();
        if seen.messages.len() < MESSAGES_MAX {
            seen.messages.push(message);
        }
    }

    /// Notes a recipient that was refused.
    pub fn refused(&self, recipient: String) {
        let mut seen = self.lock();
        if seen.refused.len() < MESSAGES_MAX {
            seen.refused.push(recipient);
        }
    }

    /// The first accepted message that `wanted` likes.
    pub fn find(&self, wanted: impl Fn(&AcceptedMessage) -> bool) -> Option<AcceptedMessage> {
        self.lock().messages.iter().find(|m| wanted(m)).cloned()
    }

    /// Whether a recipient was refused.
    #[must_use]
    pub fn has_refused(&self, recipient: &str) -> bool {
        self.lock().refused.iter().any(|r| r == recipient)
    }

    /// Whether these octets came in clear, in any case of letters.
    #[must_use]
    pub fn came_in_clear(&self, octets: &str) -> bool {
        let octets = octets.as_bytes();
        !octets.is_empty()
            && self.lock().clear.windows(octets.len()).any(|window| window.eq_ignore_ascii_case(octets))
    }

    fn lock(&self) -> MutexGuard<'_, SeenTraffic> {
        // What was seen stays true whatever a panicking session did.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The lab may be kept running: what a stand-in remembers is bounded.
const CLEAR_BYTES_MAX: usize = 256 * 1024;
const MESSAGES_MAX: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_in_clear_is_found_in_any_case() {
        let capture = Capture::default();
        capture.heard_in_clear(b"EHLO gw\r\nmail ");
        capture.heard_in_clear(b"from:<a@b.test>\r\n");
        assert!(capture.came_in_clear("MAIL FROM"));
        assert!(!capture.came_in_clear("RCPT TO"));
        assert!(!capture.came_in_clear(""));
    }
}
