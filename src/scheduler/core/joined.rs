//! One report for the failed recipients of a message that is split over several lanes. First-attempt
//! failures wait here for the other lanes' first attempts, so that one report names them all. They are
//! leased and not yet written: if the process is killed, they are tried again.

use std::collections::BTreeMap;
use std::time::Duration;

use super::settle::Work;
use crate::mail::{QueueId, UnixMillis};
use crate::spool::Divisible;

/// Messages with several lanes whose first attempts are not all over.
#[derive(Debug)]
pub(super) struct JoinedReports<L> {
    messages: BTreeMap<QueueId, Family<L>>,
    /// Recipients held here, over all messages.
    pub(super) recipients: usize,
}

#[derive(Debug)]
struct Family<L> {
    /// Parts whose first attempt is not over.
    open: usize,
    failed: Option<Work<L>>,
    /// Deadline for writing the failures, whatever the other lanes do.
    until: Option<UnixMillis>,
}

/// When failed recipients are written.
#[derive(Debug)]
pub(super) enum FailureTiming<L> {
    /// They wait until this deadline, which the caller must set.
    Until(UnixMillis),
    /// They wait with earlier failures; the deadline is already set.
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
    /// Registers a message in several parts. `false`: it is already registered, or there is no room.
    pub(super) fn begin(&mut self, message: QueueId, parts: usize) -> bool {
        if self.messages.contains_key(&message) || self.recipients >= RECIPIENTS_MAX {
            return false;
        }
        self.messages.insert(message, Family { open: parts, failed: None, until: None });
        true
    }

    /// A part was split: one more first attempt is expected.
    pub(super) fn one_more(&mut self, message: QueueId) {
        if let Some(family) = self.messages.get_mut(&message) {
            family.open = family.open.saturating_add(1);
        }
    }

    /// Holds failed recipients until the other lanes have made their first attempt.
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
        // The memory budget does not count it here; the report reads it back.
        work.content = None;
        family.failed = Some(work);
        let until = now.plus(WAIT_MAX);
        family.until = Some(until);
        FailureTiming::Until(until)
    }

    /// A part's first attempt is over, or the part is only on disk now. For the last part, returns what
    /// failed and the deadline to clear.
    pub(super) fn part_done(&mut self, message: QueueId) -> Option<(Work<L>, UnixMillis)> {
        let family = self.messages.get_mut(&message)?;
        family.open = family.open.saturating_sub(1);
        if family.open > 0 {
            return None;
        }
        self.end(message)
    }

    /// Stops waiting for this message: returns what failed so far; later failures are not held.
    pub(super) fn end(&mut self, message: QueueId) -> Option<(Work<L>, UnixMillis)> {
        let family = self.messages.remove(&message)?;
        let work = family.failed?;
        self.recipients = self.recipients.saturating_sub(work.verdicts.len());
        Some((work, family.until?))
    }

    /// Returns everything held, at the stop.
    pub(super) fn end_all(&mut self) -> Vec<Work<L>> {
        self.recipients = 0;
        std::mem::take(&mut self.messages).into_values().filter_map(|family| family.failed).collect()
    }
}

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
