mod fair;
mod property;
mod shell;

use std::time::Duration;

use std::sync::Arc;

use super::queue::{Actions, At, Queue};
use super::settings::Settings;
use super::settle::{Verdict, Work};
use crate::connector::{
    Decision, DomainPattern, Generation, NextHop, OnFailure, OnHandshakeFailure, Outbound, Retry, Revision,
    Table,
};
use crate::mail::{BodyType, Content, Domain, Enhanced, Mailbox, QueueId, Reply, ReversePath, UnixMillis};
use crate::outcome::{Delivered, Outcome, Scope, Trouble};
use crate::spool::{Due, LaneKey, LeaseBook, Leased, Origin, QueuedRecipient, Settled, StoredMessage};

fn outbound(name: &str, pattern: &str) -> Outbound {
    Outbound {
        name: name.into(),
        domains: vec![DomainPattern::parse(pattern).unwrap()],
        cost: 10,
        next_hop: NextHop::Mx { port: 25 },
        tls: crate::connector::OutboundTls::Opportunistic,
        mode: crate::connector::Mode::Enforce,
        handshake: crate::connector::Handshake::StartTls,
        sni: crate::connector::Sni::Host,
        source_addresses: Vec::new(),
        ehlo_name: None,
        remember_tls: false,
        client_certificate: None,
        on_handshake_failure: OnHandshakeFailure::Clear,
        on_failure: OnFailure::Defer,
        retry: Retry {
            waits: [1, 5].map(Duration::from_secs).to_vec(),
            expire: Duration::from_secs(100),
            delay_dsn: Some(Duration::from_secs(10)),
        },
        connections: 2,
        sending: crate::connector::Sending::default(),
        revision: Revision::default(),
    }
}

/// A queue, the table in force, and the time, driven by hand.
struct World {
    queue: Queue,
    table: Table,
    now: UnixMillis,
    book: Arc<LeaseBook>,
    works: Vec<Work>,
    out: Actions,
}

impl World {
    fn new(window_max: usize, carriers_max: usize) -> Self {
        let settings = Settings {
            double_bounces: false,
            null_sender_expire: None,
            archive: None,
            name: Domain::parse("gw1.contoso.example").unwrap(),
            postmaster: Mailbox::parse("postmaster@contoso.example").unwrap(),
            carriers_max,
            memory_bytes_max: 100_000,
            window_max,
        };
        Self {
            queue: Queue::new(&settings, UnixMillis(1_000_000)),
            table: Table::new(Generation(1), Vec::new(), vec![outbound("out", "*")]),
            now: UnixMillis(1_000_000),
            book: Arc::default(),
            works: Vec::new(),
            out: Actions::default(),
        }
    }

    fn act(&mut self, change: impl FnOnce(&mut Queue, At<'_>) -> Actions) {
        let mut actions = change(&mut self.queue, At { table: &self.table, now: self.now });
        self.works.append(&mut actions.works);
        self.out.starts.append(&mut actions.starts);
        self.out.fetches.append(&mut actions.fetches);
        self.out.sweeps.append(&mut actions.sweeps);
    }

    fn leased(&self, number: i64, to: &[&str]) -> Leased {
        let id = QueueId::from_number(number);
        let recipients: Vec<QueuedRecipient> = to
            .iter()
            .zip(0..)
            .map(|(path, number)| QueuedRecipient {
                dsn: crate::mail::RecipientDsn::default(),
                number,
                forward_path: Mailbox::parse(path).unwrap(),
                attempts: 0,
                delay_told: false,
            })
            .collect();
        let numbers: Vec<u32> = recipients.iter().map(|recipient| recipient.number).collect();
        Leased {
            message: Arc::new(StoredMessage {
                id,
                reverse_path: ReversePath::parse("ann@contoso.example").unwrap(),
                body: BodyType::SevenBit,
                utf8: false,
                dsn: crate::mail::MessageDsn::default(),
                size: 1000,
                accepted_at: self.now,
                origin: Origin::default(),
            }),
            lane: LaneKey(format!("out/{}", recipients[0].forward_path.domain()).into()),
            recipients,
            content: Some(Content::Held(vec![b'x'; 1000].into())),
            lease: self.book.lease(id, &numbers).expect("free recipients"),
        }
    }

    fn offer(&mut self, number: i64, to: &[&str]) {
        let leased = self.leased(number, to);
        self.act(|queue, at| queue.offer([(leased, None)], at));
    }

    /// The next job of a carrier: its ticket and the message's number.
    fn take(&mut self, seat: u64) -> Option<(u64, i64)> {
        let mut got = None;
        self.act(|queue, at| {
            let (taken, actions) = queue.take(seat, at);
            got = taken.map(|t| (t.ticket, t.message.id.to_number()));
            actions
        });
        got
    }

    fn report(&mut self, ticket: u64, outcomes: Vec<Outcome>) {
        self.act(|queue, at| queue.report(ticket, outcomes, at));
    }

    fn seat(&mut self) -> u64 {
        self.out.starts.remove(0).seat
    }

    fn pass(&mut self, ms: i64) {
        self.now = UnixMillis(self.now.0 + ms);
        self.act(Queue::tick);
    }

    fn lane(&self, key: &str) -> String {
        let view = self.queue.snapshot().lanes.into_iter().find(|lane| &*lane.lane.0 == key);
        view.map_or("none".to_owned(), |lane| {
            let state =
                lane.blocked_until.map_or("open".to_owned(), |t| format!("blocked {}", t.0 - self.now.0));
            format!(
                "{} waiting, {} in flight, {} carriers, {state}, {} failures",
                lane.waiting, lane.in_flight, lane.carriers, lane.failures
            )
        })
    }
}

fn delivered() -> Outcome {
    Outcome::Delivered(Delivered {
        reports_on: false,
        host: "mx".to_owned(),
        reply: Reply::new(250, Enhanced(2, 0, 0), "ok"),
        decision: Arc::new(Decision {
            connector: Some("out".into()),
            host: None,
            wanted: String::new(),
            got: String::new(),
            reason: String::new(),
            token: "".into(),
            tls: None,
        }),
    })
}

fn trouble(scope: Scope) -> Trouble {
    Trouble { status: Enhanced(4, 4, 1), reason: "no answer".to_owned(), remote: None, decision: None, scope }
}

fn deferred(scope: Scope) -> Outcome {
    Outcome::Deferred(trouble(scope))
}

fn failed() -> Outcome {
    Outcome::Failed(trouble(Scope::Recipient).made_final())
}

#[test]
fn a_message_goes_out_and_leaves_nothing_behind() {
    let mut w = World::new(10, 10);
    w.offer(1, &["a@b.example"]);
    let seat = w.seat();
    let (ticket, number) = w.take(seat).expect("a job");
    assert_eq!((number, w.queue.held), (1, 1000));
    w.report(ticket, vec![delivered()]);
    assert_eq!(w.take(seat), None);
    w.act(|queue, at| queue.ended(seat, at));
    let work = w.works.pop().unwrap();
    assert!(work.is_plain());
    assert!(w.book.holds(QueueId::from_number(1), 0), "the lease ends with the settlement");
    assert_eq!(work.into_settlement(Vec::new()).recipients, [(0, Settled::Done)]);
    assert_eq!((w.queue.lanes.len(), w.queue.seats.len(), w.queue.held, w.book.count()), (0, 0, 0, 0));
}

#[test]
fn a_dead_lane_holds_its_mail_on_disk_and_hinders_no_other() {
    let mut w = World::new(100, 10);
    w.offer(0, &["a@dead.example"]);
    let seat = w.seat();
    for number in 1..10_000 {
        w.offer(number, &["a@dead.example"]);
        assert!(w.queue.waiting <= 100 && w.queue.held <= 100_000);
    }
    assert_eq!(w.book.count(), 100);
    let (ticket, _) = w.take(seat).unwrap();
    w.report(ticket, vec![deferred(Scope::Lane)]);
    assert_eq!(w.lane("out/dead.example"), "0 waiting, 0 in flight, 1 carriers, blocked 1000, 1 failures");
    assert_eq!(w.take(seat), None);
    w.works.clear();
    assert_eq!((w.book.count(), w.queue.held, w.out.sweeps.len()), (0, 0, 1));
    w.out.starts.clear();
    w.offer(10_001, &["a@dead.example"]);
    assert_eq!((w.book.count(), w.out.starts.len()), (0, 0));
    w.offer(10_002, &["a@alive.example"]);
    let alive = w.seat();
    let (ticket, number) = w.take(alive).unwrap();
    w.report(ticket, vec![delivered()]);
    assert_eq!(number, 10_002);
}

#[test]
fn one_message_probes_a_lane_and_a_success_opens_it() {
    let mut w = World::new(10, 10);
    w.offer(1, &["a@b.example"]);
    let seat = w.seat();
    let (ticket, _) = w.take(seat).unwrap();
    w.report(ticket, vec![deferred(Scope::Lane)]);
    w.take(seat);
    w.act(|queue, at| queue.ended(seat, at));
    w.works.clear();
    let key = LaneKey("out/b.example".into());
    w.act(|queue, at| queue.swept(&key, at));
    w.pass(999);
    assert!(w.out.fetches.is_empty());
    w.pass(1);
    assert_eq!(
        w.out.fetches.pop().map(|f| f.limit),
        None,
        "the probe's own row is marked when it is settled"
    );
    w.act(|queue, at| queue.loaded(vec![(key.clone(), at.now)], at));
    assert_eq!(w.out.fetches.pop().map(|f| f.limit), Some(10), "an empty lane was forgotten");

    let due = Due { leased: vec![w.leased(2, &["a@b.example"])], next_at: None };
    w.act(|queue, at| queue.fetched(&key, Some(due), at));
    let seat = w.seat();
    let (ticket, _) = w.take(seat).unwrap();
    w.offer(3, &["a@b.example"]);
    w.report(ticket, vec![deferred(Scope::Lane)]);
    w.works.clear();
    w.take(seat);
    w.act(|queue, at| queue.ended(seat, at));
    w.out.fetches.clear();
    w.pass(1000);
    assert_eq!(w.out.fetches.pop().map(|f| f.limit), Some(1), "one message probes");
    let due = Due { leased: vec![w.leased(3, &["a@b.example"])], next_at: Some(w.now) };
    w.act(|queue, at| queue.fetched(&key, Some(due), at));
    w.out.starts.retain(|start| start.seat > seat);
    let seat = w.seat();
    let (ticket, _) = w.take(seat).unwrap();
    assert!(w.out.starts.is_empty() && w.out.fetches.is_empty());
    w.report(ticket, vec![delivered()]);
    assert_eq!(w.out.fetches.pop().map(|f| f.limit), Some(10), "a success opens the lane");
    assert_eq!(w.lane("out/b.example"), "0 waiting, 0 in flight, 1 carriers, open, 0 failures");
}

#[test]
fn a_retry_by_hand_opens_a_lane() {
    let mut w = World::new(10, 10);
    w.offer(1, &["a@b.example"]);
    w.offer(2, &["a@b.example"]);
    let seat = w.seat();
    let (ticket, _) = w.take(seat).unwrap();
    w.report(ticket, vec![deferred(Scope::Lane)]);
    w.act(|queue, at| queue.hasten(vec![LaneKey("out/b.example".into())], at));
    assert_eq!(w.out.fetches.pop().map(|f| f.limit), Some(1));
}

#[test]
fn what_waits_in_memory_is_let_go_of_for_an_operator() {
    let mut w = World::new(10, 1);
    for number in 1..=4 {
        w.offer(number, &["a@b.example"]);
    }
    let seat = w.seat();
    let (ticket, first) = w.take(seat).unwrap();
    let ids: Vec<QueueId> = [first, 2, 3].into_iter().map(QueueId::from_number).collect();
    w.act(|queue, at| queue.let_go(&ids, at));
    assert_eq!(w.book.count(), 2, "the carrier's, and the one that was not named");
    w.report(ticket, vec![delivered()]);
    assert_eq!(w.take(seat).map(|(_, number)| number), Some(4));
    assert!(w.out.fetches.is_empty(), "not at once");
    w.pass(2_000);
    assert_eq!(w.out.fetches.len(), 1);
}

#[test]
fn mixed_outcomes_are_written_in_one_commit() {
    let mut w = World::new(10, 10);
    w.offer(1, &["a@b.example", "c@b.example", "d@b.example", "e@b.example", "f@b.example"]);
    let seat = w.seat();
    let (ticket, _) = w.take(seat).unwrap();
    w.now = UnixMillis(w.now.0 + 10_000);
    let outcomes =
        vec![delivered(), failed(), failed(), deferred(Scope::Recipient), deferred(Scope::Session)];
    w.report(ticket, outcomes);
    let work = w.works.pop().unwrap();
    let names = |list: Vec<(&QueuedRecipient, &Trouble)>| {
        list.iter().map(|(r, _)| r.forward_path.to_string()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(names(work.failed().collect()), "c@b.example d@b.example");
    assert_eq!(names(work.late().collect()), "e@b.example");
    assert_eq!(work.next_at(), Some(UnixMillis(w.now.0 + 1000)));
    assert_eq!(work.lease.recipients(), [0, 1, 2, 3]);
    let (again, _) = w.take(seat).expect("the lost one at once");
    drop(work);
    assert!(w.book.holds(QueueId::from_number(1), 4));
    w.report(again, vec![delivered()]);
    assert_eq!((w.works.len(), w.queue.held), (1, 0));
}

#[test]
fn a_session_lost_five_times_is_a_trouble_of_the_lane() {
    let mut w = World::new(10, 10);
    w.offer(1, &["a@b.example"]);
    let seat = w.seat();
    for _ in 0..4 {
        let (ticket, _) = w.take(seat).expect("again at once");
        w.report(ticket, vec![deferred(Scope::Session)]);
        assert!(w.works.is_empty());
    }
    w.take(seat).expect("the fifth time");
    // A carrier that ends without a report counts as a lost session.
    w.act(|queue, at| queue.ended(seat, at));
    assert_eq!(w.lane("out/b.example"), "0 waiting, 0 in flight, 0 carriers, blocked 1000, 1 failures");
    assert!(matches!(w.works[0].verdicts[0].1, Verdict::Deferred { attempts: 1, .. }));
}

#[test]
fn the_connector_is_chosen_anew() {
    let mut w = World::new(10, 10);
    w.offer(1, &["a@b.example"]);
    let seat = w.seat();
    w.table = Table::new(Generation(2), Vec::new(), vec![outbound("strict", "b.example")]);
    assert_eq!(w.take(seat), None);
    let start = w.out.starts.remove(0);
    assert_eq!(&*start.way.connector.name, "strict");
    w.table = Table::new(Generation(3), Vec::new(), vec![outbound("other", "c.example")]);
    assert_eq!(w.take(start.seat), None);
    let work = w.works.pop().unwrap();
    assert_eq!(&*work.lane.0, "out/b.example", "the spool has it there");
    let Verdict::Deferred { trouble, .. } = &work.verdicts[0].1 else { panic!("not deferred") };
    assert_eq!(trouble.reason, "no outbound connector covers b.example any more");
}

#[test]
fn more_connections_only_while_the_queue_stays_non_empty() {
    let mut w = World::new(100, 10);
    w.offer(1, &["a@b.example"]);
    let first = w.seat();
    for number in 2..20 {
        w.offer(number, &["a@b.example"]);
    }
    w.take(first).unwrap();
    assert!(w.out.starts.is_empty());
    w.pass(50);
    assert_eq!(w.out.starts.len(), 1);
    let second = w.seat();
    w.take(second).unwrap();
    w.pass(500);
    assert!(w.out.starts.is_empty(), "the connector allows two");
}

#[test]
fn lanes_take_turns_when_carriers_are_few() {
    let mut w = World::new(100, 1);
    for number in 0..60 {
        w.offer(number, &["a@long.example"]);
    }
    w.offer(100, &["a@short.example"]);
    let seat = w.seat();
    assert!(w.out.starts.is_empty());
    let mut handed = 0;
    while let Some((ticket, _)) = w.take(seat) {
        handed += 1;
        w.report(ticket, vec![delivered()]);
    }
    assert_eq!(handed, 50);
    w.act(|queue, at| queue.ended(seat, at));
    let start = w.out.starts.remove(0);
    assert_eq!(start.way.domain.unwrap().as_str(), "short.example");
}
