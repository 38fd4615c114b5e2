//! What a stand-in saw. Whether anything left in plaintext is judged by what arrived, not by what
//! the gateway reports.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::wire::ClearListener;

/// What one stand-in has seen so far; shared by its sessions.
#[derive(Debug, Default)]
pub struct Capture {
    seen: Mutex<SeenTraffic>,
    forgets: bool,
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
    /// The address from MAIL FROM, without angle brackets.
    pub reverse_path: String,
    /// The address from each RCPT TO, without angle brackets.
    pub recipients: Vec<String>,
    /// The content, without dot-stuffing.
    pub content: Vec<u8>,
    /// TLS version and suite; `None` in plaintext.
    pub tls: Option<String>,
}

impl Capture {
    /// One that keeps nothing.
    pub(super) fn forgetful() -> Self {
        Self { forgets: true, ..Self::default() }
    }

    /// Records octets that arrived before TLS.
    pub fn heard_in_clear(&self, octets: &[u8]) {
        let mut seen = self.lock();
        let max = if self.forgets { 0 } else { CLEAR_BYTES_MAX };
        let room = max.saturating_sub(seen.clear.len());
        let octets = octets.get(..room.min(octets.len())).unwrap_or_default();
        seen.clear.extend_from_slice(octets);
    }

    /// Records an accepted message.
    pub fn took(&self, message: AcceptedMessage) {
        let mut seen = self.lock();
        if seen.messages.len() < MESSAGES_MAX && !self.forgets {
            seen.messages.push(message);
        }
    }

    /// Records a rejected recipient.
    pub fn refused(&self, recipient: String) {
        let mut seen = self.lock();
        if seen.refused.len() < MESSAGES_MAX && !self.forgets {
            seen.refused.push(recipient);
        }
    }

    /// The first accepted message that matches `wanted`.
    pub fn find(&self, wanted: impl Fn(&AcceptedMessage) -> bool) -> Option<AcceptedMessage> {
        self.lock().messages.iter().find(|m| wanted(m)).cloned()
    }

    /// Whether a recipient was rejected.
    #[must_use]
    pub fn has_refused(&self, recipient: &str) -> bool {
        self.lock().refused.iter().any(|r| r == recipient)
    }

    /// Whether these octets arrived in plaintext, ignoring case.
    #[must_use]
    pub fn came_in_clear(&self, octets: &str) -> bool {
        let octets = octets.as_bytes();
        !octets.is_empty()
            && self.lock().clear.windows(octets.len()).any(|window| window.eq_ignore_ascii_case(octets))
    }

    fn lock(&self) -> MutexGuard<'_, SeenTraffic> {
        // What was seen stays valid even if a session panicked.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClearListener for Capture {
    fn hear(&self, octets: &[u8]) {
        self.heard_in_clear(octets);
    }
}

/// The lab may be kept running, so what a stand-in remembers is bounded.
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
