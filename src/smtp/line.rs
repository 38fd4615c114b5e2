//! Splits wire bytes into command lines. It does not parse commands.

use std::borrow::Cow;

use super::command::CommandFault;

/// Splits input into command lines. Only CRLF ends a line (RFC 5321 §2.3.8).
#[derive(Debug, Default)]
pub struct LineSplitter {
    /// The start of an incomplete line.
    partial: Vec<u8>,
    /// Whether the rest of the line is discarded, because it was answered already.
    skipping: bool,
    /// While skipping: whether the last octet was a CR.
    after_cr: bool,
}

/// What a piece of input contained.
#[derive(Debug, PartialEq, Eq)]
pub enum Split<'a> {
    /// No complete line; all input was taken.
    More,
    /// A line, without its CRLF.
    Line(Cow<'a, [u8]>),
    /// A faulty line to be answered with this fault; the rest of it is skipped.
    Fault(CommandFault),
}

impl LineSplitter {
    /// Takes up to one line from the front of `input`, and returns how many octets that was.
    pub fn next<'a>(&mut self, input: &'a [u8]) -> (usize, Split<'a>) {
        let mut start = 0;
        if self.skipping {
            start = self.skip(input);
            if self.skipping {
                return (start, Split::More);
            }
        }
        let rest = input.get(start..).unwrap_or_default();
        let (used, split) = match memchr::memchr(b'\n', rest) {
            Some(at) => self.finish(rest, at),
            None => self.keep(rest),
        };
        (start.saturating_add(used), split)
    }

    /// Discards a line that has begun.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Whether a line has begun.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.skipping || !self.partial.is_empty()
    }

    fn finish<'a>(&mut self, rest: &'a [u8], at: usize) -> (usize, Split<'a>) {
        let used = at.saturating_add(1);
        let head = rest.get(..at).unwrap_or_default();
        let ends_in_cr = head.last().or(self.partial.last()) == Some(&b'\r');
        if !ends_in_cr {
            // Answered at once, so that a client which never sends CR learns of it. What follows up to
            // the next CRLF is not a command, so that none can be smuggled in behind a bare LF.
            let fault = self.fault(CommandFault::BareLineFeed, head);
            self.skip_on(false);
            return (used, Split::Fault(fault));
        }
        if self.partial.len().saturating_add(used) > COMMAND_BYTES_MAX {
            let fault = self.fault(CommandFault::LineTooLong, head);
            return (used, Split::Fault(fault));
        }
        if self.partial.is_empty() {
            return (
                used,
                Split::Line(Cow::Borrowed(head.get(..head.len().saturating_sub(1)).unwrap_or_default())),
            );
        }
        let mut line = std::mem::take(&mut self.partial);
        line.extend_from_slice(head);
        line.truncate(line.len().saturating_sub(1));
        (used, Split::Line(Cow::Owned(line)))
    }

    fn keep(&mut self, rest: &[u8]) -> (usize, Split<'static>) {
        if self.partial.len().saturating_add(rest.len()) >= COMMAND_BYTES_MAX {
            let fault = self.fault(CommandFault::LineTooLong, rest);
            self.skip_on(rest.last() == Some(&b'\r'));
            return (rest.len(), Split::Fault(fault));
        }
        self.partial.extend_from_slice(rest);
        (rest.len(), Split::More)
    }

    /// The fault for a line that ends with `last`; nothing of the line is kept.
    fn fault(&mut self, fault: CommandFault, last: &[u8]) -> CommandFault {
        let mut begins = std::mem::take(&mut self.partial);
        begins.extend_from_slice(last.get(..4).unwrap_or(last));
        fault.of_line(&begins)
    }

    fn skip_on(&mut self, after_cr: bool) {
        self.skipping = true;
        self.after_cr = after_cr;
    }

    /// Skips past the next CRLF.
    fn skip(&mut self, input: &[u8]) -> usize {
        for at in memchr::memchr_iter(b'\n', input) {
            let after_cr = match at.checked_sub(1) {
                Some(before) => input.get(before) == Some(&b'\r'),
                None => self.after_cr,
            };
            if after_cr {
                self.skipping = false;
                return at.saturating_add(1);
            }
        }
        if let Some(last) = input.last() {
            self.after_cr = *last == b'\r';
        }
        input.len()
    }
}

/// Octets of a command line, including CRLF: RFC 5321 §4.5.3.1.4 requires 512, and extensions add to it
/// (SIZE 26, BODY 17, SMTPUTF8 10, RET and ENVID 115, NOTIFY 28, ORCPT 507, AUTH= 500).
pub const COMMAND_BYTES_MAX: usize = 2_048;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pieces: &[&[u8]]) -> String {
        let mut splitter = LineSplitter::default();
        let mut told = Vec::new();
        for piece in pieces {
            let mut at = 0;
            while at < piece.len() {
                let (used, split) = splitter.next(&piece[at..]);
                at += used;
                match split {
                    Split::More => {}
                    Split::Line(line) => told.push(String::from_utf8_lossy(&line).into_owned()),
                    Split::Fault(fault) => told.push(format!("{}", fault.reply().code)),
                }
            }
        }
        told.join("|")
    }

    /// The result must not depend on how the input is split.
    #[track_caller]
    fn check(input: &[u8], expected: &str) {
        assert_eq!(read(&[input]), expected, "whole");
        for at in 0..=input.len() {
            assert_eq!(read(&[&input[..at], &input[at..]]), expected, "split at {at}");
        }
        let single: Vec<&[u8]> = input.chunks(1).collect();
        assert_eq!(read(&single), expected, "octet by octet");
    }

    #[test]
    fn only_crlf_ends_a_line() {
        check(b"NOOP\r\nQUIT\r\n", "NOOP|QUIT");
        check(b"\r\n", "");
        check(b"NOOP\rX\r\nQUIT\r\n", "NOOP\rX|QUIT");
        check(b"NOOP\nQUIT\r\nRSET\r\n", "500|RSET");
        check(b"\nA\nB\r\r\nRSET\r\n", "500|RSET");
        check(b"NOOP\r", "");
    }

    #[test]
    fn a_line_too_long_is_answered_once_and_skipped() {
        let mut input = vec![b'x'; 5_000];
        input.extend_from_slice(b"\r\nNOOP\r\n");
        check(&input, "500|NOOP");
        let mut fits = vec![b'x'; COMMAND_BYTES_MAX - 2];
        fits.extend_from_slice(b"\r\nNOOP\r\n");
        assert!(read(&[&fits]).ends_with("x|NOOP"));
        let mut over = vec![b'x'; COMMAND_BYTES_MAX - 1];
        over.extend_from_slice(b"\r\nNOOP\r\n");
        check(&over, "500|NOOP");
    }
}
