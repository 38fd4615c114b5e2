//! Judges what an outbound session showed against its connector's requirement, and issues the permit. It does
//! no I/O.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::facts::TlsFacts;
use super::onward::Onward;
use super::requirement::Requirement;
use super::shortfall::{HandshakeFault, SecuringFault, Shortfall};
use super::table::{Generation, Revision};
use crate::mail::Reply;

/// Identifies one outbound session, so that a permit can't be used in another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionId(u64);

/// What an outbound session showed before its first MAIL FROM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Observed {
    /// A TLS handshake completed.
    Established(Arc<TlsFacts>),
    /// Audit: the handshake as enforcing would make it failed for this, and one without its limits completed.
    EstablishedAfter(HandshakeFault, Arc<TlsFacts>),
    /// TLS was not attempted, offered or not.
    NotTried,
    /// The EHLO reply did not list STARTTLS.
    NotOffered,
    /// STARTTLS was offered, then answered other than 220; the session is still open.
    Refused(Reply),
    /// The attempt to secure the session failed, and the session is unusable.
    Broken(SecuringFault),
    /// TLS was tried on every host, which broke each session, and this is a new plaintext connection.
    ClearAfterBroken(SecuringFault),
}

impl Observed {
    /// What this session attained if it goes on.
    #[must_use]
    pub fn attained(&self) -> Attained {
        match self {
            Self::Established(facts) | Self::EstablishedAfter(_, facts) => {
                Attained::Sealed(Arc::clone(facts))
            }
            Self::NotTried => Attained::Clear(ClearCause::Off),
            Self::NotOffered => Attained::Clear(ClearCause::NotOffered),
            Self::Refused(reply) => Attained::Clear(ClearCause::Refused(reply.clone())),
            Self::Broken(fault) | Self::ClearAfterBroken(fault) => Attained::Clear(ClearCause::after(fault)),
        }
    }

    /// What the handshake showed, if one completed.
    #[must_use]
    pub fn facts(&self) -> Option<&Arc<TlsFacts>> {
        match self {
            Self::Established(facts) | Self::EstablishedAfter(_, facts) => Some(facts),
            Self::NotTried
            | Self::NotOffered
            | Self::Refused(_)
            | Self::Broken(_)
            | Self::ClearAfterBroken(_) => None,
        }
    }
}

/// Why a session continued in plaintext.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClearCause {
    /// TLS is off at the connector.
    Off,
    /// STARTTLS was not offered.
    NotOffered,
    /// STARTTLS was refused.
    Refused(Reply),
    /// The handshake failed on every host.
    HandshakeBroken(HandshakeFault),
    /// Every session was lost inside TLS before its first reply.
    SessionLost(String),
}

impl ClearCause {
    fn after(fault: &SecuringFault) -> Self {
        match fault {
            SecuringFault::Refused(reply) => Self::Refused(reply.clone()),
            SecuringFault::Handshake(fault) => Self::HandshakeBroken(fault.clone()),
            SecuringFault::SessionLost(why) => Self::SessionLost(why.clone()),
        }
    }
}

/// What a session attained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attained {
    /// TLS; whether it meets a forced requirement is judged separately.
    Sealed(Arc<TlsFacts>),
    /// Plaintext, with the reason.
    Clear(ClearCause),
}

/// Proof that a connector was consulted for this session, and what the session attained. Only [`judge`]
/// creates one, it is not `Clone`, and MAIL FROM is never sent without one.
#[derive(Debug)]
pub struct Permit {
    session: SessionId,
    revision: Revision,
    generation: Generation,
    attained: Attained,
    waived: Option<Shortfall>,
    requirement: Requirement,
}

/// The result of [`judge`].
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "made once a session, and taken apart at once")]
pub enum Verdict {
    /// Mail may be sent.
    Proceed(Permit),
    /// Nothing may be sent.
    Withhold(Shortfall),
}

/// Why a permit does not cover a transaction.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotCovered {
    /// It was issued for another session.
    #[error("the permit belongs to another session")]
    OtherSession,
    /// The connector table has changed since.
    #[error("the connector table has changed since the permit was made")]
    Stale,
    /// It was issued for other connector settings.
    #[error("the permit was made by another revision of the connector")]
    OtherRevision,
    /// What was attained does not meet the current requirement.
    #[error("the session does not meet the requirement: {0}")]
    Short(Shortfall),
}

/// Judges what a session showed against its connector's requirement. Every pair is written out.
#[must_use]
pub fn judge(
    requirement: &Requirement,
    observed: &Observed,
    session: SessionId,
    revision: Revision,
    generation: Generation,
) -> Verdict {
    let made = |attained, waived| {
        let requirement = requirement.clone();
        Verdict::Proceed(Permit { session, revision, generation, attained, waived, requirement })
    };
    let permit = |attained| made(attained, None);
    let sealed = |facts: &Arc<TlsFacts>| Attained::Sealed(Arc::clone(facts));
    use Requirement as R;
    match (requirement, observed) {
        (R::Forced(forced), Observed::Established(facts)) => match forced.unmet_by(facts) {
            None => permit(sealed(facts)),
            Some(shortfall) => Verdict::Withhold(shortfall),
        },
        // What was completed is not what enforcing allows.
        (R::Forced(_), Observed::EstablishedAfter(fault, _)) => {
            Verdict::Withhold(Shortfall::Handshake(fault.clone()))
        }
        (R::Forced(_), Observed::NotTried) => Verdict::Withhold(Shortfall::NotTried),
        (R::Forced(_), Observed::NotOffered) => Verdict::Withhold(Shortfall::NotOffered),
        (R::Forced(_), Observed::Refused(reply)) => Verdict::Withhold(Shortfall::Refused(reply.clone())),
        (R::Forced(_), Observed::Broken(fault) | Observed::ClearAfterBroken(fault)) => {
            Verdict::Withhold(fault.shortfall())
        }
        // Audit delivers like opportunistic; only the record differs.
        (R::Audit(forced), Observed::Established(facts)) => made(sealed(facts), forced.unmet_by(facts)),
        (R::Audit(_), Observed::EstablishedAfter(fault, facts)) => {
            made(sealed(facts), Some(Shortfall::Handshake(fault.clone())))
        }
        (
            R::Off | R::Opportunistic(_),
            Observed::Established(facts) | Observed::EstablishedAfter(_, facts),
        ) => permit(sealed(facts)),
        (R::Audit(_), Observed::NotTried) => {
            made(Attained::Clear(ClearCause::Off), Some(Shortfall::NotTried))
        }
        (R::Off | R::Opportunistic(_), Observed::NotTried) => permit(Attained::Clear(ClearCause::Off)),
        (R::Audit(_), Observed::NotOffered) => {
            made(Attained::Clear(ClearCause::NotOffered), Some(Shortfall::NotOffered))
        }
        (R::Off | R::Opportunistic(_), Observed::NotOffered) => {
            permit(Attained::Clear(ClearCause::NotOffered))
        }
        (R::Audit(_), Observed::Refused(reply)) => {
            made(Attained::Clear(ClearCause::Refused(reply.clone())), Some(Shortfall::Refused(reply.clone())))
        }
        (R::Off | R::Opportunistic(_), Observed::Refused(reply)) => {
            permit(Attained::Clear(ClearCause::Refused(reply.clone())))
        }
        // RFC 3207 §4.1: a failed handshake leaves no usable SMTP session, so nothing can be sent.
        (R::Off | R::Opportunistic(_) | R::Audit(_), Observed::Broken(fault)) => {
            Verdict::Withhold(fault.shortfall())
        }
        (R::Audit(_), Observed::ClearAfterBroken(fault)) => {
            made(Attained::Clear(ClearCause::after(fault)), Some(fault.shortfall()))
        }
        (R::Off | R::Opportunistic(_), Observed::ClearAfterBroken(fault)) => {
            permit(Attained::Clear(ClearCause::after(fault)))
        }
    }
}

impl Permit {
    /// What the session attained.
    #[must_use]
    pub fn attained(&self) -> &Attained {
        &self.attained
    }

    /// What audit mode waived; if enforced, mail would have been withheld for this.
    #[must_use]
    pub fn waived(&self) -> Option<&Shortfall> {
        self.waived.as_ref()
    }

    /// Whether the requirement is forced and enforced.
    #[must_use]
    pub fn is_enforced(&self) -> bool {
        self.requirement.is_forced()
    }

    /// Whether the requirement is what mail with this demand needs.
    #[must_use]
    pub fn satisfies(&self, onward: Onward) -> bool {
        onward.is_met_by(&self.requirement)
    }

    /// Checks that a transaction with this requirement may be sent in `session` now.
    ///
    /// # Errors
    /// [`NotCovered`] says why the permit does not apply; nothing may be sent then.
    pub fn covers(
        &self,
        session: SessionId,
        requirement: &Requirement,
        revision: Revision,
        generation: Generation,
    ) -> Result<(), NotCovered> {
        if self.session != session {
            return Err(NotCovered::OtherSession);
        }
        if self.generation != generation {
            return Err(NotCovered::Stale);
        }
        if self.revision != revision {
            return Err(NotCovered::OtherRevision);
        }
        if self.requirement == *requirement {
            return Ok(());
        }
        match (requirement, &self.attained) {
            // A new judgement would record something else, so the session is judged again.
            (Requirement::Audit(_), _) => Err(NotCovered::Stale),
            (Requirement::Off | Requirement::Opportunistic(_), Attained::Sealed(_) | Attained::Clear(_)) => {
                Ok(())
            }
            (Requirement::Forced(forced), Attained::Sealed(facts)) => {
                forced.unmet_by(facts).map_or(Ok(()), |s| Err(NotCovered::Short(s)))
            }
            (Requirement::Forced(_), Attained::Clear(_)) => Err(NotCovered::Short(Shortfall::NotOffered)),
        }
    }
}

impl SessionId {
    /// A new ID, unique in this process.
    #[must_use]
    pub fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

impl Default for SessionId {
    fn default() -> Self {
        Self::new()
    }
}
