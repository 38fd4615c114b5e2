//! kill -9 under load: what was acknowledged is never lost.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::peer::client::Client;
use crate::peer::daemon::{Daemon, free_address};
use crate::peer::mix::{self, Message};
use crate::peer::sink::{End, Manner, Sink};
use crate::peer::site::{ANYONE, IDENTITY, LISTENER, OPPORTUNISTIC, QUICK, Site, outbound};
use crate::peer::source::Source;
use crate::peer::{LONG, eventually, within};

const PRODUCERS: usize = 20;
const KILLS: usize = 20;
/// Acknowledged messages between two kills.
const BETWEEN: usize = 60;

/// Which daemon runs: 0 at first, then one more for each restart; `None` at the end.
type Life = Option<usize>;

#[tokio::test(flavor = "multi_thread")]
async fn twenty_kills_lose_nothing_that_was_acknowledged() {
    let site = Site::new();
    let sink = site.good_sink().await;
    let address = free_address();
    let listener = LISTENER.replace("127.0.0.1:0", &address.to_string());
    let out = outbound("out", "b.test", sink.address, IDENTITY);
    site.configure_all(&format!("{QUICK}{listener}{ANYONE}{out}"));
    let mut daemon = Daemon::start(&site.home).await;
    let (life, lives) = watch::channel::<Life>(Some(0));
    let count = Arc::new(AtomicUsize::new(0));
    let (acknowledged, mut news) = watch::channel(0);
    let mut producers = JoinSet::new();
    for number in 0..PRODUCERS {
        let producer = Producer {
            source: source(&site, address, number),
            lives: lives.clone(),
            count: Arc::clone(&count),
            told: acknowledged.clone(),
        };
        producers.spawn(producer.run(number));
    }
    for kill in 1..=KILLS {
        let goal = count.load(Ordering::SeqCst) + BETWEEN;
        within("acknowledged messages", LONG, news.wait_for(|seen| *seen >= goal)).await.unwrap();
        daemon.kill().await;
        daemon = Daemon::start(&site.home).await;
        life.send_replace(Some(kill));
    }
    life.send_replace(None);
    let mut kept: Vec<Message> = Vec::new();
    while let Some(part) = within("the end of a producer", LONG * 2, producers.join_next()).await {
        kept.extend(part.unwrap());
    }
    assert!(kept.len() >= KILLS * BETWEEN);
    daemon.queue_empty().await;
    let mut arrived: HashMap<String, Vec<Vec<u8>>> = HashMap::new();
    for message in sink.arrived() {
        arrived.entry(mix::id_of(&message.content).unwrap()).or_default().push(message.content);
    }
    let lost: Vec<&str> =
        kept.iter().map(|m| m.id.as_str()).filter(|id| !arrived.contains_key(*id)).collect();
    assert!(lost.is_empty(), "{} of {} acknowledged messages are lost: {lost:?}", lost.len(), kept.len());
    for message in &kept {
        for copy in &arrived[&message.id] {
            mix::assert_same(&message.id, &message.content, copy);
        }
    }
    sink.assert_nothing_in_clear();
    assert_delivered_means_arrived(&daemon, &sink).await;
}

/// A kill may cost the last second of tracking, but what the store says was delivered has arrived.
async fn assert_delivered_means_arrived(daemon: &Daemon, sink: &Sink) {
    let arrived: HashSet<String> = sink
        .arrived()
        .iter()
        .filter_map(|message| {
            let text = String::from_utf8_lossy(&message.content).into_owned();
            let id = text.split(" id ").nth(1)?.chars().take(13).collect();
            Some(id)
        })
        .collect();
    let told = async || {
        let told = daemon.command(&["trace", "--event", "delivered", "--limit", "1000000"]).await;
        let lines = String::from_utf8(told.stdout).unwrap();
        let events = lines.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        let delivered: Vec<String> = events
            .filter(|event| event["event"] == "delivered")
            .filter_map(|event| event["id"].as_str().map(str::to_owned))
            .collect();
        (!delivered.is_empty()).then_some(delivered)
    };
    let delivered = eventually("the deliveries of the last life", LONG, told).await;
    let false_ones: Vec<&String> = delivered.iter().filter(|id| !arrived.contains(*id)).collect();
    assert!(false_ones.is_empty(), "told as delivered, and never arrived: {false_ones:?}");
}

/// Half of the producers come over TLS.
fn source(site: &Site, address: SocketAddr, number: usize) -> Source {
    if number.is_multiple_of(2) { site.source(address, 1) } else { Source::clear(address, 1) }
}

struct Producer {
    source: Source,
    lives: watch::Receiver<Life>,
    count: Arc<AtomicUsize>,
    told: watch::Sender<usize>,
}

impl Producer {
    /// Sends until the end, and gives back what was acknowledged.
    async fn run(mut self, number: usize) -> Vec<Message> {
        let mut corpus = mix::messages(&format!("p{number}"), 97, "ada@a.test", "bob@b.test");
        // A kill amid a large message is rare: some more of them.
        corpus[7].content.extend(b"0123456789abcdef0123456789abcdef\r\n".repeat(6000));
        let mut kept = Vec::new();
        let mut sent = 0;
        loop {
            let Some(_) = *self.lives.borrow_and_update() else { return kept };
            // A connection that a killed daemon never accepted may be told nothing of its end: the next
            // life ends the wait for a greeting, as a time limit would elsewhere.
            let opened = tokio::select! {
                opened = self.source.open() => opened,
                _ = self.lives.changed() => continue,
            };
            let Ok(mut client) = opened else {
                // The daemon is down: its next life is an event.
                let _ = self.lives.changed().await;
                continue;
            };
            while !self.over() {
                let mut message = corpus[sent % corpus.len()].clone();
                let id = format!("p{number}-{sent}-unique");
                message.content = renamed(&message, &id);
                message.id = id;
                sent += 1;
                match within(&message.id, LONG, client.transact_pipelined(&message)).await {
                    Ok(reply) if reply.code == 250 => {
                        kept.push(message);
                        let total = self.count.fetch_add(1, Ordering::SeqCst) + 1;
                        self.told.send_if_modified(|seen| {
                            let more = total > *seen;
                            *seen = total.max(*seen);
                            more
                        });
                    }
                    Ok(reply) => panic!("{}: {}", message.id, reply.text),
                    Err(_) => break,
                }
            }
        }
    }

    fn over(&self) -> bool {
        self.lives.borrow().is_none()
    }
}

/// The same message under another id, of which each is sent once.
fn renamed(message: &Message, id: &str) -> Vec<u8> {
    let marker = format!("X-Test-Id: {}\r\n", message.id);
    let at = memchr::memmem::find(&message.content, marker.as_bytes()).unwrap();
    let (before, rest) = message.content.split_at(at);
    [before, format!("X-Test-Id: {id}\r\n").as_bytes(), &rest[marker.len()..]].concat()
}

/// Recipients `yesN` are never refused for good, `noN` always; all else that a next hop can do happens to both,
/// by chance, and the relay is killed twice meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn each_recipient_ends_once_whatever_the_next_hop_does_and_however_often_we_are_killed() {
    let mut chance = fastrand::Rng::with_seed(20_261_124);
    let site = Site::new();
    let (partner, home) = (Sink::start(no_never(Manner::clear())).await, Sink::start(Manner::clear()).await);
    let address = free_address();
    let listener = LISTENER.replace("127.0.0.1:0", &address.to_string());
    let quick = "[queue]\nretry = [\"1s\"]\n\n";
    let out = outbound("out", "b.test", partner.address, OPPORTUNISTIC)
        + &outbound("home", "a.test", home.address, OPPORTUNISTIC);
    site.configure_all(&format!("{quick}{listener}{ANYONE}{out}"));
    let mut daemon = Daemon::start(&site.home).await;
    for round in 0..30 {
        partner.behave(misbehaving(&mut chance));
        let mut message = mix::plain(&format!("r{round}"), 1, 300, "ada@a.test", "").remove(0);
        message.to =
            vec![format!("yes{round}@b.test"), format!("no{round}@b.test"), format!("yes{round}x@b.test")];
        let reply = Client::hello(address).await.transact(&message).await.unwrap();
        assert_eq!(reply.code, 250, "{}", reply.text);
        if round % 10 == 9 && round < 29 {
            daemon.kill().await;
            daemon = Daemon::start(&site.home).await;
        } else if round % 3 == 0 {
            daemon.command(&["queue", "retry", "--all"]).await;
        }
    }
    partner.behave(no_never(Manner::clear()));
    eventually("an empty queue", LONG * 2, async || {
        daemon.command(&["queue", "retry", "--all"]).await;
        daemon.queue().await.is_empty().then_some(())
    })
    .await;
    let delivered: Vec<String> =
        partner.arrived().into_iter().flat_map(|arrived| arrived.recipients).collect();
    // A report may come twice where the relay was killed behind its dot: it is the same one.
    let mut reports: HashMap<String, String> = HashMap::new();
    for report in home.arrived() {
        let text = String::from_utf8_lossy(&report.content).into_owned();
        let id = text.lines().find(|line| line.starts_with("Message-ID: ")).unwrap().to_owned();
        reports.insert(id, text);
    }
    for round in 0..30 {
        for (to, fails) in [
            (format!("yes{round}@b.test"), false),
            (format!("no{round}@b.test"), true),
            (format!("yes{round}x@b.test"), false),
        ] {
            let told = reports
                .values()
                .filter(|text| text.contains(&format!("Final-Recipient: rfc822; {to}\r\n")))
                .count();
            let taken = delivered.iter().filter(|one| **one == to).count();
            assert_eq!((taken > 0, told), (!fails, usize::from(fails)), "{to}: taken {taken}, told {told}");
        }
    }
}

fn no_never(manner: Manner) -> Manner {
    manner.replying("rcpt to:<no", "550 5.1.1 nobody")
}

/// One of the things that next hops do.
fn misbehaving(chance: &mut fastrand::Rng) -> Manner {
    let manner = no_never(Manner::clear());
    let reply = ["421 4.3.2 closing", "451 4.3.0 later", "close"][chance.usize(..3)];
    match chance.usize(..8) {
        0 => manner.replying("ehlo", reply),
        1 => manner.replying("mail", reply),
        2 => manner.replying("rcpt to:<yes", reply),
        3 => manner.replying("data", reply),
        4 => manner.ending(End::Drop),
        5 => manner.ending(End::Reply("451 4.3.0 not this time")),
        6 => manner.ending(End::Reply("421 4.3.2 closing")),
        _ => manner,
    }
}
