//! Opens one session to one host: dial, greeting, TLS, judgement, second EHLO, login. It does not
//! choose the host and sends no envelope.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use super::classify::{broken_early, elsewhere, refused_early};
use super::connection::{Connection, Interruption};
use super::courier::Courier;
use super::dial::Transport;
use super::memory::{POST_QUANTUM_TRIED_AGAIN_AFTER, TLS_TRIED_AGAIN_AFTER};
use super::need::Need;
use super::script::{Script, link_words};
use super::session::{Candidate, OpenSession};
use crate::connector::{
    Attained, ClientCertificate, Decision, Handshake, HandshakeCause, HandshakeFault, Observed, OnFailure,
    Outbound, OutboundTls, Permit, Requirement, SecuringFault, Shortfall, Sni, TlsFacts, TlsMemory, Verdict,
    judge,
};
use crate::mail::Domain;
use crate::outcome::{At, LinkFault, Outcome, Scope, Stage, Trouble, classify_fault, classify_shortfall};
use crate::scheduler::{Progress, Way};
use crate::smtp::{
    AuthorisedSession, Dialogue, Hello, Open, Opening, OpeningEvent, SecuredEvent, SecuredSession,
};
use crate::tls::{ClientSetup, KeyShares};
use crate::tracking::{AlarmTopic, Event, HandshakeSide, SessionSide};

/// A candidate that gave no session.
pub(super) enum Miss {
    /// Opportunistic TLS, and the attempt to secure the session broke it: the host may still be tried in plaintext.
    Broken(SecuringFault, Outcome),
    /// Any other outcome.
    Other(Outcome),
}

impl Miss {
    /// Why there is none, in one sentence.
    fn reason(&self) -> &str {
        let (Self::Broken(_, outcome) | Self::Other(outcome)) = self;
        match outcome {
            Outcome::Deferred(trouble) | Outcome::Failed(trouble) => &trouble.reason,
            Outcome::Delivered(_) => "",
        }
    }
}

/// A connection, and what it showed before the judgement.
struct Approach {
    connection: Connection,
    opening: Opening,
    observed: Observed,
}

/// One candidate to open a session with.
pub(super) struct OpenRequest<'a> {
    pub(super) way: &'a Way,
    pub(super) candidate: &'a Candidate,
    pub(super) need: Need<'a>,
    /// What dialling it came to, if it was dialled already.
    pub(super) dialled: Option<Result<Box<dyn Transport>, LinkFault>>,
    /// How TLS failed in an earlier attempt: this connection stays in plaintext.
    pub(super) after: Option<SecuringFault>,
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
    pub(super) async fn open(&self, mut request: OpenRequest<'_>) -> Result<OpenSession, Miss> {
        let dialled = request.dialled.take();
        let OpenRequest { way, candidate, need, banner, .. } = request;
        let connector = &way.connector;
        let host = candidate.host();
        let at = At { host: &host, decision: None };
        let requirement = connector.requirement(way.domain.as_ref(), candidate.smart.as_ref());
        let setup =
            self.tls.load().get(&connector.revision).cloned().ok_or_else(|| Miss::Other(elsewhere()))?;
        let approached = self.approach(&request, dialled, (&setup, &requirement), &at).await;
        let Approach { mut connection, opening, observed } = approached.map_err(Miss::Other)?;
        let judged = self.judged(way, candidate, need, (&opening, &observed, &requirement), &at);
        let (permit, decision) = match judged {
            Ok(judged) => judged,
            Err(miss) => {
                if let Some(script) = connection.script() {
                    script.fail_for(&format!("not used: {}", miss.reason()));
                }
                connection.dismiss();
                return Err(*miss);
            }
        };
        if let Some(script) = connection.script() {
            script.note(&decision.reason());
        }
        let at = At { host: &host, decision: Some(&decision) };
        let mut smtp = match opening.authorise(permit, &mut connection.out) {
            Some(AuthorisedSession::Open(smtp)) => smtp,
            Some(AuthorisedSession::Secured(secured)) => {
                let greeted = self.greet((&mut connection, secured), banner, &at).await;
                greeted.map_err(|broken| broken.into_miss(connector, (&observed, &requirement), &host))?
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

    /// A connection, up to what a judge needs to know. In audit the handshake is made as enforcing would make it, and only
    /// if it fails without those limits: so what is recorded is what enforcing would have come to, whatever the peer
    /// prefers. A fault is remembered before anything else is tried, so that a host that takes few connections still gets
    /// its mail.
    async fn approach(
        &self,
        request: &OpenRequest<'_>,
        dialled: Option<Result<Box<dyn Transport>, LinkFault>>,
        (setup, requirement): (&ClientSetup, &Requirement),
        at: &At<'_>,
    ) -> Result<Approach, Outcome> {
        let Some(enforced) = setup.rehearsed() else {
            return self.approach_by(request, dialled, (setup, requirement), at).await;
        };
        let key = request.candidate.key(request.way.connector.revision);
        let (fault, dialled) = match self.rehearsed_in_vain.recall(&key, Instant::now()) {
            Some(fault) => (fault, dialled),
            None => {
                let first = self.approach_by(request, dialled, (enforced, requirement), at).await?;
                let Observed::Broken(SecuringFault::Handshake(fault)) = &first.observed else {
                    return Ok(first);
                };
                if !first.connection.is_gone() {
                    return Ok(first);
                }
                self.rehearsed_in_vain.note(key, fault.clone(), (Instant::now(), TLS_TRIED_AGAIN_AFTER));
                (fault.clone(), None)
            }
        };
        let second = self.approach_by(request, dialled, (setup, requirement), at).await?;
        Ok(match second.observed {
            Observed::Established(facts) => {
                Approach { observed: Observed::EstablishedAfter(fault, facts), ..second }
            }
            Observed::EstablishedAfter(..)
            | Observed::NotTried
            | Observed::NotOffered
            | Observed::Refused(_)
            | Observed::Broken(_)
            | Observed::ClearAfterBroken(_) => second,
        })
    }

    /// A connection whose handshake this setup makes. One that fails on post-quantum key shares is made once
    /// more without them, before anything else follows from it: some hosts and firewalls fail on the size of that
    /// ClientHello, which is ours. What the second one came to stands.
    async fn approach_by(
        &self,
        request: &OpenRequest<'_>,
        dialled: Option<Result<Box<dyn Transport>, LinkFault>>,
        (setup, requirement): (&ClientSetup, &Requirement),
        at: &At<'_>,
    ) -> Result<Approach, Outcome> {
        let connector = &request.way.connector;
        let dialled = match dialled {
            Some(dialled) => dialled,
            None => self.dial(request).await,
        };
        let key = request.candidate.key(connector.revision);
        let known = self.classic_only.recall(&key, Instant::now()).is_some();
        // Where post-quantum is demanded each attempt begins with it: anything else would be withheld.
        if known && !setup.demands_post_quantum() {
            return self.approach_with(request, dialled, (setup, KeyShares::Classic, requirement), at).await;
        }
        let first =
            self.approach_with(request, dialled, (setup, KeyShares::Offered, requirement), at).await?;
        let Observed::Broken(SecuringFault::Handshake(fault)) = &first.observed else { return Ok(first) };
        if !first.connection.is_gone() || !setup.has_classic() || fault.over_certificate {
            return Ok(first);
        }
        let dialled = self.dial(request).await;
        let second =
            self.approach_with(request, dialled, (setup, KeyShares::Classic, requirement), at).await?;
        if matches!(second.observed, Observed::Established(_)) && !known {
            self.classic_only.note(key, (), (Instant::now(), POST_QUANTUM_TRIED_AGAIN_AFTER));
            let (host, reason) = (at.host, fault.words.as_str());
            self.tell(request.need, &Event::KeySharesOmitted { host, connector: &connector.name, reason });
            if setup.demands_post_quantum() {
                let what = format!(
                    "connector {}: the handshake with {} fails with a post-quantum key share ({}), and works \
                     without it; key_exchange = \"post-quantum\" lets no mail go there. Often a firewall on the way \
                     drops the larger ClientHello",
                    connector.name, at.host, fault.words
                );
                self.tell(request.need, &Event::Alarm { topic: AlarmTopic::Other, what: &what });
            }
        }
        Ok(second)
    }

    async fn dial(&self, request: &OpenRequest<'_>) -> Result<Box<dyn Transport>, LinkFault> {
        let (sources, limit) = (&request.way.connector.source_addresses, self.settings.timeouts.connect);
        self.dialler.dial(request.candidate.address, sources, limit).await
    }

    async fn approach_with(
        &self,
        request: &OpenRequest<'_>,
        dialled: Result<Box<dyn Transport>, LinkFault>,
        (setup, shares, requirement): (&ClientSetup, KeyShares, &Requirement),
        at: &At<'_>,
    ) -> Result<Approach, Outcome> {
        let OpenRequest { candidate, after, banner, progress, .. } = request;
        let connector = &request.way.connector;
        let local = dialled.as_ref().ok().and_then(|stream| stream.local_address());
        let mut script = self.script(connector, candidate, local);
        let stream = dialled.map_err(|fault| {
            script.iter_mut().for_each(|script| script.fail_for(&link_words(&fault)));
            classify_fault(None, &fault, at)
        })?;
        let mut connection = Connection::new(stream).recorded(script);
        if let Some(progress) = progress {
            connection.tell_progress(progress);
        }
        let mut opening = Opening::new(self.hello(connector, after.is_none(), requirement.is_forced()));
        let session = (&mut connection, &mut opening);
        let observed =
            self.observe(session, (setup, shares), (connector, candidate), after.as_ref(), at).await;
        tell_banner(*banner, opening.banner());
        match observed {
            Ok(observed) => Ok(Approach { connection, opening, observed }),
            Err(outcome) => {
                connection.dismiss();
                Err(outcome)
            }
        }
    }

    /// What is to be recorded of a connection, if the connector asks for it.
    fn script(
        &self,
        connector: &Outbound,
        candidate: &Candidate,
        local: Option<SocketAddr>,
    ) -> Option<Box<Script>> {
        let logging = connector.sending.protocol_log;
        let ends = (local, candidate.address);
        let mut recording = self.protocol.record(logging, SessionSide::Outbound, ends)?;
        recording.attribute(&connector.name, logging);
        Some(Box::new(Script::new(recording)))
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
        (setup, shares): (&ClientSetup, KeyShares),
        (connector, candidate): (&Outbound, &Candidate),
        after: Option<&SecuringFault>,
        at: &At<'_>,
    ) -> Result<Observed, Outcome> {
        let limits = &self.settings.timeouts;
        let whom = (connector, candidate.address);
        let sni = match &connector.sni {
            Sni::Host => candidate.name.as_ref(),
            Sni::Name(name) => Some(name),
            Sni::Nothing => None,
        };
        let broken = |fault| Observed::Broken(SecuringFault::Handshake(fault));
        let sealed = |facts: Result<_, HandshakeFault>| facts.map_or_else(broken, Observed::Established);
        if connector.handshake == Handshake::Implicit {
            return Ok(sealed(self.seal(connection, (setup, sni, shares), whom).await));
        }
        match connection.event(opening, limits).await {
            Ok(OpeningEvent::InClear(_)) if connector.tls == OutboundTls::Off => Ok(Observed::NotTried),
            Ok(OpeningEvent::InClear(refused)) => Ok(match (after, refused) {
                (Some(fault), _) => Observed::ClearAfterBroken(fault.clone()),
                (None, Some(reply)) => Observed::Refused(reply),
                (None, None) => Observed::NotOffered,
            }),
            Ok(OpeningEvent::Handshake) => {
                Ok(sealed(self.seal(connection, (setup, sni, shares), whom).await))
            }
            Ok(OpeningEvent::RefusedAndClosed(reply)) => Ok(Observed::Broken(SecuringFault::Refused(reply))),
            Ok(OpeningEvent::NotGreeted(reply)) => Err(refused_early(Stage::Greeting, &reply, at)),
            Ok(OpeningEvent::HelloRefused(reply) | OpeningEvent::Closing(reply)) => {
                Err(refused_early(Stage::Hello, &reply, at))
            }
            Err(Interruption::Tls(fault)) => Ok(broken(fault)),
            Err(Interruption::Link(fault)) => ended_in_words(&fault)
                .and_then(|why| opening.ended_by(&why))
                .map(Observed::Broken)
                .ok_or_else(|| broken_early(&fault, opening.replies(), at)),
        }
    }

    /// The TLS handshake.
    async fn seal(
        &self,
        connection: &mut Connection,
        (setup, sni, shares): (&ClientSetup, Option<&Domain>, KeyShares),
        (connector, peer): (&Outbound, SocketAddr),
    ) -> Result<Arc<TlsFacts>, HandshakeFault> {
        let begun = Instant::now();
        let sealed = connection.seal(setup, (sni, shares), self.settings.timeouts.handshake).await;
        self.journal.record(&Event::Handshake {
            side: HandshakeSide::Outbound(&connector.name),
            peer,
            took: begun.elapsed(),
            result: sealed.as_ref().map(|facts| facts.version),
        });
        sealed
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
        if !need.is_served(&table, connector) {
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
        if permit.is_enforced() && !need.is_trial() {
            self.notice(connector, candidate, observed);
        }
        let decision = Arc::new(Decision::proceeded(connector, at.host, requirement, &permit));
        if let Attained::Clear(_) = permit.attained() {
            self.tell(need, &Event::ClearFallback { host: at.host, decision: &decision });
        }
        if permit.waived().is_some() {
            self.tell(need, &Event::Waived { host: at.host, decision: &decision });
        }
        Ok((permit, decision))
    }

    /// Records an event of a session that is opened for mail. Nothing is sent by a trial, and whoever tries gets a report.
    fn tell(&self, need: Need<'_>, event: &Event<'_>) {
        if !need.is_trial() {
            self.journal.record(event);
        }
    }

    /// Sends EHLO inside TLS. The first reply there also shows whether the server accepted the
    /// handshake.
    async fn greet(
        &self,
        (connection, mut secured): (&mut Connection, SecuredSession),
        banner: Option<&Mutex<Option<String>>>,
        at: &At<'_>,
    ) -> Result<Open, EhloFailure> {
        let event = connection.event(&mut secured, &self.settings.timeouts).await;
        tell_banner(banner, secured.banner());
        let replies = secured.replies();
        match event {
            Ok(SecuredEvent::Ready) => secured.open().ok_or_else(|| EhloFailure::Outcome(elsewhere())),
            Ok(SecuredEvent::HelloRefused(reply) | SecuredEvent::Closing(reply)) => {
                Err(EhloFailure::Outcome(refused_early(Stage::Hello, &reply, at)))
            }
            Ok(SecuredEvent::NotGreeted(reply)) => {
                Err(EhloFailure::Outcome(refused_early(Stage::Greeting, &reply, at)))
            }
            Err(Interruption::Tls(fault)) => Err(EhloFailure::Handshake(fault)),
            Err(Interruption::Link(fault)) => Err(match ended_in_words(&fault) {
                Some(why) => EhloFailure::Lost(why),
                None => EhloFailure::Outcome(broken_early(&fault, replies, at)),
            }),
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
        let Some(facts) = observed.facts() else { return };
        let Some(certificate) = facts.certificate() else { return };
        let host = candidate.name.as_ref().map_or_else(|| candidate.address.to_string(), ToString::to_string);
        let (told, kept) =
            self.partners.saw((&connector.name, connector.partner.as_deref()), &host, certificate, facts.at);
        for what in &told {
            self.journal.record(&Event::Alarm { topic: AlarmTopic::Certificate, what });
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
            self.journal.record(&Event::Alarm { topic: AlarmTopic::Repeated, what: &what });
        }
        Some(Outcome::Deferred(Trouble::by(decision, Scope::Lane)))
    }
}

/// A failure inside TLS before the session was open.
enum EhloFailure {
    /// A reply, or a change on our side.
    Outcome(Outcome),
    /// TLS itself.
    Handshake(HandshakeFault),
    /// The session ended without a reply, for this reason.
    Lost(String),
}

impl EhloFailure {
    fn into_miss(
        self,
        connector: &Outbound,
        (observed, requirement): (&Observed, &Requirement),
        host: &str,
    ) -> Miss {
        let fault = match self {
            Self::Outcome(outcome) => return Miss::Other(outcome),
            Self::Handshake(fault) => SecuringFault::Handshake(fault),
            Self::Lost(why) if wanted_a_certificate(observed) => SecuringFault::Handshake(HandshakeFault {
                words: format!("the host asked for a client certificate, was shown none, and then {why}"),
                over_certificate: true,
                cause: HandshakeCause::OursMissing,
            }),
            Self::Lost(why) => SecuringFault::SessionLost(why),
        };
        let shortfall = fault.shortfall();
        miss(connector, host, requirement, &Observed::Broken(fault), &shortfall)
    }
}

/// A host that asks for a certificate, gets none and goes may do so for that reason, without saying it.
fn wanted_a_certificate(observed: &Observed) -> bool {
    let Some(facts) = observed.facts() else { return false };
    matches!(facts.client_certificate, Some(ClientCertificate::NoneToSend | ClientCertificate::NotSuited))
}

/// How a session ended without a reply, if it did: neither by the peer's words nor by a decision of ours.
fn ended_in_words(fault: &LinkFault) -> Option<String> {
    match fault {
        LinkFault::Lost(why) => Some(format!("the connection was lost: {why}")),
        LinkFault::Silent => Some("there was no reply in time".to_owned()),
        LinkFault::Garbled(how) => Some(format!("the protocol was violated: {how}")),
        LinkFault::Unreachable(_)
        | LinkFault::NotOurAddress(_)
        | LinkFault::Displaced
        | LinkFault::Content(_) => None,
    }
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
    match (requirement, observed) {
        (
            Requirement::Off | Requirement::Opportunistic(_) | Requirement::Audit(_),
            Observed::Broken(fault),
        ) if fault.may_go_clear() => {
            Miss::Broken(fault.clone(), classify_shortfall(shortfall, &OnFailure::Defer, &at))
        }
        (
            Requirement::Off | Requirement::Opportunistic(_) | Requirement::Audit(_) | Requirement::Forced(_),
            _,
        ) => Miss::Other(classify_shortfall(shortfall, &connector.on_failure, &at)),
    }
}
