//! The abuse brakes of all inbound connectors: counts what sessions take and refuse, and says which connector takes no new
//! mail. When a flood is one, `connector::Brake` decides.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::connector::{
    Brake, BrakeMode, BrakeRules, Inbound, MailCounts, ReleaseCause, Reveal, Table, Trip,
};
use crate::mail::{Enhanced, Reply, UnixMillis};

/// The brakes by connector name. A connector whose brake is off is not counted, and costs nothing.
pub struct Brakes {
    rules: BrakeRules,
    now: fn() -> UnixMillis,
    /// Called when a flood was noticed; it must not block.
    wake: Box<dyn Fn() + Send + Sync>,
    counted: Mutex<BrakeBook>,
}

/// Everything that was counted, as it is kept over a restart.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BrakeBook(BTreeMap<Arc<str>, Brake>);

/// A flood that lasts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrakedConnector {
    /// The inbound connector.
    pub name: Arc<str>,
    /// What was noticed.
    pub trip: Trip,
    /// Whether its new mail is refused; otherwise it only raises an alarm.
    pub refuses: bool,
}

impl Brakes {
    /// Goes on with what was counted before.
    #[must_use]
    pub fn new(
        (rules, now): (BrakeRules, fn() -> UnixMillis),
        book: BrakeBook,
        wake: impl Fn() + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self { rules, now, wake: Box::new(wake), counted: Mutex::new(book) })
    }

    /// Whether a connector takes new mail.
    ///
    /// # Errors
    /// The reply to the client if it does not.
    pub fn admit(&self, connector: &Inbound) -> Result<(), Reply> {
        if connector.brake != BrakeMode::On {
            return Ok(());
        }
        let book = self.lock();
        let Some(brake) = book.0.get(&connector.name) else { return Ok(()) };
        let is_over = brake.ends_at(&self.rules).is_some_and(|end| end <= (self.now)());
        let Some(trip) = brake.trip().filter(|_| !is_over) else { return Ok(()) };
        let text = match connector.reveal {
            Reveal::Full | Reveal::Partner => {
                format!("connector {} takes no new mail for now: {trip}; try again later", connector.name)
            }
            Reveal::Code => "much more mail than usual came from you; try again later".to_owned(),
        };
        Err(Reply::new(451, Enhanced(4, 7, 1), text))
    }

    /// Counts a message that was accepted.
    pub fn accepted(&self, connector: &Inbound, recipients: usize, who: impl FnOnce() -> String) {
        let recipients = u32::try_from(recipients).unwrap_or(u32::MAX);
        self.count(connector, MailCounts { messages: 1, recipients, refused: 0 }, who);
    }

    /// Counts a recipient that was refused.
    pub fn refused(&self, connector: &Inbound, who: impl FnOnce() -> String) {
        self.count(connector, MailCounts { refused: 1, ..MailCounts::default() }, who);
    }

    fn count(&self, connector: &Inbound, more: MailCounts, who: impl FnOnce() -> String) {
        if connector.brake == BrakeMode::Off {
            return;
        }
        let now = (self.now)();
        let mut book = self.lock();
        let brake = book.0.entry(Arc::clone(&connector.name)).or_insert_with(|| Brake::new(now));
        let has_tripped = brake.count(more, (&self.rules, now), who).is_some();
        drop(book);
        if has_tripped {
            (self.wake)();
        }
    }

    /// Ends what ends by itself, under the table in effect. Returns the names and why.
    pub fn tick(&self, table: &Table) -> Vec<(Arc<str>, ReleaseCause)> {
        let now = (self.now)();
        let mut book = self.lock();
        let mut ended = Vec::new();
        for connector in &table.inbound {
            let Some(brake) = book.0.get_mut(&connector.name) else { continue };
            let cause = brake.tick(connector.brake, &self.rules, now);
            ended.extend(cause.map(|cause| (Arc::clone(&connector.name), cause)));
        }
        // A connector that the table does not have may come back with the next one.
        book.0.retain(|name, brake| !brake.is_idle(now) || table.inbound.iter().any(|c| c.name == *name));
        ended
    }

    /// The floods that last, of connectors that the table has.
    #[must_use]
    pub fn braked(&self, table: &Table) -> Vec<BrakedConnector> {
        let book = self.lock();
        let braked = table.inbound.iter().filter_map(|connector| {
            let trip = book.0.get(&connector.name)?.trip()?.clone();
            let refuses = connector.brake == BrakeMode::On;
            Some(BrakedConnector { name: Arc::clone(&connector.name), trip, refuses })
        });
        braked.collect()
    }

    /// When the next flood ends by itself, if time ends one.
    #[must_use]
    pub fn next_end(&self) -> Option<UnixMillis> {
        self.lock().0.values().filter_map(|brake| brake.ends_at(&self.rules)).min()
    }

    /// Releases a connector; with `accept`, what came is usual from now on. Whether there was a flood.
    pub fn release(&self, name: &str, accept: bool) -> bool {
        let now = (self.now)();
        let mut book = self.lock();
        let Some(brake) = book.0.get_mut(name).filter(|brake| brake.trip().is_some()) else { return false };
        if accept {
            brake.accept(now);
        } else {
            brake.release();
        }
        true
    }

    /// Everything that was counted.
    #[must_use]
    pub fn book(&self) -> BrakeBook {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, BrakeBook> {
        // The counts stay valid even if a holder of the lock panicked.
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Brakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Brakes").finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(crate) mod samples {
    use std::time::Duration;

    use super::*;

    /// Brakes that stop at the third message, or recipient, or refusal.
    pub(crate) fn brakes(now: fn() -> UnixMillis) -> Arc<Brakes> {
        let floors = MailCounts { messages: 2, recipients: 2, refused: 2 };
        let rules = BrakeRules { factor: 10, floors, learn: Duration::ZERO, release: None };
        Brakes::new((rules, now), BrakeBook::default(), || {})
    }
}

#[cfg(test)]
mod tests {
    use super::samples::brakes;
    use super::*;
    use crate::connector::{Generation, Table};

    fn connector(brake: BrakeMode) -> Inbound {
        Inbound { brake, ..Inbound::new("phones", Vec::new()) }
    }

    /// What MAIL is answered after this many messages to one recipient each.
    #[track_caller]
    fn check(connector: &Inbound, messages: u32, expected: &str) {
        let brakes = brakes(|| UnixMillis(0));
        (0..messages).for_each(|_| brakes.accepted(connector, 1, || "ann".to_owned()));
        let answer = brakes.admit(connector).map_or_else(|reply| reply.to_string(), |()| "taken".to_owned());
        assert_eq!(answer, expected);
    }

    #[test]
    fn only_a_brake_that_is_on_refuses() {
        check(&connector(BrakeMode::On), 2, "taken");
        check(
            &connector(BrakeMode::On),
            3,
            "451 4.7.1 connector phones takes no new mail for now: 3 recipients within ten minutes, and never more \
             than 0 in the last weeks; try again later",
        );
        check(&connector(BrakeMode::Alarm), 300, "taken");
        check(&connector(BrakeMode::Off), 300, "taken");
        let discreet = Inbound { reveal: Reveal::Code, ..connector(BrakeMode::On) };
        check(&discreet, 3, "451 4.7.1 much more mail than usual came from you; try again later");
    }

    #[test]
    fn what_lasts_is_shown_and_kept_and_released_by_name() {
        let brakes = brakes(|| UnixMillis(0));
        let table = |mode| Table::new(Generation(1), vec![connector(mode)], Vec::new());
        (0..3).for_each(|_| brakes.refused(&connector(BrakeMode::On), || "ann".to_owned()));
        let braked = brakes.braked(&table(BrakeMode::On));
        assert_eq!(
            braked.iter().map(|one| (one.refuses, one.trip.last.as_str())).collect::<Vec<_>>(),
            [(true, "ann")]
        );
        assert!(!brakes.braked(&table(BrakeMode::Alarm))[0].refuses);
        assert!(brakes.braked(&Table::new(Generation(1), Vec::new(), Vec::new())).is_empty());
        let kept = serde_json::to_string(&brakes.book()).expect("JSON");
        assert_eq!(serde_json::from_str::<BrakeBook>(&kept).expect("the same"), brakes.book());
        assert!(!brakes.release("other", false));
        assert!(brakes.release("phones", false) && !brakes.release("phones", false));
        assert!(brakes.admit(&connector(BrakeMode::On)).is_ok());
        // A brake that is turned off ends what lasts.
        (0..3).for_each(|_| brakes.refused(&connector(BrakeMode::On), String::new));
        assert_eq!(brakes.tick(&table(BrakeMode::Off)), [("phones".into(), ReleaseCause::Off)]);
    }
}
