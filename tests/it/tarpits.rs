//! Crowds of partners, healthy, slow or mute: mail is taken at once whatever they do, no partner waits
//! for another, and the relay ends when it is told to.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::peer::client::Client;
use crate::peer::daemon::Daemon;
use crate::peer::dns::Dns;
use crate::peer::mix;
use crate::peer::sink::{End, Manner, SILENCE, Sink, SinkTls};
use crate::peer::site::{OPPORTUNISTIC, Site, outbound};
use crate::peer::town::{by_mx, domain, populate};
use crate::peer::within;

/// Hosts in order, a domain each.
const HEALTHY: u8 = 1;
/// Hosts that keep us waiting.
const MUTE: u8 = 2;
/// Hosts in order that nothing went to before.
const UNSEEN: u8 = 3;

/// How long a client may wait for its greeting, and for the 250 to its message.
const PROMPT: Duration = Duration::from_secs(1);
/// How long mail to a healthy partner may take beside mute ones, 95 of 100, by a debug build on a busy
/// machine. What a release build needs is for the benchmarks to say.
const SOON: Duration = Duration::from_secs(2);
/// Reached only by a test that fails.
const LIMIT: Duration = Duration::from_secs(20);
/// Sessions in which mail is handed in.
const CLIENTS: usize = 20;

#[tokio::test(flavor = "multi_thread")]
async fn seventy_slow_partners_have_all_their_mail() {
    crowd_of_slow_partners(70, 30).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_slow_partners_have_all_their_mail() {
    crowd_of_slow_partners(500, 2).await;
}

/// So many domains, each with a host of its own that takes 200 ms for a message.
async fn crowd_of_slow_partners(domains: usize, each: usize) {
    let (site, dns) = (Site::new(), Dns::start().await);
    let town = Sink::town([(0, slow(200))]).await;
    populate(&dns, HEALTHY, domains, domains);
    let daemon = site.start(&by_mx(&dns, town.address.port(), OPPORTUNISTIC)).await;
    let count = domains * each;
    let to = (0..count).map(|number| format!("bob@{}", domain(HEALTHY, number % domains)));
    hand_in(&daemon, "ada@a.test", to.collect()).await;
    town.until("all of the mail", LIMIT, |log| log.arrived.len() >= count).await;
    daemon.queue_empty().await;
    assert_eq!(town.read(|log| log.arrived.len()), count, "each message goes once");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_lane_with_more_backlog_than_there_are_connections() {
    let site = Site::new();
    let partner = Sink::start(slow(50)).await;
    let limits = "[limits]\noutbound_connections = 3\n\n";
    let daemon =
        site.start(&(limits.to_owned() + &outbound("out", "b.test", partner.address, OPPORTUNISTIC))).await;
    hand_in(&daemon, "ada@a.test", vec!["bob@b.test".to_owned(); 200]).await;
    partner.until("all of the mail", LIMIT, |log| log.arrived.len() >= 200).await;
    let most = partner.read(|log| log.waiting.most);
    assert!(most <= 3, "{most} messages on their way at the same time");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_smart_host_with_a_rate_rests_without_a_busy_loop() {
    let site = Site::new();
    let partner = Sink::start(slow(100)).await;
    // Sixty at once, and ten a second from there on.
    let rate = format!("{OPPORTUNISTIC}messages_per_minute = 600\n");
    let daemon = site.start(&outbound("out", "*", partner.address, &rate)).await;
    hand_in(&daemon, "ada@a.test", (0..150).map(|n| format!("bob@d{}.test", n % 7)).collect()).await;
    // Four connections make up for the sixty within two seconds.
    partner.until("what may go at once", LIMIT, |log| log.arrived.len() >= 90).await;
    let (begun, before) = (Instant::now(), daemon.processor_ms());
    partner.until("what goes by the rate", LIMIT, |log| log.arrived.len() >= 105).await;
    let (took, spent) = (begun.elapsed().as_secs_f64() * 1000.0, daemon.processor_ms() - before);
    assert!(took > 1_000.0, "fifteen messages at ten a second went in {took:.0} ms");
    assert!(spent < took / 2.0, "{spent:.0} ms of processor time in {took:.0} ms of rest");
    hand_in(&daemon, "ada@a.test", vec!["bob@d1.test".to_owned()]).await;
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn beside_400_hosts_without_a_greeting() {
    beside(400, 400, Manner::clear().greeting(SILENCE)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn beside_400_domains_of_one_host_without_a_greeting() {
    beside(400, 1, Manner::clear().greeting(SILENCE)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn beside_400_hosts_that_stall_in_the_handshake() {
    beside(400, 400, Manner::new(SinkTls::Stalls)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn beside_400_hosts_that_never_answer_data() {
    beside(400, 400, Manner::clear().replying("data", SILENCE)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn beside_400_domains_of_one_host_that_never_answers_data() {
    beside(400, 1, Manner::clear().replying("data", SILENCE)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn beside_400_hosts_that_never_answer_the_final_dot() {
    beside(400, 400, Manner::clear().ending(End::Reply(SILENCE))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn beside_400_domains_of_one_host_that_never_answers_the_final_dot() {
    beside(400, 1, Manner::clear().ending(End::Reply(SILENCE))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn beside_2000_hosts_without_a_greeting() {
    beside(2_000, 2_000, Manner::clear().greeting(SILENCE)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn beside_2000_hosts_that_never_answer_data() {
    beside(2_000, 2_000, Manner::clear().replying("data", SILENCE)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn beside_2000_domains_of_one_host_without_a_greeting() {
    beside(2_000, 1, Manner::clear().greeting(SILENCE)).await;
}

/// Queues a message for each of so many domains, whose hosts keep us waiting in this manner; then mail to
/// healthy partners must go as if they weren't there.
async fn beside(domains: usize, hosts: usize, mute: Manner) {
    let scene = Scene::start(mute).await;
    populate(&scene.dns, MUTE, domains, hosts);
    hand_in(&scene.daemon, "ada@a.test", (0..domains).map(|n| format!("eve@{}", domain(MUTE, n))).collect())
        .await;
    scene.healthy_partners_are_served(&format!("{domains} mute domains on {hosts} hosts")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn beside_400_domains_whose_name_server_is_mute() {
    let scene = Scene::start(Manner::clear()).await;
    scene.dns.silent_below(&format!("q{MUTE}.test"));
    hand_in(&scene.daemon, "ada@a.test", (0..400).map(|n| format!("eve@{}", domain(MUTE, n))).collect())
        .await;
    scene.healthy_partners_are_served("400 domains without an answer from DNS").await;
}

/// Anyone can have reports sent to whom he likes: he names them as senders of mail that is refused.
#[tokio::test(flavor = "multi_thread")]
async fn reports_to_400_forged_senders_take_no_place_from_mail() {
    let scene = Scene::start(Manner::clear().greeting(SILENCE)).await;
    populate(&scene.dns, MUTE, 400, 400);
    let refusing = Manner::clear().replying("rcpt to:<nobody@", "550 5.1.1 no such user");
    scene.own.behave(refusing);
    let forged = (0..400).map(|n| (format!("ada@{}", domain(MUTE, n)), "nobody@own.test".to_owned()));
    Handing::to(&scene.daemon).all(forged.collect()).await;
    let refused = |line: &String| line.starts_with("RCPT TO:<nobody@");
    let all = |log: &crate::peer::sink::Log| log.commands.iter().filter(|c| refused(c)).count() >= 400;
    scene.own.until("what is refused", LIMIT, all).await;
    scene.healthy_partners_are_served("reports to 400 forged senders").await;
}

/// A kind of healthy partner: what it is, where its mail arrives, and its recipients by number.
type Kind<'a> = (&'static str, &'a Sink, fn(usize) -> String);

/// A daemon with default settings, mute hosts and three kinds of healthy partners: one known before, with
/// the connector of everyone else; one with a connector of its own; and many never seen before.
struct Scene {
    dns: Dns,
    town: Sink,
    own: Sink,
    daemon: Daemon,
    _site: Site,
}

impl Scene {
    async fn start(mute: Manner) -> Self {
        let (site, dns) = (Site::new(), Dns::start().await);
        let town = Sink::town([(0, Manner::clear()), (MUTE, mute)]).await;
        let own = Sink::start(Manner::clear()).await;
        populate(&dns, HEALTHY, 1, 1);
        populate(&dns, UNSEEN, BESIDE, BESIDE);
        let config = by_mx(&dns, town.address.port(), OPPORTUNISTIC)
            + &outbound("own", "own.test", own.address, OPPORTUNISTIC);
        let daemon = site.start(&config).await;
        hand_in(&daemon, "ada@a.test", vec![format!("bob@{}", domain(HEALTHY, 0))]).await;
        hand_in(&daemon, "ada@a.test", vec!["bob@own.test".to_owned()]).await;
        town.until("the first mail", LIMIT, |log| !log.arrived.is_empty()).await;
        own.until("the first mail", LIMIT, |log| !log.arrived.is_empty()).await;
        Self { dns, town, own, daemon, _site: site }
    }

    /// Once the mute hosts hold what they will, sends to each kind of healthy partner.
    async fn healthy_partners_are_served(self, beside: &str) {
        self.town.until_quiet(Duration::from_millis(300), Duration::from_secs(3)).await;
        let held = self.town.read(|log| log.sessions - log.ended);
        let kinds: [Kind<'_>; 3] = [
            ("one seen before", &self.town, |_| format!("bob@{}", domain(HEALTHY, 0))),
            ("one with a connector of its own", &self.own, |_| "bob@own.test".to_owned()),
            ("never seen before", &self.town, |n| format!("bob@{}", domain(UNSEEN, n))),
        ];
        for (kind, sink, to) in kinds {
            let before = sink.read(|log| log.arrived.len());
            let mut acknowledged = HashMap::new();
            let mut pace = tokio::time::interval(Duration::from_millis(20));
            let mut client = Client::hello(self.daemon.at("in")).await;
            for number in 0..BESIDE {
                pace.tick().await;
                let label = format!("{}-{number}", kind.replace(' ', "-"));
                let message = mix::plain(&label, 1, 2_000, "ada@a.test", &to(number)).remove(0);
                let reply = within("a 250", PROMPT, client.transact(&message)).await.unwrap();
                assert_eq!(reply.code, 250, "{}", reply.text);
                acknowledged.insert(message.id, Instant::now());
            }
            let what = format!("mail to a healthy partner, {kind}, beside {beside} ({held} sessions held)");
            sink.until(&what, LIMIT, |log| log.arrived.len() >= before + BESIDE).await;
            let arrived = sink.arrived();
            let waits = arrived.iter().filter_map(|arrived| {
                let acknowledged = acknowledged.get(&mix::id_of(&arrived.content)?)?;
                Some(arrived.at.saturating_duration_since(*acknowledged))
            });
            let mut waits: Vec<Duration> = waits.collect();
            waits.sort();
            assert_eq!(waits.len(), BESIDE);
            let (median, late) = (waits[BESIDE / 2], waits[BESIDE * 95 / 100]);
            println!("{what}: 250 to delivery {median:.1?}, 95 of 100 {late:.1?}");
            assert!(late < SOON, "{what}: 95 of 100 took up to {late:?}");
        }
        self.daemon.stop().await;
    }
}

/// Messages to each kind of healthy partner.
const BESIDE: usize = 40;

/// A host that needs so many milliseconds for a message.
fn slow(milliseconds: u64) -> Manner {
    Manner::clear().ending(End::After(Duration::from_millis(milliseconds)))
}

/// Hands in a message for each of these recipients; see [`Handing`].
async fn hand_in(daemon: &Daemon, from: &str, to: Vec<String>) {
    Handing::to(daemon).all(to.into_iter().map(|to| (from.to_owned(), to)).collect()).await;
}

/// Mail that is handed in, over several sessions of ten messages: each greeting and 250 comes promptly.
struct Handing {
    at: std::net::SocketAddr,
}

impl Handing {
    fn to(daemon: &Daemon) -> Self {
        Self { at: daemon.at("in") }
    }

    /// Messages by their reverse-path and forward-path.
    async fn all(&self, envelopes: Vec<(String, String)>) {
        let mut clients = JoinSet::new();
        let part = envelopes.len().div_ceil(CLIENTS).max(1);
        for (number, envelopes) in envelopes.chunks(part).enumerate() {
            clients.spawn(Self::some(self.at, number, envelopes.to_vec()));
        }
        let mut worst = (Duration::ZERO, Duration::ZERO);
        while let Some(client) = clients.join_next().await {
            let (greeting, taken) = client.unwrap();
            worst = (worst.0.max(greeting), worst.1.max(taken));
        }
        println!("{} messages taken: greetings in {:.1?}, 250s in {:.1?}", envelopes.len(), worst.0, worst.1);
    }

    /// The same by one client; the longest waits for a greeting and for a 250.
    async fn some(
        at: std::net::SocketAddr,
        number: usize,
        envelopes: Vec<(String, String)>,
    ) -> (Duration, Duration) {
        let (mut greetings, mut taken) = (Duration::ZERO, Duration::ZERO);
        for ten in envelopes.chunks(10) {
            let begun = Instant::now();
            let mut client = within("a greeting", PROMPT, Client::hello(at)).await;
            greetings = greetings.max(begun.elapsed());
            for (from, to) in ten {
                let message = mix::plain(&format!("client{number}"), 1, 2_000, from, to).remove(0);
                let begun = Instant::now();
                let reply = within("a 250", PROMPT, client.transact(&message)).await.unwrap();
                assert_eq!(reply.code, 250, "{}", reply.text);
                taken = taken.max(begun.elapsed());
            }
            assert_eq!(client.say("QUIT").await.code, 221);
        }
        (greetings, taken)
    }
}
