//! Outbound connectors of Exchange Online and send connectors of Exchange Server to outbound connectors of ours.

use super::super::fault::ImportFault;
use super::super::remark::Leftover;
use super::super::settle::{NOWHERE, networks};
use super::super::sketch::{OutboundSketch, Proof, TlsSketch, with_apex};
use super::certificates::Certificates;
use super::inbound::promotes;
use super::source::{ExportObject, OutboundExport, SendExport, TlsLevel};
use crate::connector::DomainPattern;
use crate::mail::Domain;

/// A connector, and what it claims: a pattern, its cost, and whether it is only the apex of a star.
#[derive(Debug)]
pub(super) struct Claims {
    sketch: OutboundSketch,
    claims: Vec<SpaceClaim>,
    /// What Exchange compares when two of the same cost serve a domain.
    rank: String,
    /// A smart host must present the domain of each recipient.
    by_recipient: bool,
}

impl Claims {
    /// One connector for each domain where a smart host must present the recipient's: a name of another one is not enough.
    pub(super) fn one_each(self) -> Vec<Self> {
        if !self.by_recipient || self.claims.len() < 2 {
            return vec![self];
        }
        let each = self.claims.iter().map(|claim| {
            let mut sketch = self.sketch.clone();
            sketch.name = format!("{} {}", sketch.name, claim.pattern);
            let claims = vec![claim.clone()];
            sketch.tls = tls(TlsLevel::DomainValidation, None, &mut sketch, &claims);
            Self { sketch, claims, rank: self.rank.clone(), by_recipient: true }
        });
        each.collect()
    }
}

/// Whether names were taken from the recipients' domains.
fn is_by_recipient(sketch: &OutboundSketch, name: Option<&str>) -> bool {
    let names =
        matches!(&sketch.tls, TlsSketch::Forced(demand) if matches!(demand.require, Proof::Identity(_)));
    names && name.is_none() && !sketch.next_hop.is_empty()
}

#[derive(Debug, Clone)]
struct SpaceClaim {
    pattern: DomainPattern,
    cost: u64,
    is_apex: bool,
}

/// A connector of Exchange Online.
pub(super) fn of_cloud(
    exported: &ExportObject<OutboundExport>,
    ours: &[DomainPattern],
    has_cloud: bool,
) -> Result<Claims, ImportFault> {
    let (what, place) = (&exported.what, &exported.place);
    let mut sketch = begun(exported);
    let mut claims = Vec::new();
    for domain in &what.domains {
        let pattern =
            DomainPattern::parse(domain).map_err(|_| not_a_domain(place, "RecipientDomains", domain))?;
        claims.push(SpaceClaim { pattern, cost: 1, is_apex: false });
    }
    if what.all_accepted {
        claims.extend(ours.iter().map(|pattern| SpaceClaim {
            pattern: pattern.clone(),
            cost: 1,
            is_apex: true,
        }));
    }
    sketch.next_hop = hosts(&what.hosts, None, &mut sketch.remarks);
    sketch.tls = tls(what.level, what.tls_domain.as_deref(), &mut sketch, &claims);
    if what.rule_scoped {
        sketch.off = true;
        sketch.remarks.push(Leftover::new(
            "IsTransportRuleScoped",
            "True",
            "only mail that a transport rule chooses goes by it, and there are no such rules",
            "give it domains of its own and remove mode = \"off\"",
        ));
    }
    sketch.from_cloud = what.via_on_premises && has_cloud;
    if sketch.from_cloud {
        sketch.remarks.push(Leftover::new(
            "RouteAllMessagesViaOnPremises",
            "True",
            "mail from the cloud goes by it, but its inbound connector takes only our own domains: every tenant presents \
             that certificate",
            "see docs/routing.md before you widen to_domains there",
        ));
    }
    if what.via_on_premises && !has_cloud {
        sketch.remarks.push(Leftover::new(
            "RouteAllMessagesViaOnPremises",
            "True",
            "the next hop depends on the recipient only, so mail from everywhere takes this way",
            "see docs/routing.md on centralised transport",
        ));
    }
    if what.cloud_services {
        let setting = "CloudServicesMailEnabled";
        sketch.promotes = promotes(&sketch.tls, sketch.off, setting, &mut sketch.remarks);
    }
    policies(what, &mut sketch.remarks);
    if claims.is_empty() {
        sketch.off = true;
        claims.push(SpaceClaim { pattern: DomainPattern::Any, cost: 1, is_apex: false });
    }
    let by_recipient = is_by_recipient(&sketch, what.tls_domain.as_deref());
    Ok(Claims { sketch, claims, rank: exported.name.clone(), by_recipient })
}

/// What the recipient's domain publishes is not looked at yet.
fn policies(what: &OutboundExport, remarks: &mut Vec<Leftover>) {
    let by_mx = what.hosts.is_empty();
    for (setting, value) in [("MtaStsMode", &what.mta_sts), ("SmtpDaneMode", &what.dane)] {
        let Some(value) = value.as_ref().filter(|value| *value != "None") else { continue };
        // A requirement of its own, or a smart host, does not depend on what is published.
        if value == "Opportunistic" && !(by_mx && what.level == TlsLevel::Unset) {
            continue;
        }
        remarks.push(Leftover::new(
            setting,
            value,
            "policies that the recipient's domain publishes are not applied",
            "write a connector with tls = \"forced\" and peer_names for domains that publish one",
        ));
    }
}

/// A connector of Exchange Server.
pub(super) fn of_server(
    exported: &ExportObject<SendExport>,
    certificates: &mut Certificates,
) -> Result<Claims, ImportFault> {
    let (what, place) = (&exported.what, &exported.place);
    let mut sketch = begun(exported);
    let mut claims = Vec::new();
    for space in &what.spaces {
        if space.kind != "SMTP" || space.address.starts_with("--") {
            sketch.remarks.push(Leftover::new(
                "AddressSpaces",
                format!("{}:{};{}", space.kind, space.address, space.cost),
                "only domains of SMTP are address spaces here",
                "leave it in Exchange",
            ));
            continue;
        }
        let patterns = with_apex(&space.address);
        let patterns = patterns.ok_or_else(|| not_a_domain(place, "AddressSpaces", &space.address))?;
        let starred = patterns.len() > 1;
        claims.extend(patterns.into_iter().map(|pattern| SpaceClaim {
            is_apex: starred && matches!(pattern, DomainPattern::Exact(_)),
            pattern,
            cost: space.cost,
        }));
    }
    sketch.next_hop = hosts(&what.hosts, what.port, &mut sketch.remarks);
    if what.hosts.is_empty() {
        sketch.port = what.port.filter(|port| *port != 25);
    }
    sketch.tls = server_tls(what, &mut sketch, &claims);
    sketch.client_certificate = what.certificate.as_ref().map(|text| certificates.named(text));
    sketch.ehlo_name = what.fqdn.clone();
    sketch.source_address = what.source.iter().cloned().collect();
    sketch.messages_per_connection = what.messages;
    if sketch.tls == TlsSketch::Off {
        sketch.client_certificate = None;
    }
    if let Some(mechanism) = &what.login {
        sketch.remarks.push(Leftover::new(
            "SmartHostAuthMechanism",
            mechanism,
            "the password is not in the export, and a login needs forced TLS that proves who the smart host is",
            "write auth_user and auth_secret",
        ));
    }
    if what.cloud_services {
        let setting = "CloudServicesMailEnabled";
        sketch.promotes = promotes(&sketch.tls, sketch.off, setting, &mut sketch.remarks);
    }
    if claims.is_empty() {
        sketch.off = true;
        claims.push(SpaceClaim { pattern: DomainPattern::Any, cost: 1, is_apex: false });
    }
    let by_recipient = is_by_recipient(&sketch, what.tls_domain.as_deref());
    Ok(Claims { sketch, claims, rank: exported.name.clone(), by_recipient })
}

fn server_tls(what: &SendExport, sketch: &mut OutboundSketch, claims: &[SpaceClaim]) -> TlsSketch {
    if what.ignore_starttls && !what.require_tls {
        return TlsSketch::Off;
    }
    if what.domain_secure && what.hosts.is_empty() {
        sketch.remarks.push(Leftover::new(
            "DomainSecureEnabled",
            "True",
            "its domains are TLSSendDomainSecureList of Get-TransportConfig, which is not in the export",
            "write an [[outbound]] connector with tls = \"forced\" and peer_names for each of them",
        ));
    }
    if !what.require_tls {
        if what.level != TlsLevel::Unset {
            sketch.remarks.push(Leftover::new(
                "TlsAuthLevel",
                format!("{:?}", what.level),
                "without RequireTLS Exchange sends in plaintext if TLS is not offered, so nothing is required",
                "write tls = \"forced\" to require it",
            ));
        }
        return tls(TlsLevel::Unset, what.tls_domain.as_deref(), sketch, claims);
    }
    let level = if what.level == TlsLevel::Unset { TlsLevel::EncryptionOnly } else { what.level };
    tls(level, what.tls_domain.as_deref(), sketch, claims)
}

/// The same four levels on both sides.
fn tls(level: TlsLevel, name: Option<&str>, sketch: &mut OutboundSketch, claims: &[SpaceClaim]) -> TlsSketch {
    if let Some(name) = name.filter(|_| level != TlsLevel::DomainValidation) {
        sketch.remarks.push(Leftover::new(
            "TlsDomain",
            name,
            "only DomainValidation compares it",
            "write peer_names and require = \"identity\" to require it",
        ));
    }
    match level {
        TlsLevel::Unset => TlsSketch::Opportunistic,
        TlsLevel::EncryptionOnly => TlsSketch::encryption(),
        TlsLevel::CertificateValidation => TlsSketch::chain(),
        TlsLevel::DomainValidation => {
            let named = name.map(|name| vec![name.to_ascii_lowercase()]);
            // Without TlsDomain Exchange compares the recipient's domain, also at a smart host.
            let names = named.unwrap_or_else(|| match sketch.next_hop.as_slice() {
                [] => Vec::new(),
                _ => domains_as_names(claims),
            });
            if names.is_empty() && !sketch.next_hop.is_empty() {
                sketch.remarks.push(Leftover::new(
                    "TlsAuthLevel",
                    "DomainValidation",
                    "without TlsDomain the smart host would have to present each recipient's domain",
                    "write peer_names and require = \"identity\" in place of the pin, which no key has",
                ));
                return TlsSketch::unmeetable();
            }
            TlsSketch::identity(names)
        }
    }
}

fn domains_as_names(claims: &[SpaceClaim]) -> Vec<String> {
    let named = claims.iter().filter(|claim| claim.pattern != DomainPattern::Any);
    named.map(|claim| claim.pattern.to_string()).collect()
}

fn begun<T>(exported: &ExportObject<T>) -> OutboundSketch {
    OutboundSketch {
        name: exported.name.clone(),
        origin: format!("From {}.", exported.place),
        notes: exported.comment.iter().map(|text| format!("Comment: {text}")).collect(),
        off: !exported.enabled,
        remarks: exported.remarks.clone(),
        ..OutboundSketch::default()
    }
}

fn not_a_domain(place: &str, field: &str, value: &str) -> ImportFault {
    let (place, field, value) = (place.to_owned(), field.to_owned(), value.to_owned());
    ImportFault::Value { place, field, value, expected: "a domain, *.domain or *" }
}

/// Smart hosts as `next_hop` has them.
fn hosts(items: &[String], port: Option<u16>, remarks: &mut Vec<Leftover>) -> Vec<String> {
    let mut written = Vec::new();
    for item in items {
        let plain = item.trim_matches(['[', ']']);
        let one = match networks(plain).as_deref() {
            None if Domain::parse(plain).is_err() => {
                remarks.push(Leftover::new(
                    "SmartHosts",
                    item,
                    "it is not a host that can be looked up",
                    "write the host in next_hop",
                ));
                continue;
            }
            None => plain.to_ascii_lowercase(),
            Some([network]) if network.prefix_len() == network.max_prefix_len() => {
                format!("[{}]", network.addr())
            }
            Some(_) => {
                remarks.push(Leftover::new(
                    "SmartHosts",
                    item,
                    "a network is not a host",
                    "write the addresses of its hosts in next_hop",
                ));
                continue;
            }
        };
        let one = format!("{one}:{}", port.unwrap_or(25));
        if !written.contains(&one) {
            written.push(one);
        }
    }
    if written.is_empty() && !items.is_empty() {
        written.push(NOWHERE.to_owned());
    }
    written
}

/// Gives each domain to the connector that Exchange chooses: a domain itself before the apex of a star, then the lowest
/// cost, then the name. Whoever gets none is written as turned off.
pub(super) fn share_out(mut all: Vec<Claims>) -> Vec<OutboundSketch> {
    let standing: Vec<(usize, bool, SpaceClaim, String)> = all
        .iter()
        .enumerate()
        .flat_map(|(at, one)| {
            one.claims.iter().map(move |claim| {
                (at, one.sketch.off || one.sketch.from_cloud, claim.clone(), one.rank.clone())
            })
        })
        .collect();
    let winner = |pattern: &DomainPattern| {
        let rivals = standing.iter().filter(|(_, off, claim, _)| !off && claim.pattern == *pattern);
        rivals.min_by_key(|(at, _, claim, name)| (claim.is_apex, claim.cost, name.to_lowercase(), *at))
    };
    for (at, one) in all.iter_mut().enumerate() {
        let wanted: Vec<DomainPattern> = one.claims.iter().map(|claim| claim.pattern.clone()).collect();
        if one.sketch.off || one.sketch.from_cloud {
            one.sketch.domains = wanted;
            continue;
        }
        for claim in &one.claims {
            match winner(&claim.pattern) {
                Some((by, ..)) if *by != at && !claim.is_apex => {
                    let other = winner(&claim.pattern).map_or("", |(_, _, _, name)| name);
                    one.sketch.remarks.push(Leftover::new(
                        "AddressSpaces",
                        format!("{};{}", claim.pattern, claim.cost),
                        format!("Exchange sends this by {other}, which has a lower cost or comes first by its name"),
                        "nothing; if that connector is removed, add the domain here",
                    ));
                }
                Some((by, ..)) if *by != at => {}
                _ => one.sketch.domains.push(claim.pattern.clone()),
            }
        }
        if one.sketch.domains.is_empty() {
            one.sketch.off = true;
            one.sketch.domains = wanted;
        }
    }
    for one in &mut all {
        let costs: Vec<u64> = one.claims.iter().map(|claim| claim.cost).collect();
        let cost = costs.iter().max().copied().filter(|cost| *cost != 1);
        one.sketch.cost = cost.filter(|_| one.sketch.off);
        // An identity that needs no name is the recipient's domain, which is the default for mail exchangers only.
        if let (TlsSketch::Forced(demand), false) = (&mut one.sketch.tls, one.sketch.next_hop.is_empty())
            && let Proof::Identity(names) = &mut demand.require
        {
            names.dedup();
        }
    }
    all.into_iter().map(|one| one.sketch).collect()
}
