use std::fmt;

use serde::Serialize;

use super::TlsVersion;
use super::facts::TrustId;
use super::name::PeerName;
use super::pin::Pin;

/// What a connector demands of a session. A value, so that later sources (a message that must
/// stay sealed, a policy the partner publishes) can be joined to it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Requirement {
    /// TLS is not asked for, though it were offered.
    Off,
    /// Encrypt if offered, else plaintext; nothing is judged (RFC 7435).
    Opportunistic,
    /// A rehearsal: judged like [`Self::Forced`] and recorded, but delivered like
    /// [`Self::Opportunistic`], in clear too.
    Audit(Forced),
    /// TLS, and what [`Forced`] says of it, or nothing is sent.
    Forced(Forced),
}

/// What forced TLS demands; all of it must hold.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Forced {
    /// What is asked of the certificate.
    pub require: Require,
    /// The oldest version accepted.
    pub min_version: TlsVersion,
    /// How the keys of the session are agreed on.
    pub key_exchange: KeyExchange,
    /// The certificate's key must be one of these, if there are any.
    pub pins: Vec<Pin>,
    /// What the certificate's subject and issuer must say.
    pub subject: SubjectRules,
    /// Whether the common name stands in where the certificate has no usable subjectAltName.
    pub allow_cn: bool,
    /// What is asked of revocation lists.
    pub revocation: Revocation,
    /// Inbound alone: what a client's certificate must be for.
    pub purpose: Purpose,
}

/// What forced TLS asks of the peer's certificate; each level includes those above it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub enum Require {
    /// Nothing: the channel is encrypted, to whomever.
    Encryption,
    /// The chain ends in one of these trust anchor sets.
    Chain {
        /// The sets; one is enough.
        trust: Vec<TrustId>,
    },
    /// That, and the certificate presents one of these names.
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
    /// X25519MLKEM768 or another hybrid alone; that needs TLS 1.3.
    PostQuantum,
    /// No post-quantum group is offered: for middleboxes that stumble over large handshakes.
    Classic,
}

/// What is asked of certificate revocation lists (RFC 5280 §5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize)]
pub enum Revocation {
    /// They are not looked at.
    Off,
    /// A certificate that a list names is refused; one that no list speaks of is not.
    #[default]
    Soft,
    /// Only a certificate that a current list vouches for is accepted.
    Hard,
}

/// What a client's certificate must be for (RFC 5280 §4.2.1.12).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize)]
pub enum Purpose {
    /// `serverAuth` or `clientAuth`: public authorities no longer issue for clients.
    #[default]
    Either,
    /// `clientAuth` alone.
    Client,
}

/// Texts that the certificate's subject and issuer must have; within one list any of them is
/// enough. Compared without regard to case. Always on top of a chain or a pin, since anyone can
/// write anything into a certificate of his own.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize)]
pub struct SubjectRules {
    /// The subject's organisation (O).
    pub organisation: Vec<String>,
    /// The subject's common name (CN).
    pub common_name: Vec<String>,
    /// The issuer's common name or organisation.
    pub issuer: Vec<String>,
}

impl Requirement {
    /// Whether nothing may go in clear.
    #[must_use]
    pub fn is_forced(&self) -> bool {
        match self {
            Self::Off | Self::Opportunistic | Self::Audit(_) => false,
            Self::Forced(_) => true,
        }
    }

    /// What is judged: what forced TLS demands, be it enforced or rehearsed.
    #[must_use]
    pub fn judged(&self) -> Option<&Forced> {
        match self {
            Self::Off | Self::Opportunistic => None,
            Self::Audit(forced) | Self::Forced(forced) => Some(forced),
        }
    }
}

impl Forced {
    /// Whether whoever meets it has shown who they are: by a chain or a pin, not by a certificate of their
    /// own making.
    #[must_use]
    pub fn proves_who(&self) -> bool {
        !matches!(self.require, Require::Encryption) || !self.pins.is_empty()
    }

    /// These demands on the certificate, and of everything else the default.
    #[must_use]
    pub fn new(require: Require) -> Self {
        Self {
            require,
            min_version: TlsVersion::V12,
            key_exchange: KeyExchange::Any,
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

    /// In a word or two, for a table.
    #[must_use]
    pub fn summary(&self) -> &'static str {
        match &self.require {
            Require::Identity { .. } => "TLS, chain, name",
            Require::Chain { .. } => "TLS, chain",
            Require::Encryption if self.pins.is_empty() => "TLS",
            Require::Encryption => "TLS, key",
        }
    }

    /// The trust anchor sets it names.
    #[must_use]
    pub fn trust(&self) -> &[TrustId] {
        match &self.require {
            Require::Encryption => &[],
            Require::Chain { trust } | Require::Identity { trust, .. } => trust,
        }
    }

    /// Whether a certificate is needed at all.
    #[must_use]
    pub fn needs_certificate(&self) -> bool {
        !matches!(self.require, Require::Encryption) || !self.pins.is_empty()
    }
}

impl SubjectRules {
    /// Whether nothing is asked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.organisation.is_empty() && self.common_name.is_empty() && self.issuer.is_empty()
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("no TLS"),
            Self::Opportunistic => f.write_str("TLS if offered"),
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
