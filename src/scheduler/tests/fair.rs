//! That no lane, sweep or question stands in the way of the others.

use super::*;

#[test]
fn a_blocked_lane_is_found_by_its_name() {
    let mut w = World::new(10, 10);
    w.offer(1, &["a@dead.example"]);
    let seat = w.seat();
    let (ticket, _) = w.take(seat).unwrap();
    w.report(ticket, vec![deferred(Scope::Lane)]);
    w.offer(2, &["a@alive.example"]);
    let names = ["out/none.example", "out/dead.example", "out/alive.example"];
    let blocked = w.queue.blocked(&names.map(|name| LaneKey(name.into())));
    let blocked: Vec<_> = blocked.iter().map(|lane| (&*lane.lane.0, lane.reason.as_deref())).collect();
    assert_eq!(blocked, [("out/dead.example", Some("no answer"))]);
}

#[test]
fn a_blocked_lane_tries_anew_once_its_connector_is_another() {
    let mut w = World::new(10, 10);
    w.offer(1, &["a@dead.example"]);
    let seat = w.seat();
    let (ticket, _) = w.take(seat).unwrap();
    w.report(ticket, vec![deferred(Scope::Lane)]);
    let state = |w: &mut World, outbound: Outbound| {
        w.table = Table::new(Generation(2), Vec::new(), vec![outbound]);
        w.act(Queue::rejudge);
        w.queue.blocked(&[LaneKey("out/dead.example".into())]).len()
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
        w.act(|queue, at| queue.offer(vec![old], at));
        let got = match &w.works.pop().unwrap().verdicts[0].1 {
            Verdict::Failed(trouble) => trouble.reason.clone(),
            Verdict::Deferred { next_at, .. } => format!("in {} min", (next_at.0 - w.now.0) / 60_000),
            Verdict::Delivered(_) => "delivered".to_owned(),
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
    let seat = w.seat();
    let (ticket, _) = w.take(seat).unwrap();
    w.report(ticket, vec![deferred(Scope::Lane)]);
    assert_eq!(w.out.sweeps.len(), 1);
    let key = LaneKey("out/dead.example".into());
    w.pass(60_000);
    assert_eq!(w.out.sweeps.len(), 1, "the first one has not ended");
    w.act(|queue, at| queue.swept(&key, at));
    w.pass(60_000);
    assert_eq!(w.out.sweeps.len(), 2);
}
