//! The lab's configuration, as an operator would write it.

use std::net::SocketAddr;

use super::plan::{GATEWAY, ON_PREMISES, ORIGIN, OWN_DOMAIN, OWN_OCTET, PARTNER, address};

/// The configuration of the gateway; paths are relative to the state folder.
#[must_use]
pub fn text(port: u16, dns: SocketAddr) -> String {
    let (gateway, gateway_octet) = GATEWAY;
    let (partner, partner_host, _) = PARTNER;
    let outbound = outbound(port);
    let listen = address(gateway_octet);
    let own = address(OWN_OCTET);
    format!(
        r#"# Written by `sealpost lab`.
[server]
name = "{gateway}"
data_dir = "data"
postmaster = "postmaster@{OWN_DOMAIN}"

[certificate.gw]
chain = "tls/gw.crt"
key = "tls/gw.key"

[trust.lab]
anchors = "tls/lab-root.pem"

[trust.private]
anchors = "tls/private-root.pem"

[[listener]]
name = "lab"
address = ["{listen}:{port}"]
tls = "starttls"
certificate = "gw"

# Our own mail, from our own hosts, may go anywhere.
[[inbound]]
name = "own-out"
from_domains = ["{OWN_DOMAIN}"]
from_networks = ["{own}/32", "127.0.0.1/32"]
tls = "opportunistic"
to_domains = ["*"]

# The partner's mail comes sealed, by the partner's certificate, only for us.
[[inbound]]
name = "fabrikam-in"
from_domains = ["{partner}"]
tls = "forced"
peer_names = ["{partner_host}"]
trust = ["lab"]
to_domains = ["{OWN_DOMAIN}"]

{outbound}
[dns]
servers = ["{dns}"]
timeout = "2s"

[queue]
retry = ["1s", "2s"]

[timeouts]
connect = "2s"
command = "5s"
outbound_handshake = "5s"
"#
    )
}

/// The outbound connectors, from the least strict to the strictest.
fn outbound(port: u16) -> String {
    let (on_premises, _) = ON_PREMISES;
    format!(
        r#"[[outbound]]
name = "on-premises"
domains = ["{OWN_DOMAIN}"]
next_hop = ["{on_premises}:{port}"]
tls = "forced"
trust = ["lab"]

[[outbound]]
name = "internet"
domains = ["*"]
next_hop = "mx"
port = {port}
tls = "opportunistic"

# The certificate must present the recipient domain.
[[outbound]]
name = "sealed"
domains = ["*.sealed.{ORIGIN}"]
next_hop = "mx"
port = {port}
tls = "forced"
trust = ["lab"]
on_failure = "defer"

[[outbound]]
name = "mutual"
domains = ["mutual.{ORIGIN}"]
next_hop = "mx"
port = {port}
tls = "forced"
peer_names = ["mx.mutual.{ORIGIN}"]
trust = ["lab"]
client_certificate = "gw"

[[outbound]]
name = "private"
domains = ["private.{ORIGIN}"]
next_hop = "mx"
port = {port}
tls = "forced"
peer_names = ["*.private.{ORIGIN}"]
trust = ["private"]
"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::plan::OUTBOUND;

    #[test]
    fn it_is_toml_and_every_outbound_connector_has_a_case() {
        let dns = SocketAddr::from(([127, 0, 30, 53], 5353));
        let parsed: toml::Table = text(2525, dns).parse().expect("TOML");
        let connectors = parsed["outbound"].as_array().expect("connectors");
        for connector in connectors {
            let domain = connector["domains"][0].as_str().expect("a domain").trim_start_matches('*');
            assert!(domain == OWN_DOMAIN || OUTBOUND.iter().any(|c| c.domain.ends_with(domain)), "{domain}");
        }
        assert_eq!(connectors.len(), 5);
    }
}
