//! What an operator can do with queued mail: retry, give up, pause. It does not list mail.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::core::{RecipientVerdict, Work};
use super::run::Scheduler;
use crate::mail::{Enhanced, QueueId, UnixMillis};
use crate::outcome::{Cause, Scope, Trouble};
use crate::spool::{Claim, LaneKey, Leased, Part, SpoolFault};

impl Scheduler {
    /// Makes one queued message, or all of them, due at once and opens their lanes. Returns the number
    /// of recipients.
    ///
    /// # Errors
    /// The spool's fault, if it could not make the change.
    pub async fn retry(&self, id: Option<QueueId>) -> Result<usize, SpoolFault> {
        self.carrier.try_anew();
        let now = self.clock.dates().wall();
        let Some(id) = id else { return self.retry_queue(now).await };
        let (lanes, count) = self.spool.hasten(id, now).await?;
        self.hasten(lanes).await;
        Ok(count)
    }

    /// Lanes come in the order of their names. A lane that spans several batches is opened after its
    /// first and its last one.
    async fn retry_queue(&self, now: UnixMillis) -> Result<usize, SpoolFault> {
        let (mut after, mut open, mut count) = (None, None::<LaneKey>, 0_usize);
        loop {
            let Part { found: (lanes, recipients), next } = self.spool.hasten_all(after, now).await?;
            count = count.saturating_add(recipients);
            let goes_on = next.is_some() && lanes.len() == 1 && lanes.first() == open.as_ref();
            if !goes_on {
                // The open lane may have ended in the previous batch.
                let closed = open.take().filter(|lane| lanes.first() != Some(lane));
                open = lanes.last().cloned();
                self.hasten(closed.into_iter().chain(lanes).collect()).await;
            }
            after = next;
            if after.is_none() {
                return Ok(count);
            }
        }
    }

    /// Makes several messages due at once; each of their lanes is opened once.
    ///
    /// # Errors
    /// The spool's fault, if it could not make the change.
    pub async fn retry_all(&self, ids: &[QueueId]) -> Result<usize, SpoolFault> {
        self.carrier.try_anew();
        let now = self.clock.dates().wall();
        let asked: Vec<_> = ids.iter().map(|id| self.spool.hasten(*id, now)).collect();
        let (mut all, mut count) = (BTreeSet::new(), 0_usize);
        for answer in asked {
            let (lanes, recipients) = answer.await?;
            all.extend(lanes);
            count = count.saturating_add(recipients);
        }
        self.hasten(all.into_iter().collect()).await;
        Ok(count)
    }

    /// Fails a message; the report to the reverse-path says that the operator did so.
    ///
    /// # Errors
    /// The spool's fault, if it could not make the change.
    pub async fn bounce(&self, id: QueueId) -> Result<BounceResult, SpoolFault> {
        let Some(me) = self.me.upgrade() else { return Ok(BounceResult::Unknown) };
        let mut claim = self.spool.claim(id).await?;
        if matches!(claim, Claim::Busy) {
            self.let_go(&[id]).await;
            claim = self.spool.claim(id).await?;
        }
        let leased = match claim {
            Claim::Whole(leased) => leased,
            Claim::Busy => return Ok(BounceResult::Busy),
            Claim::Unknown => return Ok(BounceResult::Unknown),
        };
        let Leased { message, recipients, lane, content, lease } = leased;
        let count = recipients.len();
        let given_up = |recipient| (recipient, RecipientVerdict::Failed(by_operator()));
        let verdicts = recipients.into_iter().map(given_up).collect();
        let work = Work { expire: Duration::ZERO, message, lease, content, lane, verdicts, told: true };
        self.tell_verdicts((&work.message, &work.lane), &work.verdicts, &self.clock.dates());
        me.finish(work).await;
        Ok(BounceResult::Done(count))
    }

    /// Ends the leases of messages that wait in memory, so that an operator can act on them; carriers
    /// keep theirs. The messages are fetched from disk again after a moment.
    pub async fn let_go(&self, ids: &[QueueId]) {
        self.for_all_lanes(|core, after, at| core.let_go(ids, after, at)).await;
    }

    /// Pauses or resumes the lanes of a connector. Their mail stays where it is, and none of it expires
    /// meanwhile.
    pub async fn pause(&self, connector: &str, paused: bool) {
        self.lock().pause(connector, paused);
        self.for_all_lanes(|core, after, at| core.tend_all(connector, after, at)).await;
    }

    /// The connectors that are paused.
    #[must_use]
    pub fn paused(&self) -> Vec<Arc<str>> {
        self.lock().paused()
    }
}

/// The result of failing a message by hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BounceResult {
    /// Number of recipients that failed; the failure is reported.
    Done(usize),
    /// An attempt is under way; ask again after it.
    Busy,
    /// No message with this queue ID.
    Unknown,
}

fn by_operator() -> Trouble {
    Trouble {
        status: Enhanced(5, 3, 0),
        cause: Cause::Operator,
        reason: "the operator of this mail system has given the message up".to_owned(),
        remote: None,
        decision: None,
        scope: Scope::Recipient,
        expired: false,
    }
}
