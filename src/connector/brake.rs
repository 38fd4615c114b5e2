//! The abuse brake of one inbound connector, as a state machine: it counts what comes in ten minutes, compares that with the
//! days before, and says when it is too much. Pure: time is an argument.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::mail::UnixMillis;

/// What an inbound connector does about a sudden flood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum BrakeMode {
    /// Nothing is counted.
    #[default]
    Off,
    /// It raises an alarm.
    Alarm,
    /// It raises an alarm, and takes no new mail until it is released.
    On,
}

/// Numbers of one connector's mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct MailCounts {
    /// Accepted messages.
    pub messages: u32,
    /// Their recipients.
    pub recipients: u32,
    /// Refused recipients.
    pub refused: u32,
}

/// When a flood is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BrakeRules {
    /// How many times the most of the days before.
    pub factor: u32,
    /// What never is one, however little came before.
    pub floors: MailCounts,
    /// How long a connector is only watched first.
    pub learn: Duration,
    /// After what time a connector is released by itself; `None`: never.
    pub release: Option<Duration>,
}

/// Which of the numbers is too high.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Strain {
    /// Messages.
    Messages,
    /// Recipients.
    Recipients,
    /// Refused recipients, which were at least half of all.
    Refused,
}

/// A flood that was noticed, and lasts until it is released.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trip {
    /// When it was noticed.
    pub since: UnixMillis,
    /// Which number is too high.
    pub strain: Strain,
    /// Everything that came within the ten minutes before.
    pub window: MailCounts,
    /// The most of that number within ten minutes of the days before.
    pub usual: u32,
    /// Who sent the last of it.
    pub last: String,
}

/// What was counted of one connector, and whether it is braked. Bounded: ten minutes one by one, and the highest numbers
/// of 35 days.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Brake {
    /// When counting began.
    begun: UnixMillis,
    /// The minute counted last, since the epoch.
    minute: i64,
    minutes: [MailCounts; MINUTES],
    days: VecDeque<DayPeak>,
    trip: Option<Trip>,
}

/// The highest numbers of one day, each within ten minutes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct DayPeak {
    /// Since the epoch, in UTC.
    day: i64,
    peak: MailCounts,
}

/// Why a connector is not braked any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReleaseCause {
    /// Its time is up.
    Time,
    /// Only an alarm was raised, and the flood is over.
    Calm,
    /// The connector counts nothing any more.
    Off,
}

impl Brake {
    /// Begins to count.
    #[must_use]
    pub fn new(now: UnixMillis) -> Self {
        Self { begun: now, minute: minute_of(now), ..Self::default() }
    }

    /// Counts more mail. Returns the flood that it makes, if there was none before.
    pub fn count(
        &mut self,
        more: MailCounts,
        (rules, now): (&BrakeRules, UnixMillis),
        who: impl FnOnce() -> String,
    ) -> Option<&Trip> {
        self.turn_to(now);
        let bucket = bucket(&mut self.minutes, self.minute);
        *bucket = bucket.plus(more);
        if self.trip.is_some() {
            return None;
        }
        let window = self.window();
        if let Some((strain, usual)) = self.strain(window, rules, now) {
            self.trip = Some(Trip { since: now, strain, window, usual, last: who() });
            return self.trip.as_ref();
        }
        self.learn(now.day(), window);
        None
    }

    /// The flood that lasts.
    #[must_use]
    pub fn trip(&self) -> Option<&Trip> {
        self.trip.as_ref()
    }

    /// Ends what ends by itself.
    pub fn tick(&mut self, mode: BrakeMode, rules: &BrakeRules, now: UnixMillis) -> Option<ReleaseCause> {
        self.turn_to(now);
        let since = self.trip.as_ref()?.since;
        let is_over = rules.release.is_some_and(|after| now.since(since) >= after);
        let cause = match mode {
            BrakeMode::Off => ReleaseCause::Off,
            BrakeMode::On | BrakeMode::Alarm if is_over => ReleaseCause::Time,
            BrakeMode::Alarm if self.strain(self.window(), rules, now).is_none() => ReleaseCause::Calm,
            BrakeMode::On | BrakeMode::Alarm => return None,
        };
        self.release();
        Some(cause)
    }

    /// When the flood ends by itself, if time ends it.
    #[must_use]
    pub fn ends_at(&self, rules: &BrakeRules) -> Option<UnixMillis> {
        Some(self.trip.as_ref()?.since.plus(rules.release?))
    }

    /// Ends the flood: counting starts over. What came is not learned.
    pub fn release(&mut self) {
        self.trip = None;
        self.minutes = Default::default();
    }

    /// Ends the flood, and takes what came as usual from now on.
    pub fn accept(&mut self, now: UnixMillis) {
        self.turn_to(now);
        let window = self.trip.as_ref().map_or_else(MailCounts::default, |trip| trip.window);
        // As if it had come yesterday: today's numbers are no measure for today.
        self.learn(now.day().saturating_sub(1), self.window().highest(window));
        self.release();
    }

    /// Whether nothing of the days that count is known, so that nothing is lost by forgetting it.
    #[must_use]
    pub fn is_idle(&self, now: UnixMillis) -> bool {
        let oldest = now.day().saturating_sub(DAYS);
        self.trip.is_none() && self.days.iter().all(|one| one.day < oldest)
    }

    /// Everything within the last ten minutes.
    fn window(&self) -> MailCounts {
        self.minutes.iter().fold(MailCounts::default(), |all, minute| all.plus(*minute))
    }

    /// The number that is too high, and the most of it before.
    fn strain(&self, window: MailCounts, rules: &BrakeRules, now: UnixMillis) -> Option<(Strain, u32)> {
        if now.since(self.begun) < rules.learn {
            return None;
        }
        let today = now.day();
        let oldest = today.saturating_sub(DAYS);
        let before = self.days.iter().filter(|one| (oldest..today).contains(&one.day));
        let usual = before.fold(MailCounts::default(), |all, one| all.highest(one.peak));
        let exceeds = |count: u32, usual: u32, floor: u32| {
            (count > floor && count > usual.saturating_mul(rules.factor)).then_some(usual)
        };
        let half = window.refused >= window.recipients;
        let refused = exceeds(window.refused, usual.refused, rules.floors.refused).filter(|_| half);
        let recipients = || exceeds(window.recipients, usual.recipients, rules.floors.recipients);
        let messages = || exceeds(window.messages, usual.messages, rules.floors.messages);
        refused
            .map(|usual| (Strain::Refused, usual))
            .or_else(|| recipients().map(|usual| (Strain::Recipients, usual)))
            .or_else(|| messages().map(|usual| (Strain::Messages, usual)))
    }

    fn learn(&mut self, day: i64, window: MailCounts) {
        match self.days.iter_mut().find(|one| one.day == day) {
            Some(one) => one.peak = one.peak.highest(window),
            None => self.days.push_back(DayPeak { day, peak: window }),
        }
        let oldest = day.saturating_sub(DAYS);
        self.days.retain(|one| one.day >= oldest);
        while self.days.len() > DAYS_KEPT {
            self.days.pop_front();
        }
    }

    /// Empties the minutes that have passed. A clock that was set back starts over: what lies ahead of it says nothing.
    fn turn_to(&mut self, now: UnixMillis) {
        if let Some(trip) = self.trip.as_mut().filter(|trip| trip.since > now) {
            // Noticed while the clock was ahead: what lasts must not last until then.
            trip.since = now;
        }
        let minute = minute_of(now);
        let passed = minute.saturating_sub(self.minute);
        if passed.unsigned_abs() >= MINUTES_SIGNED.unsigned_abs() {
            self.minutes = Default::default();
        } else if passed <= 0 {
            // The same minute, or a clock that was set back a little: the last one goes on.
            return;
        } else {
            for between in self.minute.saturating_add(1)..=minute {
                *bucket(&mut self.minutes, between) = MailCounts::default();
            }
        }
        self.minute = minute;
        let (today, known) = (now.day(), self.days.len());
        self.days.retain(|one| one.day <= today);
        if self.days.len() < known || self.begun > now {
            // Days that have not come yet were counted under a wrong date, and pushed the right ones out.
            self.begun = now;
        }
    }
}

/// The place of a minute among the ten.
fn bucket(minutes: &mut [MailCounts; MINUTES], minute: i64) -> &mut MailCounts {
    let [first, rest @ ..] = minutes;
    let place = usize::try_from(minute.rem_euclid(MINUTES_SIGNED)).unwrap_or_default();
    match place.checked_sub(1).and_then(|place| rest.get_mut(place)) {
        Some(other) => other,
        None => first,
    }
}

impl MailCounts {
    fn plus(self, other: Self) -> Self {
        Self {
            messages: self.messages.saturating_add(other.messages),
            recipients: self.recipients.saturating_add(other.recipients),
            refused: self.refused.saturating_add(other.refused),
        }
    }

    fn highest(self, other: Self) -> Self {
        Self {
            messages: self.messages.max(other.messages),
            recipients: self.recipients.max(other.recipients),
            refused: self.refused.max(other.refused),
        }
    }
}

impl fmt::Display for Trip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (count, what) = match self.strain {
            Strain::Messages => (self.window.messages, "messages"),
            Strain::Recipients => (self.window.recipients, "recipients"),
            Strain::Refused => (self.window.refused, "refused recipients"),
        };
        write!(f, "{count} {what} within ten minutes, and never more than {} in the last weeks", self.usual)
    }
}

fn minute_of(now: UnixMillis) -> i64 {
    now.0.div_euclid(60_000)
}

/// Minutes that count together.
const MINUTES: usize = 10;
const MINUTES_SIGNED: i64 = 10;
/// Days before today that are compared with: a monthly run is among them.
const DAYS: i64 = 35;
/// The same, and today.
const DAYS_KEPT: usize = 36;
