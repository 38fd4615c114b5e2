//! Messages a second through the shipped relay, and through a Postfix beside it where `tests/run` has
//! unpacked one: the same source, the same sink, 4 KiB messages, TLS both ways with the next hop's
//! name verified, 20 sessions. `cargo bench --bench relay`.
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

use peer::mint::Kind;
use peer::mix;
use peer::postfix::{Postfix, Relay};
use peer::sink::Sink;
use peer::site::{IDENTITY, PARTNER, Site, outbound};
use peer::source::Source;
use rustls::ClientConfig;

const SIZE: usize = 4_096;
const SESSIONS: usize = 20;
const RUNS: usize = 3;

#[tokio::main]
async fn main() {
    let mut ours = Vec::new();
    let mut theirs = Vec::new();
    for _ in 0..RUNS {
        ours.push(sealpost(10_000).await);
        if Postfix::missing().is_none() {
            theirs.push(postfix(3_000).await);
        }
    }
    println!("sealpost: {}", line(&mut ours));
    match Postfix::missing() {
        Some(why) => println!("postfix: left out: {why} (set SEALPOST_PEERS=target/peers)"),
        None => println!("postfix:  {}", line(&mut theirs)),
    }
}

/// The relay's own processor time is read from /proc, so that source and sink don't count.
async fn sealpost(count: usize) -> (f64, Option<f64>) {
    let site = Site::new();
    let sink = site.good_sink().await;
    let log = "[log]\nlevel = \"warn\"\n\n";
    let daemon = site.start(&(log.to_owned() + &outbound("out", "b.test", sink.address, IDENTITY))).await;
    let before = processor_ms(daemon.pid());
    let rate = through(daemon.at("in"), site.ours.client(None), peer::daemon::NAME, &sink, count).await;
    let spent = (processor_ms(daemon.pid()) - before) / count as f64;
    daemon.stop().await;
    (rate, Some(spent))
}

async fn postfix(count: usize) -> (f64, Option<f64>) {
    let site = Site::new();
    let sink = site.good_sink().await;
    let relay = Relay { to: sink.address, verify: Some((&site.partners, PARTNER)) };
    let postfix = Postfix::start(&site.ours.pair(&["mail.postfix.test"], Kind::Good), relay).await;
    let client = site.ours.client(None);
    (through(postfix.address, client, "mail.postfix.test", &sink, count).await, None)
}

async fn through(to: SocketAddr, tls: Arc<ClientConfig>, name: &str, sink: &Sink, count: usize) -> f64 {
    let messages = mix::plain("bench", count, SIZE, "ada@a.test", "bob@b.test");
    let begun = Instant::now();
    Source::sealed(to, SESSIONS, tls, name).send_all(messages).await;
    sink.until("all messages", Duration::from_secs(120), |log| log.arrived.len() >= count).await;
    count as f64 / begun.elapsed().as_secs_f64()
}

fn processor_ms(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    // Fields 14 and 15 of proc(5), in ticks of 10 ms; the name and what stands before it are gone.
    let ticks: f64 = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
    ticks * 10.0
}

fn line(runs: &mut [(f64, Option<f64>)]) -> String {
    runs.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (least, most) = (runs[0].0, runs[runs.len() - 1].0);
    let (median, spent) = runs[runs.len() / 2];
    let spent = spent.map(|ms| format!(", {ms:.3} ms of processor time a message")).unwrap_or_default();
    format!("{median:.0} messages a second (median of {}; {least:.0} to {most:.0}){spent}", runs.len())
}
