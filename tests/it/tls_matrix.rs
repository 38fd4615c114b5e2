//! Every kind of partner against every requirement, in both directions. Under forced TLS not one
//! octet of an envelope or of content may reach a partner that does not meet the requirement.

use std::collections::BTreeMap;

use rustls::pki_types::CertificateDer;
use serde_json::Value;

use crate::peer::behaviour::{self, Behaviour, Make, Requirement};
use crate::peer::daemon::Daemon;
use crate::peer::sink::{Manner, Sink};
use crate::peer::site::{IDENTITY, OPPORTUNISTIC, Site, outbound};
use crate::peer::source::Source;
use crate::peer::workshop::{ORGANISATION, Workshop};
use crate::peer::{LONG, eventually, left_out, mix, tools};
use crate::tls_judge;

/// What an outbound connector can demand.
pub(crate) const OUTBOUND: &[Requirement] = &[
    Requirement { id: "off", words: "TLS is not asked for", groups: &[], keys: "tls = \"off\"\n" },
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
    Requirement {
        id: "audit",
        words: "`mode = \"audit\"` with `identity`",
        groups: &[],
        keys: "tls = \"forced\"\nrequire = \"identity\"\npeer_names = [\"mail.partner.test\"]\ntrust = [\"partners\"]\nmode = \"audit\"\n",
    },
    Requirement {
        id: "allow-cn",
        words: "`identity`, with `allow_cn`",
        groups: &["forced", "chain", "name"],
        keys: "tls = \"forced\"\nrequire = \"identity\"\npeer_names = [\"mail.partner.test\"]\ntrust = [\"partners\"]\nallow_cn = true\n",
    },
    Requirement {
        id: "pin",
        words: "`encryption`, with a pin of the good certificate's key",
        groups: &["forced"],
        keys: "tls = \"forced\"\nrequire = \"encryption\"\npins = [\"PIN\"]\n",
    },
    Requirement {
        id: "subject",
        words: "`chain`, with `organisation`",
        groups: &["forced", "chain"],
        keys: "tls = \"forced\"\nrequire = \"chain\"\ntrust = [\"partners\"]\norganisation = [\"ORGANISATION\"]\n",
    },
    Requirement {
        id: "issuer",
        words: "`chain`, with `issuer`",
        groups: &["forced", "chain"],
        keys: "tls = \"forced\"\nrequire = \"chain\"\ntrust = [\"partners\"]\nissuer = [\"partners\"]\n",
    },
    Requirement {
        id: "post-quantum",
        words: "`encryption`, with `key_exchange = \"post-quantum\"`",
        groups: &["forced"],
        keys: "tls = \"forced\"\nrequire = \"encryption\"\nkey_exchange = \"post-quantum\"\n",
    },
    Requirement {
        id: "classic",
        words: "`encryption`, with `key_exchange = \"classic\"`",
        groups: &["forced"],
        keys: "tls = \"forced\"\nrequire = \"encryption\"\nkey_exchange = \"classic\"\n",
    },
    Requirement {
        id: "profile",
        words: "`identity`, with `profile = \"bsi-tr-02102-2-2025\"`",
        groups: &["forced", "chain", "name"],
        keys: "tls = \"forced\"\nrequire = \"identity\"\npeer_names = [\"mail.partner.test\"]\ntrust = [\"partners\"]\nprofile = \"bsi-tr-02102-2-2025\"\n",
    },
    Requirement {
        id: "hard",
        words: "`identity`, with `revocation = \"hard\"` and a list of the authority that we trust",
        groups: &["forced", "chain", "name"],
        keys: "tls = \"forced\"\nrequire = \"identity\"\npeer_names = [\"mail.partner.test\"]\ntrust = [\"partners\"]\nrevocation = \"hard\"\n",
    },
    Requirement {
        id: "implicit",
        words: "`tls = \"implicit\"` with `identity`: TLS with the first octet",
        groups: &["forced", "chain", "name"],
        keys: "tls = \"implicit\"\nrequire = \"identity\"\npeer_names = [\"mail.partner.test\"]\ntrust = [\"partners\"]\n",
    },
];

/// Each message is tried once; who says nothing is not waited for long; and the log is for us.
const SETTINGS: &str = "[queue]\nretry = [\"1h\"]\n\n[log]\nformat = \"json\"\n\n\
    [timeouts]\noutbound_handshake = \"6s\"\nreuse = \"1s\"\n\n[limits]\noutbound_connections = 1000\n\n";

/// One kind of partner under one requirement.
pub(crate) struct Cell {
    name: String,
    pub(crate) sink: Sink,
    requirement: &'static Requirement,
    behaviour: &'static str,
    /// The connector's keys.
    pub(crate) keys: String,
    expected: &'static str,
    /// What it shows.
    pub(crate) chain: Vec<CertificateDer<'static>>,
    /// What is expected under `identity`, which the audit rehearses.
    enforced: &'static str,
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
    let workshop = Workshop::new(site);
    let (mut cells, mut config) = (Vec::new(), String::new());
    for behaviour in behaviours {
        let (manner, chain) = behaviour.made(&workshop);
        let pin = workshop.good_pin();
        let identity = OUTBOUND.iter().find(|requirement| requirement.id == "identity").unwrap();
        let enforced = behaviour.expected_outbound(identity);
        for requirement in OUTBOUND {
            let manner = Manner { implicit: requirement.id == "implicit", ..manner.clone() };
            let sink = Sink::start(manner).await;
            let name = name(behaviour.id, requirement.id);
            let keys = requirement.keys.replace("PIN", &pin).replace("ORGANISATION", ORGANISATION);
            config += &outbound(&name, &format!("{name}.test"), sink.address, &keys);
            let expected = behaviour.expected_outbound(requirement);
            let (behaviour, chain) = (behaviour.id, chain.clone());
            cells.push(Cell { name, sink, requirement, behaviour, keys, expected, chain, enforced });
        }
    }
    (cells, config)
}

fn name(behaviour: &str, requirement: &str) -> String {
    format!("{behaviour}--{requirement}").replace('.', "-")
}

impl Cell {
    /// An audit has to say what forced TLS would have come to.
    fn is_audit_of_a_fault(&self) -> bool {
        self.requirement.id == "audit" && self.enforced != "sealed"
    }

    pub(crate) fn recipient(&self) -> String {
        format!("bob@{}.test", self.name)
    }

    /// The recipient at the same partner under another requirement.
    pub(crate) fn recipient_under(&self, requirement: &str) -> String {
        format!("bob@{}.test", name(self.behaviour, requirement))
    }

    pub(crate) fn requirement_id(&self) -> &'static str {
        self.requirement.id
    }

    /// What became of its message: as it was logged, and as the partner saw it.
    fn outcome(&self, told: &Value) -> String {
        if told["message"] == "delivered" {
            let first = self.sink.arrived().remove(0);
            let token = told["token"].as_str().unwrap_or_default();
            let agrees = match token.strip_prefix("audit-") {
                // A rehearsal goes on where forced TLS breaks the handshake off, and says why.
                Some("key-not-proved") => self.enforced == "handshake-broken",
                Some(rehearsed) => rehearsed == self.enforced,
                None => token.starts_with("clear-") != first.sealed && !self.is_audit_of_a_fault(),
            };
            let word = if first.sealed { "sealed" } else { "clear" };
            return if agrees { word.to_owned() } else { format!("{word}, logged as {token}") };
        }
        let shortfall = told["token"].as_str().filter(|token| is_shortfall(token));
        shortfall.or(told["status"].as_str()).unwrap_or("neither token nor status").to_owned()
    }
}

/// Other words say that a session was as it should be.
pub(crate) fn is_shortfall(token: &str) -> bool {
    !["met", "sealed"].contains(&token) && !token.starts_with("clear-") && !token.starts_with("audit-")
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
    let site = Site::with_many_lists();
    let behaviours = possible("tls_matrix::every_partner_against_every_requirement", behaviour::all());
    let (cells, config) = cells(&site, &behaviours).await;
    let daemon = site.start(&format!("{SETTINGS}{config}")).await;
    let message = |cell: &Cell| mix::plain(&cell.name, 1, 200, "ada@a.test", &cell.recipient()).remove(0);
    Source::clear(daemon.at("in"), 4).send_all(cells.iter().map(message).collect()).await;
    let told = everything_told(&daemon, &cells).await;
    let (judged, mut faults) = tls_judge::disagreements(&site, &cells, &told);
    assert!(judged > 900, "explain was asked about {judged} cells alone");
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
