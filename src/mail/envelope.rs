use serde::{Deserialize, Serialize};

use super::{Mailbox, MessageDsn, RecipientDsn, ReversePath};

/// The BODY parameter of MAIL FROM (RFC 6152 §2, RFC 3030 §3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BodyType {
    /// Nothing was said, or `BODY=7BIT`.
    #[default]
    SevenBit,
    /// `BODY=8BITMIME`.
    EightBitMime,
    /// `BODY=BINARYMIME`: the content is no lines, and goes in chunks alone.
    BinaryMime,
}

/// The paths and options of one message (RFC 5321 §2.3.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// Who is told when a delivery fails; may be null.
    pub reverse_path: ReversePath,
    /// The recipients, in the order in which they were accepted.
    pub recipients: Vec<Recipient>,
    /// What the client declared about the content.
    pub body: BodyType,
    /// `SMTPUTF8`: addresses or headers may be in UTF-8 (RFC 6531 §3.4).
    pub utf8: bool,
    /// What is asked of reports.
    pub dsn: MessageDsn,
}

/// One recipient of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipient {
    /// The forward-path.
    pub forward_path: Mailbox,
    /// What is asked of reports about it.
    pub dsn: RecipientDsn,
}

impl From<Mailbox> for Recipient {
    fn from(forward_path: Mailbox) -> Self {
        Self { forward_path, dsn: RecipientDsn::default() }
    }
}
