//! The envelope of a message: reverse-path, recipients and MAIL FROM options. It holds no content.

use serde::{Deserialize, Serialize};

use super::{Mailbox, MessageDsn, RecipientDsn, ReversePath};

/// The BODY parameter of MAIL FROM (RFC 6152 §2, RFC 3030 §3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum BodyType {
    /// No BODY parameter, or `BODY=7BIT`.
    #[default]
    SevenBit,
    /// `BODY=8BITMIME`.
    EightBitMime,
    /// `BODY=BINARYMIME`: the content is not made of lines, and is sent in chunks only.
    BinaryMime,
}

/// The paths and options of one message (RFC 5321 §2.3.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// Where failure reports go; may be null.
    pub reverse_path: ReversePath,
    /// The recipients, in the order they were accepted.
    pub recipients: Vec<Recipient>,
    /// What the client declared about the content.
    pub body: BodyType,
    /// `SMTPUTF8`: addresses or headers may be in UTF-8 (RFC 6531 §3.4).
    pub utf8: bool,
    /// The DSN parameters of MAIL FROM.
    pub dsn: MessageDsn,
}

/// One recipient of an envelope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipient {
    /// The address of RCPT TO.
    pub forward_path: Mailbox,
    /// The DSN parameters of RCPT TO.
    pub dsn: RecipientDsn,
}

impl From<Mailbox> for Recipient {
    fn from(forward_path: Mailbox) -> Self {
        Self { forward_path, dsn: RecipientDsn::default() }
    }
}
