//! One report for recipients of one message in several lanes. Those that fail at the first attempt wait for the
//! others' first attempt, so that one report names them all. What waits here is leased and not yet written: a
//! killed process tries it again.

use std::collections::BTreeMap;
use std::time::Duration;

use super::settle::Work;
use crate::mail::{QueueId, UnixMillis};
use crate::spool::Divisible;

/// The messages of which several lanes have their first attempt before them.
#[derive(Debug)]
pub(super) struct JoinedReports<L> {
    messages: BTreeMap<QueueId, Family<L>>,
    /// Recipients that wait here.
    pub(super) recipients: usize,
}

/// The lanes of one message.
#[derive(Debug)]
struct Family<L> {
    /// Parts whose first attempt is not over.
    open: usize,
    failed: Option<Work<L>>,
    /// When what failed is written, whatever the others do.
    until: Option<UnixMillis>,
}

/// What became of recipients that failed.
#[derive(Debug)]
pub(super) enum FailureTiming<L> {
    /// They wait, and this is when they do so no longer: a deadline to be set.
    Until(UnixMillis),
    /// They wait with others.
    Added,
    /// They can't wait.
    No(Box<Work<L>>),
}

impl<L> Default for JoinedReports<L> {
    fn default() -> Self {
        Self { messages: BTreeMap::new(), recipients: 0 }
    }
}

impl<L: Divisible> JoinedReports<L> {
    /// A message comes in several parts. `false`: one of this name is known, or there is no more room.
    pub(super) fn begin(&mut self, message: QueueId, parts: usize) -> bool {
        if self.messages.contains_key(&message) || self.recipients >= RECIPIENTS_MAX {
            return false;
        }
        self.messages.insert(message, Family { open: parts, failed: None, until: None });
        true
    }

    /// A part was parted: there is one more.
    pub(super) fn one_more(&mut self, message: QueueId) {
        if let Some(family) = self.messages.get_mut(&message) {
            family.open = family.open.saturating_add(1);
        }
    }

    /// Lets recipients that failed wait for the others.
    pub(super) fn keep(&mut self, mut work: Work<L>, now: UnixMillis) -> FailureTiming<L> {
        let count = work.verdicts.len();
        let room = self.recipients.saturating_add(count) <= RECIPIENTS_MAX;
        let Some(family) = self.messages.get_mut(&work.message.id).filter(|_| room) else {
            return FailureTiming::No(Box::new(work));
        };
        self.recipients = self.recipients.saturating_add(count);
        if let Some(failed) = &mut family.failed {
            failed.absorb(work);
            return FailureTiming::Added;
        }
        // Nobody counts it here; the report reads it back.
        work.content = None;
        family.failed = Some(work);
        let until = now.plus(WAIT_MAX);
        family.until = Some(until);
        FailureTiming::Until(until)
    }

    /// The first attempt of a part is over, or the part is on disk alone. What failed is the answer if it was the
    /// last one, with the deadline that holds no more.
    pub(super) fn part_done(&mut self, message: QueueId) -> Option<(Work<L>, UnixMillis)> {
        let family = self.messages.get_mut(&message)?;
        family.open = family.open.saturating_sub(1);
        if family.open > 0 {
            return None;
        }
        self.end(message)
    }

    /// What failed so far does not wait any more, nor does what fails later.
    pub(super) fn end(&mut self, message: QueueId) -> Option<(Work<L>, UnixMillis)> {
        let family = self.messages.remove(&message)?;
        let work = family.failed?;
        self.recipients = self.recipients.saturating_sub(work.verdicts.len());
        Some((work, family.until?))
    }

    /// Everything that waits, at the stop.
    pub(super) fn end_all(&mut self) -> Vec<Work<L>> {
        self.recipients = 0;
        std::mem::take(&mut self.messages).into_values().filter_map(|family| family.failed).collect()
    }
}

/// Recipients that wait here, over all messages.
const RECIPIENTS_MAX: usize = 20_000;
/// How long a report waits for the other lanes.
const WAIT_MAX: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    impl<L> JoinedReports<L> {
        pub(in crate::scheduler::core) fn messages(&self) -> usize {
            self.messages.len()
        }
    }
}
