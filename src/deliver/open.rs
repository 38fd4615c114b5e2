//! Opens one session to one host: dial, greeting, TLS, judgement, second EHLO, login. It does not
//! choose the host and sends no envelope.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use super::classify::{broken_early, elsewhere, refused_early};
use super::connection::{Connection, Interruption};
use super::courier::Courier;
use super::dial::dial;
use super::need::{Need, serves};
use super::session::{Candidate, OpenSession};
use crate::connector::{
    Attained, Decision, Handshake, HandshakeFault, Observed, OnFailure, Outbound, OutboundTls, Permit,
    Requirement, Shortfall, Sni, TlsMemory, Verdict, judge,
};
use crate::outcome::{At, Outcome, Scope, Stage, Trouble, classify_fault, classify_shortfall};
use crate::scheduler::{Progress, Way};
use crate::smtp::{
    AuthorisedSession, Dialogue, Hello, Open, Opening, OpeningEvent, SecuredEvent, SecuredSession,
};
use crate::tls::ClientSetup;
use crate::tracking::Event;

/// A candidate that gave no session.
pub(super) enum Miss {
    /// Opportunistic TLS and the handshake failed: the host may still be tried in plaintext.
    Broken(HandshakeFault, Outcome),
    /// Any other outcome.
    Other(Outcome),
}

/// One candidate to open a session with.
pub(super) struct OpenRequest<'a> {
    pub(super) way: &'a Way,
    pub(super) candidate: &'a Candidate,
    pub(super) need: Need<'a>,
    /// The handshake fault of an earlier attempt: this connection stays in plaintext.
    pub(super) after: Option<HandshakeFault>,
    /// Where to store the host's greeting, if the caller wants it.
    pub(super) banner: Option<&'a Mutex<Option<String>>>,
    /// Where progress is reported, so that a stalled opening can be evicted.
    pub(super) progress: Option<&'a Arc<Progress>>,
}

impl Courier {
    /// Opens a session with a candidate and has it judged after only EHLO and STARTTLS.
    ///
    /// # Errors
    /// [`Miss`]; no part of a message was written.
    pub(super) async fn open(&self, request: OpenRequest<'_>) -> Result<OpenSession, Miss> {
        let OpenRequest { way, candidate, need, after, banner, progress } = request;
        let connector = &way.connector;
        let host = candidate.host();
        let at = At { host: &host, decision: None };
        let requirement = connector.requirement(way.domain.as_ref(), candidate.smart.as_ref());
        let setup =
            self.tls.load().get(&connector.revision).cloned().ok_or_else(|| Miss::Other(elsewhere()))?;
        let limit = self.settings.timeouts.connect;
        let dialled = dial(candidate.address, &connector.source_addresses, limit).await;
        let stream = dialled.map_err(|fault| Miss::Other(classify_fault(None, &fault, &at)))?;
        let mut connection = Connection::new(stream);
        if let Some(progress) = progress {
            connection.tell_progress(progress);
        }
        let mut opening = Opening::new(self.hello(connector, after.is_none(), requirement.is_forced()));
        let observed =
            self.observe((&mut connection, &mut opening), &setup, (connector, candidate), after, &at).await;
        tell_banner(banner, opening.banner());
        let observed = match observed {
            Ok(observed) => observed,
            Err(outcome) => {
                connection.dismiss();
                return Err(Miss::Other(outcome));
            }
        };
        let judged = self.judged(way, candidate, need, (&opening, &observed, &requirement), &at);
        let (permit, decision) = match judged {
            Ok(judged) => judged,
            Err(miss) => {
                connection.dismiss();
                return Err(*miss);
            }
        };
        let at = At { host: &host, decision: Some(&decision) };
        let mut smtp = match opening.authorise(permit, &mut connection.out) {
            Some(AuthorisedSession::Open(smtp)) => smtp,
            Some(AuthorisedSession::Secured(secured)) => {
                let greeted = self.greet((&mut connection, secured), banner, &at).await;
                greeted.map_err(|broken| match broken {
                    Again::Outcome(outcome) => Miss::Other(outcome),
                    Again::Tls(fault) => {
                        let shortfall = Shortfall::Handshake(fault.clone());
                        miss(connector, &host, &requirement, &Observed::HandshakeBroken(fault), &shortfall)
                    }
                })?
            }
            None => return Err(Miss::Other(elsewhere())),
        };
        if let Err(outcome) = self.log_in((&mut connection, &mut smtp), connector, &at).await {
            connection.dismiss();
            return Err(Miss::Other(outcome));
        }
        let key = candidate.key(connector.revision);
        Ok(OpenSession { connection, smtp, key, host, observed, requirement, decision, used: 0 })
    }

    fn hello(&self, connector: &Outbound, starttls: bool, forced: bool) -> Hello {
        Hello {
            name: connector.ehlo_name.as_ref().unwrap_or(&self.settings.name).clone(),
            starttls: starttls && connector.tls != OutboundTls::Off,
            implicit: connector.handshake == Handshake::Implicit,
            helo: !forced,
            ignored: connector.sending.ignored.clone(),
        }
    }

    /// Runs the opening as far as the judge needs: greeting, EHLO and the TLS handshake.
    async fn observe(
        &self,
        (connection, opening): (&mut Connection, &mut Opening),
        setup: &ClientSetup,
        (connector, candidate): (&Outbound, &Candidate),
        after: Option<HandshakeFault>,
        at: &At<'_>,
    ) -> Result<Observed, Outcome> {
        let limits = &self.settings.timeouts;
        let sni = match &connector.sni {
            Sni::Host => candidate.name.as_ref(),
            Sni::Name(name) => Some(name),
            Sni::Nothing => None,
        };
        let sealed = |facts: Result<_, HandshakeFault>| {
            facts.map_or_else(Observed::HandshakeBroken, Observed::Established)
        };
        if connector.handshake == Handshake::Implicit {
            return Ok(sealed(connection.seal(setup, sni, limits.handshake).await));
        }
        match connection.event(opening, limits).await {
            Ok(OpeningEvent::InClear(_)) if connector.tls == OutboundTls::Off => Ok(Observed::NotTried),
            Ok(OpeningEvent::InClear(refused)) => Ok(match (after, refused) {
                (Some(fault), _) => Observed::ClearAfterBroken(fault),
                (None, Some(reply)) => Observed::Refused(reply),
                (None, None) => Observed::NotOffered,
            }),
            Ok(OpeningEvent::Handshake) => Ok(sealed(connection.seal(setup, sni, limits.handshake).await)),
            Ok(OpeningEvent::NotGreeted(reply)) => Err(refused_early(Stage::Greeting, &reply, at)),
            Ok(OpeningEvent::HelloRefused(reply) | OpeningEvent::Closing(reply)) => {
                Err(refused_early(Stage::Hello, &reply, at))
            }
            Err(Interruption::Tls(fault)) => Ok(Observed::HandshakeBroken(fault)),
            Err(Interruption::Link(fault)) => Err(broken_early(&fault, opening.replies(), at)),
        }
    }

    /// Whether the session may carry mail under the table in effect. Logs plaintext fallbacks and
    /// waivers.
    fn judged(
        &self,
        way: &Way,
        candidate: &Candidate,
        need: Need<'_>,
        (opening, observed, requirement): (&Opening, &Observed, &Requirement),
        at: &At<'_>,
    ) -> Result<(Permit, Arc<Decision>), Box<Miss>> {
        let connector = &way.connector;
        // The table may have changed since the way was chosen. Judge by the table in effect, and
        // only if this connector, unchanged, still serves these recipients.
        let table = self.live.table();
        if !serves(&table, connector, need.mailboxes()) {
            return Err(Box::new(Miss::Other(elsewhere())));
        }
        let permit = match judge(requirement, observed, opening.id(), connector.revision, table.generation) {
            Verdict::Proceed(permit) => permit,
            Verdict::Withhold(shortfall) => {
                return Err(Box::new(miss(connector, at.host, requirement, observed, &shortfall)));
            }
        };
        if let Some(outcome) = self.remembered(way, candidate, permit.attained(), at) {
            return Err(Box::new(Miss::Other(outcome)));
        }
        if permit.is_enforced() {
            self.notice(connector, candidate, observed);
        }
        let decision = Arc::new(Decision::proceeded(connector, at.host, requirement, &permit));
        if let Attained::Clear(_) = permit.attained() {
            self.journal.record(&Event::ClearFallback { host: at.host, decision: &decision });
        }
        if permit.waived().is_some() {
            self.journal.record(&Event::Waived { host: at.host, decision: &decision });
        }
        Ok((permit, decision))
    }

    /// Sends EHLO inside TLS. The first reply there also shows whether the server accepted the
    /// handshake.
    async fn greet(
        &self,
        (connection, mut secured): (&mut Connection, SecuredSession),
        banner: Option<&Mutex<Option<String>>>,
        at: &At<'_>,
    ) -> Result<Open, Again> {
        let event = connection.event(&mut secured, &self.settings.timeouts).await;
        tell_banner(banner, secured.banner());
        let replies = secured.replies();
        match event {
            Ok(SecuredEvent::Ready) => secured.open().ok_or_else(|| Again::Outcome(elsewhere())),
            Ok(SecuredEvent::HelloRefused(reply) | SecuredEvent::Closing(reply)) => {
                Err(Again::Outcome(refused_early(Stage::Hello, &reply, at)))
            }
            Ok(SecuredEvent::NotGreeted(reply)) => {
                Err(Again::Outcome(refused_early(Stage::Greeting, &reply, at)))
            }
            Err(Interruption::Tls(fault)) => Err(Again::Tls(fault)),
            Err(Interruption::Link(fault)) => Err(Again::Outcome(broken_early(&fault, replies, at))),
        }
    }

    /// Whether `remember_tls` lets a session that was opened for another domain serve this one.
    /// What the session attained is remembered for this domain too.
    pub(super) fn may_reuse(&self, way: &Way, candidate: &Candidate, session: &OpenSession) -> bool {
        let at = At { host: &session.host, decision: None };
        !way.connector.remember_tls
            || self.remembered(way, candidate, &session.observed.attained(), &at).is_none()
    }

    /// Raises an alarm if a certificate that met a forced requirement has a new issuer or expires
    /// soon.
    fn notice(&self, connector: &Outbound, candidate: &Candidate, observed: &Observed) {
        let Observed::Established(facts) = observed else { return };
        let Some(certificate) = facts.certificate() else { return };
        let host = candidate.name.as_ref().map_or_else(|| candidate.address.to_string(), ToString::to_string);
        let (told, kept) = self.partners.saw(&connector.name, &host, certificate, facts.at);
        for what in &told {
            self.journal.record(&Event::Alarm { what });
        }
        if let Err(fault) = kept {
            tracing::warn!(%fault, "partners-seen can't be written: only this process remembers it");
        }
    }

    /// `remember_tls`: a next hop that has used TLS gets no plaintext without an alarm and a delay.
    fn remembered(
        &self,
        way: &Way,
        candidate: &Candidate,
        attained: &Attained,
        at: &At<'_>,
    ) -> Option<Outcome> {
        let connector = &way.connector;
        if !connector.remember_tls {
            return None;
        }
        let smart = candidate.smart.as_ref().map(ToString::to_string);
        let whom = smart.or_else(|| way.domain.as_ref().map(ToString::to_string))?;
        let key = format!("{} {whom}", connector.name);
        if let Attained::Sealed(_) = attained {
            if let Err(fault) = self.seen.sealed(&key) {
                tracing::warn!(%fault, "tls-seen can't be written: only this process remembers who had TLS");
            }
            return None;
        }
        let memory = self.seen.without(&key, Instant::now());
        let decision = connector.withheld_by_memory(at.host, attained, memory)?;
        let reason = decision.reason();
        if memory == TlsMemory::Sealed {
            let what = format!(
                "connector {}: {reason}; mail waits for an hour before it is sent in plaintext",
                connector.name
            );
            self.journal.record(&Event::Alarm { what: &what });
        }
        Some(Outcome::Deferred(Trouble::by(decision, Scope::Lane)))
    }
}

/// A failure inside TLS before the session was open.
enum Again {
    Outcome(Outcome),
    Tls(HandshakeFault),
}

fn tell_banner(place: Option<&Mutex<Option<String>>>, banner: Option<&str>) {
    if let (Some(place), Some(banner)) = (place, banner) {
        *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(banner.to_owned());
    }
}

fn miss(
    connector: &Outbound,
    host: &str,
    requirement: &Requirement,
    observed: &Observed,
    shortfall: &Shortfall,
) -> Miss {
    let decision = Arc::new(Decision::withheld(connector, host, requirement, observed, shortfall));
    let at = At { host, decision: Some(&decision) };
    match (requirement, shortfall) {
        // Never plaintext because of a certificate: the peer's is not judged here, and ours was
        // refused by the peer.
        (
            Requirement::Off | Requirement::Opportunistic | Requirement::Audit(_),
            Shortfall::Handshake(fault),
        ) if !fault.over_certificate => {
            Miss::Broken(fault.clone(), classify_shortfall(shortfall, OnFailure::Defer, &at))
        }
        (
            Requirement::Off | Requirement::Opportunistic | Requirement::Audit(_) | Requirement::Forced(_),
            _,
        ) => Miss::Other(classify_shortfall(shortfall, connector.on_failure, &at)),
    }
}
