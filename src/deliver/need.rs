//! What a session is needed for, and which one would do.

use super::classify::{undeliverable, unreadable};
use super::declare::to_declare;
use super::session::OpenSession;
use crate::connector::{Outbound, Table, choose};
use crate::mail::Mailbox;
use crate::outcome::Outcome;
use crate::scheduler::Job;
use crate::smtp::NotBegun;

/// What a session is needed for.
#[derive(Clone, Copy)]
pub(super) enum Need<'a> {
    /// To deliver this.
    Delivery(&'a Job),
    /// To ask for this recipient; the mail for it would have to go on under TLS.
    Question {
        /// The recipient.
        mailbox: &'a Mailbox,
        /// It would.
        onward_sealed: bool,
    },
    /// To see what the host shows.
    Trial,
}

impl<'a> Need<'a> {
    /// Whom the session is for.
    pub(super) fn mailboxes(self) -> impl Iterator<Item = &'a Mailbox> {
        let (recipients, mailbox): (&[_], _) = match self {
            Self::Delivery(job) => (&job.recipients, None),
            Self::Question { mailbox, .. } => (&[], Some(mailbox)),
            Self::Trial => (&[], None),
        };
        recipients.iter().map(|recipient| &recipient.forward_path).chain(mailbox)
    }

    /// Whether the mail must go on under TLS.
    pub(super) fn onward_sealed(self) -> bool {
        match self {
            Self::Delivery(job) => job.message.origin.onward_sealed,
            Self::Question { onward_sealed, .. } => onward_sealed,
            Self::Trial => false,
        }
    }

    /// Whether every recipient was tried before.
    pub(super) fn is_retried(self) -> bool {
        match self {
            Self::Delivery(job) => job.recipients.iter().all(|recipient| recipient.attempts >= 1),
            Self::Question { .. } | Self::Trial => false,
        }
    }

    /// Whether the host takes the addresses and headers as they are (RFC 6531 §3.2).
    ///
    /// # Errors
    /// What it comes to here.
    pub(super) fn suits(self, session: &OpenSession) -> Result<(), Box<Outcome>> {
        let offers = session.smtp.offers();
        let job = match self {
            Self::Delivery(job) => job,
            Self::Question { mailbox, .. } if !mailbox.is_ascii() && !offers.utf8 => {
                return Err(Box::new(undeliverable(&NotBegun::Utf8, session)));
            }
            Self::Question { .. } | Self::Trial => return Ok(()),
        };
        if !job.message.utf8 || offers.utf8 {
            return Ok(());
        }
        match to_declare(job, &job.recipients, offers) {
            Ok((_, false)) => Ok(()),
            Ok((_, true)) => Err(Box::new(undeliverable(&NotBegun::Utf8, session))),
            Err(error) => Err(Box::new(unreadable(&error, session))),
        }
    }
}

/// Whether a table would still choose this connector, as it was, for each of the recipients.
pub(super) fn serves<'a>(
    table: &Table,
    connector: &Outbound,
    mut mailboxes: impl Iterator<Item = &'a Mailbox>,
) -> bool {
    let mut last = None;
    mailboxes.all(|mailbox| {
        let domain = mailbox.domain();
        if last == Some(domain) {
            return true;
        }
        last = Some(domain);
        choose(table, mailbox.domain_name()).is_some_and(|choice| {
            choice.connector.revision == connector.revision && choice.connector.name == connector.name
        })
    })
}
