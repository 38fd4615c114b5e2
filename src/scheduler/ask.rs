//! Asks a host about a recipient, by the carriers of mail; what becomes of the answer is the caller's business.

use std::sync::Arc;

use super::Way;
use super::run::Scheduler;
use crate::connector::{Onward, Outbound, RecipientCheck};
use crate::mail::Mailbox;
use crate::spool::LaneKey;

impl Scheduler {
    /// Asks a host about a recipient by the way, and under the limits, of mail for it. A lane that is paused or
    /// blocked is not asked. Dropping the future withdraws the question.
    pub async fn ask(
        &self,
        connector: Arc<Outbound>,
        mailbox: Mailbox,
        (arrives_by, onward): (Arc<str>, Onward),
    ) -> RecipientCheck {
        let lane = LaneKey::of(&connector, mailbox.domain());
        let way = Arc::new(Way::new(connector, mailbox.domain()));
        let (ticket, answer) = self.questions.add(mailbox, (arrives_by, onward));
        let withdrawal = Withdrawal { scheduler: self, lane, ticket };
        let asked = self.ask_core(|core, at| core.ask(&withdrawal.lane, way, ticket, at));
        if asked { answer.await.unwrap_or(RecipientCheck::Unsure) } else { RecipientCheck::Unsure }
    }
}

/// Withdraws a question that nobody waits for any more.
struct Withdrawal<'a> {
    scheduler: &'a Scheduler,
    lane: LaneKey,
    ticket: u64,
}

impl Drop for Withdrawal<'_> {
    fn drop(&mut self) {
        if self.scheduler.questions.give_up(self.ticket) {
            self.scheduler.with_core(|core, at| core.withdraw(&self.lane, self.ticket, at));
        }
    }
}
