//! What is being waited for at this moment, for somebody who watches; it decides nothing.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// What is under way.
#[derive(Clone, Default)]
pub struct WaitList {
    all: Arc<Mutex<Vec<String>>>,
    /// Who hears of what begins and how it ends.
    listener: Option<StepListener>,
}

/// Hears what has begun; with a result, what has ended.
pub type StepListener = Arc<dyn Fn(&str, Option<&str>) + Send + Sync>;

/// One thing that is under way, until this is dropped.
#[derive(Debug)]
pub struct WaitEntry {
    list: WaitList,
    what: String,
}

impl WaitList {
    /// A list of which somebody hears at once.
    #[must_use]
    pub fn heard_by(listener: StepListener) -> Self {
        Self { listener: Some(listener), ..Self::default() }
    }

    /// Something begins.
    pub fn begin(&self, what: impl Into<String>) -> WaitEntry {
        let what = what.into();
        self.with(|all| all.push(what.clone()));
        self.tell(&what, None);
        WaitEntry { list: self.clone(), what }
    }

    /// All of it in a line; empty if nothing is under way.
    #[must_use]
    pub fn text(&self) -> String {
        self.with(|all| {
            let mut text = all.iter().take(SHOWN_MAX).map(String::as_str).collect::<Vec<_>>().join(", ");
            if let more @ 1.. = all.len().saturating_sub(SHOWN_MAX) {
                text.push_str(&format!(" and {more} more"));
            }
            text
        })
    }

    fn tell(&self, what: &str, result: Option<&str>) {
        if let Some(listener) = &self.listener {
            listener(what, result);
        }
    }

    fn with<T>(&self, act: impl FnOnce(&mut Vec<String>) -> T) -> T {
        act(&mut self.all.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl fmt::Debug for WaitList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitList").field("all", &self.all).finish_non_exhaustive()
    }
}

impl WaitEntry {
    /// It has come to this.
    pub fn end(self, result: &str) {
        self.list.tell(&self.what, Some(result));
    }
}

impl Drop for WaitEntry {
    fn drop(&mut self) {
        self.list.with(|all| {
            if let Some(at) = all.iter().position(|one| *one == self.what) {
                all.remove(at);
            }
        });
    }
}

const SHOWN_MAX: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_listens_hears_each_step_once() {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let ear = Arc::clone(&heard);
        let list = WaitList::heard_by(Arc::new(move |what, result| {
            ear.lock().expect("a lock").push(format!("{what} {result:?}"));
        }));
        let (first, lost) = (list.begin("a"), list.begin("b"));
        first.end("done");
        drop(lost);
        assert_eq!(*heard.lock().expect("a lock"), ["a None", "b None", "a Some(\"done\")"]);
        assert_eq!(list.text(), "");
    }

    #[test]
    fn what_is_over_is_not_shown() {
        let list = WaitList::default();
        assert_eq!(list.text(), "");
        let first = list.begin("a");
        let _others = ["b", "c", "d", "e"].map(|what| list.begin(what));
        assert_eq!(list.text(), "a, b, c and 2 more");
        drop(first);
        assert_eq!(list.text(), "b, c, d and 1 more");
    }
}
