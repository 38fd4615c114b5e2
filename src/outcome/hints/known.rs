//! How a known reply is written down: what it is recognised by, and what to do about it. It has no table and looks
//! nothing up.

use std::fmt;

use memchr::memmem;

use crate::mail::Reply;

/// What to do about a peer's reply or a failed handshake. It explains, and decides nothing.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Hint {
    /// A stable word for machines.
    pub token: &'static str,
    /// Who can fix it.
    pub actor: Actor,
    /// One sentence: what to do, and who does it.
    pub advice: &'static str,
}

/// The sentence and the token, as people read it everywhere.
impl fmt::Display for Hint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [{}]", self.advice, self.token)
    }
}

/// Who can fix a trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Actor {
    /// The administrators of this relay, or of the organisation that it belongs to.
    We,
    /// The administrators of the host that answered.
    They,
    /// Either of them: the reply does not say whose setting is wrong.
    Either,
    /// Whoever wrote the message, or the program that did.
    Sender,
    /// The owner of the mailbox.
    Recipient,
    /// Nobody: it passes by itself. Only mail that is tried again has such a hint.
    Nobody,
}

impl Actor {
    /// The actor in a word or two.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::We => "we",
            Self::They => "they",
            Self::Either => "we or they",
            Self::Sender => "the sender",
            Self::Recipient => "the recipient",
            Self::Nobody => "nobody",
        }
    }
}

/// A reply that is known.
#[derive(Debug)]
pub struct KnownReply {
    /// The product or service that sends it.
    pub from: &'static str,
    /// The enhanced status codes it has; `None` if any, or none at all.
    pub codes: Option<CodeRange>,
    /// What its text has, each of these, in lower case. `|` separates alternatives.
    pub marks: &'static [&'static str],
    /// What to do about it.
    pub hint: Hint,
    /// The reply as it is documented or seen.
    pub example: &'static str,
}

/// Enhanced status codes with the same subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CodeRange {
    /// The class; `None`: 4 and 5.
    pub class: Option<u8>,
    /// The subject.
    pub subject: u16,
    /// The lowest and the highest detail.
    pub details: (u16, u16),
}

/// One code, as a failure or a deferral.
pub(super) const fn code(subject: u16, detail: u16) -> Option<CodeRange> {
    codes(subject, detail, detail)
}

/// Codes from one detail to another, as failures or deferrals.
pub(super) const fn codes(subject: u16, from: u16, to: u16) -> Option<CodeRange> {
    Some(CodeRange { class: None, subject, details: (from, to) })
}

/// Codes of one class.
pub(super) const fn class(class: u8, subject: u16, from: u16, to: u16) -> Option<CodeRange> {
    Some(CodeRange { class: Some(class), subject, details: (from, to) })
}

impl KnownReply {
    /// Whether a reply is this one. `text` is the whole reply in lower case, on one line, without addresses. A reply that says
    /// that there is no such mailbox (X.1.1) is known by that code only: its text is about the mailbox.
    pub(super) fn is(&self, reply: &Reply, text: &str) -> bool {
        let has =
            |mark: &&str| mark.split('|').any(|one| memmem::find(text.as_bytes(), one.as_bytes()).is_some());
        let no_mailbox = reply.enhanced.is_some_and(|enhanced| (enhanced.1, enhanced.2) == (1, 1));
        self.codes.map_or(!no_mailbox, |codes| codes.have(reply)) && self.marks.iter().all(has)
    }
}

impl CodeRange {
    fn have(self, reply: &Reply) -> bool {
        reply.enhanced.is_some_and(|enhanced| {
            self.class.is_none_or(|class| class == enhanced.0)
                && self.subject == enhanced.1
                && (self.details.0..=self.details.1).contains(&enhanced.2)
        })
    }
}

impl fmt::Display for CodeRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (from, to) = self.details;
        match self.class {
            Some(class) => write!(f, "{class}.{}.{from}", self.subject)?,
            None => write!(f, "x.{}.{from}", self.subject)?,
        }
        if from == to { Ok(()) } else { write!(f, "-{to}") }
    }
}
