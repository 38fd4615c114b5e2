//! Tests of the core, driven by hand: a table, a clock and events, with no tasks or disk.

mod fair;
mod invariants;
mod places;
mod property;
mod simulation;

use std::sync::Arc;

use super::super::samples::{deferred, delivered, failed, leased, outbound, trouble, withheld};
use super::machine::{Core, HandedWork};
use super::settle::{RecipientVerdict, Work};
use super::{Actions, At, Limits};
use crate::connector::{
    Decision, Forced, Generation, OnFailure, Onward, OnwardDemand, Outbound, OutboundTls, Require, Rerouting,
    Revision, Table,
};
use crate::mail::{Dates, Enhanced, QueueId, ReversePath, UnixMillis};
use crate::outcome::{Cause, Outcome, Scope, Trouble};
use crate::spool::{LaneKey, Lease, LeaseBook, Leased, QueuedRecipient};

/// A core, the table in effect, and the time, driven by hand.
struct World {
    core: Core<Lease>,
    table: Table,
    now: UnixMillis,
    book: Arc<LeaseBook>,
    works: Vec<Work<Lease>>,
    out: Actions<Lease>,
}

fn limits(window_max: usize, places: usize) -> Limits {
    Limits {
        held_bytes_max: 100_000,
        window_max,
        seats_max: places,
        openings_max: places,
        per_host_max: 10,
        null_sender_expire: None,
    }
}

impl World {
    fn new(window_max: usize, places: usize) -> Self {
        Self {
            core: Core::new(&limits(window_max, places), UnixMillis(1_000_000)),
            table: Table::new(Generation(1), Vec::new(), vec![outbound("out", "*")]),
            now: UnixMillis(1_000_000),
            book: Arc::default(),
            works: Vec::new(),
            out: Actions::default(),
        }
    }

    fn act(&mut self, event: impl FnOnce(&mut Core<Lease>, At<'_>) -> Actions<Lease>) {
        self.ask(|core, at| ((), event(core, at)));
    }

    fn ask<T>(&mut self, event: impl FnOnce(&mut Core<Lease>, At<'_>) -> (T, Actions<Lease>)) -> T {
        let dates = Dates::agreeing(self.now);
        let (answer, mut actions) = event(&mut self.core, At { table: &self.table, dates: &dates });
        drop(actions.released);
        self.works.append(&mut actions.works);
        self.out.starts.append(&mut actions.starts);
        self.out.fetches.append(&mut actions.fetches);
        self.out.sweeps.append(&mut actions.sweeps);
        self.out.notices.append(&mut actions.notices);
        self.out.granted.append(&mut actions.granted);
        self.out.evicted.append(&mut actions.evicted);
        self.out.unanswered.append(&mut actions.unanswered);
        self.out.inspect |= actions.inspect;
        answer
    }

    fn leased(&self, number: i64, to: &[&str]) -> Leased {
        leased(&self.book, self.now, number, to)
    }

    fn offer(&mut self, number: i64, to: &[&str]) {
        let leased = self.leased(number, to);
        self.act(|core, at| core.offer(vec![leased], at));
    }

    /// A carrier's next job: its ticket and the message's number.
    fn take(&mut self, carrier: u64) -> Option<(u64, i64)> {
        match self.ask(|core, at| core.take(carrier, at))? {
            HandedWork::Job(job) => Some((job.ticket, job.message.id.to_number())),
            HandedWork::Question(ticket) => panic!("question {ticket}"),
        }
    }

    fn report(&mut self, ticket: u64, outcomes: Vec<Outcome>) {
        self.act(|core, at| core.report(ticket, outcomes, at));
    }

    /// Removes the first carrier to be started, and returns its number.
    fn carrier(&mut self) -> u64 {
        self.out.starts.remove(0).carrier
    }

    fn pass(&mut self, ms: i64) {
        self.now = UnixMillis(self.now.0 + ms);
        while self.ask(Core::tick) {}
    }

    fn hasten(&mut self, lane: &str) {
        let lane = LaneKey(lane.into());
        self.act(|core, at| core.hasten(vec![lane], at));
    }

    fn lane(&self, key: &str) -> String {
        let views = self.core.views(&[LaneKey(key.into())], &Dates::agreeing(self.now));
        views.first().map_or("none".to_owned(), |lane| {
            let state =
                lane.blocked_until.map_or("open".to_owned(), |t| format!("blocked {}", t.0 - self.now.0));
            format!(
                "{} waiting, {} in flight, {} carriers, {state}, {} failures",
                lane.waiting, lane.in_flight, lane.carriers, lane.failures
            )
        })
    }
}

#[test]
fn a_message_goes_out_and_leaves_nothing_behind() {
    let mut w = World::new(10, 10);
    w.offer(1, &["a@b.example"]);
    let carrier = w.carrier();
    let (ticket, number) = w.take(carrier).expect("a job");
    assert_eq!((number, w.core.held), (1, 1000));
    w.report(ticket, vec![delivered()]);
    assert_eq!(w.take(carrier), None);
    w.act(|core, at| core.ended(carrier, at));
    let work = w.works.pop().unwrap();
    assert!(work.is_plain());
    assert!(w.book.holds(QueueId::from_number(1), 0), "the lease ends with the settlement");
    drop(work);
    assert_eq!((w.core.lanes.len(), w.core.carriers.len(), w.core.held, w.book.count()), (0, 0, 0, 0));
}

#[test]
fn a_dead_lane_holds_its_mail_on_disk_and_hinders_no_other() {
    let mut w = World::new(100, 10);
    w.offer(0, &["a@dead.example"]);
    let carrier = w.carrier();
    for number in 1..10_000 {
        w.offer(number, &["a@dead.example"]);
        assert!(w.core.waiting <= 100 && w.core.held <= 100_000);
    }
    assert_eq!(w.book.count(), 100);
    let (ticket, _) = w.take(carrier).unwrap();
    w.report(ticket, vec![deferred(Scope::Lane)]);
    assert_eq!(w.lane("out/dead.example"), "0 waiting, 0 in flight, 1 carriers, blocked 1000, 1 failures");
    assert_eq!(w.take(carrier), None);
    w.works.clear();
    assert_eq!((w.book.count(), w.core.held, w.out.sweeps.len()), (0, 0, 1));
    w.out.starts.clear();
    w.offer(10_001, &["a@dead.example"]);
    assert_eq!((w.book.count(), w.out.starts.len()), (0, 0));
    w.offer(10_002, &["a@alive.example"]);
    let alive = w.carrier();
    let (ticket, number) = w.take(alive).unwrap();
    w.report(ticket, vec![delivered()]);
    assert_eq!(number, 10_002);
}

#[test]
fn one_message_probes_a_lane_and_a_success_opens_it() {
    let mut w = World::new(10, 10);
    w.offer(1, &["a@b.example"]);
    let carrier = w.carrier();
    let (ticket, _) = w.take(carrier).unwrap();
    w.report(ticket, vec![deferred(Scope::Lane)]);
    w.take(carrier);
    w.act(|core, at| core.ended(carrier, at));
    w.works.clear();
    let key = LaneKey("out/b.example".into());
    w.act(|core, at| core.swept(&key, at));
    w.pass(999);
    assert!(w.out.fetches.is_empty());
    w.pass(1);
    let limit = w.out.fetches.pop().map(|f| f.limit);
    assert_eq!(limit, Some(1), "one probes, of what the sweep left");

    let due = (vec![w.leased(2, &["a@b.example"])], None);
    w.act(|core, at| core.fetched(&key, Some(due), at));
    let carrier = w.carrier();
    let (ticket, _) = w.take(carrier).unwrap();
    w.offer(3, &["a@b.example"]);
    w.report(ticket, vec![deferred(Scope::Lane)]);
    w.works.clear();
    w.take(carrier);
    w.act(|core, at| core.ended(carrier, at));
    w.out.fetches.clear();
    w.pass(5000);
    assert_eq!(w.out.fetches.pop().map(|f| f.limit), Some(1), "one message probes");
    let due = (vec![w.leased(3, &["a@b.example"])], Some(w.now));
    w.act(|core, at| core.fetched(&key, Some(due), at));
    w.out.starts.retain(|start| start.carrier > carrier);
    let carrier = w.carrier();
    let (ticket, _) = w.take(carrier).unwrap();
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
    let carrier = w.carrier();
    let (ticket, _) = w.take(carrier).unwrap();
    w.report(ticket, vec![deferred(Scope::Lane)]);
    w.hasten("out/b.example");
    assert_eq!(w.out.fetches.pop().map(|f| f.limit), Some(1));
}

#[test]
fn what_waits_in_memory_is_let_go_of_for_an_operator() {
    let mut w = World::new(10, 1);
    for number in 1..=4 {
        w.offer(number, &["a@b.example"]);
    }
    let carrier = w.carrier();
    let (ticket, first) = w.take(carrier).unwrap();
    let ids: Vec<QueueId> = [first, 2, 3].into_iter().map(QueueId::from_number).collect();
    w.ask(|core, at| core.let_go(&ids, None, at));
    assert_eq!(w.book.count(), 2, "the carrier's, and the one that was not named");
    w.report(ticket, vec![delivered()]);
    assert_eq!(w.take(carrier).map(|(_, number)| number), Some(4));
    assert!(w.out.fetches.is_empty(), "not at once");
    w.pass(2_000);
    assert_eq!(w.out.fetches.len(), 1);
}

#[test]
fn mixed_outcomes_are_written_in_one_commit() {
    let mut w = World::new(10, 10);
    w.offer(1, &["a@b.example", "c@b.example", "d@b.example", "e@b.example", "f@b.example"]);
    let carrier = w.carrier();
    let (ticket, _) = w.take(carrier).unwrap();
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
    assert_eq!(work.due(), [(LaneKey("out/b.example".into()), UnixMillis(w.now.0 + 1000))]);
    assert_eq!(work.lease.recipients(), [0, 1, 2, 3]);
    let (again, _) = w.take(carrier).expect("the lost one at once");
    drop(work);
    assert!(w.book.holds(QueueId::from_number(1), 4));
    w.report(again, vec![delivered()]);
    assert_eq!((w.works.len(), w.core.held), (1, 0));
}

#[test]
fn a_session_lost_five_times_is_a_trouble_of_the_lane() {
    let mut w = World::new(10, 10);
    w.offer(1, &["a@b.example"]);
    let carrier = w.carrier();
    for _ in 0..4 {
        let (ticket, _) = w.take(carrier).expect("again at once");
        w.report(ticket, vec![deferred(Scope::Session)]);
        assert!(w.works.is_empty());
    }
    w.take(carrier).expect("the fifth time");
    // A carrier that ends without a report counts as a lost session.
    w.act(|core, at| core.ended(carrier, at));
    assert_eq!(w.lane("out/b.example"), "0 waiting, 0 in flight, 0 carriers, blocked 1000, 1 failures");
    assert!(matches!(w.works[0].verdicts[0].1, RecipientVerdict::Deferred { attempts: 1, .. }));
}

#[test]
fn the_connector_is_chosen_anew() {
    let mut w = World::new(10, 10);
    w.offer(1, &["a@b.example"]);
    let carrier = w.carrier();
    w.table = Table::new(Generation(2), Vec::new(), vec![outbound("strict", "b.example")]);
    assert_eq!(w.take(carrier), None);
    let start = w.out.starts.remove(0);
    assert_eq!(&*start.way.connector.name, "strict");
    w.table = Table::new(Generation(3), Vec::new(), vec![outbound("other", "c.example")]);
    assert_eq!(w.take(start.carrier), None);
    let work = w.works.pop().unwrap();
    assert_eq!(&*work.lane.0, "out/b.example", "the spool has it there");
    let RecipientVerdict::Deferred { trouble, .. } = &work.verdicts[0].1 else { panic!("not deferred") };
    assert_eq!(trouble.reason, "no outbound connector covers b.example any more");
}

#[test]
fn more_connections_only_while_the_queue_stays_non_empty() {
    let mut w = World::new(100, 10);
    w.offer(1, &["a@b.example"]);
    let first = w.carrier();
    for number in 2..20 {
        w.offer(number, &["a@b.example"]);
    }
    let (ticket, _) = w.take(first).unwrap();
    w.pass(500);
    assert!(w.out.starts.is_empty(), "one tries the way, until something was taken");
    w.report(ticket, vec![delivered()]);
    w.take(first).unwrap();
    assert_eq!(w.out.starts.len(), 1);
    let second = w.carrier();
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
    w.offer(100, &["a@second.example"]);
    w.offer(101, &["a@short.example"]);
    let mut carrier = w.carrier();
    w.carrier();
    assert!(w.out.starts.is_empty(), "a connector has two, whatever the limit is");
    let mut handed = 0;
    while let Some((ticket, _)) = w.take(carrier) {
        handed += 1;
        w.report(ticket, vec![delivered()]);
    }
    assert_eq!(handed, 50);
    // It was served, so it goes first in three turns of four.
    for turn in 1..=8 {
        w.act(|core, at| core.ended(carrier, at));
        let start = w.out.starts.remove(0);
        carrier = start.carrier;
        if start.way.domain.as_ref().unwrap().as_str() == "short.example" {
            assert_eq!(turn, 4);
            return;
        }
    }
    panic!("the others never have their turn");
}

#[test]
fn a_date_that_can_not_be_true_parks_no_mail() {
    let mut w = World::new(10, 10);
    let key = LaneKey("out/b.example".into());
    let day = UnixMillis(w.now.0 + 86_400_000);
    w.act(|core, at| core.loaded(vec![(key.clone(), day)], at));
    assert_eq!(w.out.fetches.len(), 1, "asked for at once");
    w.act(|core, at| core.fetched(&key, Some((Vec::new(), None)), at));
    w.out.fetches.clear();
    let soon = UnixMillis(w.now.0 + 60_000);
    w.act(|core, at| core.loaded(vec![(key, soon)], at));
    assert!(w.out.fetches.is_empty(), "it can wait");
}

#[test]
fn nothing_is_given_up_because_the_clock_was_set() {
    let mut w = World::new(10, 10);
    w.offer(1, &["a@b.example"]);
    let carrier = w.carrier();
    let (ticket, _) = w.take(carrier).unwrap();
    // The wall clock jumps ahead by a week, but the message is only 100 s old.
    let offsets = crate::mail::Offsets::start(0);
    let dates = Dates::new(w.now, UnixMillis(w.now.0 + 7 * 86_400_000), offsets);
    let at = At { table: &w.table, dates: &dates };
    let actions = w.core.report(ticket, vec![deferred(Scope::Recipient)], at);
    assert!(matches!(actions.works[0].verdicts[0].1, RecipientVerdict::Deferred { .. }));
}

/// A connector that hands on what it can't send, and the one that takes it.
fn rerouting(portal: &str) -> Table {
    let mut bank = outbound("out", "*");
    bank.tls = OutboundTls::Forced(Forced::encryption());
    bank.on_failure = OnFailure::Reroute(portal.into());
    let mut other = outbound("portal", "portal.example");
    other.tls = OutboundTls::Forced(Forced::encryption());
    Table::new(Generation(1), Vec::new(), vec![bank, other])
}

#[test]
fn what_can_not_be_sent_goes_by_the_other_connector_once() {
    let mut w = World::new(10, 10);
    w.table = rerouting("portal");
    w.offer(1, &["a@b.example"]);
    let carrier = w.carrier();
    let (ticket, _) = w.take(carrier).expect("a job");
    w.report(ticket, vec![withheld()]);
    let mut work = w.works.pop().expect("an outcome");
    let lane = LaneKey("portal/b.example".into());
    assert_eq!(work.due(), [(lane.clone(), w.now)]);
    assert!(!work.is_plain() && work.failed().next().is_none() && work.late().next().is_none(), "no report");
    let (mut recipient, verdict) = work.verdicts.pop().expect("a verdict");
    let RecipientVerdict::Rerouted { rerouting, .. } = verdict else { panic!("not handed on") };
    assert_eq!((&*rerouting.from, &*rerouting.to, &*rerouting.status), ("out", "portal", "5.7.4"));
    drop(work);

    // As it is read back. The lane of the first connector has no part in it.
    recipient.rerouted = Some(rerouting);
    let mut leased = w.leased(1, &["a@b.example"]);
    (leased.recipients, leased.lane) = (vec![recipient], lane.clone());
    w.act(|core, at| core.fetched(&lane, Some((vec![leased], None)), at));
    let start = w.out.starts.remove(0);
    assert_eq!(&*start.way.connector.name, "portal");
    let (ticket, _) = w.take(start.carrier).expect("a job");
    // It does not go round: here it ends.
    w.report(ticket, vec![withheld()]);
    let work = w.works.pop().expect("an outcome");
    assert_eq!(work.failed().count(), 1);
}

#[test]
fn what_can_not_be_handed_on_waits() {
    let mut w = World::new(10, 10);
    w.table = rerouting("portal");
    w.offer(1, &["a@b.example"]);
    let carrier = w.carrier();
    let (ticket, _) = w.take(carrier).expect("a job");
    // A reload comes in between: the other connector is gone.
    w.table = rerouting("gone");
    w.report(ticket, vec![withheld()]);
    let work = w.works.pop().expect("an outcome");
    let RecipientVerdict::Deferred { trouble, .. } = &work.verdicts[0].1 else { panic!("not deferred") };
    assert_eq!(trouble.status, Enhanced(4, 7, 4));
}

/// A message that asks for an identity, at a connector that asks for encryption.
fn asks_for_identity(w: &World) -> Outcome {
    let demand =
        OnwardDemand { level: Onward::Identity, raised_by: Some("secret".into()), ..OnwardDemand::default() };
    let decision = Decision::onward(&w.table.outbound[0], &demand).expect("not met");
    Outcome::Deferred(Trouble::by(decision, Scope::Recipient))
}

fn verdict_on_raised(portal: Forced) -> RecipientVerdict {
    let mut w = World::new(10, 10);
    let mut outbound: Vec<Outbound> =
        rerouting("portal").outbound.iter().map(|one| (**one).clone()).collect();
    outbound[1].tls = OutboundTls::Forced(portal);
    w.table = Table::new(Generation(1), Vec::new(), outbound);
    let mut leased = w.leased(1, &["a@b.example"]);
    let message = Arc::get_mut(&mut leased.message).expect("not shared");
    message.origin.onward =
        OnwardDemand { level: Onward::Identity, raised_by: Some("secret".into()), ..OnwardDemand::default() };
    w.act(|core, at| core.offer(vec![leased], at));
    let carrier = w.carrier();
    let (ticket, _) = w.take(carrier).expect("a job");
    let outcome = asks_for_identity(&w);
    w.report(ticket, vec![outcome]);
    w.works.pop().expect("an outcome").verdicts.remove(0).1
}

#[test]
fn raised_mail_goes_by_the_other_connector_if_that_one_meets_what_it_asks_for() {
    let identity = Forced {
        require: Require::Identity { trust: Vec::new(), names: Vec::new() },
        ..Forced::encryption()
    };
    let RecipientVerdict::Rerouted { rerouting, .. } = verdict_on_raised(identity) else {
        panic!("not handed on")
    };
    assert_eq!((&*rerouting.to, &*rerouting.status), ("portal", "5.7.4"));
    let RecipientVerdict::Deferred { trouble, .. } = verdict_on_raised(Forced::encryption()) else {
        panic!("not deferred")
    };
    assert_eq!(trouble.status, Enhanced(4, 7, 4));
}

#[test]
fn mail_that_went_back_is_no_longer_known_as_handed_on() {
    let known = Rerouting {
        from: "out".into(),
        to: "portal".into(),
        status: "5.7.4".to_owned(),
        reason: "no STARTTLS".to_owned(),
        alert: false,
    };
    let table = rerouting("portal");
    let still = |used: usize, known: &Rerouting| {
        super::place::still_rerouted(&table, &table.outbound[used], known.clone())
    };
    assert_eq!(still(1, &known), Some(known.clone()));
    assert_eq!(still(0, &known), None);
    // Another connector takes it over now, which is then the one to name.
    let before = Rerouting { to: "gone".into(), ..known.clone() };
    assert_eq!(still(1, &before), Some(known.clone()));
    let elsewhere = Rerouting { from: "gone".into(), to: "gone".into(), ..known };
    assert_eq!(still(1, &elsewhere), None);
}
