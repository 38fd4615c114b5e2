//! Tests that no lane, sweep or fetch blocks the others.

use super::*;

#[test]
fn a_blocked_lane_is_found_by_its_name() {
    let mut w = World::new(10, 10);
    w.offer(1, &["a@dead.example"]);
    let carrier = w.carrier();
    let (ticket, _) = w.take(carrier).unwrap();
    w.report(ticket, vec![deferred(Scope::Lane)]);
    w.offer(2, &["a@alive.example"]);
    let names = ["out/none.example", "out/dead.example", "out/alive.example"];
    let blocked = w.core.blocked(&names.map(|name| LaneKey(name.into())), &Dates::agreeing(w.now));
    let blocked: Vec<_> = blocked.iter().map(|lane| (&*lane.lane.0, lane.reason.as_deref())).collect();
    assert_eq!(blocked, [("out/dead.example", Some("no answer"))]);
}

#[test]
fn a_blocked_lane_tries_anew_once_its_connector_is_another() {
    let mut w = World::new(10, 10);
    w.offer(1, &["a@dead.example"]);
    let carrier = w.carrier();
    let (ticket, _) = w.take(carrier).unwrap();
    w.report(ticket, vec![deferred(Scope::Lane)]);
    let state = |w: &mut World, outbound: Outbound| {
        w.table = Table::new(Generation(2), Vec::new(), vec![outbound]);
        let dates = Dates::agreeing(w.now);
        let (changed, _) = w.core.changed(None, At { table: &w.table, dates: &dates });
        w.act(|core, at| core.hasten(changed, at));
        w.core.blocked(&[LaneKey("out/dead.example".into())], &dates).len()
    };
    assert_eq!(state(&mut w, outbound("out", "*")), 1, "the connector is as it was");
    assert!(w.out.fetches.is_empty());
    assert_eq!(state(&mut w, Outbound { revision: Revision([1; 8]), ..outbound("out", "*") }), 0);
    assert_eq!(w.out.fetches.len(), 1, "what is due is read");
}

#[test]
fn mail_without_a_connector_is_spared_after_the_start() {
    let mut w = World::new(10, 10);
    w.table = Table::new(Generation(2), Vec::new(), vec![outbound("other", "c.example")]);
    let mut check = |minutes: i64, expected: &str| {
        w.now = UnixMillis(1_000_000 + minutes * 60_000);
        let mut old = w.leased(minutes, &["a@b.example"]);
        Arc::get_mut(&mut old.message).unwrap().accepted_at = UnixMillis(1_000_000 - 5 * 86_400_000);
        w.act(|core, at| core.offer(vec![old], at));
        let got = match &w.works.pop().unwrap().verdicts[0].1 {
            RecipientVerdict::Failed(trouble) => trouble.reason.clone(),
            RecipientVerdict::Deferred { next_at, .. } => {
                format!("in {} min", (next_at.0 - w.now.0) / 60_000)
            }
            RecipientVerdict::Delivered(_) | RecipientVerdict::Rerouted { .. } => "delivered".to_owned(),
        };
        assert_eq!(got, expected, "{minutes} min after the start");
    };
    check(0, "in 15 min");
    check(230, "in 10 min");
    check(240, "not delivered within 5 d 4 h: no outbound connector covers b.example any more");
}

#[test]
fn a_lane_is_swept_once_at_a_time() {
    let mut w = World::new(10, 10);
    w.offer(1, &["a@dead.example"]);
    let carrier = w.carrier();
    let (ticket, _) = w.take(carrier).unwrap();
    w.report(ticket, vec![deferred(Scope::Lane)]);
    assert_eq!(w.out.sweeps.len(), 1);
    let key = LaneKey("out/dead.example".into());
    w.pass(60_000);
    assert_eq!(w.out.sweeps.len(), 1, "the first one has not ended");
    w.act(|core, at| core.swept(&key, at));
    w.pass(60_000);
    assert_eq!(w.out.sweeps.len(), 2);
}

/// A lane with two carriers, each holding a job.
fn two_at_work(w: &mut World) -> (u64, u64) {
    for number in 1..=4 {
        w.offer(number, &["a@b.example"]);
    }
    let first = w.carrier();
    let (ticket, _) = w.take(first).expect("a job");
    w.report(ticket, vec![delivered()]);
    w.pass(50);
    (first, w.carrier())
}

#[test]
fn a_host_that_bears_fewer_connections_keeps_those() {
    let mut w = World::new(100, 10);
    let (first, second) = two_at_work(&mut w);
    let (ticket, number) = w.take(second).expect("a job");
    w.report(ticket, vec![deferred(Scope::Lane)]);
    w.act(|core, at| core.ended(second, at));
    assert_eq!(w.lane("out/b.example"), "3 waiting, 0 in flight, 1 carriers, open, 0 failures");
    assert!(w.out.starts.is_empty(), "one carrier is what it can handle");
    // The message goes with the other carrier, and nothing was written for it.
    let (ticket, again) = w.take(first).expect("a job");
    assert_eq!((again, w.works.len()), (number, 1));
    w.report(ticket, vec![delivered()]);
    // After enough deliveries another one is tried.
    for number in 10..40 {
        w.offer(number, &["a@b.example"]);
    }
    for _ in 0..20 {
        let (ticket, _) = w.take(first).expect("a job");
        w.report(ticket, vec![delivered()]);
    }
    w.pass(50);
    assert_eq!(w.out.starts.len(), 1);
}

#[test]
fn a_requirement_that_is_not_met_blocks_though_others_were_served() {
    let mut w = World::new(10, 10);
    let (_, second) = two_at_work(&mut w);
    let (ticket, _) = w.take(second).expect("a job");
    let unmet = Trouble { cause: Cause::Requirement, ..trouble(Scope::Lane) };
    w.report(ticket, vec![Outcome::Deferred(unmet)]);
    assert!(w.lane("out/b.example").contains("blocked"), "{}", w.lane("out/b.example"));
}

#[test]
fn a_connector_with_a_rate_waits_without_a_failure() {
    let mut w = World::new(100, 10);
    let mut slow = outbound("out", "*");
    slow.sending.messages_per_minute_max = Some(60);
    w.table = Table::new(Generation(1), Vec::new(), vec![slow]);
    for number in 0..20 {
        w.offer(number, &[if number % 2 == 0 { "a@b.example" } else { "a@c.example" }]);
    }
    let mut sent = 0;
    let mut carriers: Vec<u64> = w.out.starts.drain(..).map(|start| start.carrier).collect();
    let mut by_second = Vec::new();
    for _ in 0..10 {
        while let Some(carrier) = carriers.pop() {
            while let Some((ticket, _)) = w.take(carrier) {
                w.report(ticket, vec![delivered()]);
                sent += 1;
            }
            w.act(|core, at| core.ended(carrier, at));
        }
        by_second.push(sent);
        w.pass(1_000);
        carriers.extend(w.out.starts.drain(..).map(|start| start.carrier));
    }
    assert_eq!(by_second, [6, 7, 8, 9, 10, 11, 12, 13, 14, 15]);
    assert!(w.lane("out/b.example").ends_with("open, 0 failures"), "{}", w.lane("out/b.example"));
}

/// The message number identifies its sender: 1000 + n is from sender 1.
fn of_sender(w: &mut World, sender: i64, count: i64, attempts: u32) {
    for n in 0..count {
        let mut one = w.leased(sender * 1000 + n, &["a@b.example"]);
        let path = format!("s{sender}@contoso.example");
        Arc::get_mut(&mut one.message).unwrap().reverse_path = ReversePath::parse(&path).unwrap();
        one.recipients[0].attempts = attempts;
        w.act(|core, at| core.offer(vec![one], at));
    }
}

fn order(w: &mut World, count: usize) -> Vec<i64> {
    let carrier = w.carrier();
    let mut taken = Vec::new();
    while taken.len() < count {
        let Some((ticket, number)) = w.take(carrier) else { break };
        w.report(ticket, vec![delivered()]);
        taken.push(number);
    }
    taken
}

#[test]
fn senders_take_turns_and_fresh_mail_goes_before_retries() {
    let mut w = World::new(100, 1);
    of_sender(&mut w, 1, 4, 3);
    of_sender(&mut w, 2, 4, 0);
    of_sender(&mut w, 3, 2, 0);
    // Peeking at the first message to choose its carrier counts as a turn.
    let expected = [2000, 3000, 1000, 2001, 3001, 2002, 1001, 2003, 1002, 1003];
    assert_eq!(order(&mut w, 10), expected);
}

#[test]
fn small_messages_do_not_wait_for_large_ones_and_those_not_for_ever() {
    let mut w = World::new(100, 1);
    // The first is already at the front; the other one of 3 MiB goes some rounds later.
    for number in [1, 2] {
        let mut large = w.leased(number, &["a@b.example"]);
        Arc::get_mut(&mut large.message).unwrap().size = 3 * 1024 * 1024;
        w.act(|core, at| core.offer(vec![large], at));
    }
    of_sender(&mut w, 4, 5, 0);
    assert_eq!(order(&mut w, 7), [1, 4000, 4001, 4002, 4003, 2, 4004]);
    // New senders keep arriving.
    let mut w = World::new(300, 1);
    of_sender(&mut w, 1, 3, 0);
    let carrier = w.carrier();
    let mut taken = Vec::new();
    for sender in 2..100 {
        of_sender(&mut w, sender, 1, 0);
        of_sender(&mut w, sender + 1000, 1, 0);
        let (ticket, number) = w.take(carrier).unwrap();
        w.report(ticket, vec![delivered()]);
        taken.push(number);
    }
    let last = taken.iter().position(|number| *number == 1002);
    assert!(last.is_some_and(|last| last < 70), "{taken:?}");
}

#[test]
fn a_full_window_has_room_for_who_has_nothing_in_it() {
    let mut w = World::new(8, 1);
    of_sender(&mut w, 1, 20, 0);
    of_sender(&mut w, 2, 1, 0);
    assert_eq!(w.core.waiting, 9, "8 of the first, and the only one of the other");
    assert_eq!(order(&mut w, 2)[1], 2000);
    let mut w = World::new(8, 1);
    of_sender(&mut w, 1, 8, 1);
    of_sender(&mut w, 3, 5, 0);
    assert_eq!(w.core.waiting, 10, "a quarter more for what is fresh");
}
