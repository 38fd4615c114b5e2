//! Makes a sketch consistent: names, networks, and a route for our own domains. What it changes it remarks.

use std::collections::BTreeSet;

use ipnet::{IpNet, Ipv4Subnets, Ipv6Subnets};

use super::fault::ImportFault;
use super::remark::Leftover;
use super::sketch::{
    CertificateSketch, Disk, InboundSketch, OutboundSketch, PartnerSketch, Sketch, TlsSketch, Wishes, united,
};
use crate::connector::DomainPattern;
use crate::mail::{Domain, Mailbox};

/// Makes names unique, drops networks that restrict nobody, and excepts what other connectors bind.
pub(super) fn settle(sketch: &mut Sketch) {
    let mut names = BTreeSet::new();
    for connector in &mut sketch.inbound {
        connector.name = unique(&connector.name, "inbound", &mut names);
        connector.to_domains = united(std::mem::take(&mut connector.to_domains));
        connector.from_domains = distinct(std::mem::take(&mut connector.from_domains));
        narrow(connector);
    }
    for connector in &mut sketch.outbound {
        connector.name = unique(&connector.name, "outbound", &mut names);
        connector.domains = distinct(std::mem::take(&mut connector.domains));
    }
    except_bound(&mut sketch.inbound);
    pair(sketch);
    let from_cloud = sketch.inbound.iter().filter(|one| one.is_cloud && !one.off).map(|one| one.name.clone());
    let from_cloud: Vec<String> = from_cloud.collect();
    let central = sketch.outbound.iter_mut().filter(|one| one.from_cloud);
    central.for_each(|one| one.from_connectors.clone_from(&from_cloud));
    let [only] = sketch.listeners.as_slice() else { return };
    let only = vec![only.name.clone()];
    // With one listener there is nothing to tell apart.
    sketch.inbound.iter_mut().filter(|c| c.listeners == only).for_each(|c| c.listeners.clear());
}

/// A name of letters, digits and `-` that nothing else has.
fn unique(wanted: &str, otherwise: &str, taken: &mut BTreeSet<String>) -> String {
    let plain = slug(wanted);
    let plain = if plain.is_empty() { otherwise.to_owned() } else { plain };
    let mut name = plain.clone();
    // Both directions of a partner often have the same name.
    if taken.contains(&name) && otherwise == "outbound" {
        name = format!("{plain}-out");
    }
    let mut number = 2;
    while !taken.insert(name.clone()) {
        name = format!("{plain}-{number}");
        number += 1;
    }
    name
}

/// A text as the name of a connector or the ID of a certificate.
pub(super) fn slug(text: &str) -> String {
    let mut plain = String::new();
    for letter in text.chars().take(NAME_CHARS_MAX) {
        if letter.is_ascii_alphanumeric() {
            plain.push(letter.to_ascii_lowercase());
        } else if !plain.is_empty() && !plain.ends_with('-') {
            plain.push('-');
        }
    }
    plain.trim_end_matches('-').to_owned()
}

const NAME_CHARS_MAX: usize = 60;

fn distinct(patterns: Vec<DomainPattern>) -> Vec<DomainPattern> {
    let mut kept = Vec::new();
    for pattern in patterns {
        if !kept.contains(&pattern) {
            kept.push(pattern);
        }
    }
    kept
}

/// Networks in their shortest form. Every address of a family restricts nobody of it.
fn narrow(connector: &mut InboundSketch) {
    let networks = IpNet::aggregate(&std::mem::take(&mut connector.from_networks));
    let whole: Vec<&IpNet> = networks.iter().filter(|network| network.prefix_len() == 0).collect();
    if let ([only], false) = (whole.as_slice(), connector.own) {
        let other = if matches!(only, IpNet::V4(_)) { "IPv6" } else { "IPv4" };
        connector.remarks.push(Leftover::new(
            "networks",
            only.to_string(),
            format!("all addresses of one family restrict nobody here, and {other} clients are admitted too"),
            format!("remove the {other} address of the listener if it has one"),
        ));
    }
    if whole.is_empty() {
        connector.from_networks = networks;
    }
    let tells_apart = connector.from_networks.iter().any(|network| network.prefix_len() > WIDE_BITS_MAX);
    let identified = match &connector.tls {
        TlsSketch::Forced(demand) => {
            !demand.pins.is_empty() || demand.require != super::sketch::Proof::Encryption
        }
        TlsSketch::Off | TlsSketch::Opportunistic => false,
    };
    if connector.own && !tells_apart && !identified {
        // As a connector of our own it would be an open relay; so it admits nobody until a person decides.
        connector.tls = TlsSketch::unmeetable();
        connector.remarks.push(Leftover::new(
            "relaying",
            "for anyone",
            "nothing tells these clients from others, and this would be an open relay",
            "write from_networks or peer_names in place of the pin, which no key has",
        ));
    }
}

/// Networks as wide as this tell nobody apart.
const WIDE_BITS_MAX: u8 = 4;

/// A forced connector binds the domains it names. Of one that is not, the looser connectors must leave them to it.
fn except_bound(inbound: &mut [InboundSketch]) {
    let binding = inbound.iter().filter(|one| one.binds && !one.off && !is_forced(one));
    let bound: Vec<DomainPattern> = binding.flat_map(|one| one.from_domains.clone()).collect();
    for connector in inbound.iter_mut().filter(|one| !one.own) {
        for pattern in &bound {
            let looser = connector.from_domains.iter().any(|mine| mine != pattern && mine.includes(pattern));
            let has = connector.from_domains.contains(pattern) || connector.except_domains.contains(pattern);
            if looser && !has {
                connector.except_domains.push(pattern.clone());
            }
        }
    }
}

/// Connectors of both directions for the same domains are one partner's.
fn pair(sketch: &mut Sketch) {
    let plain = |one: &InboundSketch| !one.own && !one.off && one.except_domains.is_empty();
    let mut taken: Vec<DomainPattern> = Vec::new();
    for outbound in sketch.outbound.iter_mut().filter(|one| !one.off && !one.from_cloud) {
        let same = |domains: &[DomainPattern]| {
            domains.len() == outbound.domains.len()
                && domains.iter().all(|one| outbound.domains.contains(one))
        };
        let open = outbound.domains.iter().any(|one| *one == DomainPattern::Any || taken.contains(one));
        let pairs = sketch.inbound.iter_mut().filter(|one| plain(one) && same(&one.from_domains));
        let mut pairs: Vec<&mut InboundSketch> = pairs.collect();
        let first = outbound.domains.iter().find_map(super::sketch::domain_of);
        let (Some(first), false, false) = (first, open, pairs.is_empty()) else { continue };
        let name = slug(first.as_str());
        taken.extend(outbound.domains.iter().cloned());
        pairs.iter_mut().for_each(|one| one.partner = Some(name.clone()));
        outbound.partner = Some(name.clone());
        sketch.partners.push(PartnerSketch { name, domains: outbound.domains.clone() });
    }
}

fn is_forced(connector: &InboundSketch) -> bool {
    matches!(connector.tls, TlsSketch::Forced(_))
}

/// A connector for our own domains that no other one serves, and for the postmaster's.
pub(super) fn route_ours(sketch: &mut Sketch, ours: &[DomainPattern], wishes: &Wishes, place: &str) {
    not_to_ourselves(sketch, wishes);
    let serving = |pattern: &DomainPattern, sketch: &Sketch| {
        sketch.outbound.iter().filter(|one| !one.off).any(|one| one.domains.contains(pattern))
    };
    let mut domains: Vec<DomainPattern> =
        ours.iter().filter(|pattern| !serving(pattern, sketch)).cloned().collect();
    let postmaster = sketch.postmaster.rsplit_once('@').and_then(|(_, d)| Domain::parse(d).ok());
    if let Some(domain) = postmaster {
        let all = sketch.outbound.iter().filter(|one| !one.off).flat_map(|one| &one.domains);
        let covered = all.chain(&domains).any(|pattern| pattern.covers(Some(&domain)).is_some());
        if !covered {
            domains.push(DomainPattern::Exact(domain));
        }
    }
    if domains.is_empty() {
        return;
    }
    let mut remarks = Vec::new();
    let host = wishes.mailbox_host.clone().unwrap_or_else(|| {
        remarks.push(Leftover::new(
            place,
            domains.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
            "they had their mailboxes on the server itself, and a relay has none",
            "write the mailbox server in next_hop, or import again with --mailbox-host",
        ));
        NOWHERE.to_owned()
    });
    sketch.outbound.push(OutboundSketch {
        name: "mailboxes".to_owned(),
        origin: "Our own domains: to the server with the mailboxes.".to_owned(),
        domains,
        next_hop: vec![host],
        remarks,
        ..OutboundSketch::default()
    });
}

/// A smart host with our own name is the server whose place this gateway takes.
fn not_to_ourselves(sketch: &mut Sketch, wishes: &Wishes) {
    let ours = format!("{}:", sketch.name);
    for connector in &mut sketch.outbound {
        let is_us = connector.next_hop.iter().any(|host| host.starts_with(&ours));
        connector.next_hop.retain(|host| !host.starts_with(&ours));
        if is_us && wishes.mailbox_host.is_none() {
            connector.remarks.push(Leftover::new(
                "next hop",
                &sketch.name,
                "it is the name of this gateway, which sends nothing to itself",
                "write the server behind it in next_hop, or import again with --mailbox-host",
            ));
        }
        if is_us && connector.next_hop.is_empty() {
            connector.next_hop.push(wishes.mailbox_host.clone().unwrap_or_else(|| NOWHERE.to_owned()));
        }
    }
}

/// A host that never exists (RFC 2606): its mail waits until a person writes the right one.
pub(super) const NOWHERE: &str = "not-yet-written.invalid:25";

/// A certificate by its ID, and whether its files are there.
pub(super) fn certificate(id: &str, about: String, wishes: &Wishes, disk: &dyn Disk) -> CertificateSketch {
    let folder = wishes.certificate_dir.trim_end_matches('/');
    let (chain, key) = (format!("{folder}/{id}.crt"), format!("{folder}/{id}.key"));
    let is_there = disk.is_file(&chain) && disk.is_file(&key);
    CertificateSketch { about, chain, key, is_there }
}

/// `192.0.2.0/24`, `192.0.2.1`, `192.0.2.1-192.0.2.9`, `192.0.2.0/255.255.255.0`, with or without brackets.
pub(super) fn networks(text: &str) -> Option<Vec<IpNet>> {
    let plain = text.trim().replace(['[', ']'], "");
    if let Some((first, last)) = plain.split_once('-') {
        let (first, last) = (first.trim(), last.trim());
        return match (first.parse().ok()?, last.parse().ok()?) {
            (std::net::IpAddr::V4(first), std::net::IpAddr::V4(last)) if first <= last => {
                Some(Ipv4Subnets::new(first, last, 0).map(IpNet::V4).collect())
            }
            (std::net::IpAddr::V6(first), std::net::IpAddr::V6(last)) if first <= last => {
                Some(Ipv6Subnets::new(first, last, 0).map(IpNet::V6).collect())
            }
            _ => None,
        };
    }
    if let Some((address, mask)) = plain.split_once('/')
        && mask.contains('.')
    {
        let mask = mask.parse().ok()?;
        let network = IpNet::with_netmask(address.parse().ok()?, mask).ok()?;
        return Some(vec![network.trunc()]);
    }
    let network = plain.parse::<IpNet>().ok();
    let one = network.or_else(|| plain.parse::<std::net::IpAddr>().ok().map(IpNet::from))?;
    Some(vec![plain_ipv4(one.trunc())])
}

/// IPv4 written as IPv6, which no connection shows.
fn plain_ipv4(network: IpNet) -> IpNet {
    let IpNet::V6(v6) = network else { return network };
    let bits = v6.prefix_len().checked_sub(96);
    let mapped = v6.network().to_ipv4_mapped().zip(bits);
    mapped.and_then(|(address, bits)| IpNet::new(address.into(), bits).ok()).unwrap_or(network)
}

/// A network without another one in it.
pub(super) fn without(network: IpNet, hole: IpNet) -> Vec<IpNet> {
    if hole.contains(&network) {
        return Vec::new();
    }
    if !network.contains(&hole) {
        return vec![network];
    }
    let halves = network.subnets(network.prefix_len() + 1);
    halves.map_or_else(|_| Vec::new(), |halves| halves.flat_map(|half| without(half, hole)).collect())
}

/// The server's name and postmaster, as asked for or as the source has them.
pub(super) fn identify(
    sketch: &mut Sketch,
    wishes: &Wishes,
    name: Option<String>,
    domain: Option<&Domain>,
) -> Result<(), ImportFault> {
    let asked =
        |option, value: &String, expected| ImportFault::Wish { option, value: value.clone(), expected };
    if let Some(name) = wishes.name.as_ref().filter(|name| Domain::parse(name).is_err()) {
        return Err(asked("--name", name, "a host name"));
    }
    if let Some(mailbox) = wishes.postmaster.as_ref().filter(|one| Mailbox::parse(one).is_err()) {
        return Err(asked("--postmaster", mailbox, "a mailbox"));
    }
    let found = name.filter(|name| Domain::parse(name).is_ok_and(|name| name.parent().is_some()));
    sketch.data_dir = wishes.data_dir.clone();
    sketch.name = wishes.name.clone().or(found).unwrap_or_else(|| {
        let name = format!("gateway.{}", domain.map_or("invalid", Domain::as_str));
        sketch.remarks.push((
            "[server]".to_owned(),
            Leftover::new(
                "name",
                name.clone(),
                "the source does not have our name",
                "write it, or use --name",
            ),
        ));
        name
    });
    let at = domain.map_or(sketch.name.as_str(), Domain::as_str);
    sketch.postmaster = wishes.postmaster.clone().unwrap_or_else(|| format!("postmaster@{at}"));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let read =
            networks(text).map(|all| all.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "));
        assert_eq!(read.unwrap_or_else(|| "none".to_owned()), expected);
    }

    #[test]
    fn networks_are_read_in_every_form() {
        check("192.0.2.1", "192.0.2.1/32");
        check("192.0.2.77/24", "192.0.2.0/24");
        check("192.0.2.0/255.255.255.0", "192.0.2.0/24");
        check("192.0.2.1-192.0.2.4", "192.0.2.1/32 192.0.2.2/31 192.0.2.4/32");
        check("0.0.0.0-255.255.255.255", "0.0.0.0/0");
        check("::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "::/0");
        check("[2001:db8::]/32", "2001:db8::/32");
        check("[::ffff:127.0.0.0]/104", "127.0.0.0/8");
        check("192.0.2.9-192.0.2.1", "none");
        check("192.0.2.1-2001:db8::1", "none");
        check("mail.a.example", "none");
    }

    #[test]
    fn names_are_plain_and_unique() {
        let mut taken = BTreeSet::new();
        assert_eq!(unique("From \"Fabrikam\" (forced)", "x", &mut taken), "from-fabrikam-forced");
        assert_eq!(unique("from fabrikam forced", "x", &mut taken), "from-fabrikam-forced-2");
        assert_eq!(unique("→", "inbound", &mut taken), "inbound");
    }

    #[test]
    fn a_bound_domain_is_left_to_its_connector() {
        let pattern = |text| DomainPattern::parse(text).expect("a pattern");
        let of = |domain, binds| InboundSketch {
            from_domains: vec![pattern(domain)],
            binds,
            ..InboundSketch::default()
        };
        let mut inbound = [of("a.example", true), of("*", false), of("b.example", false)];
        except_bound(&mut inbound);
        let excepted: Vec<usize> = inbound.iter().map(|one| one.except_domains.len()).collect();
        assert_eq!(excepted, [0, 1, 0]);
    }
}
