//! Content sent in chunks of a known length (RFC 3030). Text is dot-stuffed on the way to the sink;
//! binary content goes there unchanged.

use super::data::{ContentFault, ContentLimits, ContentSink};

/// Scans the chunks of one message.
#[derive(Debug)]
pub struct ChunkScanner {
    limits: ContentLimits,
    binary: bool,
    /// Octets of the current line so far.
    line: usize,
    after_cr: bool,
    octets: u64,
    in_header: bool,
    header: Vec<u8>,
    fault: Option<ContentFault>,
}

impl ChunkScanner {
    /// Starts before the first octet. `binary`: the content was declared as BINARYMIME.
    #[must_use]
    pub fn new(limits: ContentLimits, binary: bool) -> Self {
        Self {
            limits,
            binary,
            line: 0,
            after_cr: false,
            octets: 0,
            in_header: true,
            header: Vec::new(),
            fault: None,
        }
    }

    /// Takes all of `input`, which must be content only.
    pub fn feed(&mut self, input: &[u8], sink: &mut dyn ContentSink) {
        let faulty = self.fault.is_some();
        self.octets = self.octets.saturating_add(u64::try_from(input.len()).unwrap_or(u64::MAX));
        if self.octets > self.limits.message_bytes_max {
            // This fault takes precedence over others: the client can fix it by sending less.
            self.fault = Some(ContentFault::TooBig(self.limits.message_bytes_max));
        }
        if faulty {
            return;
        }
        let mut rest = input;
        while !rest.is_empty() && self.fault.is_none() {
            if self.binary && !self.in_header {
                return sink.write(rest);
            }
            let end = memchr::memchr(b'\n', rest).map_or(rest.len(), |at| at.saturating_add(1));
            let (piece, after) = rest.split_at_checked(end).unwrap_or((rest, &[]));
            self.take(piece, sink);
            rest = after;
        }
        if self.fault.is_some() {
            self.header = Vec::new();
            sink.discard();
        }
    }

    /// The last chunk has arrived. If the last line of text has no CRLF, it is added.
    pub fn finish(&mut self, sink: &mut dyn ContentSink) {
        if self.fault.is_some() || self.binary {
            return;
        }
        if self.after_cr {
            self.fault = Some(ContentFault::BareLineEnd);
            return sink.discard();
        }
        if self.line > 0 {
            sink.write(b"\r\n");
        }
    }

    /// The fault that the content would have with this many octets more, whatever they are.
    #[must_use]
    pub fn fault_with(&self, octets: u64) -> Option<ContentFault> {
        let limit = self.limits.message_bytes_max;
        (self.octets.saturating_add(octets) > limit).then_some(ContentFault::TooBig(limit))
    }

    /// The fault found in the content, if any.
    #[must_use]
    pub fn fault(&self) -> Option<ContentFault> {
        self.fault
    }

    /// The header section, including the blank line.
    #[must_use]
    pub fn header(&self) -> &[u8] {
        &self.header
    }

    /// Takes a line, or as much of it as has arrived.
    fn take(&mut self, piece: &[u8], sink: &mut dyn ContentSink) {
        let ended = piece.last() == Some(&b'\n');
        let text = if ended { piece.get(..piece.len().saturating_sub(1)).unwrap_or_default() } else { piece };
        // The header section consists of lines even if the body is binary, because reports return it.
        if !self.binary || self.in_header {
            self.judge(text, ended);
        }
        let dot = !self.binary && self.line == 0 && piece.first() == Some(&b'.');
        self.line = self.line.saturating_add(piece.len());
        if !self.binary && self.line > self.limits.line_bytes_max {
            self.note(ContentFault::LineLong(self.limits.line_bytes_max));
        }
        if self.in_header {
            self.header.extend_from_slice(piece);
            if self.header.len() > self.limits.header_bytes_max {
                self.note(ContentFault::HeaderLarge(self.limits.header_bytes_max));
            }
        }
        self.after_cr = piece.last() == Some(&b'\r');
        if ended {
            self.in_header &= self.line != 2;
            self.line = 0;
        }
        if self.fault.is_none() {
            if dot {
                sink.write(b".");
            }
            sink.write(piece);
        }
    }

    /// CR may only appear before LF, LF only after CR, and NUL not at all.
    fn judge(&mut self, text: &[u8], ended: bool) {
        let cr = memchr::memchr(b'\r', text);
        let in_order = match (ended, cr) {
            (true, None) => text.is_empty() && self.after_cr,
            (true, Some(at)) => at.saturating_add(1) == text.len() && !self.after_cr,
            (false, None) => !self.after_cr,
            (false, Some(at)) => at.saturating_add(1) == text.len() && !self.after_cr,
        };
        if !in_order {
            self.note(ContentFault::BareLineEnd);
        }
        if memchr::memchr(0, text).is_some() {
            self.note(ContentFault::Nul);
        }
    }

    fn note(&mut self, fault: ContentFault) {
        self.fault.get_or_insert(fault);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::{QueueId, UnixMillis};

    #[derive(Default)]
    struct Sink(Vec<u8>, bool);

    impl ContentSink for Sink {
        fn open(&mut self, _declared: u64) -> (QueueId, UnixMillis) {
            (QueueId::first_of(0), UnixMillis(0))
        }

        fn write(&mut self, octets: &[u8]) {
            self.0.extend_from_slice(octets);
        }

        fn discard(&mut self) {
            self.1 = true;
        }
    }

    const LIMITS: ContentLimits =
        ContentLimits { message_bytes_max: 100, header_bytes_max: 30, line_bytes_max: 20 };

    fn read(input: &[u8], step: usize, binary: bool) -> String {
        let (mut scanner, mut sink) = (ChunkScanner::new(LIMITS, binary), Sink::default());
        for piece in input.chunks(step) {
            scanner.feed(piece, &mut sink);
        }
        scanner.finish(&mut sink);
        assert_eq!(sink.1, scanner.fault().is_some(), "what is refused is discarded");
        match scanner.fault() {
            Some(fault) => fault.reply().code.to_string() + " " + &fault.to_string(),
            None => format!(
                "{} / {}",
                String::from_utf8_lossy(&sink.0).escape_debug(),
                String::from_utf8_lossy(scanner.header()).escape_debug()
            ),
        }
    }

    #[track_caller]
    fn check(input: &str, expected: &str) {
        for step in [1, 2, 3, 7, 1000] {
            assert_eq!(read(input.as_bytes(), step, false), expected, "{input:?} in pieces of {step}");
        }
    }

    #[track_caller]
    fn check_binary(input: &str, expected: &str) {
        for step in [1, 2, 3, 7, 1000] {
            assert_eq!(read(input.as_bytes(), step, true), expected, "{input:?} in pieces of {step}");
        }
    }

    #[test]
    fn text_becomes_wire_form() {
        check("A: b\r\n\r\nc\r\n", r"A: b\r\n\r\nc\r\n / A: b\r\n\r\n");
        check("\r\n.\r\n..x\r\n", r"\r\n..\r\n...x\r\n / \r\n");
        check("A: b\r\n\r\n.", r"A: b\r\n\r\n..\r\n / A: b\r\n\r\n");
        check("", " / ");
    }

    #[test]
    fn a_size_is_judged_before_its_octets_come() {
        let (mut scanner, mut sink) = (ChunkScanner::new(LIMITS, false), Sink::default());
        let fits = |scanner: &ChunkScanner, octets| scanner.fault_with(octets).is_none();
        assert!(fits(&scanner, 100) && !fits(&scanner, 101) && !fits(&scanner, u64::MAX));
        scanner.feed(b"A: b\r\n", &mut sink);
        assert!(fits(&scanner, 94) && !fits(&scanner, 95) && !fits(&scanner, u64::MAX));
    }

    #[test]
    fn text_that_is_no_lines_is_refused() {
        let bare = "550 the content has a CR or LF by itself; a line ends in CR LF";
        check("a\nb\r\n", bare);
        check("a\rb\r\n", bare);
        check("a\r\r\n", bare);
        check("a\r", bare);
        check("\n", bare);
        check("a\0b\r\n", "554 the content has a NUL octet");
        check("0123456789012345678\r\n", "554 a line of the content is longer than 20 octets");
        check("012345678901234567\r\n0123456789\r\n", "554 the header section is larger than 30 octets");
        check(&format!("\r\n{}", "0123456\r\n".repeat(11)), "552 the message is larger than 100 octets");
    }

    #[test]
    fn the_header_of_binary_content_is_lines() {
        let bare = "550 the content has a CR or LF by itself; a line ends in CR LF";
        check_binary("A: b\nc\r\n\r\n", bare);
        check_binary("A: b\rc\r\n\r\n", bare);
        check_binary("A: \0\r\n\r\n", "554 the content has a NUL octet");
    }

    #[test]
    fn binary_content_passes_as_it_is() {
        check_binary("A: b\r\n\r\n.\n\r\0x", "A: b\\r\\n\\r\\n.\\n\\r\\0x / A: b\\r\\n\\r\\n");
        let big = "552 the message is larger than 100 octets";
        check_binary(&format!("\r\n{}", "0".repeat(99)), big);
    }
}
