//! How `run` continues after the spool failed: the process executes itself again, pauses, and
//! delivers nothing until the spool has passed a check.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::Command;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::exit::{EXIT_OS, Failure};
use super::print::complain;
use crate::config::{self, Config};
use crate::spool::UnwrittenMarks;
use crate::spool::mark::{Mark, Marker};
use crate::spool::sqlite::{OpenFault, SqliteSpool, Trial};
use crate::{listen, spool};

/// Loads the configuration. After a spool fault it waits until errors in the file are fixed: an
/// unfinished edit must not end a relay whose disk failed for a moment.
///
/// # Errors
/// It has errors, and this is a normal start.
pub(super) fn config(file: &Path) -> Result<Config, Failure> {
    let mut waits = false;
    loop {
        let faults = match config::load(file) {
            Ok(config) => return Ok(config),
            Err(faults) => faults,
        };
        if std::env::var_os(UNWRITTEN).is_none() {
            return Err(faults.into());
        }
        if !waits {
            let text = format!(
                "the spool failed, and the configuration has errors; sealpost goes on once they are fixed\n{faults}"
            );
            // On its own thread, because standard error may have no reader.
            drop(std::thread::spawn(move || complain(&text)));
            status("the spool failed, and the configuration has errors; waiting until they are fixed");
        }
        waits = true;
        feed();
        std::thread::sleep(CONFIG_PAUSE);
    }
}

/// Completed deliveries that could not be recorded in the mark of a data folder.
pub(super) struct Left {
    data_dir: PathBuf,
    unwritten: UnwrittenMarks,
}

impl Left {
    pub(super) fn new(data_dir: &Path, unwritten: UnwrittenMarks) -> Self {
        Self { data_dir: data_dir.to_owned(), unwritten }
    }

    /// What the previous process passed on.
    pub(super) fn inherited(data_dir: &Path) -> Self {
        Self::new(data_dir, Box::new(|| std::env::var(UNWRITTEN).unwrap_or_default()))
    }

    /// No successor process will take it over, so the mark must get it now.
    pub(super) fn note(self) {
        let unwritten = (self.unwritten)();
        if let Err(error) = Mark::append(&self.data_dir, &unwritten) {
            let messages = unwritten.lines().filter(|line| line.starts_with("done ")).count();
            tracing::error!(
                messages, %error,
                "what was delivered can't be noted in spool-fault; these messages may be delivered again"
            );
        }
    }
}

/// Waits until the spool can be used: at once if nothing failed. Returns the number of faults in a
/// row. Meanwhile clients get 421, and `complain` receives the problems.
pub(super) async fn trial(config: &Config, complain: impl Fn(&str)) -> u32 {
    let mut unwritten = std::env::var(UNWRITTEN).unwrap_or_default();
    let (why, faults) = match Mark::read(&config.data_dir, &unwritten) {
        Ok(None) => return 0,
        Ok(Some(mark)) => {
            let lost = mark.lost;
            if lost > 0 {
                tracing::error!(
                    lost,
                    "recipients are done and noted nowhere: they may have their mail twice"
                );
            }
            match mark.faults.last() {
                Some(why) => (why.clone(), mark.count),
                // The last process had no room to record its deliveries. Nothing else failed, and
                // the spool handles that.
                None => return 0,
            }
        }
        Err(error) => (unreadable(&error), 1),
    };
    tracing::warn!(fault = %why, "the spool failed; it is checked before anything is delivered");
    let closed = ClosedListeners::begin(config.listen.clone());
    let mut count = faults;
    loop {
        let pause = pause(count);
        status(&format!("the spool failed ({why}); it is checked in {} s", pause.as_secs()));
        alive(tokio::time::sleep(pause)).await;
        let settings = config.spool(count);
        let tried = tokio::task::spawn_blocking(move || {
            let tried = try_again(&settings, &mut unwritten);
            (tried, unwritten)
        });
        let fault = match alive(tried).await {
            Ok((Ok(Trial::Passed), _)) => {
                tracing::warn!("the spool has passed its check; mail is taken and delivered again");
                break;
            }
            Ok((Ok(Trial::NoRoom), _)) => {
                tracing::warn!(
                    "the spool can be read, and there is no room to write; mail is delivered again"
                );
                break;
            }
            Ok((Err(fault), left)) => {
                unwritten = left;
                fault
            }
            // The check gave no details; the environment still has the unwritten deliveries.
            Err(fault) => {
                unwritten = std::env::var(UNWRITTEN).unwrap_or_default();
                format!("the check of the spool ended early: {fault}")
            }
        };
        count = count.saturating_add(1);
        complain(&format!("{fault}; nothing is delivered meanwhile"));
        tracing::error!(%fault, again_in = ?self::pause(count), "the spool can't be used yet");
    }
    closed.end().await;
    faults
}

/// The spool passed its check but could not be opened: the fault continues and is marked. Returns
/// what could not be written to the mark.
pub(super) fn still_broken(data_dir: &Path, faults: u32, fault: &OpenFault) -> Left {
    tracing::error!(%fault, "the spool can't be opened; starting again after a pause");
    let marker = Marker::new(data_dir);
    marker.fault(faults.saturating_add(1), &fault.to_string());
    Left::new(data_dir, Box::new(move || marker.unwritten()))
}

/// Checks the spool once. `unwritten` becomes empty once the mark has its content.
fn try_again(settings: &spool::Settings, unwritten: &mut String) -> Result<Trial, String> {
    let appended = Mark::append(&settings.data_dir, unwritten);
    if appended.is_ok() {
        unwritten.clear();
    }
    let mark = Mark::read(&settings.data_dir, unwritten).map_err(|error| unreadable(&error))?;
    let tried =
        SqliteSpool::try_again(settings, &mark.unwrap_or_default()).map_err(|fault| fault.to_string())?;
    match (tried, appended) {
        // The spool would not know about these deliveries and would repeat them.
        (Trial::NoRoom, Err(error)) => Err(format!(
            "what was delivered can't be noted in {}: {error}; free some room",
            settings.data_dir.display()
        )),
        (tried, _) => Ok(tried),
    }
}

fn unreadable(error: &std::io::Error) -> String {
    format!("the mark of a fault, spool-fault in data_dir, can't be read: {error}; make it readable")
}

/// Waits for `work` while it feeds the service manager's watchdog and extends the start timeout:
/// the wait is intended.
async fn alive<F: Future>(work: F) -> F::Output {
    let mut work = pin!(work);
    let mut pace = tokio::time::interval(Duration::from_secs(1));
    loop {
        tokio::select! {
            done = &mut work => return done,
            _ = pace.tick() => feed(),
        }
    }
}

fn feed() {
    let _ = sd_notify::notify(&[NotifyState::Watchdog, NotifyState::ExtendTimeoutUsec(EXTENSION_USEC)]);
}

/// Listeners that accept no mail yet.
struct ClosedListeners {
    stop: CancellationToken,
    listening: JoinHandle<()>,
}

impl ClosedListeners {
    fn begin(settings: listen::Settings) -> Self {
        let stop = CancellationToken::new();
        Self { listening: tokio::spawn(turn_away(settings, stop.clone())), stop }
    }

    /// Resolves when their addresses are free again.
    async fn end(self) {
        self.stop.cancel();
        let _ended = self.listening.await;
    }
}

/// Listeners that reply 421. If they can't be bound, connections are refused.
async fn turn_away(settings: listen::Settings, stop: CancellationToken) {
    match listen::bind(&settings) {
        Ok(bound) => listen::turn_away(bound, settings.name.as_str(), &stop).await,
        Err(fault) => tracing::warn!(%fault, "clients can't be asked to come back"),
    }
}

/// Executes this program again with the same arguments and passes on what is left. Returns only if
/// that failed.
pub(super) fn again(left: Left) -> Failure {
    let mut args = std::env::args_os();
    let called = args.next();
    // The file may have been replaced by a newer one; then the path we were called by leads to it.
    let own = std::env::current_exe().ok().filter(|path| path.exists());
    let Some(program) = own.map(Into::into).or(called) else {
        return Failure::new(
            EXIT_OS,
            "the spool has stopped, and it is not known which program to start again",
        );
    };
    let mut command = Command::new(program);
    // Set even if empty: the next process learns from it that the spool failed.
    command.args(args).env(UNWRITTEN, (left.unwritten)());
    let fault = command.exec();
    Failure::new(EXIT_OS, format!("the spool has stopped, and sealpost can't start again: {fault}"))
}

/// Tells the service manager that this is a restart, not the end.
pub(super) fn reloading() {
    if let Ok(now) = NotifyState::monotonic_usec_now() {
        let _ = sd_notify::notify(&[NotifyState::Reloading, now]);
    }
}

fn status(text: &str) {
    let _ = sd_notify::notify(&[NotifyState::Status(text)]);
}

/// How long to wait before the check, by the number of faults.
fn pause(count: u32) -> Duration {
    let index =
        usize::try_from(count.saturating_sub(1)).unwrap_or(usize::MAX).min(PAUSES.len().saturating_sub(1));
    Duration::from_secs(PAUSES.get(index).copied().unwrap_or(300))
}

/// Passes what could not be written to the mark to the next process; unset at a normal start.
const UNWRITTEN: &str = "SEALPOST_SPOOL_FAULT";
/// How long to wait before an invalid configuration is read again.
const CONFIG_PAUSE: Duration = Duration::from_secs(2);
/// We notify the service manager every second, but a flush on a bad disk may block us for longer.
const EXTENSION_USEC: u32 = 30_000_000;
/// In seconds.
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
