//! What the running daemon says of the present, as checks. Pure.

use crate::admin::{AlarmKind, ConnectorView, Connectors, LaneStatus, Status};
use crate::daemon::{Check, State};
use crate::lookout::{KeptTarget, WatchFault};
use crate::mail::rfc3339;

/// What watching has seen last: each host where mail would not be sent, and targets without hosts.
pub(super) fn watched(latest: Result<Vec<KeptTarget>, WatchFault>) -> Vec<Check> {
    let targets = match latest {
        Ok(targets) => targets,
        Err(fault) => return vec![Check::new("watch", State::Warn, fault.to_string())],
    };
    let mut checks = Vec::new();
    for KeptTarget { connector, domain, record, .. } in &targets {
        let of = domain.as_ref().map_or_else(String::new, |domain| format!(" for {domain}"));
        let what = format!("watch {connector}{of}");
        if let Some(why) = &record.lost {
            checks.push(Check::new(
                &what,
                State::Warn,
                format!("no host was found at {}: {why}", rfc3339(record.at)),
            ));
        }
        let bad = record.hosts.iter().filter(|(_, host)| !host.last.ok);
        checks.extend(bad.map(|(name, host)| {
            let words = format!("{name}, since {}: {}", rfc3339(host.since), host.last.reason);
            Check::new(&what, State::Warn, words)
        }));
    }
    checks
}

/// The daemon can't be asked. `ran`: it has run on this `data_dir` before.
pub(super) fn down(why: &str, ran: bool) -> Check {
    let state = if ran { State::Fail } else { State::Warn };
    Check::new(
        "daemon",
        state,
        format!("{why}: nothing is accepted or delivered; its log says why (`systemctl status sealpost`)"),
    )
}

/// The daemon runs.
pub(super) fn running(status: &Status, connectors: &Connectors) -> Vec<Check> {
    let mut checks = vec![version(status)];
    checks.extend(status.alarms.iter().filter(|alarm| !is_shown_elsewhere(alarm.kind)).map(|alarm| {
        let state = if is_wrong(alarm.kind) { State::Fail } else { State::Warn };
        Check::new(
            format!("alarm {}", alarm.kind.word()),
            state,
            format!("since {}: {}", alarm.since, alarm.what),
        )
    }));
    let outbound = connectors.connectors.iter().filter(|one| one.outbound_name().is_some());
    checks.extend(outbound.filter_map(|one| blocked(one, &status.lanes, connectors)));
    checks
}

fn version(status: &Status) -> Check {
    let ours = env!("CARGO_PKG_VERSION");
    let messages = status.queue.messages;
    if status.version != ours {
        let words = format!("it is of version {}, and this program of {ours}: restart it", status.version);
        return Check::new("daemon", State::Warn, words);
    }
    Check::new("daemon", State::Ok, format!("it runs; {messages} messages are queued"))
}

/// What the checks of files say better.
fn is_shown_elsewhere(kind: AlarmKind) -> bool {
    matches!(kind, AlarmKind::Expiry | AlarmKind::Override)
}

/// Whether mail does not flow as configured, as long as it lasts.
fn is_wrong(kind: AlarmKind) -> bool {
    match kind {
        AlarmKind::Reload | AlarmKind::Brake | AlarmKind::Disk | AlarmKind::Queue => true,
        AlarmKind::Expiry | AlarmKind::Lists | AlarmKind::Log | AlarmKind::Tracking | AlarmKind::Override => {
            false
        }
    }
}

/// Mail of a connector that waits for TLS.
fn blocked(one: &ConnectorView, lanes: &[LaneStatus], all: &Connectors) -> Option<Check> {
    let name = &one.name;
    let waits = |lane: &&LaneStatus| {
        lane.connector.as_ref() == Some(name)
            && lane.failures > 0
            && lane.status.as_deref().is_some_and(is_over_tls)
    };
    let lane = lanes.iter().find(waits)?;
    let contact = one.partner.as_ref().and_then(|partner| {
        all.partners.iter().find(|known| known.name == *partner).and_then(|known| known.contact.clone())
    });
    let whom = contact.map_or_else(String::new, |contact| format!("; ask {contact}"));
    let count = one.waiting.unwrap_or_default();
    let reason = lane.reason.as_deref().unwrap_or("the requirement is not met");
    Some(Check::new(
        format!("connector {name}"),
        State::Fail,
        format!(
            "{count} recipients wait for TLS: {reason}{whom} (`sealpost validate {name}` shows each host)"
        ),
    ))
}

/// Whether a status says that a requirement for TLS was not met.
fn is_over_tls(status: &str) -> bool {
    matches!(status, "4.7.4" | "4.7.5" | "5.7.4" | "5.7.5")
}
