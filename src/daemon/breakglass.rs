//! Break-glass overrides: put in effect as a change of the table, and ended by themselves. How far a requirement may be
//! lowered is decided in `connector`.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::overrides::{OverrideEnd, words};
use super::reload::Reloader;
use crate::admin::{AlarmKind, OverrideReport, OverrideRequest};
use crate::config::{self, Config};
use crate::connector::{Override, OverrideLevel};
use crate::mail::{Clock, rfc3339};
use crate::tracking::Event;

/// Ends each override when its time is over, until `stop`.
pub(super) async fn keep(reloader: Arc<Reloader>, stop: CancellationToken) {
    loop {
        let overrides = reloader.overrides();
        let next = overrides.next().map_or(LOOK_EVERY, |next| next.min(LOOK_EVERY));
        tokio::select! {
            () = stop.cancelled() => return,
            () = overrides.changed.notified() => {}
            () = tokio::time::sleep(next) => {}
        }
        for connector in overrides.due() {
            let done = Arc::clone(&reloader).end_override(connector.to_string(), OverrideEnd::Time).await;
            if let Err(why) = done {
                tracing::error!(%connector, %why, "an override can't be ended; it is tried again");
                tokio::time::sleep(AGAIN_AFTER).await;
            }
        }
    }
}

impl Reloader {
    /// Lowers a connector's requirement for a time. Continues even if the caller gives up.
    pub(super) async fn begin_override(
        self: Arc<Self>,
        name: String,
        request: OverrideRequest,
        by: String,
    ) -> Result<OverrideReport, String> {
        let done = tokio::spawn(async move { self.begin(&name, request, by).await });
        done.await.unwrap_or_else(|broken| Err(broken.to_string()))
    }

    /// Ends an override. Continues even if the caller gives up.
    pub(super) async fn end_override(self: Arc<Self>, name: String, end: OverrideEnd) -> Result<(), String> {
        let done = tokio::spawn(async move { self.end(&name, &end).await });
        done.await.unwrap_or_else(|broken| Err(broken.to_string()))
    }

    async fn begin(
        self: Arc<Self>,
        name: &str,
        request: OverrideRequest,
        by: String,
    ) -> Result<OverrideReport, String> {
        let alone = self.alone.lock().await;
        let base = self.base();
        let one = ordered(&base, name, request, by)?;
        let before = self.overrides().list();
        let mut list: Vec<Override> =
            before.iter().filter(|other| other.connector != one.connector).cloned().collect();
        list.push(one.clone());
        // Written first: what is in effect is never longer in effect than the file says.
        self.overrides()
            .keep(&list)
            .map_err(|fault| format!("it can't be written down, and nothing has changed: {fault}"))?;
        let (answer, limit) = match self.put(base, &list, None).await {
            Ok(done) => done,
            Err(fault) => {
                let _restored = self.overrides().keep(&before);
                return Err(format!("nothing has changed: {fault}"));
            }
        };
        drop(alone);
        let (connector, level) = (&*one.connector, one.level.word());
        let (until, by, reason) = (rfc3339(one.until), &*one.by, &*one.reason);
        tracing::warn!(connector, level, until, by, reason, "an operator has overridden a requirement");
        let words = words(&one);
        self.journal().record(&Event::Override { connector, level: Some(level), words: &words });
        self.tell_overrides();
        tokio::spawn(Arc::clone(&self).drain(limit));
        Ok(OverrideReport { overridden: one, generation: answer.generation, loosened: answer.loosened })
    }

    async fn end(self: Arc<Self>, name: &str, end: &OverrideEnd) -> Result<(), String> {
        let alone = self.alone.lock().await;
        let before = self.overrides().list();
        let list: Vec<Override> = before.iter().filter(|one| *one.connector != *name).cloned().collect();
        if list.len() == before.len() {
            return Err(format!("connector {name} is not overridden"));
        }
        let (_, limit) = self.put(self.base(), &list, None).await.map_err(|fault| fault.to_string())?;
        // Until it is written, a restart would put it in effect for the rest of its time.
        let kept = self.overrides().keep(&list);
        drop(alone);
        self.tell_ended(name, end);
        tokio::spawn(Arc::clone(&self).drain(limit));
        kept.map_err(|fault| format!("it has ended, but a restart may put it in effect again: {fault}"))
    }

    /// Gives up the overrides that the configuration does not allow. Returns what is to be told of them.
    pub(super) fn drop_overrides(&self, refused: &[(Override, String)]) -> Vec<String> {
        if refused.is_empty() {
            return Vec::new();
        }
        let list: Vec<Override> = self
            .overrides()
            .list()
            .into_iter()
            .filter(|one| !refused.iter().any(|(gone, _)| gone == one))
            .collect();
        if let Err(fault) = self.overrides().keep(&list) {
            tracing::error!(%fault, "overrides that have ended can't be removed from the file");
        }
        let ended = refused.iter().map(|(one, why)| (one, OverrideEnd::Refused(why.clone())));
        ended.map(|(one, end)| self.tell_ended(&one.connector, &end)).collect()
    }

    /// At the start: gives up what the configuration does not allow, and reports the rest.
    pub(super) fn resume_overrides(&self, refused: &[(Override, String)]) {
        drop(self.drop_overrides(refused));
        self.tell_overrides();
    }

    fn tell_ended(&self, name: &str, end: &OverrideEnd) -> String {
        let why = match end {
            OverrideEnd::Time => "its time is over".to_owned(),
            OverrideEnd::By(user) => format!("{user} has ended it"),
            OverrideEnd::Refused(why) => why.clone(),
        };
        let what = format!("the override of connector {name} has ended: {why}");
        self.journal().record(&Event::Override { connector: name, level: None, words: &what });
        self.tell_overrides();
        self.tell([&what]);
        what
    }

    /// Reports the overrides in effect, each as long as it lasts.
    pub(super) fn tell_overrides(&self) {
        let list = self.overrides().list();
        let found = list.iter().map(|one| (words(one), vec![one.connector.to_string()])).collect();
        let fresh = self.alarms().replace(AlarmKind::Override, Clock::wall(), found);
        self.tell_changes(&fresh);
    }
}

/// The override that was asked for, if the configuration allows it.
fn ordered(config: &Config, name: &str, request: OverrideRequest, by: String) -> Result<Override, String> {
    let OverrideRequest { level, until, reason } = request;
    let outbound = config.outbound.iter().find(|one| *one.name == *name);
    let inbound = config.inbound.iter().find(|one| *one.name == *name);
    if outbound.is_none() && inbound.is_none() {
        let names =
            config.outbound.iter().map(|one| &*one.name).chain(config.inbound.iter().map(|one| &*one.name));
        return Err(config::unknown_name("connector", name, &names.collect::<Vec<_>>()));
    }
    let floor = outbound.map_or_else(|| inbound.and_then(|one| one.override_floor), |one| one.override_floor);
    let level = level.or(floor).unwrap_or(OverrideLevel::Chain);
    let fault = outbound
        .map_or_else(|| inbound.and_then(|one| one.lowered(level).err()), |one| one.lowered(level).err());
    if let Some(fault) = fault {
        return Err(format!("connector {name} can't be overridden to \"{}\": {fault}", level.word()));
    }
    let since = Clock::wall();
    if until <= since {
        return Err(format!("{} is over already", rfc3339(until)));
    }
    if until.since(since) > LONGEST {
        return Err(
            "an override lasts 30 days at most; what is to stay belongs in the configuration".to_owned()
        );
    }
    let reason = reason.split_whitespace().collect::<Vec<_>>().join(" ");
    if reason.is_empty() || reason.len() > REASON_BYTES_MAX {
        return Err(format!("the reason must have 1 to {REASON_BYTES_MAX} octets"));
    }
    Ok(Override { connector: name.into(), level, since, until, by, reason })
}

/// The wall clock is looked at that often: it may step.
const LOOK_EVERY: Duration = Duration::from_secs(30);
const AGAIN_AFTER: Duration = Duration::from_secs(2);
const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);
const REASON_BYTES_MAX: usize = 500;
