//! What a report is made of.

use super::super::{DeliveryRecord, Trouble};
use crate::mail::{Domain, Mailbox, QueueId, RecipientDsn, UnixMillis};

/// What a report tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Delivery failed for good.
    Failed,
    /// Delivery is late and goes on until the time given.
    Delayed {
        /// When it is given up.
        until: UnixMillis,
    },
    /// It was handed to a host that makes no reports (RFC 3461 §5.2.2).
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
    /// The forward-path.
    pub forward_path: &'a Mailbox,
    /// What was asked of reports about it.
    pub dsn: &'a RecipientDsn,
    /// How the attempt ended.
    pub fate: Fate<'a>,
}

/// How an attempt ended for a recipient.
#[derive(Debug, Clone, Copy)]
pub enum Fate<'a> {
    /// What hindered it, with the status that is reported.
    Trouble(&'a Trouble),
    /// Who took it over.
    Relayed(&'a DeliveryRecord),
}

/// Who reads a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Addressee {
    /// The sender of the message.
    Sender,
    /// Our postmaster, about a message that has nobody else.
    Postmaster,
}

/// How much a report discloses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// Everything: hosts, addresses, connectors, certificates, and what other servers said.
    Full,
    /// What happened in general, and the codes.
    Codes,
}

/// Everything a report is made of.
#[derive(Debug, Clone)]
pub struct Report<'a> {
    /// What it tells.
    pub kind: Kind,
    /// The report's own queue id: its Message-ID and boundary come from it.
    pub id: QueueId,
    /// The message it is about.
    pub about: QueueId,
    /// Our name.
    pub reporting_mta: &'a Domain,
    /// Who it comes from, in its header.
    pub postmaster: &'a Mailbox,
    /// Whom it goes to: the reverse-path.
    pub to: &'a Mailbox,
    /// Who that is.
    pub addressee: Addressee,
    /// How much it discloses to them.
    pub detail: Detail,
    /// When the message was accepted.
    pub arrived_at: UnixMillis,
    /// When the report is made, which is when the last attempt was.
    pub now: UnixMillis,
    /// Whom it is about; not empty.
    pub recipients: &'a [ReportedRecipient<'a>],
    /// The message's `ENVID`, in xtext.
    pub envid: Option<&'a str>,
    /// The start of the message in wire form, with the header section or as much as was read; all of
    /// it where `whole`.
    pub message: &'a [u8],
    /// Whether all of it is returned (RFC 3461 §4.3).
    pub whole: bool,
}
