//! What may change about a partner's host between two looks at it, as data and in words. It compares nothing.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::sight::{CertificateSight, plain};
use crate::connector::TlsVersion;
use crate::mail::{UnixMillis, rfc3339};

/// One change between two looks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PartnerChange {
    /// A host that was not there before.
    HostAdded {
        /// Whether mail may be sent there.
        ok: bool,
        /// Why.
        reason: String,
    },
    /// A known host has another address.
    AddressAdded {
        /// Whether mail may be sent there.
        ok: bool,
        /// Why.
        reason: String,
    },
    /// A host is no longer named, by DNS or the configuration.
    HostGone,
    /// No host can be found: DNS.
    HostsUnknown {
        /// Why.
        reason: String,
    },
    /// Hosts can be found again.
    HostsKnown,
    /// Twice in a row there was no session.
    Unanswered {
        /// Why.
        reason: String,
    },
    /// There is a session, after there was none.
    Answered,
    /// TLS was there before.
    TlsGone {
        /// What happens instead.
        reason: String,
    },
    /// TLS is there, and was not before.
    TlsOffered,
    /// Another certificate.
    Certificate {
        /// The one before.
        was: Box<CertificateSight>,
        /// The one now.
        now: Box<CertificateSight>,
    },
    /// Another protocol version.
    Version {
        /// The one before.
        was: TlsVersion,
        /// The one now.
        now: TlsVersion,
    },
    /// Another cipher suite.
    Suite {
        /// The one before.
        was: String,
        /// The one now.
        now: String,
    },
    /// Another key exchange group.
    Group {
        /// The one before.
        was: String,
        /// The one now.
        now: String,
    },
    /// The certificate ends soon, or has ended.
    Ending {
        /// In less than so many days; 0 once it has ended.
        days: u64,
        /// When.
        not_after: UnixMillis,
    },
    /// Mail would be refused there now, by what the connector requires.
    Unmet {
        /// Why.
        reason: String,
        /// The same as a word.
        token: Option<String>,
    },
    /// What the connector requires is met again.
    Met,
    /// The check recipient is no longer taken.
    RecipientRefused {
        /// The host's reply.
        reply: String,
    },
    /// The check recipient is taken again.
    RecipientTaken,
}

impl PartnerChange {
    /// A stable word for logs and machines.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::HostAdded { .. } => "host-added",
            Self::AddressAdded { .. } => "address-added",
            Self::HostGone => "host-gone",
            Self::HostsUnknown { .. } => "hosts-unknown",
            Self::HostsKnown => "hosts-known",
            Self::Unanswered { .. } => "unanswered",
            Self::Answered => "answered",
            Self::TlsGone { .. } => "tls-gone",
            Self::TlsOffered => "tls-offered",
            Self::Certificate { .. } => "certificate",
            Self::Version { .. } => "version",
            Self::Suite { .. } => "suite",
            Self::Group { .. } => "group",
            Self::Ending { .. } => "ending",
            Self::Unmet { .. } => "unmet",
            Self::Met => "met",
            Self::RecipientRefused { .. } => "recipient-refused",
            Self::RecipientTaken => "recipient-taken",
        }
    }

    /// Whether somebody should look at it.
    #[must_use]
    pub fn is_worse(&self) -> bool {
        match self {
            Self::HostsUnknown { .. }
            | Self::Unanswered { .. }
            | Self::TlsGone { .. }
            | Self::Ending { .. }
            | Self::Unmet { .. }
            | Self::RecipientRefused { .. } => true,
            Self::HostAdded { ok, .. } | Self::AddressAdded { ok, .. } => !ok,
            Self::Version { was, now } => now < was,
            Self::HostGone
            | Self::HostsKnown
            | Self::Answered
            | Self::TlsOffered
            | Self::Certificate { .. }
            | Self::Suite { .. }
            | Self::Group { .. }
            | Self::Met
            | Self::RecipientTaken => false,
        }
    }
}

impl fmt::Display for PartnerChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HostAdded { ok: true, .. } => f.write_str("a new host, to which mail may be sent"),
            Self::HostAdded { ok: false, reason } => {
                write!(f, "a new host, to which no mail may be sent: {reason}")
            }
            Self::AddressAdded { ok: true, .. } => f.write_str("a new address, to which mail may be sent"),
            Self::AddressAdded { ok: false, reason } => {
                write!(f, "a new address, to which no mail may be sent: {reason}")
            }
            Self::HostGone => f.write_str("the host is no longer named"),
            Self::HostsUnknown { reason } => write!(f, "no host can be found: {reason}"),
            Self::HostsKnown => f.write_str("its hosts can be found again"),
            Self::Unanswered { reason } => write!(f, "no session with it: {reason}"),
            Self::Answered => f.write_str("it answers again"),
            Self::TlsGone { reason } => write!(f, "no more TLS: {reason}"),
            Self::TlsOffered => f.write_str("TLS, which was not there before"),
            Self::Certificate { was, now } => replaced(f, was, now),
            Self::Version { was, now } => write!(f, "{now}, it was {was}"),
            Self::Suite { was, now } => write!(f, "the cipher suite {now}, it was {was}"),
            Self::Group { was, now } => write!(f, "the key exchange group {now}, it was {was}"),
            Self::Ending { days: 0, not_after } => {
                write!(f, "the certificate expired on {}", rfc3339(*not_after))
            }
            Self::Ending { days, not_after } => {
                write!(f, "the certificate expires in less than {days} days, on {}", rfc3339(*not_after))
            }
            Self::Unmet { reason, .. } => write!(f, "mail would be refused there now: {reason}"),
            Self::Met => f.write_str("what the connector requires is met again"),
            Self::RecipientRefused { reply } => write!(f, "the check recipient is refused: {reply}"),
            Self::RecipientTaken => f.write_str("the check recipient is taken again"),
        }
    }
}

/// What is different about a new certificate.
fn replaced(f: &mut fmt::Formatter<'_>, was: &CertificateSight, now: &CertificateSight) -> fmt::Result {
    write!(f, "another certificate, valid until {}", rfc3339(now.not_after))?;
    if was.issuer != now.issuer {
        write!(f, "; issued by {}, the last one by {}", plain(&now.issuer), plain(&was.issuer))?;
    }
    if was.names != now.names || was.names_count != now.names_count {
        write!(f, "; it presents {}, the last one {}", now.names_text(), was.names_text())?;
    }
    let key = if was.pin == now.pin { "the same key" } else { "another key" };
    write!(f, "; {key}, SHA-256 {}", now.sha256)
}
