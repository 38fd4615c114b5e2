//! What an operator has done with queued mail.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::run::Scheduler;
use super::settle::{Verdict, Work};
use crate::mail::{Enhanced, QueueId};
use crate::outcome::{Scope, Trouble};
use crate::spool::{Claim, Leased, SpoolFault};

impl Scheduler {
    /// Makes queued messages due at once, one or all, and opens their lanes. Answers with the
    /// number of recipients.
    ///
    /// # Errors
    /// What the spool said.
    pub async fn retry(&self, id: Option<QueueId>) -> Result<usize, SpoolFault> {
        self.carrier.try_anew();
        let (lanes, count) = self.spool.hasten(id, self.clock.now()).await?;
        self.with_queue(|queue, at| queue.hasten(lanes, at));
        Ok(count)
    }

    /// The same for several messages; each of their lanes is opened once.
    ///
    /// # Errors
    /// What the spool said.
    pub async fn retry_all(&self, ids: &[QueueId]) -> Result<usize, SpoolFault> {
        self.carrier.try_anew();
        let now = self.clock.now();
        let asked: Vec<_> = ids.iter().map(|id| self.spool.hasten(Some(*id), now)).collect();
        let (mut all, mut count) = (BTreeSet::new(), 0_usize);
        for answer in asked {
            let (lanes, recipients) = answer.await?;
            all.extend(lanes);
            count = count.saturating_add(recipients);
        }
        self.with_queue(|queue, at| queue.hasten(all.into_iter().collect(), at));
        Ok(count)
    }

    /// Gives a message up: its sender is told that the operator did so.
    ///
    /// # Errors
    /// What the spool said.
    pub async fn bounce(&self, id: QueueId) -> Result<Bounced, SpoolFault> {
        let Some(me) = self.me.upgrade() else { return Ok(Bounced::Unknown) };
        let mut claim = self.spool.claim(id).await?;
        if matches!(claim, Claim::Busy) {
            self.let_go(&[id]);
            claim = self.spool.claim(id).await?;
        }
        let leased = match claim {
            Claim::Whole(leased) => leased,
            Claim::Busy => return Ok(Bounced::Busy),
            Claim::Unknown => return Ok(Bounced::Unknown),
        };
        let Leased { message, recipients, lane, content, lease } = leased;
        let count = recipients.len();
        let given_up = |recipient| (recipient, Verdict::Failed(by_operator()));
        let verdicts = recipients.into_iter().map(given_up).collect();
        let work = Work { until: self.clock.now(), message, lease, content, lane, verdicts, together: None };
        self.tell_verdicts(&work, self.clock.now());
        me.finish(work).await;
        Ok(Bounced::Done(count))
    }

    /// Ends the leases of messages that wait in memory, for something to be done with them; what a carrier
    /// has stays with it. They are looked for on disk again after a moment.
    pub fn let_go(&self, ids: &[QueueId]) {
        self.with_queue(|queue, at| queue.let_go(ids, at));
    }

    /// Lets the lanes of a connector stand still, or go on. Their mail stays where it is, and none of it
    /// is given up meanwhile.
    pub fn pause(&self, connector: &str, paused: bool) {
        self.with_queue(|queue, at| queue.pause(connector, paused, at));
    }

    /// The connectors that stand still.
    #[must_use]
    pub fn paused(&self) -> Vec<Arc<str>> {
        self.lock().paused.iter().cloned().collect()
    }
}

/// What giving a message up came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bounced {
    /// So many recipients failed, and the sender is told.
    Done(usize),
    /// An attempt is under way; ask again after it.
    Busy,
    /// No such message.
    Unknown,
}

fn by_operator() -> Trouble {
    Trouble {
        status: Enhanced(5, 3, 0),
        reason: "the operator of this mail system has given the message up".to_owned(),
        remote: None,
        decision: None,
        scope: Scope::Recipient,
    }
}
