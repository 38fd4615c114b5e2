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
    let (inbound, outbound) = (inbound(pins), outbound(port, pins));
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

{inbound}
{outbound}
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
from_domains = ["fabrikam.lab.test"]
listeners = ["outside"]
tls = "forced"
peer_names = ["{partner_name}"]
trust = ["lab"]
to_domains = ["{OWN_DOMAIN}"]

# Partners whose certificates will not do.
[[inbound]]
name = "partners-in"
from_domains = ["*.partners.lab.test"]
listeners = ["outside"]
tls = "forced"
peer_names = ["*.partners.lab.test"]
trust = ["lab"]
to_domains = ["{OWN_DOMAIN}"]

# A partner that renews its key: both are accepted until all of its hosts have the new one.
[[inbound]]
name = "renewal-in"
from_domains = ["*.renewal.lab.test"]
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

fn outbound(port: u16, pins: &[String; 2]) -> String {
    let (onprem, cloud, partner) = (LabHost::Onprem.name(), LabHost::Cloud.name(), LabHost::Partner.name());
    let pins = shown(pins);
    format!(
        r#"[[outbound]]
name = "onprem-out"
domains = ["{OWN_DOMAIN}"]
next_hop = ["{onprem}:{port}"]
tls = "forced"
trust = ["lab"]
client_certificate = "gw"

# Centralised transport: what Exchange Online sends to others, Exchange Server sends on.
[[outbound]]
name = "central"
domains = ["*", "fabrikam.lab.test", "*.partners.lab.test", "*.renewal.lab.test"]
from_connectors = ["cloud-in"]
next_hop = ["{onprem}:{port}"]
tls = "forced"
trust = ["lab"]
client_certificate = "gw"

[[outbound]]
name = "cloud-out"
domains = ["{ROUTING_DOMAIN}", "{CLOUD_DOMAIN}"]
next_hop = ["{cloud}:{port}"]
tls = "forced"
peer_names = ["{CLOUD_CERTIFICATE}"]
trust = ["lab"]
client_certificate = "gw"

[[outbound]]
name = "fabrikam-out"
domains = ["fabrikam.lab.test"]
next_hop = "mx"
port = {port}
tls = "forced"
peer_names = ["{partner}"]
trust = ["lab"]

# The certificate must present the recipient domain.
[[outbound]]
name = "partners-out"
domains = ["*.partners.lab.test"]
next_hop = "mx"
port = {port}
tls = "forced"
trust = ["lab"]

[[outbound]]
name = "renewal-out"
domains = ["*.renewal.lab.test"]
next_hop = "mx"
port = {port}
tls = "forced"
pins = {pins}
trust = ["lab"]

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
