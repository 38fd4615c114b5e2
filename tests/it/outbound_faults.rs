//! What the system refuses to the outbound side for a while: the mail waits for another attempt, each message
//! goes once, and clients notice nothing.

use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

use crate::peer::client::Client;
use crate::peer::daemon::Daemon;
use crate::peer::dns::Dns;
use crate::peer::mix;
use crate::peer::sink::{Manner, Sink};
use crate::peer::site::{OPPORTUNISTIC, QUICK, Site};
use crate::peer::tools::strace;
use crate::peer::town::{by_mx, domain, populate};
use crate::peer::{LONG, eventually, left_out, within};

const QUARTER: u8 = 1;
/// Domains, each with a host of its own.
const DOMAINS: usize = 30;

#[tokio::test(flavor = "multi_thread")]
async fn no_local_address_is_left_for_a_while() {
    connections_fail("no_local_address_is_left_for_a_while", "EADDRNOTAVAIL").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_network_is_away_for_a_while() {
    connections_fail("the_network_is_away_for_a_while", "ENETUNREACH").await;
}

/// The first connections of each of the daemon's threads end with this error.
async fn connections_fail(test: &str, error: &str) {
    let scene = Scene::prepare().await;
    let trace = scene.site.home.path().join("trace");
    let inject = format!("inject=connect:error={error}:when=1..8");
    let Some(command) = strace(&["-e", "trace=connect", "-e", &inject], &trace) else {
        return left_out(&format!("outbound_faults::{test}"), "strace was not unpacked");
    };
    let daemon = Daemon::start_by(&scene.site.home, command).await;
    let mut client = Client::hello(daemon.at("in")).await;
    scene.hand_in(&mut client).await;
    scene.all_arrive_once(&daemon).await;
    daemon.stop().await;
    let trace = std::fs::read_to_string(trace).unwrap();
    assert!(trace.contains("INJECTED"), "nothing was refused:\n{trace}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_descriptor_is_left_for_a_while() {
    let scene = Scene::prepare().await;
    let daemon = Daemon::start(&scene.site.home).await;
    let mut client = Client::hello(daemon.at("in")).await;
    let pid = Pid::from_raw(i32::try_from(daemon.pid()).unwrap());
    let folder = format!("/proc/{}/fd", daemon.pid());
    // The tracking store is made by a thread of its own, which may be at it with files that it closes again.
    let made =
        async || (daemon.command(&["trace", "nobody@b.test"]).await.status.code() == Some(1)).then_some(());
    eventually("the tracking store", LONG, made).await;
    let open = |fd: &u64| std::path::Path::new(&folder).join(fd.to_string()).symlink_metadata().is_ok();
    // The next one would have this number, and numbers must be below the limit.
    let next = (0..).find(|fd| !open(fd));
    let limit = Rlimit { current: next, maximum: getrlimit(Resource::Nofile).maximum };
    let before = prlimit(pid, Resource::Nofile, limit).unwrap();
    scene.hand_in(&mut client).await;
    eventually("a deferral", LONG, async || daemon.log().contains("deferred id=").then_some(())).await;
    assert!(scene.town.arrived().is_empty(), "the limit refused nothing");
    prlimit(pid, Resource::Nofile, before).unwrap();
    let mut another =
        within("a greeting once there are descriptors", PROMPT, Client::hello(daemon.at("in"))).await;
    assert_eq!(another.say("NOOP").await.code, 250);
    scene.all_arrive_once(&daemon).await;
    daemon.stop().await;
}

/// Once descriptors are there again, a client is served within this time.
const PROMPT: Duration = Duration::from_secs(5);

/// A town with a host for each domain, and a daemon to come that tries again each second.
struct Scene {
    site: Site,
    town: Sink,
    _dns: Dns,
}

impl Scene {
    async fn prepare() -> Self {
        let (site, dns) = (Site::new(), Dns::start().await);
        let town = Sink::town([(0, Manner::clear())]).await;
        populate(&dns, QUARTER, DOMAINS, DOMAINS);
        site.configure(&(QUICK.to_owned() + &by_mx(&dns, town.address.port(), OPPORTUNISTIC)));
        Self { site, town, _dns: dns }
    }

    async fn hand_in(&self, client: &mut Client) {
        for number in 0..DOMAINS {
            let to = format!("bob@{}", domain(QUARTER, number));
            let message = mix::plain(&format!("m{number}"), 1, 500, "ada@a.test", &to).remove(0);
            let reply = client.transact(&message).await.unwrap();
            assert_eq!(reply.code, 250, "{}", reply.text);
        }
    }

    async fn all_arrive_once(&self, daemon: &Daemon) {
        self.town.until("all of the mail", LONG, |log| log.arrived.len() >= DOMAINS).await;
        daemon.queue_empty().await;
        let mut ids: Vec<_> = self.town.arrived().iter().map(|a| mix::id_of(&a.content)).collect();
        ids.sort();
        ids.dedup();
        assert_eq!((ids.len(), self.town.read(|log| log.arrived.len())), (DOMAINS, DOMAINS));
    }
}
