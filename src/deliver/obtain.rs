//! A session for the first batch: one that waits, or a fresh one, candidate by candidate.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use super::Courier;
use super::attempt::Carriage;
use super::batch::scope;
use super::broken::TLS_TRIED_AGAIN_AFTER;
use super::fit::{is_out_of_reach, remembered_for, reuse, speaks};
use super::link::{Link, Miss, Wanted, elsewhere};
use super::pool::Key;
use super::result::{crowded_out, not_onward, stopping};
use super::seek::Candidate;
use crate::connector::{HandshakeFault, Outbound};
use crate::outcome::{
    At, LinkFault, NameFault, Outcome, Scope, classify_fault, classify_name, classify_together,
};
use crate::scheduler::{Job, Jobs, Way};

/// What the candidates came to, when none gave a session over TLS.
#[derive(Default)]
struct Tried<'a> {
    misses: Vec<Outcome>,
    /// Those whose handshakes broke, now or a while ago, and that may yet be tried in clear.
    broken: Vec<(&'a Candidate, HandshakeFault, Broke)>,
}

/// When a handshake broke.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Broke {
    Now,
    /// It was remembered, and not tried.
    Before,
}

impl Carriage {
    /// A session for the first batch. It ends early where nothing moves and others wait for the opening.
    ///
    /// # Errors
    /// What hinders it.
    pub(super) async fn obtain(&mut self) -> Result<Link, Outcome> {
        let Some(batch) = self.batches.front() else { return Err(elsewhere()) };
        let job = batch.job.clone();
        if job.message.origin.onward_sealed && !self.way.connector.is_enforced() {
            return Err(not_onward(&self.way.connector));
        }
        let dialled = Dialled::default();
        let progress = Arc::clone(self.jobs.progress());
        progress.moved();
        progress.set_after_dot(false);
        let may_go_clear = self.may_go_clear(&job.recipients);
        let search = Search { courier: &self.courier, way: &self.way, jobs: &self.jobs, dialled: &dialled };
        tokio::select! {
            biased;
            opened = search.open(&job, may_go_clear) => opened,
            () = progress.evicted() => Err(if progress.is_recalled() { stopping() } else { search.displaced() }),
        }
    }
}

/// The way from a job to a session.
struct Search<'a> {
    courier: &'a Courier,
    way: &'a Way,
    jobs: &'a Arc<dyn Jobs>,
    dialled: &'a Dialled,
}

impl Search<'_> {
    async fn open(&self, job: &Job, may_go_clear: bool) -> Result<Link, Outcome> {
        let (courier, way) = (self.courier, self.way);
        let candidates = courier.candidates(way).await?;
        // By turns, a session that waits at another host is none of this turn.
        let first = candidates.first().map(|candidate| &candidate.smart);
        let own = candidates.iter().take_while(|candidate| Some(&candidate.smart) == first).count();
        let reusable = if way.connector.sending.spread { own } else { candidates.len() };
        let waiting = candidates.get(..reusable).unwrap_or_default();
        if let Some(link) = reuse(courier, way, waiting, job).await {
            self.jobs.reuse(link.key.address);
            return Ok(link);
        }
        let mut tried = Tried::default();
        if let Some(link) = self.first_of((&candidates, job), may_go_clear, &mut tried).await? {
            return Ok(link);
        }
        // Every host was tried over TLS, now or a while ago: the first whose handshake broke, in clear.
        for (candidate, fault, when) in tried.broken.into_iter().filter(|_| may_go_clear) {
            self.reach(candidate).await;
            match courier.open(self.wanted(candidate, job, Some(fault.clone()))).await {
                Ok(link) => {
                    if when == Broke::Now {
                        courier.note_broken(candidate.key(way.connector.revision), fault);
                    }
                    return Ok(link);
                }
                Err(Miss::Broken(_, outcome) | Miss::Other(outcome)) => tried.misses.push(outcome),
            }
        }
        let nowhere = || classify_name(&NameFault::NoAddress, "the next hop");
        Err(classify_together(tried.misses).unwrap_or_else(nowhere))
    }

    fn wanted<'b>(
        &'b self,
        candidate: &'b Candidate,
        job: &'b Job,
        after: Option<HandshakeFault>,
    ) -> Wanted<'b> {
        let progress = Some(self.jobs.progress());
        Wanted { way: self.way, candidate, recipients: &job.recipients, after, banner: None, progress }
    }

    /// Waits until the host may have one more connection.
    async fn reach(&self, candidate: &Candidate) {
        self.dialled.set(None);
        self.jobs.reach(candidate.address).await;
        self.dialled.set(Some(candidate));
    }

    /// The first candidate that gives a session; what the others came to is noted.
    async fn first_of<'a>(
        &self,
        (candidates, job): (&'a [Candidate], &Job),
        may_go_clear: bool,
        tried: &mut Tried<'a>,
    ) -> Result<Option<Link>, Outcome> {
        let (courier, connector) = (self.courier, &self.way.connector);
        for candidate in candidates {
            let key = candidate.key(connector.revision);
            // Whom TLS is remembered of, TLS is tried with each time.
            let known = courier.broken.recall(&key, Instant::now()).filter(|_| !connector.remember_tls);
            if let Some(fault) = known.filter(|_| may_go_clear) {
                tried.broken.push((candidate, fault, Broke::Before));
                continue;
            }
            if courier.unreached.recall(&key, Instant::now()).is_none() {
                self.reach(candidate).await;
            }
            // Somebody may have found out while this one waited.
            if let Some(outcome) = courier.unreached.recall(&key, Instant::now()) {
                tried.misses.push(outcome);
                continue;
            }
            match courier.open(self.wanted(candidate, job, None)).await {
                Ok(link) => match speaks(job, &link) {
                    Ok(()) => {
                        courier.broken_once.forget(&key);
                        return Ok(Some(link));
                    }
                    // RFC 6531 §3.2: another exchanger may know what this one does not.
                    Err(outcome) => {
                        tried.misses.push(*outcome);
                        link.line.dismiss();
                    }
                },
                Err(Miss::Broken(fault, outcome)) => {
                    tried.broken.push((candidate, fault, Broke::Now));
                    tried.misses.push(outcome);
                }
                Err(Miss::Other(outcome)) if scope(&outcome) == Some(Scope::Session) => return Err(outcome),
                Err(Miss::Other(outcome)) => {
                    if is_out_of_reach(&outcome) {
                        courier.note_unreached(key, &outcome, connector);
                    }
                    tried.misses.push(outcome);
                }
            }
        }
        Ok(None)
    }

    /// Others waited, and this opening did not get on: the host it was at is not asked again at once by anybody.
    fn displaced(&self) -> Outcome {
        let Some(candidate) = self.dialled.get() else { return crowded_out() };
        let (host, connector) = (candidate.host(), &self.way.connector);
        let outcome = classify_fault(None, &LinkFault::Displaced, &At { host: &host, decision: None });
        self.courier.note_unreached(candidate.key(connector.revision), &outcome, connector);
        outcome
    }
}

/// The host that was dialled last; none while its turn is waited for.
#[derive(Default)]
struct Dialled(Mutex<Option<Candidate>>);

impl Dialled {
    fn set(&self, candidate: Option<&Candidate>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = candidate.cloned();
    }

    fn get(&self) -> Option<Candidate> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Courier {
    fn note_unreached(&self, key: Key, outcome: &Outcome, connector: &Outbound) {
        let noted = (Instant::now(), remembered_for(&connector.retry));
        self.unreached.note(key, outcome.clone(), noted);
    }

    /// A handshake broke, and the host took mail in clear then. Once may be chance, or somebody in the
    /// middle: only after the second time in a row TLS is not tried for a while.
    fn note_broken(&self, key: Key, fault: HandshakeFault) {
        let noted = (Instant::now(), TLS_TRIED_AGAIN_AFTER);
        if self.broken_once.recall(&key, Instant::now()).is_some() {
            self.broken_once.forget(&key);
            self.broken.note(key, fault, noted);
        } else {
            self.broken_once.note(key, (), noted);
        }
    }
}
