//! What a connector requires of TLS, as data. Whether a handshake meets it is decided in `shortfall`.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::TlsVersion;
use super::facts::TrustId;
use super::name::PeerName;
use super::pin::Pin;
use super::profile::Profile;

/// What a connector requires of a session. A value, so that later sources (a message that must stay on TLS, a
/// policy the partner publishes) can be combined with it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Requirement {
    /// TLS is not used, even if offered.
    Off,
    /// Use TLS if offered, within the profile if there is one, else plaintext; nothing is judged (RFC 7435).
    Opportunistic(Option<Profile>),
    /// Audit: judged like [`Self::Forced`] and recorded, but delivered like [`Self::Opportunistic`], in
    /// plaintext too.
    Audit(Forced),
    /// TLS that meets [`Forced`], or nothing is sent.
    Forced(Forced),
}

/// What forced TLS requires; all of it must hold.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Forced {
    /// What the certificate must show.
    pub require: Require,
    /// The oldest TLS version accepted.
    pub min_version: TlsVersion,
    /// Which key exchange is accepted.
    pub key_exchange: KeyExchange,
    /// The profile that session and certificate must conform to.
    pub profile: Option<Profile>,
    /// The certificate's key must match one of these, unless empty.
    pub pins: Vec<Pin>,
    /// What the certificate's subject and issuer must contain.
    pub subject: SubjectRules,
    /// Whether the common name is used if the certificate has no usable subjectAltName.
    pub allow_cn: bool,
    /// How revocation lists are checked.
    pub revocation: Revocation,
    /// Inbound only: the required purpose of a client's certificate.
    pub purpose: Purpose,
}

/// What forced TLS requires of the peer's certificate; each level includes those above it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub enum Require {
    /// Nothing: encryption to any peer.
    Encryption,
    /// The chain must end in one of these trust anchor sets.
    Chain {
        /// The sets; one is enough.
        trust: Vec<TrustId>,
    },
    /// The chain, and the certificate must present one of these names.
    Identity {
        /// The sets; one is enough.
        trust: Vec<TrustId>,
        /// The reference identifiers; one is enough.
        names: Vec<PeerName>,
    },
}

/// Which key exchange is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize)]
pub enum KeyExchange {
    /// Post-quantum preferred, (EC)DHE otherwise.
    #[default]
    Any,
    /// Only X25519MLKEM768 or another hybrid; this needs TLS 1.3.
    PostQuantum,
    /// No post-quantum group is offered, for middleboxes that fail on large handshakes.
    Classic,
}

/// How certificate revocation lists are checked (RFC 5280 §5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize)]
pub enum Revocation {
    /// Revocation is not checked.
    Off,
    /// A revoked certificate is refused; one that no list covers is accepted.
    #[default]
    Soft,
    /// Only a certificate covered by a current list, and not revoked, is accepted.
    Hard,
}

/// The required purpose of a client's certificate (RFC 5280 §4.2.1.12).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize)]
pub enum Purpose {
    /// `serverAuth` or `clientAuth`: public CAs no longer issue client certificates.
    #[default]
    Either,
    /// Only `clientAuth`.
    Client,
}

/// Texts that the certificate's subject and issuer must contain; within one list any of them is enough. Case
/// is ignored. Always combined with a chain or a pin, since anyone can put any text into their own
/// certificate.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize)]
pub struct SubjectRules {
    /// The subject's organisation (O).
    pub organisation: Vec<String>,
    /// The subject's common name (CN).
    pub common_name: Vec<String>,
    /// The issuer's common name or organisation.
    pub issuer: Vec<String>,
}

/// What an override leaves of a forced requirement; the weakest first.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum OverrideLevel {
    /// TLS if offered.
    Opportunistic,
    /// TLS with any certificate.
    Encryption,
    /// A certificate with a chain to the same trust anchors, whatever its name, key and subject.
    Chain,
}

impl Requirement {
    /// Whether plaintext is forbidden.
    #[must_use]
    pub fn is_forced(&self) -> bool {
        match self {
            Self::Off | Self::Opportunistic(_) | Self::Audit(_) => false,
            Self::Forced(_) => true,
        }
    }

    /// What is judged: the forced TLS requirements, enforced or in audit.
    #[must_use]
    pub fn judged(&self) -> Option<&Forced> {
        match self {
            Self::Off | Self::Opportunistic(_) => None,
            Self::Audit(forced) | Self::Forced(forced) => Some(forced),
        }
    }
}

impl Forced {
    /// Whether meeting this proves the peer's identity: by a chain or a pin, not by a self-made certificate.
    #[must_use]
    pub fn proves_who(&self) -> bool {
        !matches!(self.require, Require::Encryption) || !self.pins.is_empty()
    }

    /// Whether meeting this proves that the peer is one that the configuration names: by a name in a trusted certificate, or
    /// by a pinned key.
    #[must_use]
    pub fn identifies(&self) -> bool {
        matches!(self.require, Require::Identity { .. }) || !self.pins.is_empty()
    }

    /// Whether only peers that somebody chose can meet this: by a pin, a name, an authority that is not public, or an
    /// organisation or common name that a public authority has verified. An issuer alone has any number of customers.
    #[must_use]
    pub fn restricts(&self) -> bool {
        let subject = !self.subject.organisation.is_empty() || !self.subject.common_name.is_empty();
        !self.pins.is_empty()
            || match &self.require {
                Require::Encryption => false,
                Require::Chain { trust } => !trust.contains(&TrustId::system()) || subject,
                Require::Identity { .. } => true,
            }
    }

    /// These certificate requirements, with the default for everything else.
    #[must_use]
    pub fn new(require: Require) -> Self {
        Self {
            require,
            min_version: TlsVersion::V12,
            key_exchange: KeyExchange::Any,
            profile: None,
            pins: Vec::new(),
            subject: SubjectRules::default(),
            allow_cn: false,
            revocation: Revocation::Soft,
            purpose: Purpose::Either,
        }
    }

    /// TLS 1.2 with any certificate: the weakest forced requirement.
    #[must_use]
    pub fn encryption() -> Self {
        Self::new(Require::Encryption)
    }

    /// A summary in a word or two, for a table.
    #[must_use]
    pub fn summary(&self) -> &'static str {
        match &self.require {
            Require::Identity { .. } => "TLS, chain, name",
            Require::Chain { .. } => "TLS, chain",
            Require::Encryption if self.pins.is_empty() => "TLS",
            Require::Encryption => "TLS, key",
        }
    }

    /// The trust anchor sets that are accepted.
    #[must_use]
    pub fn trust(&self) -> &[TrustId] {
        match &self.require {
            Require::Encryption => &[],
            Require::Chain { trust } | Require::Identity { trust, .. } => trust,
        }
    }

    /// Whether the peer must show a certificate.
    #[must_use]
    pub fn needs_certificate(&self) -> bool {
        !matches!(self.require, Require::Encryption) || !self.pins.is_empty()
    }
}

impl OverrideLevel {
    /// The word in the configuration.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Opportunistic => "opportunistic",
            Self::Encryption => "encryption",
            Self::Chain => "chain",
        }
    }

    /// What is left of a forced requirement; `None` if it requires no more than that. Versions, key exchange and profile
    /// stay: only what is asked of the certificate is lowered.
    pub(super) fn lower(self, forced: &Forced) -> Option<Forced> {
        let require = match (self, &forced.require) {
            (Self::Chain, Require::Identity { trust, .. } | Require::Chain { trust }) => {
                Require::Chain { trust: trust.clone() }
            }
            // A key that is pinned has no chain to fall back to.
            (Self::Chain, Require::Encryption) => return None,
            (Self::Encryption | Self::Opportunistic, _) => Require::Encryption,
        };
        let lowered = Forced {
            require,
            pins: Vec::new(),
            subject: SubjectRules::default(),
            allow_cn: false,
            ..forced.clone()
        };
        let asks_less =
            lowered.require != forced.require || !forced.pins.is_empty() || !forced.subject.is_empty();
        asks_less.then_some(lowered)
    }
}

impl SubjectRules {
    /// Whether there are no rules.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.organisation.is_empty() && self.common_name.is_empty() && self.issuer.is_empty()
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("no TLS"),
            Self::Opportunistic(None) => f.write_str("TLS if offered"),
            Self::Opportunistic(Some(profile)) => {
                write!(f, "TLS if offered, with no more than the profile {profile} allows")
            }
            Self::Audit(forced) => write!(f, "in audit: {forced}"),
            Self::Forced(forced) => forced.fmt(f),
        }
    }
}

impl fmt::Display for Forced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} or later", self.min_version)?;
        if self.key_exchange == KeyExchange::PostQuantum {
            f.write_str(", a post-quantum key exchange")?;
        }
        if let Some(profile) = self.profile {
            write!(f, ", the profile {profile}")?;
        }
        match &self.require {
            Require::Encryption if self.pins.is_empty() => f.write_str(", any certificate")?,
            Require::Encryption => {}
            Require::Chain { trust } => write!(f, ", a chain to {}", list(trust))?,
            Require::Identity { trust, names } => {
                write!(f, ", a chain to {}, the name {}", list(trust), list(names))?;
            }
        }
        if !self.pins.is_empty() {
            write!(f, ", the key {}", list(&self.pins))?;
        }
        for (what, texts) in [
            ("organisation", &self.subject.organisation),
            ("common name", &self.subject.common_name),
            ("issuer", &self.subject.issuer),
        ] {
            if !texts.is_empty() {
                write!(f, ", the {what} {}", list(texts))?;
            }
        }
        match self.revocation {
            Revocation::Hard => f.write_str(", not revoked by a current list")?,
            Revocation::Off | Revocation::Soft => {}
        }
        match self.purpose {
            Purpose::Client => f.write_str(", for clients"),
            Purpose::Either => Ok(()),
        }
    }
}

fn list<T: fmt::Display>(items: &[T]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ")
}
