//! The echo mailbox as a recipient: it is accepted whatever the connector relays, and needs no outbound connector.

use super::{Action, Phase, Session, Transaction};
use crate::mail::Enhanced;
use crate::smtp::command::ForwardPath;

impl Session {
    /// Whether a recipient is the echo mailbox, for this transaction.
    pub(super) fn is_echo(&self, path: &ForwardPath) -> bool {
        let Phase::Envelope(transaction) = &self.phase else { return false };
        let ForwardPath::Mailbox(mailbox) = path else { return false };
        self.table.table().is_echo(&transaction.connector, mailbox)
    }

    /// Takes the echo mailbox as a recipient. Once is enough; more does not advance the message.
    pub(super) fn take_echo(&mut self, path: ForwardPath) -> Option<Action> {
        let ForwardPath::Mailbox(mailbox) = path else { return None };
        let Phase::Envelope(transaction) = &mut self.phase else { return None };
        if transaction.echo.replace(mailbox).is_some() && self.tally.waste(self.rules.patience) {
            return Some(self.close_for_waste());
        }
        self.answer(250, Enhanced(2, 1, 5), "forward-path ok")
    }
}

impl Transaction {
    /// Whether a recipient was accepted.
    pub(super) fn has_recipient(&self) -> bool {
        !self.envelope.recipients.is_empty() || self.echo.is_some()
    }
}
