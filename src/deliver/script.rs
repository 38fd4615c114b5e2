//! The dialogue of an outbound connection, as the protocol log may have it: without secrets and content.

use crate::connector::TlsFacts;
use crate::outcome::LinkFault;
use crate::smtp::HiddenWords;
use crate::tracking::Recording;

/// What is recorded of a connection.
#[derive(Debug)]
pub(super) struct Script {
    recording: Box<Recording>,
    /// A line of the peer that is not complete.
    partial: Vec<u8>,
    /// A login is under way: what is said is a secret.
    hushed: bool,
    /// What a login said, which the peer may repeat.
    hidden: HiddenWords,
}

impl Script {
    pub(super) fn new(recording: Box<Recording>) -> Self {
        Self { recording, partial: Vec::new(), hushed: false, hidden: HiddenWords::default() }
    }

    /// Whether what is said from now on belongs to a login.
    pub(super) fn hush(&mut self, hushed: bool) {
        self.hushed = hushed;
    }

    /// From now on these words are left out of what the peer says.
    pub(super) fn hide(&mut self, words: HiddenWords) {
        self.hidden = words;
    }

    /// Commands that are sent: whole lines.
    pub(super) fn sent(&mut self, commands: &[u8]) {
        for line in commands.split(|octet| *octet == b'\n').filter(|line| !line.is_empty()) {
            let line = String::from_utf8_lossy(line.trim_ascii_end());
            match self.hushed {
                true => self.recording.sent(&masked_command(&line)),
                false => self.recording.sent(&line),
            }
        }
    }

    /// Content that is sent.
    pub(super) fn content(&mut self, octets: u64) {
        self.recording.note(&format!("content sent: {octets} octets"));
    }

    /// Octets that came, wherever a line ends.
    pub(super) fn received(&mut self, octets: &[u8]) {
        for piece in octets.split_inclusive(|octet| *octet == b'\n') {
            let room = LINE_OCTETS_MAX.saturating_sub(self.partial.len());
            self.partial.extend_from_slice(piece.get(..room).unwrap_or(piece));
            if piece.ends_with(b"\n") {
                let line = std::mem::take(&mut self.partial);
                self.heard(&String::from_utf8_lossy(line.trim_ascii_end()));
            }
        }
    }

    fn heard(&mut self, line: &str) {
        match self.hushed {
            true => self.recording.received(&masked_reply(line)),
            false => self.recording.received(&self.hidden.masked(line)),
        }
        // The last line of a reply that refuses; a reply of several lines is written once.
        if line.starts_with(['4', '5']) && line.as_bytes().get(3) != Some(&b'-') {
            self.recording.fail();
        }
    }

    pub(super) fn secured(&mut self, facts: &TlsFacts) {
        self.recording.secured(facts);
    }

    pub(super) fn note(&mut self, what: &str) {
        self.recording.note(what);
    }

    /// The session failed for this reason.
    pub(super) fn fail_for(&mut self, reason: &str) {
        self.recording.fail_for(reason);
    }
}

/// How a connection failed.
pub(super) fn link_words(fault: &LinkFault) -> String {
    match fault {
        LinkFault::Unreachable(why) | LinkFault::NotOurAddress(why) => format!("no connection: {why}"),
        LinkFault::Silent => "there was no reply in time".to_owned(),
        LinkFault::Lost(why) => format!("the connection was lost: {why}"),
        LinkFault::Displaced => "it made no progress, and other mail was waiting for its place".to_owned(),
        LinkFault::Garbled(how) => format!("the protocol was violated: {how}"),
        LinkFault::Content(why) => format!("our copy of the content can't be read: {why}"),
    }
}

/// A command within a login: only AUTH and its mechanism are shown.
fn masked_command(line: &str) -> String {
    let mut words = line.split(' ');
    match (words.next(), words.next(), words.next()) {
        (Some("AUTH"), Some(mechanism), Some(_)) => format!("AUTH {mechanism} {MASK}"),
        (Some("AUTH"), Some(_), None) | (Some("*"), None, None) => line.to_owned(),
        _ => MASK.to_owned(),
    }
}

/// A reply within a login: its codes. The words may repeat what we said.
fn masked_reply(line: &str) -> String {
    let code = line.get(..3).filter(|code| code.bytes().all(|octet| octet.is_ascii_digit()));
    let Some(code) = code else { return MASK.to_owned() };
    let status = line.get(4..).and_then(|rest| rest.split(' ').next()).filter(|word| is_status(word));
    match status {
        Some(status) => format!("{code} {status} {MASK}"),
        None => format!("{code} {MASK}"),
    }
}

/// Whether a word is an enhanced status code (RFC 3463 §2).
fn is_status(word: &str) -> bool {
    let parts: Vec<&str> = word.split('.').collect();
    let is_number = |part: &&str| (1..=3).contains(&part.len()) && part.bytes().all(|o| o.is_ascii_digit());
    parts.len() == 3 && parts.iter().all(is_number)
}

/// Shown in place of a secret.
const MASK: &str = "***";
/// Octets kept of a line; the rest is left out.
const LINE_OCTETS_MAX: usize = 2_048;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_login_only_codes_and_the_mechanism_are_shown() {
        for (said, expected) in [
            ("AUTH PLAIN AGFkYQBzZWNyZXQ=", "AUTH PLAIN ***"),
            ("AUTH LOGIN", "AUTH LOGIN"),
            ("c2VjcmV0", "***"),
            ("", "***"),
            ("*", "*"),
        ] {
            assert_eq!(masked_command(said), expected);
        }
        for (said, expected) in [
            ("334 VXNlcm5hbWU6", "334 ***"),
            ("535 5.7.8 wrong password: secret", "535 5.7.8 ***"),
            ("535-secret", "535 ***"),
            ("235 2.7.0 hello ada", "235 2.7.0 ***"),
            ("334 1.2.secret", "334 ***"),
            ("secret", "***"),
            ("33\u{e4}", "***"),
        ] {
            assert_eq!(masked_reply(said), expected);
        }
    }
}
