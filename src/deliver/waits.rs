//! What is being waited for at this moment, for somebody who watches; it decides nothing.

use std::sync::{Arc, Mutex, PoisonError};

/// What is under way.
#[derive(Debug, Clone, Default)]
pub struct WaitList(Arc<Mutex<Vec<String>>>);

/// One thing that is under way, until this is dropped.
#[derive(Debug)]
pub struct WaitEntry {
    list: WaitList,
    what: String,
}

impl WaitList {
    /// Something begins.
    pub fn begin(&self, what: impl Into<String>) -> WaitEntry {
        let what = what.into();
        self.with(|all| all.push(what.clone()));
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

    fn with<T>(&self, act: impl FnOnce(&mut Vec<String>) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
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
