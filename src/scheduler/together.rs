//! Recipients of one message in several lanes. Those that fail at the first attempt wait for the others' first
//! attempt, so that one report names them all. What waits here is leased and not yet written: a killed process
//! tries it anew.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::OwnedSemaphorePermit;

use super::run::Scheduler;
use super::settle::Work;
use crate::mail::QueueId;
use crate::spool::Leased;

/// A message's recipients of one lane, with what it shares with the others.
pub(super) type Offered = (Leased, Option<Arc<Together>>);

/// Gives the lanes of each message what they share; one message's stand in a row.
pub(super) fn offered(leased: Vec<Leased>, scheduler: &Weak<Scheduler>) -> impl Iterator<Item = Offered> {
    let mut last: Option<(QueueId, Arc<Together>)> = None;
    let mut leased = leased.into_iter().peekable();
    std::iter::from_fn(move || {
        let one = leased.next()?;
        let id = one.message.id;
        last = last.take().filter(|(known, _)| *known == id);
        if last.is_none() && leased.peek().is_some_and(|next| next.message.id == id) {
            last = Some((id, Together::new(Weak::clone(scheduler))));
        }
        let together = last.as_ref().map(|(_, together)| Arc::clone(together));
        Some((one, together))
    })
}

/// What the lanes of one message share while one of them has its first attempt before it. Dropping the
/// last share writes what failed.
pub(super) struct Together {
    scheduler: Weak<Scheduler>,
    failed: Mutex<Failed>,
}

#[derive(Default)]
struct Failed {
    work: Option<Work>,
    room: Option<OwnedSemaphorePermit>,
    /// Nothing waits any more.
    over: bool,
}

impl Together {
    pub(super) fn new(scheduler: Weak<Scheduler>) -> Arc<Self> {
        Arc::new(Self { scheduler, failed: Mutex::default() })
    }

    /// Keeps recipients that failed until the others were tried; gives back what can't wait.
    pub(super) fn keep(self: &Arc<Self>, mut work: Work) -> Option<Work> {
        let Some(scheduler) = self.scheduler.upgrade() else { return Some(work) };
        let count = u32::try_from(work.verdicts.len()).unwrap_or(u32::MAX);
        let mut failed = self.lock();
        let room = Arc::clone(&scheduler.together_room).try_acquire_many_owned(count);
        let Some(room) = room.ok().filter(|_| !failed.over) else { return Some(work) };
        match &mut failed.room {
            Some(all) => all.merge(room),
            None => failed.room = Some(room),
        }
        match &mut failed.work {
            Some(all) => all.absorb(work),
            None => {
                // Nobody counts it here; the report reads it back.
                work.content = None;
                failed.work = Some(work);
                let weak = Arc::downgrade(self);
                // None of the tasks that the end waits for: it may sleep for long.
                drop(tokio::spawn(async move {
                    tokio::time::sleep(WAIT_MAX).await;
                    if let Some(together) = weak.upgrade() {
                        together.end();
                    }
                }));
            }
        }
        None
    }

    /// Writes what failed so far; what fails later does not wait.
    pub(super) fn end(&self) {
        let mut failed = self.lock();
        failed.over = true;
        let (work, room) = (failed.work.take(), failed.room.take());
        drop(failed);
        let (Some(work), Some(scheduler)) = (work, self.scheduler.upgrade()) else { return };
        // Without a runtime the process is about to end, and the disk has it.
        if Handle::try_current().is_ok() {
            let me = Arc::clone(&scheduler);
            drop(scheduler.tasks.spawn(async move {
                me.finish(work).await;
                drop(room);
            }));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Failed> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Together {
    fn drop(&mut self) {
        self.end();
    }
}

impl fmt::Debug for Together {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Together")
    }
}

/// Recipients that wait here, over all messages.
pub(super) const RECIPIENTS_MAX: usize = 20_000;
/// How long a report waits for the other lanes.
const WAIT_MAX: Duration = Duration::from_secs(30);
