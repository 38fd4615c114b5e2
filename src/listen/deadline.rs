//! Computes a client's deadlines: for the next command, the end of a line, the content's rate and total time,
//! and the next message. It reads no clock.

use std::time::Duration;

use tokio::time::Instant;

use super::settings::{Limits, Timeouts};

/// The deadlines of one session.
#[derive(Debug)]
pub(super) struct Deadlines {
    /// The number of the partial line, and the deadline for its end.
    line: Option<(u64, Instant)>,
    content: Option<ContentDeadline>,
    /// When the session began, or its last message was accepted.
    since: Instant,
    /// When the session began.
    began: Instant,
}

#[derive(Debug, Clone, Copy)]
struct ContentDeadline {
    until: Instant,
    /// The deadline for more octets, by the minimum rate.
    paid_until: Instant,
}

/// The deadline that a client missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Overdue {
    /// No input for too long.
    Idle,
    /// A line was not ended.
    Line,
    /// The content was not ended.
    Content,
    /// The content came too slowly.
    Rate,
    /// No message was completed.
    Session,
    /// End the session, which is old.
    Age,
}

/// What a session is doing after it took input.
#[derive(Debug, Clone, Copy)]
pub(super) struct SessionActivity {
    /// The number of the line that is incomplete.
    pub(super) line: Option<u64>,
    /// Receiving content, or waiting for the next chunk.
    pub(super) content: bool,
}

impl Deadlines {
    pub(super) fn new(now: Instant) -> Self {
        Self { line: None, content: None, since: now, began: now }
    }

    /// The session took `octets` of input.
    pub(super) fn fed(
        &mut self,
        octets: usize,
        doing: SessionActivity,
        (now, limits, timeouts): (Instant, &Limits, &Timeouts),
    ) {
        self.line = match (self.line, doing.line) {
            (_, None) => None,
            (Some((number, until)), Some(begun)) if number == begun => Some((number, until)),
            (_, Some(begun)) => Some((begun, now + timeouts.line)),
        };
        if !doing.content {
            self.content = None;
            return;
        }
        let paid_max = now + timeouts.idle;
        self.content = Some(match self.content {
            None => ContentDeadline { until: now + timeouts.content, paid_until: paid_max },
            Some(content) => {
                let paid = time_for(octets, limits.content_rate_min);
                let paid_until = content.paid_until.checked_add(paid).unwrap_or(paid_max).min(paid_max);
                ContentDeadline { paid_until, ..content }
            }
        });
    }

    /// A message was accepted.
    pub(super) fn accepted(&mut self, now: Instant) {
        self.since = now;
    }

    /// The next deadline of a session that waits from now on.
    pub(super) fn next(&self, now: Instant, timeouts: &Timeouts) -> (Instant, Overdue) {
        let idle = (now + timeouts.idle, Overdue::Idle);
        let line = self.line.map(|(_, until)| (until, Overdue::Line));
        let rest = match self.content {
            Some(content) => {
                [Some((content.until, Overdue::Content)), Some((content.paid_until, Overdue::Rate))]
            }
            // Content has its own deadline, however old the session is.
            None => {
                let age = (self.began + timeouts.age, Overdue::Age);
                [Some((self.since + timeouts.session, Overdue::Session)), Some(age)]
            }
        };
        [line]
            .into_iter()
            .chain(rest)
            .flatten()
            .fold(idle, |first, next| if next.0 < first.0 { next } else { first })
    }
}

impl Overdue {
    /// The reply text: what we waited for.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Idle => "waited too long",
            Self::Line => "waited too long for the end of the line",
            Self::Content => "waited too long for the end of the content",
            Self::Rate => "waited too long for the content, which comes too slowly",
            Self::Session => "waited too long for a message",
            Self::Age => "ends sessions of this age; connect again",
        }
    }

    /// The reason in the log.
    pub(super) fn reason(self, in_content: bool) -> &'static str {
        match self {
            Self::Idle if in_content => "time-out within content",
            Self::Idle => "time-out",
            Self::Line => "time-out: a line did not end in time",
            Self::Content => "time-out: the content did not end in time",
            Self::Rate => "time-out: the content came too slowly",
            Self::Session => "time-out: no message was accepted for too long",
            Self::Age => "it reached the maximum age of a session",
        }
    }
}

/// How long this many octets may take.
fn time_for(octets: usize, rate_min: u64) -> Duration {
    let octets = u64::try_from(octets).unwrap_or(u64::MAX);
    Duration::from_millis(octets.saturating_mul(1_000) / rate_min.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::listen::settings::samples;

    const SECOND: Duration = Duration::from_secs(1);

    fn limits() -> Limits {
        Limits { content_rate_min: 10, ..samples::limits() }
    }

    fn timeouts() -> Timeouts {
        Timeouts {
            idle: SECOND * 100,
            line: SECOND * 30,
            content: SECOND * 1_000,
            session: SECOND * 500,
            age: SECOND * 2_000,
            ..samples::timeouts()
        }
    }

    /// Plays a client that sends `octets` every `every` seconds; `doing` gives the activity of each piece.
    /// Checks when and why it is cut off.
    #[track_caller]
    fn check(every: u32, octets: usize, doing: fn(u64) -> SessionActivity, expected: (u64, Overdue)) {
        let start = Instant::now();
        let mut deadlines = Deadlines::new(start);
        let mut now = start;
        for piece in 0..10_000 {
            deadlines.fed(octets, doing(piece), (now, &limits(), &timeouts()));
            let (until, overdue) = deadlines.next(now, &timeouts());
            now += SECOND * every;
            if until <= now {
                assert_eq!(((until - start).as_secs(), overdue), expected);
                return;
            }
        }
        panic!("it was never cut off");
    }

    #[test]
    fn whoever_drips_is_cut_off() {
        check(200, 1, |_| SessionActivity { line: None, content: false }, (100, Overdue::Idle));
        check(5, 1, |_| SessionActivity { line: Some(7), content: false }, (30, Overdue::Line));
        // Each line is in time, but no message arrives.
        check(5, 1, |n| SessionActivity { line: Some(n / 2), content: false }, (500, Overdue::Session));
        check(5, 1, |_| SessionActivity { line: None, content: true }, (102, Overdue::Rate));
        check(5, 50, |_| SessionActivity { line: None, content: true }, (1_000, Overdue::Content));
        check(150, 5_000, |_| SessionActivity { line: None, content: true }, (100, Overdue::Idle));
    }

    #[test]
    fn an_accepted_message_gives_time_for_another() {
        let start = Instant::now();
        let mut deadlines = Deadlines::new(start);
        deadlines.accepted(start + SECOND * 450);
        let (until, overdue) = deadlines.next(start + SECOND * 499, &timeouts());
        assert_eq!((until - start, overdue), (SECOND * 599, Overdue::Idle));
    }

    #[test]
    fn an_old_session_ends_but_not_within_content() {
        let start = Instant::now();
        let mut deadlines = Deadlines::new(start);
        let at = start + SECOND * 1_990;
        deadlines.accepted(at);
        let (until, overdue) = deadlines.next(at, &timeouts());
        assert_eq!((until - start, overdue), (SECOND * 2_000, Overdue::Age));
        deadlines.fed(1, SessionActivity { line: None, content: true }, (at, &limits(), &timeouts()));
        let (until, overdue) = deadlines.next(at, &timeouts());
        assert_eq!((until - start, overdue), (SECOND * 2_090, Overdue::Idle));
    }
}
