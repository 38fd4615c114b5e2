//! Reads a server's replies of any number of lines (RFC 5321 §4.2), and the keywords of an EHLO reply.
//! It does not decide what to send next.

use super::extension::XOORG;
use super::hidden::HiddenWords;
use crate::connector::Mechanism;
use crate::mail::{Enhanced, Extension, Reply, unmoved};

/// Octets kept of one reply line; the rest of a longer line is dropped. RFC 5321 §4.5.3.1.5 allows 512,
/// but many hosts explain refusals at length.
const LINE_BYTES_KEPT: usize = 4096;
/// Octets of a whole reply, above which the peer is assumed not to speak SMTP.
const REPLY_BYTES_MAX: usize = 65_536;
/// Characters that are shown of a reply whose lines have different codes.
const MIXED_CHARS_KEPT: usize = 2000;

/// Assembles replies from octets as they arrive.
#[derive(Debug, Default)]
pub struct AnswerReader {
    line: Vec<u8>,
    octets: usize,
    begun: Option<Reply>,
    /// The lines of a reply that has different codes: it is no reply, and what it says is kept.
    mixed: Option<String>,
    /// What is left out of every line.
    hidden: HiddenWords,
}

/// Why the octets of a server are not a reply.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnswerFault {
    /// A line does not begin with a reply code.
    #[error("the peer said something that is no SMTP reply: {0:?}")]
    NotAReply(String),
    /// The lines of one reply have different codes (RFC 5321 §4.2.1 forbids it).
    #[error("the lines of one reply have different codes: {0}")]
    MixedCodes(String),
    /// The reply does not end within 64 KiB.
    #[error("the peer's reply is longer than 64 KiB")]
    TooLong,
}

/// What a server offers in its EHLO reply, limited to what we use. Other keywords are ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Offers {
    /// STARTTLS is offered (RFC 3207).
    pub starttls: bool,
    /// PIPELINING is offered (RFC 2920).
    pub pipelining: bool,
    /// 8BITMIME is offered (RFC 6152).
    pub eight_bit_mime: bool,
    /// SIZE (RFC 1870) and its limit in octets; 0 means that no limit is known.
    pub size: Option<u64>,
    /// CHUNKING is offered (RFC 3030 §2).
    pub chunking: bool,
    /// BINARYMIME is offered (RFC 3030 §3).
    pub binary_mime: bool,
    /// SMTPUTF8 is offered (RFC 6531).
    pub utf8: bool,
    /// DSN is offered (RFC 3461).
    pub dsn: bool,
    /// XOORG is offered, by which Exchange passes on the organisation that a message comes from.
    pub originator: bool,
    /// LIMITS RCPTMAX: recipients of one transaction (RFC 9422 §4).
    pub recipients_max: Option<usize>,
    /// LIMITS MAILMAX: transactions of one session (RFC 9422 §4).
    pub messages_max: Option<u32>,
    /// LIMITS RCPTDOMAINMAX: recipient domains of one transaction (RFC 9422 §4).
    pub domains_max: Option<usize>,
    /// AUTH and the mechanisms offered (RFC 4954 §3).
    pub auth: AuthOffers,
}

/// The SASL mechanisms a server offers, of those we support.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AuthOffers {
    /// PLAIN is offered (RFC 4616).
    pub plain: bool,
    /// LOGIN is offered; it has no RFC.
    pub login: bool,
    /// XOAUTH2 is offered; it takes an OAuth 2.0 bearer token.
    pub xoauth2: bool,
}

impl AuthOffers {
    /// Whether this mechanism is offered.
    #[must_use]
    pub fn takes(self, mechanism: Mechanism) -> bool {
        match mechanism {
            Mechanism::Plain => self.plain,
            Mechanism::Login => self.login,
            Mechanism::XOAuth2 => self.xoauth2,
        }
    }
}

impl AnswerReader {
    /// Takes octets off the front of `input` until one reply is complete, or none are left.
    ///
    /// # Errors
    /// An [`AnswerFault`]; nothing this peer sends after it can be interpreted.
    pub fn take(&mut self, input: &mut &[u8]) -> Result<Option<Reply>, AnswerFault> {
        while let Some(end) = memchr::memchr(b'\n', input) {
            let (line, rest) = input.split_at_checked(end.saturating_add(1)).unwrap_or((input, &[]));
            *input = rest;
            self.gather(line)?;
            if let Some(reply) = self.line_ended()? {
                return Ok(Some(reply));
            }
        }
        let rest = std::mem::take(input);
        self.gather(rest)?;
        Ok(None)
    }

    /// From now on these words are left out of what the server says.
    pub fn hide(&mut self, words: HiddenWords) {
        self.hidden = words;
    }

    /// Whether a reply is incomplete.
    #[must_use]
    pub fn is_within_reply(&self) -> bool {
        self.octets > 0
    }

    fn gather(&mut self, octets: &[u8]) -> Result<(), AnswerFault> {
        self.octets = self.octets.saturating_add(octets.len());
        if self.octets > REPLY_BYTES_MAX {
            return Err(AnswerFault::TooLong);
        }
        let room = LINE_BYTES_KEPT.saturating_sub(self.line.len()).min(octets.len());
        self.line.extend_from_slice(octets.get(..room).unwrap_or_default());
        Ok(())
    }

    fn line_ended(&mut self) -> Result<Option<Reply>, AnswerFault> {
        let line = clean(&self.line);
        let line = self.hidden.masked(&line);
        self.line.clear();
        let (code, last, text) =
            part(&line).ok_or_else(|| AnswerFault::NotAReply(line.chars().take(80).collect()))?;
        let (enhanced, text) = match Enhanced::split(text) {
            // RFC 2034 §4: the class is the first digit of the reply code; anything else only looks
            // like an enhanced code.
            Some((enhanced, rest)) if u16::from(enhanced.0) == code / 100 => (Some(enhanced), rest),
            Some(_) | None => (None, text),
        };
        if self.mixed.is_none() {
            self.mixed = self.begun.take_if(|begun| begun.code != code).map(|begun| begun.to_string());
        }
        if let Some(mixed) = &mut self.mixed {
            let room = MIXED_CHARS_KEPT.saturating_sub(mixed.chars().count());
            mixed.extend(" / ".chars().chain(line.chars()).take(room));
            return if last { Err(AnswerFault::MixedCodes(std::mem::take(mixed))) } else { Ok(None) };
        }
        let reply = match self.begun.take() {
            None => Reply { code, enhanced, text: text.to_owned().into() },
            Some(mut begun) => {
                let all = begun.text.to_mut();
                all.push('\n');
                all.push_str(text);
                begun.enhanced = begun.enhanced.or(enhanced);
                begun
            }
        };
        if last {
            self.octets = 0;
            return Ok(Some(reply));
        }
        self.begun = Some(reply);
        Ok(None)
    }
}

/// A line without its end, as printable text: control characters would corrupt a log.
fn clean(line: &[u8]) -> String {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    unmoved(&String::from_utf8_lossy(line), '?').collect()
}

/// Splits a line into reply code, whether it is the last line, and text.
fn part(line: &str) -> Option<(u16, bool, &str)> {
    let (code, rest) = line.split_at_checked(3)?;
    if !code.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let code = code.parse().ok().filter(|code| (200..600).contains(code))?;
    // RFC 5321 §4.2: a reply code without text must be understood too.
    match rest.chars().next() {
        None => Some((code, true, "")),
        Some(' ') => Some((code, true, rest.get(1..).unwrap_or_default())),
        Some('-') => Some((code, false, rest.get(1..).unwrap_or_default())),
        Some(_) => None,
    }
}

impl Offers {
    /// Reads the keywords of a positive EHLO reply; its first line is the server's name. Extensions in
    /// `ignored` are treated as not offered.
    #[must_use]
    pub fn read(reply: &Reply, ignored: &[Extension]) -> Self {
        let mut offers = Self::default();
        for line in reply.text.split('\n').skip(1) {
            let mut words = line.split_ascii_whitespace();
            let keyword = words.next().unwrap_or_default();
            let extension = Extension::ALL.iter().find(|(known, _)| keyword.eq_ignore_ascii_case(known));
            if let Some((_, extension)) = extension {
                if !ignored.contains(extension) {
                    offers.add(*extension, words);
                }
            } else if keyword.eq_ignore_ascii_case(XOORG) {
                offers.originator = true;
            } else if keyword.eq_ignore_ascii_case("STARTTLS") {
                offers.starttls = true;
            } else if keyword.eq_ignore_ascii_case("SIZE") {
                offers.size = Some(words.next().and_then(|n| n.parse().ok()).unwrap_or(0));
            } else if keyword.eq_ignore_ascii_case("AUTH") {
                let said: Vec<&str> = words.collect();
                let takes = |m: Mechanism| said.iter().any(|word| word.eq_ignore_ascii_case(m.word()));
                offers.auth = AuthOffers {
                    plain: takes(Mechanism::Plain),
                    login: takes(Mechanism::Login),
                    xoauth2: takes(Mechanism::XOAuth2),
                };
            }
        }
        offers
    }

    fn add<'a>(&mut self, extension: Extension, words: impl Iterator<Item = &'a str>) {
        match extension {
            Extension::Pipelining => self.pipelining = true,
            Extension::EightBitMime => self.eight_bit_mime = true,
            Extension::Chunking => self.chunking = true,
            Extension::BinaryMime => self.binary_mime = true,
            Extension::SmtpUtf8 => self.utf8 = true,
            Extension::Dsn => self.dsn = true,
            Extension::Limits => {
                for (name, value) in words.filter_map(|word| word.split_once('=')) {
                    // A limit of 0 would allow nothing, and RFC 9422 §4 does not permit it.
                    let limit = || value.parse::<u32>().ok().filter(|limit| *limit > 0);
                    let count = || limit().and_then(|limit| usize::try_from(limit).ok());
                    if name.eq_ignore_ascii_case("RCPTMAX") {
                        self.recipients_max = count();
                    } else if name.eq_ignore_ascii_case("MAILMAX") {
                        self.messages_max = limit();
                    } else if name.eq_ignore_ascii_case("RCPTDOMAINMAX") {
                        self.domains_max = count();
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8], step: usize) -> String {
        let mut reader = AnswerReader::default();
        let mut said = Vec::new();
        for chunk in text.chunks(step) {
            let mut input = chunk;
            while !input.is_empty() {
                match reader.take(&mut input) {
                    Ok(Some(reply)) => said.push(reply.to_string()),
                    Ok(None) => {}
                    Err(fault) => return format!("fault: {fault}"),
                }
            }
        }
        if reader.is_within_reply() {
            said.push("...".to_owned());
        }
        said.join(" | ")
    }

    #[track_caller]
    fn check(text: &str, expected: &str) {
        for step in [1, 2, 7, text.len()] {
            assert_eq!(read(text.as_bytes(), step), expected, "{text:?} in steps of {step}");
        }
    }

    #[test]
    fn replies_are_put_together_however_they_arrive() {
        check("250 2.1.0 fine\r\n", "250 2.1.0 fine");
        check("250-one\r\n250-two\r\n250 three\r\n", "250 one / two / three");
        check("550-5.7.1 no\r\n550 5.7.1 never\r\n", "550 5.7.1 no / never");
        check("250 a\r\n354 b\r\n", "250 a | 354 b");
        check("250\r\n", "250");
        check("250 bare\n", "250 bare");
        check("250-first\r\n", "...");
        check("250 half", "...");
    }

    #[test]
    fn an_enhanced_code_counts_only_in_its_class() {
        check("550 4.7.1 odd\r\n", "550 4.7.1 odd");
        let mut reader = AnswerReader::default();
        let reply = reader.take(&mut &b"550 4.7.1 odd\r\n"[..]).expect("a reply").expect("whole");
        assert_eq!(reply.enhanced, None);
    }

    #[test]
    fn what_is_no_reply_is_a_fault() {
        let mixed = "fault: the lines of one reply have different codes: ";
        check("250-a\r\n550 b\r\n", &format!("{mixed}250 a / 550 b"));
        // What it says comes last, and is what somebody has to read.
        check(
            "220-mx\r\n521-5.7.1 no\r\n521 5.7.1 listed\r\n",
            &format!("{mixed}220 mx / 521-5.7.1 no / 521 5.7.1 listed"),
        );
        check("220-mx\r\n521-5.7.1 no\r\n220 x\r\n", &format!("{mixed}220 mx / 521-5.7.1 no / 220 x"));
        check("HTTP/1.1 400\r\n", "fault: the peer said something that is no SMTP reply: \"HTTP/1.1 400\"");
        check("25x a\r\n", "fault: the peer said something that is no SMTP reply: \"25x a\"");
        check("099 a\r\n", "fault: the peer said something that is no SMTP reply: \"099 a\"");
        check("\r\n", "fault: the peer said something that is no SMTP reply: \"\"");
        check("2500 a\r\n", "fault: the peer said something that is no SMTP reply: \"2500 a\"");
    }

    #[test]
    fn a_reply_without_end_is_cut_off() {
        let endless = "250-x\r\n".repeat(10_000);
        assert_eq!(read(endless.as_bytes(), 1024), "fault: the peer's reply is longer than 64 KiB");
        assert_eq!(read(&[b'2'; 70_000], 1024), "fault: the peer's reply is longer than 64 KiB");
        let long = format!("250 {}\r\n", "x".repeat(9000));
        assert_eq!(read(long.as_bytes(), 512).len(), LINE_BYTES_KEPT);
    }

    #[track_caller]
    fn check_offers(text: &'static str, expected: Offers) {
        assert_eq!(Offers::read(&Reply::bare(250, text), &[]), expected, "{text:?}");
    }

    #[test]
    fn keywords_are_read_in_any_case() {
        let none = Offers::default();
        check_offers("STARTTLS", none);
        check_offers(
            "host\nstarttls\nPipelining\n8BitMime",
            Offers { starttls: true, pipelining: true, eight_bit_mime: true, ..none },
        );
        check_offers("host\nSIZE 1000\nX-OTHER", Offers { size: Some(1000), ..none });
        check_offers(
            "host\nCHUNKING\nDSN\nSMTPUTF8",
            Offers { chunking: true, dsn: true, utf8: true, ..none },
        );
        let auth = AuthOffers { plain: true, xoauth2: true, login: false };
        check_offers("host\nauth plain XOAUTH2 NTLM", Offers { auth, ..none });
        let limits = Offers { recipients_max: Some(20), messages_max: Some(3), domains_max: Some(1), ..none };
        check_offers("host\nLIMITS rcptmax=20 MAILMAX=3 RCPTDOMAINMAX=1 X=2", limits);
        check_offers("host\nLIMITS RCPTMAX=0 MAILMAX=x", none);
        let reply = Reply::bare(250, "host\nDSN\nPIPELINING");
        let ignored = Offers::read(&reply, &[Extension::Dsn]);
        assert_eq!(ignored, Offers { pipelining: true, ..none });
        check_offers("host\nSIZE", Offers { size: Some(0), ..none });
        check_offers("host\nSTARTTLSX", none);
    }
}
