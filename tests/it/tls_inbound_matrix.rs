//! Inbound: every kind of client against every requirement, and `explain` beside the relay: both
//! must come to the same.

use std::process::Output;

use serde_json::Value;

use crate::peer::behaviour::{self, Behaviour, Make, Requirement};
use crate::peer::client::{Client, Reply};
use crate::peer::daemon::{Daemon, NAME};
use crate::peer::mint::Pair;
use crate::peer::sink::{Manner, Sink};
use crate::peer::site::{LISTENER, OPPORTUNISTIC, Site, outbound};
use crate::peer::workshop::Workshop;
use crate::peer::{LONG, eventually};
use crate::tls_matrix::possible;

/// What an inbound connector can demand.
pub(crate) const INBOUND: &[Requirement] = &[
    Requirement { id: "off", words: "nothing, and nothing is judged", groups: &[], keys: "tls = \"off\"\n" },
    Requirement {
        id: "opportunistic",
        words: "nothing; what TLS showed is recorded",
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
        keys: "tls = \"forced\"\npeer_names = [\"mail.partner.test\"]\ntrust = [\"partners\"]\n",
    },
    Requirement {
        id: "audit",
        words: "`mode = \"audit\"` with `identity`; the network holds",
        groups: &[],
        keys: "tls = \"forced\"\npeer_names = [\"mail.partner.test\"]\ntrust = [\"partners\"]\nmode = \"audit\"\n\
               from_networks = [\"127.0.0.0/8\"]\n",
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
        keys: "tls = \"forced\"\nrequire = \"chain\"\ntrust = [\"partners\"]\norganisation = [\"Partner Ltd\"]\n",
    },
    Requirement {
        id: "client",
        words: "`identity`, with `accept_purpose = \"client\"`",
        groups: &["forced", "chain", "name"],
        keys: "tls = \"forced\"\npeer_names = [\"mail.partner.test\"]\ntrust = [\"partners\"]\n\
               accept_purpose = \"client\"\n",
    },
    Requirement {
        id: "hard",
        words: "`identity`, with `revocation = \"hard\"` and a list of the authority that we trust",
        groups: &["forced", "chain", "name"],
        keys: "tls = \"forced\"\npeer_names = [\"mail.partner.test\"]\ntrust = [\"partners\"]\nrevocation = \"hard\"\n",
    },
];

const SETTINGS: &str = "[log]\nformat = \"json\"\n\n[limits]\nerrors = 100\n\n";

/// One connector for each requirement: its own domains on both sides show which one it was.
fn connector(requirement: &Requirement, pin: &str) -> String {
    let id = requirement.id;
    format!(
        "[[inbound]]\nname = \"{id}\"\nfrom_domains = [\"{id}.from.test\"]\nto_domains = [\"{id}.to.test\"]\n{}\n",
        requirement.keys.replace("PIN", pin)
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn every_client_against_every_requirement() {
    let site = Site::with_many_lists();
    let sink = Sink::start(Manner::clear()).await;
    let workshop = Workshop::new(&site);
    let pin = workshop.good_pin();
    let connectors: String = INBOUND.iter().map(|requirement| connector(requirement, &pin)).collect();
    let out = outbound("out", "*", sink.address, OPPORTUNISTIC);
    site.configure_all(&format!("{SETTINGS}{LISTENER}{connectors}{out}"));
    let daemon = Daemon::start(&site.home).await;
    let clients =
        possible("tls_inbound_matrix::every_client_against_every_requirement", behaviour::clients());
    let mut faults = Vec::new();
    for client in &clients {
        let pair = client.pair(&workshop);
        let session = open(&site, &daemon, client, pair.as_ref()).await;
        faults.extend(converse(&site, &daemon, client, (session, pair.as_ref())).await);
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// A session up to the last EHLO, or none if the handshake broke.
async fn open(site: &Site, daemon: &Daemon, client: &Behaviour, pair: Option<&Pair>) -> Option<Client> {
    if matches!(client.make, Make::InClear) {
        return Some(Client::hello(daemon.at("in")).await);
    }
    Client::try_sealed(daemon.at("in"), &site.ours.client(pair), NAME).await.ok()
}

/// Tries every connector over one session: a refusal does not end it.
async fn converse(
    site: &Site,
    daemon: &Daemon,
    client: &Behaviour,
    (session, pair): (Option<Client>, Option<&Pair>),
) -> Vec<String> {
    let mut faults = Vec::new();
    let Some(mut session) = session else {
        let broken = INBOUND.iter().all(|r| client.expected_inbound(r) == "handshake-broken");
        return if broken { faults } else { vec![format!("{}: the handshake broke", client.id)] };
    };
    for requirement in INBOUND {
        let from = format!("{}@{}.from.test", client.id, requirement.id);
        let reply = session.say(&format!("MAIL FROM:<{from}>")).await;
        let came = if reply.code == 250 {
            attributed(&mut session, requirement).await
        } else {
            token(daemon, &from).await
        };
        let expected = client.expected_inbound(requirement);
        if came != expected {
            faults.push(format!("{from}: expected {expected}, came {came}: {}", reply.text));
        }
        if let Err(why) = is_told_well(&reply, expected, requirement, pair) {
            faults.push(format!("{from}: {why}: {}", reply.text));
        }
        let explained = explain(site, client, &from, pair);
        if let Err(why) = agrees(&explained, &came, &reply) {
            faults.push(format!(
                "{from}: explain says otherwise ({why}): {explained}; the relay said {}",
                reply.text
            ));
        }
    }
    faults
}

/// After a 250: whether it is this connector whose recipients are taken.
async fn attributed(session: &mut Client, requirement: &Requirement) -> String {
    let ours = session.say(&format!("RCPT TO:<bob@{}.to.test>", requirement.id)).await;
    let other = session.say("RCPT TO:<bob@elsewhere.to.test>").await;
    session.say("RSET").await;
    let word = if (ours.code, other.code) == (250, 550) { "admitted" } else { "attributed to another one" };
    word.to_owned()
}

/// The word logged with the refusal of a reverse-path.
async fn token(daemon: &Daemon, from: &str) -> String {
    eventually("a refusal in the log", LONG, async || {
        let log = daemon.log();
        let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let mut refusals = lines.filter(|line| line["message"] == "refused" && line["reverse_path"] == from);
        refusals.next().map(|line| line["token"].as_str().unwrap_or("no token").to_owned())
    })
    .await
}

/// A refusal names its code, its connector, and where a certificate was shown what was wanted and got.
fn is_told_well(
    reply: &Reply,
    expected: &str,
    requirement: &Requirement,
    pair: Option<&Pair>,
) -> Result<(), String> {
    let code = match expected {
        "admitted" => return Ok(()),
        "tls-required" => "550 5.7.10 ",
        // The lists are ours.
        "revocation-unknown" => "451 4.7.5 ",
        _ => "550 5.7.1 ",
    };
    let mut parts = vec![format!("connector {}", requirement.id)];
    if pair.is_some() {
        parts.extend(["required TLSv1.2 or later".to_owned(), "attained TLSv1.3, a certificate".to_owned()]);
    }
    if !reply.text.starts_with(code) {
        return Err(format!("it is not {code}"));
    }
    match parts.into_iter().find(|part| !reply.text.contains(part)) {
        Some(part) => Err(format!("{part:?} is missing")),
        None => Ok(()),
    }
}

/// `explain` for the same client, without a network.
fn explain(site: &Site, client: &Behaviour, from: &str, pair: Option<&Pair>) -> Value {
    let mut arguments = vec!["--json", "--from", from, "--peer-ip", "127.0.0.1"];
    let shown = pair.map(|pair| pair.write(site.home.path(), "peer").0);
    match &shown {
        Some(file) => arguments.extend(["--peer-cert", file.to_str().unwrap()]),
        None if matches!(client.make, Make::InClear) => {}
        None => arguments.push("--tls"),
    }
    let Output { stdout, stderr, .. } = site.home.run(&["explain"], &arguments);
    serde_json::from_slice(&stdout).unwrap_or_else(|_| panic!("{from}: {}", String::from_utf8_lossy(&stderr)))
}

fn agrees(explained: &Value, came: &str, reply: &Reply) -> Result<(), &'static str> {
    let inbound = &explained["inbound"];
    if (inbound["admitted"] == true) != (came == "admitted") {
        return Err("the verdict");
    }
    if came != "admitted" && inbound["decision"]["token"] != came {
        return Err("the token");
    }
    let same = came == "admitted" || inbound["reply"].as_str() == Some(reply.text.as_str());
    if same { Ok(()) } else { Err("the reply") }
}
