//! The break-glass overrides in effect, kept in `data_dir`. They are begun and ended in `breakglass`.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::state_file;
use crate::connector::Override;
use crate::mail::{Clock, rfc3339};

/// The overrides in effect, and the file they are kept in.
pub(super) struct Overrides {
    file: PathBuf,
    kept: Mutex<Vec<KeptOverride>>,
    pub(super) changed: Notify,
}

/// An override, and when it ends at the latest, however the wall clock steps.
#[derive(Debug, Clone)]
struct KeptOverride {
    of: Override,
    ends_by: Instant,
}

/// Why an override ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum OverrideEnd {
    /// Its time is over.
    Time,
    /// This user has ended it.
    By(String),
    /// The configuration does not allow it any more.
    Refused(String),
}

impl Overrides {
    /// Goes on with what the file holds. Without it the requirements of the configuration are in effect, which is the safe
    /// side.
    pub(super) fn load(data_dir: &Path) -> Self {
        let found = recorded(data_dir).unwrap_or_else(|fault| {
            tracing::error!(%fault, "overrides can't be read: none is in effect");
            Vec::new()
        });
        let kept = found.into_iter().map(KeptOverride::from_now).collect();
        Self { file: data_dir.join(FILE), kept: Mutex::new(kept), changed: Notify::new() }
    }

    /// Those in effect.
    pub(super) fn list(&self) -> Vec<Override> {
        self.lock().iter().map(|kept| kept.of.clone()).collect()
    }

    /// Replaces them; durable when this returns.
    ///
    /// # Errors
    /// The file can't be written; nothing has changed.
    pub(super) fn keep(&self, overrides: &[Override]) -> io::Result<()> {
        let mut kept = self.lock();
        let text: Vec<String> = overrides.iter().filter_map(|one| serde_json::to_string(one).ok()).collect();
        let text: String = text.iter().map(|line| format!("{line}\n")).collect();
        state_file::replace(&self.file, text)?;
        let known = std::mem::take(&mut *kept);
        *kept = overrides
            .iter()
            .map(|one| {
                let same = known.iter().find(|kept| kept.of == *one);
                same.cloned().unwrap_or_else(|| KeptOverride::from_now(one.clone()))
            })
            .collect();
        drop(kept);
        self.changed.notify_one();
        Ok(())
    }

    /// The connectors whose time is over.
    pub(super) fn due(&self) -> Vec<Arc<str>> {
        let (now, wall) = (Instant::now(), Clock::wall());
        let is_over = |kept: &&KeptOverride| kept.ends_by <= now || kept.of.until <= wall;
        self.lock().iter().filter(is_over).map(|kept| Arc::clone(&kept.of.connector)).collect()
    }

    /// How long until the next one may end.
    pub(super) fn next(&self) -> Option<Duration> {
        let now = Instant::now();
        self.lock().iter().map(|kept| kept.ends_by.saturating_duration_since(now)).min()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<KeptOverride>> {
        // The list is replaced as a whole.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl KeptOverride {
    /// It lasts no longer than from its beginning to its end, also if the clock says that it has not begun.
    fn from_now(of: Override) -> Self {
        let left = of.until.since(Clock::wall()).min(of.until.since(of.since));
        let now = Instant::now();
        Self { ends_by: now.checked_add(left).unwrap_or(now), of }
    }
}

/// The overrides that a daemon has kept in this folder and that have not ended.
///
/// # Errors
/// The file can't be read.
pub fn recorded(data_dir: &Path) -> io::Result<Vec<Override>> {
    let text = state_file::read(&data_dir.join(FILE))?.unwrap_or_default();
    let now = Clock::wall();
    let read = text.lines().filter(|line| !line.is_empty()).map(serde_json::from_str::<Override>);
    let found = read.collect::<Result<Vec<_>, _>>()?;
    Ok(found.into_iter().filter(|one| one.until > now).collect())
}

/// An override in a sentence.
#[must_use]
pub fn words(one: &Override) -> String {
    let Override { connector, level, until, by, reason, .. } = one;
    format!(
        "the requirement of connector {connector} is overridden: only \"{}\" until {}, by {by}: {reason}",
        level.word(),
        rfc3339(*until)
    )
}

const FILE: &str = "overrides";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connector::OverrideLevel;
    use crate::mail::UnixMillis;

    fn one(since: i64, until: i64) -> Override {
        let wall = Clock::wall();
        let at = |seconds: i64| UnixMillis(wall.0 + seconds * 1000);
        Override {
            connector: "bank".into(),
            level: OverrideLevel::Encryption,
            since: at(since),
            until: at(until),
            by: "root (uid 0)".to_owned(),
            reason: "expired".to_owned(),
        }
    }

    #[test]
    fn what_is_kept_outlives_a_restart_and_ends_in_time() {
        let folder = tempfile::tempdir().expect("a folder");
        let overrides = Overrides::load(folder.path());
        let (long, over) = (one(-10, 3600), one(-10, -1));
        overrides.keep(&[long.clone(), over]).expect("written");
        assert_eq!(overrides.due().len(), 1);
        let again = Overrides::load(folder.path());
        assert_eq!(again.list(), [long]);
        let hour = Duration::from_secs(3600);
        assert!(again.next().is_some_and(|next| next <= hour && next > hour / 2));
        // The clock was set back a day: it lasts as long as was asked for, and no longer.
        again.keep(&[one(86_400, 86_400 + 60)]).expect("written");
        assert!(again.next().is_some_and(|next| next <= Duration::from_secs(60)));
        std::fs::write(folder.path().join(FILE), "{").expect("written");
        assert_eq!(Overrides::load(folder.path()).list(), []);
    }
}
