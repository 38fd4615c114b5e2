//! The content of a message, octet by octet as it comes: where it ends, and whether it is in order.

use crate::mail::{Enhanced, QueueId, Reply, UnixMillis};

mod bare;

use bare::Bare;

/// Where content goes.
pub trait ContentSink {
    /// A message's content begins: its name, and the time. `declared` octets are announced.
    fn open(&mut self, declared: u64) -> (QueueId, UnixMillis);

    /// The next octets, in wire form. What goes wrong is remembered, and told when the message is
    /// to be taken over.
    fn write(&mut self, octets: &[u8]);

    /// The message will be refused: what came so far can go.
    fn discard(&mut self);
}

/// What content may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContentLimits {
    /// Octets, without the dots of transparency (RFC 1870 §5).
    pub message_bytes_max: u64,
    /// Octets of the header section.
    pub header_bytes_max: usize,
    /// Octets of a line, CRLF included.
    pub line_bytes_max: usize,
}

/// Why content is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ContentFault {
    /// A CR or LF that is no part of a CRLF (RFC 5321 §2.3.8).
    #[error("the content has a CR or LF by itself; a line ends in CR LF")]
    BareLineEnd,
    /// An octet of value 0.
    #[error("the content has a NUL octet")]
    Nul,
    /// A line over the limit.
    #[error("a line of the content is longer than {0} octets")]
    LineLong(usize),
    /// A header section over the limit.
    #[error("the header section is larger than {0} octets")]
    HeaderLarge(usize),
    /// More octets than a message may have.
    #[error("the message is larger than {0} octets")]
    TooBig(u64),
}

/// Reads content up to CRLF.CRLF, the only end there is. What is in order goes to the sink as it
/// came, one slice for each input; after a fault the rest is read and thrown away, so that the
/// refusal comes where the client waits for it.
#[derive(Debug)]
pub struct Scanner {
    limits: ContentLimits,
    place: Place,
    /// Octets of the line so far.
    line: usize,
    /// Octets of the content so far, unstuffed.
    octets: u64,
    in_header: bool,
    header: Vec<u8>,
    fault: Option<ContentFault>,
    /// Lines may end in a LF alone.
    bare: Option<Bare>,
}

/// Where in a line the next octet stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Start,
    /// Behind a dot at the start; the dot is not passed on yet.
    Dot,
    /// Behind that and a CR.
    DotCr,
    Middle,
    Cr,
}

/// What one input came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeedResult {
    /// Octets taken.
    pub used: usize,
    /// Whether the end was among them.
    pub ended: bool,
}

impl ContentFault {
    /// What the client is told.
    #[must_use]
    pub fn reply(&self) -> Reply {
        let (code, enhanced) = match self {
            Self::BareLineEnd => (550, Enhanced(5, 6, 11)),
            Self::TooBig(_) => (552, Enhanced(5, 3, 4)),
            Self::Nul | Self::LineLong(_) | Self::HeaderLarge(_) => (554, Enhanced(5, 6, 0)),
        };
        Reply::new(code, enhanced, self.to_string())
    }
}

impl Scanner {
    /// Stands before the first octet.
    #[must_use]
    pub fn new(limits: ContentLimits) -> Self {
        Self {
            limits,
            // RFC 5321 §4.1.1.4: the CRLF of DATA counts, so ".CRLF" alone is empty content.
            place: Place::Start,
            line: 0,
            octets: 0,
            in_header: true,
            header: Vec::new(),
            fault: None,
            bare: None,
        }
    }

    /// Gives each LF its CR on the way.
    #[must_use]
    pub fn normalizing(mut self) -> Self {
        self.bare = Some(Bare::default());
        self
    }

    /// Takes input up to the end of the content, if it is there.
    pub fn feed(&mut self, input: &[u8], sink: &mut dyn ContentSink) -> FeedResult {
        match self.bare.take() {
            Some(bare) => self.feed_lines(bare, input, sink),
            None => self.feed_wire(input, sink),
        }
    }

    /// Feeds line by line, so that it is known how much was taken when the end comes.
    fn feed_lines(&mut self, mut bare: Bare, input: &[u8], sink: &mut dyn ContentSink) -> FeedResult {
        let (mut used, mut ended) = (0_usize, false);
        while let Some(rest) = input.get(used..).filter(|rest| !rest.is_empty() && !ended) {
            let end = memchr::memchr(b'\n', rest).map_or(rest.len(), |at| at.saturating_add(1));
            let wire = bare.wire(rest.get(..end).unwrap_or(rest));
            used = used.saturating_add(end);
            ended = self.feed_wire(&wire, sink).ended;
        }
        self.bare = Some(bare);
        FeedResult { used, ended }
    }

    fn feed_wire(&mut self, input: &[u8], sink: &mut dyn ContentSink) -> FeedResult {
        let before = self.place;
        let faulty = self.fault.is_some();
        let mut walk = Walk { at: 0, header_to: None, dots: 0 };
        let ended = self.walk(input, &mut walk);
        let withheld = match self.place {
            _ if ended => 3,
            Place::Dot => 1,
            Place::DotCr => 2,
            Place::Start | Place::Middle | Place::Cr => 0,
        };
        let passed = input.get(..walk.at.saturating_sub(withheld)).unwrap_or_default();
        // A dot that the last input ended with, if this one shows that it doesn't end the content.
        let dot: &[u8] = if before == Place::Dot && !passed.is_empty() { b"." } else { b"" };
        self.count(dot, passed, &walk);
        match (faulty, self.fault) {
            (false, None) => {
                if !dot.is_empty() {
                    sink.write(dot);
                }
                if !passed.is_empty() {
                    sink.write(passed);
                }
            }
            (false, Some(_)) => sink.discard(),
            (true, _) => {}
        }
        FeedResult { used: walk.at, ended }
    }

    /// What is wrong with the content, if anything is.
    #[must_use]
    pub fn fault(&self) -> Option<ContentFault> {
        self.fault
    }

    /// The header section, in wire form, blank line included.
    #[must_use]
    pub fn header(&self) -> &[u8] {
        &self.header
    }

    /// Whether the end was reached.
    fn walk(&mut self, input: &[u8], walk: &mut Walk) -> bool {
        while let Some(rest) = input.get(walk.at..)
            && let Some(byte) = rest.first()
        {
            match (self.place, byte) {
                (Place::Start, b'.') => self.step(Place::Dot, walk),
                (Place::Start, _) => self.place = Place::Middle,
                (Place::Dot, b'\r') => self.step(Place::DotCr, walk),
                (Place::Dot, _) => {
                    // RFC 5321 §4.5.2: a dot at the start of a line that goes on is no content.
                    walk.dots = walk.dots.saturating_add(1);
                    self.place = Place::Middle;
                }
                (Place::DotCr, b'\n') => {
                    walk.at = walk.at.saturating_add(1);
                    return true;
                }
                (Place::Cr, b'\n') => self.end_line(walk),
                (Place::DotCr | Place::Cr, _) => {
                    self.note(ContentFault::BareLineEnd);
                    self.place = Place::Middle;
                }
                (Place::Middle, _) => self.in_line(rest, walk),
            }
        }
        false
    }

    fn step(&mut self, place: Place, walk: &mut Walk) {
        self.place = place;
        self.line = self.line.saturating_add(1);
        walk.at = walk.at.saturating_add(1);
    }

    /// Goes on to the next octet that could be wrong, or end the line.
    fn in_line(&mut self, rest: &[u8], walk: &mut Walk) {
        let found = memchr::memchr3(b'\r', b'\n', 0, rest);
        let skipped = found.unwrap_or(rest.len());
        walk.at = walk.at.saturating_add(skipped);
        self.line = self.line.saturating_add(skipped);
        match found.and_then(|at| rest.get(at)) {
            Some(b'\r') => self.step(Place::Cr, walk),
            Some(b'\n') => {
                self.note(ContentFault::BareLineEnd);
                self.step(Place::Middle, walk);
            }
            Some(_) => {
                self.note(ContentFault::Nul);
                self.step(Place::Middle, walk);
            }
            None => {}
        }
        // One more is the LF that a CR waits for.
        let waits = usize::from(self.place == Place::Cr);
        if self.line.saturating_add(waits) > self.limits.line_bytes_max {
            self.note(ContentFault::LineLong(self.limits.line_bytes_max));
        }
    }

    fn end_line(&mut self, walk: &mut Walk) {
        self.step(Place::Start, walk);
        if self.in_header && self.line == 2 {
            self.in_header = false;
            walk.header_to = Some(walk.at);
        }
        self.line = 0;
    }

    fn count(&mut self, dot: &[u8], passed: &[u8], walk: &Walk) {
        let octets = dot.len().saturating_add(passed.len()).saturating_sub(walk.dots);
        self.octets = self.octets.saturating_add(u64::try_from(octets).unwrap_or(u64::MAX));
        if self.octets > self.limits.message_bytes_max {
            // It is told whatever else is wrong: sending less is what the client can do.
            self.fault = Some(ContentFault::TooBig(self.limits.message_bytes_max));
        }
        if self.fault.is_some() {
            self.header = Vec::new();
            return;
        }
        let header = match walk.header_to {
            Some(to) => passed.get(..to).unwrap_or(passed),
            None if self.in_header => passed,
            None => return,
        };
        self.header.extend_from_slice(dot);
        self.header.extend_from_slice(header);
        if self.header.len() > self.limits.header_bytes_max {
            self.note(ContentFault::HeaderLarge(self.limits.header_bytes_max));
            self.header = Vec::new();
        }
    }

    fn note(&mut self, fault: ContentFault) {
        self.fault.get_or_insert(fault);
    }
}

struct Walk {
    /// The next octet.
    at: usize,
    /// Where the header section ended, if it did in this input.
    header_to: Option<usize>,
    /// Dots of transparency.
    dots: usize,
}

#[cfg(test)]
mod tests;
