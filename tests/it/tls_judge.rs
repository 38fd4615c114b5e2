//! `explain` asked about the partners of the matrix: with the facts of a handshake, or with what the
//! partner does to STARTTLS, the program must come to what the relay logged.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;

use rustls::{NamedGroup, ProtocolVersion};
use sealpost::config::{self, Config};
use sealpost::connector::{TlsFacts, TlsVersion};
use sealpost::mail::Clock;
use sealpost::tls;
use serde_json::Value;

use crate::peer::daemon::PROGRAM;
use crate::peer::site::{MANY_LISTS, Site};
use crate::tls_matrix::Cell;

/// How many of these programs run side by side.
const AT_ONCE: usize = 2;

/// Says of each cell where `explain` and the relay part, and how many it was asked about.
pub(crate) fn disagreements(
    site: &Site,
    cells: &[Cell],
    told: &BTreeMap<String, Value>,
) -> (usize, Vec<String>) {
    let config = config::load(&site.home.config()).expect("a configuration");
    let mut questions = Vec::new();
    for cell in cells {
        let Some(did) = told[&cell.recipient()]["token"].as_str() else { continue };
        // What the host does to STARTTLS is known from the plainest requirement.
        let plainest = &told[&cell.recipient_under("encryption")];
        let Some((arguments, by_facts)) = arguments(site, &config, cell, plainest) else { continue };
        questions.push((cell, did, by_facts, command(site, cell, &arguments)));
    }
    let count = questions.len();
    let mut faults = Vec::new();
    for some in questions.chunks_mut(AT_ONCE) {
        let running: Vec<_> = some.iter_mut().map(|(.., command)| command.spawn().unwrap()).collect();
        for ((cell, did, by_facts, _), child) in some.iter().zip(running) {
            let output = child.wait_with_output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            let answer: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{said}"));
            let token = answer["outbound"]["decisions"][0]["token"].as_str().unwrap_or("none").to_owned();
            // The server's end may have completed a handshake whose signature we then refused, or
            // refused us; a rehearsal goes on there and says so.
            let later = *by_facts && ["handshake-broken", "audit-key-not-proved"].contains(did);
            if token != **did && !later {
                faults.push(format!("{}: explain says {token}, the relay {did}", cell.recipient()));
            }
        }
    }
    (count, faults)
}

/// What to ask, and whether it is asked with the facts of a handshake.
fn arguments(site: &Site, config: &Config, cell: &Cell, plainest: &Value) -> Option<(Vec<String>, bool)> {
    let with = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    if plainest["token"] == "tls-session-lost" {
        return Some((with(&["--starttls", "lost"]), false));
    }
    if let Some((version, group)) = cell.sink.read(|log| log.agreed) {
        let file = site.home.path().join(format!("{}.json", cell.recipient()));
        let facts = serde_json::to_string(&facts(config, cell, version, group)).unwrap();
        std::fs::write(&file, facts).unwrap();
        return Some((with(&["--facts", file.to_str().unwrap()]), true));
    }
    let over_ours = plainest["because"].as_str().is_some_and(|why| why.contains("client certificate"));
    let starttls = match plainest["token"].as_str() {
        Some("starttls-not-offered") => "not-offered",
        Some("starttls-refused") => "refused",
        Some("handshake-broken") if over_ours => "ours-refused",
        Some("handshake-broken") => "broken",
        Some(_) | None => return None,
    };
    Some((with(&["--starttls", starttls]), false))
}

/// A configuration with this requirement alone: the large one would take long to read each time.
fn command(site: &Site, cell: &Cell, arguments: &[String]) -> Command {
    let file: PathBuf = site.home.path().join(format!("explain-{}.toml", cell.requirement_id()));
    if !file.exists() {
        let text = format!(
            "[server]\nname = \"gw.test\"\ndata_dir = \"data\"\npostmaster = \"p@gw.test\"\n\n\
             [trust.partners]\nanchors = \"partners.pem\"\n{MANY_LISTS}\
             [[outbound]]\nname = \"all\"\ndomains = [\"*\"]\nnext_hop = \"mx\"\n{}",
            cell.keys
        );
        std::fs::write(&file, text).unwrap();
    }
    let mut command = Command::new(PROGRAM);
    command.arg("explain").arg("--config").arg(file).args(["--json", "--to", &cell.recipient()]);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn facts(config: &Config, cell: &Cell, version: ProtocolVersion, group: NamedGroup) -> TlsFacts {
    let sets: Vec<_> = config.trust.iter().map(|(id, set)| (id.clone(), Arc::clone(set))).collect();
    let (version, suite) = if version == ProtocolVersion::TLSv1_3 {
        (TlsVersion::V13, "TLS_AES_256_GCM_SHA384")
    } else {
        (TlsVersion::V12, "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384")
    };
    TlsFacts {
        at: Clock::wall(),
        version,
        suite: suite.to_owned(),
        group: format!("{group:?}"),
        peer: tls::assess(&cell.chain, true, &sets, tls::Usage::Server, Clock::wall()),
        sni: None,
        client_certificate: None,
        own_sha256: None,
    }
}
