//! The notices that wait for the webhook: which one is posted next, and what an answer means for it and for the others. It posts
//! nothing.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::notice::AlertNotice;
use crate::mail::UnixMillis;

/// The notices that wait, the oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NoticeQueue {
    next: u64,
    waiting: VecDeque<WaitingNotice>,
    /// Notices that were dropped.
    dropped: u64,
    /// How many of them no notice has told of yet.
    untold: u64,
    /// Attempts in a row to which the endpoint did not answer.
    #[serde(skip)]
    failures: u32,
    /// When it is asked again.
    #[serde(skip)]
    asks_at: Option<UnixMillis>,
}

/// A notice that waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct WaitingNotice {
    number: u64,
    since: UnixMillis,
    /// How often the endpoint refused it.
    refusals: u32,
    next_at: UnixMillis,
    notice: AlertNotice,
}

/// What is to be done about the notices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NextNotice {
    /// This one is posted, under this number.
    Post(u64, Box<AlertNotice>),
    /// Nothing before that time.
    At(UnixMillis),
    /// Nothing waits.
    None,
}

/// How the endpoint answered a notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PostAnswer {
    /// It took it.
    Taken,
    /// It refused it; it may take others.
    Refused,
    /// It did not answer, or takes none at present.
    Unavailable,
}

impl NoticeQueue {
    /// Adds a notice. Returns whether the oldest had to go.
    pub fn push(&mut self, notice: AlertNotice, now: UnixMillis) -> bool {
        let is_full = self.waiting.len() >= WAITING_MAX;
        if is_full {
            self.waiting.pop_front();
            self.drop_one();
        }
        self.next = self.next.saturating_add(1);
        self.waiting.push_back(WaitingNotice {
            number: self.next,
            since: now,
            refusals: 0,
            next_at: now,
            notice,
        });
        is_full
    }

    /// What is to be done now.
    #[must_use]
    pub fn next(&self, now: UnixMillis) -> NextNotice {
        // If the clock was set back, nothing waits longer than it would have.
        let is_due = |at: UnixMillis| at <= now || at > now.plus(LAST_WAIT);
        if let Some(at) = self.asks_at.filter(|at| !self.waiting.is_empty() && !is_due(*at)) {
            return NextNotice::At(at);
        }
        if let Some(one) = self.waiting.iter().find(|one| is_due(one.next_at)) {
            let notice = AlertNotice { dropped: self.untold, ..one.notice.clone() };
            return NextNotice::Post(one.number, Box::new(notice));
        }
        self.waiting.iter().map(|one| one.next_at).min().map_or(NextNotice::None, NextNotice::At)
    }

    /// Takes in an answer. Returns the notice if it is given up.
    pub fn answered(
        &mut self,
        (number, notice): (u64, &AlertNotice),
        answer: PostAnswer,
        now: UnixMillis,
    ) -> Option<AlertNotice> {
        if answer == PostAnswer::Unavailable {
            self.asks_at = Some(now.plus(wait_after(self.failures)));
            self.failures = self.failures.saturating_add(1);
        } else {
            (self.failures, self.asks_at) = (0, None);
        }
        let place = self.waiting.iter().position(|one| one.number == number)?;
        let one = self.waiting.get_mut(place)?;
        if answer == PostAnswer::Refused {
            one.next_at = now.plus(wait_after(one.refusals));
            one.refusals = one.refusals.saturating_add(1);
        }
        let is_taken = answer == PostAnswer::Taken;
        if is_taken {
            self.untold = self.untold.saturating_sub(notice.dropped);
        } else if one.refusals < REFUSALS_MAX && now.since(one.since) < KEPT {
            return None;
        }
        let over = self.waiting.remove(place)?;
        if is_taken {
            return None;
        }
        self.drop_one();
        Some(over.notice)
    }

    /// Forgets what waits: there is no webhook any more.
    pub fn clear(&mut self) {
        *self = Self { next: self.next, dropped: self.dropped, ..Self::default() };
    }

    /// How many wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// How many were dropped.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    fn drop_one(&mut self) {
        self.dropped = self.dropped.saturating_add(1);
        self.untold = self.untold.saturating_add(1);
    }
}

/// The wait after a number of failures: it doubles.
fn wait_after(failures: u32) -> Duration {
    FIRST_WAIT.saturating_mul(2_u32.saturating_pow(failures)).min(LAST_WAIT)
}

const FIRST_WAIT: Duration = Duration::from_secs(1);
const LAST_WAIT: Duration = Duration::from_secs(300);
/// Refusals of one notice: about half an hour.
const REFUSALS_MAX: u32 = 14;
/// How long a notice waits for an endpoint that does not answer.
const KEPT: Duration = Duration::from_secs(24 * 60 * 60);
/// Notices that wait.
const WAITING_MAX: usize = 1_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::AlertMail;

    const NOW: UnixMillis = UnixMillis(1_700_000_000_000);

    fn at(seconds: u64) -> UnixMillis {
        NOW.plus(Duration::from_secs(seconds))
    }

    fn notice(name: &str) -> AlertNotice {
        let test = AlertMail::test(NOW);
        AlertNotice { what: name.to_owned(), ..AlertNotice::of(&test.items[0], "gw", NOW) }
    }

    fn queue(names: &[&str]) -> NoticeQueue {
        let mut queue = NoticeQueue::default();
        names.iter().for_each(|name| assert!(!queue.push(notice(name), NOW)));
        queue
    }

    /// The answer to the next notice, which must be this one.
    #[track_caller]
    fn answer(queue: &mut NoticeQueue, name: &str, answer: PostAnswer, now: UnixMillis) -> bool {
        let NextNotice::Post(number, notice) = queue.next(now) else { panic!("{:?}", queue.next(now)) };
        assert_eq!(notice.what, name);
        queue.answered((number, &notice), answer, now).is_some()
    }

    #[test]
    fn a_notice_that_is_refused_holds_up_no_other() {
        let mut queue = queue(&["one", "two"]);
        assert!(!answer(&mut queue, "one", PostAnswer::Refused, NOW));
        assert!(!answer(&mut queue, "two", PostAnswer::Taken, NOW));
        assert_eq!(queue.next(NOW), NextNotice::At(at(1)));
        let mut now = at(1);
        for _ in 1..REFUSALS_MAX - 1 {
            assert!(!answer(&mut queue, "one", PostAnswer::Refused, now));
            let NextNotice::At(next) = queue.next(now) else { panic!("it is posted at once") };
            now = next;
        }
        assert!(answer(&mut queue, "one", PostAnswer::Refused, now), "it is given up");
        assert!(now.since(NOW) > Duration::from_secs(20 * 60));
        // The next one tells of it.
        queue.push(notice("three"), now);
        let NextNotice::Post(_, told) = queue.next(now) else { panic!("nothing waits") };
        assert_eq!((told.dropped, queue.dropped()), (1, 1));
        assert!(!answer(&mut queue, "three", PostAnswer::Taken, now));
        assert_eq!((queue.untold, queue.next(now)), (0, NextNotice::None));
    }

    #[test]
    fn an_endpoint_that_is_down_gets_all_that_waited_even_after_a_restart() {
        let mut queue = queue(&["one", "two"]);
        for (second, next) in [(0, 1), (1, 3), (3, 7)] {
            assert!(!answer(&mut queue, "one", PostAnswer::Unavailable, at(second)));
            assert_eq!(queue.next(at(second)), NextNotice::At(at(next)));
        }
        let text = serde_json::to_string(&queue).expect("JSON");
        let mut queue: NoticeQueue = serde_json::from_str(&text).expect("the same");
        assert!(!answer(&mut queue, "one", PostAnswer::Taken, at(5)));
        assert!(!answer(&mut queue, "two", PostAnswer::Unavailable, at(5)));
        // The clock is set back.
        assert!(matches!(queue.next(UnixMillis(0)), NextNotice::Post(..)));
        assert!(answer(&mut queue, "two", PostAnswer::Unavailable, at(24 * 60 * 60)), "it is too old");
        assert!(queue.is_empty());
    }

    #[test]
    fn what_waits_is_bounded() {
        let mut queue = NoticeQueue::default();
        (0..WAITING_MAX).for_each(|_| assert!(!queue.push(notice("old"), NOW)));
        assert!(queue.push(notice("new"), NOW));
        assert_eq!((queue.len(), queue.dropped()), (WAITING_MAX, 1));
        queue.clear();
        assert_eq!((queue.next(NOW), queue.dropped()), (NextNotice::None, 1));
    }
}
