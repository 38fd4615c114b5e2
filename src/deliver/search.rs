//! Finds a session for a need: an idle one, or a new one, candidate by candidate. It judges nothing
//! itself.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::classify::{crowded_out, is_out_of_reach, scope, stopping};
use super::courier::Courier;
use super::dial::{DialResult, HEAD_START, Transport, dial_either};
use super::memory::{SLOWER_FOR, TLS_TRIED_AGAIN_AFTER};
use super::need::Need;
use super::open::{Miss, OpenRequest};
use super::route::Candidates;
use super::session::{Candidate, Key, OpenSession};
use crate::connector::{Decision, OnHandshakeFailure, Outbound, Retry, SecuringFault};
use crate::outcome::{
    At, LinkFault, NameFault, Outcome, Scope, Trouble, classify_fault, classify_name, classify_together,
};
use crate::scheduler::{Jobs, Way};

/// The results of the candidates that gave no session over TLS.
#[derive(Default)]
struct Misses<'a> {
    outcomes: Vec<Outcome>,
    /// Candidates on which TLS failed, now or earlier, and that may still be tried in plaintext.
    broken: Vec<(&'a Candidate, SecuringFault, BreakTime)>,
}

/// When a handshake failed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum BreakTime {
    Now,
    /// Remembered from an earlier attempt; not tried now.
    Before,
}

/// The search for one session.
pub(super) struct Search<'a> {
    pub(super) courier: &'a Courier,
    pub(super) way: &'a Way,
    pub(super) need: Need<'a>,
    /// Where places for the session are requested; `None`: it takes nobody's place.
    pub(super) jobs: Option<&'a dyn Jobs>,
    /// Only a new session will do.
    pub(super) fresh: bool,
}

impl Search<'_> {
    /// Finds a session. The search ends early if it makes no progress and others wait for the
    /// opening.
    ///
    /// # Errors
    /// Why there is no session.
    pub(super) async fn run(&self) -> Result<OpenSession, Outcome> {
        if let Some(decision) = Decision::onward(&self.way.connector, &self.need.onward()) {
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
        let Candidates { list: candidates, left, attempts, .. } = courier.candidates(way).await?;
        // Plaintext is for where every host was tried over TLS, be it in several attempts.
        let may_go_clear = self.may_go_clear() && self.need.attempts() >= attempts.saturating_sub(1);
        // Smart hosts in rotation: an idle session at another host is not for this turn.
        let first = candidates.first().map(|candidate| &candidate.smart);
        let own = candidates.iter().take_while(|candidate| Some(&candidate.smart) == first).count();
        let reusable = if way.connector.sending.spread { own } else { candidates.len() };
        let waiting = candidates.get(..reusable).unwrap_or_default();
        if !self.fresh
            && let Some(session) = courier.reuse(way, waiting, self.need).await
        {
            if let Some(jobs) = self.jobs {
                jobs.reuse(session.key.address);
            }
            return Ok(session);
        }
        let mut misses = Misses::default();
        if let Some(session) = self.first_of((&candidates, may_go_clear), dialled, &mut misses).await? {
            return Ok(session);
        }
        // Every host was tried over TLS, now or earlier: fall back to plaintext at the first whose
        // handshake failed.
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
        Err(not_final(classify_together(misses.outcomes).unwrap_or_else(nowhere), left))
    }

    /// Whether mail may go in plaintext after failed handshakes.
    fn may_go_clear(&self) -> bool {
        may_go_clear(&self.way.connector, self.need)
    }

    fn request<'b>(&'b self, candidate: &'b Candidate, after: Option<SecuringFault>) -> OpenRequest<'b> {
        let progress = self.jobs.map(|jobs| jobs.progress());
        OpenRequest {
            way: self.way,
            candidate,
            need: self.need,
            dialled: None,
            after,
            banner: None,
            progress,
        }
    }

    /// Waits until the host may have one more connection.
    async fn reach(&self, candidate: &Candidate, dialled: &DialledHost) {
        let Some(jobs) = self.jobs else { return };
        dialled.set(None);
        jobs.reach(candidate.address).await;
        dialled.set(Some(candidate));
    }

    /// Returns the first session a candidate gives; records the outcome of the others.
    async fn first_of<'a>(
        &self,
        (candidates, may_go_clear): (&'a [Candidate], bool),
        dialled: &DialledHost,
        misses: &mut Misses<'a>,
    ) -> Result<Option<OpenSession>, Outcome> {
        let (courier, connector) = (self.courier, &self.way.connector);
        let mut coming: VecDeque<&'a Candidate> = candidates.iter().collect();
        while let Some(candidate) = self.next_of(&mut coming) {
            let key = candidate.key(connector.revision);
            // With `remember_tls`, TLS is attempted every time.
            let known = courier.broken.recall(&key, Instant::now()).filter(|_| !connector.remember_tls);
            if let Some(fault) = known.filter(|_| may_go_clear) {
                misses.broken.push((candidate, fault, BreakTime::Before));
                continue;
            }
            if courier.unreached.recall(&key, Instant::now()).is_none() {
                self.reach(candidate, dialled).await;
            }
            // Another task may have found out while this one waited.
            if let Some(outcome) = courier.unreached.recall(&key, Instant::now()) {
                misses.outcomes.push(outcome);
                continue;
            }
            let (candidate, stream) = self.dial(candidate, &mut coming, dialled).await;
            let key = candidate.key(connector.revision);
            match courier.open(OpenRequest { dialled: stream, ..self.request(candidate, None) }).await {
                Ok(session) => match self.need.suits(&session) {
                    Ok(()) => {
                        courier.broken_once.forget(&key);
                        return Ok(Some(session));
                    }
                    // RFC 6531 §3.2: another exchanger may support an extension that this one does
                    // not.
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

    /// The next candidate; its host's address of the other family, where this one did not answer a while ago.
    fn next_of<'a>(&self, coming: &mut VecDeque<&'a Candidate>) -> Option<&'a Candidate> {
        let next = coming.pop_front()?;
        let key = next.key(self.way.connector.revision);
        match self
            .rival_of(next, coming)
            .filter(|_| self.courier.slower.recall(&key, Instant::now()).is_some())
        {
            None => Some(next),
            Some(rival) => Some(put_off(next, rival, coming)),
        }
    }

    /// The candidate behind this one, if it is an address of the same host in the other family, and nothing is held against it.
    fn rival_of<'a>(&self, candidate: &Candidate, coming: &VecDeque<&'a Candidate>) -> Option<&'a Candidate> {
        let rival = *coming.front()?;
        let (key, now) = (rival.key(self.way.connector.revision), Instant::now());
        let is_same_host = rival.name == candidate.name && rival.smart == candidate.smart;
        let is_usable = self.courier.unreached.recall(&key, now).is_none()
            && self.courier.broken.recall(&key, now).is_none();
        (is_same_host && is_usable && rival.address.is_ipv4() != candidate.address.is_ipv4()).then_some(rival)
    }

    /// Dials a candidate that has a rival: whichever of them answers is next, and the other follows it.
    async fn dial<'a>(
        &self,
        candidate: &'a Candidate,
        coming: &mut VecDeque<&'a Candidate>,
        dialled: &DialledHost,
    ) -> (&'a Candidate, Option<Result<Box<dyn Transport>, LinkFault>>) {
        let Some(rival) = self.rival_of(candidate, coming) else { return (candidate, None) };
        let (courier, connector) = (self.courier, &self.way.connector);
        let addresses = (candidate.address, rival.address);
        let limit = courier.settings.timeouts.connect;
        match dial_either(&*courier.dialler, addresses, &connector.source_addresses, limit).await {
            DialResult::First(done) => (candidate, Some(done)),
            DialResult::Second(stream) => {
                let noted = (Instant::now(), SLOWER_FOR);
                courier.slower.note(candidate.key(connector.revision), (), noted);
                let rival = put_off(candidate, rival, coming);
                let asked = Instant::now();
                self.reach(rival, dialled).await;
                // After a long wait for a place the connection may be stale.
                (rival, (asked.elapsed() < HEAD_START).then_some(Ok(stream)))
            }
        }
    }

    /// This opening was evicted because it made no progress and others waited: for a while no lane
    /// asks its host again.
    fn displaced(&self, dialled: &DialledHost) -> Outcome {
        let Some(candidate) = dialled.get() else { return crowded_out() };
        let (host, connector) = (candidate.host(), &self.way.connector);
        let outcome = classify_fault(None, &LinkFault::Displaced, &At { host: &host, decision: None });
        self.courier.note_unreached(candidate.key(connector.revision), &outcome, connector);
        outcome
    }
}

/// Puts a candidate behind its rival, which is the first of those coming.
fn put_off<'a>(
    candidate: &'a Candidate,
    rival: &'a Candidate,
    coming: &mut VecDeque<&'a Candidate>,
) -> &'a Candidate {
    coming.pop_front();
    coming.push_front(candidate);
    rival
}

/// What the hosts that were tried came to, while others are left for later attempts: it may be final for each of these, and is
/// not for the message.
fn not_final(outcome: Outcome, left: usize) -> Outcome {
    match outcome {
        Outcome::Failed(trouble) if left > 0 => {
            let status = trouble.status.in_class(4);
            let reason =
                format!("{}; {left} more hosts or addresses are left for other attempts", trouble.reason);
            // Hosts that can't take this message may well take the next.
            let scope = if trouble.cause.is_of_message() { trouble.scope } else { Scope::Lane };
            Outcome::Deferred(Trouble { status, reason, scope, ..trouble })
        }
        other @ (Outcome::Delivered(_) | Outcome::Deferred(_) | Outcome::Failed(_)) => other,
    }
}

/// The host that was dialled last; none while waiting for a turn.
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

    /// TLS failed, and the host then took mail in plaintext. Once may be chance or an attacker in
    /// the middle: TLS is skipped for a while only after the second failure in a row.
    fn note_broken(&self, key: Key, fault: SecuringFault) {
        let noted = (Instant::now(), TLS_TRIED_AGAIN_AFTER);
        if self.broken_once.recall(&key, Instant::now()).is_some() {
            self.broken_once.forget(&key);
            self.broken.note(key, fault, noted);
        } else {
            self.broken_once.note(key, (), noted);
        }
    }
}

/// Whether a connector allows plaintext for this need after the handshakes of every host failed.
pub(super) fn may_go_clear(connector: &Outbound, need: Need<'_>) -> bool {
    match connector.on_handshake_failure {
        OnHandshakeFailure::Clear => true,
        OnHandshakeFailure::ClearLater => need.attempts() >= 1,
        OnHandshakeFailure::Defer => false,
    }
}

/// How long an unreachable host is not asked again. Shorter than a lane's first retry, so that the
/// retry does not meet the old result.
fn remembered_for(retry: &Retry) -> Duration {
    let first = retry.waits.first().copied().unwrap_or(UNREACHED_MAX);
    first.min(UNREACHED_MAX).saturating_sub(UNREACHED_MARGIN)
}

const UNREACHED_MAX: Duration = Duration::from_secs(30);
const UNREACHED_MARGIN: Duration = Duration::from_millis(100);

impl Courier {
    /// An idle session, judged again for this need.
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
                let fits = need.is_served(&table, connector)
                    && !self.is_worn(&session, way)
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

    /// Keeps a session for more work, unless it is worn out or is in plaintext only because
    /// handshakes failed.
    pub(super) fn keep(&self, session: OpenSession, way: &Way) {
        if session.is_after_broken() || self.is_worn(&session, way) {
            return session.connection.dismiss();
        }
        self.pool.put(session);
    }

    /// Whether a session has carried its maximum number of messages, or was judged before a revocation list was
    /// fetched that may name its peer.
    pub(super) fn is_worn(&self, session: &OpenSession, way: &Way) -> bool {
        if let (Some(facts), Some(_)) = (session.observed.facts(), way.connector.forced()) {
            let setups = self.tls.load();
            let setup = setups.get(&way.connector.revision);
            if session.used > 0 && setup.is_some_and(|setup| setup.has_new_lists_since(facts.at)) {
                return true;
            }
        }
        let max = [way.connector.sending.messages_max, session.smtp.offers().messages_max];
        session.used >= max.into_iter().flatten().fold(self.settings.messages_per_connection_max, u32::min)
    }
}
