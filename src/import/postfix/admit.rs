//! `smtpd` services to listeners and inbound connectors: who may hand in mail, and for whom.

use ipnet::IpNet;

use super::super::fault::ImportFault;
use super::super::remark::Leftover;
use super::super::settle::networks;
use super::super::sketch::{
    ForcedSketch, InboundSketch, ListenerSketch, OfferSketch, Proof, SideFile, TlsSketch, with_apex,
};
use super::access::{ClientTable, left_of, refusal};
use super::level::{AnchorSet, pins};
use super::main_cf::{Assignments, ParameterScope, Service};
use super::restrict::{Destination, PlaintextDemand, Restrictions, SmtpdClient};
use super::table::{Files, KeyKind, TableReading};
use crate::connector::DomainPattern;

/// What one configuration admits.
pub(super) struct ServiceReading<'a> {
    pub(super) main: &'a Assignments,
    pub(super) files: &'a Files<'a>,
    pub(super) ours: &'a [DomainPattern],
    /// The IDs of the server's certificates.
    pub(super) certificates: Vec<String>,
    pub(super) client_trust: AnchorSet,
    pub(super) recipients_file: Option<SideFile>,
    pub(super) listeners: Vec<ListenerSketch>,
    pub(super) inbound: Vec<InboundSketch>,
}

/// A kind of client with what identifies it.
struct ClientGroup {
    name: String,
    client: SmtpdClient,
    networks: Vec<IpNet>,
    pins: Vec<String>,
    chain: bool,
    remarks: Vec<Leftover>,
}

impl ClientGroup {
    fn new(name: &str, client: SmtpdClient) -> Self {
        let (networks, pins, remarks) = (Vec::new(), Vec::new(), Vec::new());
        Self { name: name.to_owned(), client, networks, pins, chain: false, remarks }
    }
}

impl ServiceReading<'_> {
    /// One service: its listener, and a connector for each kind of client that may send.
    pub(super) fn service(&mut self, service: &Service) -> Result<(), ImportFault> {
        let scope = ParameterScope { overrides: &service.overrides, main: self.main };
        let Some((listener, level)) = self.listener(service, &scope)? else { return Ok(()) };
        let restrictions = Restrictions::read(&scope)?;
        let mut remarks = restrictions.remarks.clone();
        let mut groups = self.groups(&scope, &restrictions, &mut remarks)?;
        groups.push(ClientGroup::new("internet", SmtpdClient::Stranger));
        let strangers = restrictions.passes(&SmtpdClient::Stranger, Destination::Ours);
        for group in groups {
            self.group(group, &listener.name, (&scope, level), &restrictions, strangers)?;
        }
        self.senders(&scope, &restrictions, &listener.name, &mut remarks)?;
        for parameter in ["content_filter", "smtpd_milters", "smtpd_proxy_filter"] {
            let value = scope.value(parameter)?;
            if !value.is_empty() {
                remarks.push(Leftover::new(
                    parameter,
                    value,
                    "mail is not filtered here",
                    "put the filter before or behind this gateway",
                ));
            }
        }
        self.listeners
            .push(ListenerSketch { remarks: [listener.remarks.clone(), remarks].concat(), ..listener });
        Ok(())
    }

    fn listener(
        &self,
        service: &Service,
        scope: &ParameterScope<'_>,
    ) -> Result<Option<(ListenerSketch, OfferSketch)>, ImportFault> {
        let plain = service.name.trim_start_matches("inet:");
        let (host, port) = plain.rsplit_once(':').unwrap_or(("", plain));
        let number = match port {
            "smtp" => 25,
            "submission" => 587,
            "smtps" | "submissions" | "ssmtp" => 465,
            other => other.parse::<u16>().map_err(|_| ImportFault::Value {
                place: "master.cf".to_owned(),
                field: service.name.clone(),
                value: port.to_owned(),
                expected: "a port, smtp, submission, submissions or smtps",
            })?,
        };
        let mut listener = ListenerSketch {
            name: match number {
                25 => "smtp".to_owned(),
                587 => "submission".to_owned(),
                465 => "submissions".to_owned(),
                number => format!("port-{number}"),
            },
            about: format!("master.cf: {} {}.", service.name, service.command),
            ..ListenerSketch::default()
        };
        if self.listeners.iter().any(|other| other.name == listener.name) {
            listener.name = format!("{}-{}", listener.name, super::super::settle::slug(host));
        }
        listener.addresses = addresses(host, number, scope, &mut listener.remarks)?;
        let written = scope.value("smtpd_tls_security_level")?;
        let level = match written.as_str() {
            "encrypt" => OfferSketch::Required,
            "may" => OfferSketch::StartTls,
            "" if scope.flag("smtpd_enforce_tls")? => OfferSketch::Required,
            "" if scope.flag("smtpd_use_tls")? => OfferSketch::StartTls,
            "" | "none" => OfferSketch::Off,
            other => {
                return Err(ImportFault::Value {
                    place: "main.cf".to_owned(),
                    field: "smtpd_tls_security_level".to_owned(),
                    value: other.to_owned(),
                    expected: "none, may or encrypt",
                });
            }
        };
        let implicit = scope.flag("smtpd_tls_wrappermode")?;
        listener.tls = if implicit { OfferSketch::Implicit } else { level };
        if listener.tls != OfferSketch::Off {
            listener.certificates.clone_from(&self.certificates);
        }
        let required = if implicit { OfferSketch::Required } else { level };
        Ok(Some((listener, required)).filter(|(listener, _)| !listener.addresses.is_empty()))
    }

    /// Networks, certificates and tables that the restrictions ask about.
    fn groups(
        &self,
        scope: &ParameterScope<'_>,
        restrictions: &Restrictions,
        remarks: &mut Vec<Leftover>,
    ) -> Result<Vec<ClientGroup>, ImportFault> {
        let mut groups = Vec::new();
        let digest = scope.value("smtpd_tls_fingerprint_digest")?;
        if restrictions.asks_for(&SmtpdClient::Network) {
            let mut group = ClientGroup::new("mynetworks", SmtpdClient::Network);
            group.networks = self.mynetworks(scope, &mut group.remarks)?;
            groups.push(group);
        }
        if restrictions.asks_for(&SmtpdClient::KnownCertificate) {
            let mut group = ClientGroup::new("relay-clientcerts", SmtpdClient::KnownCertificate);
            let TableReading { entries, unread } = self.files.entries(&scope.list("relay_clientcerts")?)?;
            remarks.extend(unread.iter().map(|table| table.remark("relay_clientcerts")));
            let keys: Vec<String> = entries.into_iter().map(|entry| entry.key).collect();
            // Without pins it would admit anyone.
            if !keys.is_empty() {
                group.pins = pins("relay_clientcerts", &keys, &digest, &mut group.remarks);
                groups.push(group);
            }
        }
        if restrictions.asks_for(&SmtpdClient::AnyCertificate) {
            let mut group = ClientGroup::new("clientcerts", SmtpdClient::AnyCertificate);
            group.chain = true;
            groups.push(group);
        }
        for item in restrictions.listed() {
            let (check, table) = item.split_once(' ').unwrap_or((&item, ""));
            let read = ClientTable::read(&item, self.files)?;
            remarks.extend(read.remarks);
            let name = table.rsplit('/').next().unwrap_or(table);
            let mut group = ClientGroup::new(name, SmtpdClient::Listed(item.clone()));
            group.networks = read.permitted;
            if !read.certificates.is_empty() {
                group.pins = pins(check, &read.certificates, &digest, &mut group.remarks);
            }
            if !group.networks.is_empty() || !group.pins.is_empty() {
                groups.push(group);
            }
        }
        for group in &mut groups {
            self.refuse(group, restrictions)?;
        }
        // Of a group by networks that refusals leave nothing of, nobody is left.
        groups.retain(|group| !group.networks.is_empty() || !group.pins.is_empty() || group.chain);
        Ok(groups)
    }

    /// Takes out what tables refuse before a list decides about the group.
    fn refuse(&self, group: &mut ClientGroup, restrictions: &Restrictions) -> Result<(), ImportFault> {
        for item in restrictions.asked_before(&group.client) {
            let read = ClientTable::read(&item, self.files)?;
            if let Some(blind) = &read.blind {
                return Err(refusal(blind));
            }
            if group.networks.is_empty()
                && let Some(network) = read.refused.first()
            {
                let (check, _) = item.split_once(' ').unwrap_or((&item, ""));
                return Err(refusal(&Leftover::new(check, format!("{network} at {}", group.name), "", "")));
            }
            group.networks = left_of(std::mem::take(&mut group.networks), &read.refused);
        }
        Ok(())
    }

    fn group(
        &mut self,
        group: ClientGroup,
        listener: &str,
        (scope, level): (&ParameterScope<'_>, OfferSketch),
        restrictions: &Restrictions,
        strangers: bool,
    ) -> Result<(), ImportFault> {
        let ours = restrictions.passes(&group.client, Destination::Ours);
        let elsewhere = restrictions.passes(&group.client, Destination::Elsewhere);
        let is_stranger = group.client == SmtpdClient::Stranger;
        // Whoever may do no more than a stranger needs no connector.
        if !ours || (!is_stranger && !elsewhere && strangers) {
            return Ok(());
        }
        let mut sketch = InboundSketch {
            name: if listener == "smtp" { group.name.clone() } else { format!("{} {listener}", group.name) },
            origin: format!("master.cf: {listener}: {}.", group.name),
            listeners: vec![listener.to_owned()],
            own: elsewhere && !group.chain,
            from_networks: group.networks,
            to_domains: if elsewhere { vec![DomainPattern::Any] } else { self.ours.to_vec() },
            remarks: group.remarks,
            ..InboundSketch::default()
        };
        sketch.tls = match level {
            OfferSketch::Off => TlsSketch::Off,
            OfferSketch::StartTls => TlsSketch::Opportunistic,
            OfferSketch::Required | OfferSketch::Implicit => TlsSketch::encryption(),
        };
        if !group.pins.is_empty() {
            sketch.tls = TlsSketch::Forced(ForcedSketch { pins: group.pins, ..ForcedSketch::default() });
        }
        let asks_all = scope.flag("smtpd_tls_req_ccert")? && level == OfferSketch::Required;
        if group.chain || (asks_all && !matches!(&sketch.tls, TlsSketch::Forced(one) if !one.pins.is_empty()))
        {
            sketch.tls = self.any_certificate(&mut sketch.remarks);
        }
        if restrictions.demands_tls(&group.client) && !matches!(sketch.tls, TlsSketch::Forced(_)) {
            sketch.tls = TlsSketch::encryption();
        }
        if !sketch.own {
            sketch.from_domains = vec![DomainPattern::Any];
        }
        if is_stranger {
            if elsewhere {
                sketch.own = true;
                sketch.from_domains.clear();
            } else {
                sketch.recipients_file = self.recipients_file.clone();
            }
        }
        self.inbound.push(sketch);
        Ok(())
    }

    /// A certificate of the trusted authorities. Without their file nobody can have one.
    fn any_certificate(&self, remarks: &mut Vec<Leftover>) -> TlsSketch {
        let trust = match &self.client_trust {
            AnchorSet::System => Vec::new(),
            AnchorSet::File(id) => vec![id.clone()],
            AnchorSet::Missing(_) | AnchorSet::Unset => {
                remarks.push(Leftover::new(
                    "smtpd_tls_CAfile",
                    "missing",
                    "without trust anchors no client certificate is trusted, and a pin that no key has keeps all out",
                    "write require = \"chain\" and trust with a [trust.ID] of your own, and remove the pin",
                ));
                return TlsSketch::unmeetable();
            }
        };
        TlsSketch::Forced(ForcedSketch { require: Proof::Chain, trust, ..ForcedSketch::default() })
    }

    /// `mynetworks`; what an exclamation mark leaves out is left out of what follows.
    fn mynetworks(
        &self,
        scope: &ParameterScope<'_>,
        remarks: &mut Vec<Leftover>,
    ) -> Result<Vec<IpNet>, ImportFault> {
        if !scope.is_set("mynetworks") {
            let style = scope.value("mynetworks_style")?;
            let style = if style.is_empty() { "host".to_owned() } else { style };
            remarks.push(Leftover::new(
                "mynetworks_style",
                style,
                "the addresses of that machine are not known here",
                "add its networks to from_networks",
            ));
            return Ok(["127.0.0.0/8", "::1/128"].iter().filter_map(|text| text.parse().ok()).collect());
        }
        let reading = self.files.items("mynetworks", &scope.list("mynetworks")?)?;
        remarks.extend(reading.unread.iter().map(|table| table.remark("mynetworks")));
        let (mut found, mut holes): (Vec<IpNet>, Vec<IpNet>) = (Vec::new(), Vec::new());
        for item in &reading.items {
            match networks(&item.text) {
                Some(read) if item.is_hole => holes.extend(read),
                Some(read) => found.extend(left_of(read, &holes)),
                None if item.is_hole => {
                    return Err(item.fault(
                        "mynetworks",
                        "what it leaves out is not a network that is understood",
                        "write the addresses, in a copy of the folder",
                    ));
                }
                None => remarks.push(Leftover::new(
                    "mynetworks",
                    &item.text,
                    "it is not a network",
                    "write its addresses in from_networks",
                )),
            }
        }
        Ok(found)
    }

    /// Tables of senders: `reject_plaintext_session` is forced TLS for a domain.
    fn senders(
        &mut self,
        scope: &ParameterScope<'_>,
        restrictions: &Restrictions,
        listener: &str,
        remarks: &mut Vec<Leftover>,
    ) -> Result<(), ImportFault> {
        let with_below =
            scope.list("parent_domain_matches_subdomains")?.iter().any(|one| one == "smtpd_access_maps");
        for table in restrictions.senders() {
            let TableReading { entries, unread } = self.files.entries(&[table])?;
            remarks.extend(unread.iter().map(|table| table.remark("check_sender_access")));
            for entry in entries {
                let text =
                    entry.key.strip_prefix('.').map_or_else(|| entry.key.clone(), |rest| format!("*.{rest}"));
                let starred =
                    if with_below && !text.starts_with('*') { format!("*.{text}") } else { text.clone() };
                let patterns = if text.starts_with("*.") {
                    DomainPattern::parse(&text).ok().map(|one| vec![one])
                } else {
                    with_apex(&starred)
                };
                let asks = restrictions.plaintext_refused(scope, &entry.value)?;
                let shown = format!("{} {}", entry.key, entry.value);
                if asks != PlaintextDemand::Only {
                    remarks.push(Leftover::new(
                        "check_sender_access",
                        &shown,
                        "only reject_plaintext_session for a domain has a counterpart",
                        "keep the restriction before or behind this gateway",
                    ));
                }
                if asks == PlaintextDemand::None {
                    continue;
                }
                let patterns = patterns.filter(|_| entry.kind == KeyKind::Text && !entry.key.contains('@'));
                let Some(from_domains) = patterns else {
                    let remark = Leftover::new(
                        "check_sender_access",
                        shown,
                        "TLS is demanded of senders by their domain only",
                        "write the whole domain, in a copy of the folder",
                    );
                    return Err(ImportFault::looser("main.cf", remark));
                };
                self.inbound.push(InboundSketch {
                    name: format!("from {}", entry.key),
                    origin: format!("master.cf: {listener}: check_sender_access {}.", entry.key),
                    notes: vec![
                        "Clients of our own connectors may still send in its name without TLS.".to_owned(),
                    ],
                    listeners: vec![listener.to_owned()],
                    from_domains,
                    tls: TlsSketch::encryption(),
                    to_domains: self.ours.to_vec(),
                    ..InboundSketch::default()
                });
            }
        }
        Ok(())
    }
}

fn addresses(
    host: &str,
    port: u16,
    scope: &ParameterScope<'_>,
    remarks: &mut Vec<Leftover>,
) -> Result<Vec<String>, ImportFault> {
    let protocols = scope.value("inet_protocols")?;
    let v4 = protocols != "ipv6";
    let v6 = protocols != "ipv4";
    let items = if host.is_empty() { scope.list("inet_interfaces")? } else { vec![host.to_owned()] };
    let mut found: Vec<String> = Vec::new();
    for item in items {
        let plain = item.trim_matches(['[', ']']).to_owned();
        let texts: Vec<String> = match plain.as_str() {
            "all" => vec!["0.0.0.0".to_owned(), "::".to_owned()],
            "loopback-only" | "localhost" => vec!["127.0.0.1".to_owned(), "::1".to_owned()],
            _ => vec![plain],
        };
        for text in texts {
            match text.parse::<std::net::IpAddr>() {
                Ok(std::net::IpAddr::V4(address)) if v4 => found.push(format!("{address}:{port}")),
                Ok(std::net::IpAddr::V6(address)) if v6 => found.push(format!("[{address}]:{port}")),
                Ok(_) => {}
                Err(_) => remarks.push(Leftover::new(
                    "inet_interfaces",
                    text,
                    "a listener has addresses, and no names",
                    "write the address",
                )),
            }
        }
    }
    found.dedup();
    Ok(found)
}
