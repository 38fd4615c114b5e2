//! Messages a second through the shipped relay, and through a Postfix beside it where `tests/run` has
//! unpacked one: the same source, the same sink, 4 KiB messages, TLS both ways with the next hop's
//! name verified, 20 sessions. First everything goes to one partner; then, `wide`, to 1,000 domains by turns,
//! which share 100 hosts. The first is also measured without tracking. `cargo bench --bench relay`.
#![allow(
    missing_docs,
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::as_conversions,
    clippy::wildcard_enum_match_arm,
    reason = "a benchmark ends with what it can't do, and uses the tests' peers"
)]

#[path = "../tests/it/peer/mod.rs"]
mod peer;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use peer::daemon::{Daemon, NAME};
use peer::dns::Dns;
use peer::mint::Kind;
use peer::mix::{self, Message};
use peer::postfix::{Postfix, Relay};
use peer::sink::{Manner, Sink};
use peer::site::{IDENTITY, PARTNER, Site, outbound};
use peer::source::Source;
use peer::town;
use rustls::ClientConfig;

const SIZE: usize = 4_096;
const SESSIONS: usize = 20;
const RUNS: usize = 3;
/// With and without tracking, side by side: the difference is as small as what runs differ by.
const PAIRS: usize = 9;

/// Nothing is kept of messages.
const UNTRACKED: &str = "[tracking]\nenabled = false\n\n";

/// Domains and hosts of the wide scenario, and the part of the loopback network they are in.
const DOMAINS: usize = 1_000;
const HOSTS: usize = 100;
const QUARTER: u8 = 1;

/// Messages a second, and the relay's own processor time for one in milliseconds, where it is known.
type Run = (f64, Option<f64>);

#[tokio::main]
async fn main() {
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    let mut untracked = Vec::new();
    let (mut ours_wide, mut theirs_wide) = (Vec::new(), Vec::new());
    for _ in 0..PAIRS {
        ours.push(sealpost(10_000, "").await);
        untracked.push(sealpost(10_000, UNTRACKED).await);
    }
    for _ in 0..RUNS {
        ours_wide.push(sealpost_wide(10_000).await);
        if Postfix::missing().is_none() {
            theirs.push(postfix(3_000).await);
            theirs_wide.push(postfix_wide(3_000).await);
        }
    }
    let one = line("sealpost:      ", &mut ours);
    let without = line("untracked:     ", &mut untracked);
    println!("tracked / untracked: {:.2}", one / without);
    let wide = line("sealpost wide: ", &mut ours_wide);
    println!("wide / one partner: {:.2}", wide / one);
    match Postfix::missing() {
        Some(why) => println!("postfix: left out: {why} (set SEALPOST_PEERS=target/peers)"),
        None => {
            line("postfix:       ", &mut theirs);
            line("postfix wide:  ", &mut theirs_wide);
        }
    }
}

async fn sealpost(count: usize, settings: &str) -> Run {
    let site = Site::new();
    let sink = site.good_sink().await;
    let daemon =
        site.start(&(WARN.to_owned() + settings + &outbound("out", "b.test", sink.address, IDENTITY))).await;
    measured(daemon, &site, &sink, to_one(count)).await
}

/// A town of hosts that all do well; its name server lets answers be kept, as most do.
async fn sealpost_wide(count: usize) -> Run {
    let (site, dns) = (Site::new(), Dns::start().await);
    let sink = good_town(&site).await;
    dns.lasting(300);
    town::populate(&dns, QUARTER, DOMAINS, HOSTS);
    let daemon = site.start(&(WARN.to_owned() + &town::by_mx(&dns, sink.address.port(), IDENTITY))).await;
    let run = measured(daemon, &site, &sink, to_many(count)).await;
    let hosts = sink.read(|log| log.hosts.len());
    assert_eq!(hosts, HOSTS, "every host has mail");
    println!("wide: {} sessions", sink.read(|log| log.sessions));
    run
}

/// The relay's own processor time is read from /proc, so that source and sink don't count.
async fn measured(daemon: Daemon, site: &Site, sink: &Sink, messages: Vec<Message>) -> Run {
    let (before, count) = (daemon.processor_ms(), messages.len());
    let rate = through(daemon.at("in"), site.ours.client(None), NAME, sink, messages).await;
    let spent = (daemon.processor_ms() - before) / count as f64;
    daemon.stop().await;
    (rate, Some(spent))
}

async fn postfix(count: usize) -> Run {
    let site = Site::new();
    let sink = site.good_sink().await;
    (through_postfix(&site, &sink, "", to_one(count)).await, None)
}

/// Without DNS: the table says what the name server says to ours.
async fn postfix_wide(count: usize) -> Run {
    let site = Site::new();
    let sink = good_town(&site).await;
    let port = sink.address.port();
    let transport: String = (0..DOMAINS)
        .map(|n| {
            let (domain, host) = (town::domain(QUARTER, n), town::host(QUARTER, n % HOSTS));
            format!("{domain} smtp:[{host}]:{port}\n")
        })
        .collect();
    (through_postfix(&site, &sink, &transport, to_many(count)).await, None)
}

async fn through_postfix(site: &Site, sink: &Sink, transport: &str, messages: Vec<Message>) -> f64 {
    let own = site.ours.pair(&["mail.postfix.test"], Kind::Good);
    let relay = Relay { to: sink.address, verify: Some((&site.partners, PARTNER)) };
    let postfix = Postfix::start_with(&own, relay, transport).await;
    through(postfix.address, site.ours.client(None), "mail.postfix.test", sink, messages).await
}

async fn good_town(site: &Site) -> Sink {
    let server = site.partners.pair(&[PARTNER], Kind::Good).server();
    Sink::town([(0, Manner::sealed(server))]).await
}

fn to_one(count: usize) -> Vec<Message> {
    mix::plain("bench", count, SIZE, "ada@a.test", "bob@b.test")
}

fn to_many(count: usize) -> Vec<Message> {
    let mut messages = to_one(count);
    for (number, message) in messages.iter_mut().enumerate() {
        message.to = vec![format!("bob@{}", town::domain(QUARTER, number % DOMAINS))];
    }
    messages
}

async fn through(
    to: SocketAddr,
    tls: Arc<ClientConfig>,
    name: &str,
    sink: &Sink,
    messages: Vec<Message>,
) -> f64 {
    let count = messages.len();
    let begun = Instant::now();
    Source::sealed(to, SESSIONS, tls, name).send_all(messages).await;
    sink.until("all messages", Duration::from_secs(120), |log| log.arrived.len() >= count).await;
    count as f64 / begun.elapsed().as_secs_f64()
}

/// Prints the runs; their median rate.
fn line(whose: &str, runs: &mut [Run]) -> f64 {
    runs.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (least, most) = (runs[0].0, runs[runs.len() - 1].0);
    let (median, spent) = runs[runs.len() / 2];
    let spent = spent.map(|ms| format!(", {ms:.3} ms of processor time a message")).unwrap_or_default();
    println!(
        "{whose}{median:.0} messages a second (median of {}; {least:.0} to {most:.0}){spent}",
        runs.len()
    );
    median
}

const WARN: &str = "[log]\nlevel = \"warn\"\n\n";
