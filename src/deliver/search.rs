//! A session for a need: one that waits, or a fresh one, candidate by candidate.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::classify::{crowded_out, is_out_of_reach, scope, stopping};
use super::courier::Courier;
use super::memory::TLS_TRIED_AGAIN_AFTER;
use super::need::{Need, serves};
use super::open::{Miss, OpenRequest};
use super::session::{Candidate, Key, OpenSession};
use crate::connector::{Decision, HandshakeFault, OnHandshakeFailure, Outbound, Retry};
use crate::outcome::{
    At, LinkFault, NameFault, Outcome, Scope, Trouble, classify_fault, classify_name, classify_together,
};
use crate::scheduler::{Jobs, Way};

/// What the candidates came to, when none gave a session over TLS.
#[derive(Default)]
struct Misses<'a> {
    outcomes: Vec<Outcome>,
    /// Those whose handshakes broke, now or a while ago, and that may yet be tried in clear.
    broken: Vec<(&'a Candidate, HandshakeFault, BreakTime)>,
}

/// When a handshake broke.
#[derive(Clone, Copy, PartialEq, Eq)]
enum BreakTime {
    Now,
    /// It was remembered, and not tried.
    Before,
}

/// The way from a need to a session.
pub(super) struct Search<'a> {
    pub(super) courier: &'a Courier,
    pub(super) way: &'a Way,
    pub(super) need: Need<'a>,
    /// Where places for the session are asked for; `None`: it takes nobody's.
    pub(super) jobs: Option<&'a dyn Jobs>,
}

impl Search<'_> {
    /// A session. The search ends early where nothing moves and others wait for the opening.
    ///
    /// # Errors
    /// What hinders it.
    pub(super) async fn run(&self) -> Result<OpenSession, Outcome> {
        if let Some(decision) = Decision::onward(&self.way.connector, self.need.onward_sealed()) {
            return Err(Outcome::Deferred(Trouble::by(decision, Scope::Recipient)));
        }
        let dialled = DialledHost::default();
        let Some(jobs) = self.jobs else { return self.open(&dialled).await };
        let progress = jobs.progress();
        progress.moved();
        progress.set_after_dot(false);
        tokio::select! {
            biased;
            opened = self.open(&dialled) => opened,
            () = progress.evicted() => {
                Err(if progress.is_recalled() { stopping() } else { self.displaced(&dialled) })
            }
        }
    }

    async fn open(&self, dialled: &DialledHost) -> Result<OpenSession, Outcome> {
        let (courier, way) = (self.courier, self.way);
        let may_go_clear = self.may_go_clear();
        let candidates = courier.candidates(way).await?;
        // By turns, a session that waits at another host is none of this turn.
        let first = candidates.first().map(|candidate| &candidate.smart);
        let own = candidates.iter().take_while(|candidate| Some(&candidate.smart) == first).count();
        let reusable = if way.connector.sending.spread { own } else { candidates.len() };
        let waiting = candidates.get(..reusable).unwrap_or_default();
        if let Some(session) = courier.reuse(way, waiting, self.need).await {
            if let Some(jobs) = self.jobs {
                jobs.reuse(session.key.address);
            }
            return Ok(session);
        }
        let mut misses = Misses::default();
        if let Some(session) = self.first_of(&candidates, dialled, &mut misses).await? {
            return Ok(session);
        }
        // Every host was tried over TLS, now or a while ago: the first whose handshake broke, in clear.
        for (candidate, fault, when) in misses.broken.into_iter().filter(|_| may_go_clear) {
            self.reach(candidate, dialled).await;
            match courier.open(self.request(candidate, Some(fault.clone()))).await {
                Ok(session) => {
                    if when == BreakTime::Now {
                        courier.note_broken(candidate.key(way.connector.revision), fault);
                    }
                    return Ok(session);
                }
                Err(Miss::Broken(_, outcome) | Miss::Other(outcome)) => misses.outcomes.push(outcome),
            }
        }
        let nowhere = || classify_name(&NameFault::NoAddress, "the next hop");
        Err(classify_together(misses.outcomes).unwrap_or_else(nowhere))
    }

    /// Whether mail may go in plaintext where handshakes break.
    fn may_go_clear(&self) -> bool {
        may_go_clear(&self.way.connector, self.need)
    }

    fn request<'b>(&'b self, candidate: &'b Candidate, after: Option<HandshakeFault>) -> OpenRequest<'b> {
        let progress = self.jobs.map(|jobs| jobs.progress());
        OpenRequest { way: self.way, candidate, need: self.need, after, banner: None, progress }
    }

    /// Waits until the host may have one more connection.
    async fn reach(&self, candidate: &Candidate, dialled: &DialledHost) {
        let Some(jobs) = self.jobs else { return };
        dialled.set(None);
        jobs.reach(candidate.address).await;
        dialled.set(Some(candidate));
    }

    /// The first candidate that gives a session; what the others came to is noted.
    async fn first_of<'a>(
        &self,
        candidates: &'a [Candidate],
        dialled: &DialledHost,
        misses: &mut Misses<'a>,
    ) -> Result<Option<OpenSession>, Outcome> {
        let (courier, connector, may_go_clear) = (self.courier, &self.way.connector, self.may_go_clear());
        for candidate in candidates {
            let key = candidate.key(connector.revision);
            // Whom TLS is remembered of, TLS is tried with each time.
            let known = courier.broken.recall(&key, Instant::now()).filter(|_| !connector.remember_tls);
            if let Some(fault) = known.filter(|_| may_go_clear) {
                misses.broken.push((candidate, fault, BreakTime::Before));
                continue;
            }
            if courier.unreached.recall(&key, Instant::now()).is_none() {
                self.reach(candidate, dialled).await;
            }
            // Somebody may have found out while this one waited.
            if let Some(outcome) = courier.unreached.recall(&key, Instant::now()) {
                misses.outcomes.push(outcome);
                continue;
            }
            match courier.open(self.request(candidate, None)).await {
                Ok(session) => match self.need.suits(&session) {
                    Ok(()) => {
                        courier.broken_once.forget(&key);
                        return Ok(Some(session));
                    }
                    // RFC 6531 §3.2: another exchanger may know what this one does not.
                    Err(outcome) => {
                        misses.outcomes.push(*outcome);
                        session.connection.dismiss();
                    }
                },
                Err(Miss::Broken(fault, outcome)) => {
                    misses.broken.push((candidate, fault, BreakTime::Now));
                    misses.outcomes.push(outcome);
                }
                Err(Miss::Other(outcome)) if scope(&outcome) == Some(Scope::Session) => return Err(outcome),
                Err(Miss::Other(outcome)) => {
                    if is_out_of_reach(&outcome) {
                        courier.note_unreached(key, &outcome, connector);
                    }
                    misses.outcomes.push(outcome);
                }
            }
        }
        Ok(None)
    }

    /// Others waited, and this opening did not get on: the host it was at is not asked again at once by anybody.
    fn displaced(&self, dialled: &DialledHost) -> Outcome {
        let Some(candidate) = dialled.get() else { return crowded_out() };
        let (host, connector) = (candidate.host(), &self.way.connector);
        let outcome = classify_fault(None, &LinkFault::Displaced, &At { host: &host, decision: None });
        self.courier.note_unreached(candidate.key(connector.revision), &outcome, connector);
        outcome
    }
}

/// The host that was dialled last; none while its turn is waited for.
#[derive(Default)]
struct DialledHost(Mutex<Option<Candidate>>);

impl DialledHost {
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

/// Whether a connector lets this go in plaintext where the handshakes of every host break.
pub(super) fn may_go_clear(connector: &Outbound, need: Need<'_>) -> bool {
    match connector.on_handshake_failure {
        OnHandshakeFailure::Clear => true,
        OnHandshakeFailure::ClearLater => need.is_retried(),
        OnHandshakeFailure::Defer => false,
    }
}

/// For how long a host that gave no connection is not asked again: not so long that a lane's own next attempt would still meet it.
fn remembered_for(retry: &Retry) -> Duration {
    let first = retry.waits.first().copied().unwrap_or(UNREACHED_MAX);
    first.min(UNREACHED_MAX).saturating_sub(UNREACHED_MARGIN)
}

const UNREACHED_MAX: Duration = Duration::from_secs(30);
const UNREACHED_MARGIN: Duration = Duration::from_millis(100);

impl Courier {
    /// A session that waits for more work, judged again for this need.
    pub(super) async fn reuse(
        &self,
        way: &Way,
        candidates: &[Candidate],
        need: Need<'_>,
    ) -> Option<OpenSession> {
        let connector = &way.connector;
        for candidate in candidates {
            let requirement = connector.requirement(way.domain.as_ref(), candidate.smart.as_ref());
            while let Some(mut session) = self.pool.take(&candidate.key(connector.revision)) {
                let table = self.live.table();
                let fits = serves(&table, connector, need.mailboxes())
                    && session.connection.is_quiet().await
                    && session.rejudge(connector, requirement.clone(), table.generation)
                    && self.may_reuse(way, candidate, &session)
                    && need.suits(&session).is_ok();
                if fits {
                    return Some(session);
                }
                session.connection.dismiss();
            }
        }
        None
    }

    /// Keeps a session for more work, unless it has done enough, or is in clear only since handshakes broke.
    pub(super) fn keep(&self, session: OpenSession, way: &Way) {
        if session.is_after_broken() || self.is_worn(&session, way) {
            return session.connection.dismiss();
        }
        self.pool.put(session);
    }

    /// Whether a session has carried as many messages as it may.
    pub(super) fn is_worn(&self, session: &OpenSession, way: &Way) -> bool {
        let max = [way.connector.sending.messages_max, session.smtp.offers().messages_max];
        session.used >= max.into_iter().flatten().fold(self.settings.messages_per_connection_max, u32::min)
    }
}
