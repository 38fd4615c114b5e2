//! Signals, on a thread of their own: they are handled even if the runtime is stuck.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;
use tokio::sync::Notify;

use super::ending::{Cause, Ending};
use crate::tracking::Vitals;

/// The signals the process received.
#[derive(Debug, Clone, Default)]
pub struct Signals {
    reload: Arc<Notify>,
    asked: Arc<AtomicBool>,
    deadly: Arc<AtomicBool>,
}

impl Signals {
    /// Starts listening: SIGTERM and SIGINT begin the end, SIGHUP is for [`Self::reload`]. `again`
    /// is called with the signal when a second stop is requested.
    ///
    /// # Errors
    /// The signal handlers can't be set, or the thread can't be started.
    pub fn listen(
        ending: &Ending,
        vitals: &Vitals,
        again: impl Fn(i32) + Send + 'static,
    ) -> io::Result<Self> {
        let me = Self::default();
        for signal in [SIGTERM, SIGINT] {
            // The order matters: see `stop_listening`.
            flag::register(signal, Arc::clone(&me.asked))?;
            flag::register_conditional_default(signal, Arc::clone(&me.deadly))?;
        }
        let mut signals = signal_hook::iterator::Signals::new([SIGTERM, SIGINT, SIGHUP])?;
        let (ending, reload) = (ending.clone(), Arc::clone(&me.reload));
        let life = vitals.life("the signal thread");
        let hear = move || {
            let _life = life;
            let mut asked = false;
            for signal in signals.forever() {
                match signal {
                    SIGHUP => reload.notify_one(),
                    _ if asked => again(signal),
                    _ => {
                        asked = true;
                        ending.begin(Cause::Asked);
                    }
                }
            }
        };
        thread::Builder::new().name("signals".to_owned()).spawn(hear)?;
        Ok(me)
    }

    /// Waits for SIGHUP, including one that came before the call.
    pub async fn reload(&self) {
        self.reload.notified().await;
    }

    /// To be called just before the process executes itself again: from now on a stop ends the
    /// process at once. Returns whether a stop was requested before; the caller must then stop.
    #[must_use]
    pub fn stop_listening(&self) -> bool {
        // The handler writes `asked` and then reads `deadly`; here it is the reverse, so no signal
        // is lost in between.
        self.deadly.store(true, Ordering::SeqCst);
        self.asked.load(Ordering::SeqCst)
    }
}
