//! What commands say, and what can be wrong with one.

use crate::mail::{
    BodyType, Enhanced, Extension, Mailbox, MessageDsn, PathFault, RecipientDsn, Reply, ReversePath,
};

/// What MAIL FROM says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailFrom {
    /// The path.
    pub reverse_path: ReversePath,
    /// `SIZE=`: octets the client is about to send (RFC 1870 §6).
    pub size: Option<u64>,
    /// `BODY=` (RFC 6152 §2, RFC 3030 §3).
    pub body: BodyType,
    /// `SMTPUTF8` (RFC 6531 §3.4).
    pub utf8: bool,
    /// What is asked of reports.
    pub dsn: MessageDsn,
    /// `AUTH=` (RFC 4954 §5): who sent it, as the client says. It is passed over.
    pub auth: bool,
}

/// What RCPT TO says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RcptTo {
    /// The path.
    pub path: ForwardPath,
    /// What is asked of reports about it.
    pub dsn: RecipientDsn,
}

/// What BDAT says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunk {
    /// The octets that follow the command.
    pub octets: u64,
    /// Whether the message ends with them.
    pub last: bool,
}

/// What AUTH says.
#[derive(Clone, PartialEq, Eq)]
pub struct Auth {
    /// The mechanism's name in upper case.
    pub mechanism: String,
    /// The initial response, still in base64; `=` stands for an empty one.
    pub initial: Option<String>,
}

impl std::fmt::Debug for Auth {
    /// The response has the password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Auth({}{})", self.mechanism, if self.initial.is_some() { ", a response" } else { "" })
    }
}

/// What RCPT TO names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ForwardPath {
    /// A mailbox.
    Mailbox(Mailbox),
    /// `<postmaster>` without a domain, in any case (RFC 5321 §4.5.1).
    Postmaster,
}

/// What is wrong with a command line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommandFault {
    /// No command that SMTP knows.
    #[error("command not recognised")]
    Unknown,
    /// A command that SMTP knows and this server doesn't offer.
    #[error("{0} is not offered")]
    NotOffered(&'static str),
    /// More octets than [`crate::smtp::line::COMMAND_BYTES_MAX`].
    #[error("line too long")]
    LineTooLong,
    /// A LF without a CR.
    #[error("a line ends in CR LF")]
    BareLineFeed,
    /// BDAT without the length of what follows it: nothing that comes can be understood any more.
    #[error("syntax: BDAT octets [LAST]; the connection is closed, since it is not known what follows")]
    Chunk,
    /// An extension's command or parameter where that extension is not offered.
    #[error("{} is not offered", .0.keyword())]
    Withheld(Extension),
    /// A control character within the line.
    #[error("a control character in the line")]
    Control,
    /// An argument too many, or none where one is due.
    #[error("syntax: {0}")]
    Syntax(&'static str),
    /// A parameter nobody offered.
    #[error("parameter {0} is not recognised")]
    UnknownParameter(String),
    /// A parameter whose value is none, or that came twice.
    #[error("parameter {0} is not in order")]
    BadParameter(&'static str),
    /// A reverse-path that is none.
    #[error("bad reverse-path: {0}")]
    ReversePath(PathFault),
    /// A forward-path that is none.
    #[error("bad forward-path: {0}")]
    ForwardPath(PathFault),
}

impl CommandFault {
    /// The same for a line that begins so: where it is BDAT, octets follow it that are no commands.
    #[must_use]
    pub fn of_line(self, begins: &[u8]) -> Self {
        let is_chunk = begins.get(..4).is_some_and(|verb| verb.eq_ignore_ascii_case(b"BDAT"));
        if is_chunk { Self::Chunk } else { self }
    }

    /// What the client is told.
    #[must_use]
    pub fn reply(&self) -> Reply {
        let (code, enhanced) = match self {
            Self::Unknown | Self::LineTooLong | Self::BareLineFeed | Self::Control => {
                (500, Enhanced(5, 5, 2))
            }
            Self::NotOffered(_) => (502, Enhanced(5, 5, 1)),
            Self::Syntax(_) | Self::BadParameter(_) | Self::Chunk => (501, Enhanced(5, 5, 4)),
            Self::UnknownParameter(_) => (555, Enhanced(5, 5, 4)),
            Self::Withheld(Extension::Chunking) => (502, Enhanced(5, 5, 1)),
            Self::Withheld(
                Extension::Pipelining
                | Extension::EightBitMime
                | Extension::BinaryMime
                | Extension::SmtpUtf8
                | Extension::Dsn
                | Extension::Limits,
            ) => (555, Enhanced(5, 5, 4)),
            // RFC 6531 §3.5: 553 where an address would need SMTPUTF8.
            Self::ReversePath(PathFault::NonAscii) | Self::ForwardPath(PathFault::NonAscii) => {
                (553, Enhanced(5, 6, 7))
            }
            Self::ReversePath(_) => (501, Enhanced(5, 1, 7)),
            Self::ForwardPath(_) => (501, Enhanced(5, 1, 3)),
        };
        Reply::new(code, enhanced, self.to_string())
    }
}
