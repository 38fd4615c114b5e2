//! Turns the file as written into settings: everything but the connectors. It reads no files.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use serde_json::{Map, Value};
use toml::Spanned;

use super::fault::Report;
use super::keys::{
    AdminValues, AlertsValues, BrakeValues, CrlValues, DnsValues, EchoValues, Entry as _, EvidenceValues,
    LimitsValues, ListenerEntry, ListenerValues, LogValues, QueueValues, ReportsValues, ServerValues,
    TimeoutsValues, TrackingValues, WatchValues, shown,
};
use super::known::DefinedIds;
use super::named::Revisions;
use super::{LogSettings, connectors, hooks, outbound, partners, schema, view};
use crate::admin::AdminSettings;
use crate::connector::{EchoMailbox, Inbound, Outbound};
use crate::listen::settings::{Listener, ListenerTls};
use crate::seal::SealSettings;
use crate::tracking::TrackingSettings;
use crate::{deliver, listen, lookout, resolver, retrieve, scheduler};

/// The settings of a file. If a fault was reported, parts are missing and the value must not be used.
pub(super) struct CheckedFile {
    pub(super) server: ServerValues,
    pub(super) listen: listen::settings::Settings,
    pub(super) deliver: deliver::settings::Settings,
    pub(super) scheduler: scheduler::settings::Settings,
    pub(super) resolver: resolver::settings::Settings,
    pub(super) retrieve: retrieve::settings::Settings,
    pub(super) inbound: Vec<Inbound>,
    pub(super) outbound: Vec<Outbound>,
    pub(super) echo: Option<EchoMailbox>,
    pub(super) drain: Duration,
    pub(super) tracking: TrackingSettings,
    pub(super) seal: Option<SealSettings>,
    pub(super) admin: Option<AdminSettings>,
    pub(super) alerts: AlertsValues,
    pub(super) reports: WantedReports,
    pub(super) log: LogSettings,
    pub(super) watch: lookout::settings::Settings,
    /// Every value in effect, for `check --json`.
    pub(super) in_force: Map<String, Value>,
}

/// What was written about reports.
pub(super) struct WantedReports {
    pub(super) values: ReportsValues,
    pub(super) partners: Vec<partners::PartnerAddress>,
}

/// The sections that do not depend on others.
struct Plain {
    dns: DnsValues,
    crl: CrlValues,
    queue: QueueValues,
    limits: LimitsValues,
    brake: BrakeValues,
    echo: EchoValues,
    watch: WatchValues,
    timeouts: TimeoutsValues,
    tracking: TrackingValues,
    evidence: EvidenceValues,
    admin: AdminValues,
    alerts: AlertsValues,
    reports: ReportsValues,
    log: LogValues,
}

/// Checks everything that needs no other file. `None` only if a fault was reported.
pub(super) fn check(
    file: &schema::File,
    revisions: &Revisions,
    report: &mut Report<'_>,
) -> Option<CheckedFile> {
    let (partners, partners_shown, addresses) = partners::check(file, &revisions.lists, report);
    let mut known = DefinedIds::of(file, partners, revisions);
    let server = server(file, report);
    let (listeners, shown) = listeners(&file.listener, &mut known, report);
    let plain = plain(file, &revisions.base, report);
    let admin = plain.admin.settings(&file.admin, (&revisions.lists.tokens, &listeners), report);
    let connectors = connectors::check(file, &plain.queue, (&mut known, &listeners), revisions, report);
    if let Some((Some(postmaster), place)) =
        server.as_ref().map(|(values, place)| (&values.postmaster, place))
    {
        connectors::postmaster_has_a_way(postmaster, place, &connectors, report);
    }
    hooks::check(file, &plain.alerts, plain.limits.queued, &mut known, report);
    known.warn_unused(file, report);
    connectors::warn_unfulfillable(file, &listeners, report);
    let (server, _) = server?;
    let (name, postmaster) = (server.name.clone()?, server.postmaster.clone()?);
    let mut in_force = in_force(file, &server, &plain);
    in_force.insert("listener".to_owned(), Value::Array(shown));
    in_force.insert("partner".to_owned(), Value::Array(partners_shown));
    in_force.insert("inbound".to_owned(), Value::Array(connectors.shown.0));
    in_force.insert("outbound".to_owned(), Value::Array(connectors.shown.1));
    in_force.insert("raise".to_owned(), Value::Array(connectors.rules));
    view::inherit(&mut in_force);
    let site = name.to_string();
    Some(CheckedFile {
        deliver: plain.limits.outbound(name.clone(), &plain.timeouts),
        scheduler: plain.queue.settings(name.clone(), postmaster.clone(), &plain.limits),
        listen: listen::settings::Settings {
            name,
            postmaster,
            listeners,
            limits: plain.limits.inbound(),
            timeouts: plain.timeouts.inbound(),
            reserve: plain.limits.reserve(),
            brake: plain.brake.rules(),
            subjects: plain.tracking.keeps_subjects(),
        },
        resolver: plain.dns.settings(),
        retrieve: plain.crl.settings(),
        inbound: connectors.inbound,
        outbound: connectors.outbound,
        echo: plain.echo.mailbox(),
        drain: plain.timeouts.drain,
        tracking: plain.tracking.settings(),
        seal: plain.evidence.settings(&site, plain.tracking.settings().enabled),
        admin,
        alerts: plain.alerts,
        reports: WantedReports { values: plain.reports, partners: addresses },
        log: plain.log.settings(),
        watch: plain.watch.settings(),
        server,
        in_force,
    })
}

/// The values of `[server]`, and the position of its postmaster.
fn server(file: &schema::File, report: &mut Report<'_>) -> Option<(ServerValues, Range<usize>)> {
    let Some(table) = &file.server else {
        report.fault_of_file("[server] is missing; write it with name, data_dir and postmaster");
        return None;
    };
    let (server, place) = (table.get_ref(), table.span());
    let values = server.read(&place, report);
    Some((values, server.place("postmaster").unwrap_or(place)))
}

fn plain(file: &schema::File, base: &Path, report: &mut Report<'_>) -> Plain {
    // No key of these sections is required, so their position does not matter.
    let nowhere = 0..0;
    let mut plain = Plain {
        dns: file.dns.read(&nowhere, report),
        crl: file.crl.read(&nowhere, report),
        queue: file.queue.read(&nowhere, report),
        limits: file.limits.read(&nowhere, report),
        brake: file.brake.read(&nowhere, report),
        echo: file.echo.read(&nowhere, report),
        watch: file.watch.read(&nowhere, report),
        timeouts: file.timeouts.read(&nowhere, report),
        tracking: file.tracking.read(&nowhere, report),
        evidence: file.evidence.read(&nowhere, report),
        admin: file.admin.read(&nowhere, report),
        alerts: file.alerts.read(&nowhere, report),
        reports: file.reports.read(&nowhere, report),
        log: file.log.read(&nowhere, report),
    };
    plain.limits.settle(&file.limits, report);
    plain.evidence.settle(&file.evidence, plain.tracking.settings().enabled, report);
    if plain.log.protocol_size < PROTOCOL_LOG_MIN {
        let place = file.log.place("protocol_size").unwrap_or(nowhere);
        report.fault(place, "protocol_size is less than 1 MiB; write more, as \"256MiB\"");
    }
    outbound::warn_odd_queue(&file.queue, &plain.queue, report);
    if let Some(folder) = &mut plain.queue.archive {
        let whole = base.join(folder.get_ref()).display().to_string();
        *folder = Spanned::new(folder.span(), whole);
    }
    plain
}

fn in_force(file: &schema::File, server: &ServerValues, plain: &Plain) -> Map<String, Value> {
    let of_server = file.server.as_ref().map(|entry| shown(entry.get_ref(), server));
    let sections = [
        ("server", of_server.unwrap_or_default()),
        ("dns", shown(&file.dns, &plain.dns)),
        ("crl", shown(&file.crl, &plain.crl)),
        ("queue", shown(&file.queue, &plain.queue)),
        ("limits", shown(&file.limits, &plain.limits)),
        ("brake", shown(&file.brake, &plain.brake)),
        ("echo", shown(&file.echo, &plain.echo)),
        ("watch", shown(&file.watch, &plain.watch)),
        ("timeouts", shown(&file.timeouts, &plain.timeouts)),
        ("tracking", shown(&file.tracking, &plain.tracking)),
        ("evidence", shown(&file.evidence, &plain.evidence)),
        ("admin", shown(&file.admin, &plain.admin)),
        ("alerts", shown(&file.alerts, &plain.alerts)),
        ("reports", shown(&file.reports, &plain.reports)),
        ("log", shown(&file.log, &plain.log)),
    ];
    sections.into_iter().map(|(name, values)| (name.to_owned(), Value::Object(values))).collect()
}

fn listeners(
    entries: &[Spanned<ListenerEntry>],
    known: &mut DefinedIds<'_>,
    report: &mut Report<'_>,
) -> (Vec<Listener>, Vec<Value>) {
    let mut listeners = Vec::new();
    let mut all_shown = Vec::new();
    let mut names = BTreeMap::new();
    let mut addresses = BTreeMap::new();
    for entry in entries {
        let (place, entry) = (entry.span(), entry.get_ref());
        let values = entry.read(&place, report);
        if let Some(name) = &values.name {
            report.unique(name, "listener", &mut names);
        }
        for (address, place) in values.address.iter().flatten() {
            // Port 0 takes a free port, so two of them never conflict.
            let first = addresses.entry(*address).or_insert_with(|| place.clone()).clone();
            if first != *place && address.port() != 0 {
                let line = report.line(&first);
                let message = format!("{address} is already listened on by line {line}; remove one");
                report.fault(place.clone(), message);
            }
        }
        listener_certificates(entry, &values, known, report);
        if values.greeting_delay.is_some_and(|delay| delay > GREETING_DELAY_MAX)
            && let Some(place) = entry.place("greeting_delay")
        {
            let words = "greeting_delay is at most 1m: clients don't wait for long; write \"2s\"";
            report.fault_of_key(place, words);
        }
        if let Some(listener) = values.settings() {
            listeners.push(listener);
            all_shown.push(Value::Object(shown(entry, &values)));
        }
    }
    (listeners, all_shown)
}

fn listener_certificates(
    entry: &ListenerEntry,
    values: &ListenerValues,
    known: &mut DefinedIds<'_>,
    report: &mut Report<'_>,
) {
    let offers_tls = values.tls.is_some_and(|tls| tls != ListenerTls::Off);
    if let Some(tls) = entry.tls.as_ref().filter(|_| offers_tls && entry.certificate.is_none()) {
        report.fault_of_key(
            tls.span(),
            format!(
                "tls = \"{}\" needs a certificate; add certificate = \"ID\" of a [certificate.ID]",
                tls.get_ref()
            ),
        );
    }
    let mut ids = BTreeSet::new();
    for id in values.certificate.iter().flatten() {
        known.use_certificate(id, report);
        if !ids.insert(id.get_ref()) {
            report.fault(id.span(), format!("\"{}\" is listed twice; remove one", id.get_ref()));
        }
    }
}

/// A Unix socket's path has at most 108 octets, including the closing zero (unix(7)).
pub(super) fn socket_path_fits(path: &Path) -> bool {
    path.as_os_str().len() < SOCKET_PATH_BYTES
}

/// RFC 5321 §4.5.3.2.1 has clients wait five minutes; many wait less.
const GREETING_DELAY_MAX: Duration = Duration::from_secs(60);
const SOCKET_PATH_BYTES: usize = 108;

/// Octets below which the protocol log would hold nothing worth reading.
const PROTOCOL_LOG_MIN: u64 = 1 << 20;
