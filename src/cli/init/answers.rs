//! What `init` has to know, and how each answer is read. Pure: the same for flags and for what a person types.

use std::net::IpAddr;
use std::path::PathBuf;

use ipnet::IpNet;

use crate::config;
use crate::connector::{SmartHost, SmartHostName};
use crate::mail::Domain;

/// The answers to the five questions.
#[derive(Debug)]
pub(super) struct InitAnswers {
    /// Our host name.
    pub(super) name: Domain,
    /// Our domains; at least one.
    pub(super) domains: Vec<Domain>,
    /// The server with their mailboxes.
    pub(super) mailbox_host: SmartHost,
    /// Where our own servers are, whose mail goes anywhere.
    pub(super) networks: Vec<OwnNetwork>,
    /// Where mail for all other domains goes.
    pub(super) next_hop: Elsewhere,
    /// Our certificate.
    pub(super) certificate: FirstCertificate,
}

/// A network, or a single address, as `from_networks` writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OwnNetwork(pub(super) String);

/// Where mail for all other domains goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Elsewhere {
    /// To the MX hosts of each domain.
    Mx,
    /// To a smart host.
    Host(SmartHost),
}

/// Where our certificate comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum FirstCertificate {
    /// These files, where they are, so that a renewal there is noticed.
    Files { chain: PathBuf, key: PathBuf },
    /// A new one, signed by itself.
    SelfSigned,
}

pub(super) fn domain(text: &str) -> Result<Domain, String> {
    Domain::parse(text).map_err(|fault| format!("\"{text}\" is not a domain: {fault}"))
}

pub(super) fn mailbox_host(text: &str) -> Result<SmartHost, String> {
    if text.eq_ignore_ascii_case("mx") {
        return Err("name the server itself: the MX host of our own domains is this server".to_owned());
    }
    config::host_and_port(text, PORT_SMTP)
}

pub(super) fn elsewhere(text: &str) -> Result<Elsewhere, String> {
    if text.eq_ignore_ascii_case("mx") {
        return Ok(Elsewhere::Mx);
    }
    config::host_and_port(text, PORT_SMTP).map(Elsewhere::Host)
}

pub(super) fn network(text: &str) -> Result<OwnNetwork, String> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(OwnNetwork(address.to_string()));
    }
    let network: IpNet = text.parse().map_err(|_| {
        format!("\"{text}\" is not a network or an address; write one such as 192.0.2.0/24 or 192.0.2.9")
    })?;
    if network.prefix_len() == 0 {
        return Err(format!(
            "{text} is every address, and whoever is there may send to anyone; write the networks of our own servers"
        ));
    }
    if network.addr() != network.network() {
        let whole = network.trunc();
        return Err(format!("{text} is an address inside {whole}; write {whole}, or {}", network.addr()));
    }
    Ok(OwnNetwork(network.to_string()))
}

/// Several answers in one line, with commas or spaces between them.
pub(super) fn each<T>(text: &str, one: impl Fn(&str) -> Result<T, String>) -> Result<Vec<T>, String> {
    let words = text.split([',', ' ']).filter(|word| !word.is_empty());
    words.map(one).collect()
}

/// A host as `next_hop` writes it.
pub(super) fn host_text(host: &SmartHost) -> String {
    match &host.name {
        SmartHostName::Ip(ip) => format!("[{ip}]:{}", host.port),
        SmartHostName::Name(name) => format!("{name}:{}", host.port),
    }
}

const PORT_SMTP: u16 = 25;

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let read = network(text).map_or_else(|why| why, |network| network.0);
        assert!(read.contains(expected), "{text}: {read}");
    }

    #[test]
    fn networks_are_our_own_and_nobody_elses() {
        check("192.0.2.0/24", "192.0.2.0/24");
        check("192.0.2.9", "192.0.2.9");
        check("2001:DB8::/32", "2001:db8::/32");
        check("::1", "::1");
        check("0.0.0.0/0", "is every address");
        check("::/0", "is every address");
        check("192.0.2.9/24", "write 192.0.2.0/24, or 192.0.2.9");
        check("exchange.contoso.example", "is not a network");
    }

    #[test]
    fn the_next_hop_of_our_domains_is_a_host_and_the_others_may_be_found_by_mx() {
        assert!(mailbox_host("mx").is_err_and(|why| why.contains("name the server itself")));
        assert_eq!(mailbox_host("192.0.2.10").map(|host| host_text(&host)), Ok("[192.0.2.10]:25".to_owned()));
        assert_eq!(elsewhere("MX"), Ok(Elsewhere::Mx));
        let host = elsewhere("Smtp.provider.example:587").map(|hop| match hop {
            Elsewhere::Mx => "mx".to_owned(),
            Elsewhere::Host(host) => host_text(&host),
        });
        assert_eq!(host, Ok("smtp.provider.example:587".to_owned()));
    }

    #[test]
    fn a_list_has_commas_or_spaces() {
        let read = each("a.example, b.example c.example,", domain).expect("domains");
        assert_eq!(
            read.iter().map(Domain::as_str).collect::<Vec<_>>(),
            ["a.example", "b.example", "c.example"]
        );
        assert!(each("a.example,b_.example/", domain).is_err());
        assert_eq!(each("", domain), Ok(Vec::new()));
    }
}
