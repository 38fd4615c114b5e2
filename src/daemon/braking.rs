//! Keeps the abuse brakes over a restart, in `data_dir`, and tells of floods. When a flood is one, `connector` decides.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::state_file;
use crate::connector::BrakeRules;
use crate::mail::Clock;
use crate::smtp::receive::{BrakeBook, BrakedConnector, Brakes};

/// The brakes, and the file they are kept in.
pub(super) struct Braking {
    pub(super) brakes: Arc<Brakes>,
    file: PathBuf,
    /// What the file holds.
    kept: Mutex<BrakeBook>,
    floods: Arc<Notify>,
}

impl Braking {
    /// Goes on with what the file holds. Without it the relay still runs, and counts from now on.
    pub(super) fn load(data_dir: &Path, rules: BrakeRules) -> Arc<Self> {
        let file = data_dir.join("brakes");
        let book = state_file::read_json(&file).unwrap_or_else(|fault| {
            tracing::error!(%fault, "brakes can't be read: what came by the connectors before is forgotten");
            BrakeBook::default()
        });
        let floods = Arc::new(Notify::new());
        let woken = Arc::clone(&floods);
        let brakes = Brakes::new((rules, Clock::wall), book.clone(), move || woken.notify_one());
        Arc::new(Self { brakes, file, kept: Mutex::new(book), floods })
    }

    /// Has floods told as they come and go, and writes down what was counted, until `stop`. `tell` says whether anything
    /// has changed.
    pub(super) async fn keep(self: Arc<Self>, tell: impl Fn() -> bool + Send, stop: CancellationToken) {
        let mut looks: u64 = 0;
        loop {
            let changed = tell();
            if changed || looks.checked_rem(SAVE_EVERY_LOOKS) == Some(0) {
                let me = Arc::clone(&self);
                let _done = tokio::task::spawn_blocking(move || me.save_or_warn()).await;
            }
            looks = looks.saturating_add(1);
            let next = self.brakes.next_end().map_or(LOOK_EVERY, |end| end.since(Clock::wall()));
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.floods.notified() => {}
                () = tokio::time::sleep(next.min(LOOK_EVERY)) => {}
            }
        }
    }

    /// Releases a connector; durable when this returns.
    ///
    /// # Errors
    /// It is released, and the file can't be written.
    pub(super) fn release(&self, name: &str, accept: bool) -> io::Result<bool> {
        let released = self.brakes.release(name, accept);
        if released {
            self.save()?;
        }
        Ok(released)
    }

    pub(super) fn save_or_warn(&self) {
        if let Err(fault) = self.save() {
            tracing::warn!(%fault, "brakes can't be written: only this process remembers what came by the connectors");
        }
    }

    /// Writes down what was counted, if that has changed.
    fn save(&self) -> io::Result<()> {
        // One writer at a time: the last state is the one that stays.
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let book = self.brakes.book();
        if book == *kept {
            return Ok(());
        }
        state_file::replace_json(&self.file, &book)?;
        *kept = book;
        Ok(())
    }
}

/// A flood, and what to do, in words.
pub(super) fn brake_alarm(braked: &BrakedConnector) -> String {
    let BrakedConnector { name, trip, refuses } = braked;
    let last = &trip.last;
    let then = if *refuses {
        format!("its new mail is refused with 451; `sealpost connectors release {name}` releases it")
    } else {
        "its mail is still accepted (brake = \"alarm\")".to_owned()
    };
    format!("connector {name}: {trip}, the last by {last}; {then}")
}

/// A kill loses what was counted for at most five minutes, and no flood.
const SAVE_EVERY_LOOKS: u64 = 5;
const LOOK_EVERY: Duration = Duration::from_secs(60);
