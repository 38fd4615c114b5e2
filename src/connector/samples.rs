//! Facts and connectors shared by the tests of this module.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::*;
use crate::mail::{Domain, UnixMillis};

pub(crate) fn trust(name: &str) -> TrustId {
    TrustId(name.into())
}

pub(crate) fn identity(names: &[&str]) -> Forced {
    Forced::new(Require::Identity {
        trust: vec![trust("system")],
        names: names.iter().map(|n| PeerName::parse(n).expect("a peer name")).collect(),
    })
}

pub(crate) fn chain() -> Forced {
    Forced::new(Require::Chain { trust: vec![trust("system")] })
}

pub(crate) fn certificate(names: &[&str], verdict: ChainVerdict) -> CertificateFacts {
    CertificateFacts {
        names: names.iter().map(|n| PresentedName::from_dns(n)).collect(),
        subject: "CN=mail".to_owned(),
        issuer: "CN=Some CA".to_owned(),
        common_name: Some("mail".to_owned()),
        organisation: Vec::new(),
        issuer_names: vec!["Some CA".to_owned()],
        spki: [7; 32],
        strength: CertificateStrength::default(),
        for_servers: true,
        for_clients: true,
        not_before: UnixMillis(1_700_000_000_000),
        not_after: UnixMillis(1_800_000_000_000),
        sha256: "00".repeat(32),
        proved: true,
        chain: BTreeMap::from([(trust("system"), verdict)]),
        paths: BTreeMap::new(),
        revocation: BTreeMap::new(),
        beside: Vec::new(),
        root: None,
    }
}

pub(crate) fn tls(version: TlsVersion, peer: PeerCertificate) -> TlsFacts {
    TlsFacts {
        at: UnixMillis(1_750_000_000_000),
        version,
        suite: "TLS_AES_256_GCM_SHA384".to_owned(),
        group: "X25519MLKEM768".to_owned(),
        peer,
        sni: None,
        client_certificate: None,
        own_sha256: None,
    }
}

pub(crate) fn shown(names: &[&str], verdict: ChainVerdict) -> TlsFacts {
    tls(TlsVersion::V13, PeerCertificate::Shown(Box::new(certificate(names, verdict))))
}

pub(crate) fn inbound(name: &str, from: &[&str], demand: InboundTls) -> Inbound {
    Inbound { tls: demand, to_domains: vec![DomainPattern::Any], ..Inbound::new(name, patterns(from)) }
}

pub(crate) fn outbound(name: &str, domains: &[&str], cost: u16) -> Outbound {
    Outbound { cost, connections: 4, ..Outbound::new(name, patterns(domains), NextHop::Mx { port: 25 }) }
}

pub(crate) fn domain(text: &str) -> Domain {
    Domain::parse(text).expect("a domain")
}

pub(crate) fn facts(facts: TlsFacts) -> Option<Arc<TlsFacts>> {
    Some(Arc::new(facts))
}

fn patterns(texts: &[&str]) -> Vec<DomainPattern> {
    texts.iter().map(|t| DomainPattern::parse(t).expect("a pattern")).collect()
}
