//! A long queue: a million messages for twenty dead partners, from the start to the first delivery, the memory it
//! takes, and how long `queue top` waits; then how long mail to a live partner takes beside twenty dead ones.
//! `cargo bench --bench queue [-- MESSAGES]`.
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

use std::time::{Duration, Instant};

use peer::client::Client;
use peer::daemon::Daemon;
use peer::mix;
use peer::queued::{DEAD, dead_partners, fill};
use peer::sink::{Manner, Sink};
use peer::site::{OPPORTUNISTIC, Site, outbound};

#[tokio::main]
async fn main() {
    let wanted = std::env::args().filter_map(|arg| arg.parse().ok()).next();
    million(wanted.unwrap_or(1_000_000)).await;
    beside_the_dead().await;
}

async fn million(count: usize) {
    let site = Site::new();
    let sink = Sink::start(Manner::clear()).await;
    site.configure(&(dead_partners() + &outbound("live", "live.test", sink.address, OPPORTUNISTIC)));
    let begun = Instant::now();
    fill(&site, count, Some("bob@live.test")).await;
    println!("queued {count} messages in {:.1} s", begun.elapsed().as_secs_f64());
    let begun = Instant::now();
    let daemon = Daemon::start(&site.home).await;
    let ready = begun.elapsed();
    sink.messages(1).await;
    println!(
        "start to ready {:.2} s, to the first delivery {:.2} s (of the last message queued)",
        ready.as_secs_f64(),
        begun.elapsed().as_secs_f64()
    );
    let mut most = 0;
    for _ in 0..20 {
        most = most.max(daemon.resident());
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    println!("resident memory: {} MiB at most in ten seconds", most / 1024);
    for verb in [
        &["queue", "top"][..],
        &["queue", "list", "--domain", "d0.test"],
        &["queue", "list", "--sender", "x@y.test"],
    ] {
        let begun = Instant::now();
        daemon.ask(verb).await;
        println!("sealpost {}: {:.2} s", verb.join(" "), begun.elapsed().as_secs_f64());
    }
    let begun = Instant::now();
    let message = mix::plain("live", 1, 1000, "ada@a.test", "bob@live.test").remove(0);
    Client::hello(daemon.at("in")).await.transact(&message).await.unwrap();
    sink.messages(2).await;
    println!("one more message beside them: {:.1} ms", begun.elapsed().as_secs_f64() * 1000.0);
    daemon.stop().await;
}

async fn beside_the_dead() {
    let mut medians = Vec::new();
    for queued in [0, 20_000] {
        let site = Site::new();
        let sink = Sink::start(Manner::clear()).await;
        site.configure(&(dead_partners() + &outbound("live", "live.test", sink.address, OPPORTUNISTIC)));
        fill(&site, queued, None).await;
        let daemon = Daemon::start(&site.home).await;
        let mut client = Client::hello(daemon.at("in")).await;
        let mut took = Vec::new();
        for count in 1..=300 {
            let message = mix::plain("live", 1, 4096, "ada@a.test", "bob@live.test").remove(0);
            let begun = Instant::now();
            client.transact(&message).await.unwrap();
            sink.messages(count).await;
            took.push(begun.elapsed().as_secs_f64() * 1000.0);
        }
        took.sort_by(f64::total_cmp);
        let (median, late) = (took[took.len() / 2], took[took.len() * 99 / 100]);
        println!(
            "{queued} messages for {DEAD} dead partners: a live one waits {median:.2} ms (99 of 100: {late:.2} ms)"
        );
        medians.push(median);
        daemon.stop().await;
    }
    println!("ratio of the medians: {:.2}", medians[1] / medians[0]);
}
