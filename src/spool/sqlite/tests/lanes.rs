//! Tests of work on many lanes and on the whole queue.

use super::*;

#[tokio::test]
async fn all_is_hastened_in_pieces_and_others_are_served_in_between() {
    let folder = tempfile::tempdir().expect("a folder");
    let (spool, _) = open(folder.path());
    let mut ids = Vec::new();
    for number in 0..1_300_u32 {
        let (id, mut leased) = put(&spool, &[if number % 2 == 0 { "x" } else { "y" }], 0).await;
        drop(
            spool.settle(settlement(
                leased.remove(0),
                &deferred(9_000, if number % 2 == 0 { "x" } else { "y" }),
            )),
        );
        ids.push(id);
    }
    let first = spool.hasten_all(None, NOW).await.expect("room");
    assert!(first.found.0 == [lane("x")] && first.next.is_some(), "{first:?}");
    assert!((1..=500).contains(&first.found.1), "{first:?}");
    // Those after it are not touched yet.
    assert_eq!(due(&spool, "y", 0, 9).await.leased.len(), 0);
    let leased = put(&spool, &["z"], 0).await.1;
    let (lanes, count) = hasten_all(&spool).await;
    assert_eq!((lanes, count), (vec![lane("x"), lane("y"), lane("z")], 1_301));
    drop(leased);
    let found = due(&spool, "x", 0, 2_000).await;
    assert_eq!((found.leased.len(), found.next_at), (650, None));
}

#[tokio::test]
async fn what_lies_too_far_ahead_is_due() {
    let folder = tempfile::tempdir().expect("a folder");
    let (spool, _) = open(folder.path());
    let mut ids = Vec::new();
    for late in [0, 500, 9_000, 9_999] {
        let (id, mut leased) = put(&spool, &["x"], 0).await;
        if late > 0 {
            settle(&spool, leased.remove(0), &deferred(late, "x")).await;
        }
        ids.push(id);
    }
    let held = put(&spool, &["x"], 0).await.0;
    spool.hold(held, "so".into()).await.expect("room");
    let ask = async |latest: i64, limit| {
        let (now, latest) = (NOW, UnixMillis(NOW.0 + latest));
        let due = spool.due(DueWindow { lane: lane("x"), now, latest, limit }).await.expect("readable");
        let found: Vec<_> =
            due.leased.iter().map(|l| ids.iter().position(|id| *id == l.message.id)).collect();
        format!(
            "{:?} next {:?}",
            found.into_iter().flatten().collect::<Vec<_>>(),
            due.next_at.map(|at| at.0 - NOW.0)
        )
    };
    assert_eq!(ask(10_000, 9).await, "[0] next Some(500)");
    assert_eq!(ask(9_000, 9).await, "[0, 3] next Some(500)");
    assert_eq!(ask(1_000, 9).await, "[0, 2, 3] next Some(500)");
    assert_eq!(ask(1_000, 2).await, "[0, 2] next Some(0)");
    assert_eq!(ask(499, 9).await, "[0, 1, 2, 3] next None");
}

#[tokio::test]
async fn lanes_come_in_pages() {
    let folder = tempfile::tempdir().expect("a folder");
    let (spool, _) = open(folder.path());
    for (number, name) in ["a", "b", "b", "c", "d"].iter().enumerate() {
        let (id, leased) = put(&spool, &[name], i64::try_from(number).expect("small")).await;
        drop(leased);
        if *name == "c" {
            spool.hold(id, "so".into()).await.expect("room");
        }
    }
    let page = async |after: Option<&str>, limit| {
        let lanes = spool.lanes(after.map(lane), limit).await.expect("readable");
        lanes.iter().map(|(key, at)| format!("{key}{}", at.0 - NOW.0)).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(page(None, 2).await, "a0 b1");
    assert_eq!(page(Some("b"), 2).await, "d4");
    assert_eq!(page(Some("d"), 2).await, "");
}

#[tokio::test]
async fn what_is_past_a_date_is_looked_for_a_part_at_a_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let (spool, _) = open(folder.path());
    let lanes = vec!["x"; 5_500];
    drop(put(&spool, &lanes, 50).await);
    let (old, _) = put(&spool, &["x"], 0).await;
    // It is due last.
    let mut leased = due(&spool, "x", 50, 9).await.leased;
    let of_old = leased.iter().position(|leased| leased.message.id == old).expect("it is due");
    settle(&spool, leased.remove(of_old), &deferred(9_000, "x")).await;
    drop(leased);
    let dates = crate::spool::Overdue { delay: None, expire: UnixMillis(NOW.0 + 1), null_expire: None };
    let first = spool.overdue(lane("x"), dates, None, 9).await.expect("readable");
    assert!(first.found.is_empty() && first.next.is_some(), "{first:?}");
    let rest = spool.overdue(lane("x"), dates, first.next, 9).await.expect("readable");
    assert_eq!((rest.found.len(), rest.next), (1, None));
    assert_eq!(rest.found[0].message.id, old);
}
