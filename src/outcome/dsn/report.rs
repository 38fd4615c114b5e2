//! The input of a report, as data. Composing it is left to `dsn`.

use super::super::{DeliveryRecord, Trouble};
use crate::connector::Rerouting;
use crate::mail::{Domain, Mailbox, QueueId, RecipientDsn, UnixMillis};

/// What a report announces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Delivery failed permanently.
    Failed,
    /// Delivery is delayed and will be tried until the given time.
    Delayed {
        /// When the message fails.
        until: UnixMillis,
    },
    /// The message was relayed to a host that does not support DSN (RFC 3461 §5.2.2).
    Relayed,
}

impl Kind {
    /// The value of the Action field (RFC 3464 §2.3.3).
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Delayed { .. } => "delayed",
            Self::Relayed => "relayed",
        }
    }
}

/// One recipient of a report.
#[derive(Debug, Clone, Copy)]
pub struct ReportedRecipient<'a> {
    /// The recipient's forward-path.
    pub forward_path: &'a Mailbox,
    /// The DSN parameters given for it (RFC 3461).
    pub dsn: &'a RecipientDsn,
    /// How it was handed to another connector before.
    pub rerouted: Option<&'a Rerouting>,
    /// How the attempt ended.
    pub fate: Fate<'a>,
}

/// How an attempt ended for a recipient.
#[derive(Debug, Clone, Copy)]
pub enum Fate<'a> {
    /// What hindered it, with the status to report.
    Trouble(&'a Trouble),
    /// The delivery to the host that accepted it.
    Relayed(&'a DeliveryRecord),
}

/// Who reads a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Addressee {
    /// The sender of the message.
    Sender,
    /// Our postmaster, for a message without a reverse-path.
    Postmaster(NoSender),
}

/// Why the sender of a message can't be notified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoSender {
    /// The reverse-path is null.
    Null,
    /// No outbound connector covers its domain.
    NoRoute,
}

/// How much a report discloses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// Everything: hosts, addresses, connectors, certificates, and what other servers said.
    Full,
    /// A general description and the status codes.
    Codes,
}

/// The input of a report.
#[derive(Debug, Clone)]
pub struct Report<'a> {
    /// What the report announces.
    pub kind: Kind,
    /// The report's own queue ID; its Message-ID and boundary are derived from it.
    pub id: QueueId,
    /// The queue ID of the original message.
    pub about: QueueId,
    /// Our host name.
    pub reporting_mta: &'a Domain,
    /// The author of the report, in its header.
    pub postmaster: &'a Mailbox,
    /// The recipient of the report: the reverse-path.
    pub to: &'a Mailbox,
    /// Who that recipient is.
    pub addressee: Addressee,
    /// How much is disclosed to them.
    pub detail: Detail,
    /// Whether the report may leave by a less protected way than the message: then it repeats nothing of the message, nor
    /// what other servers said of it.
    pub discreet: bool,
    /// Whether they are our own people, who learn whom to ask at a partner.
    pub names_contacts: bool,
    /// When the original message was accepted.
    pub arrived_at: UnixMillis,
    /// When the report is made: the time of the last attempt.
    pub now: UnixMillis,
    /// The recipients it reports on; not empty.
    pub recipients: &'a [ReportedRecipient<'a>],
    /// The original message's `ENVID`, in xtext.
    pub envid: Option<&'a str>,
    /// The start of the message in wire form, with the header section as far as it was read; the whole
    /// message if `whole`.
    pub message: &'a [u8],
    /// Whether the whole message is returned (RFC 3461 §4.3).
    pub whole: bool,
}

impl Report<'_> {
    /// How much is disclosed of how an attempt ended.
    pub(super) fn detail_of(&self, fate: Fate<'_>) -> Detail {
        let has_said = match fate {
            Fate::Trouble(trouble) => trouble.remote.as_ref().is_some_and(|remote| remote.reply.is_some()),
            Fate::Relayed(_) => true,
        };
        if self.discreet && has_said { Detail::Codes } else { self.detail }
    }
}

/// Octets of a message that are enough for [`Report::message`]; of a longer header section the
/// rest is not returned.
pub const HEADER_BYTES_MAX: usize = 64 * 1024;
