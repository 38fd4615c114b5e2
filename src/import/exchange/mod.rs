//! Exports of Exchange Online and Exchange Server to a configuration.

mod certificates;
mod fields;
mod inbound;
mod outbound;
mod ranges;
mod record;
mod source;
#[cfg(test)]
mod tests;

use super::fault::ImportFault;
use super::remark::Leftover;
use super::settle::{identify, route_ours, settle};
use super::sketch::{Disk, OutboundSketch, Sketch, Wishes, united, with_apex};
use super::{NamedOctets, Translation};
use crate::connector::DomainPattern;
use crate::mail::Domain;
use certificates::Certificates;
use inbound::{Admittance, patterns};
use record::records;
use source::Organisation;

/// Translates the exports of one organisation.
///
/// # Errors
/// A file that can't be read as an export, and a value that is not understood: a guess could loosen a requirement.
pub fn translate(
    files: &[NamedOctets],
    wishes: &Wishes,
    disk: &dyn Disk,
) -> Result<Translation, ImportFault> {
    let mut all = Vec::new();
    for file in files {
        all.extend(records(&file.name, &file.octets)?);
    }
    let organisation = Organisation::read(&all)?;
    let ours = our_domains(&organisation)?;
    let mut certificates = Certificates::default();
    let mut sketch = Sketch { made_from: made_from(files), ..Sketch::default() };
    hybrid(&organisation, &mut certificates, &mut sketch);
    let mut arrival = Admittance {
        ours: &ours,
        certificates: &mut certificates,
        listeners: Vec::new(),
        inbound: Vec::new(),
    };
    let left_out = arrival.server(&organisation)?;
    let has_doors = !arrival.listeners.is_empty();
    let in_cloud = !organisation.inbound.is_empty() || !organisation.outbound.is_empty();
    if in_cloud || !has_doors {
        let before = arrival.listeners.len();
        arrival.cloud(&organisation)?;
        // The receive connectors' doors serve the cloud too.
        if before > 0 {
            arrival.listeners.truncate(before);
        }
    }
    ranges::leave_out(&mut arrival.inbound);
    (sketch.listeners, sketch.inbound) = (arrival.listeners, arrival.inbound);
    sketch.remarks.extend(left_out);
    let has_cloud = sketch.inbound.iter().any(|one| one.is_cloud && !one.off);
    let facts = (in_cloud, has_cloud);
    sketch.outbound = departures(&organisation, &ours, &mut certificates, facts)?;
    let default =
        organisation.accepted.iter().find(|one| one.what.is_default).or(organisation.accepted.first());
    let domain = default.and_then(|one| Domain::parse(one.what.domain.trim_start_matches("*.")).ok());
    let domain = domain.or_else(|| ours.iter().find_map(super::sketch::domain_of).cloned());
    let names = organisation.receive.iter().filter_map(|one| one.what.fqdn.clone());
    let name = names.chain(organisation.send.iter().filter_map(|one| one.what.fqdn.clone())).next();
    identify(&mut sketch, wishes, certificates.host().or(name), domain.as_ref())?;
    sketch.certificates = certificates.sketches(wishes, disk);
    if ours.is_empty() {
        sketch.remarks.push((
            "Get-AcceptedDomain".to_owned(),
            Leftover::new(
                "DomainName",
                "unknown",
                "without our own domains mail for them is refused",
                "export it too",
            ),
        ));
    }
    route_ours(&mut sketch, &ours, wishes, "Get-AcceptedDomain: DomainName");
    settle(&mut sketch);
    Ok(Translation::of(&sketch, Vec::new()))
}

fn made_from(files: &[NamedOctets]) -> Vec<String> {
    let names: Vec<&str> = files.iter().map(|file| file.name.as_str()).collect();
    vec![
        format!("Made by `sealpost import exchange` from {}.", names.join(", ")),
        "It takes the place of the servers that these connectors belong to. What has no counterpart is marked \
         NOT IMPORTED. docs/import.md explains both."
            .to_owned(),
    ]
}

/// Our own domains: accepted ones, or else those of the hybrid configuration.
fn our_domains(all: &Organisation) -> Result<Vec<DomainPattern>, ImportFault> {
    let mut found = Vec::new();
    for one in &all.accepted {
        let domain = &one.what.domain;
        let read = with_apex(domain).ok_or_else(|| ImportFault::Value {
            place: one.place.clone(),
            field: "DomainName".to_owned(),
            value: domain.clone(),
            expected: "a domain",
        })?;
        found.extend(read);
        if one.what.below_too && !domain.starts_with('*') {
            found.extend(DomainPattern::parse(&format!("*.{domain}")));
        }
    }
    if found.is_empty() {
        for one in &all.hybrid {
            let plain = one.what.domains.iter().map(|domain| domain.trim_start_matches("autod:").to_owned());
            found.extend(patterns(&one.place, "Domains", &plain.collect::<Vec<_>>())?);
        }
    }
    Ok(united(found))
}

fn hybrid(all: &Organisation, certificates: &mut Certificates, sketch: &mut Sketch) {
    for one in &all.hybrid {
        if let Some(certificate) = &one.what.certificate {
            certificates.named(certificate);
        }
        if one.what.features.iter().any(|word| word == "CentralizedTransport") {
            sketch.remarks.push((
                one.place.clone(),
                Leftover::new(
                    "Features",
                    "CentralizedTransport",
                    "mail from the cloud to the world takes the way of all other mail",
                    "see docs/routing.md on centralised transport",
                ),
            ));
        }
        let known = |domain: &&String| {
            all.accepted.iter().any(|other| other.what.domain.eq_ignore_ascii_case(domain))
        };
        let strange: Vec<String> = one.what.domains.iter().filter(|domain| !known(domain)).cloned().collect();
        if !all.accepted.is_empty() && !strange.is_empty() {
            let why = "they are not among the accepted domains, which decide what is taken";
            let remark =
                Leftover::new("Domains", strange.join(", "), why, "add those that are yours to to_domains");
            sketch.remarks.push((one.place.clone(), remark));
        }
        sketch.remarks.extend(one.remarks.iter().map(|remark| (one.place.clone(), remark.clone())));
    }
    for one in &all.accepted {
        sketch.remarks.extend(one.remarks.iter().map(|remark| (one.place.clone(), remark.clone())));
    }
}

/// Where mail goes; Exchange Online sends to the world by itself, a server only by a connector.
fn departures(
    all: &Organisation,
    ours: &[DomainPattern],
    certificates: &mut Certificates,
    (in_cloud, has_cloud): (bool, bool),
) -> Result<Vec<OutboundSketch>, ImportFault> {
    let mut claims = Vec::new();
    for one in &all.outbound {
        claims.extend(outbound::of_cloud(one, ours, has_cloud)?.one_each());
    }
    for one in &all.send {
        claims.extend(outbound::of_server(one, certificates)?.one_each());
    }
    let mut sketches = outbound::share_out(claims);
    // Mail from the cloud goes there whoever has a connector of its own, except mail to ourselves.
    let partners =
        sketches.iter().filter(|one| !one.off && !one.from_cloud).flat_map(|one| one.domains.clone());
    let partners: Vec<DomainPattern> = partners.filter(|one| !ours.contains(one)).collect();
    let central =
        sketches.iter_mut().filter(|one| one.from_cloud && one.domains.contains(&DomainPattern::Any));
    central.for_each(|one| one.domains.extend(partners.iter().cloned()));
    let serves_all =
        |one: &OutboundSketch| !one.off && !one.from_cloud && one.domains.contains(&DomainPattern::Any);
    if in_cloud && !sketches.iter().any(serves_all) {
        sketches.push(OutboundSketch {
            name: "internet-out".to_owned(),
            origin: "Exchange Online sends to the world without a connector.".to_owned(),
            domains: vec![DomainPattern::Any],
            ..OutboundSketch::default()
        });
    }
    Ok(sketches)
}
