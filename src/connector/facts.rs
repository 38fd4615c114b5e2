//! What a TLS handshake showed, as data. Judging it is left to `judge`.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};

use super::strength::{AnchorPath, CertificateStrength};
use crate::mail::{Domain, UnixMillis, rfc3339};

/// What one TLS handshake showed. Nothing here is a verdict on a requirement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TlsFacts {
    /// When the handshake completed; dated pins are judged by it. The tracking store does not keep it.
    #[serde(default)]
    pub at: UnixMillis,
    /// The protocol version that was negotiated.
    pub version: TlsVersion,
    /// The name of the cipher suite.
    pub suite: String,
    /// The name of the key exchange group.
    pub group: String,
    /// The peer's certificate.
    pub peer: PeerCertificate,
    /// The SNI name sent (outbound) or received (inbound).
    pub sni: Option<String>,
    /// Outbound: whether the peer asked for a client certificate, and what we sent.
    pub client_certificate: Option<ClientCertificate>,
    /// Outbound: the SHA-256 of our certificate that was sent, in lower-case hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own_sha256: Option<Arc<str>>,
}

/// What happened to our own client certificate in an outbound handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ClientCertificate {
    /// The peer did not ask for one.
    #[serde(rename = "not asked for")]
    NotAskedFor,
    /// It asked, and ours was sent.
    #[serde(rename = "sent")]
    Sent,
    /// It asked, and the connector has no certificate configured.
    #[serde(rename = "asked for, none configured")]
    NoneToSend,
    /// It asked, but accepts no signature scheme that our key supports.
    #[serde(rename = "asked for, ours does not fit the signature schemes asked for")]
    NotSuited,
}

/// TLS 1.2 or 1.3; older versions are not supported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum TlsVersion {
    /// TLS 1.2 (RFC 5246).
    #[serde(rename = "TLSv1.2")]
    V12,
    /// TLS 1.3 (RFC 8446).
    #[serde(rename = "TLSv1.3")]
    V13,
}

/// What the peer presented as its certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PeerCertificate {
    /// None was shown, the usual case for clients.
    NotShown,
    /// A certificate was shown that can't be parsed; the reason.
    Unreadable(String),
    /// The certificate and its chain.
    Shown(Box<CertificateFacts>),
}

/// What a certificate and its chain show.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateFacts {
    /// The subjectAltName entries.
    pub names: Vec<PresentedName>,
    /// The subject, for display.
    pub subject: String,
    /// The issuer, for display.
    pub issuer: String,
    /// The subject's common name (CN).
    pub common_name: Option<String>,
    /// The subject's organisations (O).
    pub organisation: Vec<String>,
    /// The issuer's common names and organisations.
    pub issuer_names: Vec<String>,
    /// SHA-256 of the SubjectPublicKeyInfo, which pins refer to.
    #[serde(serialize_with = "spki_text", deserialize_with = "spki_of_text")]
    pub spki: [u8; 32],
    /// Its public key, and how it was signed.
    #[serde(default)]
    pub strength: CertificateStrength,
    /// Whether the extended key usage includes `serverAuth` or is absent.
    pub for_servers: bool,
    /// Whether the extended key usage includes `clientAuth` or is absent.
    pub for_clients: bool,
    /// notBefore: the start of validity.
    pub not_before: UnixMillis,
    /// notAfter: the end of validity, inclusive.
    pub not_after: UnixMillis,
    /// SHA-256 of the certificate, in lower-case hexadecimal.
    pub sha256: String,
    /// Whether the peer proved possession of the key: the handshake signature was verified.
    pub proved: bool,
    /// For each trust anchor set that was checked: whether the chain is valid and ends there.
    pub chain: BTreeMap<TrustId, ChainVerdict>,
    /// For each trust anchor set that trusts the chain: the way to the anchor.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub paths: BTreeMap<TrustId, AnchorPath>,
    /// For each trust anchor set that trusts the chain: the result of its revocation lists.
    pub revocation: BTreeMap<TrustId, RevocationStatus>,
    /// The other certificates the peer sent, in the order sent; only the first few.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub beside: Vec<IssuerFacts>,
    /// The subject of the trust anchor at the end of the first trusted chain.
    pub root: Option<String>,
}

/// One of the other certificates the peer sent: an issuer's, if the chain is in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssuerFacts {
    /// The subject, for display.
    pub subject: String,
    /// The issuer, for display.
    pub issuer: String,
    /// notAfter: the end of validity, inclusive.
    pub not_after: UnixMillis,
    /// SHA-256 of the certificate, in lower-case hexadecimal.
    pub sha256: String,
}

/// What revocation lists say about a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RevocationStatus {
    /// The trust anchor set has no revocation list.
    NoList,
    /// Current lists cover every certificate of the chain, and none is revoked.
    Good,
    /// A list revokes a certificate of the chain.
    Revoked,
    /// No list covers some certificate of the chain.
    Unknown,
    /// A list that covers the chain is out of date.
    Stale,
    /// No list covers some certificate of the chain, and one is still to be fetched.
    NotFetched,
}

/// Whether a chain is valid for a trust anchor set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChainVerdict {
    /// The chain ends in the set, and all of it is valid now.
    Trusted,
    /// The chain is not valid for the set.
    Faulty(ChainFault),
}

/// What is wrong with a chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChainFault {
    /// A certificate has expired.
    Expired,
    /// A certificate is not valid yet.
    NotYetValid,
    /// No path leads to a trust anchor of the set.
    UnknownIssuer,
    /// The peer shows a certificate authority's own certificate.
    CaUsedAsEndEntity,
    /// The extended key usage does not allow this purpose.
    WrongPurpose,
    /// A signature in the chain is invalid.
    BadSignature,
    /// Another error from path validation, as text.
    Other(String),
}

/// One subjectAltName entry (RFC 5280 §4.2.1.6).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PresentedName {
    /// A dNSName without a wildcard.
    Dns(Domain),
    /// `*.` and this domain; the wildcard matches exactly one label.
    Wildcard(Domain),
    /// An iPAddress entry.
    Ip(IpAddr),
    /// An entry that can't be matched to a host, verbatim.
    Unusable(String),
}

impl PresentedName {
    /// Parses a dNSName entry.
    #[must_use]
    pub fn from_dns(text: &str) -> Self {
        let (star, rest) = text.strip_prefix("*.").map_or((false, text), |rest| (true, rest));
        match Domain::parse(rest) {
            // RFC 9525 §6.5: an address in a dNSName does not match a host.
            Ok(_) if text.parse::<IpAddr>().is_ok() => Self::Unusable(text.to_owned()),
            // A wildcard directly below a top-level domain is never accepted.
            Ok(domain) if star && domain.parent().is_none() => Self::Unusable(text.to_owned()),
            Ok(domain) if star => Self::Wildcard(domain),
            Ok(domain) => Self::Dns(domain),
            Err(_) => Self::Unusable(text.chars().filter(|c| !c.is_control()).take(255).collect()),
        }
    }
}

impl CertificateFacts {
    /// The best verdict over several trust anchor sets: one set that trusts the chain is enough.
    #[must_use]
    pub fn chain_to(&self, sets: &[TrustId]) -> ChainVerdict {
        let verdicts = || sets.iter().filter_map(|set| self.chain.get(set));
        if verdicts().any(|v| *v == ChainVerdict::Trusted) {
            return ChainVerdict::Trusted;
        }
        // A fault from a set that knows the issuer is more specific than "unknown issuer".
        let unknown = ChainVerdict::Faulty(ChainFault::UnknownIssuer);
        verdicts().find(|v| **v != unknown).cloned().unwrap_or(unknown)
    }

    /// The best revocation result over several trust anchor sets, among those that trust the chain.
    #[must_use]
    pub fn revocation_by(&self, sets: &[TrustId]) -> RevocationStatus {
        let statuses = || sets.iter().filter_map(|set| self.revocation.get(set)).copied();
        let order = [
            // One list that revokes the chain outweighs all lists that do not.
            RevocationStatus::Revoked,
            RevocationStatus::Good,
            RevocationStatus::Stale,
            RevocationStatus::NotFetched,
            RevocationStatus::Unknown,
        ];
        let found = order.into_iter().find(|status| statuses().any(|s| s == *status));
        found.unwrap_or(RevocationStatus::NoList)
    }

    /// The names used for matching: the subjectAltName entries, or the common name if that is allowed and
    /// there are no others.
    #[must_use]
    pub fn names_or_common_name(&self, allow_cn: bool) -> Vec<PresentedName> {
        let usable = self.names.iter().any(|name| !matches!(name, PresentedName::Unusable(_)));
        match &self.common_name {
            Some(name) if allow_cn && !usable => vec![PresentedName::from_dns(name)],
            Some(_) | None => self.names.clone(),
        }
    }

    /// The presented names on one line.
    #[must_use]
    pub fn names_text(&self) -> String {
        if self.names.is_empty() {
            return "no subjectAltName".to_owned();
        }
        let shown: Vec<String> = self.names.iter().take(5).map(ToString::to_string).collect();
        let more = self.names.len().saturating_sub(shown.len());
        if more > 0 { format!("{} and {more} more", shown.join(", ")) } else { shown.join(", ") }
    }
}

impl TlsFacts {
    /// The peer's certificate, if one was shown and could be parsed.
    #[must_use]
    pub fn certificate(&self) -> Option<&CertificateFacts> {
        match &self.peer {
            PeerCertificate::Shown(facts) => Some(facts),
            PeerCertificate::NotShown | PeerCertificate::Unreadable(_) => None,
        }
    }

    /// The same without what any trust anchor set said of the chain.
    #[must_use]
    pub fn unassessed(&self) -> Self {
        let mut facts = self.clone();
        if let PeerCertificate::Shown(certificate) = &mut facts.peer {
            certificate.chain.clear();
            certificate.paths.clear();
            certificate.revocation.clear();
            certificate.root = None;
        }
        facts
    }

    /// Whether the key exchange group is post-quantum.
    #[must_use]
    pub fn is_post_quantum(&self) -> bool {
        self.group.to_ascii_uppercase().contains("MLKEM")
    }

    /// Version, suite and group, as in the Received header's comment.
    #[must_use]
    pub fn channel_text(&self) -> String {
        format!("version={} cipher={} group={}", self.version, self.suite, self.group)
    }
}

impl fmt::Display for TlsVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V12 => "TLSv1.2",
            Self::V13 => "TLSv1.3",
        })
    }
}

impl fmt::Display for PresentedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(domain) => write!(f, "{domain}"),
            Self::Wildcard(domain) => write!(f, "*.{domain}"),
            Self::Ip(ip) => write!(f, "{ip}"),
            Self::Unusable(text) => write!(f, "{text:?}"),
        }
    }
}

fn spki_text<S: serde::Serializer>(spki: &[u8; 32], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&super::pin::pin_text(spki))
}

fn spki_of_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 32], D::Error> {
    let text = String::deserialize(deserializer)?;
    super::pin::Pin::parse(&text).map(|pin| pin.sha256).map_err(serde::de::Error::custom)
}

impl<'de> Deserialize<'de> for PresentedName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if let Ok(ip) = text.parse() {
            return Ok(Self::Ip(ip));
        }
        let quoted = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        Ok(quoted.map_or_else(|| Self::from_dns(&text), |inner| Self::Unusable(inner.to_owned())))
    }
}

impl fmt::Display for ClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

impl Serialize for PresentedName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl RevocationStatus {
    /// A description for people.
    #[must_use]
    pub fn in_words(self) -> &'static str {
        match self {
            Self::NoList => "there is no list",
            Self::Good => "current lists vouch for it",
            Self::Revoked => "revoked",
            Self::Unknown => "no list covers it",
            Self::Stale => "the list is out of date",
            Self::NotFetched => "its list has not been fetched yet",
        }
    }
}

impl ChainFault {
    /// A description for people; dates come from the certificate.
    #[must_use]
    pub fn in_words(&self, facts: &CertificateFacts) -> String {
        match self {
            Self::Expired if facts.not_after == UnixMillis::default() => {
                "the certificate has expired".to_owned()
            }
            Self::Expired => {
                format!("the chain has expired; the certificate is valid until {}", rfc3339(facts.not_after))
            }
            Self::NotYetValid => format!("the certificate is valid only from {}", rfc3339(facts.not_before)),
            Self::UnknownIssuer => format!("no trust anchor is known for its issuer ({})", facts.issuer),
            Self::CaUsedAsEndEntity => {
                "the peer shows the certificate of a certificate authority, which is not itself a trust anchor (add it to \
                 the trust set, or pin its key)"
                    .to_owned()
            }
            Self::WrongPurpose => "the certificate is not for this purpose (extended key usage)".to_owned(),
            Self::BadSignature => "a signature in the chain is not right".to_owned(),
            Self::Other(text) => format!("the chain was not accepted: {text}"),
        }
    }

    /// A stable word for logs and machines.
    #[must_use]
    pub fn token(&self) -> &'static str {
        match self {
            Self::Expired => "certificate-expired",
            Self::NotYetValid => "certificate-not-yet-valid",
            Self::UnknownIssuer => "unknown-issuer",
            Self::CaUsedAsEndEntity => "ca-as-end-entity",
            Self::WrongPurpose => "wrong-purpose",
            Self::BadSignature => "chain-bad-signature",
            Self::Other(_) => "chain-invalid",
        }
    }
}

/// The ID of a trust anchor set: `system`, or from `[trust.ID]` in the configuration.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "String")]
pub struct TrustId(pub Arc<str>);

impl From<String> for TrustId {
    fn from(name: String) -> Self {
        Self(name.into())
    }
}
