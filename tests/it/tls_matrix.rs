//! Every kind of partner against every requirement, in both directions. Under forced TLS not one
//! octet of an envelope or of content may reach a partner that does not meet the requirement.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::peer::behaviour::{self, Behaviour, Make, Requirement};
use crate::peer::daemon::Daemon;
use crate::peer::sink::Sink;
use crate::peer::site::{IDENTITY, OPPORTUNISTIC, Site, outbound};
use crate::peer::source::Source;
use crate::peer::workshop::Workshop;
use crate::peer::{LONG, eventually, left_out, mix, tools};

/// What an outbound connector can demand.
pub(crate) const OUTBOUND: &[Requirement] = &[
    Requirement {
        id: "opportunistic",
        words: "TLS if offered, nothing of it judged",
        groups: &[],
        keys: OPPORTUNISTIC,
    },
    Requirement {
        id: "encryption",
        words: "`require = \"encryption\"`",
        groups: &["forced"],
        keys: "tls = \"forced\"\nrequire = \"encryption\"\n",
    },
    Requirement {
        id: "chain",
        words: "`require = \"chain\"`",
        groups: &["forced", "chain"],
        keys: "tls = \"forced\"\nrequire = \"chain\"\ntrust = [\"partners\"]\n",
    },
    Requirement {
        id: "identity",
        words: "`require = \"identity\"` with the name `mail.partner.test`",
        groups: &["forced", "chain", "name"],
        keys: IDENTITY,
    },
    Requirement {
        id: "identity-1.3",
        words: "that, with `min_version = \"1.3\"`",
        groups: &["forced", "chain", "name"],
        keys: "tls = \"forced\"\nrequire = \"identity\"\npeer_names = [\"mail.partner.test\"]\n\
               trust = [\"partners\"]\nmin_version = \"1.3\"\n",
    },
];

/// Each message is tried once; who says nothing is not waited for long; and the log is for us.
const SETTINGS: &str = "[queue]\nretry = [\"1h\"]\n\n[log]\nformat = \"json\"\n\n\
    [timeouts]\noutbound_handshake = \"6s\"\nreuse = \"1s\"\n\n[limits]\noutbound_connections = 1000\n\n";

/// One kind of partner under one requirement.
struct Cell {
    name: String,
    sink: Sink,
    requirement: &'static Requirement,
    expected: &'static str,
}

/// Those of the behaviours that can be made here.
pub(crate) fn possible(test: &str, mut all: Vec<Behaviour>) -> Vec<Behaviour> {
    if tools::program("openssl").is_none() {
        left_out(test, "openssl is not installed; its certificates are not tried");
        all.retain(|behaviour| !matches!(behaviour.make, Make::ByOpenssl(_)));
    }
    all
}

/// A sink for each cell, and the connectors to them.
async fn cells(site: &Site, behaviours: &[Behaviour]) -> (Vec<Cell>, String) {
    let workshop = Workshop::new(&site.partners);
    let (mut cells, mut config) = (Vec::new(), String::new());
    for behaviour in behaviours {
        let manner = behaviour.manner(&workshop);
        for requirement in OUTBOUND {
            let sink = Sink::start(manner.clone()).await;
            let name = format!("{}--{}", behaviour.id, requirement.id).replace('.', "-");
            config += &outbound(&name, &format!("{name}.test"), sink.address, requirement.keys);
            let expected = behaviour.expected_outbound(requirement);
            cells.push(Cell { name, sink, requirement, expected });
        }
    }
    (cells, config)
}

impl Cell {
    fn recipient(&self) -> String {
        format!("bob@{}.test", self.name)
    }

    /// What became of its message: as it was logged, and as the partner saw it.
    fn outcome(&self, told: &Value) -> String {
        if told["message"] == "delivered" {
            let first = self.sink.arrived().remove(0);
            let token = told["token"].as_str().unwrap_or_default();
            let agrees = token.starts_with("clear-") != first.sealed;
            let word = if first.sealed { "sealed" } else { "clear" };
            return if agrees { word.to_owned() } else { format!("{word}, logged as {token}") };
        }
        let shortfall = told["token"].as_str().filter(|token| is_shortfall(token));
        shortfall.or(told["status"].as_str()).unwrap_or("neither token nor status").to_owned()
    }
}

/// Other words say that a session was as it should be.
fn is_shortfall(token: &str) -> bool {
    !["met", "sealed"].contains(&token) && !token.starts_with("clear-")
}

/// What the log says came of each message, by its recipient.
pub(crate) fn told(log: &str) -> BTreeMap<String, Value> {
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let ends = lines.filter(|line| {
        ["delivered", "deferred", "failed"].contains(&line["message"].as_str().unwrap_or_default())
    });
    ends.filter_map(|line| Some((line["forward_path"].as_str()?.to_owned(), line.clone()))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_partner_against_every_requirement() {
    let site = Site::new();
    let behaviours = possible("tls_matrix::every_partner_against_every_requirement", behaviour::all());
    let (cells, config) = cells(&site, &behaviours).await;
    let daemon = site.start(&format!("{SETTINGS}{config}")).await;
    let message = |cell: &Cell| mix::plain(&cell.name, 1, 200, "ada@a.test", &cell.recipient()).remove(0);
    Source::clear(daemon.at("in"), 4).send_all(cells.iter().map(message).collect()).await;
    let told = everything_told(&daemon, &cells).await;
    let mut faults = Vec::new();
    for cell in &cells {
        let came = cell.outcome(&told[&cell.recipient()]);
        if came != cell.expected {
            let why = &told[&cell.recipient()];
            faults.push(format!("{}: expected {}, came {came}: {why}", cell.name, cell.expected));
        }
        if cell.requirement.groups.contains(&"forced") {
            cell.sink.assert_nothing_in_clear();
        }
    }
    assert!(faults.is_empty(), "{} of {}:\n{}", faults.len(), cells.len(), faults.join("\n"));
}

async fn everything_told(daemon: &Daemon, cells: &[Cell]) -> BTreeMap<String, Value> {
    eventually("an end of every message", LONG, async || {
        let told = told(&daemon.log());
        cells.iter().all(|cell| told.contains_key(&cell.recipient())).then_some(told)
    })
    .await
}
