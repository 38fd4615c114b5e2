//! The configuration of the tour's gateway, as an operator would write it.

use std::net::SocketAddr;

use super::script::{GATEWAY, INTERNET, MAIL_SERVER, OWN_DOMAIN, PARTNERS, TourPartner, address};
use crate::mail::{UnixMillis, rfc3339};

/// What the configuration depends on.
pub(super) struct TourFacts {
    /// The port of the gateway and of all mail servers.
    pub(super) port: u16,
    pub(super) dns: SocketAddr,
    /// Seconds after which mail is tried again, first and later.
    pub(super) retry: (u32, u32),
    /// When to talk to one of the partners again.
    pub(super) review: UnixMillis,
}

/// The file; paths are relative to its folder.
pub(super) fn text(facts: &TourFacts) -> String {
    let mut text = format!("{}{}", site(facts), everybody(facts.port));
    for partner in PARTNERS.iter().filter(|one| one.connector != INTERNET) {
        text.push_str(&agreed(partner, facts));
    }
    text
}

/// What is not about connectors.
fn site(facts: &TourFacts) -> String {
    let TourFacts { port, dns, retry: (first, later), .. } = facts;
    format!(
        r#"# Written by `sealpost lab --console`.
[server]
name = "{gateway}"
data_dir = "data"
postmaster = "postmaster@{OWN_DOMAIN}"

[admin]
listen = "127.0.0.1:0"
token_file = "tokens"

[alerts]
to = ["admin@{OWN_DOMAIN}"]
unforced_after = "30s"
digest = "1m"

[watch]
mode = "on"
every = "10m"

[certificate.gw]
chain = "tls/gw.crt"
key = "tls/gw.key"

[trust.partners]
anchors = "tls/partners.pem"

[trust.court]
anchors = "tls/court.pem"

[[listener]]
name = "internet"
address = ["{listen}:{port}"]
tls = "starttls"
certificate = "gw"

[dns]
servers = ["{dns}"]
timeout = "2s"

[queue]
retry = ["{first}s x6", "{later}s"]

[timeouts]
connect = "3s"
command = "5s"
outbound_handshake = "5s"

"#,
        gateway = GATEWAY.0,
        listen = address(GATEWAY.1),
    )
}

/// The connectors for our own mail server, and for everybody without an agreement.
fn everybody(port: u16) -> String {
    format!(
        r#"# Our own mail server: its mail may go anywhere.
[[inbound]]
name = "staff-in"
kind = "own"
from_networks = ["{staff}/32", "127.0.0.1/32"]
tls = "opportunistic"
to_domains = ["*"]

[[outbound]]
name = "staff"
domains = ["{OWN_DOMAIN}"]
next_hop = ["{mail_server}:{port}"]
tls = "forced"
trust = ["partners"]

# Everybody else.
[[inbound]]
name = "internet-in"
from_domains = ["*"]
except_domains = ["{OWN_DOMAIN}"]
tls = "opportunistic"
to_domains = ["{OWN_DOMAIN}"]

[[outbound]]
name = "internet"
domains = ["*"]
next_hop = "mx"
port = {port}
tls = "opportunistic"
"#,
        staff = address(MAIL_SERVER.1),
        mail_server = MAIL_SERVER.0,
    )
}

/// A partner with its connectors.
fn agreed(partner: &TourPartner, facts: &TourFacts) -> String {
    let (contact, note, strict) = terms(partner);
    let (TourPartner { name, domain, connector, .. }, port) = (partner, facts.port);
    let review = rfc3339(facts.review);
    let review = match partner.connector {
        "clinic" => format!("review = \"{}\"\n", review.get(..10).unwrap_or(&review)),
        _ => String::new(),
    };
    // Of clients the name is wanted in any case: who has no name could be anybody. The profile is that of our own sessions: what a
    // client offers, a profile of the listener would limit.
    let named = format!("peer_names = [\"{}\"]\n", partner.host());
    let of_clients = strict.replace("require = \"chain\"\n", &named).replace(PROFILE, "");
    format!(
        "\n[[partner]]\nname = \"{name}\"\ndomains = [\"{domain}\"]\ncontact = \"{contact}\"\nnote = \"{note}\"\n{review}\
         \n[[outbound]]\nname = \"{connector}\"\npartner = \"{name}\"\nnext_hop = \"mx\"\nport = {port}\n{strict}\
         \n[[inbound]]\nname = \"{connector}-in\"\npartner = \"{name}\"\n{of_clients}to_domains = [\"{OWN_DOMAIN}\"]\n"
    )
}

/// Contact, note, and what is required of a partner.
fn terms(partner: &TourPartner) -> (String, &'static str, String) {
    let postmaster = format!("postmaster@{}", partner.domain);
    let named = |trust: &str| {
        format!("tls = \"forced\"\npeer_names = [\"{}\"]\ntrust = [\"{trust}\"]\n", partner.host())
    };
    match partner.connector {
        "bank" => (
            format!("{postmaster}, +49 30 5550 100"),
            "Renews its certificate each March.",
            named("partners"),
        ),
        "clinic" => {
            (postmaster, "Patients' data: profile of the BSI.", format!("{}{PROFILE}", named("partners")))
        }
        "court" => (postmaster, "Certificates of its own authority.", named("court")),
        "insurer" => (
            format!("{postmaster}, +49 89 5550 200"),
            "Any name below their authority.",
            "tls = \"forced\"\nrequire = \"chain\"\ntrust = [\"partners\"]\n".to_owned(),
        ),
        _ => (postmaster, "TLS is not agreed on yet.", "tls = \"opportunistic\"\n".to_owned()),
    }
}

/// What a partner has agreed on with us.
const PROFILE: &str = "profile = \"bsi-tr-02102-2-2025\"\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_partner_has_connectors_of_both_directions() {
        let dns = SocketAddr::from(([127, 0, 32, 53], 5353));
        let facts = TourFacts { port: 2525, dns, retry: (5, 10), review: UnixMillis(1_800_000_000_000) };
        let parsed: toml::Table = text(&facts).parse().expect("TOML");
        let of = |section: &str, name: &str| {
            let all = parsed[section].as_array().expect("a list");
            all.iter().any(|one| one.get("partner").and_then(toml::Value::as_str) == Some(name))
        };
        for partner in parsed["partner"].as_array().expect("partners") {
            let name = partner["name"].as_str().expect("a name");
            assert!(of("inbound", name) && of("outbound", name), "{name}");
        }
        assert_eq!(parsed["partner"].as_array().expect("partners").len(), 5);
    }
}
