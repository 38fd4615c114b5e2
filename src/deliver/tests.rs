//! The courier against a scripted peer on a loopback port.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::net::TcpListener;

use self::peer::{Manner, Peer, StartTls};
use super::settings::Settings;
use super::*;
use crate::connector::{
    DomainPattern, Forced, Generation, LiveTable, NextHop, OnFailure, OnHandshakeFailure, Onward, Outbound,
    OutboundTls, PeerName, RecipientCheck, Require, Revision, SmartHost, SmartHostName, Table, TlsVersion,
    TrustId,
};
use crate::mail::{BodyType, Clock, Content, ContentSource, Domain, Mailbox, QueueId, ReversePath};
use crate::outcome::{Outcome, Trouble};
use crate::resolver::dns::Dns;
use crate::scheduler::{Carrier, Errand, Job, Jobs, Progress, QuestionEnd, RecipientQuestion, Way};
use crate::spool::{QueuedRecipient, StoredMessage};
use crate::tls::{ClientSettings, ClientSetup, Identity, ServerSettings, ServerSetup, TrustSet};
use crate::tracking::Journal;

mod limits;
mod peer;
mod random_hosts;

#[derive(Default)]
struct FakeJobs {
    waiting: Mutex<VecDeque<Job>>,
    questions: Mutex<VecDeque<RecipientQuestion>>,
    reports: Mutex<Vec<String>>,
    reasons: Mutex<Vec<String>>,
    /// A table to put in effect before the last job is handed out.
    table: Mutex<Option<(Arc<LiveTable>, Table)>>,
    progress: Arc<Progress>,
}

impl Jobs for FakeJobs {
    fn reach(&self, _address: SocketAddr) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(std::future::ready(()))
    }

    fn reuse(&self, _address: SocketAddr) {}

    fn opened(&self) -> Pin<Box<dyn Future<Output = bool> + Send + '_>> {
        Box::pin(std::future::ready(false))
    }

    fn reopening(&self) -> bool {
        true
    }

    fn progress(&self) -> &Arc<Progress> {
        &self.progress
    }

    fn answer(&self, question: &RecipientQuestion, known: RecipientCheck, end: QuestionEnd) {
        self.reports.lock().expect("reports").push(format!("{}: {known:?} {end:?}", question.ticket));
    }

    fn next(&self) -> Pin<Box<dyn Future<Output = Option<Errand>> + Send + '_>> {
        if let Some(question) = self.questions.lock().expect("questions").pop_front() {
            return Box::pin(std::future::ready(Some(Errand::Ask(question))));
        }
        let mut waiting = self.waiting.lock().expect("jobs");
        let job = waiting.pop_front();
        let table = if waiting.is_empty() { self.table.lock().expect("a table").take() } else { None };
        Box::pin(async move {
            if let Some((live, table)) = table {
                live.replace(table);
            }
            job.map(Errand::Deliver)
        })
    }

    fn report(&self, job: &Job, outcomes: Vec<Outcome>) {
        let reasons = outcomes.iter().filter_map(|outcome| match outcome {
            Outcome::Deferred(trouble) | Outcome::Failed(trouble) => Some(trouble.reason.clone()),
            Outcome::Delivered(_) => None,
        });
        self.reasons.lock().expect("reasons").extend(reasons);
        let words: Vec<String> = outcomes.iter().map(describe).collect();
        self.reports.lock().expect("reports").push(format!("{}: {}", job.ticket, words.join(", ")));
    }
}

fn describe(outcome: &Outcome) -> String {
    let told = |word: &str, t: &Trouble| {
        let token = t.decision.as_ref().map_or("".into(), |d| d.token());
        format!("{word} {} {:?} {token}", t.status, t.scope).trim_end().to_owned()
    };
    match outcome {
        Outcome::Delivered(delivered) => format!("delivered {}", delivered.decision.token()),
        Outcome::Deferred(trouble) => told("deferred", trouble),
        Outcome::Failed(trouble) => told("failed", trouble),
    }
}

fn job(ticket: u64, to: &str, attempts: u32) -> Job {
    let recipient = |(number, local): (usize, &str)| QueuedRecipient {
        dsn: crate::mail::RecipientDsn::default(),
        number: u32::try_from(number).expect("a number"),
        forward_path: Mailbox::parse(&format!("{local}@b.example")).expect("a mailbox"),
        attempts,
        delay_told: false,
        rerouted: None,
    };
    let content: &[u8] = b"Subject: x\r\n\r\nhello\r\n";
    Job {
        message: Arc::new(StoredMessage {
            id: QueueId::first_of(ticket),
            reverse_path: ReversePath::NULL,
            body: BodyType::SevenBit,
            utf8: false,
            dsn: crate::mail::MessageDsn::default(),
            size: u64::try_from(content.len()).expect("a size"),
            accepted_at: Clock::wall(),
            origin: Default::default(),
        }),
        recipients: to.split(' ').enumerate().map(recipient).collect(),
        content: Content::Held(content.into()),
        ticket,
    }
}

fn outbound(addresses: &[SocketAddr]) -> Outbound {
    let host = |a: &SocketAddr| SmartHost { name: SmartHostName::Ip(a.ip()), port: a.port() };
    Outbound {
        revision: Revision([1; 8]),
        ..Outbound::new(
            "out",
            vec![DomainPattern::Any],
            NextHop::SmartHosts(addresses.iter().map(host).collect()),
        )
    }
}

fn forced(names: &[&str]) -> OutboundTls {
    let names = names.iter().map(|name| PeerName::parse(name).expect("a name")).collect();
    let trust = vec![TrustId("root".into())];
    OutboundTls::Forced(Forced::new(Require::Identity { trust, names }))
}

struct World {
    courier: Arc<Courier>,
    live: Arc<LiveTable>,
    connector: Outbound,
    jobs: Arc<FakeJobs>,
}

impl World {
    fn new(connector: Outbound, trust: Vec<(TrustId, Arc<TrustSet>)>) -> Self {
        let minute = Duration::from_secs(60);
        let settings = Settings {
            addresses_max: 5,
            messages_per_connection_max: 100,
            recipients_per_transaction_max: 2,
            idle: minute,
            ..Settings::single(
                Domain::parse("gw.example").expect("a domain"),
                settings::Timeouts {
                    connect: minute,
                    command: minute,
                    handshake: minute,
                    data_start: minute,
                    data_block: minute,
                    data_end: minute,
                },
            )
        };
        let tls = ClientSettings {
            judged: connector.forced().is_some(),
            min_version: TlsVersion::V12,
            key_exchange: crate::connector::KeyExchange::Any,
            profile: None,
            trust,
            identity: None,
            rehearsed: None,
        };
        let setup = Arc::new(ClientSetup::new(tls).expect("a setup"));
        let setups = Arc::new(ArcSwap::from_pointee(BTreeMap::from([(connector.revision, setup)])));
        let table = Table::new(Generation(1), Vec::new(), vec![connector.clone()]);
        let live = Arc::new(LiveTable::new(table));
        let asked = crate::resolver::settings::Settings {
            servers: vec!["127.0.0.1:9".parse().expect("an address")],
            timeout: Duration::from_secs(1),
            attempts: 1,
        };
        let dns = Dns::new(&asked).expect("a resolver");
        let journal = Arc::new(Journal::default());
        let courier = Courier::new(
            settings,
            Arc::clone(&live),
            dns,
            (setups, TlsHistory::default(), Arc::default()),
            Vec::new(),
            (journal, crate::tracking::ProtocolLog::default()),
        );
        Self { courier, live, connector, jobs: Arc::default() }
    }

    fn way(&self) -> Way {
        Way { connector: Arc::new(self.connector.clone()), domain: None, literal: None }
    }

    /// Carries the jobs, given as `ticket: recipients`, and returns what was reported.
    async fn carry(&self, jobs: &[Job]) -> Vec<String> {
        self.jobs.waiting.lock().expect("jobs").extend(jobs.iter().cloned());
        let fake: Arc<dyn Jobs> = self.jobs.clone();
        Arc::clone(&self.courier).carry(self.way(), fake).await;
        std::mem::take(&mut *self.jobs.reports.lock().expect("reports"))
    }
}

async fn world(manner: Manner, change: impl FnOnce(&mut Outbound)) -> (World, Peer) {
    let peer = Peer::start(manner).await;
    let mut connector = outbound(&[peer.address]);
    change(&mut connector);
    (World::new(connector, Vec::new()), peer)
}

#[tokio::test]
async fn messages_follow_each_other_over_one_connection() {
    for step_by_step in [false, true] {
        let (world, peer) = world(Manner { step_by_step, ..Manner::default() }, |_| {}).await;
        let said = world.carry(&[job(1, "a", 0), job(2, "unknown b", 0), job(3, "a b c", 0)]).await;
        assert_eq!(
            said,
            [
                "1: delivered clear-not-offered",
                "2: failed 5.1.1 Recipient clear-not-offered, delivered clear-not-offered",
                "3: delivered clear-not-offered, delivered clear-not-offered, delivered clear-not-offered",
            ]
        );
        // Three recipients make two transactions here.
        assert_eq!(peer.heard("MAIL").len(), 4);
        assert_eq!(peer.heard("EHLO").len(), 1);
        assert_eq!(world.carry(&[job(4, "a", 0)]).await, ["4: delivered clear-not-offered"]);
        assert_eq!(peer.heard("EHLO").len(), 1);
        world.courier.close().await;
    }
}

#[tokio::test]
async fn too_many_recipients_go_again_at_once() {
    let (world, _peer) = world(Manner::default(), |_| {}).await;
    let said = world.carry(&[job(1, "a many", 0)]).await;
    assert_eq!(said, ["1: delivered clear-not-offered, deferred 4.5.3 Session clear-not-offered"]);
}

#[tokio::test]
async fn a_connection_closed_while_idle_defers_nothing() {
    let (world, peer) = world(Manner { messages_max: Some(1), ..Manner::default() }, |_| {}).await;
    assert_eq!(world.carry(&[job(1, "a", 0)]).await, ["1: delivered clear-not-offered"]);
    let said = world.carry(&[job(2, "a", 0), job(3, "b", 0)]).await;
    assert_eq!(said, ["2: delivered clear-not-offered", "3: delivered clear-not-offered"]);
    assert_eq!(peer.heard("EHLO").len(), 3);
}

#[tokio::test]
async fn what_a_used_session_says_is_not_charged_to_a_message() {
    for (verb, reply) in [
        ("MAIL", "452 4.4.5 too many messages"),
        ("MAIL", "503 5.5.1 what?"),
        ("MAIL", "550 5.7.1 enough"),
        ("MAIL", "421 4.7.0 enough"),
        ("RCPT", "550 enough"),
        ("RCPT", "421 enough"),
        ("RCPT", ""),
        ("DATA", "451 4.3.0 enough"),
        ("DATA", ""),
        (".", "554 5.7.1 enough"),
    ] {
        for step_by_step in [false, true] {
            let manner = Manner { step_by_step, worn: Some((2, verb, reply)), ..Manner::default() };
            let (world, peer) = world(manner, |_| {}).await;
            let jobs: Vec<Job> = (1..=7).map(|ticket| job(ticket, "a", 0)).collect();
            let expected: Vec<String> =
                (1..=7).map(|ticket| format!("{ticket}: delivered clear-not-offered")).collect();
            assert_eq!(world.carry(&jobs).await, expected, "{verb} {reply}");
            assert!((4..=7).contains(&peer.heard("EHLO").len()), "{verb} {reply}: {:?}", peer.heard("EHLO"));
            world.courier.close().await;
        }
    }
}

#[tokio::test]
async fn what_a_fresh_session_says_is() {
    for (reply, expected) in [
        ("452 4.4.5 no", "deferred 4.4.5 Recipient"),
        ("550 5.7.1 no", "failed 5.7.1 Recipient"),
        ("503 5.5.1 no", "deferred 4.5.1 Lane"),
        ("530 5.7.0 log in", "failed 5.7.0 Recipient"),
    ] {
        let (world, peer) = world(Manner { mail: Some(reply), ..Manner::default() }, |_| {}).await;
        let said = world.carry(&[job(1, "a", 0), job(2, "a", 0)]).await;
        let expected = [1, 2].map(|ticket| format!("{ticket}: {expected} clear-not-offered"));
        // The second one is asked about on a session of its own.
        assert_eq!((said.as_slice(), peer.heard("EHLO").len()), (expected.as_slice(), 2), "{reply}");
        world.courier.close().await;
    }
}

/// On a session that was used, one recipient is refused without a word about it: it alone is asked again.
#[tokio::test]
async fn only_the_recipients_in_doubt_go_again() {
    let manner = Manner { worn: Some((1, "RCPT TO:<a@", "550 enough")), ..Manner::default() };
    let (world, peer) = world(manner, |_| {}).await;
    let said = world.carry(&[job(1, "a", 0), job(2, "a b", 0)]).await;
    assert_eq!(
        said,
        ["1: delivered clear-not-offered", "2: delivered clear-not-offered, delivered clear-not-offered"]
    );
    let recipients: Vec<String> = peer.heard("RCPT");
    assert_eq!(
        recipients,
        [
            "1 RCPT TO:<a@b.example>",
            "1 RCPT TO:<a@b.example>",
            "1 RCPT TO:<b@b.example>",
            "2 RCPT TO:<a@b.example>"
        ]
    );
}

#[tokio::test]
async fn closing_stops_the_lane() {
    let (world, peer) = world(Manner { mail: Some("421 bye"), ..Manner::default() }, |_| {}).await;
    let said = world.carry(&[job(1, "a", 0), job(2, "a", 0)]).await;
    assert_eq!(said, ["1: deferred 4.3.2 Lane clear-not-offered"]);
    assert_eq!(peer.heard("MAIL").len(), 1);
}

#[tokio::test]
async fn a_host_that_closes_after_the_dot_may_have_the_message() {
    let (world, _peer) = world(Manner { end: Some("421 4.3.2 bye"), ..Manner::default() }, |_| {}).await;
    assert_eq!(world.carry(&[job(1, "a", 0)]).await, ["1: deferred 4.3.2 Lane clear-not-offered"]);
    let reasons = world.jobs.reasons.lock().expect("reasons").clone();
    assert!(reasons[0].contains("answered the content with 421"), "{reasons:?}");
}

#[tokio::test]
async fn a_connection_lost_after_the_dot_is_a_deferral() {
    let (world, _peer) = world(Manner { lost_after_dot: true, ..Manner::default() }, |_| {}).await;
    let said = world.carry(&[job(1, "unknown a", 0)]).await;
    assert_eq!(
        said,
        ["1: failed 5.1.1 Recipient clear-not-offered, deferred 4.4.2 Recipient clear-not-offered"]
    );
}

#[tokio::test]
async fn a_dead_host_makes_way_for_the_next() {
    let dead = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let gone = dead.local_addr().expect("an address");
    drop(dead);
    let peer = Peer::start(Manner::default()).await;
    let world = World::new(outbound(&[gone, peer.address]), Vec::new());
    assert_eq!(world.carry(&[job(1, "a", 0)]).await, ["1: delivered clear-not-offered"]);
    let world = World::new(outbound(&[gone]), Vec::new());
    assert_eq!(world.carry(&[job(1, "a", 0)]).await, ["1: deferred 4.4.1 Lane"]);
}

#[tokio::test]
async fn forced_sends_no_envelope_in_clear() {
    for (starttls, expected) in [
        (StartTls::Absent, "1: deferred 4.7.4 Lane starttls-not-offered"),
        (StartTls::Refused, "1: deferred 4.7.4 Lane starttls-refused"),
        (StartTls::Broken, "1: deferred 4.7.5 Lane handshake-broken"),
    ] {
        let manner = Manner { starttls, ..Manner::default() };
        let (world, peer) = world(manner, |c| c.tls = OutboundTls::Forced(Forced::encryption())).await;
        assert_eq!(world.carry(&[job(1, "a", 5)]).await, [expected]);
        assert_eq!(peer.heard("MAIL"), [""; 0]);
    }
    let bounce = |c: &mut Outbound| {
        c.tls = OutboundTls::Forced(Forced::encryption());
        c.on_failure = OnFailure::Bounce;
    };
    let (world, _peer) = world(Manner::default(), bounce).await;
    let said = world.carry(&[job(1, "a", 0)]).await;
    assert_eq!(said, ["1: failed 5.7.4 Recipient starttls-not-offered"]);
}

#[tokio::test]
async fn opportunistic_goes_on_in_clear_as_its_connector_says() {
    use OnHandshakeFailure::{Clear, ClearLater, Defer};
    for (on_failure, attempts, expected) in [
        (Clear, 0, "1: delivered clear-handshake-broken"),
        (ClearLater, 0, "1: deferred 4.7.5 Lane handshake-broken"),
        (ClearLater, 1, "1: delivered clear-handshake-broken"),
        (Defer, 1, "1: deferred 4.7.5 Lane handshake-broken"),
    ] {
        let manner = Manner { starttls: StartTls::Broken, ..Manner::default() };
        let (world, peer) = world(manner, |c| c.on_handshake_failure = on_failure).await;
        assert_eq!(world.carry(&[job(1, "a", attempts)]).await, [expected]);
        // Never in the session whose handshake failed.
        assert!(peer.heard("MAIL").iter().all(|line| line.starts_with("2 ")));
    }
    let manner = Manner { starttls: StartTls::Refused, ..Manner::default() };
    let (world, peer) = world(manner, |_| {}).await;
    assert_eq!(world.carry(&[job(1, "a", 0)]).await, ["1: delivered clear-refused"]);
    assert_eq!(peer.heard("MAIL").len(), 1);
}

/// A server with a certificate for `mx.example`, and the trust anchor that issued it.
fn sealed_peer(folder: &std::path::Path) -> (Arc<ServerSetup>, Vec<(TrustId, Arc<TrustSet>)>) {
    use std::os::unix::fs::PermissionsExt;
    let mut params = rcgen::CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let key = rcgen::KeyPair::generate().expect("a key");
    let ca = rcgen::CertifiedIssuer::self_signed(params, key).expect("a root");
    let key = rcgen::KeyPair::generate().expect("a key");
    let params = rcgen::CertificateParams::new(["mx.example".to_owned()]).expect("params");
    let leaf = params.signed_by(&key, &ca).expect("a certificate");
    let file = |name: &str, text: String| {
        let path = folder.join(name);
        std::fs::write(&path, text).expect("a file");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("permissions");
        path
    };
    let (chain, key) = (file("mx.crt", leaf.pem()), file("mx.key", key.serialize_pem()));
    let identity = Arc::new(Identity::load(&chain, &key).expect("an identity"));
    let server = ServerSettings {
        identities: vec![identity],
        profile: None,
        required: false,
        ask_client: false,
        trust: Vec::new(),
    };
    let root = TrustSet::load(&file("root.pem", ca.pem())).expect("an anchor");
    let trust = vec![(TrustId("root".into()), Arc::new(root))];
    (Arc::new(ServerSetup::new(server).expect("a setup")), trust)
}

#[tokio::test]
async fn plaintext_follows_whatever_breaks_a_session_over_tls_only_where_it_may() {
    use OnHandshakeFailure::{Clear, ClearLater, Defer};
    let folder = tempfile::TempDir::new().expect("a folder");
    let (setup, _) = sealed_peer(folder.path());
    for (starttls, token, clear) in [
        (StartTls::RefusedAndClosed, "4.7.4 Lane starttls-refused", "clear-refused"),
        (StartTls::Closed, "4.7.5 Lane handshake-broken", "clear-handshake-broken"),
        (
            StartTls::GoodUntilEhlo(Arc::clone(&setup)),
            "4.7.5 Lane tls-session-lost",
            "clear-tls-session-lost",
        ),
    ] {
        for (on_failure, attempts, sent) in
            [(Clear, 0, true), (ClearLater, 0, false), (ClearLater, 1, true), (Defer, 1, false)]
        {
            let manner = Manner { starttls: starttls.clone(), ..Manner::default() };
            let (world, peer) = world(manner, |c| c.on_handshake_failure = on_failure).await;
            let expected =
                if sent { format!("1: delivered {clear}") } else { format!("1: deferred {token}") };
            assert_eq!(world.carry(&[job(1, "a", attempts)]).await, [expected]);
            assert!(peer.heard("MAIL").iter().all(|line| line.starts_with("2 ")));
        }
        let manner = Manner { starttls, ..Manner::default() };
        let (world, peer) = world(manner, |c| c.tls = OutboundTls::Forced(Forced::encryption())).await;
        assert!(world.carry(&[job(1, "a", 9)]).await[0].starts_with("1: deferred"));
        assert_eq!(peer.heard("MAIL"), [""; 0]);
    }
}

#[tokio::test]
async fn a_host_that_fails_on_our_large_hello_gets_a_small_one_and_is_remembered() {
    let folder = tempfile::TempDir::new().expect("a folder");
    let (setup, _) = sealed_peer(folder.path());
    let ways =
        [(OutboundTls::Opportunistic(None), "sealed"), (OutboundTls::Forced(Forced::encryption()), "met")];
    for (tls, token) in ways {
        let starttls = StartTls::SmallHello(Arc::clone(&setup), 700);
        let (world, peer) = world(Manner { starttls, ..Manner::default() }, |c| c.tls = tls).await;
        assert_eq!(world.carry(&[job(1, "a", 0)]).await, [format!("1: delivered {token}")]);
        world.courier.close().await;
        assert_eq!(world.carry(&[job(2, "a", 0)]).await, [format!("2: delivered {token}")]);
        // The second message's session began with the small one: three handshakes in all.
        assert_eq!(peer.heard("STARTTLS").len(), 3);
    }
}

#[tokio::test]
async fn forced_sends_to_the_name_it_was_told_and_to_no_other() {
    let folder = tempfile::TempDir::new().expect("a folder");
    let (setup, trust) = sealed_peer(folder.path());
    for (name, expected, mails) in [
        ("mx.example", ["1: delivered met", "2: delivered met"].as_slice(), 2),
        ("other.example", ["1: deferred 4.7.5 Lane name-mismatch"].as_slice(), 0),
    ] {
        let starttls = StartTls::Good(Arc::clone(&setup));
        let peer = Peer::start(Manner { starttls, ..Manner::default() }).await;
        let connector = Outbound { tls: forced(&[name]), ..outbound(&[peer.address]) };
        let world = World::new(connector, trust.clone());
        assert_eq!(world.carry(&[job(1, "a", 0), job(2, "a", 0)]).await, expected);
        assert_eq!(peer.heard("MAIL").len(), mails);
        world.courier.close().await;
    }
}

#[tokio::test]
async fn a_new_table_is_asked_before_the_next_envelope() {
    let (mut world, peer) = world(Manner::default(), |_| {}).await;
    world.carry(&[job(1, "a", 0)]).await;
    let same = Table::new(Generation(2), Vec::new(), vec![world.connector.clone()]);
    world.live.replace(same);
    assert_eq!(world.carry(&[job(2, "a", 0)]).await, ["2: delivered clear-not-offered"]);
    assert_eq!(peer.heard("EHLO").len(), 1);
    // The same connector, tightened: a carrier that still holds the old one sends nothing with it.
    let tight = Outbound {
        tls: OutboundTls::Forced(Forced::encryption()),
        revision: Revision([2; 8]),
        ..world.connector.clone()
    };
    world.live.replace(Table::new(Generation(3), Vec::new(), vec![tight.clone()]));
    assert_eq!(world.carry(&[job(3, "a", 0)]).await, ["3: deferred 4.3.0 Session"]);
    assert_eq!(peer.heard("MAIL").len(), 2);
    world.connector = tight;
    world.courier.close().await;
}

#[tokio::test]
async fn a_table_that_changes_between_two_jobs_binds_the_second() {
    let (world, peer) = world(Manner::default(), |_| {}).await;
    let tight = Outbound {
        tls: OutboundTls::Forced(Forced::encryption()),
        revision: Revision([2; 8]),
        ..world.connector.clone()
    };
    let table = Table::new(Generation(2), Vec::new(), vec![tight]);
    *world.jobs.table.lock().expect("a table") = Some((Arc::clone(&world.live), table));
    // The second job is asked for while the first is in progress in plaintext: that one has left by now.
    let mut said = world.carry(&[job(1, "a", 0), job(2, "b", 0)]).await;
    said.sort();
    assert_eq!(said, ["1: delivered clear-not-offered", "2: deferred 4.3.0 Session"]);
    assert_eq!(peer.heard("MAIL").len(), 1);
}

/// A file that can no longer be read.
struct Unreadable;

impl ContentSource for Unreadable {
    fn len(&self) -> u64 {
        3
    }

    fn read_at(&self, _: &mut [u8], _: u64) -> std::io::Result<usize> {
        Err(std::io::Error::other("EIO"))
    }
}

#[tokio::test]
async fn content_that_cannot_be_read_bounces_nothing() {
    let (world, peer) = world(Manner::default(), |_| {}).await;
    let mut bad = job(1, "a", 0);
    bad.content = Content::Source(Arc::new(Unreadable));
    Arc::get_mut(&mut bad.message).expect("one message").body = BodyType::EightBitMime;
    let said = world.carry(&[bad, job(2, "a", 0)]).await;
    assert_eq!(said, ["1: deferred 4.3.0 Recipient clear-not-offered", "2: delivered clear-not-offered"]);
    assert_eq!(peer.heard("MAIL").len(), 1);
}

#[tokio::test]
async fn a_recipient_in_utf8_is_asked_about_where_that_is_understood() {
    let plain = Peer::start(Manner::default()).await;
    let modern = Peer::start(Manner { utf8: true, ..Manner::default() }).await;
    let world = World::new(outbound(&[plain.address, modern.address]), Vec::new());
    let mailbox = Mailbox::parse("j\u{f6}s\u{e9}@b.example").expect("a mailbox");
    let question = RecipientQuestion { mailbox, arrives_by: "in".into(), onward: Onward::Any, ticket: 7 };
    world.jobs.questions.lock().expect("questions").push_back(question);
    assert_eq!(world.carry(&[]).await, ["7: Exists ByHost"]);
    assert_eq!((plain.heard("MAIL").len(), modern.heard("RCPT").len()), (0, 1));
}
