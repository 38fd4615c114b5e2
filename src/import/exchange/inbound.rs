//! Inbound connectors of Exchange Online and receive connectors of Exchange Server to inbound connectors of ours.

use std::collections::BTreeMap;

use super::super::fault::ImportFault;
use super::super::remark::Leftover;
use super::super::settle::networks;
use super::super::sketch::{
    ForcedSketch, InboundSketch, ListenerSketch, OfferSketch, Proof, TlsSketch, domain_of, united, with_apex,
};
use super::certificates::Certificates;
use super::source::{ExportObject, InboundExport, Organisation, ReceiveExport};
use crate::connector::DomainPattern;

/// What mail may come in for, and what is made on the way.
pub(super) struct Admittance<'a> {
    /// Our own domains.
    pub(super) ours: &'a [DomainPattern],
    pub(super) certificates: &'a mut Certificates,
    pub(super) listeners: Vec<ListenerSketch>,
    pub(super) inbound: Vec<InboundSketch>,
}

/// Networks of a list, or which of them is not one.
fn all_networks(place: &str, field: &str, items: &[String]) -> Result<Vec<ipnet::IpNet>, ImportFault> {
    let read = items.iter().map(|item| {
        networks(item).ok_or_else(|| ImportFault::Value {
            place: place.to_owned(),
            field: field.to_owned(),
            value: item.clone(),
            expected: "an address, a network or a range of addresses",
        })
    });
    Ok(read.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
}

/// Patterns of Exchange, whose `*.x` is x itself too.
pub(super) fn patterns(
    place: &str,
    field: &str,
    items: &[String],
) -> Result<Vec<DomainPattern>, ImportFault> {
    let read = items.iter().map(|item| {
        with_apex(item).ok_or_else(|| ImportFault::Value {
            place: place.to_owned(),
            field: field.to_owned(),
            value: item.clone(),
            expected: "a domain, *.domain or *",
        })
    });
    Ok(united(read.collect::<Result<Vec<_>, _>>()?.into_iter().flatten()))
}

/// A name of a certificate as Exchange writes it, where CN= may stand before it.
fn peer_name(text: &str) -> String {
    let subject = text.split_once("<S>").map_or(text, |(_, subject)| subject);
    let first = subject.split(',').next().unwrap_or(subject).trim();
    let plain = first.get(..3).filter(|start| start.eq_ignore_ascii_case("CN="));
    plain.and_then(|_| first.get(3..)).unwrap_or(first).to_ascii_lowercase()
}

impl Admittance<'_> {
    /// Exchange Online: its inbound connectors, and what it does without one.
    pub(super) fn cloud(&mut self, all: &Organisation) -> Result<(), ImportFault> {
        for exported in &all.inbound {
            let sketch = self.cloud_connector(exported)?;
            self.inbound.push(sketch);
        }
        self.listeners.push(ListenerSketch {
            name: "smtp".to_owned(),
            about: "Exchange Online has one door for all mail.".to_owned(),
            addresses: vec!["0.0.0.0:25".to_owned(), "[::]:25".to_owned()],
            tls: OfferSketch::StartTls,
            certificates: vec![self.certificates.usual()],
            ..ListenerSketch::default()
        });
        let binds_all =
            |one: &InboundSketch| !one.own && !one.off && one.from_domains.contains(&DomainPattern::Any);
        // It would admit whom a connector for "*" keeps out.
        if self.ours.is_empty() || self.inbound.iter().any(binds_all) {
            return Ok(());
        }
        self.inbound.push(InboundSketch {
            name: "internet-in".to_owned(),
            origin: "Exchange Online takes mail for its domains from everybody, without a connector."
                .to_owned(),
            from_domains: vec![DomainPattern::Any],
            to_domains: self.ours.to_vec(),
            ..InboundSketch::default()
        });
        Ok(())
    }

    fn cloud_connector(&self, exported: &ExportObject<InboundExport>) -> Result<InboundSketch, ImportFault> {
        let (what, place) = (&exported.what, &exported.place);
        let mut sketch = InboundSketch {
            name: exported.name.clone(),
            origin: format!("From {place}."),
            notes: exported.comment.iter().map(|text| format!("Comment: {text}")).collect(),
            off: !exported.enabled,
            remarks: exported.remarks.clone(),
            ..InboundSketch::default()
        };
        if what.on_premises {
            own(&mut sketch, what, place)?;
        } else {
            partner(&mut sketch, what, place)?;
            let accepted = patterns(place, "AssociatedAcceptedDomains", &what.accepted)?;
            sketch.to_domains = if accepted.is_empty() { self.ours.to_vec() } else { accepted };
        }
        if what.cloud_services {
            let setting = "CloudServicesMailEnabled";
            sketch.promotes = promotes(&sketch.tls, sketch.off, setting, &mut sketch.remarks);
        }
        Ok(sketch)
    }

    /// Exchange Server: its receive connectors. Where front ends are, the back ends behind them are left out.
    pub(super) fn server(&mut self, all: &Organisation) -> Result<Vec<(String, Leftover)>, ImportFault> {
        let mut remarks = Vec::new();
        let has_front = |server: &Option<String>| {
            all.receive.iter().any(|one| one.what.frontend && one.what.server == *server)
        };
        let mut doors: BTreeMap<u16, Vec<&ExportObject<ReceiveExport>>> = BTreeMap::new();
        for exported in &all.receive {
            if !exported.what.frontend && has_front(&exported.what.server) {
                remarks.push((
                    exported.place.clone(),
                    Leftover::new(
                        "TransportRole",
                        "HubTransport",
                        "it takes mail from the front end of the same server",
                        "nothing: this gateway stands before both",
                    ),
                ));
                continue;
            }
            for binding in &exported.what.bindings {
                let port =
                    binding.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).ok_or_else(|| {
                        ImportFault::Value {
                            place: exported.place.clone(),
                            field: "Bindings".to_owned(),
                            value: binding.clone(),
                            expected: "an address and a port",
                        }
                    })?;
                let at = doors.entry(port).or_default();
                if !at.iter().any(|one| one.place == exported.place) {
                    at.push(exported);
                }
            }
        }
        for (port, connectors) in doors {
            self.door(port, &connectors)?;
        }
        Ok(remarks)
    }

    fn door(&mut self, port: u16, connectors: &[&ExportObject<ReceiveExport>]) -> Result<(), ImportFault> {
        let name = match port {
            25 => "smtp".to_owned(),
            587 => "submission".to_owned(),
            port => format!("port-{port}"),
        };
        let ending = format!(":{port}");
        let mut addresses: Vec<String> = Vec::new();
        for binding in connectors.iter().flat_map(|one| &one.what.bindings).filter(|b| b.ends_with(&ending)) {
            if !addresses.contains(binding) {
                addresses.push(binding.clone());
            }
        }
        let mut listener = ListenerSketch { name: name.clone(), ..ListenerSketch::default() };
        addresses = self.joined(addresses, &mut listener.remarks);
        let has_tls = connectors.iter().any(|one| one.what.offers_tls());
        listener.tls = if has_tls { OfferSketch::StartTls } else { OfferSketch::Off };
        listener.about = format!("Port {port} of the receive connectors.");
        listener.addresses = addresses;
        for exported in connectors {
            if let Some(certificate) = &exported.what.certificate {
                let id = self.certificates.named(certificate);
                if !listener.certificates.contains(&id) {
                    listener.certificates.push(id);
                }
            }
            for keyword in &exported.what.withheld {
                if !listener.withhold.contains(keyword) {
                    listener.withhold.push(keyword);
                }
            }
        }
        if !listener.withhold.is_empty() {
            listener.withhold.push("BINARYMIME");
        }
        if listener.certificates.is_empty() && has_tls {
            listener.certificates.push(self.certificates.usual());
        }
        for exported in connectors {
            self.received(exported, &name)?;
        }
        self.listeners.push(listener);
        Ok(())
    }

    /// An address beside all addresses of its family can't be listened on: connectors there differ by networks only.
    fn joined(&self, addresses: Vec<String>, remarks: &mut Vec<Leftover>) -> Vec<String> {
        let all = |address: &String| address.starts_with("0.0.0.0:") || address.starts_with("[::]:");
        let (wide, narrow): (Vec<String>, Vec<String>) = addresses.into_iter().partition(all);
        let is_in =
            |address: &String| wide.iter().any(|other| other.starts_with('[') == address.starts_with('['));
        let (within, apart): (Vec<String>, Vec<String>) = narrow.into_iter().partition(is_in);
        for address in within {
            remarks.push(Leftover::new(
                "Bindings",
                address,
                "it is one of the addresses of another connector's binding to all addresses",
                "limit the connector by from_networks, or write each address in its own listener",
            ));
        }
        wide.into_iter().chain(apart).collect()
    }

    fn received(
        &mut self,
        exported: &ExportObject<ReceiveExport>,
        listener: &str,
    ) -> Result<(), ImportFault> {
        let (what, place) = (&exported.what, &exported.place);
        let base = InboundSketch {
            name: exported.name.clone(),
            origin: format!("From {place}."),
            notes: exported.comment.iter().map(|text| format!("Comment: {text}")).collect(),
            off: !exported.enabled,
            listeners: vec![listener.to_owned()],
            from_networks: all_networks(place, "RemoteIPRanges", &what.ranges)?,
            tls: match (what.offers_tls(), what.require_tls) {
                (_, true) => TlsSketch::encryption(),
                (true, false) => TlsSketch::Opportunistic,
                (false, false) => TlsSketch::Off,
            },
            message_size: what.message_size.clone(),
            recipients: what.recipients,
            connections: what.connections,
            ..InboundSketch::default()
        };
        let mut remarks = exported.remarks.clone();
        remarks.extend(what.logins());
        for capability in &what.capabilities {
            self.capability(capability, &base, &mut remarks);
        }
        let trusted = what.mechanisms.iter().any(|word| word == "ExternalAuthoritative");
        let anonymous = what.groups.iter().any(|word| word == "AnonymousUsers");
        if !trusted && !anonymous {
            remarks.push(Leftover::new(
                "PermissionGroups",
                what.groups.join(", "),
                "only clients that log in to Exchange are admitted",
                "write kind = \"own\" with from_networks, or users_file; until then nobody is admitted by it",
            ));
            let base = InboundSketch { off: true, ..base };
            self.inbound.push(anyone(base, remarks, self.ours));
            return Ok(());
        }
        if anonymous && !trusted && !is_everywhere(&base) {
            remarks.push(Leftover::new(
                "ms-Exch-SMTP-Accept-Any-Recipient",
                "unknown",
                "whether these clients may relay is an Active Directory permission, which is not in the export",
                "if Get-ADPermission shows it, write kind = \"own\" and to_domains = [\"*\"] in place of from_domains and to_domains",
            ));
        }
        if trusted {
            let mut sketch = InboundSketch { own: true, to_domains: vec![DomainPattern::Any], ..base };
            sketch
                .notes
                .push("ExternalAuthoritative: trusted by its networks, and relays anywhere.".to_owned());
            sketch.remarks = remarks;
            self.inbound.push(sketch);
        } else {
            self.inbound.push(anyone(base, remarks, self.ours));
        }
        Ok(())
    }

    /// `mail.protection.outlook.com:AcceptCloudServicesMail`.
    fn capability(&mut self, text: &str, base: &InboundSketch, remarks: &mut Vec<Leftover>) {
        let (name, granted) = text.rsplit_once(':').unwrap_or((text, ""));
        if name.eq_ignore_ascii_case("NO-TLS") || !granted.eq_ignore_ascii_case("AcceptCloudServicesMail") {
            remarks.push(Leftover::new(
                "TlsDomainCapabilities",
                text,
                "only AcceptCloudServicesMail for a certificate's name has a counterpart",
                "write an [[inbound]] connector with kind = \"own\" for these clients",
            ));
            return;
        }
        let mut sketch = InboundSketch {
            name: format!("{} cloud", base.name),
            origin: format!("{} TlsDomainCapabilities: {text}.", base.origin),
            own: true,
            is_cloud: true,
            off: base.off,
            listeners: base.listeners.clone(),
            tls: TlsSketch::identity(vec![peer_name(name)]),
            to_domains: self.ours.to_vec(),
            message_size: base.message_size.clone(),
            ..InboundSketch::default()
        };
        sketch.notes.push(
            "Every tenant of the cloud presents this certificate: never add other domains to to_domains."
                .to_owned(),
        );
        sketch.promotes = !sketch.off;
        if sketch.promotes {
            sketch.originators = self.ours.to_vec();
        }
        // Two servers of one site grant the same.
        let same =
            |one: &InboundSketch| one.tls == sketch.tls && one.own && one.listeners == sketch.listeners;
        if !self.inbound.iter().any(same) {
            self.inbound.push(sketch);
        }
    }
}

fn anyone(base: InboundSketch, remarks: Vec<Leftover>, ours: &[DomainPattern]) -> InboundSketch {
    let from_domains = vec![DomainPattern::Any];
    InboundSketch { from_domains, to_domains: ours.to_vec(), remarks, ..base }
}

fn is_everywhere(sketch: &InboundSketch) -> bool {
    sketch.from_networks.is_empty() || sketch.from_networks.iter().any(|network| network.prefix_len() == 0)
}

/// Headers are promoted only for a client or host that forced TLS identifies.
pub(super) fn promotes(tls: &TlsSketch, off: bool, setting: &str, remarks: &mut Vec<Leftover>) -> bool {
    let identified = match tls {
        TlsSketch::Forced(demand) => matches!(demand.require, Proof::Identity(_)) || !demand.pins.is_empty(),
        TlsSketch::Off | TlsSketch::Opportunistic => false,
    };
    if !identified || off {
        remarks.push(Leftover::new(
            setting,
            "True",
            "headers of Exchange are promoted only where forced TLS proves who the other side is",
            "write headers = \"promote\" together with peer_names",
        ));
    }
    identified && !off
}

/// A connector of type OnPremises: our own mail systems.
fn own(sketch: &mut InboundSketch, what: &InboundExport, place: &str) -> Result<(), ImportFault> {
    sketch.own = true;
    sketch.to_domains = vec![DomainPattern::Any];
    sketch.from_networks = all_networks(place, "SenderIPAddresses", &what.addresses)?;
    if let Some(name) = &what.certificate {
        sketch.tls = TlsSketch::identity(vec![peer_name(name)]);
    } else if what.require_tls && !sketch.from_networks.is_empty() {
        sketch.tls = TlsSketch::encryption();
    }
    if what.certificate.is_some() && !sketch.from_networks.is_empty() {
        sketch.remarks.push(Leftover::new(
            "SenderIPAddresses",
            what.addresses.join(", "),
            "Exchange takes the certificate or the address; here both must hold",
            "remove from_networks if the certificate is enough",
        ));
    }
    if what.domains.iter().any(|domain| domain != "*") {
        sketch.remarks.push(Leftover::new(
            "SenderDomains",
            what.domains.join(", "),
            "the reverse-path is not looked at for our own systems, because redirected mail has any",
            "write kind = \"partner\" and from_domains if other domains must be kept out",
        ));
    }
    if !what.accepted.is_empty() {
        sketch.to_domains = patterns(place, "AssociatedAcceptedDomains", &what.accepted)?;
    }
    Ok(())
}

/// A connector of type Partner: it restricts what comes in the name of its domains.
fn partner(sketch: &mut InboundSketch, what: &InboundExport, place: &str) -> Result<(), ImportFault> {
    sketch.from_domains = patterns(place, "SenderDomains", &what.domains)?;
    if sketch.from_domains.is_empty() {
        sketch.from_domains = vec![DomainPattern::Any];
    }
    let name = what.certificate.as_ref().map(|name| peer_name(name));
    sketch.tls = match (what.by_certificate, name, what.require_tls) {
        (true, Some(name), _) => TlsSketch::identity(vec![name]),
        // Restricted to a certificate that is not named: nobody can meet that.
        (true, None, _) => {
            sketch.remarks.push(Leftover::new(
                "RestrictDomainsToCertificate",
                "True",
                "TlsSenderCertificateName has no name, so no certificate can match",
                "write the name in peer_names, in place of the pin, which no key has",
            ));
            TlsSketch::unmeetable()
        }
        (false, name, require_tls) => {
            if let Some(name) = name {
                sketch.remarks.push(Leftover::new(
                    "TlsSenderCertificateName",
                    name,
                    "without RestrictDomainsToCertificate it requires nothing",
                    "write peer_names and require = \"identity\" to require it",
                ));
            }
            if require_tls { TlsSketch::encryption() } else { TlsSketch::Opportunistic }
        }
    };
    if what.by_address {
        sketch.from_networks = all_networks(place, "SenderIPAddresses", &what.addresses)?;
        sketch.binds = true;
    } else if !what.addresses.is_empty() {
        sketch.remarks.push(Leftover::new(
            "SenderIPAddresses",
            what.addresses.join(", "),
            "without RestrictDomainsToIPAddresses they restrict nobody",
            "write from_networks to require them",
        ));
    }
    if what.by_address && sketch.from_domains == [DomainPattern::Any] && !what.require_tls {
        sketch.notes.push("Nobody else may send: no other connector is for \"*\".".to_owned());
    }
    if sketch.from_domains.iter().any(|pattern| domain_of(pattern).is_none())
        && matches!(&sketch.tls, TlsSketch::Forced(ForcedSketch { require: Proof::Encryption, .. }))
    {
        sketch.notes.push("Mail that comes without TLS is refused, whoever sends it.".to_owned());
    }
    Ok(())
}

impl ReceiveExport {
    fn offers_tls(&self) -> bool {
        self.require_tls || self.mechanisms.iter().any(|word| word.eq_ignore_ascii_case("Tls"))
    }

    /// Ways to log in that are not there.
    fn logins(&self) -> Vec<Leftover> {
        let mut remarks = Vec::new();
        for word in &self.mechanisms {
            let (why, instead) = match word.as_str() {
                "BasicAuth" | "BasicAuthRequireTLS" => (
                    "logins of Active Directory are not known here, so nobody is admitted by one",
                    "write users_file at a connector of its own; `sealpost user` makes its lines",
                ),
                "Integrated" => {
                    ("there is no Kerberos or NTLM login", "recognise the clients by from_networks")
                }
                "ExchangeServer" => (
                    "Exchange servers recognise each other by X-ANONYMOUSTLS and Kerberos",
                    "add an [[inbound]] connector with kind = \"own\" and their networks or certificate",
                ),
                _ => continue,
            };
            remarks.push(Leftover::new("AuthMechanism", word, why, instead));
        }
        if self.domain_secure {
            remarks.push(Leftover::new(
                "DomainSecureEnabled",
                "True",
                "its domains are TLSReceiveDomainSecureList of Get-TransportConfig, which is not in the export",
                "write an [[inbound]] connector with from_domains, tls = \"forced\" and peer_names for each of them",
            ));
        }
        remarks
    }
}
