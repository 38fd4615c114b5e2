//! How `run` goes on after the spool broke: the process executes itself anew, pauses, and delivers nothing
//! until the spool has passed a trial.

use std::os::unix::process::CommandExt as _;
use std::pin::pin;
use std::process::Command;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio_util::sync::CancellationToken;

use super::{EXIT_OS, Failure};
use crate::config::Config;
use crate::listen;
use crate::spool::mark::Mark;
use crate::spool::sqlite::SqliteSpool;

/// Waits until the spool may be used: at once if nothing broke. Answers with the number of faults so far,
/// one soon after the other. Meanwhile clients are told to come back, and `complain` hears what is wrong.
///
/// # Errors
/// The mark can't be read.
pub(super) async fn trial(config: &Config, complain: impl Fn(&str)) -> Result<u32, Failure> {
    let unwritten = std::env::var(UNWRITTEN).unwrap_or_default();
    let read = Mark::read(&config.data_dir, &unwritten);
    let mark = read.map_err(|error| {
        Failure::new(
            EXIT_OS,
            format!("{}: the mark of a fault can't be read: {error}", config.data_dir.display()),
        )
    })?;
    let Some(mark) = mark else { return Ok(0) };
    let why =
        mark.faults.last().map_or("what was delivered is to be written down", String::as_str).to_owned();
    tracing::warn!(fault = %why, "the spool broke; it is checked before anything is delivered");
    let stop = CancellationToken::new();
    let closed = tokio::spawn(turn_away(config.listen.clone(), stop.clone()));
    let mut count = mark.count;
    loop {
        let pause = pause(count);
        status(&format!("the spool broke ({why}); it is checked in {} s", pause.as_secs()));
        alive(tokio::time::sleep(pause)).await;
        let (data_dir, of) = (config.data_dir.clone(), mark.clone());
        let tried = tokio::task::spawn_blocking(move || SqliteSpool::try_again(&data_dir, &of));
        let tried = alive(tried).await;
        match tried {
            Ok(Ok(())) => break,
            Ok(Err(fault)) => {
                count = count.saturating_add(1);
                complain(&format!("{fault}; nothing is delivered meanwhile"));
                tracing::error!(%fault, again_in = ?self::pause(count), "the spool does not do yet");
            }
            Err(fault) => tracing::error!(%fault, "the trial of the spool ended early"),
        }
    }
    tracing::warn!("the spool has passed its check; mail is taken and delivered again");
    stop.cancel();
    // The addresses are free again only then.
    let _ended = closed.await;
    Ok(mark.count)
}

/// Waits for something while the service manager's watchdog is fed: to wait is what is meant to be done.
async fn alive<F: Future>(work: F) -> F::Output {
    let mut work = pin!(work);
    let mut pace = tokio::time::interval(Duration::from_secs(1));
    loop {
        tokio::select! {
            done = &mut work => return done,
            // A start that waits for the disk may take longer than `TimeoutStartSec=` says.
            _ = pace.tick() => drop(sd_notify::notify(&[NotifyState::Watchdog, NotifyState::ExtendTimeoutUsec(30_000_000)])),
        }
    }
}

/// Listeners that say 421. Without them, connections are refused.
async fn turn_away(settings: listen::Settings, stop: CancellationToken) {
    match listen::bind(&settings) {
        Ok(bound) => listen::turn_away(bound, settings.name.as_str(), &stop).await,
        Err(fault) => tracing::warn!(%fault, "clients can't be told to come back"),
    }
}

/// Executes this program anew with the same arguments; it answers only if that failed. `unwritten` is what
/// the mark should say besides.
pub(super) fn anew(unwritten: &str) -> Failure {
    let mut args = std::env::args_os();
    let called = args.next();
    // The file may have been replaced by a newer one meanwhile; then the path by which we were called leads there.
    let own = std::env::current_exe().ok().filter(|path| path.exists());
    let Some(program) = own.map(Into::into).or(called) else {
        return Failure::new(
            EXIT_OS,
            "the spool has stopped, and it is not known which program to start anew",
        );
    };
    let mut command = Command::new(program);
    command.args(args).env_remove(UNWRITTEN);
    if !unwritten.is_empty() {
        command.env(UNWRITTEN, unwritten);
    }
    let fault = command.exec();
    Failure::new(EXIT_OS, format!("the spool has stopped, and sealpost can't start anew: {fault}"))
}

/// The service manager is told that this is no end.
pub(super) fn reloading() {
    if let Ok(now) = NotifyState::monotonic_usec_now() {
        let _ = sd_notify::notify(&[NotifyState::Reloading, now]);
    }
}

fn status(text: &str) {
    let _ = sd_notify::notify(&[NotifyState::Status(text)]);
}

/// How long to wait before the trial, by how often the spool broke.
fn pause(count: u32) -> Duration {
    let index =
        usize::try_from(count.saturating_sub(1)).unwrap_or(usize::MAX).min(PAUSES.len().saturating_sub(1));
    Duration::from_secs(PAUSES.get(index).copied().unwrap_or(300))
}

/// What could not be written to the mark, from one process to the next.
const UNWRITTEN: &str = "SEALPOST_SPOOL_FAULT";
/// Seconds.
const PAUSES: [u64; 8] = [1, 2, 5, 10, 20, 30, 60, 300];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_have_an_end() {
        let pauses: Vec<u64> = [0, 1, 2, 3, 8, 9, u32::MAX].map(|n| pause(n).as_secs()).into();
        assert_eq!(pauses, [1, 1, 2, 5, 300, 300, 300]);
    }
}
