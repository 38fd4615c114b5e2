//! Counters and levels to a page. Labels are names of the configuration and words of the program, nothing else.

use std::sync::atomic::Ordering;

use super::catalogue as known;
use super::counts::{CountsBook, HandshakeCounts, OutboundCounts};
use super::observe::Metrics;
use super::page::{MetricsPage, PageFormat};
use super::readings::{QueueReadings, Readings};
use super::tally::PLAINTEXT;
use crate::mail::UnixMillis;
use crate::scheduler::ConnectorShare;
use crate::smtp::receive::Fullness;

impl Metrics {
    /// The page of all metrics.
    #[must_use]
    pub fn page(&self, readings: &Readings, format: PageFormat) -> String {
        let mut page = MetricsPage::default();
        let book = self.book();
        inbound(&mut page, &book);
        outbound(&mut page, &book);
        self.unnamed(&mut page);
        configured(&mut page, &book, readings);
        refusals(&mut page, &book, readings);
        queue(&mut page, &readings.queue, readings.now);
        shares(&mut page, &book, readings);
        exceptions(&mut page, &book, readings);
        ends(&mut page, &book, readings);
        process(&mut page, readings);
        page.text(format)
    }

    /// What no connector has.
    fn unnamed(&self, page: &mut MetricsPage) {
        let mut listeners: Vec<(&String, &HandshakeCounts)> = self.listeners.iter().collect();
        listeners.sort_unstable_by_key(|(name, _)| *name);
        for (name, counts) in listeners {
            let completed = counts.completed.read().into_iter().filter(|(version, _)| *version != PLAINTEXT);
            for (version, count) in completed {
                page.count(&known::INBOUND_HANDSHAKES, [name, version, COMPLETED], count);
            }
            for (reason, count) in counts.failed.read() {
                page.count(&known::INBOUND_HANDSHAKES, [name, PLAINTEXT, reason.token], count);
            }
            page.timing(&known::INBOUND_HANDSHAKE_SECONDS, [name], counts.took.read());
        }
        for kind in ["failed", "delayed", "relayed", "shortened", "echo"] {
            page.count(&known::REPORTS, [kind], self.reports.count(kind));
        }
        for action in ["held", "released", "removed", "bounced", "retried"] {
            page.count(&known::HANDLED_MESSAGES, [action], self.handled.count(action));
        }
        page.count(&known::ADMIN_REFUSED, [], self.admin_refused());
        page.count(&known::ADMIN_LIMITED, [], self.admin_limited());
        page.count(&known::ADMIN_CROWDED, [], self.admin_crowded());
        page.moment(&known::RELOAD_AT, [], self.reloaded_at());
        page.level(&known::BUILD_INFO, [env!("CARGO_PKG_VERSION")], 1);
    }
}

fn inbound(page: &mut MetricsPage, book: &CountsBook) {
    for (name, partner, counts) in book.inbound.all() {
        // What has no name any more is shown only if there is something.
        let messages = counts.messages.read();
        if name.is_empty() && messages.iter().all(|(_, count)| *count == 0) {
            continue;
        }
        for (version, count) in messages {
            page.count(&known::ACCEPTED_MESSAGES, [name, partner, version], count);
        }
        let recipients = counts.recipients.load(Ordering::Relaxed);
        page.count(&known::ACCEPTED_RECIPIENTS, [name, partner], recipients);
        page.count(&known::ACCEPTED_BYTES, [name, partner], counts.octets.load(Ordering::Relaxed));
        page.timing(&known::ACCEPT_SECONDS, [name], counts.accept.read());
        for (reason, count) in counts.waived.read() {
            page.count(&known::WAIVED, [INBOUND, name, partner, reason.token], count);
        }
    }
}

fn outbound(page: &mut MetricsPage, book: &CountsBook) {
    for (name, partner, counts) in book.outbound.all() {
        let delivered = counts.delivered.read();
        let is_named = !name.is_empty();
        for (version, count) in delivered.into_iter().filter(|(_, count)| is_named || *count > 0) {
            page.count(&known::DELIVERIES, [name, partner, version], count);
        }
        page.timing(&known::DELIVERY_SECONDS, [name], counts.delivery.read());
        let last = UnixMillis(counts.last_delivery.load(Ordering::Relaxed));
        if last > UnixMillis(0) {
            page.moment(&known::LAST_DELIVERY, [name, partner], last);
        }
        undelivered(page, (name, partner), counts);
        // Each cause is there from the start, so that the first one is an increase.
        for token in FALLBACKS.into_iter().filter(|_| is_named) {
            page.count(&known::PLAINTEXT_FALLBACKS, [name, partner, token], counts.plaintext.count(token));
        }
        for (version, count) in counts.handshakes.completed.read() {
            if count > 0 {
                page.count(&known::OUTBOUND_HANDSHAKES, [name, partner, version, COMPLETED], count);
            }
        }
        for (reason, count) in counts.handshakes.failed.read() {
            page.count(&known::OUTBOUND_HANDSHAKES, [name, partner, PLAINTEXT, reason.token], count);
        }
        page.timing(&known::OUTBOUND_HANDSHAKE_SECONDS, [name], counts.handshakes.took.read());
        let omitted = counts.post_quantum_omitted.load(Ordering::Relaxed);
        if is_named || omitted > 0 {
            page.count(&known::POST_QUANTUM_OMITTED, [name, partner], omitted);
        }
    }
}

fn undelivered(page: &mut MetricsPage, (name, partner): (&str, &str), counts: &OutboundCounts) {
    for (reason, count) in counts.deferred.read() {
        page.count(&known::DEFERRALS, [name, partner, reason.token], count);
    }
    for (reason, count) in counts.failed.read() {
        page.count(&known::FAILURES, [name, partner, reason.token], count);
    }
    for (reason, count) in counts.rerouted.read() {
        page.count(&known::REROUTES, [name, partner, reason.token], count);
    }
    for (reason, count) in counts.waived.read() {
        page.count(&known::WAIVED, [OUTBOUND, name, partner, reason.token], count);
    }
}

fn configured(page: &mut MetricsPage, book: &CountsBook, readings: &Readings) {
    let table = &readings.table;
    page.level(&known::GENERATION, [], table.generation.0);
    page.level(&known::RELOAD_OK, [], u64::from(readings.reload_successful));
    for one in &table.inbound {
        let partner = book.inbound.partner_of(&one.name).unwrap_or_default();
        let labels = [INBOUND, &one.name, partner, one.tls.word(), one.mode.word()];
        page.level(&known::CONNECTOR_INFO, labels, 1);
    }
    for one in &table.outbound {
        let partner = book.outbound.partner_of(&one.name).unwrap_or_default();
        let labels = [OUTBOUND, &one.name, partner, one.tls_word(), one.mode.word()];
        page.level(&known::CONNECTOR_INFO, labels, 1);
        let paused = readings.paused.contains(&one.name);
        page.level(&known::CONNECTOR_PAUSED, [&one.name, partner], u64::from(paused));
    }
}

fn refusals(page: &mut MetricsPage, book: &CountsBook, readings: &Readings) {
    for one in &readings.refusals {
        let name = one.connector.as_deref().unwrap_or_default();
        // What was refused by connectors that are gone is not shown.
        let partner = if name.is_empty() { Some("") } else { book.inbound.partner_of(name) };
        if let Some(partner) = partner {
            page.count(&known::REFUSALS, [name, partner, &one.reason], one.count);
        }
    }
    let (sessions, max) = &readings.sessions;
    for (listener, open) in sessions {
        page.level(&known::INBOUND_SESSIONS, [listener], *open);
    }
    page.level(&known::INBOUND_SESSIONS_MAX, [], *max);
}

fn queue(page: &mut MetricsPage, queue: &QueueReadings, now: UnixMillis) {
    if let Some(stats) = queue.stats {
        page.level(&known::QUEUE_MESSAGES, [], stats.messages);
        page.level(&known::QUEUE_RECIPIENTS, [], stats.recipients);
        page.level(&known::QUEUE_HELD, [], stats.held);
        let age = queue.oldest.map_or(0, |oldest| now.since(oldest).as_secs());
        page.level(&known::QUEUE_OLDEST, [], age);
    }
    page.level(&known::QUEUE_LIMIT, [], queue.messages_max);
    page.level(&known::DATABASE_BYTES, [], queue.extent.file);
    page.level(&known::DATABASE_FREE, [], queue.extent.free);
    if let Some(free) = queue.disk_free {
        page.level(&known::DISK_FREE, [], free);
    }
    page.level(&known::DISK_RESERVE, [], queue.disk_reserve);
    for (state, word) in [
        (Fullness::Free, "open"),
        (Fullness::Slow, "slow"),
        (Fullness::QueueFull, "queue-full"),
        (Fullness::DiskFull, "disk-full"),
    ] {
        page.level(&known::INTAKE, [word], u64::from(queue.fullness == state));
    }
}

fn shares(page: &mut MetricsPage, book: &CountsBook, readings: &Readings) {
    for connector in &readings.table.outbound {
        let name = &*connector.name;
        let partner = book.outbound.partner_of(name).unwrap_or_default();
        let none = ConnectorShare::default();
        let share = readings.lanes.shares.get(&connector.name).unwrap_or(&none);
        let waiting = readings.lanes.waiting.get(&connector.name).copied().unwrap_or_default();
        page.level(&known::WAITING_RECIPIENTS, [name, partner], waiting.recipients);
        let age = waiting.oldest.map_or(0, |oldest| readings.now.since(oldest).as_secs());
        page.level(&known::WAITING_OLDEST, [name, partner], age);
        for (state, count) in [("open", share.open), ("failing", share.failing()), ("paused", share.paused)] {
            page.level(&known::LANES, [name, partner, state], count);
        }
        for (reason, count) in &share.failing_by {
            page.level(&known::FAILING_LANES, [name, partner, reason], *count);
        }
        for (state, count) in [("waiting", share.waiting), ("in-flight", share.in_flight)] {
            page.level(&known::LANE_MESSAGES, [name, partner, state], count);
        }
        for (stage, count) in [
            ("opening", share.opening),
            ("waiting", share.queued),
            ("carrying", share.seated),
            ("parked", share.parked),
        ] {
            page.level(&known::OUTBOUND_SESSIONS, [name, partner, stage], count);
        }
    }
}

/// What an operator should know of, as long as it lasts.
fn exceptions(page: &mut MetricsPage, book: &CountsBook, readings: &Readings) {
    for one in &readings.overrides {
        let name = &*one.connector;
        let partner = book.outbound.partner_of(name).or_else(|| book.inbound.partner_of(name));
        page.moment(&known::OVERRIDE_ENDS, [name, partner.unwrap_or_default()], one.until);
    }
    for one in &readings.braked {
        let partner = book.inbound.partner_of(&one.name).unwrap_or_default();
        let action = if one.refuses { "refuse" } else { "alarm" };
        page.level(&known::BRAKE_ACTIVE, [&one.name, partner, action], 1);
    }
    for (kind, count) in &readings.alarms {
        page.level(&known::ALARMS, [kind], *count);
    }
    page.count(&known::LOG_DROPPED, [], readings.dropped_lines);
    page.count(&known::TRACKING_DROPPED, [], readings.dropped_records);
}

/// What ends at a known date.
fn ends(page: &mut MetricsPage, book: &CountsBook, readings: &Readings) {
    for (metric, found) in [
        (&known::CERTIFICATE_ENDS, &readings.certificates),
        (&known::ANCHOR_ENDS, &readings.anchors),
        (&known::CRL_ENDS, &readings.lists),
    ] {
        for (id, at) in found {
            page.moment(metric, [id], *at);
        }
    }
    for term in &readings.pins {
        let side = if term.direction == INBOUND {
            book.inbound.partner_of(&term.connector)
        } else {
            book.outbound.partner_of(&term.connector)
        };
        let labels = [term.direction, &term.connector, side.unwrap_or_default()];
        page.moment(&known::PIN_ENDS, labels, term.ends);
    }
    for (name, at) in &readings.presented {
        if let Some(partner) = book.outbound.partner_of(name) {
            page.moment(&known::PARTNER_CERTIFICATE_ENDS, [name, partner], *at);
        }
    }
}

fn process(page: &mut MetricsPage, readings: &Readings) {
    let process = &readings.process;
    page.level_seconds(&known::PROCESS_START, [], process.started);
    page.count_seconds(&known::PROCESS_CPU, [], process.processor_seconds);
    page.level(&known::PROCESS_RESIDENT, [], process.resident);
    page.level(&known::PROCESS_FDS, [], process.descriptors);
    page.level(&known::PROCESS_FDS_MAX, [], process.descriptors_max);
}

/// The labels of a direction.
pub(super) const INBOUND: &str = "inbound";
const OUTBOUND: &str = "outbound";
/// The result of a handshake that did not fail.
const COMPLETED: &str = "completed";
/// The causes of plaintext; the connector's own `tls = "off"` is the first.
pub(super) const FALLBACKS: [&str; 5] =
    ["clear-off", "clear-not-offered", "clear-refused", "clear-handshake-broken", "clear-tls-session-lost"];
