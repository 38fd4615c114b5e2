//! How long pages of the console take with 1,000,000 tracked and 100,000 queued messages, and what mail sees meanwhile.
//! `cargo bench --bench console [-- TRACKED QUEUED]`.
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
#[path = "support/tracked.rs"]
mod tracked;

use std::time::{Duration, Instant};

use peer::browser::WebRequest;
use peer::client::Client;
use peer::daemon::Daemon;
use peer::mix;
use peer::queued::{dead_partners, fill};
use peer::sink::{Manner, Sink};
use peer::site::{ADMIN, OPPORTUNISTIC, Site, outbound};

#[tokio::main]
async fn main() {
    let mut counts = std::env::args().filter_map(|arg| arg.parse::<usize>().ok());
    let (tracked, queued) = (counts.next().unwrap_or(1_000_000), counts.next().unwrap_or(100_000));
    let (site, sink) = (Site::new(), Sink::start(Manner::clear()).await);
    let live = outbound("live", "live.test", sink.address, OPPORTUNISTIC);
    site.write_tokens(&format!("operator ada {TOKEN}\n"));
    site.configure(&format!("{ADMIN}[log]\nlevel = \"error\"\n\n{}{live}", dead_partners()));
    let begun = Instant::now();
    let first = tracked::write(&site.home.path().join("data"), u64::try_from(tracked).expect("a number"));
    println!("{tracked} messages tracked in {:.1} s", begun.elapsed().as_secs_f64());
    fill(&site, queued, None).await;
    let daemon = Daemon::start(&site.home).await;
    println!("{queued} messages queued; memory {} MiB", daemon.resident() / 1024);
    let form = WebRequest::new("POST", "/login").form(&[("token", TOKEN), ("next", "/")]);
    let answer = form.to(daemon.at("admin")).await;
    let cookie = answer.header("set-cookie").expect("a session").split(';').next().unwrap().to_owned();
    let id = sealpost::mail::QueueId::first_of(first + 1_234);
    let asked = id.to_string();
    let message = format!("/trace/{asked}");
    let by_id = format!("/trace?q={asked}");
    for path in [
        "/",
        "/partners",
        "/queue",
        "/queue?domain=d3.test",
        "/trace",
        &by_id,
        "/trace?q=user77%40d5.example",
        "/trace?q=nobody%40nowhere.example",
        "/trace?subject=word99",
        "/trace?connector=partner-3",
        "/trace?event=failed",
        &message,
        "/certificates",
        "/reports",
        "/reports?days=365",
    ] {
        time(&daemon, path, &cookie).await;
    }
    println!("memory {} MiB", daemon.resident() / 1024);
    crowd(&daemon, &cookie).await;
    println!("memory {} MiB", daemon.resident() / 1024);
}

async fn time(daemon: &Daemon, path: &str, cookie: &str) {
    let mut spent = Vec::new();
    let mut octets = 0;
    for _ in 0..9 {
        let begun = Instant::now();
        let answer = WebRequest::new("GET", path).header("Cookie", cookie).to(daemon.at("admin")).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        spent.push(begun.elapsed());
        octets = answer.body.len();
    }
    spent.sort();
    println!(
        "{path:<40} first to last {:>8.1?} to {:>8.1?}, median {:>8.1?}, {octets} octets",
        spent[0], spent[8], spent[4]
    );
}

/// What a transaction takes while eight people ask for the dearest pages.
async fn crowd(daemon: &Daemon, cookie: &str) {
    let end = Instant::now() + Duration::from_secs(10);
    let people: Vec<_> = (0..8)
        .map(|number| {
            let (address, cookie) = (daemon.at("admin"), cookie.to_owned());
            let path = ["/", "/trace?subject=wor*", "/queue", "/reports?days=365"][number % 4];
            tokio::spawn(async move {
                let mut pages = 0;
                while Instant::now() < end {
                    WebRequest::new("GET", path).header("Cookie", &cookie).to(address).await;
                    pages += 1;
                }
                pages
            })
        })
        .collect();
    let mut client = Client::hello(daemon.at("in")).await;
    let mut spent = Vec::new();
    while Instant::now() < end {
        let message =
            mix::plain(&format!("m{}", spent.len()), 1, 4_096, "ada@a.test", "bob@live.test").remove(0);
        let begun = Instant::now();
        client.transact_pipelined(&message).await.unwrap();
        spent.push(begun.elapsed());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mut pages = 0;
    for one in people {
        pages += one.await.unwrap();
    }
    spent.sort();
    println!(
        "eight people, {pages} pages in 10 s; meanwhile a transaction took {:.1?} (median), {:.1?} at most",
        spent[spent.len() / 2],
        spent[spent.len() - 1]
    );
}

const TOKEN: &str = "fedcba9876543210fedcba9876543210";
