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
