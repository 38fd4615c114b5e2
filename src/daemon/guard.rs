//! Watches the space left on the spool's disk and in the queue. It removes nothing.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::telling::tell_changes;
use crate::admin::{AlarmKind, Alarms};
use crate::listen::settings::Reserve;
use crate::mail::Clock;
use crate::smtp::receive::{Fullness, Measure, Room};
use crate::spool::{Extent, Spool};
use crate::tracking::Journal;

/// What is watched, and the limits.
pub(super) struct Guard {
    pub(super) data_dir: PathBuf,
    /// The largest message that goes into the database; larger ones go to files.
    pub(super) small_bytes_max: usize,
    pub(super) reserve: Reserve,
    pub(super) room: Arc<Room>,
    pub(super) spool: Arc<dyn Spool>,
    pub(super) journal: Arc<Journal>,
    pub(super) alarms: Arc<Alarms>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Left {
    octets: u64,
    /// In the database's free pages, which are used before the disk is.
    pages: u64,
    inodes: u64,
    queued: u64,
}

impl Guard {
    /// Checks once, before any client is accepted.
    pub(super) async fn begin(&self) {
        let _first = self.look(Fullness::Free).await;
    }

    /// Checks until `stop`, often enough that no fast sender fills the reserve in between.
    pub(super) async fn keep(self, stop: CancellationToken) {
        let mut pace = interval(EVERY);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut before = self.room.fullness();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = pace.tick() => {}
            }
            before = self.look(before).await;
        }
    }

    async fn look(&self, before: Fullness) -> Fullness {
        let folder = self.data_dir.clone();
        let seen = self.room.spent();
        let disk = tokio::task::spawn_blocking(move || disk(&folder)).await;
        let Ok(Ok((octets, inodes))) = disk else { return before };
        let queued = self.spool.stats().await.map_or(0, |stats| stats.messages);
        let Extent { free: pages, .. } = self.spool.extent().await.unwrap_or_default();
        let left = Left { octets, pages, inodes, queued };
        let now = judge(before, left, self.reserve);
        self.room.set(now, measure(left, self.reserve, self.small_bytes_max), seen);
        if now != before {
            self.tell(now, left);
        }
        now
    }

    fn tell(&self, now: Fullness, left: Left) {
        let mib = left.octets.saturating_add(left.pages) / (1 << 20);
        let (kind, what) = match now {
            Fullness::Free => {
                tracing::info!(free_mib = mib, queued = left.queued, "there is room for mail");
                return self.replace(None);
            }
            Fullness::Slow => {
                (AlarmKind::Queue, format!("{} messages are queued: senders are slowed down", left.queued))
            }
            Fullness::QueueFull => (
                AlarmKind::Queue,
                format!(
                    "{} messages are queued: new mail is refused with 452 until there are fewer",
                    left.queued
                ),
            ),
            Fullness::DiskFull => (
                AlarmKind::Disk,
                format!(
                    "{} has {mib} MiB (free pages of the database included) and {} inodes left: new mail is refused with 452 until there is more; deliveries go on",
                    self.data_dir.display(),
                    left.inodes
                ),
            ),
        };
        self.replace(Some((kind, what)));
    }

    /// Raises one alarm, and clears the others.
    fn replace(&self, found: Option<(AlarmKind, String)>) {
        for kind in [AlarmKind::Disk, AlarmKind::Queue] {
            let found =
                found.iter().filter(|(of, _)| *of == kind).map(|(_, what)| (what.clone(), Vec::new()));
            let changes = self.alarms.replace(kind, Clock::wall(), found.collect());
            tell_changes(&changes, &self.journal);
        }
    }
}

/// The state after a check. What was full must pass its limit by a tenth to count as free again, so
/// that the state does not flap.
fn judge(before: Fullness, left: Left, reserve: Reserve) -> Fullness {
    let more = |limit: u64, was: bool| if was { limit.saturating_add(limit / 10) } else { limit };
    let less = |limit: u64, was: bool| if was { limit.saturating_sub(limit / 10) } else { limit };
    let disk_full = before == Fullness::DiskFull;
    if left.octets.saturating_add(left.pages) < more(reserve.free_disk, disk_full)
        || left.inodes < more(INODES_MIN, disk_full)
    {
        return Fullness::DiskFull;
    }
    if left.queued >= less(reserve.queued_max, before == Fullness::QueueFull) {
        return Fullness::QueueFull;
    }
    let slow = less(reserve.queued_max.saturating_sub(reserve.queued_max / 10), before == Fullness::Slow);
    if left.queued >= slow { Fullness::Slow } else { Fullness::Free }
}

fn measure(left: Left, reserve: Reserve, small_bytes_max: usize) -> Measure {
    let signed = |octets: u64| i64::try_from(octets).unwrap_or(i64::MAX / 4);
    Measure {
        disk: signed(left.octets).saturating_sub(signed(reserve.free_disk)),
        pages: signed(left.pages),
        kept: signed(KEPT_BYTES.min(reserve.free_disk / 4)),
        small_bytes_max: i64::try_from(small_bytes_max).unwrap_or(i64::MAX),
    }
}

/// Octets and inodes that we may still use.
pub(super) fn disk(folder: &std::path::Path) -> io::Result<(u64, u64)> {
    let found = rustix::fs::statvfs(folder)?;
    // File systems without a fixed number of inodes report none at all.
    let inodes = if found.f_files == 0 { u64::MAX } else { found.f_favail };
    Ok((found.f_bavail.saturating_mul(found.f_frsize), inodes))
}

const EVERY: Duration = Duration::from_millis(500);
/// Octets of disk that large messages leave to small ones.
const KEPT_BYTES: u64 = 64 << 20;
const INODES_MIN: u64 = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    const RESERVE: Reserve = Reserve { free_disk: 1_000, queued_max: 100 };

    #[track_caller]
    fn check(before: Fullness, octets: u64, inodes: u64, queued: u64, expected: Fullness) {
        assert_eq!(judge(before, Left { octets, pages: 0, inodes, queued }, RESERVE), expected);
    }

    #[test]
    fn free_pages_are_room_for_what_goes_into_them() {
        let left = Left { octets: 400, pages: 700, inodes: 5_000, queued: 0 };
        assert_eq!(judge(Fullness::Free, left, RESERVE), Fullness::Free);
        assert_eq!(
            measure(left, RESERVE, 64),
            Measure { disk: -600, pages: 700, kept: 250, small_bytes_max: 64 }
        );
        assert_eq!(judge(Fullness::Free, Left { pages: 599, ..left }, RESERVE), Fullness::DiskFull);
    }

    #[test]
    fn what_was_full_needs_more_than_its_limit() {
        use Fullness::{DiskFull, Free, QueueFull, Slow};
        check(Free, 1_000, 5_000, 0, Free);
        check(Free, 999, 5_000, 0, DiskFull);
        check(Free, 1_000, 999, 0, DiskFull);
        check(DiskFull, 1_099, 5_000, 0, DiskFull);
        check(DiskFull, 1_100, 5_000, 0, Free);
        check(Free, 1_000, 5_000, 89, Free);
        check(Free, 1_000, 5_000, 90, Slow);
        check(Slow, 1_000, 5_000, 81, Slow);
        check(Slow, 1_000, 5_000, 80, Free);
        check(Slow, 1_000, 5_000, 100, QueueFull);
        check(QueueFull, 1_000, 5_000, 90, QueueFull);
        check(QueueFull, 1_000, 5_000, 89, Free);
    }

    #[test]
    fn a_disk_tells_what_it_has() {
        let (octets, inodes) = disk(std::path::Path::new("/")).expect("a file system");
        assert!(octets > 0 && inodes > 0);
    }
}
