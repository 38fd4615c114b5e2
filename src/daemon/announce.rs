//! Tells the log and the service manager of a reload. It decides nothing.

use crate::admin::ReloadAnswer;
use crate::connector::Generation;
use crate::tracking::{Event, Journal};

/// The listeners and domains for which less is required, one alarm each, and one for the rest.
pub(super) fn alarms_of(reloaded: &ReloadAnswer) -> Vec<String> {
    let looser = |what: &String| format!("less is required since the reload: {what}");
    let domains = reloaded.loosened.iter().take(ALARMS_MAX).map(|one| &one.what);
    let mut told: Vec<String> = reloaded.loosened_listeners.iter().chain(domains).map(looser).collect();
    let rest = reloaded.loosened.len().saturating_sub(ALARMS_MAX).saturating_add(reloaded.loosened_more);
    told.extend((rest > 0).then(|| {
        format!("less is required since the reload for {rest} more groups of domains; `sealpost reload` lists them")
    }));
    told
}

pub(super) fn tell_reloaded(reloaded: &ReloadAnswer, journal: &Journal) {
    let Generation(generation) = reloaded.generation;
    let weaker = reloaded.loosened.iter().map(|one| one.what.clone());
    let weaker: Vec<String> = reloaded.loosened_listeners.iter().cloned().chain(weaker).collect();
    journal.record(&Event::Reloaded { generation, weaker: &weaker });
    tracing::info!(generation, changes = reloaded.changes.len(), "the configuration has taken effect");
    for certificate in &reloaded.certificates {
        tracing::info!("{certificate}");
    }
    for warning in reloaded.warnings.iter().chain(&reloaded.needs_restart).chain(&reloaded.served) {
        tracing::warn!("{warning}");
    }
}

/// sd_notify(3): systemd wants the time at which a reload begins.
pub(super) fn announce_reload() {
    let states = match sd_notify::NotifyState::monotonic_usec_now() {
        Ok(since) => vec![sd_notify::NotifyState::Reloading, since],
        Err(_) => vec![sd_notify::NotifyState::Reloading],
    };
    notify(&states);
}

pub(super) fn notify(states: &[sd_notify::NotifyState<'_>]) {
    if let Err(fault) = sd_notify::notify(states) {
        tracing::warn!(%fault, "the service manager can't be notified");
    }
}

/// Maximum number of groups of domains that are alarms each; `reload` shows the rest.
const ALARMS_MAX: usize = 10;
