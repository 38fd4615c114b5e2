//! What a session is needed for, and which sessions are suitable.

use std::sync::Arc;

use super::classify::{undeliverable, unreadable};
use super::declare::needs_utf8;
use super::session::{OpenSession, RecipientWay, addressed};
use crate::connector::{Arrival, Onward, OnwardDemand, Outbound, Table, choose_again};
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
        /// The inbound connector by which mail for it would have come.
        arrives_by: &'a Arc<str>,
        /// How mail for it would have to leave.
        onward: Onward,
    },
    /// To see what the host shows, and maybe to ask for this recipient.
    Trial(Option<&'a Mailbox>),
}

impl<'a> Need<'a> {
    /// What a question needs a session for.
    pub(super) fn of(question: &'a RecipientQuestion) -> Self {
        let RecipientQuestion { mailbox, arrives_by, onward, .. } = question;
        Self::Question { mailbox, arrives_by, onward: *onward }
    }

    /// Whether no mail goes by the session, nor an answer to a client.
    pub(super) fn is_trial(self) -> bool {
        matches!(self, Self::Trial(_))
    }

    /// The recipients the session is for.
    fn recipients(self) -> impl Iterator<Item = RecipientWay<'a>> {
        let (recipients, mailbox): (&[_], _) = match self {
            Self::Delivery(job) => (&job.recipients, None),
            Self::Question { mailbox, .. } => (&[], Some(mailbox)),
            Self::Trial(mailbox) => (&[], mailbox),
        };
        addressed(recipients).chain(mailbox.map(|mailbox| (mailbox, None)))
    }

    /// The inbound connector by which the mail came. A trial is of mail that the connector takes.
    pub(super) fn arrived_by(self, connector: &'a Outbound) -> Option<&'a Arc<str>> {
        match self {
            Self::Delivery(job) => job.message.origin.connector.as_ref(),
            Self::Question { arrives_by, .. } => Some(arrives_by),
            Self::Trial(_) => connector.from_connectors.first(),
        }
    }

    /// Whether the table would still choose this connector, unchanged, for each of the recipients.
    pub(super) fn is_served(self, table: &Table, connector: &'a Outbound) -> bool {
        if let Self::Trial(mailbox) = self {
            // Of any of the arrivals that the connector takes.
            let mut arrivals = connector.from_connectors.iter().map(Some).chain([self.arrived_by(connector)]);
            return arrivals.any(|by| {
                let recipients = mailbox.into_iter().map(|mailbox| (mailbox, None));
                serves(table, connector, recipients, Arrival::of(by))
            });
        }
        serves(table, connector, self.recipients(), Arrival::of(self.arrived_by(connector)))
    }

    /// How the mail must leave, beside what the connector requires.
    pub(super) fn onward(self) -> OnwardDemand {
        match self {
            Self::Delivery(job) => job.message.origin.onward.clone(),
            Self::Question { onward, .. } => OnwardDemand::of_connector(onward),
            Self::Trial(_) => OnwardDemand::default(),
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
    mut recipients: impl Iterator<Item = RecipientWay<'a>>,
    arrival: Arrival<'_>,
) -> bool {
    let mut last = None;
    recipients.all(|(mailbox, rerouted)| {
        let this = Some((mailbox.domain(), rerouted));
        if last == this {
            return true;
        }
        last = this;
        choose_again(table, (mailbox.domain_name(), arrival), rerouted).is_some_and(|choice| {
            choice.connector.revision == connector.revision && choice.connector.name == connector.name
        })
    })
}
