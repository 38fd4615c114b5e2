//! What the running daemon says of the present, or that it says nothing, as checks. Pure.

use std::time::Duration;

use super::super::control::NoAnswer;
use crate::admin::{AlarmKind, ConnectorView, Connectors, LaneStatus, Status};
use crate::alert::{AlertKind, AlertsView, EpisodeView};
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

/// The daemon gave no answer within the limit. `ran`: it has run on this `data_dir` before.
pub(super) fn unanswered(none: &NoAnswer, ran: bool, limit: Duration) -> Check {
    let (state, words) = match none {
        NoAnswer::Absent(failure) => {
            let words = format!(
                "{}: nothing is accepted or delivered; its log says why (`systemctl status sealpost`)",
                failure.message
            );
            (if ran { State::Fail } else { State::Warn }, words)
        }
        NoAnswer::Silent => {
            let words = format!(
                "the daemon does not answer: it runs, and has said nothing for {} s; its log may say why, and a restart ends it \
                 (`systemctl restart sealpost`)",
                limit.as_secs()
            );
            (State::Fail, words)
        }
        NoAnswer::Denied(socket) => {
            let words = format!(
                "this user may not ask the daemon over {}, so whether it runs, what waits and which alarms are in effect is not known; \
                 run this as the daemon's user (`runuser -u sealpost -- sealpost doctor`) or as root",
                socket.display()
            );
            (State::Warn, words)
        }
        NoAnswer::Odd(failure) => (State::Fail, failure.message.clone()),
    };
    Check::new("daemon", state, words)
}

/// The daemon runs.
pub(super) fn running(status: &Status, connectors: &Connectors, alerts: &AlertsView) -> Vec<Check> {
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
    let waiting: Vec<(&str, Check)> =
        outbound.filter_map(|one| Some((&*one.name, blocked(one, &status.lanes, connectors)?))).collect();
    let is_said = |one: &&EpisodeView| {
        one.connector.as_deref().is_some_and(|name| waiting.iter().any(|(known, _)| *known == name))
    };
    checks.extend(alerts.open.iter().filter_map(|one| episode(one, is_said(&one))));
    checks.extend(waiting.into_iter().map(|(_, check)| check));
    checks.extend(untold(alerts));
    checks
}

/// What goes on, as alerts tell it. Alarms that last are shown as such. `is_said`: that mail of its connector waits for TLS is
/// shown.
fn episode(one: &EpisodeView, is_said: bool) -> Option<Check> {
    let kind = AlertKind::named(&one.kind).unwrap_or(AlertKind::Other);
    let state = match kind {
        AlertKind::PartnerTls | AlertKind::OurTls if is_said => return None,
        AlertKind::Expiry
        | AlertKind::Lists
        | AlertKind::Reload
        | AlertKind::Override
        | AlertKind::Brake
        | AlertKind::Disk
        | AlertKind::Queue
        | AlertKind::Log
        | AlertKind::Tracking => return None,
        AlertKind::PartnerTls
        | AlertKind::OurTls
        | AlertKind::PartnerConnection
        | AlertKind::PartnerRefusal
        | AlertKind::OurSettings
        | AlertKind::InboundTls
        | AlertKind::Fallback => State::Fail,
        AlertKind::Weaker | AlertKind::Backlog | AlertKind::Watch | AlertKind::Restart | AlertKind::Other => {
            State::Warn
        }
    };
    let name = one.connector.as_ref().map_or_else(String::new, |name| format!(" {name}"));
    let whom = one.contact.as_ref().map_or_else(String::new, |contact| format!("; ask {contact}"));
    let command = kind.command(one.connector.as_deref());
    let words = format!("since {}: {}{whom} (`{command}` shows more)", one.since, one.what);
    Some(Check::new(format!("alert {}{name}", one.kind), state, words))
}

/// What hinders alerts themselves.
fn untold(alerts: &AlertsView) -> Vec<Check> {
    let mut checks = Vec::new();
    if alerts.mails_waiting > 0 {
        let words = format!("{} mails can't be queued yet; the log says why", alerts.mails_waiting);
        checks.push(Check::new("alerts", State::Warn, words));
    }
    if let Some((webhook, trouble)) =
        alerts.webhook.as_ref().and_then(|webhook| Some((webhook, webhook.trouble.as_ref()?)))
    {
        let words = format!(
            "the last notice could not be posted to {}: {trouble}; {} wait",
            webhook.url, webhook.waiting
        );
        checks.push(Check::new("alerts", State::Warn, words));
    }
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
