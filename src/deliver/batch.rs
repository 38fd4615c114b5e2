//! One job under way, and the state of each of its recipients.

use std::ops::Range;

use super::convert;
use super::declare::{SevenBitForm, needs_form};
use super::leaving::{self, LeavingContent};
use crate::connector::SendingSettings;
use crate::mail::Domain;
use crate::outcome::Outcome;
use crate::scheduler::Job;
use crate::smtp::Offers;

/// A job and the state of each recipient.
pub(super) struct Batch {
    pub(super) serial: u64,
    pub(super) job: Job,
    /// A refusal may have been about the session: the recipients that wait need a new one.
    pub(super) in_doubt: bool,
    /// What the connector sends of the content, once that was looked at.
    pub(super) leaving: Option<LeavingContent>,
    /// What a host without 8BITMIME gets of that, once one has been met.
    pub(super) form: Option<SevenBitForm>,
    slots: Vec<Slot>,
}

/// The state of a recipient.
enum Slot {
    Waiting,
    UnderWay,
    Settled(Outcome),
}

impl Slot {
    fn is_waiting(&self) -> bool {
        matches!(self, Self::Waiting)
    }

    fn into_outcome(self) -> Option<Outcome> {
        match self {
            Self::Settled(outcome) => Some(outcome),
            Self::Waiting | Self::UnderWay => None,
        }
    }
}

impl Batch {
    pub(super) fn new(serial: u64, job: Job) -> Self {
        let slots = job.recipients.iter().map(|_| Slot::Waiting).collect();
        Self { serial, job, in_doubt: false, leaving: None, form: None, slots }
    }

    /// Whether it is known what this host gets of the content, or can be found out at once. `own`: the server's name.
    pub(super) fn is_examined(&mut self, offers: Offers, sending: &SendingSettings, own: &Domain) -> bool {
        if self.leaving.is_none() {
            self.leaving = leaving::at_once(&self.job.content, sending.headers, own);
        }
        let Some(leaving) = &self.leaving else { return false };
        if needs_form(&self.job, offers) && self.form.is_none() {
            self.form = convert::at_once(&leaving.content);
            return self.form.is_some();
        }
        true
    }

    /// The recipients of the next transaction: waiting neighbours, as many as all limits and the number of domains
    /// allow.
    pub(super) fn next_range(&self, limits: &[Option<usize>], domains_max: Option<usize>) -> Range<usize> {
        let max = limits.iter().flatten().copied().min().unwrap_or(usize::MAX).max(1);
        let start = self.slots.iter().position(Slot::is_waiting).unwrap_or(self.slots.len());
        let count = self.slots.iter().skip(start).take(max).take_while(|slot| slot.is_waiting()).count();
        let end = start.saturating_add(count);
        let Some(domains_max) = domains_max else { return start..end };
        let mut seen = Vec::new();
        for (place, recipient) in self.job.recipients.iter().enumerate().take(end).skip(start) {
            let domain = recipient.forward_path.domain();
            if seen.contains(&domain) {
                continue;
            }
            if seen.len() >= domains_max.max(1) {
                return start..place;
            }
            seen.push(domain);
        }
        start..end
    }

    /// Marks recipients as in a transaction.
    pub(super) fn begin(&mut self, range: Range<usize>) {
        let slots = self.slots.iter_mut().skip(range.start).take(range.len());
        slots.for_each(|slot| *slot = Slot::UnderWay);
        self.in_doubt = false;
    }

    /// Sets the outcomes of a transaction's recipients. Those without one wait again, for a new session if this one was
    /// `used` before.
    pub(super) fn settle(
        &mut self,
        range: &Range<usize>,
        used: bool,
        outcome: impl Fn(usize) -> Option<Outcome>,
    ) {
        let slots = self.slots.iter_mut().skip(range.start).take(range.len());
        for (number, slot) in slots.enumerate() {
            let outcome = outcome(number);
            self.in_doubt |= used && outcome.is_none();
            *slot = outcome.map_or(Slot::Waiting, Slot::Settled);
        }
    }

    /// Sets the outcome of the recipients that wait.
    pub(super) fn settle_rest(&mut self, outcome: &Outcome) {
        let waiting = self.slots.iter_mut().filter(|slot| slot.is_waiting());
        waiting.for_each(|slot| *slot = Slot::Settled(outcome.clone()));
    }

    /// Whether every recipient is settled or in a transaction.
    pub(super) fn is_under_way(&self) -> bool {
        !self.slots.iter().any(Slot::is_waiting)
    }

    /// Whether every recipient is settled.
    pub(super) fn is_settled(&self) -> bool {
        self.slots.iter().all(|slot| matches!(slot, Slot::Settled(_)))
    }

    /// The job, and the outcomes of its recipients in their order.
    pub(super) fn into_outcomes(self) -> (Job, Vec<Outcome>) {
        (self.job, self.slots.into_iter().filter_map(Slot::into_outcome).collect())
    }
}
