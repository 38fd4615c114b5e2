//! The values of commands, and the faults a command line can have, with their replies.

use crate::mail::{
    BodyType, Domain, Enhanced, Extension, Mailbox, MessageDsn, PathFault, RecipientDsn, Reply, ReversePath,
};

/// The parameters of MAIL FROM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailFrom {
    /// Where reports are sent; null for reports themselves.
    pub reverse_path: ReversePath,
    /// `SIZE=`: octets the client is about to send (RFC 1870 §6).
    pub size: Option<u64>,
    /// `BODY=` (RFC 6152 §2, RFC 3030 §3).
    pub body: BodyType,
    /// Whether `SMTPUTF8` was given (RFC 6531 §3.4).
    pub utf8: bool,
    /// `RET=` and `ENVID=` (RFC 3461 §4.3, §4.4).
    pub dsn: MessageDsn,
    /// Whether `AUTH=` was given (RFC 4954 §5): the original submitter as claimed by the client. It is
    /// ignored.
    pub auth: bool,
    /// `XOORG=`: the organisation that the message comes from, as Exchange says it.
    pub originator: Option<Domain>,
    /// What is wrong with the line that it was read from, for a connector that is not lenient.
    pub excused: Option<Box<CommandFault>>,
}

/// The parameters of RCPT TO.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RcptTo {
    /// The recipient as named by the client.
    pub path: ForwardPath,
    /// `NOTIFY=` and `ORCPT=` (RFC 3461 §4.1, §4.2).
    pub dsn: RecipientDsn,
}

/// The arguments of BDAT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunk {
    /// Octets that follow the command.
    pub octets: u64,
    /// Whether this is the last chunk of the message.
    pub last: bool,
}

/// The arguments of AUTH.
#[derive(Clone, PartialEq, Eq)]
pub struct Auth {
    /// The SASL mechanism's name in upper case.
    pub mechanism: String,
    /// The initial response, still in base64; `=` stands for an empty one.
    pub initial: Option<String>,
}

impl std::fmt::Debug for Auth {
    /// The response contains the password, so it is not shown.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Auth({}{})", self.mechanism, if self.initial.is_some() { ", a response" } else { "" })
    }
}

/// The recipient named in RCPT TO.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ForwardPath {
    /// A full address with its domain.
    Mailbox(Mailbox),
    /// `<postmaster>` without a domain, in any case (RFC 5321 §4.5.1).
    Postmaster,
}

/// What is wrong with a command line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommandFault {
    /// The verb is not an SMTP command.
    #[error("command not recognised")]
    Unknown,
    /// An SMTP command that this server does not offer.
    #[error("{0} is not offered")]
    NotOffered(&'static str),
    /// The line has more octets than [`crate::smtp::line::COMMAND_BYTES_MAX`].
    #[error("line too long")]
    LineTooLong,
    /// The line has an LF without a CR.
    #[error("a line ends in CR LF")]
    BareLineFeed,
    /// BDAT without a valid length: it is unknown where the next command begins.
    #[error("syntax: BDAT octets [LAST]; the connection is closed, since it is not known what follows")]
    Chunk,
    /// A command or parameter of an extension that is not offered.
    #[error("{} is not offered", .0.keyword())]
    Withheld(Extension),
    /// The line contains a control character.
    #[error("a control character in the line")]
    Control,
    /// An argument is missing, unexpected or malformed; the text is the usage.
    #[error("syntax: {0}")]
    Syntax(&'static str),
    /// A parameter this server does not know.
    #[error("parameter {0} is not recognised")]
    UnknownParameter(String),
    /// A parameter with an invalid value, or a repeated one.
    #[error("parameter {0} is not in order")]
    BadParameter(&'static str),
    /// The reverse-path is malformed.
    #[error("bad reverse-path: {0}")]
    ReversePath(PathFault),
    /// The forward-path is malformed.
    #[error("bad forward-path: {0}")]
    ForwardPath(PathFault),
}

impl CommandFault {
    /// The fault for a line that begins with `begins`. After a faulty BDAT, octets follow that are not
    /// commands, so it becomes [`Self::Chunk`].
    #[must_use]
    pub fn of_line(self, begins: &[u8]) -> Self {
        let is_chunk = begins.get(..4).is_some_and(|verb| verb.eq_ignore_ascii_case(b"BDAT"));
        if is_chunk { Self::Chunk } else { self }
    }

    /// The reply to the client.
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
            // RFC 6531 §3.5: 553 if an address would need SMTPUTF8.
            Self::ReversePath(PathFault::NonAscii) | Self::ForwardPath(PathFault::NonAscii) => {
                (553, Enhanced(5, 6, 7))
            }
            Self::ReversePath(_) => (501, Enhanced(5, 1, 7)),
            Self::ForwardPath(_) => (501, Enhanced(5, 1, 3)),
        };
        Reply::new(code, enhanced, self.to_string())
    }
}
