//! The first configuration, from the answers. Pure; whether it is valid is for `config` to say.

use std::net::SocketAddr;
use std::path::Path;

use super::answers::{Elsewhere, InitAnswers, OwnNetwork, host_text};
use super::token::ConsolePlace;
use crate::import::quoted;

/// What the answers do not say.
pub(super) struct Surroundings<'a> {
    pub(super) data_dir: &'a Path,
    pub(super) listen: &'a [SocketAddr],
    pub(super) postmaster: &'a str,
    /// Where the console listens, and the path of its token file, if it does.
    pub(super) console: Option<(&'a ConsolePlace, &'a str)>,
    /// The paths of our certificate and key, as they are written.
    pub(super) certificate: (&'a str, &'a str),
}

/// The text of `sealpost.toml`.
pub(super) fn compose(answers: &InitAnswers, around: &Surroundings<'_>) -> String {
    let domains: Vec<&str> = answers.domains.iter().map(crate::mail::Domain::as_str).collect();
    let elsewhere = match &answers.next_hop {
        Elsewhere::Mx => quoted("mx"),
        Elsewhere::Host(host) => list([host_text(host)]),
    };
    let (chain, key) = around.certificate;
    format!(
        "\
# Made by sealpost init. After each change: sealpost check, then sealpost reload.
# The chapters Configuration (every key) and Your first partner (forced TLS) of the manual say what can follow.

[server]
name = {name}
data_dir = {data_dir}
postmaster = {postmaster}

{console}[certificate.gw]
chain = {chain}
key = {key}

[[listener]]
name = \"smtp\"
address = {listen}
tls = \"starttls\"
certificate = \"gw\"

[[inbound]]                                  # our own servers send to anyone
name = \"own-in\"
kind = \"own\"
from_networks = {networks}
tls = \"opportunistic\"
to_domains = [\"*\"]

[[inbound]]                                  # everybody else sends to us, only to us, and not in our name
name = \"internet-in\"
from_domains = [\"*\"]
except_domains = {ours}
tls = \"opportunistic\"
to_domains = {domains}

[[outbound]]                                 # our own domains go to the server with the mailboxes
name = \"own-out\"
domains = {domains}
next_hop = {mailboxes}
tls = \"opportunistic\"

[[outbound]]                                 # the rest of the world: encrypted if offered
name = \"internet-out\"
domains = [\"*\"]
next_hop = {elsewhere}
tls = \"opportunistic\"
",
        name = quoted(answers.name.as_str()),
        data_dir = quoted(&around.data_dir.display().to_string()),
        postmaster = quoted(around.postmaster),
        console = around.console.map(console).unwrap_or_default(),
        chain = quoted(chain),
        key = quoted(key),
        listen = list(around.listen.iter().map(ToString::to_string)),
        networks = list(answers.networks.iter().map(|OwnNetwork(text)| text.clone())),
        ours = list(in_our_name(&domains)),
        domains = list(domains.iter().map(ToString::to_string)),
        mailboxes = list([host_text(&answers.mailbox_host)]),
    )
}

fn console((place, tokens): (&ConsolePlace, &str)) -> String {
    let place = match place {
        ConsolePlace::Port(address) => format!("listen = {}", quoted(&address.to_string())),
        ConsolePlace::Socket(path) => format!("socket = {}", quoted(&path.display().to_string())),
    };
    format!(
        "[admin]                                      # the console and the API, for whoever has a token\n{place}\n\
         token_file = {}\n\n",
        quoted(tokens)
    )
}

/// Our domains and what is below them, each once.
fn in_our_name(domains: &[&str]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for name in domains.iter().flat_map(|domain| [(*domain).to_owned(), format!("*.{domain}")]) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

fn list(items: impl IntoIterator<Item = String>) -> String {
    let items: Vec<String> = items.into_iter().map(|item| quoted(&item)).collect();
    format!("[{}]", items.join(", "))
}
