//! Recipients that the next hop is asked about, so that what it would refuse is not bounced later. It
//! dials no hosts.

use std::sync::Arc;

use super::values::Question;
use super::{Action, Phase, Session};
use crate::connector::{Outbound, RecipientCheck, Reveal};
use crate::mail::{Enhanced, Recipient, Reply};

impl Session {
    pub(super) fn take(&mut self, recipient: Recipient, way: Arc<Outbound>) -> Option<Action> {
        if let Phase::Envelope(transaction) = &mut self.phase {
            transaction.envelope.recipients.push(recipient);
            transaction.ways.push(way);
        }
        self.answer(250, Enhanced(2, 1, 5), "forward-path ok")
    }

    pub(super) fn ask_for(&mut self, recipient: Recipient, way: Arc<Outbound>) -> Option<Action> {
        let Phase::Envelope(transaction) = std::mem::replace(&mut self.phase, Phase::Ready) else {
            return self.out_of_order("RCPT", "MAIL comes first");
        };
        let question = Question {
            mailbox: recipient.forward_path.clone(),
            way: Arc::clone(&way),
            arrives_by: Arc::clone(&transaction.connector.name),
            onward: transaction.connector.onward,
        };
        self.phase = Phase::Asked(transaction, Box::new((recipient, way)));
        Some(Action::Ask(Box::new(question)))
    }

    /// The client has asked about too many unknown recipients: no next hop is asked for it now.
    pub fn on_unasked(&mut self) -> Action {
        let Phase::Asked(transaction, asked) = std::mem::replace(&mut self.phase, Phase::Ready) else {
            return self.close(&Reply::new(451, Enhanced(4, 3, 0), "out of order"));
        };
        self.phase = Phase::Envelope(transaction);
        let (recipient, _) = *asked;
        let text = "too many unknown recipients from your address; try again later";
        let reply = Reply::new(450, Enhanced(4, 7, 1), text);
        self.refuse_rcpt(recipient.forward_path, reply).unwrap_or(Action::NeedInput)
    }

    /// The next hop's answer. If it could not be asked, the recipient is accepted: the queue can wait
    /// longer than clients.
    pub fn on_asked(&mut self, known: RecipientCheck) -> Action {
        let Phase::Asked(transaction, asked) = std::mem::replace(&mut self.phase, Phase::Ready) else {
            return self.close(&Reply::new(451, Enhanced(4, 3, 0), "out of order"));
        };
        let (recipient, way) = *asked;
        let told = transaction.connector.reveal != Reveal::Code;
        self.phase = Phase::Envelope(transaction);
        let action = match known {
            RecipientCheck::Exists | RecipientCheck::Unsure => self.take(recipient, way),
            RecipientCheck::Unknown(said) => {
                let mailbox = recipient.forward_path;
                let words: String = said.to_string().chars().take(WORDS_MAX).collect();
                let text = if told {
                    format!("{mailbox}: the next hop refuses it: {words}")
                } else {
                    format!("{mailbox}: no such recipient")
                };
                let status = said.enhanced.filter(|status| status.0 == 5).unwrap_or(Enhanced(5, 1, 1));
                self.refuse_rcpt(mailbox, Reply::new(550, status, text))
            }
        };
        action.unwrap_or(Action::NeedInput)
    }
}

/// Characters kept of the next hop's reply.
const WORDS_MAX: usize = 300;
