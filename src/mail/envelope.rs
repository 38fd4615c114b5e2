use serde::{Deserialize, Serialize};

use super::{Mailbox, ReversePath};

/// The BODY parameter of MAIL FROM (RFC 6152 §2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BodyType {
    /// Nothing was said, or `BODY=7BIT`.
    #[default]
    SevenBit,
    /// `BODY=8BITMIME`.
    EightBitMime,
}

/// The paths and options of one message (RFC 5321 §2.3.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// Who is told when a delivery fails; may be null.
    pub reverse_path: ReversePath,
    /// The forward-paths, in the order in which they were accepted.
    pub recipients: Vec<Mailbox>,
    /// What the client declared about the content.
    pub body: BodyType,
}
