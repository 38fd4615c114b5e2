//! Transport and TLS policy tables to outbound connectors: for each domain that one of them knows, what Postfix would do.

use super::super::fault::ImportFault;
use super::super::remark::Leftover;
use super::super::settle::NOWHERE;
use super::super::sketch::{OutboundSketch, domain_of};
use super::level::LevelMeaning;
use super::main_cf::{Assignments, ParameterScope, Service, split_list};
use super::policy::{PolicyBook, PolicyHost};
use super::precedence::{DomainTable, closest};
use crate::connector::DomainPattern;
use crate::mail::Domain;

/// All that decides where mail goes.
pub(super) struct Departure<'a> {
    pub(super) main: &'a Assignments,
    pub(super) services: &'a [Service],
    pub(super) transport: DomainTable,
    /// The policies of `main.cf`, and those of services that have their own.
    pub(super) usual: PolicyBook,
    pub(super) of_services: Vec<(String, PolicyBook)>,
    pub(super) relay: Vec<DomainPattern>,
    pub(super) client_certificate: Option<String>,
    pub(super) remarks: Vec<(String, Leftover)>,
}

/// Where Postfix sends a domain.
#[derive(Debug, Clone, PartialEq, Eq)]
struct TransportChoice {
    service: String,
    /// The next hop as written; empty: the recipient's domain.
    hop: String,
}

impl Departure<'_> {
    /// The connectors, the most specific first.
    pub(super) fn connectors(&mut self) -> Result<Vec<OutboundSketch>, ImportFault> {
        let mut patterns: Vec<DomainPattern> = vec![DomainPattern::Any];
        let known = self.transport.iter().map(|(pattern, _)| pattern);
        let books = self.of_services.iter().map(|(_, book)| book).chain([&self.usual]);
        for pattern in known.chain(books.flat_map(PolicyBook::patterns)).chain(&self.relay) {
            if !patterns.contains(pattern) {
                patterns.push(pattern.clone());
            }
        }
        let mut made: Vec<(DomainPattern, OutboundSketch)> = Vec::new();
        for pattern in &patterns {
            made.push((pattern.clone(), self.connector(pattern)?));
        }
        // What the next wider pattern decides in the same way need not be written.
        let plain = made.clone();
        made.retain(|(pattern, one)| {
            let wider = plain.iter().filter(|(other, _)| other != pattern && other.includes(pattern));
            let next = wider.max_by_key(|(other, _)| other.specificity());
            next.is_none_or(|(_, other)| !same(one, other))
        });
        let mut joined: Vec<OutboundSketch> = Vec::new();
        for (pattern, one) in made {
            match joined.iter_mut().find(|other| same(other, &one)) {
                Some(other) => other.domains.push(pattern),
                None => joined.push(OutboundSketch { domains: vec![pattern], ..one }),
            }
        }
        joined.sort_by_key(|one| one.domains.contains(&DomainPattern::Any));
        joined.iter_mut().for_each(name);
        Ok(joined)
    }

    fn connector(&self, pattern: &DomainPattern) -> Result<OutboundSketch, ImportFault> {
        let way = self.way(pattern)?;
        let nothing = Assignments::new();
        let service = self.services.iter().find(|one| one.name == way.service && one.kind != "inet");
        let scope =
            ParameterScope { overrides: service.map_or(&nothing, |one| &one.overrides), main: self.main };
        let mut sketch = OutboundSketch::default();
        let command = service.map_or(way.service.as_str(), |one| one.command.as_str());
        if !["smtp", "relay"].contains(&command) {
            sketch.next_hop = vec![NOWHERE.to_owned()];
            let setting =
                if way.hop.is_empty() { command.to_owned() } else { format!("{command}:{}", way.hop) };
            sketch.remarks.push(Leftover::new(
                "transport",
                setting,
                "only SMTP is spoken here, and mail to these domains waits",
                "write the host that takes it in next_hop",
            ));
        }
        let hops = self.hosts(&way, &mut sketch);
        let of_service = self.of_services.iter().find(|(name, _)| *name == way.service);
        let book = of_service.map_or(&self.usual, |(_, book)| book);
        let LevelMeaning { tls, remember, sni, remarks } = book.outcome(&scope, pattern, &hops)?;
        (sketch.tls, sketch.remember_tls, sketch.sni) = (tls, remember, sni);
        sketch.remarks.extend(remarks);
        sketch.implicit = scope.flag("smtp_tls_wrappermode")?;
        if sketch.implicit && !matches!(sketch.tls, super::super::sketch::TlsSketch::Forced(_)) {
            sketch.tls = super::super::sketch::TlsSketch::encryption();
        }
        self.rest(&scope, &mut sketch)?;
        Ok(sketch)
    }

    /// Transport, and next hop: the transport table first, then the class of the domain.
    fn way(&self, pattern: &DomainPattern) -> Result<TransportChoice, ImportFault> {
        let nothing = Assignments::new();
        let scope = ParameterScope { overrides: &nothing, main: self.main };
        let relays = self.relay.iter().any(|one| one == pattern || one.includes(pattern));
        let usual = scope.value(if relays { "relay_transport" } else { "default_transport" })?;
        let (service, hop) = usual.split_once(':').unwrap_or((&usual, ""));
        let relayhost = scope.value("relayhost")?;
        let hop = if hop.is_empty() { relayhost } else { hop.to_owned() };
        let usual = TransportChoice { service: service.to_owned(), hop };
        let Some(value) = closest(&self.transport, pattern) else { return Ok(usual) };
        let (service, hop) = value.split_once(':').unwrap_or((value, ""));
        Ok(match (service.trim(), hop.trim()) {
            ("", "") => usual,
            ("", hop) => TransportChoice { hop: hop.to_owned(), ..usual },
            // A transport without a next hop: the recipient's domain, not relayhost.
            (service, hop) => TransportChoice { service: service.to_owned(), hop: hop.to_owned() },
        })
    }

    /// Writes the next hop, and gives back each smart host: as it is written, and the name that TLS compares.
    fn hosts(&self, way: &TransportChoice, sketch: &mut OutboundSketch) -> Vec<PolicyHost> {
        let mut hops = Vec::new();
        if way.hop.is_empty() || !sketch.next_hop.is_empty() {
            return hops;
        }
        for item in split_list(&way.hop) {
            let (host, port, is_plain) = destination(&item);
            if !is_plain {
                sketch.remarks.push(Leftover::new(
                    "next hop",
                    &item,
                    "without brackets Postfix asks for its MX records; here its own addresses are used",
                    "write its mail exchangers in next_hop, or brackets if it is a host",
                ));
            }
            let shown =
                if host.parse::<std::net::IpAddr>().is_ok() { format!("[{host}]") } else { host.clone() };
            if let (true, Some(port)) = (Domain::parse(&host).is_ok() || shown.starts_with('['), port) {
                sketch.next_hop.push(format!("{shown}:{port}"));
            } else {
                sketch.remarks.push(Leftover::new(
                    "next hop",
                    &item,
                    "it is not a host and a port that are understood",
                    "write them in next_hop",
                ));
            }
            hops.push(PolicyHost { written: item.to_ascii_lowercase(), name: host });
        }
        if sketch.next_hop.is_empty() {
            sketch.next_hop.push(NOWHERE.to_owned());
        }
        hops
    }

    /// Settings beside TLS and next hop.
    fn rest(&self, scope: &ParameterScope<'_>, sketch: &mut OutboundSketch) -> Result<(), ImportFault> {
        if sketch.tls != super::super::sketch::TlsSketch::Off {
            sketch.client_certificate = self.client_certificate.clone();
        }
        let (host, helo) = (scope.value("myhostname")?, scope.value("smtp_helo_name")?);
        sketch.ehlo_name = Some(helo).filter(|name| !name.is_empty() && *name != host);
        for parameter in ["smtp_bind_address", "smtp_bind_address6"] {
            let address = scope.value(parameter)?;
            if !address.is_empty() {
                sketch.source_address.push(address);
            }
        }
        sketch.address_family = match scope.value("inet_protocols")?.as_str() {
            "ipv4" => Some("ipv4"),
            "ipv6" => Some("ipv6"),
            _ => None,
        };
        let number =
            |name: &str| Ok::<_, ImportFault>(scope.value(name)?.parse::<u64>().ok().filter(|n| *n > 0));
        for name in ["smtp_destination_concurrency_limit", "default_destination_concurrency_limit"] {
            if sketch.connections.is_none() && scope.is_set(name) {
                sketch.connections = number(name)?;
            }
        }
        for name in ["smtp_destination_recipient_limit", "default_destination_recipient_limit"] {
            if sketch.max_recipients.is_none() && scope.is_set(name) {
                sketch.max_recipients = number(name)?;
            }
        }
        if scope.flag("smtp_sasl_auth_enable")? {
            sketch.remarks.push(Leftover::new(
                "smtp_sasl_password_maps",
                scope.value("smtp_sasl_password_maps")?,
                "a password has a file of its own, and is sent only inside TLS that proves who the smart host is",
                "write auth_user and auth_secret at the connector for that host",
            ));
        }
        Ok(())
    }
}

/// Host, port, and whether it is used without MX records.
fn destination(text: &str) -> (String, Option<u16>, bool) {
    let text = text.trim();
    let (host, port, is_plain) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, rest)) => (host, rest.strip_prefix(':'), true),
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port), false),
            None => (text, None, false),
        },
    };
    let port = match port {
        None | Some("smtp") => Some(25),
        Some("submission") => Some(587),
        Some("smtps" | "submissions" | "ssmtp") => Some(465),
        Some(number) => number.parse().ok(),
    };
    let host = host.trim_start_matches("ipv6:").trim_start_matches("IPv6:").to_ascii_lowercase();
    (host, port, is_plain)
}

/// Whether two connectors differ in nothing but their domains.
fn same(one: &OutboundSketch, other: &OutboundSketch) -> bool {
    let key = |sketch: &OutboundSketch| {
        format!("{:?}", OutboundSketch { domains: Vec::new(), remarks: Vec::new(), ..sketch.clone() })
    };
    key(one) == key(other)
}

/// A name after the domain or the host.
fn name(sketch: &mut OutboundSketch) {
    let first = sketch.domains.iter().find_map(domain_of).map(ToString::to_string);
    let is_all = sketch.domains.contains(&DomainPattern::Any);
    sketch.name = match (is_all, first) {
        (true, _) if sketch.next_hop.is_empty() => "internet".to_owned(),
        (true, _) => "relayhost".to_owned(),
        (false, first) => first.unwrap_or_default(),
    };
    let origin = match sketch.next_hop.first() {
        None => "to the mail exchangers of these domains",
        Some(_) if is_all => "everything else, by relayhost or the transport table",
        Some(_) => "by the transport table",
    };
    sketch.origin = format!("{}: {origin}.", sketch.name);
}
