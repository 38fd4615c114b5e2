//! Records for tests, of days that are over.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::record::{EventFacts, EventKind, NewEvent};
use super::schema::STORE_FILE;
use super::stamps::StampDesk;
use super::store::Store;
use super::sums::BatchSums;
use crate::connector::{Attainment, Decision, Forced, RequiredTls, Requirement, Ruling, Shortfall};
use crate::mail::UnixMillis;
use crate::seal::SealSettings;
use crate::tracking::TrackingSettings;

/// How a record of tests is sealed.
pub(crate) fn seal() -> SealSettings {
    SealSettings { site: "gw.example".to_owned(), timestamp_url: None, rotate: Duration::from_secs(86_400) }
}

/// Writes so many events for each day, and states each day when the next one has begun, and the last one at its end.
pub(crate) fn write_days(folder: &Path, days: &[(i64, usize)]) {
    write_events(folder, days, event);
}

/// The same, and each event says that the requirement of this connector is lowered, and has a decision of it.
pub(crate) fn write_overrides(folder: &Path, days: &[(i64, usize)], connector: &str) {
    write_events(folder, days, |day, _| {
        let facts = EventFacts {
            connector: Some(connector.to_owned()),
            level: Some("encryption".to_owned()),
            words: vec!["lowered to encryption".to_owned()],
            ..EventFacts::default()
        };
        let decision =
            Some(decision(connector, Ruling::Withheld(Shortfall::NotOffered), Attainment::Plaintext));
        NewEvent { at: UnixMillis::of_day(day), kind: EventKind::Override, id: None, facts, decision }
    });
}

fn write_events(folder: &Path, days: &[(i64, usize)], make: impl Fn(i64, usize) -> NewEvent) {
    let mut store = Store::open(&folder.join(STORE_FILE), true).expect("a store");
    let mut now = UnixMillis(0);
    for (day, count) in days {
        now = UnixMillis(UnixMillis::of_day(*day).0.saturating_add(3_600_000));
        store.open_ledger((&seal(), &StampDesk::default()), folder, now).expect("a ledger");
        store.seal(now, 0, false).expect("statements");
        let events: Vec<NewEvent> = (0..*count).map(|number| make(*day, number)).collect();
        // In two batches, with a statement between them.
        let (first, second) = events.split_at(count / 2);
        store.write(first, BatchSums::default()).expect("events");
        store.seal(now, 0, true).expect("a checkpoint");
        store.write(second, BatchSums::default()).expect("events");
    }
    store.seal(now, 0, true).expect("the last checkpoint");
}

/// The same while nothing is sealed.
pub(crate) fn write_unsealed(folder: &Path, days: &[(i64, usize)]) {
    let mut store = Store::open(&folder.join(STORE_FILE), false).expect("a store");
    for (day, count) in days {
        let events: Vec<NewEvent> = (0..*count).map(|number| event(*day, number)).collect();
        store.write(&events, BatchSums::default()).expect("events");
    }
}

/// Removes what is older than 90 days on this day.
pub(crate) fn prune_all(folder: &Path, day: i64) {
    let settings =
        TrackingSettings { enabled: true, keep: Duration::from_secs(90 * 86_400), bytes_max: 1 << 30 };
    let mut store = Store::open(&folder.join(STORE_FILE), true).expect("a store");
    let now = UnixMillis::of_day(day);
    store.open_ledger((&seal(), &StampDesk::default()), folder, now).expect("a ledger");
    store.seal(now, 0, true).expect("statements");
    while store.prune(settings, now).expect("it can be pruned") {}
}

/// A decision of an outbound connector that requires encryption.
pub(super) fn decision(connector: &str, ruling: Ruling, attained: Attainment) -> Arc<Decision> {
    Arc::new(Decision {
        connector: Some(connector.into()),
        partner: None,
        host: Some("mx.b.example [192.0.2.7]:25".to_owned()),
        required: RequiredTls::Session(Requirement::Forced(Forced::encryption())),
        attained,
        ruling,
    })
}

fn event(day: i64, number: usize) -> NewEvent {
    let facts = EventFacts { words: vec![format!("day {day}, event {number}")], ..EventFacts::default() };
    let at = UnixMillis(UnixMillis::of_day(day).0.saturating_add(i64::try_from(number).unwrap_or(0)));
    NewEvent { at, kind: EventKind::Alarm, id: None, facts, decision: None }
}
