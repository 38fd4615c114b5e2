//! What a verb waits for, shown on standard error once it has waited for two seconds: a line that is kept up to date on
//! a terminal, else a new line now and then.

use std::io::{self, IsTerminal as _};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::print::complain;
use crate::mail::unmoved;

/// A wait that is shown until this is dropped. Whoever prints an answer drops it first.
pub(super) struct Wait {
    stop: Option<Sender<()>>,
    shown: Option<JoinHandle<()>>,
}

impl Wait {
    /// A wait for one thing, as in "waiting for ...".
    pub(super) fn on(what: impl Into<String>) -> Self {
        let what = what.into();
        Self::told_by(move || what.clone())
    }

    /// A wait for what changes meanwhile.
    pub(super) fn told_by(what: impl Fn() -> String + Send + 'static) -> Self {
        let (stop, over) = mpsc::channel();
        // Without a thread the wait is as long.
        let shown = thread::Builder::new().spawn(move || show(&over, &what)).ok();
        Self { stop: Some(stop), shown }
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        drop(self.stop.take());
        let _cleared = self.shown.take().map(JoinHandle::join);
    }
}

fn show(over: &Receiver<()>, what: &dyn Fn() -> String) {
    let begun = Instant::now();
    if !lasts(over, PATIENCE) {
        return;
    }
    if io::stderr().is_terminal() {
        spin(over, what);
    } else {
        line_by_line(over, what, begun);
    }
}

/// Whether the wait is not over after so long.
fn lasts(over: &Receiver<()>, time: Duration) -> bool {
    over.recv_timeout(time) == Err(RecvTimeoutError::Timeout)
}

fn spin(over: &Receiver<()>, what: &dyn Fn() -> String) {
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} waiting for {wide_msg} {elapsed}") {
        bar.set_style(style);
    }
    let bar = bar.with_elapsed(PATIENCE);
    loop {
        bar.set_message(clean(&what()));
        bar.tick();
        if !lasts(over, TICK) {
            return bar.finish_and_clear();
        }
    }
}

fn line_by_line(over: &Receiver<()>, what: &dyn Fn() -> String, begun: Instant) {
    let mut last: Option<(String, Instant)> = None;
    loop {
        let text = clean(&what());
        let due = last.as_ref().is_none_or(|(before, at)| is_due(*before != text, at.elapsed()));
        if due && !text.is_empty() {
            complain(&format!("waiting for {text} ({} s)", begun.elapsed().as_secs()));
            last = Some((text, Instant::now()));
        }
        if !lasts(over, LOOK) {
            return;
        }
    }
}

/// Whether another line is worth its place: there is news, or the last one is old.
fn is_due(is_new: bool, since_last: Duration) -> bool {
    since_last >= REPEAT || is_new && since_last >= PATIENCE
}

/// Names of hosts come from DNS, and can't steer a terminal.
fn clean(text: &str) -> String {
    unmoved(text, '?').collect()
}

/// A shorter wait is not worth a word.
const PATIENCE: Duration = Duration::from_secs(2);
/// The same line is printed again after this time.
const REPEAT: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(500);
const TICK: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn news_comes_soon_and_nothing_new_comes_seldom() {
        let check = |is_new, seconds, expected| {
            assert_eq!(is_due(is_new, Duration::from_secs(seconds)), expected, "{is_new} {seconds}");
        };
        check(true, 1, false);
        check(true, 2, true);
        check(false, 9, false);
        check(false, 10, true);
    }
}
