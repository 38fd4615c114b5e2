//! `assure` against sites that enforce what they say, and sites with a planted weakness.

use std::net::SocketAddr;

use serde_json::Value;

use crate::peer::daemon::Daemon;
use crate::peer::dns::Dns;
use crate::peer::mint::Kind;
use crate::peer::sink::{Manner, Sink};
use crate::peer::site::{LISTENER, Site, outbound};
use crate::peer::tools;

/// Anybody may send for our own domain, if no partner's connector binds the reverse-path.
const INTERNET: &str = "[[inbound]]\nname = \"internet\"\nfrom_domains = [\"*\"]\ntls = \"opportunistic\"\nto_domains = [\"a.test\"]\n\n";

/// A partner that is forced in both directions; the last key of each connector can be changed.
fn partner(name: &str, hop: SocketAddr, (inbound, outbound): (&str, &str)) -> String {
    format!(
        "[[partner]]\nname = \"{name}\"\ndomains = [\"{name}.test\", \"*.{name}.test\"]\n\n\
         [[inbound]]\nname = \"{name}-in\"\npartner = \"{name}\"\nto_domains = [\"a.test\"]\n{inbound}\n\
         [[outbound]]\nname = \"{name}-out\"\npartner = \"{name}\"\nnext_hop = [\"[{}]:{}\"]\n{outbound}\n",
        hop.ip(),
        hop.port()
    )
}

const FORCED: &str = "tls = \"forced\"\nrequire = \"identity\"\npeer_names = [\"mail.partner.test\"]\ntrust = [\"partners\"]\n";
const BOTH: (&str, &str) = (FORCED, FORCED);

/// What `assure --json` says, and its exit code.
async fn assured(daemon: &Daemon, args: &[&str]) -> (Value, Option<i32>) {
    let output = daemon.command(&[&["assure"], args].concat()).await;
    let said = || tools::said(&output);
    let answer = serde_json::from_slice(&output.stdout).unwrap_or_else(|fault| panic!("{fault}: {}", said()));
    (answer, output.status.code())
}

/// The evidence with this verdict, one line each.
fn lines(answer: &Value, verdict: &str) -> Vec<String> {
    let all = answer["evidence"].as_array().unwrap().iter().filter(|one| one["verdict"] == verdict);
    let text = |one: &Value, key: &str| one[key].as_str().unwrap().to_owned();
    all.map(|one| ["area", "subject", "done", "seen"].map(|key| text(one, key)).join(" | ")).collect()
}

/// There are findings, and each of these parts is in one of them.
#[track_caller]
fn finds(answer: &Value, parts: &[&str]) {
    let findings = lines(answer, "finding");
    for part in parts {
        assert!(findings.iter().any(|line| line.contains(part)), "no \"{part}\" in {findings:#?}");
    }
    assert_eq!(answer["tally"]["findings"], findings.len());
    // What is found comes first.
    assert_eq!(answer["evidence"][0]["verdict"], "finding");
}

/// Nobody wrote to a partner.
fn assert_not_contacted(sink: &Sink) {
    assert_eq!(sink.read(|log| log.sessions), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_of_fifty_partners_that_enforces_passes_and_nobody_hears_of_it() {
    let (site, dns) = (Site::new(), Dns::start().await);
    let sink =
        Sink::start(Manner::sealed(site.partners.pair(&["mail.partner.test"], Kind::Good).server())).await;
    let mut config = format!("[dns]\nservers = [\"{}\"]\n\n{LISTENER}{INTERNET}", dns.address);
    for number in 0..50 {
        config += &partner(&format!("p{number}"), sink.address, BOTH);
    }
    // Mail exchangers, a name of a smart host, and what else a requirement may have.
    for (name, more) in [
        ("mx", "next_hop = \"mx\"\n"),
        ("named", "next_hop = [\"smart.named.test\", \"other.named.test\"]\n"),
        ("strict", "next_hop = \"mx\"\nmin_version = \"1.3\"\nkey_exchange = \"post-quantum\"\n"),
        ("profiled", "next_hop = \"mx\"\nprofile = \"cnsa-1.0\"\n"),
        ("first", "next_hop = \"mx\"\nclient_certificate = \"gw\"\non_failure = \"reroute:spare\"\n"),
    ] {
        let tls = "tls = \"forced\"\nrequire = \"identity\"\ntrust = [\"partners\"]\n";
        config += &format!("[[outbound]]\nname = \"{name}\"\ndomains = [\"{name}.test\"]\n{more}{tls}\n");
    }
    // It has no domain of its own, and takes what another one hands on.
    config +=
        &format!("[[outbound]]\nname = \"spare\"\ndomains = []\nnext_hop = [\"spare.test\"]\n{FORCED}\n");
    site.configure_all(&config);
    let daemon = Daemon::start(&site.home).await;
    let (answer, code) = assured(&daemon, &[]).await;
    assert_eq!(lines(&answer, "finding"), Vec::<String>::new());
    assert_eq!(lines(&answer, "untested"), Vec::<String>::new());
    assert_eq!(code, Some(0), "{answer}");
    let held = lines(&answer, "held");
    // Each connector was tested: ten hostile servers and more, and a control.
    for number in [0, 49] {
        let of = |area: &str| {
            let of_it = held.iter().filter(|line| line.starts_with(&format!("{area} | p{number}-")));
            of_it.cloned().collect::<Vec<_>>()
        };
        assert!(of("outbound").len() > 20, "{:#?}", of("outbound"));
        assert!(of("outbound")[0].contains("control: "), "{:#?}", of("outbound"));
        assert_eq!(of("inbound").len(), 5, "{:#?}", of("inbound"));
    }
    // Two smart hosts are two requirements.
    assert!(held.iter().filter(|line| line.starts_with("outbound | named | control")).count() == 2);
    assert!(
        held.iter()
            .any(|line| line.starts_with("outbound | first |") && line.contains("with our certificate"))
    );
    assert!(held.iter().any(|line| line.starts_with("outbound | spare | control")));
    assert!(held.iter().any(|line| line.contains("handshake with TLS 1.0 only | ")));
    assert_eq!(answer["daemon"]["connectors"], answer["config"]["connectors"]);
    assert_not_contacted(&sink);
    assert_eq!(dns.questions(), 0);
    assert!(daemon.queue().await.is_empty());
    assert!(!daemon.log().contains("sealpost::message: accepted"), "{}", daemon.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn connectors_that_enforce_nothing_are_findings() {
    let site = Site::new();
    let sink = Sink::start(Manner::clear()).await;
    let (forced, audit) = (FORCED, format!("{FORCED}mode = \"audit\"\n"));
    let network = "from_networks = [\"192.0.2.0/24\"]\n";
    let mut config = format!("{LISTENER}{INTERNET}");
    config += &partner("lower", sink.address, (forced, "tls = \"opportunistic\"\n"));
    config += &partner("open", sink.address, ("tls = \"opportunistic\"\n", forced));
    config += &partner("audits", sink.address, (&format!("{audit}{network}"), &audit));
    config += &partner("off", sink.address, (forced, &format!("{FORCED}mode = \"off\"\n")));
    site.configure_all(&config);
    let daemon = Daemon::start(&site.home).await;
    let (answer, code) = assured(&daemon, &[]).await;
    assert_eq!(code, Some(1));
    finds(
        &answer,
        &[
            "partner lower | compared the configuration with what is in effect | lower is forced only inbound: lower-out",
            "partner open | compared the configuration with what is in effect | open is forced only outbound: open-in",
            "inbound audits-in | compared the configuration with what is in effect | mode = \"audit\"",
            "outbound audits-out | compared the configuration with what is in effect | mode = \"audit\"",
            "outbound off-out | compared the configuration with what is in effect | mode = \"off\"",
        ],
    );
    // What is enforced was tested all the same.
    assert!(
        lines(&answer, "held")
            .iter()
            .any(|line| line.starts_with("inbound | lower-in | MAIL FROM in plaintext"))
    );
    assert_not_contacted(&sink);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_override_is_a_finding_and_so_is_what_the_sender_then_sends() {
    let site = Site::new();
    let sink = Sink::start(Manner::clear()).await;
    let floor = format!("{FORCED}override_floor = \"opportunistic\"\n");
    let inbound = format!("{FORCED}from_networks = [\"127.0.0.0/8\"]\noverride_floor = \"encryption\"\n");
    site.configure_all(&format!("{LISTENER}{INTERNET}{}", partner("bank", sink.address, (&inbound, &floor))));
    let daemon = Daemon::start(&site.home).await;
    assert_eq!(assured(&daemon, &[]).await.1, Some(0));

    let lower = ["override", "bank-out", "--for", "1h", "--reason", "a renewal failed"];
    daemon.ask(&[&lower[..], &["--to", "chain"]].concat()).await;
    let (answer, code) = assured(&daemon, &[]).await;
    assert_eq!(code, Some(1));
    finds(
        &answer,
        &[
            "configuration | bank-out | compared the configuration with what is in effect | overridden: only \"chain\" until",
            "outbound | bank-out | shows a certificate of the right authority for other names | a whole message was sent",
        ],
    );
    daemon.ask(&[&lower[..], &["--to", "opportunistic"]].concat()).await;
    let (answer, _) = assured(&daemon, &[]).await;
    finds(&answer, &["outbound | bank-out | does not offer STARTTLS | the envelope was sent in plaintext"]);
    // An inbound one stays forced, and takes whoever has TLS.
    daemon.ask(&["override", "bank-in", "--for", "1h", "--reason", "a renewal failed"]).await;
    let (answer, _) = assured(&daemon, &[]).await;
    let without = "inbound | bank-in | MAIL FROM over TLS without a client certificate as bank.test";
    finds(&answer, &[without, "| accepted: 250 "]);
    assert!(
        lines(&answer, "held")
            .iter()
            .any(|line| line.starts_with("inbound | bank-in | MAIL FROM in plaintext"))
    );
    assert_not_contacted(&sink);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_without_tls_and_one_that_is_not_in_effect_are_findings() {
    let site = Site::new();
    let sink = Sink::start(Manner::clear()).await;
    let bare = "[[listener]]\nname = \"bare\"\naddress = [\"127.0.0.1:0\"]\ntls = \"off\"\n\n";
    let implicit = "[[listener]]\nname = \"submissions\"\naddress = [\"127.0.0.1:0\"]\ntls = \"implicit\"\ncertificate = \"gw\"\n\n";
    let required = "[[listener]]\nname = \"sealed\"\naddress = [\"127.0.0.1:0\"]\ntls = \"required\"\ncertificate = \"gw\"\n\n";
    // An authority of which we have a certificate too: a stranger has one for his own name just as well.
    let ours = site.home.trust("ours", &site.ours);
    let both = FORCED.replace("[\"partners\"]", "[\"partners\", \"ours\"]");
    let bank = partner("bank", sink.address, (&both, FORCED));
    site.configure_all(&format!("{ours}{LISTENER}{bare}{implicit}{required}{INTERNET}{bank}"));
    let daemon = Daemon::start(&site.home).await;
    let (answer, code) = assured(&daemon, &[]).await;
    assert_eq!(code, Some(1));
    assert_eq!(answer["tally"]["findings"], 1, "{:#?}", lines(&answer, "finding"));
    finds(&answer, &["listener | bare 127.0.0.1:"]);
    // What a partner is bound to holds at each of them, without TLS too.
    let held = lines(&answer, "held");
    for (listener, count) in [("in", 6), ("bare", 1), ("submissions", 6), ("sealed", 6)] {
        let here = format!("at listener {listener} 127.0.0.1:");
        let here: Vec<&String> = held
            .iter()
            .filter(|line| line.starts_with("inbound | bank-in |") && line.contains(&here))
            .collect();
        assert_eq!(here.len(), count, "{listener}: {here:#?}");
    }
    assert!(
        held.iter()
            .any(|line| line.contains("MAIL FROM in plaintext") && line.contains("no SMTP without TLS"))
    );

    // Another file than the one in effect, and what it has beside that.
    let other = site.home.path().join("other.toml");
    let text = std::fs::read_to_string(site.home.config()).unwrap();
    let more = "[[listener]]\nname = \"more\"\naddress = [\"127.0.0.1:1\"]\ntls = \"starttls\"\ncertificate = \"gw\"\n\n";
    std::fs::write(&other, format!("{}{more}", text.replace(BANK_NAME, OTHER_NAME))).unwrap();
    let output = site.home.run(&["assure"], &[]);
    assert!(tools::said(&output).contains("FINDING  Listeners: bare 127.0.0.1:"), "{}", tools::said(&output));
    let socket = site.home.path().join("data/control.sock");
    let mut command = std::process::Command::new(crate::peer::daemon::PROGRAM);
    command.args(["assure", "--json", "--config"]).arg(&other).arg("--socket").arg(&socket);
    let output = tools::run(command).await;
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    finds(
        &answer,
        &["not as in the file: inbound bank-in, outbound bank-out", "more does not listen at 127.0.0.1:1"],
    );
    assert_ne!(answer["daemon"]["connectors"], answer["config"]["connectors"]);
}

const BANK_NAME: &str = "peer_names = [\"mail.partner.test\"]";
const OTHER_NAME: &str = "peer_names = [\"mx.partner.test\"]";

#[tokio::test(flavor = "multi_thread")]
async fn without_a_daemon_nothing_passes_and_the_page_says_so() {
    let site = Site::new();
    let sink = Sink::start(Manner::clear()).await;
    let bank = partner("bank", sink.address, BOTH)
        + &outbound("rest", "*", sink.address, "tls = \"opportunistic\"\n");
    site.configure_all(&format!("{LISTENER}{INTERNET}{bank}"));
    let page = site.home.path().join("report.html");
    let output = site.home.run(&["assure"], &["--html", page.to_str().unwrap()]);
    let said = tools::said(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("the listeners can't be tested: no daemon answers at"), "{said}");
    assert!(said.contains("FINDING  Configuration: daemon"), "{said}");
    // The sender was tested from the file.
    assert!(said.contains("  bank-out  24 held"), "{said}");
    let page = std::fs::read_to_string(page).unwrap();
    for part in
        ["<h2>Findings</h2>", "none answered; listeners could not be tested", "does not offer STARTTLS"]
    {
        assert!(page.contains(part), "{part}: {page}");
    }
    assert!(!page.contains("<script") && !page.contains("http"), "it needs nothing else");
    assert_eq!(site.home.run(&["assure"], &["--no-such"]).status.code(), Some(2));
    assert_not_contacted(&sink);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connector_for_any_domain_is_tested_by_an_invented_one_or_said_not_to_be() {
    let site = Site::new();
    let own = format!(
        "[[inbound]]\nname = \"exchange\"\nkind = \"own\"\nfrom_networks = [\"127.0.0.0/8\"]\nto_domains = [\"*\"]\n{FORCED}\n"
    );
    let cloud = format!(
        "[[inbound]]\nname = \"cloud\"\nfrom_domains = [\"*\"]\nto_domains = [\"a.test\"]\n{FORCED}\n"
    );
    let of = |lines: &[String], name: &str| {
        let start = format!("inbound | {name} | ");
        lines.iter().filter(|line| line.starts_with(&start)).cloned().collect::<Vec<_>>()
    };
    // Nobody else takes mail of any domain: who doesn't meet them is refused.
    site.configure_all(&format!("{LISTENER}{own}{cloud}"));
    let daemon = Daemon::start(&site.home).await;
    let (answer, code) = assured(&daemon, &[]).await;
    let (held, untested) = (lines(&answer, "held"), lines(&answer, "untested"));
    assert_eq!((code, untested.as_slice()), (Some(0), &[] as &[String]), "{answer}");
    for name in ["exchange", "cloud"] {
        assert_eq!(of(&held, name).len(), 5, "{held:#?}");
        let plain = "MAIL FROM in plaintext as sealpost-assure.invalid";
        assert!(of(&held, name)[0].contains(plain), "{held:#?}");
    }
    daemon.stop().await;

    // Anybody is admitted by another connector, and nobody here is in the network of our own system.
    let elsewhere = own.replace("127.0.0.0/8", "203.0.113.77/32");
    site.configure_all(&format!("{LISTENER}{INTERNET}{elsewhere}{cloud}"));
    let daemon = Daemon::start(&site.home).await;
    let (answer, code) = assured(&daemon, &[]).await;
    let (held, untested) = (lines(&answer, "held"), lines(&answer, "untested"));
    assert_eq!(code, Some(1), "{answer}");
    for (name, why) in [
        ("exchange", "its from_networks has no address of this host"),
        ("cloud", "connector internet takes mail of any domain and demands less"),
    ] {
        assert!(of(&held, name).is_empty(), "{held:#?}");
        let said = of(&untested, name);
        assert!(said.len() == 1 && said[0].contains(why), "{untested:#?}");
    }
    daemon.stop().await;

    // A listener of its own binds it again.
    let door = "[[listener]]\nname = \"cloud\"\naddress = [\"127.0.0.1:0\"]\ntls = \"starttls\"\ncertificate = \"gw\"\n\n";
    let internet = INTERNET.replace("tls =", "listeners = [\"in\"]\ntls =");
    let cloud = cloud.replace("to_domains", "listeners = [\"cloud\"]\nto_domains");
    site.configure_all(&format!("{LISTENER}{door}{internet}{cloud}"));
    let daemon = Daemon::start(&site.home).await;
    let (answer, _) = assured(&daemon, &[]).await;
    assert_eq!(of(&lines(&answer, "held"), "cloud").len(), 5, "{answer}");
    assert!(lines(&answer, "untested").is_empty(), "{answer}");
    daemon.stop().await;
}
