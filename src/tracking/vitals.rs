//! Watches that everything long-lived keeps running. A task or thread that ends unexpectedly is a loss; how
//! to react to a loss is decided elsewhere.

use std::collections::VecDeque;
use std::fmt;
use std::panic::PanicHookInfo;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, ThreadId};

use tokio::task::JoinHandle;

use super::journal::{FACT, Line};

/// Watches the process's long-lived tasks and threads. Clones report losses to the same callback.
#[derive(Clone)]
pub struct Vitals(Arc<VitalsInner>);

struct VitalsInner {
    on_loss: Box<dyn Fn(Loss) + Send + Sync>,
    stopping: AtomicBool,
    drops_log_lines: AtomicBool,
    /// Log lines dropped so far, facts included.
    dropped_log_lines: AtomicU64,
    /// Recent panics, used to explain a loss.
    panics: Mutex<VecDeque<Panic>>,
}

/// Something long-lived has stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loss {
    /// What stopped, with its article: `the scheduler`.
    pub what: String,
    /// What happened to it, as far as known: `has made no turn for 60 s`.
    pub why: String,
}

impl Loss {
    /// A loss: `what` ended unexpectedly, for the reason `why`.
    #[must_use]
    pub fn ended(what: &str, why: &str) -> Self {
        Self { what: what.to_owned(), why: format!("ended unexpectedly: {why}") }
    }
}

struct Panic {
    thread: ThreadId,
    name: Option<String>,
    text: String,
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.what, self.why)
    }
}

impl fmt::Debug for Vitals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vitals").field("stopping", &self.0.stopping).finish_non_exhaustive()
    }
}

impl Vitals {
    /// `on_loss` is called on whichever thread sees the loss, possibly one that is panicking: it must not
    /// block.
    pub fn new(on_loss: impl Fn(Loss) + Send + Sync + 'static) -> Self {
        Self(Arc::new(VitalsInner {
            on_loss: Box::new(on_loss),
            stopping: AtomicBool::new(false),
            drops_log_lines: AtomicBool::new(false),
            dropped_log_lines: AtomicU64::new(0),
            panics: Mutex::default(),
        }))
    }

    /// Spawns a task that must run until [`Self::stopping`]. Must be called within the runtime.
    pub fn watch(
        &self,
        what: &'static str,
        task: impl Future<Output = ()> + Send + 'static,
    ) -> JoinHandle<()> {
        let life = self.life(what);
        tokio::spawn(async move {
            let _life = life;
            task.await;
        })
    }

    /// Watches a task spawned elsewhere. Must be called within the runtime.
    pub fn adopt(&self, what: &'static str, task: JoinHandle<()>) {
        let life = self.life(what);
        drop(tokio::spawn(async move {
            match task.await {
                Ok(()) => drop(life),
                Err(fault) => life.lost(&fault.to_string()),
            }
        }));
    }

    /// A guard for a thread, which holds it for as long as it must run.
    pub fn life(&self, what: &'static str) -> Life {
        Life { what, vitals: self.clone(), over: false }
    }

    /// Marks the process as stopping: from now on everything may end.
    pub fn stopping(&self) {
        self.0.stopping.store(true, Ordering::SeqCst);
    }

    /// Whether the process is stopping.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.0.stopping.load(Ordering::SeqCst)
    }

    /// Reports a loss that was detected elsewhere; ignored while stopping.
    pub fn lost(&self, loss: Loss) {
        if !self.is_stopping() {
            (self.0.on_loss)(loss);
        }
    }

    /// Records that a log line was dropped.
    pub fn log_drops(&self) {
        self.0.drops_log_lines.store(true, Ordering::Relaxed);
        self.0.dropped_log_lines.fetch_add(1, Ordering::Relaxed);
    }

    /// Records that no log lines are being dropped any more, and that those dropped were reported.
    pub fn log_drops_over(&self) {
        self.0.drops_log_lines.store(false, Ordering::Relaxed);
    }

    /// Number of log lines dropped since the start.
    #[must_use]
    pub fn dropped_log_lines(&self) -> u64 {
        self.0.dropped_log_lines.load(Ordering::Relaxed)
    }

    /// Whether log lines are being dropped.
    #[must_use]
    pub fn drops_log_lines(&self) -> bool {
        self.0.drops_log_lines.load(Ordering::Relaxed)
    }

    /// The message of the last panic of a thread with this name.
    #[must_use]
    pub fn last_words(&self, name: &str) -> Option<String> {
        let panics = self.0.panics.lock().unwrap_or_else(PoisonError::into_inner);
        panics.iter().rev().find(|panic| panic.name.as_deref() == Some(name)).map(|panic| panic.text.clone())
    }

    /// Installs a panic hook that logs every panic on one line instead of printing it on several.
    pub fn log_panics(&self) {
        let me = self.clone();
        std::panic::set_hook(Box::new(move |info| me.note(info)));
    }

    fn note(&self, info: &PanicHookInfo<'_>) {
        let thread = thread::current();
        let at = info.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
        let said = info.payload_as_str().unwrap_or("no message");
        let (said, name) = (Line(said).to_string(), thread.name().unwrap_or("unnamed"));
        tracing::event!(name: FACT, tracing::Level::ERROR, thread = %name, %at, %said, "panic: this is a fault of Sealpost, please report it");
        let text = format!("panic at {at}: {said}");
        let mut panics = self.0.panics.lock().unwrap_or_else(PoisonError::into_inner);
        if panics.len() >= PANICS_MAX {
            panics.pop_front();
        }
        panics.push_back(Panic { thread: thread.id(), name: thread.name().map(ToOwned::to_owned), text });
    }

    /// Why the current thread is unwinding.
    fn own_panic(&self) -> String {
        let own = thread::current().id();
        let panics = self.0.panics.lock().unwrap_or_else(PoisonError::into_inner);
        let last = panics.iter().rev().find(|panic| panic.thread == own);
        last.map_or_else(|| "panic".to_owned(), |panic| panic.text.clone())
    }
}

/// Guard of something that must keep running: dropping it before [`Vitals::stopping`] is a loss.
#[derive(Debug)]
#[must_use]
pub struct Life {
    what: &'static str,
    vitals: Vitals,
    over: bool,
}

impl Life {
    /// Ends it as expected.
    pub fn done(mut self) {
        self.over = true;
    }

    fn lost(mut self, why: &str) {
        self.over = true;
        self.vitals.lost(Loss::ended(self.what, why));
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        let why = if thread::panicking() { self.vitals.own_panic() } else { "it returned".to_owned() };
        self.vitals.lost(Loss::ended(self.what, &why));
    }
}

const PANICS_MAX: usize = 16;

#[cfg(test)]
#[allow(clippy::panic, reason = "the subject of these tests")]
mod tests {
    use std::sync::mpsc::{Receiver, TryRecvError, channel};
    use std::time::Duration;

    use super::*;

    fn vitals() -> (Vitals, Receiver<Loss>) {
        let (send, losses) = channel();
        (Vitals::new(move |loss| send.send(loss).expect("a reader")), losses)
    }

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().expect("a runtime")
    }

    #[track_caller]
    fn check(losses: &Receiver<Loss>, expected: &str) {
        let loss = losses.recv_timeout(Duration::from_secs(30)).expect("a loss");
        assert_eq!(loss.to_string(), expected);
    }

    #[test]
    fn a_task_that_ends_unasked_is_a_loss() {
        let ((vitals, losses), runtime) = (vitals(), runtime());
        let _entered = runtime.enter();
        vitals.watch("the clerk", async {});
        check(&losses, "the clerk ended unexpectedly: it returned");
        vitals.watch("the clerk", async { panic!("no ink") });
        check(&losses, "the clerk ended unexpectedly: panic");
        vitals.adopt("the clerk", tokio::spawn(async {}));
        check(&losses, "the clerk ended unexpectedly: it returned");
        vitals.adopt("the clerk", tokio::spawn(async { panic!("no ink") }));
        let loss = losses.recv_timeout(Duration::from_secs(30)).expect("a loss");
        assert!(loss.why.contains("panicked") && loss.why.contains("no ink"), "{loss}");
    }

    #[test]
    fn what_ends_after_the_stop_is_no_loss() {
        let ((vitals, losses), runtime) = (vitals(), runtime());
        let entered = runtime.enter();
        let task = vitals.watch("the clerk", std::future::pending());
        drop(entered);
        vitals.stopping();
        task.abort();
        assert!(runtime.block_on(task).is_err_and(|fault| fault.is_cancelled()));
        drop(vitals.life("a thread"));
        drop(vitals);
        assert_eq!(losses.try_recv(), Err(TryRecvError::Disconnected));
    }

    #[test]
    fn a_thread_is_lost_by_panic_and_by_return() {
        let (vitals, losses) = vitals();
        let life = vitals.life("the scribe");
        thread::spawn(move || drop(life)).join().expect("no panic");
        check(&losses, "the scribe ended unexpectedly: it returned");
        let life = vitals.life("the scribe");
        let panicked = thread::spawn(move || {
            let _life = life;
            panic!("no ink");
        });
        assert!(panicked.join().is_err());
        check(&losses, "the scribe ended unexpectedly: panic");
        let life = vitals.life("the scribe");
        thread::spawn(move || life.done()).join().expect("no panic");
        assert_eq!(losses.try_recv(), Err(TryRecvError::Empty));
    }

    #[test]
    fn the_words_of_a_panic_stay_on_one_line() {
        // One test on its own: the hook is process-wide. Panics of other tests go through it meanwhile, which
        // is fine.
        let (vitals, losses) = vitals();
        let before = std::panic::take_hook();
        vitals.log_panics();
        let life = vitals.life("the scribe");
        let scribe = thread::Builder::new().name("scribe".to_owned()).spawn(move || {
            let _life = life;
            panic!("no\nink");
        });
        assert!(scribe.expect("a thread").join().is_err());
        std::panic::set_hook(before);
        let loss = losses.recv_timeout(Duration::from_secs(30)).expect("a loss");
        assert!(loss.why.starts_with("ended unexpectedly: panic at src/tracking/vitals.rs:"), "{loss}");
        assert!(loss.why.ends_with(": no\\nink"), "{loss}");
        let words = vitals.last_words("scribe").expect("it said something");
        assert!(loss.why.ends_with(&words), "{words}");
        assert_eq!(vitals.last_words("nobody"), None);
    }
}
