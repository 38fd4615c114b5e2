//! Raises the limit of open files as far as the system allows, and fits outbound sessions to it.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::scheduler::settings::Settings;

/// Raises the limit of open files to the maximum for this process and returns it. The usual default
/// of 1,024 in a shell or container would make a busy relay refuse connections.
pub(super) fn raise() -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    // `None` means no limit.
    let most = maximum.unwrap_or(FILES_WANTED).min(FILES_WANTED);
    let now = current.unwrap_or(u64::MAX);
    if now >= most {
        return now;
    }
    match setrlimit(Resource::Nofile, Rlimit { current: Some(most), maximum }) {
        Ok(()) => most,
        Err(fault) => {
            tracing::warn!(%fault, "the limit of open files can't be raised");
            now
        }
    }
}

/// Lowers the limits of outbound sessions to fit the limit of open files: an eighth of it for
/// sessions that carry mail, and a fifth for sessions being opened. The rest is for sessions
/// without a seat, idle connections, clients, DNS queries and the spool. Returns whether it lowered
/// any.
pub(super) fn fit(settings: &mut Settings, files: u64) -> bool {
    let part = |parts: u64| {
        let files = files.checked_div(parts).unwrap_or_default();
        usize::try_from(files).unwrap_or(usize::MAX).max(1)
    };
    let before = (settings.sessions_max, settings.openings_max);
    settings.sessions_max = settings.sessions_max.min(part(8));
    settings.openings_max = settings.openings_max.min(part(5));
    before != (settings.sessions_max, settings.openings_max)
}

/// The most that is requested: `connections`, `outbound_connections` and twice `outbound_openings`
/// at their defaults, doubled.
const FILES_WANTED: u64 = 65_536;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scheduler::settings::samples;

    #[test]
    fn sessions_fit_the_limit_of_files() {
        let check = |files: u64, expected: (usize, usize, bool)| {
            let mut settings =
                Settings { openings_max: 4_000, sessions_per_host_max: 50, ..samples::settings(1_000) };
            let lowered = fit(&mut settings, files);
            assert_eq!((settings.sessions_max, settings.openings_max, lowered), expected, "{files} files");
        };
        check(65_536, (1_000, 4_000, false));
        check(1_024, (128, 204, true));
        check(20_000, (1_000, 4_000, false));
        check(10_000, (1_000, 2_000, true));
        check(0, (1, 1, true));
    }
}
