//! The jobs a lane's carriage has taken: from the scheduler, and back to it with their outcomes.

use std::future::poll_fn;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use super::attempt::{Carriage, Load};
use crate::outcome::{Outcome, Scope};
use crate::scheduler::Job;

pub(super) type Coming = Pin<Box<dyn Future<Output = Option<Job>> + Send>>;

/// A job, and what became of each recipient so far.
pub(super) struct Batch {
    pub(super) serial: u64,
    pub(super) job: Job,
    pub(super) outcomes: Vec<Option<Outcome>>,
    /// The first recipient that was in no transaction yet.
    pub(super) next: usize,
}

impl Carriage {
    fn coming(&mut self) -> &mut Coming {
        let jobs = &self.jobs;
        self.coming.get_or_insert_with(|| {
            let jobs = Arc::clone(jobs);
            Box::pin(async move { jobs.next().await })
        })
    }

    pub(super) async fn next_job(&mut self) -> Option<Job> {
        let job = self.coming().as_mut().await;
        self.coming = None;
        job
    }

    /// The next job if it is there already. One that must be read from disk first is not given up:
    /// it goes on coming, and is the next one.
    pub(super) async fn next_job_at_once(&mut self) -> Option<Job> {
        let coming = self.coming();
        let polled = poll_fn(|context| Poll::Ready(coming.as_mut().poll(context))).await;
        match polled {
            Poll::Ready(job) => {
                self.coming = None;
                job
            }
            Poll::Pending => None,
        }
    }

    pub(super) fn put_back(&mut self, load: &Load) {
        if let Some(batch) = self.batches.iter_mut().find(|batch| batch.serial == load.serial) {
            batch.next = batch.next.min(load.range.start);
        }
    }

    pub(super) fn settle(&mut self, load: &Load, outcome: impl Fn(usize) -> Outcome) {
        let Some(place) = self.batches.iter().position(|batch| batch.serial == load.serial) else { return };
        if let Some(batch) = self.batches.get_mut(place) {
            let slots = batch.outcomes.iter_mut().skip(load.range.start).take(load.range.len());
            slots.enumerate().for_each(|(number, slot)| *slot = Some(outcome(number)));
        }
        self.report(place);
    }

    /// The recipients of a batch that are in no transaction yet come to this.
    pub(super) fn settle_rest(&mut self, place: usize, outcome: &Outcome) {
        if let Some(batch) = self.batches.get_mut(place) {
            batch.outcomes.iter_mut().skip(batch.next).for_each(|slot| *slot = Some(outcome.clone()));
            batch.next = batch.outcomes.len();
        }
        match scope(outcome) {
            Some(Scope::Lane | Scope::Session) => self.blocked = Some(outcome.clone()),
            Some(Scope::Recipient) | None => {}
        }
        self.report(place);
    }

    pub(super) fn settle_first(&mut self, outcome: &Outcome) {
        self.settle_rest(0, outcome);
    }

    /// Reports a batch, once nothing of it is open.
    pub(super) fn report(&mut self, place: usize) {
        let done = self.batches.get(place).is_some_and(|b| b.outcomes.iter().all(Option::is_some));
        if done && let Some(batch) = self.batches.remove(place) {
            self.jobs.report(&batch.job, batch.outcomes.into_iter().flatten().collect());
        }
    }
}

impl Batch {
    /// The recipients of the next transaction: as many as every limit allows, of so many domains.
    pub(super) fn next_range(&self, limits: &[Option<usize>], domains_max: Option<usize>) -> Range<usize> {
        let max = limits.iter().flatten().copied().min().unwrap_or(usize::MAX).max(1);
        let end = self.next.saturating_add(max).min(self.outcomes.len());
        let Some(domains_max) = domains_max else { return self.next..end };
        let mut seen = Vec::new();
        for (place, recipient) in self.job.recipients.iter().enumerate().take(end).skip(self.next) {
            let domain = recipient.forward_path.domain();
            if seen.contains(&domain) {
                continue;
            }
            if seen.len() >= domains_max.max(1) {
                return self.next..place;
            }
            seen.push(domain);
        }
        self.next..end
    }

    /// Every recipient is settled, or in a transaction.
    pub(super) fn is_under_way(&self) -> bool {
        self.next >= self.outcomes.len()
    }
}

pub(super) fn scope(outcome: &Outcome) -> Option<Scope> {
    match outcome {
        Outcome::Delivered(_) => None,
        Outcome::Deferred(trouble) | Outcome::Failed(trouble) => Some(trouble.scope),
    }
}
