use std::fmt;

use super::TlsVersion;
use super::name::PeerName;
use super::table::TrustId;

/// What a connector demands of a session. A value, so that later sources (a message that must
/// stay sealed, a policy the partner publishes) can be joined to it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Requirement {
    /// Encrypt if offered, else plaintext; nothing is judged (RFC 7435).
    Opportunistic,
    /// TLS, and what [`Forced`] says of it, or nothing is sent.
    Forced(Forced),
}

/// What forced TLS demands.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Forced {
    /// What is asked of the certificate.
    pub require: Require,
    /// The oldest version accepted.
    pub min_version: TlsVersion,
}

/// What forced TLS asks of the peer's certificate; each level includes those above it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
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

impl Requirement {
    /// Whether nothing may go in clear.
    #[must_use]
    pub fn is_forced(&self) -> bool {
        match self {
            Self::Opportunistic => false,
            Self::Forced(_) => true,
        }
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Opportunistic => f.write_str("TLS if offered"),
            Self::Forced(forced) => forced.fmt(f),
        }
    }
}

impl fmt::Display for Forced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} or later", self.min_version)?;
        match &self.require {
            Require::Encryption => f.write_str(", any certificate"),
            Require::Chain { trust } => write!(f, ", a chain to {}", list(trust)),
            Require::Identity { trust, names } => {
                write!(f, ", a chain to {}, the name {}", list(trust), list(names))
            }
        }
    }
}

fn list<T: fmt::Display>(items: &[T]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ")
}
