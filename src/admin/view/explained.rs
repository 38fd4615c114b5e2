//! A question about the connector table and its answer, in words: the same for `explain` and for the console.

use std::fmt;
use std::net::IpAddr;

use crate::connector::TlsVersion;

/// What is asked.
#[derive(Debug, Clone)]
pub struct ExplainQuestion {
    /// A recipient: which outbound connector serves it?
    pub to: Option<String>,
    /// A reverse-path: which inbound connector accepts it?
    pub from: Option<String>,
    /// The address that the client connects from.
    pub peer: IpAddr,
    /// The listener that it connects to.
    pub listener: Option<String>,
    /// The user who has logged in.
    pub user: Option<String>,
    /// The inbound connector by which the mail arrives.
    pub arrives_by: Option<String>,
    /// Header fields of the message.
    pub headers: Vec<String>,
    /// How the session is secured.
    pub session: SupposedSession,
    /// The TLS version of the session.
    pub version: TlsVersion,
    /// Its cipher suite; `None`: a usual one.
    pub suite: Option<String>,
    /// Its key exchange group.
    pub group: String,
}

/// How the session is secured that a question is about.
#[derive(Debug, Clone)]
pub enum SupposedSession {
    /// Nothing is supposed: inbound without TLS, outbound undecided.
    Unsaid,
    /// TLS, and the peer presents no certificate.
    WithoutCertificate,
    /// TLS, and the peer presents this chain.
    Presenting {
        /// Where the chain is from, for errors.
        name: String,
        /// In PEM.
        chain: Vec<u8>,
    },
    /// What a handshake showed, as JSON.
    Facts {
        /// Where they are from, for errors.
        name: String,
        /// The JSON.
        text: String,
    },
    /// The next hop's STARTTLS is not simply used.
    Unsecured(StartTlsTrouble),
}

/// What happens to STARTTLS at a next hop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartTlsTrouble {
    /// It is not in the reply to EHLO.
    NotOffered,
    /// It is offered, and refused with 454.
    Refused,
    /// The handshake fails, but not because of a certificate.
    Broken,
    /// The handshake is completed, and the session lost before its first reply inside TLS.
    Lost,
    /// The handshake fails because the host refuses our certificate, or wants one that we don't present.
    OursRefused,
}

/// A part of an answer: what it is about, and what is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExplainPassage {
    /// What it is about, and its result.
    pub title: String,
    /// The lines below it.
    pub lines: Vec<ExplainLine>,
}

/// One of its lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExplainLine {
    /// A value under its name; one without a name goes on with the value before.
    Fact(&'static str, String),
    /// The same below the words before it.
    Below(&'static str, String),
    /// A sentence.
    Words(String),
}

/// What is known about a question.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ExplainedAnswer {
    /// Whether the mail would be taken, and would leave.
    pub yes: bool,
    /// The parts of the answer.
    pub passages: Vec<ExplainPassage>,
    /// The overrides of the connectors that decide, a sentence each.
    pub overrides: Vec<String>,
    /// What is odd about the draft that was asked about, each with its position.
    pub warnings: Vec<String>,
}

impl ExplainPassage {
    /// One without lines.
    #[must_use]
    pub fn new(title: String) -> Self {
        Self { title, lines: Vec::new() }
    }

    /// Adds a value under its name.
    pub fn fact(&mut self, name: &'static str, value: impl fmt::Display) {
        self.lines.push(ExplainLine::Fact(name, value.to_string()));
    }

    /// Adds a value below the words before it.
    pub fn below(&mut self, name: &'static str, value: impl fmt::Display) {
        self.lines.push(ExplainLine::Below(name, value.to_string()));
    }

    /// Adds a sentence.
    pub fn words(&mut self, words: String) {
        self.lines.push(ExplainLine::Words(words));
    }
}

impl fmt::Display for ExplainPassage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.title)?;
        for line in &self.lines {
            match line {
                ExplainLine::Fact(name, value) => write!(f, "\n  {name:<9} {value}")?,
                ExplainLine::Below(name, value) => write!(f, "\n    {name:<7} {value}")?,
                ExplainLine::Words(words) => write!(f, "\n  {words}")?,
            }
        }
        Ok(())
    }
}
