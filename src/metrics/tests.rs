//! Events in, the page out.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::report::FALLBACKS;
use super::{
    ConnectorTerm, LaneReadings, MetricKind, Metrics, PageFormat, ProcessReadings, QueueReadings, Readings,
    catalogue,
};
use crate::connector::samples::{inbound, outbound, shown};
use crate::connector::{
    Attainment, Attribution, ChainVerdict, ClearCause, Decision, Generation, HandshakeCause, HandshakeFault,
    HeaderFindings, InboundTls, LiveTable, MailCounts, Override, OverrideLevel, Partner, RequiredTls,
    Requirement, Ruling, Shortfall, Strain, Table, TlsFacts, TlsVersion, Trip,
};
use crate::listen::RefusalCount;
use crate::mail::{Enhanced, Mailbox, QueueId, Reply, ReversePath, UnixMillis};
use crate::outcome::{Cause, ContentRecord, DeliveryRecord, Scope, Trouble};
use crate::scheduler::{ConnectorShare, ConnectorShares};
use crate::smtp::receive::{BrakedConnector, Fullness};
use crate::spool::{Extent, Stats, WaitingMail};
use crate::tracking::{ArrivalTimes, Event, HandshakeSide, MessageFacts, Observer as _, QueueHandling};

const HOUR: Duration = Duration::from_secs(3_600);
const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

fn table(generation: u64, out: &[&str]) -> Table {
    let bank = || Some(Arc::new(Partner::new("bank", Vec::new())));
    let out = out
        .iter()
        .map(|name| crate::connector::Outbound { partner: bank(), ..outbound(name, &["b.example"], 1) });
    let anyone = inbound("in", &["*"], InboundTls::Opportunistic);
    Table::new(Generation(generation), vec![anyone], out.collect())
}

fn metrics(live: &Arc<LiveTable>) -> Metrics {
    Metrics::new(Arc::clone(live), ["internet".to_owned()])
}

/// What a daemon without anything going on reads.
fn quiet(live: &LiveTable) -> Readings {
    Readings {
        now: NOW,
        table: live.table(),
        refusals: Vec::new(),
        sessions: (vec![("internet".to_owned(), 3)], 100),
        queue: QueueReadings {
            stats: Some(Stats { messages: 2, recipients: 3, held: 1 }),
            oldest: Some(NOW.before(Duration::from_secs(90))),
            messages_max: 1_000,
            extent: Extent { file: 8_192, free: 4_096 },
            disk_free: Some(5 << 30),
            disk_reserve: 1 << 30,
            fullness: Fullness::Slow,
        },
        lanes: Arc::default(),
        paused: Vec::new(),
        overrides: Vec::new(),
        braked: Vec::new(),
        alarms: vec![("reload", 1)],
        certificates: vec![("gw".to_owned(), NOW)],
        anchors: vec![("bank".to_owned(), NOW)],
        lists: vec![("bank".to_owned(), NOW)],
        pins: Vec::new(),
        presented: BTreeMap::new(),
        reload_successful: false,
        dropped_lines: 4,
        dropped_records: 5,
        process: ProcessReadings::default(),
    }
}

fn decision(connector: &str, attained: Attainment, ruling: Ruling) -> Arc<Decision> {
    Arc::new(Decision {
        connector: Some(connector.into()),
        partner: None,
        host: Some("mx.b.example [192.0.2.7]:25".to_owned()),
        required: RequiredTls::Session(Requirement::Opportunistic(None)),
        attained,
        ruling,
    })
}

fn facts() -> Arc<TlsFacts> {
    Arc::new(shown(&["mx.b.example"], ChainVerdict::Trusted))
}

fn trouble(cause: Cause, decision: Option<Arc<Decision>>) -> Trouble {
    let status = Enhanced(4, 0, 0);
    Trouble {
        status,
        cause,
        reason: String::new(),
        remote: None,
        decision,
        scope: Scope::Lane,
        expired: false,
    }
}

fn message(reverse_path: &ReversePath) -> MessageFacts<'_> {
    let id = QueueId::first_of(1_795_469_696_000);
    MessageFacts { id, reverse_path, message_id: None, subject: None, size: 700, came_by: Some("in") }
}

/// One event of each kind that is counted, about connector `out`.
fn everything(metrics: &Metrics) {
    let (path, to) = (ReversePath::NULL, Mailbox::parse("b@b.example").expect("a mailbox"));
    let (message, forward_path, outbound) = (message(&path), &to, "out");
    let client = Attainment::Client { tls: Some(facts()), user: None };
    let times = ArrivalTimes { content: Duration::ZERO, stored: Duration::from_millis(3) };
    let unmet = crate::connector::UnmetCondition::NoTls;
    for ruling in [Ruling::Attributed(Attribution::Domain), Ruling::WaivedClient(unmet)] {
        metrics.observe(&Event::Accepted {
            message,
            peer: IpAddr::from([192, 0, 2, 1]),
            recipients: &[to.clone(), to.clone()],
            times,
            findings: &HeaderFindings::default(),
            decision: &decision("in", client.clone(), ruling),
        });
    }
    let sealed = decision("out", Attainment::Tls(facts()), Ruling::Sealed);
    let delivered = &DeliveryRecord {
        host: String::new(),
        reply: Reply::new(250, Enhanced(2, 0, 0), "ok"),
        decision: sealed,
        reports_on: false,
        content: ContentRecord::default(),
    };
    let delay = Duration::from_secs(2);
    metrics.observe(&Event::Delivered { message, forward_path, delivered, delay, rerouted_from: None });
    let withheld = decision("out", Attainment::Plaintext, Ruling::Withheld(Shortfall::NotOffered));
    let (judged, unreachable) =
        (trouble(Cause::Requirement, Some(withheld)), trouble(Cause::Unreachable, None));
    for trouble in [&judged, &unreachable] {
        let (next_at, rerouted_from) = (NOW, None);
        metrics.observe(&Event::Deferred {
            message,
            forward_path,
            outbound,
            trouble,
            next_at,
            rerouted_from,
        });
    }
    let (trouble, rerouted_from) = (&judged, None);
    metrics.observe(&Event::Failed { message, forward_path, outbound, trouble, rerouted_from });
    metrics.observe(&Event::Rerouted { message, forward_path, outbound, trouble, to: "other" });
    let plaintext = decision("out", Attainment::Plaintext, Ruling::Plaintext(ClearCause::NotOffered));
    metrics.observe(&Event::ClearFallback { host: "mx", decision: &plaintext });
    let waived = decision("out", Attainment::Plaintext, Ruling::Waived(Shortfall::NotOffered));
    metrics.observe(&Event::Waived { host: "mx", decision: &waived });
    metrics.observe(&Event::KeySharesOmitted { host: "mx", connector: "out", reason: "words of a peer" });
    let fault = HandshakeFault::of(HandshakeCause::Cut, "words of a peer");
    let (peer, took) = (([192, 0, 2, 7], 25).into(), Duration::from_millis(30));
    for side in [HandshakeSide::Inbound("internet"), HandshakeSide::Outbound("out")] {
        metrics.observe(&Event::Handshake { side, peer, took, result: Ok(TlsVersion::V13) });
        metrics.observe(&Event::Handshake { side, peer, took, result: Err(&fault) });
    }
    metrics.observe(&Event::Reported { id: message.id, kind: "failed", report: Some(message.id) });
    metrics.observe(&Event::Reported { id: message.id, kind: "failed", report: None });
    metrics.observe(&Event::Reported { id: message.id, kind: "echo", report: Some(message.id) });
    metrics.observe(&Event::Handled { id: message.id, handling: QueueHandling::Held, by: "root (uid 0)" });
    metrics.refuse_request();
}

/// Something of everything that is read.
fn busy(live: &LiveTable) -> Readings {
    let share =
        ConnectorShare { seated: 2, failing_by: [("unreachable", 1)].into(), ..ConnectorShare::default() };
    let refused = |connector: Option<&str>, reason| RefusalCount {
        connector: connector.map(Arc::from),
        reason,
        count: 7,
    };
    let strain = Strain::Messages;
    let window = MailCounts { messages: 9, ..MailCounts::default() };
    let trip = Trip { since: NOW, strain, window, usual: 1, last: String::new() };
    Readings {
        refusals: vec![
            refused(None, "connect-421".into()),
            refused(Some("in"), "excepted-domain".into()),
            refused(Some("gone"), "tls-required".into()),
        ],
        lanes: Arc::new(LaneReadings {
            shares: ConnectorShares::from([("out".into(), share)]),
            waiting: BTreeMap::from([(
                "out".into(),
                WaitingMail { recipients: 8, oldest: Some(NOW.before(HOUR)) },
            )]),
        }),
        overrides: vec![Override {
            connector: "out".into(),
            level: OverrideLevel::Opportunistic,
            since: NOW,
            until: NOW,
            by: "root".to_owned(),
            reason: "words".to_owned(),
        }],
        braked: vec![BrakedConnector { name: "in".into(), trip, refuses: true }],
        pins: vec![ConnectorTerm { direction: "outbound", connector: "out".into(), ends: NOW }],
        presented: BTreeMap::from([("out".to_owned(), NOW), ("gone".to_owned(), NOW)]),
        ..quiet(live)
    }
}

fn page(metrics: &Metrics, readings: &Readings) -> String {
    metrics.page(readings, PageFormat::Text)
}

#[track_caller]
fn has(page: &str, lines: &[&str]) {
    for line in lines {
        assert!(page.lines().any(|one| one == *line), "{line} is not in\n{page}");
    }
}

#[test]
fn events_move_the_counters_of_their_connector() {
    let live = Arc::new(LiveTable::new(table(1, &["out"])));
    let metrics = metrics(&live);
    everything(&metrics);
    let text = page(&metrics, &busy(&live));
    has(
        &text,
        &[
            "sealpost_accepted_messages_total{connector=\"in\",partner=\"\",version=\"TLSv1.3\"} 2",
            "sealpost_accepted_messages_total{connector=\"in\",partner=\"\",version=\"none\"} 0",
            "sealpost_accepted_recipients_total{connector=\"in\",partner=\"\"} 4",
            "sealpost_accepted_bytes_total{connector=\"in\",partner=\"\"} 1400",
            "sealpost_accept_seconds_bucket{le=\"0.005\",connector=\"in\"} 2",
            "sealpost_accept_seconds_bucket{le=\"0.002\",connector=\"in\"} 0",
            "sealpost_waived_total{direction=\"inbound\",connector=\"in\",partner=\"\",reason=\"tls-required\"} 1",
            "sealpost_deliveries_total{connector=\"out\",partner=\"bank\",version=\"TLSv1.3\"} 1",
            "sealpost_delivery_seconds_sum{connector=\"out\"} 2.0",
            "sealpost_deferrals_total{connector=\"out\",partner=\"bank\",reason=\"starttls-not-offered\"} 1",
            "sealpost_deferrals_total{connector=\"out\",partner=\"bank\",reason=\"unreachable\"} 1",
            "sealpost_failures_total{connector=\"out\",partner=\"bank\",reason=\"starttls-not-offered\"} 1",
            "sealpost_plaintext_fallbacks_total{connector=\"out\",partner=\"bank\",reason=\"clear-not-offered\"} 1",
            "sealpost_plaintext_fallbacks_total{connector=\"out\",partner=\"bank\",reason=\"clear-refused\"} 0",
            "sealpost_waived_total{direction=\"outbound\",connector=\"out\",partner=\"bank\",reason=\"starttls-not-offered\"} 1",
            "sealpost_inbound_handshakes_total{listener=\"internet\",version=\"TLSv1.3\",result=\"completed\"} 1",
            "sealpost_inbound_handshakes_total{listener=\"internet\",version=\"none\",result=\"cut\"} 1",
            "sealpost_outbound_handshake_seconds_count{connector=\"out\"} 1",
            "sealpost_reports_total{kind=\"failed\"} 1",
            "sealpost_reports_total{kind=\"echo\"} 1",
            "sealpost_refusals_total{connector=\"\",partner=\"\",reason=\"connect-421\"} 7",
            "sealpost_refusals_total{connector=\"in\",partner=\"\",reason=\"excepted-domain\"} 7",
            "sealpost_queue_oldest_age_seconds 90",
            "sealpost_waiting_recipients{connector=\"out\",partner=\"bank\"} 8",
            "sealpost_waiting_oldest_age_seconds{connector=\"out\",partner=\"bank\"} 3600",
            "sealpost_intake{state=\"slow\"} 1",
            "sealpost_intake{state=\"open\"} 0",
            "sealpost_outbound_sessions{connector=\"out\",partner=\"bank\",stage=\"carrying\"} 2",
            "sealpost_lanes{connector=\"out\",partner=\"bank\",state=\"failing\"} 1",
            "sealpost_override_expiry_timestamp_seconds{connector=\"out\",partner=\"bank\"} 1800000000",
        ],
    );
    // Nothing of a peer, and nothing of connectors that are gone.
    for foreign in ["words", "192.0.2", "mx.b", "gone"] {
        assert!(!text.contains(foreign), "{foreign} is in\n{text}");
    }
}

#[test]
fn every_metric_that_is_declared_is_shown_and_no_other() {
    let live = Arc::new(LiveTable::new(table(1, &["out"])));
    let metrics = metrics(&live);
    everything(&metrics);
    for format in [PageFormat::Text, PageFormat::OpenMetrics] {
        let text = metrics.page(&busy(&live), format);
        let types: BTreeSet<&str> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
        let declared: BTreeSet<String> = catalogue()
            .iter()
            .map(|one| {
                let total = one.kind == MetricKind::Counter && format == PageFormat::Text;
                format!("{}{} {}", one.name, if total { "_total" } else { "" }, one.kind.word())
            })
            .collect();
        assert_eq!(types, declared.iter().map(String::as_str).collect(), "{format:?}");
        let mut named = BTreeSet::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let end = line.find(['{', ' ']).expect("a sample");
            named.insert(line.get(..end).unwrap_or_default().to_owned());
        }
        assert_eq!(
            named,
            catalogue().iter().flat_map(super::MetricDeclaration::samples).collect(),
            "{format:?}"
        );
        assert_eq!(text.ends_with("# EOF\n"), format == PageFormat::OpenMetrics);
    }
}

#[test]
fn names_are_unique_and_follow_the_conventions() {
    let all = catalogue();
    let names: BTreeSet<&str> = all.iter().map(|one| one.name).collect();
    assert_eq!(names.len(), all.len());
    for one in all {
        assert!(one.name.starts_with("sealpost_") || one.name.starts_with("process_"), "{}", one.name);
        assert!(!one.name.ends_with("_total") && one.help.ends_with('.'), "{}", one.name);
        assert!(one.kind != MetricKind::Histogram || one.name.ends_with("_seconds"), "{}", one.name);
    }
}

#[test]
fn a_connector_that_leaves_the_table_leaves_the_page_and_its_counts_stay_in_the_sum() {
    let live = Arc::new(LiveTable::new(table(1, &["out", "stays"])));
    let metrics = metrics(&live);
    everything(&metrics);
    live.replace(table(2, &["stays"]));
    let text = page(&metrics, &quiet(&live));
    assert!(!text.contains("\"out\""), "{text}");
    has(&text, &["sealpost_deliveries_total{connector=\"stays\",partner=\"bank\",version=\"none\"} 0"]);
    // A session that was open still ends.
    everything(&metrics);
    let text = page(&metrics, &quiet(&live));
    assert!(!text.contains("\"out\""), "{text}");
    has(
        &text,
        &[
            "sealpost_deliveries_total{connector=\"\",partner=\"\",version=\"TLSv1.3\"} 1",
            "sealpost_accepted_messages_total{connector=\"in\",partner=\"\",version=\"TLSv1.3\"} 4",
            "sealpost_config_generation 2",
        ],
    );
}

#[test]
fn the_format_is_that_of_the_accept_header() {
    use PageFormat::{OpenMetrics, Text};
    for (accept, expected) in [
        ("", Text),
        ("*/*", Text),
        ("text/plain;version=0.0.4;q=0.5,*/*;q=0.1", Text),
        ("application/openmetrics-text", OpenMetrics),
        ("application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2", OpenMetrics),
        ("text/plain, application/openmetrics-text; q=0", Text),
        ("application/openmetrics-textual", Text),
    ] {
        assert_eq!(PageFormat::of_accept(accept), expected, "{accept}");
    }
}

#[test]
fn each_cause_of_plaintext_is_there_from_the_start() {
    let words = String::new;
    let causes = [
        ClearCause::Off,
        ClearCause::NotOffered,
        ClearCause::Refused(Reply::bare(454, "")),
        ClearCause::HandshakeBroken(HandshakeFault::new(words())),
        ClearCause::SessionLost(words()),
    ];
    assert_eq!(causes.each_ref().map(ClearCause::token), FALLBACKS);
}
