//! The faults that a stand-in can be given while the lab runs. Pure.

use std::collections::BTreeSet;
use std::fmt;

use super::hosts::LabHost;

/// What is wrong with a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum HostTrouble {
    /// Nothing listens.
    ConnectionRefused,
    /// It accepts connections and says nothing.
    Slow,
    /// STARTTLS is not offered.
    NoStartTls,
    /// STARTTLS is answered 454.
    StartTlsRefused,
    /// It knows no TLS version after 1.1.
    Tls11Only,
    /// It does not send its intermediate certificate.
    MissingIntermediate,
    /// Its certificate has expired.
    CertificateExpired,
    /// Its certificate is revoked.
    CertificateRevoked,
    /// Its certificate is for another name.
    WrongCertificate,
    /// It accepts nothing of our tenant: 550 5.7.64.
    TenantAttribution,
    /// It has no time: 451 4.7.500.
    Throttled,
    /// It defers a sender and recipient that it does not know, once.
    Greylisting,
    /// Something before it removes Exchange's headers.
    HeadersStripped,
}

/// A fault that can be switched on and off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostFault {
    /// Whose fault it is.
    pub host: LabHost,
    /// What is wrong.
    pub trouble: HostTrouble,
}

/// The faults that are switched on.
pub type FaultSet = BTreeSet<HostFault>;

impl HostTrouble {
    /// All of them; of several at one host the first decides.
    pub const ALL: &'static [Self] = &[
        Self::ConnectionRefused,
        Self::Slow,
        Self::NoStartTls,
        Self::StartTlsRefused,
        Self::Tls11Only,
        Self::MissingIntermediate,
        Self::CertificateExpired,
        Self::CertificateRevoked,
        Self::WrongCertificate,
        Self::TenantAttribution,
        Self::Throttled,
        Self::Greylisting,
        Self::HeadersStripped,
    ];

    /// The second part of a fault's name.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::ConnectionRefused => "connection-refused",
            Self::Slow => "slow",
            Self::NoStartTls => "no-starttls",
            Self::StartTlsRefused => "starttls-refused",
            Self::Tls11Only => "tls-1.1-only",
            Self::MissingIntermediate => "missing-intermediate",
            Self::CertificateExpired => "expired",
            Self::CertificateRevoked => "revoked",
            Self::WrongCertificate => "wrong-certificate",
            Self::TenantAttribution => "tenant-attribution",
            Self::Throttled => "throttled",
            Self::Greylisting => "greylisting",
            Self::HeadersStripped => "headers-stripped",
        }
    }

    /// What the host does, in a sentence without its subject.
    #[must_use]
    pub const fn does(self) -> &'static str {
        match self {
            Self::ConnectionRefused => "does not listen",
            Self::Slow => "accepts connections and does not greet in time",
            Self::NoStartTls => "does not offer STARTTLS",
            Self::StartTlsRefused => "offers STARTTLS and answers 454 4.7.0",
            Self::Tls11Only => "knows no TLS version after 1.1, as server and as client",
            Self::MissingIntermediate => {
                "sends its certificate without the intermediate one, as server and as client"
            }
            Self::CertificateExpired => "presents an expired certificate, as server and as client",
            Self::CertificateRevoked => "presents a revoked certificate, as server and as client",
            Self::WrongCertificate => "presents a certificate of another name, as server and as client",
            Self::TenantAttribution => {
                "refuses recipients with 550 5.7.64 TenantAttribution; Relay Access Denied"
            }
            Self::Throttled => "defers with 451 4.7.500 Server busy",
            Self::Greylisting => "defers each unknown sender and recipient once, with 451 4.7.1",
            Self::HeadersStripped => "is behind a device that removes X-MS-Exchange headers",
        }
    }

    /// Whether it is about the certificate.
    #[must_use]
    pub const fn is_certificate(self) -> bool {
        match self {
            Self::MissingIntermediate
            | Self::CertificateExpired
            | Self::CertificateRevoked
            | Self::WrongCertificate => true,
            Self::ConnectionRefused
            | Self::Slow
            | Self::NoStartTls
            | Self::StartTlsRefused
            | Self::Tls11Only
            | Self::TenantAttribution
            | Self::Throttled
            | Self::Greylisting
            | Self::HeadersStripped => false,
        }
    }

    const fn is_of(self, host: LabHost) -> bool {
        match (self, host) {
            (Self::TenantAttribution | Self::Throttled, host) => matches!(host, LabHost::Cloud),
            (Self::HeadersStripped, host) => host.is_exchange(),
            (_, host) => {
                matches!(host, LabHost::Onprem | LabHost::Cloud | LabHost::Partner | LabHost::Internet)
            }
        }
    }
}

impl HostFault {
    /// All faults that can be switched on.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let of = |host: LabHost| {
            let troubles = HostTrouble::ALL.iter().filter(move |trouble| trouble.is_of(host));
            troubles.map(move |trouble| Self { host, trouble: *trouble })
        };
        LabHost::ALL.iter().flat_map(|host| of(*host)).collect()
    }

    /// The fault of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::all().into_iter().find(|fault| fault.to_string() == name)
    }
}

impl fmt::Display for HostFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.host.word(), self.trouble.word())
    }
}

/// What is wrong with a host: what it always has, and what is switched on.
#[must_use]
pub fn troubles(host: LabHost, faults: &FaultSet) -> BTreeSet<HostTrouble> {
    let standing = match host {
        LabHost::WrongName => Some(HostTrouble::WrongCertificate),
        LabHost::NoIntermediate => Some(HostTrouble::MissingIntermediate),
        LabHost::Revoked => Some(HostTrouble::CertificateRevoked),
        LabHost::Expired => Some(HostTrouble::CertificateExpired),
        LabHost::Onprem
        | LabHost::Cloud
        | LabHost::Partner
        | LabHost::Internet
        | LabHost::RenewalOld
        | LabHost::RenewalNew => None,
    };
    let switched = faults.iter().filter(|fault| fault.host == host).map(|fault| fault.trouble);
    standing.into_iter().chain(switched).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_fault() {
        for fault in HostFault::all() {
            assert_eq!(HostFault::named(&fault.to_string()), Some(fault));
        }
        assert_eq!(HostFault::named("partner.throttled"), None);
        assert_eq!(HostFault::named("cloud"), None);
        assert_eq!(HostFault::all().len(), 44);
    }

    #[test]
    fn the_order_of_all_is_the_order_of_the_type() {
        assert!(HostTrouble::ALL.is_sorted());
    }
}
