//! What one look at one address saw, in the form that is kept: bounded, and without control characters.

use serde::{Deserialize, Serialize};

use crate::connector::{
    Attainment, CertificateFacts, ClearCause, Decision, Ruling, Shortfall, TlsFacts, TlsVersion, pin_text,
};
use crate::mail::{Reply, UnixMillis, unmoved};

/// What one look at one address saw.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sight {
    /// When.
    pub at: UnixMillis,
    /// Whether mail may be sent there, by what the connector requires if it is enforced.
    pub ok: bool,
    /// Why, in one sentence.
    pub reason: String,
    /// The same as a word, if a decision was reached.
    pub token: Option<String>,
    /// The session it came to.
    pub session: SessionSight,
    /// What the host said about the check recipient, if it was asked.
    pub recipient: Option<RecipientSight>,
    /// Whether this may be over in a moment: it counts once it was seen twice.
    pub passing: bool,
}

/// The session that a look came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionSight {
    /// None: no connection, no greeting, or a handshake that failed.
    None,
    /// One in plaintext.
    Plaintext,
    /// One over TLS.
    Tls(Box<TlsSight>),
}

/// What a handshake showed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TlsSight {
    /// The protocol version.
    pub version: TlsVersion,
    /// The cipher suite.
    pub suite: String,
    /// The key exchange group.
    pub group: String,
    /// The certificate, if one was shown that can be read.
    pub certificate: Option<CertificateSight>,
}

/// What is kept of a certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateSight {
    /// The names it presents; only the first few.
    pub names: Vec<String>,
    /// How many names it presents.
    pub names_count: usize,
    /// The issuer, for display.
    pub issuer: String,
    /// The trust anchor that the chain ends in, if one is known.
    pub root: Option<String>,
    /// The pin of its key.
    pub pin: String,
    /// SHA-256 of the certificate, in hexadecimal.
    pub sha256: String,
    /// The end of its validity.
    pub not_after: UnixMillis,
}

/// What a host said about a recipient.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecipientSight {
    /// Whether it takes mail for it.
    pub taken: bool,
    /// Its reply, unless it does.
    pub reply: Option<String>,
}

impl Sight {
    /// What a look saw: whether mail may be sent and why, the decision if one was reached, and the refusal or acceptance of
    /// the check recipient if it was asked about.
    #[must_use]
    pub fn of(
        at: UnixMillis,
        (ok, reason): (bool, &str),
        decision: Option<&Decision>,
        recipient: Option<Option<&Reply>>,
    ) -> Self {
        let session = decision.map_or(SessionSight::None, SessionSight::of);
        let deferred = recipient.flatten().is_some_and(Reply::is_transient) || decision.is_some_and(may_pass);
        // It was permitted to carry mail, and then failed: EHLO inside TLS, a login, a lost connection.
        let lost = !ok && recipient.is_none() && decision.is_some_and(|decision| !decision.lacks_something());
        Self {
            at,
            // The recipient is judged apart.
            ok: ok || recipient.is_some(),
            reason: plain(reason),
            token: decision.map(|decision| decision.token().into_owned()),
            passing: session == SessionSight::None || deferred || lost,
            session,
            recipient: recipient.map(|refusal| RecipientSight {
                taken: refusal.is_none(),
                reply: refusal.map(|reply| plain(&reply.to_string())),
            }),
        }
    }

    /// A look that came to no session, for this reason.
    #[must_use]
    pub fn failed(at: UnixMillis, reason: &str) -> Self {
        Self::of(at, (false, reason), None, None)
    }

    /// What the handshake showed, if there was one.
    #[must_use]
    pub fn tls(&self) -> Option<&TlsSight> {
        match &self.session {
            SessionSight::Tls(tls) => Some(tls),
            SessionSight::None | SessionSight::Plaintext => None,
        }
    }

    /// The certificate, if one was shown.
    #[must_use]
    pub fn certificate(&self) -> Option<&CertificateSight> {
        self.tls()?.certificate.as_ref()
    }
}

/// STARTTLS was answered with a 4yz reply, or a handshake failed once.
fn may_pass(decision: &Decision) -> bool {
    match &decision.ruling {
        Ruling::Withheld(Shortfall::Refused(reply)) | Ruling::Plaintext(ClearCause::Refused(reply)) => {
            reply.is_transient()
        }
        Ruling::Plaintext(ClearCause::HandshakeBroken(_) | ClearCause::SessionLost(_)) => true,
        Ruling::Withheld(_)
        | Ruling::Plaintext(_)
        | Ruling::Met
        | Ruling::Sealed
        | Ruling::Waived(_)
        | Ruling::Remembered(_)
        | Ruling::Onward
        | Ruling::Attributed(_)
        | Ruling::WaivedClient(_)
        | Ruling::Refused(..)
        | Ruling::Excepted(_)
        | Ruling::NoConnector(_) => false,
    }
}

impl SessionSight {
    fn of(decision: &Decision) -> Self {
        match &decision.attained {
            Attainment::Tls(facts) => Self::Tls(Box::new(TlsSight::of(facts))),
            Attainment::Plaintext => Self::Plaintext,
            Attainment::NoSession | Attainment::Client { .. } | Attainment::Settings { .. } => Self::None,
        }
    }
}

impl TlsSight {
    fn of(facts: &TlsFacts) -> Self {
        Self {
            version: facts.version,
            suite: plain(&facts.suite),
            group: plain(&facts.group),
            certificate: facts.certificate().map(CertificateSight::of),
        }
    }
}

impl CertificateSight {
    fn of(facts: &CertificateFacts) -> Self {
        Self {
            names: facts.names.iter().take(NAMES_MAX).map(|name| plain(&name.to_string())).collect(),
            names_count: facts.names.len(),
            issuer: plain(&facts.issuer),
            root: facts.root.as_deref().map(plain),
            pin: pin_text(&facts.spki),
            sha256: facts.sha256.clone(),
            not_after: facts.not_after,
        }
    }

    /// The names in a line.
    #[must_use]
    pub fn names_text(&self) -> String {
        let shown = self.names.iter().take(SHOWN_MAX).cloned().collect::<Vec<_>>().join(", ");
        match self.names_count.saturating_sub(SHOWN_MAX) {
            _ if self.names_count == 0 => "no subjectAltName".to_owned(),
            0 => shown,
            more => format!("{shown} and {more} more"),
        }
    }

    /// Days left at this time; negative once it has ended.
    #[must_use]
    pub fn days_left(&self, now: UnixMillis) -> i64 {
        self.not_after.0.saturating_sub(now.0).div_euclid(DAY_MILLIS)
    }
}

/// What a peer may have said, without control characters and not too long.
pub(super) fn plain(text: &str) -> String {
    unmoved(text, ' ').take(TEXT_CHARS_MAX).collect()
}

/// A certificate may present thousands of names.
const NAMES_MAX: usize = 20;
const SHOWN_MAX: usize = 4;
const TEXT_CHARS_MAX: usize = 500;
const DAY_MILLIS: i64 = 24 * 60 * 60 * 1_000;
