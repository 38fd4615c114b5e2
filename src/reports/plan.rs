//! When a report is due, and of which days it is. Pure: time is an argument.

use jiff::civil::{Date, Time, Weekday};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use serde::{Deserialize, Serialize};

use crate::mail::UnixMillis;

/// How often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReportRhythm {
    /// On this day of each week.
    Weekly(Weekday),
    /// On the first day of each month.
    Monthly,
}

/// When reports are due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportSchedule {
    /// How often.
    pub rhythm: ReportRhythm,
    /// The hour, by the clocks of the zone. One that the clocks skip is the hour after; of one that they have twice, it is the first.
    pub hour: i8,
    /// The zone.
    pub zone: TimeZone,
}

/// What has been reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportMark {
    /// When the last report was due.
    pub due: UnixMillis,
    /// The first day that it is not about.
    pub until: i64,
}

/// A report that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportRound {
    /// Since when.
    pub due: UnixMillis,
    /// The first of its days of UTC, as tracking counts them.
    pub first: i64,
    /// The last of them.
    pub last: i64,
}

/// What to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReportStep {
    /// What will have been reported.
    pub mark: Option<ReportMark>,
    /// What is to be reported.
    pub round: Option<ReportRound>,
    /// When there is more to do.
    pub next: Option<UnixMillis>,
}

/// What to do now. Each day is in one report, and a report that was missed is sent late, but only the last one. Nothing is due for
/// what was before the first call, nor for what a clock that was ahead has marked.
#[must_use]
pub fn next_report(schedule: &ReportSchedule, mark: Option<&ReportMark>, now: UnixMillis) -> ReportStep {
    let dues = schedule.around(now);
    let (past, ahead) = dues.split_at(dues.partition_point(|due| *due <= now));
    let next = ahead.first().copied();
    let Some(latest) = past.last().copied() else {
        return ReportStep { mark: mark.copied(), round: None, next };
    };
    let done = ReportMark { due: latest, until: latest.day() };
    // A clock that is set back a little does not make anything due again; one that was far ahead has marked what never was.
    let Some(mark) = mark.filter(|mark| next.is_none_or(|next| mark.due <= next)) else {
        return ReportStep { mark: Some(done), round: None, next };
    };
    if mark.due >= latest {
        return ReportStep { mark: Some(*mark), round: None, next };
    }
    let before = past.iter().rev().nth(1).map_or(mark.until, |before| before.day());
    let (first, last) = (before.max(mark.until), latest.day().saturating_sub(1));
    let round = (first <= last).then_some(ReportRound { due: latest, first, last });
    ReportStep { mark: Some(done), round, next }
}

impl ReportSchedule {
    /// The days of the report that was due last.
    #[must_use]
    pub fn last_round(&self, now: UnixMillis) -> Option<ReportRound> {
        let dues = self.around(now);
        let past = dues.get(..dues.partition_point(|due| *due <= now))?;
        let [.., before, latest] = past else { return None };
        Some(ReportRound { due: *latest, first: before.day(), last: latest.day().saturating_sub(1) })
    }

    /// When reports are due, at least two before now and one after it, in order.
    fn around(&self, now: UnixMillis) -> Vec<UnixMillis> {
        let Ok(stamp) = Timestamp::from_millisecond(now.0) else { return Vec::new() };
        let today = stamp.to_zoned_datetime(self.zone.clone()).date();
        let days = (-REACH_DAYS..=REACH_DAYS).filter_map(|days| {
            let span = Span::new().try_days(days).ok()?;
            today.checked_add(span).ok().filter(|date| self.is_on(*date))
        });
        days.filter_map(|date| self.due_on(date)).collect()
    }

    fn is_on(&self, date: Date) -> bool {
        match self.rhythm {
            ReportRhythm::Weekly(day) => date.weekday() == day,
            ReportRhythm::Monthly => date.day() == 1,
        }
    }

    fn due_on(&self, date: Date) -> Option<UnixMillis> {
        let hour = Time::new(self.hour, 0, 0, 0).ok()?;
        let due = date.to_datetime(hour).to_zoned_datetime(self.zone.clone()).ok()?;
        Some(UnixMillis(due.timestamp().as_millisecond()))
    }
}

/// Two months, and a day for the zone.
const REACH_DAYS: i64 = 63;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::date_of_day;

    fn at(text: &str) -> UnixMillis {
        UnixMillis(text.parse::<Timestamp>().expect("a time").as_millisecond())
    }

    fn zone(name: &str) -> TimeZone {
        TimeZone::get(name).expect("a zone")
    }

    fn weekly(zone: TimeZone) -> ReportSchedule {
        ReportSchedule { rhythm: ReportRhythm::Weekly(Weekday::Monday), hour: 6, zone }
    }

    fn shown(round: Option<ReportRound>) -> String {
        round.map_or_else(String::new, |one| {
            format!("{} to {}", date_of_day(one.first), date_of_day(one.last))
        })
    }

    /// Plays times one after the other, as a daemon would that keeps its mark.
    #[track_caller]
    fn play(schedule: &ReportSchedule, mark: Option<ReportMark>, times: &[(&str, &str)]) {
        let mut mark = mark;
        for (now, expected) in times {
            let step = next_report(schedule, mark.as_ref(), at(now));
            assert_eq!(shown(step.round), *expected, "at {now}, with {mark:?}");
            assert!(step.next.is_some_and(|next| next > at(now)));
            mark = step.mark;
        }
    }

    #[test]
    fn a_report_is_due_once_and_a_missed_one_at_the_start() {
        // 2026-11-30 is a Monday.
        play(
            &weekly(TimeZone::UTC),
            None,
            &[
                ("2026-11-25T10:00:00Z", ""),
                ("2026-11-30T05:59:59Z", ""),
                ("2026-11-30T06:00:00Z", "2026-11-23 to 2026-11-29"),
                ("2026-11-30T06:00:00Z", ""),
                ("2026-12-06T23:00:00Z", ""),
                // It was down on Monday.
                ("2026-12-09T08:00:00Z", "2026-11-30 to 2026-12-06"),
                ("2026-12-09T08:00:01Z", ""),
                // For a month: only the last whole week.
                ("2027-01-06T08:00:00Z", "2026-12-28 to 2027-01-03"),
                ("2027-01-10T08:00:00Z", ""),
            ],
        );
    }

    #[test]
    fn a_clock_that_steps_makes_nothing_due_twice() {
        play(
            &weekly(TimeZone::UTC),
            None,
            &[
                ("2026-11-25T10:00:00Z", ""),
                ("2026-11-30T06:30:00Z", "2026-11-23 to 2026-11-29"),
                ("2026-11-30T05:30:00Z", ""),
                ("2026-11-30T06:30:00Z", ""),
                // Years ahead, and back again.
                ("2031-05-01T00:00:00Z", "2031-04-21 to 2031-04-27"),
                ("2026-12-02T00:00:00Z", ""),
                ("2026-12-07T06:00:00Z", "2026-11-30 to 2026-12-06"),
            ],
        );
    }

    #[test]
    fn every_day_is_in_one_report_whatever_the_zone_and_season() {
        for name in ["Europe/Berlin", "Pacific/Auckland", "America/Los_Angeles", "Asia/Kathmandu", "UTC"] {
            for hour in [0, 1, 2, 6, 16, 17, 23] {
                let schedule = ReportSchedule { hour, ..weekly(zone(name)) };
                let start = at("2026-01-05T12:00:00Z");
                let mut step = next_report(&schedule, None, start);
                let mut next_day = step.mark.expect("a mark").until;
                let mut rounds = 0;
                while let Some(now) = step.next.filter(|next| *next < at("2027-12-31T00:00:00Z")) {
                    step = next_report(&schedule, step.mark.as_ref(), now);
                    let round = step.round.unwrap_or_else(|| panic!("{name} {hour}: nothing at {now:?}"));
                    assert_eq!(round.first, next_day, "{name} {hour}");
                    assert!((6..=8).contains(&(round.last - round.first + 1)), "{name} {hour}");
                    assert!(round.last < now.day(), "{name} {hour}: a day that is not over");
                    next_day = round.last + 1;
                    rounds += 1;
                }
                assert!((103..=104).contains(&rounds), "{name} {hour}");
            }
        }
    }

    #[test]
    fn an_hour_that_the_clocks_skip_is_the_one_after_and_of_two_it_is_the_first() {
        let sunday = |hour| ReportSchedule {
            rhythm: ReportRhythm::Weekly(Weekday::Sunday),
            hour,
            zone: zone("Europe/Berlin"),
        };
        let next = |schedule: &ReportSchedule, now: &str| next_report(schedule, None, at(now)).next;
        // 2026-03-29: two o'clock does not exist; 2026-10-25: it is there twice.
        assert_eq!(next(&sunday(2), "2026-03-28T12:00:00Z"), Some(at("2026-03-29T01:00:00Z")));
        assert_eq!(next(&sunday(2), "2026-10-24T12:00:00Z"), Some(at("2026-10-25T00:00:00Z")));
        assert_eq!(next(&sunday(2), "2026-10-25T00:30:00Z"), Some(at("2026-11-01T01:00:00Z")));
        assert_eq!(next(&sunday(6), "2026-03-28T12:00:00Z"), Some(at("2026-03-29T04:00:00Z")));
        assert_eq!(next(&sunday(6), "2026-10-24T12:00:00Z"), Some(at("2026-10-25T05:00:00Z")));
    }

    #[test]
    fn months_are_as_long_as_they_are() {
        let monthly = ReportSchedule { rhythm: ReportRhythm::Monthly, hour: 6, zone: TimeZone::UTC };
        play(
            &monthly,
            None,
            &[
                ("2028-01-15T00:00:00Z", ""),
                ("2028-02-01T06:00:00Z", "2028-01-01 to 2028-01-31"),
                ("2028-03-01T06:00:00Z", "2028-02-01 to 2028-02-29"),
                ("2028-08-31T00:00:00Z", "2028-07-01 to 2028-07-31"),
            ],
        );
        let last = monthly.last_round(at("2028-03-05T00:00:00Z"));
        assert_eq!(shown(last), "2028-02-01 to 2028-02-29");
    }

    #[test]
    fn another_schedule_goes_on_where_the_last_report_ended() {
        let mark = ReportMark { due: at("2026-11-30T06:00:00Z"), until: at("2026-11-30T06:00:00Z").day() };
        let friday =
            ReportSchedule { rhythm: ReportRhythm::Weekly(Weekday::Friday), ..weekly(TimeZone::UTC) };
        play(
            &friday,
            Some(mark),
            &[("2026-12-01T00:00:00Z", ""), ("2026-12-04T06:00:00Z", "2026-11-30 to 2026-12-03")],
        );
    }
}
