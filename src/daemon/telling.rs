//! Tells of alarms as they begin and end, and of what a reload came to. It decides nothing.

use std::sync::Arc;

use super::braking::brake_alarm;
use super::expiry;
use super::reload::{Reloader, Trigger};
use crate::admin::{Alarm, AlarmChanges, AlarmKind, ReloadFailure};
use crate::connector::{Generation, ReleaseCause, TrustId};
use crate::mail::Clock;
use crate::retrieve::ListTrouble;
use crate::trace::EventRecorder;
use crate::tracking::{AlarmTopic, Event, Journal};

impl Reloader {
    /// Reports revocation lists that can't be fetched, each as long as it lasts.
    pub(super) fn tell_lists(&self, troubles: Vec<ListTrouble>) {
        let table = self.live.table();
        let naming = |id: &TrustId| {
            let naming = table.outbound.iter().filter(|c| c.forced().is_some_and(|f| f.trust().contains(id)));
            naming.map(|connector| connector.name.to_string()).collect()
        };
        let found = troubles.into_iter().map(|one| (one.words, naming(&one.trust))).collect();
        let fresh = self.alarms.replace(AlarmKind::Lists, Clock::wall(), found);
        self.tell_changes(&fresh);
    }

    /// Reports our certificates, trust anchors and revocation lists that are about to expire, once per threshold.
    pub(super) fn tell_expiry(&self) {
        let now = Clock::wall();
        let (in_use, table) = (self.in_use.load(), self.live.table());
        let mut found = expiry::alarms(&in_use.identities, &in_use.staged, table.outbound.iter(), now);
        found.extend(expiry::trust_alarms(&in_use.trust, table.outbound.iter(), now));
        found.extend(expiry::requirement_alarms(&table, &in_use.trust, now));
        found.extend(expiry::review_alarms(&table, now));
        let fresh = self.alarms.replace(AlarmKind::Expiry, now, found);
        self.tell_changes(&fresh);
    }

    /// Reports inbound connectors by which a flood came, as long as it lasts, and those released by themselves. Whether
    /// anything has changed.
    pub(super) fn tell_brakes(&self) -> bool {
        let (table, brakes) = (self.live.table(), &self.braking.brakes);
        let ended = brakes.tick(&table);
        for (connector, cause) in &ended {
            let why = match cause {
                ReleaseCause::Time => "its time is up",
                ReleaseCause::Calm => "no more comes than usual",
                ReleaseCause::Off => "its brake is off",
            };
            tracing::warn!(%connector, why, "a connector is released from its brake");
        }
        let found = brakes.braked(&table).iter().map(|one| (brake_alarm(one), Vec::new())).collect();
        let fresh = self.alarms.replace(AlarmKind::Brake, Clock::wall(), found);
        self.tell_changes(&fresh);
        !ended.is_empty() || !fresh.raised.is_empty()
    }

    /// Reports that events are missing in the tracking store, or will be.
    pub(super) fn tell_tracking(&self, recorder: &EventRecorder) {
        let dropped = recorder.dropped().facts;
        let mut found = Vec::new();
        if recorder.is_failing() {
            found.push((TRACKING_FAILS.to_owned(), Vec::new()));
        }
        if dropped > 0 {
            let what = format!(
                "the tracking store lacks {dropped} events about accepted mail since the start, because they could not \
                 be written in time; the log has them"
            );
            found.push((what, Vec::new()));
        }
        if recorder.is_unsealed() {
            found.push((UNSEALED.to_owned(), Vec::new()));
        }
        let fresh = self.alarms.replace(AlarmKind::Tracking, Clock::wall(), found);
        self.tell_changes(&fresh);
    }

    /// Reports that log lines are being dropped, once for as long as it lasts.
    pub(super) fn tell_dropped(&self, now: bool) {
        let what = now.then(|| (DROPS.to_owned(), Vec::new()));
        let fresh = self.alarms.replace(AlarmKind::Log, Clock::wall(), what.into_iter().collect());
        self.tell_changes(&fresh);
    }

    pub(super) fn tell_refused(&self, trigger: Trigger, refused: &ReloadFailure) {
        let Generation(number) = refused.generation;
        if trigger == Trigger::Change {
            tracing::info!(faults = refused.faults.len(), "the files have changed, but have errors so far");
            return;
        }
        let told: Vec<String> = refused
            .faults
            .iter()
            .take(ALARMS_MAX)
            .map(|fault| format!("not reloaded, generation {number} stays in effect: {fault}"))
            .collect();
        let found = told.iter().map(|what| (what.clone(), Vec::new())).collect();
        let fresh = self.alarms.replace(AlarmKind::Reload, Clock::wall(), found);
        self.tell_changes(&fresh);
        // Whoever asked for the reload is told of each fault again.
        let is_known = |what: &&String| !fresh.raised.iter().any(|alarm| alarm.what == **what);
        if trigger == Trigger::Asked {
            self.tell(told.iter().filter(is_known));
        }
    }

    pub(super) fn tell<'a>(&self, alarms: impl IntoIterator<Item = &'a String>) {
        for what in alarms {
            self.journal.record(&Event::Alarm { topic: AlarmTopic::Repeated, what });
        }
    }

    /// Tells which alarms began and ended.
    pub(super) fn tell_changes(&self, changes: &AlarmChanges) {
        tell_changes(changes, &self.journal);
    }

    pub(super) fn journal(&self) -> Arc<Journal> {
        Arc::clone(&self.journal)
    }
}

/// Tells which alarms began and ended.
pub(super) fn tell_changes(changes: &AlarmChanges, journal: &Journal) {
    for (raised, alarms) in [(true, &changes.raised), (false, &changes.cleared)] {
        for Alarm { kind, what, connectors, .. } in alarms {
            journal.record(&Event::AlarmChanged { kind: kind.word(), raised, what, connectors });
        }
    }
}

/// Maximum number of errors reported as alarms; `check` shows the rest.
const ALARMS_MAX: usize = 10;

const DROPS: &str = "nobody reads the log (standard error) fast enough: lines are dropped; what happens to mail is kept up to 64 MiB";
const UNSEALED: &str = "the record of events can't be sealed; its hashes are kept, and are sealed once that works again: the log says why";
const TRACKING_FAILS: &str = "events can't be written to the tracking store: `sealpost trace` and `sealpost report` will lack them; \
    the log says why";
