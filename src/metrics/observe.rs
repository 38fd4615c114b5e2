//! Moves the counters as events happen: a look-up by name and a few additions, without a lock.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;

use super::counts::{CountsBook, HandshakeCounts};
use super::tally::{Reason, ReasonTally};
use crate::connector::{Decision, HandshakeFault, LiveTable, TlsVersion};
use crate::mail::{Clock, UnixMillis};
use crate::outcome::Trouble;
use crate::tracking::{ArrivalTimes, Event, HandshakeSide, MessageFacts, Observer};

/// The counters. Their connectors are those of the table in effect.
pub struct Metrics {
    live: Arc<LiveTable>,
    book: ArcSwap<CountsBook>,
    /// Held while the book is replaced.
    replacing: Mutex<()>,
    /// Handshakes by listener; listeners change only with a restart.
    pub(super) listeners: HashMap<String, HandshakeCounts>,
    pub(super) reports: ReasonTally,
    pub(super) handled: ReasonTally,
    /// When the configuration last took effect.
    reloaded_at: AtomicI64,
    admin_refused: AtomicU64,
    admin_limited: AtomicU64,
    admin_crowded: AtomicU64,
}

impl Metrics {
    /// Nothing is counted yet, for the connectors of this table and its successors, and these listeners.
    pub fn new(live: Arc<LiveTable>, listeners: impl IntoIterator<Item = String>) -> Self {
        Self {
            book: ArcSwap::from_pointee(CountsBook::of(&live.table())),
            live,
            replacing: Mutex::default(),
            listeners: listeners.into_iter().map(|name| (name, HandshakeCounts::default())).collect(),
            reports: ReasonTally::default(),
            handled: ReasonTally::default(),
            reloaded_at: AtomicI64::new(Clock::wall().0),
            admin_refused: AtomicU64::new(0),
            admin_limited: AtomicU64::new(0),
            admin_crowded: AtomicU64::new(0),
        }
    }

    /// Counts a request to the admin listener without a valid token.
    pub fn refuse_request(&self) {
        self.admin_refused.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn admin_refused(&self) -> u64 {
        self.admin_refused.load(Ordering::Relaxed)
    }

    /// Counts a request to the admin listener whose bearer asks too much.
    pub fn limit_request(&self) {
        self.admin_limited.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn admin_limited(&self) -> u64 {
        self.admin_limited.load(Ordering::Relaxed)
    }

    /// Counts a connection to the admin listener that was closed because others need its place.
    pub fn close_connection(&self) {
        self.admin_crowded.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn admin_crowded(&self) -> u64 {
        self.admin_crowded.load(Ordering::Relaxed)
    }

    pub(super) fn reloaded_at(&self) -> UnixMillis {
        UnixMillis(self.reloaded_at.load(Ordering::Relaxed))
    }

    /// The counters under the table in effect.
    pub(super) fn book(&self) -> arc_swap::Guard<Arc<CountsBook>> {
        let book = self.book.load();
        if book.generation == self.live.generation() {
            return book;
        }
        drop(book);
        let _alone = self.replacing.lock().unwrap_or_else(PoisonError::into_inner);
        let (last, table) = (self.book.load(), self.live.table());
        // Another thread may have done it meanwhile.
        if last.generation != table.generation {
            self.book.store(Arc::new(last.following(&table)));
        }
        self.book.load()
    }

    fn accepted(
        &self,
        message: &MessageFacts<'_>,
        (recipients, times): (usize, &ArrivalTimes),
        decision: &Decision,
    ) {
        let book = self.book();
        let counts = book.inbound.of(message.came_by);
        counts.messages.add(decision.tls().map(|facts| facts.version));
        counts.recipients.fetch_add(u64::try_from(recipients).unwrap_or_default(), Ordering::Relaxed);
        counts.octets.fetch_add(message.size, Ordering::Relaxed);
        counts.accept.add(times.stored);
        let reason = Reason::by(decision);
        if reason.waived {
            counts.waived.add(reason);
        }
    }

    fn delivered(&self, decision: &Decision, delay: Duration) {
        let book = self.book();
        let counts = book.outbound.of(decision.connector.as_deref());
        counts.delivered.add(decision.tls().map(|facts| facts.version));
        counts.delivery.add(delay);
        counts.last_delivery.store(Clock::wall().0, Ordering::Relaxed);
    }

    fn handshake(
        &self,
        side: &HandshakeSide<'_>,
        took: Duration,
        result: Result<TlsVersion, &HandshakeFault>,
    ) {
        let book;
        let counts = match side {
            HandshakeSide::Inbound(listener) => match self.listeners.get(*listener) {
                Some(counts) => counts,
                None => return,
            },
            HandshakeSide::Outbound(connector) => {
                book = self.book();
                &book.outbound.of(Some(connector)).handshakes
            }
        };
        match result {
            Ok(version) => {
                counts.completed.add(Some(version));
                counts.took.add(took);
            }
            Err(fault) => counts.failed.add(Reason::of(fault.cause.word())),
        }
    }

    /// The connector of a recipient that was not delivered: the one that judged, or else the one whose next hop it is.
    fn whose<'a>(outbound: &'a str, trouble: &'a Trouble) -> Option<&'a str> {
        let judged = trouble.decision.as_ref().and_then(|decision| decision.connector.as_deref());
        judged.or(Some(outbound))
    }
}

impl Observer for Metrics {
    fn observe(&self, event: &Event<'_>) {
        match event {
            Event::Accepted { message, recipients, times, decision, .. } => {
                self.accepted(message, (recipients.len(), times), decision);
            }
            Event::Delivered { delivered, delay, .. } => self.delivered(&delivered.decision, *delay),
            Event::Deferred { outbound, trouble, .. } => {
                let book = self.book();
                book.outbound.of(Self::whose(outbound, trouble)).deferred.add(reason_of(trouble));
            }
            Event::Failed { outbound, trouble, .. } => {
                let book = self.book();
                book.outbound.of(Self::whose(outbound, trouble)).failed.add(reason_of(trouble));
            }
            Event::Rerouted { outbound, trouble, .. } => {
                let book = self.book();
                book.outbound.of(Self::whose(outbound, trouble)).rerouted.add(reason_of(trouble));
            }
            Event::Handshake { side, took, result, .. } => self.handshake(side, *took, *result),
            Event::ClearFallback { decision, .. } => {
                let book = self.book();
                book.outbound.of(decision.connector.as_deref()).plaintext.add(Reason::by(decision));
            }
            Event::Waived { decision, .. } => {
                let book = self.book();
                book.outbound.of(decision.connector.as_deref()).waived.add(Reason::by(decision));
            }
            Event::KeySharesOmitted { connector, .. } => {
                let book = self.book();
                book.outbound.of(Some(connector)).post_quantum_omitted.fetch_add(1, Ordering::Relaxed);
            }
            Event::Reported { kind, report: Some(_), .. } => self.reports.add(Reason::of(kind)),
            Event::Handled { handling, .. } => self.handled.add(Reason::of(handling.word())),
            Event::Reloaded { .. } => self.reloaded_at.store(Clock::wall().0, Ordering::Relaxed),
            // Refusals are counted where they are made, since not each is told; alarms that last are read as they are.
            Event::Refused { .. }
            | Event::RefusalCounted { .. }
            | Event::RefusedAgain { .. }
            | Event::Omitted { .. }
            | Event::SessionEnded { .. }
            | Event::Reported { report: None, .. }
            | Event::Held { .. }
            | Event::Started { .. }
            | Event::Stopped
            | Event::Override { .. }
            | Event::Validated { .. }
            | Event::AlarmChanged { .. }
            | Event::PartnerChanged { .. }
            | Event::LinesDropped { .. }
            | Event::Alarm { .. } => {}
        }
    }
}

/// Why a recipient was not delivered.
fn reason_of(trouble: &Trouble) -> Reason {
    Reason::of(trouble.token())
}
