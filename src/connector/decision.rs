//! One decision as data: what was required, what was attained, and what follows. Its words are in `render`.

use std::sync::Arc;

use super::admit::{Attribution, Channel, UnmetCondition};
use super::facts::TlsFacts;
use super::judge::{Attained, ClearCause, Observed, Permit};
use super::requirement::{Forced, Requirement};
use super::shortfall::Shortfall;
use super::table::{Inbound, InboundTls, Mode, Outbound};
use crate::mail::ReversePath;

/// One decision and its reason: log, tracking, reports, control API and `explain` all render the same value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The connector that decided; `None` where no connector applied.
    pub connector: Option<Arc<str>>,
    /// The host it was about, if it was about one: name, address and port.
    pub host: Option<String>,
    /// What the connector requires.
    pub required: RequiredTls,
    /// What the session attained, or why there was none.
    pub attained: Attainment,
    /// What follows.
    pub ruling: Ruling,
}

/// What is required.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequiredTls {
    /// By an outbound connector, of a session.
    Session(Requirement),
    /// By an inbound connector, of a client.
    Client {
        /// TLS, and what is demanded of it; `None`: nothing.
        tls: Option<Forced>,
        /// A user of the connector must have logged in.
        login: bool,
    },
    /// That there is an inbound connector for the mail.
    InboundConnector,
    /// By `remember_tls`: TLS, since the host had it before.
    TlsAsBefore,
    /// By the message: a session under an enforced, forced requirement.
    Onward,
}

/// What was attained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attainment {
    /// A session over TLS.
    Tls(Arc<TlsFacts>),
    /// A session in plaintext.
    Plaintext,
    /// No session that mail could have gone over.
    NoSession,
    /// What a client showed.
    Client {
        /// The handshake; `None`: plaintext.
        tls: Option<Arc<TlsFacts>>,
        /// Who logged in.
        user: Option<Arc<str>>,
    },
    /// Nothing was opened: what the connector is set to was enough to know.
    Settings {
        /// `tls` of the connector.
        tls: &'static str,
        /// Its mode.
        mode: Mode,
    },
}

/// What follows from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ruling {
    /// Mail goes: the session meets a forced requirement.
    Met,
    /// Mail goes over TLS, which was not required.
    Sealed,
    /// Mail goes in plaintext, for this reason.
    Plaintext(ClearCause),
    /// Mail goes, in audit: enforced, it would have been withheld for this reason.
    Waived(Shortfall),
    /// Nothing is sent.
    Withheld(Shortfall),
    /// Nothing is sent yet: the host had TLS before, and now goes without it for this reason.
    Remembered(ClearCause),
    /// Nothing is sent: the message must go on under TLS, and the connector does not force it.
    Onward,
    /// The client's mail is accepted, and attributed to the connector by this.
    Attributed(Attribution),
    /// The same, in audit: enforced, it would have been refused for this reason.
    WaivedClient(UnmetCondition),
    /// The client's mail is refused, since this condition does not hold.
    Refused(Claim, UnmetCondition),
    /// The client's mail is refused: no inbound connector is for it.
    NoConnector(Claim),
}

/// What a client's mail claims to be: from this domain, or with the null reverse-path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim(pub Option<Box<str>>);

impl Decision {
    /// The decision that let a session carry mail.
    #[must_use]
    pub fn proceeded(connector: &Outbound, host: &str, requirement: &Requirement, permit: &Permit) -> Self {
        let (attained, ruling) = match (permit.attained(), requirement.is_forced()) {
            (Attained::Sealed(facts), true) => (Attainment::Tls(Arc::clone(facts)), Ruling::Met),
            (Attained::Sealed(facts), false) => (Attainment::Tls(Arc::clone(facts)), Ruling::Sealed),
            (Attained::Clear(cause), _) => (Attainment::Plaintext, Ruling::Plaintext(cause.clone())),
        };
        let ruling = permit.waived().map_or(ruling, |shortfall| Ruling::Waived(shortfall.clone()));
        Self::outbound(connector, Some(host), RequiredTls::Session(requirement.clone()), attained, ruling)
    }

    /// The decision that withheld mail from a session.
    #[must_use]
    pub fn withheld(
        connector: &Outbound,
        host: &str,
        requirement: &Requirement,
        observed: &Observed,
        shortfall: &Shortfall,
    ) -> Self {
        let attained = match observed {
            Observed::Established(facts) => Attainment::Tls(Arc::clone(facts)),
            Observed::NotTried | Observed::NotOffered | Observed::Refused(_) => Attainment::Plaintext,
            Observed::HandshakeBroken(_) | Observed::ClearAfterBroken(_) => Attainment::NoSession,
        };
        let ruling = Ruling::Withheld(shortfall.clone());
        Self::outbound(connector, Some(host), RequiredTls::Session(requirement.clone()), attained, ruling)
    }

    /// `remember_tls`: a host that had TLS before gets no mail in plaintext for a while.
    #[must_use]
    pub fn remembered(connector: &Outbound, host: &str, cause: ClearCause) -> Self {
        let ruling = Ruling::Remembered(cause);
        Self::outbound(connector, Some(host), RequiredTls::TlsAsBefore, Attainment::Plaintext, ruling)
    }

    /// A message that must go on under TLS, at a connector that does not force it; `None` where it may go.
    #[must_use]
    pub fn onward(connector: &Outbound, onward_sealed: bool) -> Option<Self> {
        if !onward_sealed || connector.is_enforced() {
            return None;
        }
        let attained = Attainment::Settings { tls: connector.tls_word(), mode: connector.mode };
        Some(Self::outbound(connector, None, RequiredTls::Onward, attained, Ruling::Onward))
    }

    fn outbound(
        connector: &Outbound,
        host: Option<&str>,
        required: RequiredTls,
        attained: Attainment,
        ruling: Ruling,
    ) -> Self {
        let host = host.map(str::to_owned);
        Self { connector: Some(Arc::clone(&connector.name)), host, required, attained, ruling }
    }

    /// The decision about a client's mail.
    pub(super) fn of_client(connector: Option<&Inbound>, channel: &Channel, ruling: Ruling) -> Self {
        let required = connector.map_or(RequiredTls::InboundConnector, |connector| RequiredTls::Client {
            tls: match &connector.tls {
                InboundTls::Off | InboundTls::Opportunistic => None,
                InboundTls::Forced(forced) => Some(forced.clone()),
            },
            login: connector.users.is_some(),
        });
        let user = channel.user.as_ref().map(|user| Arc::clone(&user.name));
        Self {
            connector: connector.map(|connector| Arc::clone(&connector.name)),
            host: Some(channel.peer.to_string()),
            required,
            attained: Attainment::Client { tls: channel.tls.clone(), user },
            ruling,
        }
    }

    /// What was missing of a session, where the mail was withheld for it, or audit let it pass.
    #[must_use]
    pub fn shortfall(&self) -> Option<&Shortfall> {
        match &self.ruling {
            Ruling::Waived(shortfall) | Ruling::Withheld(shortfall) => Some(shortfall),
            Ruling::Met
            | Ruling::Sealed
            | Ruling::Plaintext(_)
            | Ruling::Remembered(_)
            | Ruling::Onward
            | Ruling::Attributed(_)
            | Ruling::WaivedClient(_)
            | Ruling::Refused(..)
            | Ruling::NoConnector(_) => None,
        }
    }

    /// What audit let pass: enforced, the mail would have been withheld for this reason.
    #[must_use]
    pub fn waived(&self) -> Option<&Shortfall> {
        self.shortfall().filter(|_| matches!(self.ruling, Ruling::Waived(_)))
    }

    /// The handshake behind it.
    #[must_use]
    pub fn tls(&self) -> Option<&Arc<TlsFacts>> {
        match &self.attained {
            Attainment::Tls(facts) => Some(facts),
            Attainment::Client { tls, .. } => tls.as_ref(),
            Attainment::Plaintext | Attainment::NoSession | Attainment::Settings { .. } => None,
        }
    }
}

impl Claim {
    pub(super) fn of(path: &ReversePath) -> Self {
        Self(path.mailbox().map(|mailbox| mailbox.domain().to_string().into()))
    }
}
