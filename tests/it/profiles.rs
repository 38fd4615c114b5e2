//! Profiles in both directions, against peers that offer exactly one thing each.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde_json::Value;

use crate::peer::client::Client;
use crate::peer::daemon::{Daemon, NAME, free_address};
use crate::peer::one_thing::{self, Leaf, Leaves, Offer, OneThing, OpensslServer, openssl_client, valid_for};
use crate::peer::sink::{Manner, Sink};
use crate::peer::site::{ANYONE, OPPORTUNISTIC, Site, outbound};
use crate::peer::source::Source;
use crate::peer::{LONG, eventually, left_out, mix, tools, within};
use crate::tls_matrix::told;

/// Every profile, in the order of the expectations.
pub(crate) const PROFILES: [&str; 4] = ["nl-2025", "bsi-tr-02102-2-2025", "nist-sp-800-52r2", "cnsa-1.0"];

const SETTINGS: &str = "[queue]\nretry = [\"1h\"]\n\n[log]\nformat = \"json\"\n\n\
    [limits]\noutbound_connections = 1000\nerrors = 1000\n\n";
const FORCED: &str = "tls = \"forced\"\nrequire = \"chain\"\ntrust = [\"roots\"]\n";

/// The rows that can be tried here: without OpenSSL and Python, those of rustls.
fn rows(test: &str) -> Vec<OneThing> {
    let mut rows = one_thing::all();
    if tools::program("openssl").is_none() || tools::program("python3").is_none() {
        left_out(test, "openssl or python3 is not installed; what rustls can't offer is not tried");
        rows.retain(|row| !matches!(row.offer, Offer::Openssl { .. }));
    }
    rows
}

/// A trust set of all the authorities.
fn roots(site: &Site, leaves: &Leaves) -> String {
    std::fs::write(site.home.path().join("roots.pem"), leaves.anchors()).unwrap();
    "[trust.roots]\nanchors = \"roots.pem\"\n\n".to_owned()
}

/// Servers for one row: a connector of each profile, forced, opportunistic and in audit, has one of its own.
enum Servers {
    Sinks(Vec<Sink>),
    Openssl(OpensslServer),
}

impl Servers {
    async fn start(row: &OneThing, leaves: &Leaves, site: &Site) -> Self {
        let (pair, count) = (leaves.shown(row.leaf), 3 * PROFILES.len());
        let Some((provider, versions)) = row.offer.rustls() else {
            return Self::Openssl(OpensslServer::start(row, pair, count, site.home.path()));
        };
        let server = pair.server_with(std::sync::Arc::new(provider), &versions);
        let mut sinks = Vec::new();
        for _ in 0..count {
            sinks.push(Sink::start(Manner::sealed(server.clone())).await);
        }
        Self::Sinks(sinks)
    }

    fn address(&self, index: usize) -> SocketAddr {
        match self {
            Self::Sinks(sinks) => sinks[index].address,
            Self::Openssl(server) => server.addresses[index],
        }
    }
}

fn name(row: &str, profile: &str, how: &str) -> String {
    format!("{row}--{profile}--{how}").replace('.', "-")
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_that_offer_one_thing_against_every_profile() {
    let (site, leaves) = (Site::new(), Leaves::new());
    let rows = rows("profiles::hosts_that_offer_one_thing_against_every_profile");
    let (mut servers, mut config, mut expected) = (Vec::new(), roots(&site, &leaves), BTreeMap::new());
    for row in &rows {
        let started = Servers::start(row, &leaves, &site).await;
        for (index, profile) in PROFILES.iter().enumerate() {
            let opportunistic = if row.by_opportunity()[index] { "sealed" } else { "clear-handshake-broken" };
            // What audit says is what enforcing does, whatever the host would rather agree on.
            let audit = match row.expected[index] {
                "met" => "sealed".to_owned(),
                token => format!("audit-{token}"),
            };
            for (how, keys, port, word) in [
                ("forced", FORCED.to_owned(), 3 * index, row.expected[index].to_owned()),
                ("opportunistic", OPPORTUNISTIC.to_owned(), 3 * index + 1, opportunistic.to_owned()),
                ("audit", format!("{FORCED}mode = \"audit\"\n"), 3 * index + 2, audit),
            ] {
                let name = name(row.id, profile, how);
                let keys = format!("{keys}profile = \"{profile}\"\n");
                config += &outbound(&name, &format!("{name}.test"), started.address(port), &keys);
                expected.insert(format!("bob@{name}.test"), word);
            }
        }
        servers.push(started);
    }
    let daemon = site.start(&format!("{SETTINGS}{config}")).await;
    let message = |to: &String| mix::plain("one", 1, 200, "ada@a.test", to).remove(0);
    Source::clear(daemon.at("in"), 4).send_all(expected.keys().map(message).collect()).await;
    let told = eventually("an end of every message", LONG, async || {
        let told = told(&daemon.log());
        expected.keys().all(|to| told.contains_key(to)).then_some(told)
    })
    .await;
    let wrong = |(to, word): (&String, &String)| {
        let came = &told[to];
        (came["token"] != **word).then(|| format!("{to}: expected {word}, came {came}"))
    };
    let faults: Vec<String> = expected.iter().filter_map(wrong).collect();
    assert!(faults.is_empty(), "{} of {}:\n{}", faults.len(), expected.len(), faults.join("\n"));
    // Whose fault it is can't be known, so neither hint sends the partner alone to mend it.
    for (row, hint) in
        [("tls12-no-ems", "[tls-no-master-secret]"), ("chacha-x25519", "[tls-outside-profile]")]
    {
        for how in ["forced", "audit"] {
            let to = format!("bob@{}.test", name(row, "nist-sp-800-52r2", how));
            let Some(line) = told.get(&to) else { continue };
            let because = line["because"].as_str().unwrap_or_default();
            assert!(because.contains("the profile nist-sp-800-52r2"), "{line}");
            daemon.logged_line(&[line["host"].as_str().unwrap(), hint]).await;
        }
    }
    for (row, servers) in rows.iter().zip(&servers) {
        if let Servers::Sinks(sinks) = servers {
            let forced = sinks.iter().step_by(3);
            forced.for_each(|sink| sink.assert_nothing_in_clear());
            let taken = sinks.iter().step_by(3).filter(|sink| !sink.arrived().is_empty()).count();
            assert_eq!(taken, row.expected.iter().filter(|word| **word == "met").count(), "{}", row.id);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn audit_seals_what_enforcing_would_withhold_and_asks_a_host_once() {
    use rustls::crypto::aws_lc_rs::kx_group;
    let (site, leaves) = (Site::new(), Leaves::new());
    let server = leaves.shown(Leaf::Strong).server_agreeing(&[kx_group::X25519]);
    let sink = Sink::start(Manner::sealed(server)).await;
    let keys =
        format!("{FORCED}mode = \"audit\"\nprofile = \"nist-sp-800-52r2\"\nmessages_per_connection = 1\n");
    let config = roots(&site, &leaves) + &outbound("out", "b.test", sink.address, &keys);
    let daemon = site.start(&format!("{SETTINGS}{config}")).await;
    for (number, sessions) in [(1, 2), (2, 3)] {
        let message = mix::plain("audit", 1, 200, "ada@a.test", "bob@b.test").remove(0);
        Client::hello(daemon.at("in")).await.transact(&message).await.unwrap();
        assert!(sink.messages(number).await.iter().all(|message| message.sealed));
        assert_eq!(
            sink.read(|log| log.sessions),
            sessions,
            "the limited handshake is tried by the first only"
        );
    }
    let line =
        eventually("the delivery in the log", LONG, async || told(&daemon.log()).remove("bob@b.test")).await;
    assert_eq!(line["token"], "audit-handshake-broken", "{line}");
    let reason = line["because"].as_str().unwrap();
    assert!(
        reason.contains("the profile nist-sp-800-52r2 allows") && reason.contains("another handshake"),
        "{line}"
    );
    daemon.logged_line(&["waived in audit", "tls-outside-profile"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_offer_one_thing_against_every_profile() {
    let (site, leaves) = (Site::new(), Leaves::new());
    let rows = rows("profiles::clients_that_offer_one_thing_against_every_profile");
    let sink = Sink::start(Manner::clear()).await;
    let ours = &leaves.strong_authority;
    let own = |id: &str, leaf: Leaf| site.home.certificate(id, &own_pair(&leaves, leaf));
    let mut config = roots(&site, &leaves) + &own("ec", Leaf::Strong) + &own("rsa", Leaf::StrongRsa);
    for profile in PROFILES {
        config += &format!(
            "[[listener]]\nname = \"{profile}\"\naddress = \"127.0.0.1:0\"\ntls = \"required\"\n\
             certificate = [\"ec\", \"rsa\"]\nprofile = \"{profile}\"\n\n\
             [[inbound]]\nname = \"{profile}-in\"\nfrom_domains = [\"*\"]\nlisteners = [\"{profile}\"]\n\
             to_domains = [\"b.test\"]\n{FORCED}profile = \"{profile}\"\n\n"
        );
    }
    site.configure_all(&format!("{SETTINGS}{config}{}", outbound("out", "*", sink.address, OPPORTUNISTIC)));
    let daemon = Daemon::start(&site.home).await;
    let mut faults = Vec::new();
    for row in &rows {
        for (index, profile) in PROFILES.iter().enumerate() {
            let at = daemon.at(profile);
            let came = match row.offer.rustls() {
                Some((provider, versions)) => {
                    let config = ours.client_with(leaves.shown(row.leaf), provider, &versions);
                    admitted(&daemon, at, &config, &format!("{}@{profile}.test", row.id)).await
                }
                None => {
                    let client = openssl_client(row, at, site.home.path());
                    let output = within("openssl", LONG, tools::run(client)).await;
                    if output.status.success() { "met".to_owned() } else { "handshake-broken".to_owned() }
                }
            };
            if came != row.by_client()[index] {
                faults.push(format!(
                    "{} under {profile}: expected {}, came {came}",
                    row.id,
                    row.by_client()[index]
                ));
            }
        }
    }
    assert!(faults.is_empty(), "{}\n{}", faults.join("\n"), daemon.log());
}

/// OpenSSL gives up on a certificate whose curve it does not list (RFC 8422 §5.1).
#[tokio::test(flavor = "multi_thread")]
async fn a_tls_1_2_client_is_shown_a_certificate_of_a_curve_that_it_lists() {
    if tools::program("openssl").is_none() {
        let test = "profiles::a_tls_1_2_client_is_shown_a_certificate_of_a_curve_that_it_lists";
        return left_out(test, "openssl is not installed");
    }
    let (site, leaves) = (Site::new(), Leaves::new());
    let mut config = String::new();
    for (id, leaf) in [("p256", Leaf::P256), ("p384", Leaf::Strong), ("rsa", Leaf::StrongRsa)] {
        config += &site.home.certificate(id, &own_pair(&leaves, leaf));
    }
    site.configure_all(&format!(
        "{SETTINGS}{config}[[listener]]\nname = \"three\"\naddress = \"127.0.0.1:0\"\ntls = \"starttls\"\n\
         certificate = [\"p256\", \"p384\", \"rsa\"]\n\n{ANYONE}"
    ));
    let daemon = Daemon::start(&site.home).await;
    for curve in ["secp384r1", "prime256v1"] {
        let cipher = "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384";
        let thing = OneThing {
            id: curve,
            offer: Offer::Openssl { version: ("TLSv1_2", "-tls1_2"), cipher, curve, settings: "" },
            leaf: Leaf::Strong,
            expected: ["met"; 4],
            as_client: None,
            opportunistic: None,
        };
        let client = openssl_client(&thing, daemon.at("three"), site.home.path());
        let output = within("openssl", LONG, tools::run(client)).await;
        assert!(output.status.success(), "{curve}: {}", tools::said(&output));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_gives_a_listener_its_profile() {
    use rustls::crypto::aws_lc_rs::{self, cipher_suite, kx_group};
    let (site, leaves) = (Site::new(), Leaves::new());
    let daemon = site.start(&outbound("out", "b.test", free_address(), OPPORTUNISTIC)).await;
    let own = leaves.shown(Leaf::Strong);
    let limited = rustls::crypto::CryptoProvider {
        cipher_suites: vec![cipher_suite::TLS13_AES_256_GCM_SHA384],
        kx_groups: vec![kx_group::X25519],
        ..aws_lc_rs::default_provider()
    };
    let client = site.ours.client_with(own, limited, rustls::ALL_VERSIONS);
    assert!(Client::try_sealed(daemon.at("in"), &client, NAME).await.is_ok());
    let written = std::fs::read_to_string(site.home.config()).unwrap();
    let limit = written
        .replace("certificate = \"gw\"\n", "certificate = \"gw\"\nprofile = \"bsi-tr-02102-2-2025\"\n");
    assert_ne!(limit, written);
    std::fs::write(site.home.config(), limit).unwrap();
    let reloaded = daemon.command(&["reload"]).await;
    assert!(reloaded.status.success(), "{}", tools::said(&reloaded));
    assert!(Client::try_sealed(daemon.at("in"), &client, NAME).await.is_err(), "X25519 is still accepted");
    std::fs::write(site.home.config(), written).unwrap();
    let said = tools::said(&daemon.command(&["reload"]).await);
    let looser = "listener in: handshakes were limited to profile bsi-tr-02102-2-2025, and now to no profile; weaker: profile";
    assert!(said.contains(&format!("\"loosened_listeners\": [\n    \"{looser}\"\n  ]")), "{said}");
    daemon.logged(&format!("less is required since the reload: {looser}")).await;
}

/// A certificate of ours, like a partner's, for our name.
fn own_pair(leaves: &Leaves, leaf: Leaf) -> crate::peer::mint::Pair {
    let key = rcgen::KeyPair::from_pem(&leaves.shown(leaf).key).unwrap();
    leaves.strong_authority.made(&[NAME], &key, |params| valid_for(params, 365))
}

/// What MAIL comes to over one session: `met`, or the token of the refusal.
async fn admitted(
    daemon: &Daemon,
    at: SocketAddr,
    config: &std::sync::Arc<rustls::ClientConfig>,
    from: &str,
) -> String {
    let Ok(mut session) = Client::try_sealed(at, config, NAME).await else {
        return "handshake-broken".to_owned();
    };
    let reply = session.say(&format!("MAIL FROM:<{from}>")).await;
    if reply.code == 250 {
        return "met".to_owned();
    }
    let refused = |line: &Value| line["reverse_path"] == from && line["message"] == "refused";
    eventually("the refusal in the log", LONG, async || {
        let log = daemon.log();
        let mut lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.find(refused).and_then(|line| line["token"].as_str().map(str::to_owned))
    })
    .await
}
