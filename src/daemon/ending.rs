//! How the process ends: the cause, the stage reached, and the thread that forces the end if it
//! takes too long. It needs no runtime and stops nothing itself.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::tracking::Loss;

/// Why the process ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// The spool failed; the process executes itself again.
    Broken,
    /// An operator or the service manager requested it.
    Asked,
    /// A task or thread that must keep running has ended.
    Lost(Loss),
}

/// The end of the process; a clone is the same end.
#[derive(Debug, Clone, Default)]
pub struct Ending(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    begun: CancellationToken,
    state: Mutex<EndingState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct EndingState {
    cause: Option<Cause>,
    at: &'static str,
}

impl Ending {
    /// Begins the end. The first cause stays, except that a requested stop replaces a failed spool.
    pub fn begin(&self, cause: Cause) {
        let mut state = self.lock();
        let first = state.cause.is_none();
        if first || (state.cause == Some(Cause::Broken) && cause == Cause::Asked) {
            state.cause = Some(cause);
        }
        drop(state);
        self.0.changed.notify_all();
        self.0.begun.cancel();
    }

    /// Cancelled once the end has begun.
    #[must_use]
    pub fn begun(&self) -> &CancellationToken {
        &self.0.begun
    }

    /// The cause, once the end has begun.
    #[must_use]
    pub fn cause(&self) -> Option<Cause> {
        self.lock().cause.clone()
    }

    /// Records the stage that is waited for from now on.
    pub fn at(&self, stage: &'static str) {
        self.lock().at = stage;
    }

    /// Starts the thread that forces the end: it calls `force` with the reason once `patience` has
    /// passed since the end began. `force` must not return.
    ///
    /// # Errors
    /// The thread can't be started.
    pub fn enforce(&self, patience: Duration, force: impl FnOnce(String) + Send + 'static) -> io::Result<()> {
        let me = self.clone();
        let wait = move || {
            me.wait(patience);
            let state = me.lock();
            // Perhaps no other thread could report it.
            let cause = match &state.cause {
                Some(Cause::Lost(loss)) => format!("{loss}; "),
                Some(Cause::Asked | Cause::Broken) | None => String::new(),
            };
            let (at, seconds) = (state.at, patience.as_secs_f32());
            drop(state);
            force(format!("{cause}the stop has taken {seconds} s ({at}): ending now"));
        };
        thread::Builder::new().name("ending".to_owned()).spawn(wait).map(drop)
    }

    fn wait(&self, patience: Duration) {
        let unbegun = |state: &mut EndingState| state.cause.is_none();
        let mut state =
            self.0.changed.wait_while(self.lock(), unbegun).unwrap_or_else(PoisonError::into_inner);
        // Small steps, each counted at its intended length: a process that was stopped meanwhile
        // (SIGSTOP, a debugger, suspend) has not used up its time.
        let mut left = patience;
        while !left.is_zero() {
            let (step, since) = (STEP.min(left), Instant::now());
            let waited = self.0.changed.wait_timeout(state, step);
            (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
            left = left.saturating_sub(since.elapsed().min(step));
        }
    }

    fn lock(&self) -> MutexGuard<'_, EndingState> {
        // Each change is complete even if a holder of the lock panicked.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const STEP: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    const LONG: Duration = Duration::from_secs(30);

    fn loss() -> Cause {
        Cause::Lost(Loss { what: "the scheduler".to_owned(), why: "is stuck".to_owned() })
    }

    #[track_caller]
    fn check(causes: &[Cause], expected: &Cause) {
        let ending = Ending::default();
        assert!(ending.cause().is_none() && !ending.begun().is_cancelled());
        causes.iter().for_each(|cause| ending.begin(cause.clone()));
        assert_eq!(ending.cause().as_ref(), Some(expected));
        assert!(ending.begun().is_cancelled());
    }

    #[test]
    fn the_first_cause_stays_but_a_stop_beats_a_fresh_start() {
        check(&[Cause::Broken], &Cause::Broken);
        check(&[Cause::Broken, Cause::Asked], &Cause::Asked);
        check(&[Cause::Asked, Cause::Broken, loss()], &Cause::Asked);
        check(&[loss(), Cause::Asked, Cause::Broken], &loss());
        check(&[Cause::Broken, loss()], &Cause::Broken);
    }

    #[test]
    fn an_end_is_forced_though_every_thread_of_the_runtime_is_stuck() {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().expect("a runtime");
        let (release, held) = (Arc::new(()), Arc::new(Mutex::new(())));
        let stuck = held.lock().expect("free");
        for _ in 0..8 {
            let (release, held) = (Arc::clone(&release), Arc::clone(&held));
            runtime.spawn(async move {
                drop(held.lock());
                drop(release);
            });
        }
        let ending = Ending::default();
        ending.at("no thread of the runtime has taken notice");
        let (send, forced) = mpsc::channel();
        ending
            .enforce(Duration::from_millis(200), move |text| send.send(text).expect("a reader"))
            .expect("a thread");
        // An orderly stop, if a thread got that far.
        let (begun, late) = (ending.begun().clone(), ending.clone());
        runtime.spawn(async move {
            begun.cancelled().await;
            late.at("an orderly stop");
        });
        ending.begin(Cause::Asked);
        let text = forced.recv_timeout(LONG).expect("it is forced");
        assert_eq!(text, "the stop has taken 0.2 s (no thread of the runtime has taken notice): ending now");
        drop(stuck);
    }

    #[test]
    fn nothing_is_forced_before_the_end_has_begun() {
        let ending = Ending::default();
        let (send, forced) = mpsc::channel();
        ending.enforce(Duration::ZERO, move |text| send.send(text).expect("a reader")).expect("a thread");
        assert_eq!(forced.recv_timeout(Duration::from_millis(50)), Err(mpsc::RecvTimeoutError::Timeout));
        ending.at("the spool");
        ending.begin(loss());
        let text = forced.recv_timeout(LONG).expect("it is forced");
        assert_eq!(text, "the scheduler is stuck; the stop has taken 0 s (the spool): ending now");
    }
}
