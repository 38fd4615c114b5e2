//! Where mail goes by how it arrived: centralised mail transport, in which what the cloud hands over goes to the servers
//! on-premises, and what these hand over goes to the world.

use serde_json::Value;

use crate::peer::client::{Client, Reply};
use crate::peer::daemon::{Daemon, NAME};
use crate::peer::mix;
use crate::peer::sink::{Manner, Sink};
use crate::peer::site::{LISTENER, OPPORTUNISTIC, QUICK, Site, outbound};

const CLOUD: [u8; 4] = [127, 0, 0, 2];
const EXCHANGE: [u8; 4] = [127, 0, 0, 3];

fn own(name: &str, network: [u8; 4]) -> String {
    let [a, b, c, d] = network;
    format!(
        "[[inbound]]\nname = \"{name}\"\nkind = \"own\"\nfrom_networks = [\"{a}.{b}.{c}.{d}\"]\ntls = \"opportunistic\"\n\
         to_domains = [\"*\"]\n\n"
    )
}

/// The hosts behind the gateway.
struct Town {
    onprem: Sink,
    world: Sink,
    bank: Sink,
}

impl Town {
    async fn start() -> Self {
        let sink = || Sink::start(Manner::clear());
        Self { onprem: sink().await, world: sink().await, bank: sink().await }
    }

    /// `central` takes what arrives by these inbound connectors.
    fn config(&self, from_connectors: &str) -> String {
        let named = if from_connectors.is_empty() {
            String::new()
        } else {
            format!("from_connectors = [{from_connectors}]\n")
        };
        [
            QUICK.to_owned(),
            "[limits]\nmessages_per_connection = 1\n\n".to_owned(),
            LISTENER.to_owned(),
            own("cloud-in", CLOUD),
            own("exchange-in", EXCHANGE),
            outbound("central", "*", self.onprem.address, &format!("{named}{OPPORTUNISTIC}cost = 1\n")),
            outbound("world", "*", self.world.address, OPPORTUNISTIC),
            outbound("bank", "bank.test", self.bank.address, OPPORTUNISTIC),
        ]
        .concat()
    }
}

async fn send(daemon: &Daemon, from: [u8; 4], id: &str, to: &str) {
    let message = mix::plain(id, 1, 200, "ada@a.test", to).remove(0);
    let reply = Client::hello_from(from, daemon.at("in")).await.transact(&message).await.unwrap();
    assert_eq!(reply.code, 250, "{}", reply.text);
}

fn ids(sink: &Sink) -> Vec<String> {
    let mut found: Vec<_> = sink.arrived().iter().filter_map(|one| mix::id_of(&one.content)).collect();
    found.sort();
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_goes_by_how_it_arrived_and_a_closer_pattern_comes_first() {
    let (site, town) = (Site::new(), Town::start().await);
    site.configure_all(&town.config("\"cloud-in\""));
    let daemon = Daemon::start(&site.home).await;
    send(&daemon, CLOUD, "cloud", "ann@world.test").await;
    send(&daemon, EXCHANGE, "exchange", "ann@world.test").await;
    send(&daemon, CLOUD, "bank", "ann@bank.test").await;
    daemon.queue_empty().await;
    assert_eq!(
        [ids(&town.onprem), ids(&town.world), ids(&town.bank)],
        [["cloud-0"], ["exchange-0"], ["bank-0"]]
    );

    // A report about it is ours and arrived by no connector.
    town.onprem.behave(Manner::clear().replying("RCPT", "550 5.1.1 nobody"));
    send(&daemon, CLOUD, "refused", "eve@world.test").await;
    let report = town.world.messages(2).await.remove(1);
    assert_eq!(report.recipients, ["ada@a.test"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn how_it_arrived_outlives_a_restart_and_is_judged_by_the_table_in_effect() {
    let (site, town) = (Site::new(), Town::start().await);
    site.configure_all(&town.config("\"cloud-in\""));
    town.onprem.behave(Manner::clear().greeting("421 4.3.2 later"));
    let daemon = Daemon::start(&site.home).await;
    send(&daemon, CLOUD, "first", "ann@world.test").await;
    daemon.deferred("ann@world.test").await;
    daemon.stop().await;
    town.onprem.behave(Manner::clear());
    let daemon = Daemon::start(&site.home).await;
    assert_eq!(town.onprem.messages(1).await.len(), 1);
    assert!(town.world.arrived().is_empty());

    // Mail that waits goes the other way once the table says so.
    town.onprem.behave(Manner::clear().greeting("421 4.3.2 later"));
    send(&daemon, CLOUD, "second", "bob@world.test").await;
    daemon.deferred("bob@world.test").await;
    site.configure_all(&town.config("\"exchange-in\""));
    let answer = daemon.ask(&["reload"]).await;
    let served = answer["served"].to_string();
    assert!(
        served.contains("* arriving by cloud-in: was served by central (opportunistic), now served by world")
            && served.contains(
                "* arriving by exchange-in: was served by world (opportunistic), now served by central"
            ),
        "{answer}"
    );
    assert_eq!(town.world.messages(1).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_says_for_which_arrivals_less_is_required() {
    let (site, town) = (Site::new(), Town::start().await);
    let sealed = "tls = \"forced\"\nrequire = \"encryption\"\ncost = 1";
    let forced = town.config("\"cloud-in\"").replace("tls = \"opportunistic\"\ncost = 1", sealed);
    site.configure_all(&forced);
    let daemon = Daemon::start(&site.home).await;
    site.configure_all(&town.config("\"exchange-in\""));
    let answer = daemon.ask(&["reload"]).await;
    let loosened: Vec<&Value> = answer["loosened"].as_array().unwrap().iter().collect();
    assert_eq!(loosened.len(), 1, "{answer}");
    assert_eq!(loosened[0]["arrives_by"], "cloud-in");
    let what = loosened[0]["what"].as_str().unwrap();
    assert!(
        what.starts_with("*: outbound mail that arrives by cloud-in required TLSv1.2 or later"),
        "{what}"
    );
}

/// A message that this gateway has had so often before.
async fn send_again(daemon: &Daemon, from: [u8; 4], (id, to): (&str, &str), times: usize) -> Reply {
    let line = format!("Received: from x ([192.0.2.1])\r\n\tby {NAME} with ESMTP id 1; date\r\n");
    let mut message = mix::plain(id, 1, 200, "ada@a.test", to).remove(0);
    message.content = [line.repeat(times).into_bytes(), message.content].concat();
    Client::hello_from(from, daemon.at("in")).await.transact(&message).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_comes_again_and_again_is_refused() {
    let site = Site::new();
    let exchange = Sink::start_at("127.0.0.3:0", Manner::clear()).await;
    let config = [
        LISTENER.to_owned(),
        own("exchange-in", EXCHANGE),
        own("cloud-in", CLOUD),
        outbound("exchange-out", "*", exchange.address, OPPORTUNISTIC),
    ];
    site.configure_all(&config.concat());
    let daemon = Daemon::start(&site.home).await;
    // Where it came from, it may have to go back to: after a check, or from a list.
    for (id, from, times) in [("new", EXCHANGE, 0), ("second", EXCHANGE, 1), ("last", CLOUD, 15)] {
        assert_eq!(send_again(&daemon, from, (id, "ann@world.test"), times).await.code, 250);
    }
    exchange.messages(3).await;
    let reply = send_again(&daemon, CLOUD, ("too-often", "ann@world.test"), 16).await;
    assert_eq!(
        reply.text.trim_end(),
        format!("554 5.4.6 mail loop: the message has passed {NAME} 16 times before")
    );
    daemon.queue_empty().await;
    assert_eq!(exchange.arrived().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_that_no_way_leads_back_from_is_reported_to_the_postmaster() {
    let site = Site::new();
    let refusing = Sink::start(Manner::clear().replying("RCPT", "550 5.1.1 no such user")).await;
    let home = Sink::start(Manner::clear()).await;
    let only = format!("from_connectors = [\"cloud-in\"]\n{OPPORTUNISTIC}");
    let config = [
        LISTENER.to_owned(),
        own("cloud-in", CLOUD),
        outbound("central", "*", refusing.address, &only),
        outbound("home", "sealpost.test", home.address, OPPORTUNISTIC),
    ];
    site.configure_all(&config.concat());
    let output = site.home.run(&["check"], &[]);
    let checked = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(checked.contains("no report reaches the senders of cloud-in at \"*\""), "{checked}");
    let daemon = Daemon::start(&site.home).await;
    let message = mix::plain("lost", 1, 200, "ada@elsewhere.test", "bob@world.test").remove(0);
    let mut client = Client::hello_from(CLOUD, daemon.at("in")).await;
    assert_eq!(client.transact(&message).await.unwrap().code, 250);
    let report = home.messages(1).await.remove(0);
    assert_eq!(report.recipients, ["postmaster@sealpost.test"]);
    assert!(String::from_utf8_lossy(&report.content).contains("550 5.1.1 no such user"));
}

#[test]
fn explain_says_which_way_each_arrival_goes() {
    let site = Site::new();
    let dead = crate::peer::daemon::free_address();
    let central =
        outbound("central", "*", dead, &format!("from_connectors = [\"cloud-in\"]\n{OPPORTUNISTIC}"));
    let config = [
        LISTENER.to_owned(),
        own("cloud-in", CLOUD),
        own("exchange-in", EXCHANGE),
        central,
        outbound("world", "*", dead, OPPORTUNISTIC),
    ];
    site.configure_all(&config.concat());
    let explain = |rest: &[&str]| {
        let output = site.home.run(&["explain"], rest);
        String::from_utf8(output.stdout).unwrap() + &String::from_utf8_lossy(&output.stderr)
    };
    let said = explain(&["--to", "ann@world.test"]);
    assert!(said.contains("to <ann@world.test>: connector world by *\n"), "{said}");
    assert!(said.contains("  connector central if it arrives by cloud-in"), "{said}");
    assert!(
        said.contains("not central: * covers the recipient, but only for mail that arrives by cloud-in"),
        "{said}"
    );
    let said = explain(&["--to", "ann@world.test", "--arrives-by", "cloud-in"]);
    assert!(said.contains("to <ann@world.test>, arrived by cloud-in: connector central by *\n"), "{said}");
    assert!(said.contains("not world: * covers the recipient, but central names the arrival"), "{said}");
    let from = |ip: &str| explain(&["--from", "ada@a.test", "--peer-ip", ip, "--to", "ann@world.test"]);
    assert!(from("127.0.0.2").contains("arrived by cloud-in: connector central by *"));
    assert!(from("127.0.0.3").contains("arrived by exchange-in: connector world by *"));
    let said = explain(&["--to", "ann@world.test", "--arrives-by", "nobody"]);
    assert!(
        said.contains("no inbound connector is named \"nobody\"; there is cloud-in, exchange-in"),
        "{said}"
    );
}
