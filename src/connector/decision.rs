//! One decision as data: what was required, what was attained, and the ruling. `render` turns it into text.

use std::sync::Arc;

use super::admit::{Attribution, Channel, UnmetCondition};
use super::facts::TlsFacts;
use super::judge::{Attained, ClearCause, Observed, Permit};
use super::onward::OnwardDemand;
use super::partner::Partner;
use super::requirement::{Forced, Requirement};
use super::shortfall::Shortfall;
use super::table::{Inbound, InboundTls, Mode, Outbound};
use crate::mail::ReversePath;

/// One decision and its reason. Log, tracking, reports, control API and `explain` all render this value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The connector that decided; `None` where no connector applied.
    pub connector: Option<Arc<str>>,
    /// The partner that the connector belongs to, if any.
    pub partner: Option<Arc<Partner>>,
    /// The host the decision is about, if any: name, address and port.
    pub host: Option<String>,
    /// What the connector requires.
    pub required: RequiredTls,
    /// What the session attained, or why there was no session.
    pub attained: Attainment,
    /// The resulting ruling.
    pub ruling: Ruling,
}

/// What was required, and by whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequiredTls {
    /// An outbound connector's requirement for a session.
    Session(Requirement),
    /// An inbound connector's requirements for a client.
    Client {
        /// The TLS requirement; `None` if TLS is not required.
        tls: Option<Forced>,
        /// Whether a user of the connector must have logged in.
        login: bool,
    },
    /// That some inbound connector applies to the mail.
    InboundConnector,
    /// TLS, by `remember_tls`: the host offered it before.
    TlsAsBefore,
    /// A session under an enforced, forced requirement, because the message demands it.
    Onward(OnwardDemand),
}

impl RequiredTls {
    /// Whether mail may go out over TLS only.
    #[must_use]
    pub fn is_forced(&self) -> bool {
        match self {
            Self::Session(requirement) => requirement.is_forced(),
            Self::Onward(_) => true,
            Self::Client { .. } | Self::InboundConnector | Self::TlsAsBefore => false,
        }
    }
}

/// What the session or the client attained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attainment {
    /// An outbound session over TLS.
    Tls(Arc<TlsFacts>),
    /// An outbound session in plaintext.
    Plaintext,
    /// There was no session that could have carried mail.
    NoSession,
    /// What an inbound client showed.
    Client {
        /// The handshake; `None` in plaintext.
        tls: Option<Arc<TlsFacts>>,
        /// The logged-in user, if any.
        user: Option<Arc<str>>,
    },
    /// No connection was opened: the connector's settings were enough to decide.
    Settings {
        /// The connector's `tls` setting.
        tls: &'static str,
        /// The connector's mode.
        mode: Mode,
    },
}

/// What follows from the requirement and what was attained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ruling {
    /// Mail is sent: the session meets a forced requirement.
    Met,
    /// Mail is sent over TLS, which was not required.
    Sealed,
    /// Mail is sent in plaintext, for this reason.
    Plaintext(ClearCause),
    /// Mail is sent in audit mode; if enforced, it would have been withheld for this reason.
    Waived(Shortfall),
    /// Nothing is sent.
    Withheld(Shortfall),
    /// Nothing is sent yet: the host had TLS before and now does not, for this reason.
    Remembered(ClearCause),
    /// Nothing is sent: the message must leave under enforced TLS, and the connector does not force it.
    Onward,
    /// The client's mail is accepted and attributed to the connector on this basis.
    Attributed(Attribution),
    /// Accepted in audit mode; if enforced, it would have been refused for this reason.
    WaivedClient(UnmetCondition),
    /// The client's mail is refused because this condition does not hold.
    Refused(Claim, UnmetCondition),
    /// The client's mail is refused: the connector excepts its domain, and no other connector takes it.
    Excepted(Claim),
    /// The client's mail is refused: no inbound connector covers it.
    NoConnector(Claim),
}

/// What a client's mail claims to be: from this domain, or (`None`) with the null reverse-path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim(pub Option<Box<str>>);

impl Decision {
    /// The decision for a session that was permitted to carry mail.
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

    /// The decision for a session from which mail was withheld.
    #[must_use]
    pub fn withheld(
        connector: &Outbound,
        host: &str,
        requirement: &Requirement,
        observed: &Observed,
        shortfall: &Shortfall,
    ) -> Self {
        let attained = match observed {
            Observed::Established(facts) | Observed::EstablishedAfter(_, facts) => {
                Attainment::Tls(Arc::clone(facts))
            }
            Observed::NotTried | Observed::NotOffered | Observed::Refused(_) => Attainment::Plaintext,
            Observed::Broken(_) | Observed::ClearAfterBroken(_) => Attainment::NoSession,
        };
        let ruling = Ruling::Withheld(shortfall.clone());
        Self::outbound(connector, Some(host), RequiredTls::Session(requirement.clone()), attained, ruling)
    }

    /// By `remember_tls`: a host that had TLS before gets no plaintext mail for a while.
    #[must_use]
    pub fn remembered(connector: &Outbound, host: &str, cause: ClearCause) -> Self {
        let ruling = Ruling::Remembered(cause);
        Self::outbound(connector, Some(host), RequiredTls::TlsAsBefore, Attainment::Plaintext, ruling)
    }

    /// A message that must leave under enforced TLS, at a connector that does not force it, or not enough; `None`
    /// if it may be sent.
    #[must_use]
    pub fn onward(connector: &Outbound, demand: &OnwardDemand) -> Option<Self> {
        if demand.level.is_met_by(&connector.requirement(None, None)) {
            return None;
        }
        let attained = Attainment::Settings { tls: connector.tls_word(), mode: connector.mode };
        let required = RequiredTls::Onward(demand.clone());
        Some(Self::outbound(connector, None, required, attained, Ruling::Onward))
    }

    fn outbound(
        connector: &Outbound,
        host: Option<&str>,
        required: RequiredTls,
        attained: Attainment,
        ruling: Ruling,
    ) -> Self {
        let host = host.map(str::to_owned);
        let partner = connector.partner.clone();
        Self { connector: Some(Arc::clone(&connector.name)), partner, host, required, attained, ruling }
    }

    /// The decision on a client's mail.
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
            partner: connector.and_then(|connector| connector.partner.clone()),
            host: Some(channel.peer.to_string()),
            required,
            attained: Attainment::Client { tls: channel.tls.clone(), user },
            ruling,
        }
    }

    /// What the session lacked, whether mail was withheld for it or audit mode waived it.
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
            | Ruling::Excepted(_)
            | Ruling::NoConnector(_) => None,
        }
    }

    /// What audit mode waived; if enforced, mail would have been withheld for this reason.
    #[must_use]
    pub fn waived(&self) -> Option<&Shortfall> {
        self.shortfall().filter(|_| matches!(self.ruling, Ruling::Waived(_)))
    }

    /// Whether it keeps mail back, or would if it were enforced.
    #[must_use]
    pub fn lacks_something(&self) -> bool {
        matches!(self.ruling, Ruling::Waived(_) | Ruling::WaivedClient(_)) || self.status().is_some()
    }

    /// Whom to ask at the partner that the connector belongs to.
    #[must_use]
    pub fn contact(&self) -> Option<&str> {
        self.partner.as_ref()?.contact.as_deref()
    }

    /// The client it is about, for an alarm: who has logged in, and the address.
    #[must_use]
    pub fn client_text(&self) -> String {
        let address = self.host.as_deref().unwrap_or("an unknown address");
        match &self.attained {
            Attainment::Client { user: Some(user), .. } => format!("{user} at {address}"),
            Attainment::Client { user: None, .. }
            | Attainment::Tls(_)
            | Attainment::Plaintext
            | Attainment::NoSession
            | Attainment::Settings { .. } => address.to_owned(),
        }
    }

    /// Whether there was a session, and it was in plaintext.
    #[must_use]
    pub fn is_in_plaintext(&self) -> bool {
        matches!(self.attained, Attainment::Plaintext | Attainment::Client { tls: None, .. })
    }

    /// The handshake the decision is based on.
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
