//! Tests who gets a place, who loses it, and what happens to places at the stop.

use std::net::SocketAddr;
use std::time::Duration;

use super::super::{Pulse, Reach};
use super::*;

const HOST: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 25);

/// A carrier for a lane of its own, holding a job.
fn at_work(w: &mut World, number: i64) -> (u64, u64) {
    w.offer(number, &[&format!("a@d{number}.example")]);
    let carrier = w.carrier();
    let (ticket, _) = w.take(carrier).expect("a job");
    (carrier, ticket)
}

fn evicted(w: &mut World, still: &[(u64, u64)]) -> Vec<u64> {
    let pulse = |(carrier, seconds): &(u64, u64)| Pulse {
        carrier: *carrier,
        still_for: Duration::from_secs(*seconds),
        after_dot: false,
    };
    let pulses: Vec<Pulse> = still.iter().map(pulse).collect();
    w.act(|core, at| core.inspected(&pulses, at));
    std::mem::take(&mut w.out.evicted)
}

#[test]
fn at_the_stop_nothing_new_begins_and_what_began_ends() {
    let mut w = World::new(10, 10);
    w.core = Core::new(&Limits { seats_max: 2, ..limits(10, 10) }, w.now);
    let [opening, carries, asks, looks, other] = [1, 2, 3, 4, 5].map(|number| at_work(&mut w, number).0);
    let mut seat = |carrier| w.ask(|core, at| core.opened(carrier, at));
    assert!(seat(carries) && seat(asks));
    w.ask(|core, at| core.reopening(asks, at));
    let mut seat = |carrier| w.ask(|core, at| core.opened(carrier, at));
    assert!(seat(looks));
    w.ask(|core, at| core.reopening(looks, at));
    let mut seat = |carrier| w.ask(|core, at| core.opened(carrier, at));
    assert!(seat(other) && !seat(asks), "two seats, and one who waits for one of them");
    let out = w.core.stop();
    assert_eq!((out.dismissed, out.recalled, out.granted), (vec![opening], vec![looks], vec![asks]));
    // A carrier that has not heard of the stop yet starts nothing new.
    assert!(!w.ask(|core, at| core.opened(opening, at)));
    assert_eq!(w.ask(|core, at| core.reach(opening, HOST, at)), Reach::Wait);
    assert!(!w.ask(|core, at| core.reopening(carries, at)));
    w.act(|core, at| core.ended(carries, at));
    w.act(|core, at| core.ended(other, at));
    assert!(w.out.granted.is_empty(), "seats are free, and nobody is given one");
}

#[test]
fn who_waits_for_a_busy_host_is_not_blamed_for_it() {
    let mut w = World::new(10, 1_000);
    w.core = Core::new(&Limits { per_host_max: 1, ..limits(10, 4) }, w.now);
    w.table =
        Table::new(Generation(1), Vec::new(), vec![Outbound { connections: 1, ..outbound("out", "*") }]);
    let (holds, _) = at_work(&mut w, 1);
    assert_eq!(w.ask(|core, at| core.reach(holds, HOST, at)), Reach::Go);
    let (waits, _) = at_work(&mut w, 2);
    assert_eq!(w.ask(|core, at| core.reach(waits, HOST, at)), Reach::Wait);
    // Meanwhile others wait for openings.
    let (third, _) = at_work(&mut w, 3);
    let (fourth, _) = at_work(&mut w, 4);
    w.offer(5, &["a@d5.example"]);
    assert!(w.out.starts.is_empty(), "it waits for an opening");
    let all = [(holds, 60), (waits, 60), (third, 1), (fourth, 1)];
    assert_eq!(evicted(&mut w, &all), [holds], "the host that keeps both waiting is left");
}
