//! One host, from the connection to a session that a permit covers.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use super::Courier;
use super::converse::{Broken, Line};
use super::decide::serves;
use super::dial::dial;
use super::pool::Key;
use super::seek::Candidate;
use super::seen::InClear;
use crate::connector::{
    Attained, Decision, Generation, Handshake, HandshakeFault, Observed, OnFailure, Outbound, OutboundTls,
    Permit, Requirement, Shortfall, Sni, Verdict, judge, proceeded, withheld,
};
use crate::mail::{Enhanced, Reply};
use crate::outcome::{
    At, LinkFault, Outcome, Scope, Stage, Trouble, classify_fault, classify_reply, classify_shortfall,
};
use crate::scheduler::{Progress, Way};
use crate::smtp::{Opening, SendEvent, SendSession};
use crate::spool::QueuedRecipient;
use crate::tls::ClientSetup;
use crate::tracking::Event;

/// A session that was judged, and what is to be told of it.
pub(super) struct Link {
    pub(super) line: Line,
    pub(super) key: Key,
    /// Name, address and port.
    pub(super) host: String,
    pub(super) observed: Observed,
    pub(super) requirement: Requirement,
    /// One for all messages of the session.
    pub(super) decision: Arc<Decision>,
    /// Transactions begun.
    pub(super) used: u32,
}

/// A candidate that came to nothing.
pub(super) enum Miss {
    /// Opportunistic: the handshake broke, and the host may yet be tried in clear.
    Broken(HandshakeFault, Outcome),
    /// Anything else.
    Other(Outcome),
}

/// What is wanted of a candidate.
pub(super) struct Wanted<'a> {
    pub(super) way: &'a Way,
    pub(super) candidate: &'a Candidate,
    /// Whom the session is opened for.
    pub(super) recipients: &'a [QueuedRecipient],
    /// The handshake that broke before: this connection stays in clear.
    pub(super) after: Option<HandshakeFault>,
    /// Where to put what the host greeted with, if somebody wants to see it.
    pub(super) banner: Option<&'a Mutex<Option<String>>>,
    /// Where somebody looks whether it gets on.
    pub(super) progress: Option<&'a Arc<Progress>>,
}

impl Courier {
    /// Opens a session with a candidate and has it judged, before anything but EHLO and STARTTLS
    /// was said.
    pub(super) async fn open(&self, wanted: Wanted<'_>) -> Result<Link, Miss> {
        let Wanted { way, candidate, recipients, after, banner, progress } = wanted;
        let connector = &way.connector;
        let host = candidate.host();
        let at = At { host: &host, decision: None };
        let requirement = connector.requirement(way.domain.as_ref(), candidate.smart.as_ref());
        let setup =
            self.tls.load().get(&connector.revision).cloned().ok_or_else(|| Miss::Other(elsewhere()))?;
        let faulty = |fault| Miss::Other(classify_fault(None, &fault, &at));
        let limit = self.settings.timeouts.connect;
        let stream = dial(candidate.address, &connector.source_addresses, limit).await.map_err(faulty)?;
        let opening = self.opening(connector, after.is_none(), requirement.is_forced());
        let mut line = Line::new(stream, SendSession::new(opening));
        if let Some(progress) = progress {
            line.tell_progress(progress);
        }
        let observed = self.observe(&mut line, &setup, (connector, candidate), after, &at).await;
        if let Some(place) = banner {
            *place.lock().unwrap_or_else(PoisonError::into_inner) = line.session.banner().map(str::to_owned);
        }
        let observed = match observed {
            Ok(observed) => observed,
            Err(outcome) => {
                line.dismiss();
                return Err(Miss::Other(outcome));
            }
        };
        // The table may have changed on the way here. What is judged now is judged by the one in
        // force, and only if this connector, as it was, still serves these recipients there.
        let table = self.live.table();
        if !serves(&table, connector, recipients) {
            line.dismiss();
            return Err(Miss::Other(elsewhere()));
        }
        let id = line.session.id();
        let permit = match judge(&requirement, &observed, id, connector.revision, table.generation) {
            Verdict::Proceed(permit) => permit,
            Verdict::Withhold(shortfall) => {
                line.dismiss();
                return Err(miss(connector, &host, &requirement, &observed, &shortfall));
            }
        };
        let decision = Arc::new(proceeded(connector, &host, &requirement, &permit));
        if let Some(outcome) = self.remembered(way, candidate, permit.attained(), &at) {
            line.dismiss();
            return Err(Miss::Other(outcome));
        }
        if permit.is_enforced() {
            self.notice(connector, candidate, &observed);
        }
        self.authorise(&mut line, permit, &host, &decision);
        if line.is_sealed() {
            self.greet(&mut line, &at).await.map_err(|broken| match broken {
                Again::Outcome(outcome) => Miss::Other(outcome),
                Again::Tls(fault) => {
                    let shortfall = Shortfall::Handshake(fault.clone());
                    miss(connector, &host, &requirement, &Observed::HandshakeBroken(fault), &shortfall)
                }
            })?;
        }
        if let Err(outcome) =
            self.log_in(&mut line, connector, &At { host: &host, decision: Some(&decision) }).await
        {
            line.dismiss();
            return Err(Miss::Other(outcome));
        }
        let key = candidate.key(connector.revision);
        Ok(Link { line, key, host, observed, requirement, decision, used: 0 })
    }

    fn opening(&self, connector: &Outbound, starttls: bool, forced: bool) -> Opening {
        Opening {
            name: connector.ehlo_name.as_ref().unwrap_or(&self.settings.name).clone(),
            starttls: starttls && connector.tls != OutboundTls::Off,
            implicit: connector.handshake == Handshake::Implicit,
            helo: !forced,
            ignored: connector.sending.ignored.clone(),
        }
    }

    /// Whether a session that was opened for another domain may serve this one, as far as
    /// `remember_tls` goes. What it attained is remembered of this one too.
    pub(super) fn may_reuse(&self, way: &Way, candidate: &Candidate, link: &Link) -> bool {
        let at = At { host: &link.host, decision: None };
        !way.connector.remember_tls
            || self.remembered(way, candidate, &link.observed.attained(), &at).is_none()
    }

    /// What a partner showed that met a forced requirement: another issuer than before, and an end that
    /// is near, are told.
    fn notice(&self, connector: &Outbound, candidate: &Candidate, observed: &Observed) {
        let Observed::Established(facts) = observed else { return };
        let Some(certificate) = facts.certificate() else { return };
        let host = candidate.name.as_ref().map_or_else(|| candidate.address.to_string(), ToString::to_string);
        let (told, kept) = self.partners.saw(&connector.name, &host, certificate, facts.at);
        for what in &told {
            self.journal.record(&Event::Alarm { what });
        }
        if let Err(fault) = kept {
            tracing::warn!(%fault, "partners-seen can't be written: it is remembered by this process alone");
        }
    }

    /// `remember_tls`: whoever was seen with TLS is not served in clear without an alarm and a delay.
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
        let cause = match attained {
            Attained::Clear(cause) => cause,
            Attained::Sealed(_) => {
                if let Err(fault) = self.seen.sealed(&key) {
                    tracing::warn!(%fault, "tls-seen can't be written: TLS is remembered by this process alone");
                }
                return None;
            }
        };
        let verdict = self.seen.in_clear(&key, Instant::now());
        if verdict == InClear::May {
            return None;
        }
        let reason = format!("{} had TLS before, and now {cause}", at.host);
        if verdict == InClear::First {
            let what = format!(
                "connector {}: {reason}; mail waits for an hour before it goes in clear",
                connector.name
            );
            self.journal.record(&Event::Alarm { what: &what });
        }
        let decision = Decision {
            connector: Some(Arc::clone(&connector.name)),
            host: Some(at.host.to_owned()),
            wanted: "TLS, as before".to_owned(),
            got: "plaintext".to_owned(),
            reason: reason.clone(),
            token: "tls-remembered".into(),
            tls: None,
        };
        let status = Enhanced(4, 7, 4);
        let decision = Some(Arc::new(decision));
        Some(Outcome::Deferred(Trouble { status, reason, remote: None, decision, scope: Scope::Lane }))
    }

    /// Up to what a judge needs to know.
    async fn observe(
        &self,
        line: &mut Line,
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
        if connector.handshake == Handshake::Implicit {
            let sealed = line.seal(setup, sni, limits.handshake).await;
            return Ok(sealed.map_or_else(Observed::HandshakeBroken, Observed::Established));
        }
        match line.event(limits).await {
            Ok(SendEvent::InClear(_)) if connector.tls == OutboundTls::Off => Ok(Observed::NotTried),
            Ok(SendEvent::InClear(refused)) => Ok(match (after, refused) {
                (Some(fault), _) => Observed::ClearAfterBroken(fault),
                (None, Some(reply)) => Observed::Refused(reply),
                (None, None) => Observed::NotOffered,
            }),
            Ok(SendEvent::Handshake) => match line.seal(setup, sni, limits.handshake).await {
                Ok(facts) => Ok(Observed::Established(facts)),
                Err(fault) => Ok(Observed::HandshakeBroken(fault)),
            },
            Ok(SendEvent::NotGreeted(reply)) => Err(refused(Stage::Greeting, &reply, at)),
            Ok(SendEvent::HelloRefused(reply) | SendEvent::Closing(reply)) => {
                Err(refused(Stage::Hello, &reply, at))
            }
            Ok(
                SendEvent::Ready
                | SendEvent::LoggedIn
                | SendEvent::LoginRefused(_)
                | SendEvent::SendContent
                | SendEvent::Done(_),
            ) => Err(out_of_order(at)),
            Err(Broken::Tls(fault)) => Ok(Observed::HandshakeBroken(fault)),
            Err(Broken::Link(fault)) => Err(classify_fault(Some(awaited(line)), &fault, at)),
        }
    }

    fn authorise(&self, line: &mut Line, permit: Permit, host: &str, decision: &Decision) {
        match permit.attained() {
            Attained::Clear(_) => self.journal.record(&Event::ClearFallback { host, decision }),
            Attained::Sealed(_) => {}
        }
        if permit.waived().is_some() {
            self.journal.record(&Event::Waived { host, decision });
        }
        line.session.authorise(permit);
    }

    /// EHLO inside TLS; the first answer there also tells whether the server took the handshake.
    async fn greet(&self, line: &mut Line, at: &At<'_>) -> Result<(), Again> {
        line.session.sealed(&mut line.out);
        match line.event(&self.settings.timeouts).await {
            Ok(SendEvent::Ready) => Ok(()),
            Ok(SendEvent::HelloRefused(reply) | SendEvent::Closing(reply)) => {
                Err(Again::Outcome(refused(Stage::Hello, &reply, at)))
            }
            Ok(SendEvent::NotGreeted(reply)) => Err(Again::Outcome(refused(Stage::Greeting, &reply, at))),
            Ok(
                SendEvent::InClear(_)
                | SendEvent::Handshake
                | SendEvent::LoggedIn
                | SendEvent::LoginRefused(_)
                | SendEvent::SendContent
                | SendEvent::Done(_),
            ) => Err(Again::Outcome(out_of_order(at))),
            Err(Broken::Tls(fault)) => Err(Again::Tls(fault)),
            Err(Broken::Link(fault)) => Err(Again::Outcome(classify_fault(Some(awaited(line)), &fault, at))),
        }
    }
}

enum Again {
    Outcome(Outcome),
    Tls(HandshakeFault),
}

impl Link {
    /// Judges the session anew, from what it showed when it was opened: for another recipient
    /// domain, or by another table that kept the connector. The session holds a new permit then.
    pub(super) fn rejudge(
        &mut self,
        connector: &Outbound,
        requirement: Requirement,
        generation: Generation,
    ) -> bool {
        let id = self.line.session.id();
        match judge(&requirement, &self.observed, id, connector.revision, generation) {
            Verdict::Withhold(_) => false,
            Verdict::Proceed(permit) => {
                if requirement != self.requirement {
                    self.decision = Arc::new(proceeded(connector, &self.host, &requirement, &permit));
                    self.requirement = requirement;
                }
                self.line.session.authorise(permit);
                true
            }
        }
    }

    /// Whether the session is in clear since handshakes broke; the next attempt begins with TLS.
    pub(super) fn is_after_broken(&self) -> bool {
        matches!(self.observed, Observed::ClearAfterBroken(_))
    }
}

/// What a session waits for that is not open yet.
pub(super) fn awaited(line: &Line) -> Stage {
    if line.session.replies() == 0 { Stage::Greeting } else { Stage::Hello }
}

fn refused(stage: Stage, reply: &Reply, at: &At<'_>) -> Outcome {
    classify_reply(stage, reply, false, at)
}

pub(super) fn out_of_order(at: &At<'_>) -> Outcome {
    let fault = LinkFault::Garbled("its replies are out of order".to_owned());
    classify_fault(Some(Stage::Hello), &fault, at)
}

fn miss(
    connector: &Outbound,
    host: &str,
    requirement: &Requirement,
    observed: &Observed,
    shortfall: &Shortfall,
) -> Miss {
    let decision = Arc::new(withheld(connector, host, requirement, observed, shortfall));
    let at = At { host, decision: Some(&decision) };
    match (requirement, shortfall) {
        // Never in clear because of a certificate: not the peer's, which is not judged here, and not
        // ours, which the peer refused.
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

/// The connector table changed under the job: it is chosen again, at once.
pub(super) fn elsewhere() -> Outcome {
    Outcome::Deferred(Trouble {
        status: Enhanced(4, 3, 0),
        reason: "the connector table has changed; the connector is chosen again".to_owned(),
        remote: None,
        decision: None,
        scope: Scope::Session,
    })
}
