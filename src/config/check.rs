//! The file as written to settings: everything but the connectors.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use tracing_subscriber::EnvFilter;

use super::connectors;
use super::fault::Report;
use super::known::{Known, Revisions};
use super::schema::{self, OneOrMany, Text};
use super::{LogFormat, LogSettings, intake, sending, units};
use crate::connector::{Inbound, Outbound};
use crate::listen::settings::{Listener, ListenerTls, Reserve};
use crate::mail::{Domain, Extension, Mailbox};
use crate::{deliver, listen, resolver, scheduler};

/// The settings of a file without a fault. Where there was one, parts are missing, and nobody
/// may use it.
pub(super) struct Checked {
    pub(super) data_dir: String,
    pub(super) secure_delete: bool,
    pub(super) listen: listen::settings::Settings,
    pub(super) deliver: deliver::settings::Settings,
    pub(super) scheduler: scheduler::settings::Settings,
    pub(super) resolver: resolver::settings::Settings,
    pub(super) inbound: Vec<Inbound>,
    pub(super) outbound: Vec<Outbound>,
    pub(super) log: LogSettings,
}

/// Checks all that can be checked without a file. `None` only if a fault was reported.
pub(super) fn check(file: &schema::File, revisions: &Revisions, report: &mut Report<'_>) -> Option<Checked> {
    let mut known = Known::of(file, revisions);
    let server = server(file, report);
    let listeners = listeners(&file.listener, &mut known, report);
    let connectors = connectors::check(file, &mut known, revisions, report);
    if let Some((_, postmaster, place)) = &server {
        connectors::postmaster_has_a_way(postmaster, place, &connectors, report);
    }
    known.warn_unused(file, report);
    connectors::warn_unfulfillable(file, &listeners, report);
    let limits = intake::limits(&file.limits, report);
    let reserve = Reserve {
        free_disk: report.size(&file.limits.free_disk, 256 << 20),
        queued_max: report.count(&file.limits.queued, "queued", 5_000_000),
    };
    let timeouts = intake::timeouts(&file.timeouts, report);
    let sessions_max = report.count(&file.limits.outbound_connections, "outbound_connections", 1_000);
    let openings_max = report.count(&file.limits.outbound_openings, "outbound_openings", 4_000);
    let sessions_per_host_max =
        report.count(&file.limits.outbound_connections_per_host, "outbound_connections_per_host", 50);
    let double_bounces = file.queue.double_bounces.as_ref();
    let double_bounces = double_bounces.and_then(|w| report.word(w, "double_bounces", DOUBLE_BOUNCES));
    let double_bounces = double_bounces.unwrap_or_default();
    let null_sender_expire = file.queue.null_sender_expire.as_ref();
    let null_sender_expire =
        null_sender_expire.map(|_| report.duration(&file.queue.null_sender_expire, Duration::MAX));
    let memory_bytes_max = report.size(&file.queue.memory, 64 << 20);
    let deliver = deliveries(file, report);
    let resolver = look_ups(&file.dns, report);
    let log = log(&file.log, report);
    let (name, postmaster, _) = server?;
    let server = file.server.as_ref()?.get_ref();
    let data_dir = server.data_dir.as_ref()?.get_ref().clone();
    let secure_delete = server.secure_delete.as_ref().is_some_and(|wanted| *wanted.get_ref());
    Some(Checked {
        data_dir,
        secure_delete,
        deliver: deliver(name.clone()),
        scheduler: scheduler::settings::Settings {
            name: name.clone(),
            postmaster: postmaster.clone(),
            double_bounces,
            null_sender_expire,
            archive: file.queue.archive.as_ref().map(|folder| revisions.base.join(folder.get_ref())),
            sessions_max,
            openings_max,
            sessions_per_host_max,
            memory_bytes_max,
            window_max: LANE_WINDOW,
        },
        listen: listen::settings::Settings { name, postmaster, listeners, limits, timeouts, reserve },
        resolver,
        inbound: connectors.inbound,
        outbound: connectors.outbound,
        log,
    })
}

/// Our name, the postmaster, and the postmaster's place.
fn server(file: &schema::File, report: &mut Report<'_>) -> Option<(Domain, Mailbox, Range<usize>)> {
    let Some(table) = &file.server else {
        report.fault_of_file("[server] is missing; write it with name, data_dir and postmaster");
        return None;
    };
    let (server, place) = (table.get_ref(), table.span());
    let name = report
        .required(&server.name, "name", &place, "\"gw1.contoso.example\"")
        .and_then(|name| report.domain(name));
    let data_dir = report.required(&server.data_dir, "data_dir", &place, "\"/var/lib/sealpost\"");
    if let Some(data_dir) = data_dir.filter(|dir| dir.get_ref().is_empty()) {
        report.fault(data_dir.span(), "data_dir is empty; write a folder, as \"/var/lib/sealpost\"");
    }
    let written = report.required(&server.postmaster, "postmaster", &place, "\"postmaster@contoso.example\"");
    let postmaster = written.and_then(|text| report.mailbox(text));
    Some((name?, postmaster?, written?.span()))
}

fn listeners(
    entries: &[toml::Spanned<schema::Listener>],
    known: &mut Known<'_>,
    report: &mut Report<'_>,
) -> Vec<Listener> {
    let mut listeners = Vec::new();
    let mut names = BTreeMap::new();
    let mut addresses = BTreeMap::new();
    for entry in entries {
        let (place, entry) = (entry.span(), entry.get_ref());
        let name = report.required(&entry.name, "name", &place, "\"internet\"");
        if let Some(name) = name {
            connectors::unique(name, "listener", &mut names, report);
        }
        let written = report.required(&entry.address, "address", &place, "\"0.0.0.0:25\"");
        let items = written.map(OneOrMany::items).unwrap_or_default();
        if let Some(written) = written.filter(|_| items.is_empty()) {
            report.fault_of_key(written.span(), "address is empty; write one, as \"0.0.0.0:25\"");
        }
        let mut own = Vec::new();
        for (address, place) in report.items(&items, units::listen_address) {
            // Port 0 takes a free port, so two of them never meet.
            let first = addresses.entry(address).or_insert_with(|| place.clone()).clone();
            if first != place && address.port() != 0 {
                let line = report.line(&first);
                report.fault(place, format!("{address} is already listened on by line {line}; remove one"));
            }
            own.push(address);
        }
        let written = report.required(&entry.tls, "tls", &place, "\"starttls\"");
        let tls = written.and_then(|tls| Some((tls, report.word(tls, "tls", LISTENER_TLS)?)));
        let certificates = listener_certificates(entry, tls, known, report);
        if let (Some(name), Some((_, tls))) = (name, tls) {
            let withheld = entry
                .withhold
                .as_ref()
                .map_or_else(|| vec![Extension::BinaryMime], |list| sending::extensions(Some(list), report));
            let name = name.get_ref().clone();
            let greeting_delay = greeting_delay(entry, tls, report);
            listeners.push(Listener { name, addresses: own, tls, certificates, withheld, greeting_delay });
        }
    }
    listeners
}

fn greeting_delay(entry: &schema::Listener, tls: ListenerTls, report: &mut Report<'_>) -> Option<Duration> {
    let written = entry.greeting_delay.as_ref()?;
    let delay = report.duration(&entry.greeting_delay, Duration::ZERO);
    if tls == ListenerTls::Implicit {
        let words = "with tls = \"implicit\" the client speaks first; remove greeting_delay";
        report.fault_of_key(written.span(), words);
    } else if delay > GREETING_DELAY_MAX {
        let words = "greeting_delay is at most 1m: clients don't wait for long; write \"2s\"";
        report.fault_of_key(written.span(), words);
    }
    (!delay.is_zero()).then_some(delay)
}

fn listener_certificates(
    entry: &schema::Listener,
    tls: Option<(&Text, ListenerTls)>,
    known: &mut Known<'_>,
    report: &mut Report<'_>,
) -> Vec<String> {
    let Some(tls) = tls else { return Vec::new() };
    match (tls, &entry.certificate) {
        ((_, ListenerTls::Off), certificate) => {
            report.ignored(
                certificate,
                "certificate",
                "tls is \"off\"; remove it, or write tls = \"starttls\"",
            );
            Vec::new()
        }
        ((written, ListenerTls::StartTls | ListenerTls::Required | ListenerTls::Implicit), None) => {
            report.fault_of_key(
                written.span(),
                format!(
                    "tls = \"{}\" needs a certificate; add certificate = \"ID\" of a [certificate.ID]",
                    written.get_ref()
                ),
            );
            Vec::new()
        }
        ((_, ListenerTls::StartTls | ListenerTls::Required | ListenerTls::Implicit), Some(value)) => {
            let items = OneOrMany::items(value);
            if items.is_empty() {
                report.fault_of_key(value.span(), "certificate is empty; write the ID of a [certificate.ID]");
            }
            let mut ids: Vec<String> = Vec::new();
            for id in &items {
                known.use_certificate(id, report);
                if ids.contains(id.get_ref()) {
                    report.fault(id.span(), format!("\"{}\" stands here twice; remove one", id.get_ref()));
                }
                ids.push(id.get_ref().clone());
            }
            ids
        }
    }
}

/// All but our name, which the caller may lack.
fn deliveries(
    file: &schema::File,
    report: &mut Report<'_>,
) -> impl FnOnce(Domain) -> deliver::settings::Settings + use<> {
    let (limits, timeouts) = (&file.limits, &file.timeouts);
    let (addresses_max, messages_per_connection_max, recipients_per_transaction_max) = (
        report.count(&limits.addresses, "addresses", 10),
        report.count(&limits.messages_per_connection, "messages_per_connection", 1000),
        report.count(&limits.recipients_per_transaction, "recipients_per_transaction", 100),
    );
    let idle = report.duration(&timeouts.reuse, SECOND * 5);
    let timeouts = deliver::settings::Timeouts {
        connect: report.duration(&timeouts.connect, SECOND * 30),
        command: report.duration(&timeouts.command, MINUTE * 5),
        handshake: report.duration(&timeouts.outbound_handshake, MINUTE),
        data_start: report.duration(&timeouts.data_start, MINUTE * 2),
        data_block: report.duration(&timeouts.data_block, MINUTE * 3),
        data_end: report.duration(&timeouts.data_end, MINUTE * 10),
    };
    move |name| deliver::settings::Settings {
        name,
        timeouts,
        addresses_max,
        messages_per_connection_max,
        recipients_per_transaction_max,
        idle,
    }
}

fn look_ups(dns: &schema::Dns, report: &mut Report<'_>) -> resolver::settings::Settings {
    let servers = dns.servers.as_ref().map_or_else(Vec::new, |list| {
        report.not_empty(
            list,
            "servers",
            "write one, as \"127.0.0.1:53\", or remove the key to ask the system's",
        );
        report.items(list.get_ref(), units::dns_server)
    });
    resolver::settings::Settings {
        servers: servers.into_iter().map(|(server, _)| server).collect(),
        timeout: report.duration(&dns.timeout, SECOND * 5),
        attempts: report.count(&dns.attempts, "attempts", 2),
    }
}

fn log(log: &schema::Log, report: &mut Report<'_>) -> LogSettings {
    let format = log.format.as_ref().and_then(|text| report.word(text, "format", LOG_FORMATS));
    if let Some(level) = &log.level {
        let text = level.get_ref();
        let simple = text.chars().all(|c| c.is_ascii_alphanumeric());
        if simple {
            report.word(level, "level", LOG_LEVELS);
        } else if let Err(fault) = EnvFilter::builder().parse(text) {
            report.fault(
                level.span(),
                format!(
                    "level = \"{text}\" is no filter ({fault}); write \"info\" or \
                     \"info,sealpost::listen=debug\""
                ),
            );
        }
    }
    LogSettings {
        format: format.unwrap_or(LogFormat::Text),
        level: log.level.as_ref().map_or_else(|| "info".to_owned(), |level| level.get_ref().clone()),
    }
}

/// A Unix socket's path ends at 108 octets, its closing zero included (unix(7)).
pub(super) fn control_fits(control: &Path) -> bool {
    control.as_os_str().len() < SOCKET_PATH_BYTES
}

const DOUBLE_BOUNCES: &[(&str, bool)] = &[("drop", false), ("postmaster", true)];
/// RFC 5321 §4.5.3.2.1 lets clients wait for five minutes; many don't.
const GREETING_DELAY_MAX: Duration = Duration::from_secs(60);

const LISTENER_TLS: &[(&str, ListenerTls)] = &[
    ("off", ListenerTls::Off),
    ("starttls", ListenerTls::StartTls),
    ("required", ListenerTls::Required),
    ("implicit", ListenerTls::Implicit),
];
const LOG_FORMATS: &[(&str, LogFormat)] = &[("text", LogFormat::Text), ("json", LogFormat::Json)];
const LOG_LEVELS: &[(&str, ())] = &[("error", ()), ("warn", ()), ("info", ()), ("debug", ())];

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const SOCKET_PATH_BYTES: usize = 108;
/// Messages of one lane in hand at the same time: enough to keep its few connections busy, few
/// enough that a slow partner holds little memory.
const LANE_WINDOW: usize = 64;
