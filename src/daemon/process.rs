//! What the system says of this process, for metrics.

use std::fs;
use std::time::Duration;

use rustix::process::{Resource, getrlimit};

use crate::mail::UnixMillis;
use crate::metrics::ProcessReadings;

/// Reads it. What can't be read is 0. `since` is when this run began: a run after a fault of the spool is the same process
/// and counts from 0 again.
pub(super) fn read(since: UnixMillis) -> ProcessReadings {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let descriptors = fs::read_dir("/proc/self/fd").map_or(0, |found| found.flatten().count());
    let most = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let started = u64::try_from(since.0).unwrap_or_default();
    ProcessReadings {
        started: Duration::from_millis(started).as_secs_f64(),
        processor_seconds: processor(&stat).unwrap_or_default().as_secs_f64(),
        resident: resident(&status).unwrap_or_default(),
        descriptors: u64::try_from(descriptors).unwrap_or(u64::MAX),
        descriptors_max: most,
    }
}

/// proc_pid_stat(5): fields 14 and 15, in ticks of 10 ms. The name may have spaces, and ends with the last parenthesis.
fn processor(stat: &str) -> Option<Duration> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let (user, system): (u64, u64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some(Duration::from_millis(user.saturating_add(system).saturating_mul(10)))
}

fn resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1_024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_of_proc_are_read() {
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194560 900 0 0 0 150 25 0 0 20 0 9 0 1000 9 9";
        assert_eq!(processor(stat), Some(Duration::from_millis(1_750)));
        assert_eq!(processor("7 (a"), None);
        assert_eq!(resident("VmPeak:\t 9 kB\nVmRSS:\t    2048 kB\n"), Some(2 << 20));
        let read = read(UnixMillis(1_500));
        assert!(read.resident > 0 && read.descriptors > 2 && read.descriptors_max > 2, "{read:?}");
        assert!((read.started - 1.5).abs() < 1e-9);
    }
}
