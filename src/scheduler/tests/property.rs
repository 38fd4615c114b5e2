use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

fn any_outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        3 => Just(delivered()),
        1 => Just(failed()),
        2 => Just(deferred(Scope::Recipient)),
        1 => Just(deferred(Scope::Lane)),
        2 => Just(deferred(Scope::Session)),
    ]
}

proptest! {
    /// Whatever attempts come to, each recipient is delivered once, or failed once, or is still in
    /// the queue; and a lease is held by one at a time.
    #[test]
    fn each_recipient_ends_once(outcomes in prop::collection::vec(any_outcome(), 1..120)) {
        let mut w = World::new(4, 2);
        let mut rows: HashMap<(i64, u32), &'static str> = HashMap::new();
        for number in 0..6 {
            w.offer(number, &["a@b.example", "c@b.example"]);
            rows.insert((number, 0), "queued");
            rows.insert((number, 1), "queued");
        }
        let mut outcomes = outcomes.into_iter();
        let mut seats: Vec<u64> = Vec::new();
        for _ in 0..200 {
            seats.extend(w.out.starts.drain(..).map(|start| start.seat));
            let Some(seat) = seats.first().copied() else {
                let fetches = std::mem::take(&mut w.out.fetches);
                for fetch in fetches {
                    let free: Vec<i64> = (0..6).filter(|n| {
                        (0..2).all(|r| rows[&(*n, r)] == "queued" && !w.book.holds(QueueId::from_number(*n), r))
                    }).take(fetch.limit).collect();
                    let leased = free.iter().map(|n| w.leased(*n, &["a@b.example", "c@b.example"])).collect();
                    w.act(|queue, at| queue.fetched(&fetch.lane, Some(Due { leased, next_at: None }), at));
                }
                w.pass(1000);
                continue;
            };
            match w.take(seat) {
                Some((ticket, _)) => {
                    let now: Vec<Outcome> = outcomes.by_ref().take(2).collect();
                    w.report(ticket, now);
                }
                None => {
                    w.act(|queue, at| queue.ended(seat, at));
                    seats.remove(0);
                }
            }
            for work in std::mem::take(&mut w.works) {
                let number = work.message.id.to_number();
                for (recipient, verdict) in &work.verdicts {
                    let end = match verdict {
                        Verdict::Delivered(_) => "delivered",
                        Verdict::Failed(_) => "failed",
                        Verdict::Deferred { .. } => "queued",
                    };
                    let before = rows.insert((number, recipient.number), end);
                    prop_assert_eq!(before, Some("queued"), "{} settled twice", number);
                }
            }
            prop_assert!(w.queue.waiting <= 4 + 2 && w.queue.held <= 100_000);
        }
        let held = (0..6).flat_map(|n| [(n, 0), (n, 1)]).filter(|(n, r)| {
            w.book.holds(QueueId::from_number(*n), *r) && rows[&(*n, *r)] != "queued"
        }).count();
        prop_assert_eq!(held, 0, "a recipient that is done is still leased");
    }
}
