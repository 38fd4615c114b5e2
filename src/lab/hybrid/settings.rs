//! The configuration of the hybrid lab's gateway. Only ports, addresses, names and the last section are
//! the lab's own.

use std::net::SocketAddr;

use super::hosts::{
    CLOUD_CERTIFICATE, CLOUD_DOMAIN, GATEWAY_NAME, INSIDE, LabHost, NAME_SERVER, OUTSIDE, OWN_DOMAIN,
    ROUTING_DOMAIN,
};

/// The configuration; `pins` are the old and the new key of the partner that renews its own.
#[must_use]
pub fn text(port: u16, dns: SocketAddr, pins: &[String; 2]) -> String {
    let (inbound, exchange, others) = (inbound(pins), exchange(port), others(port, pins));
    format!(
        r#"# Written by `sealpost lab hybrid`: one gateway for the internet, Exchange Server, Exchange Online and
# partners. docs/lab.md says what to change before it goes into production.
[server]
name = "{GATEWAY_NAME}"
data_dir = "data"
postmaster = "postmaster@{OWN_DOMAIN}"

# Exchange Online and Exchange Server know us by the name in this certificate.
[certificate.gw]
chain = "tls/gw.crt"
key = "tls/gw.key"

# In production: "system".
[trust.lab]
anchors = "tls/lab-root.pem"
crl = ["tls/lab.crl"]

[[listener]]
name = "outside"
address = "{OUTSIDE}:{port}"
tls = "starttls"
certificate = "gw"

[[listener]]
name = "inside"
address = "{INSIDE}:{port}"
tls = "starttls"
certificate = "gw"

[[partner]]
name = "fabrikam"
domains = ["fabrikam.lab.test", "*.fabrikam.lab.test"]
contact = "mail@fabrikam.lab.test"

# Partners whose certificates will not do.
[[partner]]
name = "untidy"
domains = ["partners.lab.test", "*.partners.lab.test"]

# A partner that renews its key: both are accepted until all of its hosts have the new one.
[[partner]]
name = "renewing"
domains = ["renewal.lab.test", "*.renewal.lab.test"]

{inbound}
{exchange}
{others}
# The lab's own: short waits, and its name server at {NAME_SERVER}.
[dns]
servers = ["{dns}"]
timeout = "2s"

[queue]
retry = ["1s"]

[timeouts]
connect = "2s"
command = "2s"
outbound_handshake = "5s"
"#
    )
}

fn inbound(pins: &[String; 2]) -> String {
    let (onprem, onprem_name) = (LabHost::Onprem.address(), LabHost::Onprem.name());
    let partner_name = LabHost::Partner.name();
    let pins = shown(pins);
    format!(
        r#"# Exchange Online, by its certificate. What is for others goes to Exchange Server: see "central".
[[inbound]]
name = "cloud-in"
kind = "own"
listeners = ["outside"]
tls = "forced"
peer_names = ["{CLOUD_CERTIFICATE}"]
trust = ["lab"]
to_domains = ["*"]
# All tenants present this certificate: only fields of our own one mean something.
headers = "promote"
originators = ["{OWN_DOMAIN}", "{ROUTING_DOMAIN}", "{CLOUD_DOMAIN}"]

# Exchange Server, by its network and its certificate.
[[inbound]]
name = "onprem-in"
kind = "own"
listeners = ["inside"]
from_networks = ["{onprem}/32"]
tls = "forced"
peer_names = ["{onprem_name}"]
trust = ["lab"]
to_domains = ["*"]

[[inbound]]
name = "fabrikam-in"
partner = "fabrikam"
listeners = ["outside"]
tls = "forced"
peer_names = ["{partner_name}"]
trust = ["lab"]
to_domains = ["{OWN_DOMAIN}"]

[[inbound]]
name = "untidy-in"
partner = "untidy"
listeners = ["outside"]
tls = "forced"
peer_names = ["*.partners.lab.test"]
trust = ["lab"]
to_domains = ["{OWN_DOMAIN}"]

[[inbound]]
name = "renewing-in"
partner = "renewing"
listeners = ["outside"]
tls = "forced"
peer_names = ["*.renewal.lab.test"]
pins = {pins}
trust = ["lab"]
to_domains = ["{OWN_DOMAIN}"]

[[inbound]]
name = "internet-in"
from_domains = ["*"]
except_domains = ["{OWN_DOMAIN}", "*.{OWN_DOMAIN}", "{CLOUD_DOMAIN}", "{ROUTING_DOMAIN}"]
listeners = ["outside"]
tls = "opportunistic"
to_domains = ["{OWN_DOMAIN}", "{CLOUD_DOMAIN}"]
"#
    )
}

/// To our own Exchange.
fn exchange(port: u16) -> String {
    let (onprem, cloud) = (LabHost::Onprem.name(), LabHost::Cloud.name());
    format!(
        r#"# Exchange Server promotes what comes with this certificate (TlsDomainCapabilities).
[[outbound]]
name = "onprem-out"
domains = ["{OWN_DOMAIN}", "*.{OWN_DOMAIN}"]
next_hop = ["{onprem}:{port}"]
tls = "forced"
trust = ["lab"]
client_certificate = "gw"
headers = "promote"

# Centralised transport: what Exchange Online sends to others, Exchange Server sends on.
[[outbound]]
name = "central"
domains = [
  "*", "fabrikam.lab.test", "*.fabrikam.lab.test", "partners.lab.test", "*.partners.lab.test",
  "renewal.lab.test", "*.renewal.lab.test",
]
from_connectors = ["cloud-in"]
next_hop = ["{onprem}:{port}"]
tls = "forced"
trust = ["lab"]
client_certificate = "gw"
headers = "promote"

[[outbound]]
name = "cloud-out"
domains = ["{ROUTING_DOMAIN}", "*.{ROUTING_DOMAIN}", "{CLOUD_DOMAIN}", "*.{CLOUD_DOMAIN}"]
next_hop = ["{cloud}:{port}"]
tls = "forced"
peer_names = ["{CLOUD_CERTIFICATE}"]
trust = ["lab"]
client_certificate = "gw"
headers = "promote"
"#
    )
}

/// To everybody else.
fn others(port: u16, pins: &[String; 2]) -> String {
    let (partner, pins) = (LabHost::Partner.name(), shown(pins));
    format!(
        r#"[[outbound]]
name = "fabrikam-out"
partner = "fabrikam"
next_hop = "mx"
port = {port}
tls = "forced"
peer_names = ["{partner}"]
trust = ["lab"]

# The certificate must present the recipient domain.
[[outbound]]
name = "untidy-out"
partner = "untidy"
next_hop = "mx"
port = {port}
tls = "forced"
trust = ["lab"]

[[outbound]]
name = "renewing-out"
partner = "renewing"
next_hop = "mx"
port = {port}
tls = "forced"
pins = {pins}
trust = ["lab"]

# The internet gets no field of our Exchange: the firewall is the default.
[[outbound]]
name = "internet-out"
domains = ["*"]
next_hop = "mx"
port = {port}
tls = "opportunistic"
"#
    )
}

fn shown([old, new]: &[String; 2]) -> String {
    format!("[\"{old}\", \"{new}\"]")
}
