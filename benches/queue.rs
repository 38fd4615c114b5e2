//! A long queue: a million messages in one lane, in a million lanes, and for twenty dead partners. For each: the
//! start until ready and until the first delivery, memory, how long the 250s to a client and its mail to a live
//! partner take while the queue is tried and while all of it is retried, how long an operator waits for an answer,
//! and the end. Then how long mail to a live partner takes beside twenty dead ones.
//! `cargo bench --bench queue [-- MESSAGES] [one] [many] [twenty] [beside]`.
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

use std::collections::HashMap;
use std::time::{Duration, Instant};

use peer::client::Client;
use peer::daemon::Daemon;
use peer::dns::Dns;
use peer::mix;
use peer::queued::{DEAD, dead_partners, fill, fill_by};
use peer::sink::{Arrived, Manner, Sink};
use peer::site::{OPPORTUNISTIC, Site, outbound};
use peer::town::by_mx;

#[tokio::main]
async fn main() {
    let wanted = std::env::args().filter_map(|arg| arg.parse().ok()).next();
    let count = wanted.unwrap_or(1_000_000);
    let named: Vec<String> =
        std::env::args().filter(|arg| ["one", "many", "twenty", "beside"].contains(&arg.as_str())).collect();
    let asked = |name: &str| named.is_empty() || named.iter().any(|other| other == name);
    if asked("one") {
        println!("\n{count} messages in one lane, whose host refuses connections");
        long_queue(count, |n| (format!("r{n}@d0.test"), "dead0/".to_owned())).await;
    }
    if asked("many") {
        println!("\n{count} messages in as many lanes, whose common host refuses connections");
        long_queue(count, |n| (format!("r@d{n}.many.test"), format!("mx/d{n}.many.test"))).await;
    }
    if asked("twenty") {
        println!("\n{count} messages in twenty lanes, whose hosts refuse connections");
        let twenty = |n| (format!("r{n}@d{}.test", n % DEAD), format!("dead{}/", n % DEAD));
        long_queue(count, twenty).await;
    }
    if asked("beside") {
        println!();
        beside_the_dead().await;
    }
}

async fn long_queue(count: usize, to: impl Fn(usize) -> (String, String)) {
    let (site, dns) = (Site::new(), Dns::start().await);
    let sink = Sink::start(Manner::clear()).await;
    dns.lasting(3_600).mx_below("many.test", "mx.many.test").a("mx.many.test", [127, 9, 0, 1].into());
    let live = outbound("live", "live.test", sink.address, OPPORTUNISTIC);
    let warn = "[log]\nlevel = \"error\"\n\n";
    // Nobody listens on port 9 (discard).
    site.configure(&format!("{warn}{}{}{live}", dead_partners(), by_mx(&dns, 9, OPPORTUNISTIC)));
    let begun = Instant::now();
    fill_by(&site, count, to, Some("bob@live.test")).await;
    println!("  queued in {:.1} s", begun.elapsed().as_secs_f64());
    let begun = Instant::now();
    let daemon = Daemon::start(&site.home).await;
    let ready = begun.elapsed();
    println!("  start to ready {:.2} s; memory then {} MiB", ready.as_secs_f64(), daemon.resident() / 1024);
    let first = async {
        sink.until("the first delivery", PATIENCE, |log| !log.arrived.is_empty()).await;
        begun.elapsed()
    };
    let (first, seen) = tokio::join!(first, waits(&daemon, &sink, LOAD, "load"));
    println!("  start to the first delivery {:.2} s (of the last message queued)", first.as_secs_f64());
    seen.print("while the queue is tried");
    println!("  memory {} MiB", daemon.resident() / 1024);
    operator(&daemon).await;
    let retry = async {
        let begun = Instant::now();
        daemon.command(&["queue", "retry", "--all"]).await;
        begun.elapsed().as_secs_f64()
    };
    let (retry, seen) = tokio::join!(retry, waits(&daemon, &sink, LOAD, "retry"));
    println!("  queue retry --all: {retry:.2} s");
    seen.print("during queue retry --all and after it");
    operator(&daemon).await;
    println!("  memory {} MiB", daemon.resident() / 1024);
    let (begun, mut daemon) = (Instant::now(), daemon);
    daemon.signal("TERM");
    peer::within("the end", PATIENCE, daemon.ended()).await;
    println!("  stop {:.2} s", begun.elapsed().as_secs_f64());
}

/// How long the verbs of an operator take, the slowest of five.
async fn operator(daemon: &Daemon) {
    for verb in [&["queue", "top"][..], &["connectors"], &["queue", "list", "--domain", "d0.test"]] {
        let mut most = Duration::ZERO;
        for _ in 0..5 {
            let begun = Instant::now();
            daemon.command(verb).await;
            most = most.max(begun.elapsed());
        }
        println!("  sealpost {}: {:.2} s at most", verb.join(" "), most.as_secs_f64());
    }
}

/// What a client sees, in milliseconds.
struct Waits {
    greetings: Vec<f64>,
    taken: Vec<f64>,
    delivered: Vec<f64>,
}

/// For so long, a message each 20 ms to the live partner; every tenth on a new connection.
async fn waits(daemon: &Daemon, sink: &Sink, time: Duration, label: &str) -> Waits {
    let (end, mut pace) = (Instant::now() + time, tokio::time::interval(Duration::from_millis(20)));
    let mut acknowledged = HashMap::new();
    let mut waits = Waits { greetings: Vec::new(), taken: Vec::new(), delivered: Vec::new() };
    while Instant::now() < end {
        let begun = Instant::now();
        let mut client = Client::hello(daemon.at("in")).await;
        waits.greetings.push(milliseconds(begun.elapsed()));
        for _ in 0..10 {
            pace.tick().await;
            let id = format!("{label}-{}", acknowledged.len());
            let message = mix::plain(&id, 1, 4_096, "ada@a.test", "bob@live.test").remove(0);
            let begun = Instant::now();
            client.transact_pipelined(&message).await.unwrap();
            waits.taken.push(milliseconds(begun.elapsed()));
            acknowledged.insert(message.id, Instant::now());
        }
        client.say("QUIT").await;
    }
    let ours = |arrived: &Arrived| acknowledged.get(&mix::id_of(&arrived.content)?).copied();
    let count = acknowledged.len();
    sink.until("mail to the live partner", PATIENCE, |log| {
        log.arrived.iter().filter(|arrived| ours(arrived).is_some()).count() >= count
    })
    .await;
    let wait = |arrived: &Arrived| Some(arrived.at.saturating_duration_since(ours(arrived)?));
    waits.delivered = sink.arrived().iter().filter_map(wait).map(milliseconds).collect();
    waits
}

impl Waits {
    fn print(mut self, when: &str) {
        println!("  {when} (50, 99 of 100, most; ms):");
        for (what, times) in [
            ("greeting", &mut self.greetings),
            ("250", &mut self.taken),
            ("250 to delivery", &mut self.delivered),
        ] {
            times.sort_by(f64::total_cmp);
            let (median, late) = (times[times.len() / 2], times[times.len() * 99 / 100]);
            println!("    {what}: {median:.1}, {late:.1}, {:.1}", times[times.len() - 1]);
        }
    }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// How long each kind of load is watched.
const LOAD: Duration = Duration::from_secs(10);
/// Longer than anything takes that is worth to be measured.
const PATIENCE: Duration = Duration::from_secs(180);

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
