//! Scans the content of a message as it arrives: finds its end and checks its form. It does not
//! interpret the header.

use std::borrow::Cow;

use crate::mail::{Enhanced, QueueId, Reply, UnixMillis};

mod bare;

use bare::Bare;

/// Receives the content of messages.
pub trait ContentSink {
    /// Begins a message, and returns its queue ID and time. `declared` is the announced size in octets.
    fn open(&mut self, declared: u64) -> (QueueId, UnixMillis);

    /// Takes the next octets, in wire form: a line that starts with a dot is dot-stuffed, and no other is. An error is kept, and reported when the message is to be
    /// committed.
    fn write(&mut self, octets: &[u8]);

    /// The message will be refused: the content so far can be deleted.
    fn discard(&mut self);
}

/// The limits of content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContentLimits {
    /// Octets of a message, not counting stuffed dots (RFC 1870 §5).
    pub message_bytes_max: u64,
    /// Octets of the header section.
    pub header_bytes_max: usize,
    /// Octets of a line, including CRLF.
    pub line_bytes_max: usize,
}

/// Why content is refused. The first fault counts, except that [`Self::TooBig`] replaces any other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ContentFault {
    /// A CR or LF that is not part of a CRLF (RFC 5321 §2.3.8).
    #[error("the content has a CR or LF by itself; a line ends in CR LF")]
    BareLineEnd,
    /// The content contains a NUL octet.
    #[error("the content has a NUL octet")]
    Nul,
    /// A line exceeds this many octets.
    #[error("a line of the content is longer than {0} octets")]
    LineLong(usize),
    /// The header section exceeds this many octets.
    #[error("the header section is larger than {0} octets")]
    HeaderLarge(usize),
    /// The message exceeds this many octets.
    #[error("the message is larger than {0} octets")]
    TooBig(u64),
}

/// Reads content up to CRLF.CRLF, the only valid end. Valid content goes to the sink unchanged, one
/// slice per input, but for a dot before a line that was not stuffed: it is not content (RFC 5321 §4.5.2), and whoever
/// reads the header later must not find a name behind it. After a fault the rest is read and discarded, so that the refusal comes when the
/// client expects the reply.
#[derive(Debug)]
pub struct Scanner {
    limits: ContentLimits,
    place: Place,
    /// Octets of the current line so far.
    line: usize,
    /// Octets of the content so far, without stuffed dots.
    octets: u64,
    in_header: bool,
    header: Vec<u8>,
    fault: Option<ContentFault>,
    /// Set if lines may end in a bare LF.
    bare: Option<Bare>,
}

/// Where in a line the next octet is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Start,
    /// After a dot at the start of a line, not passed on yet.
    Dot,
    /// After such a dot and a CR.
    DotCr,
    Middle,
    Cr,
}

/// The result of one input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeedResult {
    /// Octets consumed.
    pub used: usize,
    /// Whether the end of the content was reached.
    pub ended: bool,
}

impl ContentFault {
    /// The reply to the client.
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
    /// Starts before the first octet.
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

    /// Also accepts a bare LF, and adds the missing CR.
    #[must_use]
    pub fn normalizing(mut self) -> Self {
        self.bare = Some(Bare::default());
        self
    }

    /// Consumes input up to the end of the content, if it is there.
    pub fn feed(&mut self, input: &[u8], sink: &mut dyn ContentSink) -> FeedResult {
        match self.bare.take() {
            Some(bare) => self.feed_lines(bare, input, sink),
            None => self.feed_wire(input, sink),
        }
    }

    /// Feeds line by line, so that the number of octets consumed is known when the end is reached.
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
        let mut walk = Walk::default();
        let ended = self.walk(input, &mut walk);
        let withheld = match self.place {
            _ if ended => 3,
            Place::Dot => 1,
            Place::DotCr => 2,
            Place::Start | Place::Middle | Place::Cr => 0,
        };
        let passed = input.get(..walk.at.saturating_sub(withheld)).unwrap_or_default();
        // The dot that ended the previous input, if this input shows that it is a stuffed one.
        let is_stuffed = before == Place::Dot && !passed.is_empty() && walk.lone.first() != Some(&0);
        let dot: &[u8] = if is_stuffed { b"." } else { b"" };
        let passed = walk.without_lone_dots(passed);
        self.count(dot, &passed, &walk);
        match (faulty, self.fault) {
            (false, None) => {
                if !dot.is_empty() {
                    sink.write(dot);
                }
                if !passed.is_empty() {
                    sink.write(&passed);
                }
            }
            (false, Some(_)) => sink.discard(),
            (true, _) => {}
        }
        FeedResult { used: walk.at, ended }
    }

    /// The fault found in the content, if any.
    #[must_use]
    pub fn fault(&self) -> Option<ContentFault> {
        self.fault
    }

    /// The header section in wire form, including the blank line.
    #[must_use]
    pub fn header(&self) -> &[u8] {
        &self.header
    }

    /// Walks over the input; returns whether the end was reached.
    fn walk(&mut self, input: &[u8], walk: &mut Walk) -> bool {
        while let Some(rest) = input.get(walk.at..)
            && let Some(byte) = rest.first()
        {
            match (self.place, byte) {
                (Place::Start, b'.') => self.step(Place::Dot, walk),
                (Place::Start, _) => self.place = Place::Middle,
                (Place::Dot, b'\r') => self.step(Place::DotCr, walk),
                (Place::Dot, octet) => self.leave_dot(*octet, walk),
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

    /// More follows a dot at the start of a line, so the dot is not content and does not count (RFC 5321 §4.5.2,
    /// §4.5.3.1.6). Before another dot it is how that one is written.
    fn leave_dot(&mut self, octet: u8, walk: &mut Walk) {
        if octet == b'.' {
            walk.stuffed = walk.stuffed.saturating_add(1);
        } else {
            walk.lone.push(walk.at);
        }
        self.line = 0;
        self.place = Place::Middle;
    }

    fn step(&mut self, place: Place, walk: &mut Walk) {
        self.place = place;
        self.line = self.line.saturating_add(1);
        walk.at = walk.at.saturating_add(1);
    }

    /// Moves on to the next octet that could be invalid or end the line.
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
        // One more for the LF that must follow a CR.
        let waits = usize::from(self.place == Place::Cr);
        if self.line.saturating_add(waits) > self.limits.line_bytes_max {
            self.note(ContentFault::LineLong(self.limits.line_bytes_max));
        }
    }

    fn end_line(&mut self, walk: &mut Walk) {
        self.step(Place::Start, walk);
        if self.in_header && self.line == 2 {
            self.in_header = false;
            walk.header_to = Some(walk.at.saturating_sub(walk.removed()));
        }
        self.line = 0;
    }

    fn count(&mut self, dot: &[u8], passed: &[u8], walk: &Walk) {
        let octets = dot.len().saturating_add(passed.len()).saturating_sub(walk.stuffed);
        self.octets = self.octets.saturating_add(u64::try_from(octets).unwrap_or(u64::MAX));
        if self.octets > self.limits.message_bytes_max {
            // This fault takes precedence over others: the client can fix it by sending less.
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

#[derive(Default)]
struct Walk {
    /// Index of the next octet.
    at: usize,
    /// Where the header section ended, if within this input, in what is passed on of it.
    header_to: Option<usize>,
    /// Stuffed dots seen in this input.
    stuffed: usize,
    /// Indices of what follows dots that stand before anything else; 0: the dot ended the previous input.
    lone: Vec<usize>,
}

impl Walk {
    /// Octets of this input so far that are not passed on.
    fn removed(&self) -> usize {
        self.lone.len().saturating_sub(usize::from(self.lone.first() == Some(&0)))
    }

    fn without_lone_dots<'a>(&self, passed: &'a [u8]) -> Cow<'a, [u8]> {
        if self.removed() == 0 {
            return Cow::Borrowed(passed);
        }
        let mut kept = Vec::with_capacity(passed.len());
        let mut from = 0;
        for behind in &self.lone {
            kept.extend_from_slice(passed.get(from..behind.saturating_sub(1)).unwrap_or_default());
            from = *behind;
        }
        kept.extend_from_slice(passed.get(from..).unwrap_or_default());
        Cow::Owned(kept)
    }
}

#[cfg(test)]
mod tests;
