//! What a session is needed for, and which sessions are suitable.

use super::classify::{undeliverable, unreadable};
use super::declare::needs_utf8;
use super::session::OpenSession;
use crate::connector::{Outbound, Table, choose};
use crate::mail::Mailbox;
use crate::outcome::Outcome;
use crate::scheduler::{Job, RecipientQuestion};
use crate::smtp::NotBegun;

/// The purpose of a session.
#[derive(Clone, Copy)]
pub(super) enum Need<'a> {
    /// To deliver this job.
    Delivery(&'a Job),
    /// To ask about a recipient.
    Question {
        /// The recipient to verify.
        mailbox: &'a Mailbox,
        /// Whether mail for it would have to go on under TLS.
        onward_sealed: bool,
    },
    /// To see what the host shows, and maybe to ask for this recipient.
    Trial(Option<&'a Mailbox>),
}

impl<'a> Need<'a> {
    /// What a question needs a session for.
    pub(super) fn of(question: &'a RecipientQuestion) -> Self {
        Self::Question { mailbox: &question.mailbox, onward_sealed: question.onward_sealed }
    }

    /// The recipients the session is for.
    pub(super) fn mailboxes(self) -> impl Iterator<Item = &'a Mailbox> {
        let (recipients, mailbox): (&[_], _) = match self {
            Self::Delivery(job) => (&job.recipients, None),
            Self::Question { mailbox, .. } => (&[], Some(mailbox)),
            Self::Trial(mailbox) => (&[], mailbox),
        };
        recipients.iter().map(|recipient| &recipient.forward_path).chain(mailbox)
    }

    /// Whether the mail must go on under TLS.
    pub(super) fn onward_sealed(self) -> bool {
        match self {
            Self::Delivery(job) => job.message.origin.onward_sealed,
            Self::Question { onward_sealed, .. } => onward_sealed,
            Self::Trial(_) => false,
        }
    }

    /// How often every recipient has been tried before.
    pub(super) fn attempts(self) -> usize {
        let attempts = match self {
            Self::Delivery(job) => job.recipients.iter().map(|recipient| recipient.attempts).min(),
            Self::Question { .. } | Self::Trial(_) => None,
        };
        usize::try_from(attempts.unwrap_or_default()).unwrap_or(usize::MAX)
    }

    /// Whether the host accepts the addresses and headers as they are (RFC 6531 §3.2).
    ///
    /// # Errors
    /// The outcome for this session.
    pub(super) fn suits(self, session: &OpenSession) -> Result<(), Box<Outcome>> {
        let offers = session.smtp.offers();
        let job = match self {
            Self::Delivery(job) => job,
            Self::Question { mailbox, .. } if !mailbox.is_ascii() && !offers.utf8 => {
                return Err(Box::new(undeliverable(&NotBegun::Utf8, session)));
            }
            Self::Question { .. } | Self::Trial(_) => return Ok(()),
        };
        if !job.message.utf8 || offers.utf8 {
            return Ok(());
        }
        match needs_utf8(job, &job.recipients) {
            Ok(false) => Ok(()),
            Ok(true) => Err(Box::new(undeliverable(&NotBegun::Utf8, session))),
            Err(error) => Err(Box::new(unreadable(&error, session))),
        }
    }
}

/// Whether a table would still choose this connector, unchanged, for each of the recipients.
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
