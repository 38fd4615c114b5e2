//! Our configuration as an import makes it: what is to be written, before it is text.

use std::collections::BTreeMap;

use ipnet::IpNet;

use super::remark::Leftover;
use crate::connector::DomainPattern;
use crate::mail::Domain;

/// A whole configuration.
#[derive(Debug, Default)]
pub(super) struct Sketch {
    /// What it was made from.
    pub(super) made_from: Vec<String>,
    pub(super) name: String,
    pub(super) postmaster: String,
    pub(super) data_dir: String,
    /// What belongs to no connector.
    pub(super) remarks: Vec<(String, Leftover)>,
    pub(super) certificates: BTreeMap<String, CertificateSketch>,
    pub(super) trusts: BTreeMap<String, TrustSketch>,
    pub(super) limits: Vec<(&'static str, String)>,
    pub(super) listeners: Vec<ListenerSketch>,
    pub(super) partners: Vec<PartnerSketch>,
    pub(super) inbound: Vec<InboundSketch>,
    pub(super) outbound: Vec<OutboundSketch>,
}

/// A certificate of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CertificateSketch {
    /// How the source names it.
    pub(super) about: String,
    pub(super) chain: String,
    pub(super) key: String,
    /// The files are there; otherwise whatever names it is written as a comment.
    pub(super) is_there: bool,
}

/// A set of trust anchors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TrustSketch {
    pub(super) about: String,
    pub(super) anchors: String,
    pub(super) is_there: bool,
}

/// A listener.
#[derive(Debug, Clone, Default)]
pub(super) struct ListenerSketch {
    pub(super) name: String,
    pub(super) about: String,
    pub(super) addresses: Vec<String>,
    pub(super) tls: OfferSketch,
    pub(super) certificates: Vec<String>,
    pub(super) withhold: Vec<&'static str>,
    pub(super) remarks: Vec<Leftover>,
}

/// What a listener offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum OfferSketch {
    Off,
    #[default]
    StartTls,
    Required,
    Implicit,
}

/// Another organisation, with connectors of both directions.
#[derive(Debug, Clone)]
pub(super) struct PartnerSketch {
    pub(super) name: String,
    pub(super) domains: Vec<DomainPattern>,
}

/// An inbound connector.
#[derive(Debug, Clone, Default)]
pub(super) struct InboundSketch {
    pub(super) name: String,
    /// The object it was made from.
    pub(super) origin: String,
    /// What a reader should know of it.
    pub(super) notes: Vec<String>,
    pub(super) own: bool,
    /// It takes the mail of Exchange Online for Exchange Server.
    pub(super) is_cloud: bool,
    pub(super) partner: Option<String>,
    pub(super) off: bool,
    pub(super) listeners: Vec<String>,
    pub(super) from_domains: Vec<DomainPattern>,
    pub(super) except_domains: Vec<DomainPattern>,
    pub(super) from_networks: Vec<IpNet>,
    pub(super) tls: TlsSketch,
    pub(super) to_domains: Vec<DomainPattern>,
    /// Domains that nobody else may send in the name of, which a connector that is not forced does not see to.
    pub(super) binds: bool,
    pub(super) message_size: Option<String>,
    pub(super) recipients: Option<u64>,
    pub(super) connections: Option<u64>,
    pub(super) recipients_file: Option<SideFile>,
    /// Headers of its mail are promoted to those of the organisation.
    pub(super) promotes: bool,
    /// Whose headers are promoted, where many organisations have one certificate.
    pub(super) originators: Vec<DomainPattern>,
    pub(super) remarks: Vec<Leftover>,
}

/// An outbound connector.
#[derive(Debug, Clone, Default)]
pub(super) struct OutboundSketch {
    pub(super) name: String,
    pub(super) origin: String,
    pub(super) notes: Vec<String>,
    pub(super) off: bool,
    pub(super) domains: Vec<DomainPattern>,
    pub(super) partner: Option<String>,
    /// Only mail that arrives from Exchange Online.
    pub(super) from_cloud: bool,
    pub(super) from_connectors: Vec<String>,
    pub(super) cost: Option<u64>,
    /// Smart hosts; none: the recipient domain's mail exchangers.
    pub(super) next_hop: Vec<String>,
    pub(super) spread: bool,
    pub(super) port: Option<u16>,
    pub(super) mx_addresses: Option<&'static str>,
    pub(super) address_family: Option<&'static str>,
    pub(super) tls: TlsSketch,
    pub(super) implicit: bool,
    pub(super) sni: Option<String>,
    pub(super) source_address: Vec<String>,
    pub(super) ehlo_name: Option<String>,
    pub(super) remember_tls: bool,
    pub(super) client_certificate: Option<String>,
    pub(super) connections: Option<u64>,
    pub(super) messages_per_connection: Option<u64>,
    pub(super) max_recipients: Option<u64>,
    pub(super) promotes: bool,
    pub(super) remarks: Vec<Leftover>,
}

/// What a connector asks of TLS.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) enum TlsSketch {
    Off,
    #[default]
    Opportunistic,
    Forced(ForcedSketch),
}

/// What forced TLS asks of the other side.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct ForcedSketch {
    pub(super) require: Proof,
    pub(super) trust: Vec<String>,
    pub(super) pins: Vec<String>,
    pub(super) only_13: bool,
}

/// How the other side proves who it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) enum Proof {
    #[default]
    Encryption,
    Chain,
    /// The names, if they differ from what Sealpost expects by itself.
    Identity(Vec<String>),
}

impl TlsSketch {
    pub(super) fn encryption() -> Self {
        Self::Forced(ForcedSketch::default())
    }

    pub(super) fn chain() -> Self {
        Self::Forced(ForcedSketch { require: Proof::Chain, ..ForcedSketch::default() })
    }

    pub(super) fn identity(names: Vec<String>) -> Self {
        Self::Forced(ForcedSketch { require: Proof::Identity(names), ..ForcedSketch::default() })
    }

    /// Forced, and nobody can meet it until a person writes what is missing: a pin that no key has.
    pub(super) fn unmeetable() -> Self {
        let pins = vec![NO_KEY.to_owned()];
        Self::Forced(ForcedSketch { pins, ..ForcedSketch::default() })
    }
}

/// A pin of zeros: the requirement stays as strict as it can be until a person writes the right one.
pub(super) const NO_KEY: &str = "sha256/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

/// A file that the configuration needs beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SideFile {
    /// Its name, without a folder.
    pub name: String,
    /// What is in it.
    pub text: String,
}

/// What whoever imports asks for.
#[derive(Debug, Clone, Default)]
pub struct Wishes {
    /// `name` of `[server]`.
    pub name: Option<String>,
    /// `postmaster` of `[server]`.
    pub postmaster: Option<String>,
    /// The host with the mailboxes of our own domains.
    pub mailbox_host: Option<String>,
    /// Where our certificates are, or will be.
    pub certificate_dir: String,
    /// `data_dir` of `[server]`.
    pub data_dir: String,
    /// The folder of the configuration, if it becomes a file that others can be beside.
    pub beside: Option<String>,
}

/// The files that a source names.
pub trait Disk {
    /// Whether there is a file that can be read.
    fn is_file(&self, path: &str) -> bool;
    /// Reads a file.
    ///
    /// # Errors
    /// What the system says.
    fn read(&self, path: &str) -> Result<Vec<u8>, String>;
}

/// A pattern of the source whose star stands for the domain itself too: two of ours.
pub(super) fn with_apex(text: &str) -> Option<Vec<DomainPattern>> {
    match DomainPattern::parse(text).ok()? {
        DomainPattern::Below(domain) => {
            Some(vec![DomainPattern::Exact(domain.clone()), DomainPattern::Below(domain)])
        }
        DomainPattern::Exact(domain) => Some(vec![DomainPattern::Exact(domain)]),
        DomainPattern::Any => Some(vec![DomainPattern::Any]),
    }
}

/// The domain of a pattern; none for `*`.
pub(super) fn domain_of(pattern: &DomainPattern) -> Option<&Domain> {
    match pattern {
        DomainPattern::Exact(domain) | DomainPattern::Below(domain) => Some(domain),
        DomainPattern::Any => None,
    }
}

/// Adds what is not there yet, and takes out what another pattern covers.
pub(super) fn united(patterns: impl IntoIterator<Item = DomainPattern>) -> Vec<DomainPattern> {
    let mut kept: Vec<DomainPattern> = Vec::new();
    for pattern in patterns {
        if kept.iter().any(|other| other.includes(&pattern)) {
            continue;
        }
        kept.retain(|other| !pattern.includes(other));
        kept.push(pattern);
    }
    kept
}
