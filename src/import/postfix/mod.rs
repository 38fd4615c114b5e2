//! A configuration folder of Postfix to a configuration.

mod access;
mod admit;
mod depart;
mod level;
mod main_cf;
mod names;
mod policy;
mod precedence;
mod restrict;
mod table;
#[cfg(test)]
mod tests;

use super::Translation;
use super::fault::ImportFault;
use super::remark::Leftover;
use super::settle::{identify, route_ours, settle, slug};
use super::sketch::{CertificateSketch, Disk, SideFile, Sketch, TrustSketch, Wishes, united, with_apex};
use crate::connector::DomainPattern;
use crate::mail::Domain;
use admit::ServiceReading;
use depart::Departure;
use level::AnchorSet;
use main_cf::{Assignments, ParameterScope, Service, parameters, services};
use policy::PolicyBook;
use precedence::{FirstQuestion, by_domain};
use table::{Files, KeyKind, TableReading};

/// Translates the configuration in a folder, such as `/etc/postfix` or a copy of it; `shown` is how it was given.
///
/// # Errors
/// A file that can't be read, and a value that is not understood: a guess could loosen a requirement.
pub fn translate(
    shown: &str,
    folder: &str,
    wishes: &Wishes,
    disk: &dyn Disk,
) -> Result<Translation, ImportFault> {
    let files = Files { folder: folder.to_owned(), disk };
    let main = parameters("main.cf", &files.text("main.cf")?)?;
    let services = services("master.cf", &files.text("master.cf")?)?;
    let nothing = Assignments::new();
    let scope = ParameterScope { overrides: &nothing, main: &main };
    let mut sketch = Sketch { made_from: made_from(shown), ..Sketch::default() };
    let mut used = vec![&main];
    used.extend(services.iter().map(|service| &service.overrides));
    for remark in names::left_over(&main, &used)? {
        sketch.remarks.push(("main.cf".to_owned(), remark));
    }
    let relay = relayed(&scope, &files, &mut sketch)?;
    let mailboxes = mailboxes(&scope, &files, &mut sketch)?;
    let ours = united(relay.iter().chain(&mailboxes).cloned());
    let mut parts = MainReading { scope: &scope, files: &files, wishes, sketch: &mut sketch };
    let certificates = parts.certificates("smtpd")?;
    let client_certificate = parts.certificates("smtp")?.into_iter().next();
    let client_trust = parts.usual_anchors("smtpd", "clients")?;
    let recipients_file = parts.recipients(&mailboxes)?;
    let departure = parts.departure(&services, &main, relay, client_certificate)?;
    parts.limits()?;
    let mut admission = ServiceReading {
        main: &main,
        files: &files,
        ours: &ours,
        certificates,
        client_trust,
        recipients_file: recipients_file.clone(),
        listeners: Vec::new(),
        inbound: Vec::new(),
    };
    for service in services.iter().filter(|one| one.kind == "inet" && one.command == "smtpd") {
        admission.service(service)?;
    }
    (sketch.listeners, sketch.inbound) = (admission.listeners, admission.inbound);
    other_services(&services, &mut sketch);
    let mut departure = departure;
    sketch.outbound = departure.connectors()?;
    sketch.remarks.append(&mut departure.remarks);
    let host = scope.value("myhostname")?;
    let domain = scope.value("mydomain")?;
    let domain = Domain::parse(&domain).ok().filter(|domain| domain.parent().is_some());
    identify(&mut sketch, wishes, Some(host).filter(|host| !host.is_empty()), domain.as_ref())?;
    route_ours(&mut sketch, &mailboxes, wishes, "mydestination and virtual domains");
    settle(&mut sketch);
    Ok(Translation::of(&sketch, recipients_file.into_iter().collect()))
}

fn made_from(folder: &str) -> Vec<String> {
    vec![
        format!("Made by `sealpost import postfix` from {folder}."),
        "What has no counterpart is marked NOT IMPORTED. docs/import.md explains it.".to_owned(),
    ]
}

/// `inet` services that are not `smtpd`, and pipes that mail may go to.
fn other_services(services: &[Service], sketch: &mut Sketch) {
    let strange = services.iter().filter(|one| one.kind == "inet" && one.command != "smtpd");
    for service in strange {
        let remark = Leftover::new(
            &service.name,
            &service.command,
            "only smtpd becomes a listener",
            "write a [[listener]] if clients use this port",
        );
        sketch.remarks.push(("master.cf".to_owned(), remark));
    }
}

/// `relay_domains`, with those below where Postfix matches them.
fn relayed(
    scope: &ParameterScope<'_>,
    files: &Files<'_>,
    sketch: &mut Sketch,
) -> Result<Vec<DomainPattern>, ImportFault> {
    let with_below = scope.list("parent_domain_matches_subdomains")?.iter().any(|one| one == "relay_domains");
    domains("relay_domains", with_below, scope, files, sketch)
}

/// Domains whose mailboxes Postfix has itself.
fn mailboxes(
    scope: &ParameterScope<'_>,
    files: &Files<'_>,
    sketch: &mut Sketch,
) -> Result<Vec<DomainPattern>, ImportFault> {
    let mut all = domains("mydestination", false, scope, files, sketch)?;
    for parameter in ["virtual_mailbox_domains", "virtual_alias_domains"] {
        all.extend(domains(parameter, false, scope, files, sketch)?);
    }
    // Nobody on another host writes to these.
    let local = |pattern: &DomainPattern| pattern.to_string().starts_with("localhost");
    all.retain(|pattern| !local(pattern));
    Ok(united(all))
}

fn domains(
    parameter: &str,
    with_below: bool,
    scope: &ParameterScope<'_>,
    files: &Files<'_>,
    sketch: &mut Sketch,
) -> Result<Vec<DomainPattern>, ImportFault> {
    let reading = files.items(parameter, &scope.list(parameter)?)?;
    for table in &reading.unread {
        sketch.remarks.push(("main.cf".to_owned(), table.remark(parameter)));
    }
    let (mut found, mut holes): (Vec<DomainPattern>, Vec<DomainPattern>) = (Vec::new(), Vec::new());
    for item in reading.items {
        let text = item.text.strip_prefix('.').map_or_else(|| item.text.clone(), |rest| format!("*.{rest}"));
        let read = if with_below && !text.starts_with('*') {
            with_apex(&format!("*.{text}"))
        } else {
            DomainPattern::parse(&text).ok().map(|one| vec![one])
        };
        match read.filter(|_| !text.starts_with('*') || text.starts_with("*.")) {
            Some(patterns) if item.is_hole => holes.extend(patterns),
            Some(mut patterns) => {
                patterns.retain(|one| !holes.iter().any(|hole| hole == one || hole.includes(one)));
                if holes.iter().any(|hole| patterns.iter().any(|one| one.includes(hole))) {
                    let why = "domains that an exclamation mark leaves out have no counterpart within it";
                    let instead = "list the domains that are meant one by one, in a copy of the folder";
                    let remark = Leftover::new(parameter, item.text, why, instead);
                    return Err(ImportFault::looser("main.cf", remark));
                }
                found.extend(patterns);
            }
            None if item.is_hole => {
                return Err(item.fault(
                    parameter,
                    "what it leaves out is not a domain that is understood",
                    "write the domains one by one, in a copy of the folder",
                ));
            }
            None => {
                let why = "it is not a domain";
                let remark =
                    Leftover::new(parameter, item.text, why, "write the domain in to_domains and domains");
                sketch.remarks.push(("main.cf".to_owned(), remark));
            }
        }
    }
    Ok(united(found))
}

/// What is read step by step.
struct MainReading<'a> {
    scope: &'a ParameterScope<'a>,
    files: &'a Files<'a>,
    wishes: &'a Wishes,
    sketch: &'a mut Sketch,
}

impl MainReading<'_> {
    fn remark(&mut self, remark: Leftover) {
        self.sketch.remarks.push(("main.cf".to_owned(), remark));
    }

    /// Certificates of the server or of the client; the same files are one certificate.
    fn certificates(&mut self, side: &str) -> Result<Vec<String>, ImportFault> {
        let mut pairs = Vec::new();
        let chains = self.scope.list(&format!("{side}_tls_chain_files"))?;
        for file in &chains {
            pairs.push((file.clone(), file.clone()));
        }
        // chain_files takes the place of the older parameters.
        let kinds: &[&str] = if chains.is_empty() { &["", "ec"] } else { &[] };
        for kind in kinds {
            let chain = self.scope.value(&format!("{side}_tls_{kind}cert_file"))?;
            let key = self.scope.value(&format!("{side}_tls_{kind}key_file"))?;
            let key = if key.is_empty() { chain.clone() } else { key };
            if !["", "none"].contains(&chain.as_str()) {
                pairs.push((chain, key));
            }
        }
        if pairs.is_empty() && side == "smtpd" {
            let about = "The certificate that clients are shown; main.cf has none.".to_owned();
            let made = super::settle::certificate("gateway", about, self.wishes, self.files.disk);
            self.sketch.certificates.insert("gateway".to_owned(), made);
            return Ok(vec!["gateway".to_owned()]);
        }
        let mut ids = Vec::new();
        for (chain, key) in pairs {
            let (chain, key) = (self.files.path(&chain), self.files.path(&key));
            let known = self.sketch.certificates.iter().find(|(_, one)| one.chain == chain);
            let id = known.map(|(id, _)| id.clone()).unwrap_or_else(|| {
                let count = self.sketch.certificates.len();
                if count == 0 { "gateway".to_owned() } else { format!("gateway-{}", count + 1) }
            });
            let is_there = self.files.disk.is_file(&chain) && self.files.disk.is_file(&key);
            let about = format!("From {side}_tls of main.cf.");
            self.sketch.certificates.entry(id.clone()).or_insert(CertificateSketch {
                about,
                chain,
                key,
                is_there,
            });
            ids.push(id);
        }
        Ok(ids)
    }

    /// A file of trust anchors, or the operating system's.
    fn anchors(&mut self, id: &str, about: &str, path: &str) -> AnchorSet {
        if SYSTEM_ANCHORS.contains(&path.trim_end_matches('/')) {
            return AnchorSet::System;
        }
        let anchors = self.files.path(path);
        let is_there = self.files.disk.is_file(&anchors);
        // Services may name the same file; what clients are trusted by stays apart.
        let known =
            self.sketch.trusts.iter().find(|(known, one)| *known != "clients" && one.anchors == anchors);
        let id = known.map_or(id, |(known, _)| known).to_owned();
        let trust = TrustSketch { about: format!("From {about} of Postfix."), anchors, is_there };
        self.sketch.trusts.entry(id.clone()).or_insert(trust);
        if is_there { AnchorSet::File(id) } else { AnchorSet::Missing(id) }
    }

    /// `CAfile` and `CApath` of one side.
    fn usual_anchors(&mut self, side: &str, id: &str) -> Result<AnchorSet, ImportFault> {
        let file = self.scope.value(&format!("{side}_tls_CAfile"))?;
        let folder = self.scope.value(&format!("{side}_tls_CApath"))?;
        let is_system = SYSTEM_ANCHORS.contains(&folder.trim_end_matches('/'));
        Ok(match (file.as_str(), folder.as_str()) {
            ("", "") => AnchorSet::Unset,
            ("", _) if is_system => AnchorSet::System,
            ("", folder) => {
                self.remark(Leftover::new(
                    format!("{side}_tls_CApath"),
                    folder,
                    "trust anchors are one file, not a folder",
                    "write them to one PEM file at that name, and remove the pin that no key has",
                ));
                let path = format!("{}.pem", folder.trim_end_matches('/'));
                self.anchors(id, &format!("{side}_tls_CApath"), &path)
            }
            (file, folder) => {
                if is_system && !SYSTEM_ANCHORS.contains(&file) {
                    self.remark(Leftover::new(
                        format!("{side}_tls_CApath"),
                        folder,
                        format!("beside {side}_tls_CAfile only that file is trusted now, which is stricter"),
                        "add \"system\" to trust where public authorities are meant too",
                    ));
                }
                self.anchors(id, &format!("{side}_tls_CAfile"), file)
            }
        })
    }

    /// `relay_recipient_maps` as a file of recipients; of domains with mailboxes everyone is taken.
    fn recipients(&mut self, mailboxes: &[DomainPattern]) -> Result<Option<SideFile>, ImportFault> {
        let maps = self.scope.list("relay_recipient_maps")?;
        if maps.is_empty() {
            return Ok(None);
        }
        let TableReading { entries, unread } = self.files.entries(&maps)?;
        if let Some(table) = unread.first() {
            // A part of the recipients would refuse mail for the others.
            let instead = "write verify_recipients = true, or its addresses in recipients_file";
            self.remark(Leftover { instead: instead.to_owned(), ..table.remark("relay_recipient_maps") });
            return Ok(None);
        }
        let mut lines = vec!["# From relay_recipient_maps of Postfix.".to_owned()];
        for entry in &entries {
            if entry.kind == KeyKind::Text && entry.key.contains('@') {
                lines.push(entry.key.clone());
            } else {
                self.remark(Leftover::new(
                    "relay_recipient_maps",
                    &entry.key,
                    "only addresses and @domain are recipients here",
                    "write the addresses in recipients_file",
                ));
            }
        }
        let whole = mailboxes.iter().filter_map(super::sketch::domain_of);
        lines.extend(whole.map(|domain| format!("@{domain}")));
        if self.wishes.beside.is_none() {
            self.remark(Leftover::new(
                "relay_recipient_maps",
                maps.join(", "),
                "the list of recipients is a file of its own, which is written only with --output",
                "import again with --output FILE, or write verify_recipients = true",
            ));
            return Ok(None);
        }
        Ok(Some(SideFile { name: "relay-recipients".to_owned(), text: lines.join("\n") + "\n" }))
    }

    /// Everything about where mail goes.
    fn departure<'b>(
        &mut self,
        services: &'b [Service],
        main: &'b Assignments,
        relay: Vec<DomainPattern>,
        client_certificate: Option<String>,
    ) -> Result<Departure<'b>, ImportFault> {
        let mut remarks = Vec::new();
        let TableReading { entries, unread } = self.files.entries(&self.scope.list("transport_maps")?)?;
        for table in &unread {
            if table.comes_first {
                return Err(ImportFault::looser("main.cf", table.remark("transport_maps")));
            }
            remarks.push(table.remark("transport_maps"));
        }
        let (transport, others) = by_domain(&entries, FirstQuestion::Address);
        for entry in others {
            remarks.push(Leftover::new(
                "transport_maps",
                format!("{} {}", entry.key, entry.value),
                "the next hop depends on the recipient's domain only",
                "write an [[outbound]] connector for the domain",
            ));
        }
        let usual = self.book("postfix", &mut remarks)?;
        let mut of_services = Vec::new();
        for service in services.iter().filter(|one| one.kind != "inet") {
            if !OF_BOOKS.iter().any(|name| service.overrides.contains_key(*name)) {
                continue;
            }
            let scope = ParameterScope { overrides: &service.overrides, main };
            let mut own = MainReading {
                scope: &scope,
                files: self.files,
                wishes: self.wishes,
                sketch: &mut *self.sketch,
            };
            let book = own.book(&format!("postfix-{}", slug(&service.name)), &mut remarks)?;
            of_services.push((service.name.clone(), book));
        }
        let remarks = remarks.into_iter().map(|remark| ("main.cf".to_owned(), remark)).collect();
        Ok(Departure { main, services, transport, usual, of_services, relay, client_certificate, remarks })
    }

    /// The policies of `main.cf` or of a service, with the trust anchors that they need.
    fn book(&mut self, id: &str, remarks: &mut Vec<Leftover>) -> Result<PolicyBook, ImportFault> {
        let mut book = PolicyBook::read(self.scope, self.files, remarks)?;
        book.anchors.usual = self.usual_anchors("smtp", id)?;
        for path in book.anchor_files() {
            let of_policies = self.sketch.trusts.keys().filter(|id| id.starts_with("policy-"));
            let id = format!("policy-{}", of_policies.count() + 1);
            let set = self.anchors(&id, "tafile", &path);
            book.anchors.of_policy.push((path, set));
        }
        Ok(book)
    }

    fn limits(&mut self) -> Result<(), ImportFault> {
        for (parameter, key) in [
            ("message_size_limit", "message_size"),
            ("smtpd_recipient_limit", "recipients"),
            ("hopcount_limit", "hops"),
        ] {
            if !self.scope.is_set(parameter) {
                continue;
            }
            match self.scope.value(parameter)?.parse::<u64>() {
                Ok(number) if number > 0 => {
                    let value =
                        if key == "message_size" { format!("\"{number}B\"") } else { number.to_string() };
                    self.sketch.limits.push((key, value));
                }
                _ => {
                    let value = self.scope.value(parameter)?;
                    let why = "every limit here is a number above zero";
                    self.remark(Leftover::new(parameter, value, why, format!("write {key} in [limits]")));
                }
            }
        }
        Ok(())
    }
}

/// The parameters that give a service policies of its own.
const OF_BOOKS: &[&str] =
    &["smtp_tls_policy_maps", "smtp_tls_per_site", "smtp_tls_CAfile", "smtp_tls_CApath"];

/// Where systems keep the public authorities.
const SYSTEM_ANCHORS: &[&str] = &[
    "/etc/ssl/certs",
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/ssl/cert.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/cert.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/usr/local/share/certs/ca-root-nss.crt",
];
