//! The brake: days of mail as tables, and random histories.

use std::time::Duration;

use proptest::prelude::*;

use super::super::brake::{Brake, BrakeMode, BrakeRules, MailCounts, ReleaseCause};
use crate::mail::UnixMillis;

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
/// Midnight UTC.
const START: i64 = 20_000 * DAY;

const RULES: BrakeRules = BrakeRules {
    factor: 10,
    floors: MailCounts { messages: 50, recipients: 100, refused: 20 },
    learn: Duration::from_secs(7 * 86_400),
    release: None,
};

fn mail(messages: u32, recipients: u32) -> MailCounts {
    MailCounts { messages, recipients, refused: 0 }
}

fn refusals(refused: u32) -> MailCounts {
    MailCounts { refused, ..MailCounts::default() }
}

fn at(millis: i64) -> UnixMillis {
    UnixMillis(START + millis)
}

fn count(brake: &mut Brake, more: MailCounts, millis: i64) -> Option<String> {
    let trip = brake.count(more, (&RULES, at(millis)), || "ann".to_owned());
    trip.map(ToString::to_string)
}

/// A connector with this much mail in one minute of each of the days before the day given.
fn known(days: i64, each: MailCounts) -> Brake {
    let mut brake = Brake::new(at(0));
    for day in 0..days {
        assert_eq!(count(&mut brake, each, day * DAY + 9 * HOUR), None, "day {day}");
    }
    brake
}

/// Mail on the tenth day, each with its minute, and the words of the trip that it makes.
#[track_caller]
fn check(each: MailCounts, flood: &[(i64, MailCounts)], expected: Option<&str>) {
    let mut brake = known(9, each);
    let mut tripped = None;
    for (minute, more) in flood {
        tripped = tripped.or(count(&mut brake, *more, 9 * DAY + 9 * HOUR + minute * MINUTE));
    }
    assert_eq!(tripped.as_deref(), expected, "{flood:?}");
}

#[test]
fn a_flood_that_was_noticed_while_the_clock_was_ahead_ends_in_time() {
    let rules = BrakeRules { release: Some(Duration::from_secs(3600)), ..RULES };
    let mut brake = known(9, mail(20, 40));
    assert!(count(&mut brake, mail(500, 500), 400 * DAY).is_some());
    let right = 9 * DAY + 9 * HOUR;
    assert_eq!(brake.tick(BrakeMode::On, &rules, at(right)), None);
    assert_eq!(brake.ends_at(&rules), Some(at(right + HOUR)));
    assert_eq!(brake.tick(BrakeMode::On, &rules, at(right + HOUR)), Some(ReleaseCause::Time));
}

#[test]
fn only_much_more_than_in_the_days_before_is_a_flood() {
    let usual = mail(20, 40);
    check(usual, &[(0, mail(20, 40))], None);
    check(usual, &[(0, mail(200, 400))], None);
    check(
        usual,
        &[(0, mail(201, 201))],
        Some("201 messages within ten minutes, and never more than 20 in the last weeks"),
    );
    check(
        usual,
        &[(0, mail(1, 401))],
        Some("401 recipients within ten minutes, and never more than 40 in the last weeks"),
    );
    // Ten minutes count together, and no more.
    check(
        usual,
        &[(0, mail(101, 101)), (9, mail(100, 100))],
        Some("201 messages within ten minutes, and never more than 20 in the last weeks"),
    );
    check(usual, &[(0, mail(101, 101)), (10, mail(100, 100)), (20, mail(200, 200))], None);
}

#[test]
fn a_small_site_may_send_a_little() {
    check(mail(0, 0), &[(0, mail(50, 100))], None);
    check(mail(1, 1), &[(0, mail(50, 100))], None);
    check(
        mail(1, 1),
        &[(0, mail(51, 51))],
        Some("51 messages within ten minutes, and never more than 1 in the last weeks"),
    );
}

#[test]
fn refused_recipients_count_where_they_are_half_of_all() {
    check(mail(5, 5), &[(0, refusals(20))], None);
    let words = "21 refused recipients within ten minutes, and never more than 0 in the last weeks";
    check(mail(5, 5), &[(0, refusals(21))], Some(words));
    check(mail(5, 5), &[(0, mail(20, 22)), (1, refusals(21))], None);
    check(mail(5, 5), &[(0, mail(20, 21)), (1, refusals(21))], Some(words));
}

#[test]
fn the_first_days_only_teach() {
    let mut brake = Brake::new(at(0));
    for day in 0..7 {
        assert_eq!(count(&mut brake, mail(5_000, 5_000), day * DAY), None);
    }
    assert_eq!(count(&mut brake, mail(50_000, 50_000), 7 * DAY), None);
    assert!(count(&mut brake, mail(1, 1), 7 * DAY).is_some());
}

#[test]
fn a_day_is_compared_with_others_and_not_with_itself() {
    // Whoever doubles every ten minutes gets no further than ten times the days before.
    let mut brake = known(9, mail(20, 20));
    let tripped = (0..20).find(|step| {
        let more = 10 * 2_u32.pow(*step);
        count(&mut brake, mail(more, more), 9 * DAY + i64::from(*step) * 10 * MINUTE).is_some()
    });
    assert_eq!(tripped, Some(5), "10, 20, 40, 80, 160, and 320 is too much");
}

#[test]
fn a_monthly_run_is_remembered_and_an_old_one_is_not() {
    let mut brake = known(9, mail(20, 20));
    brake.count(mail(3_000, 3_000), (&RULES, at(9 * DAY)), String::new);
    brake.accept(at(9 * DAY + HOUR));
    assert_eq!(count(&mut brake, mail(3_000, 3_000), 40 * DAY), None);
    let mut brake = known(9, mail(20, 20));
    brake.count(mail(3_000, 3_000), (&RULES, at(9 * DAY)), String::new);
    brake.accept(at(9 * DAY + HOUR));
    assert!(count(&mut brake, mail(3_000, 3_000), 60 * DAY).is_some());
}

#[test]
fn a_released_flood_is_not_learned_and_an_accepted_one_is() {
    let flood = mail(300, 300);
    let mut brake = known(9, mail(20, 20));
    assert!(count(&mut brake, flood, 9 * DAY).is_some());
    assert_eq!(count(&mut brake, flood, 9 * DAY), None, "it is one flood");
    brake.release();
    assert_eq!(brake.trip(), None);
    assert_eq!(count(&mut brake, mail(1, 1), 9 * DAY), None, "counting starts over");
    assert!(count(&mut brake, flood, 9 * DAY + MINUTE).is_some());
    brake.accept(at(9 * DAY + 2 * MINUTE));
    assert_eq!(count(&mut brake, mail(2_999, 2_999), 9 * DAY + 3 * MINUTE), None);
    // What came while it was braked is not learned by itself.
    let mut brake = known(9, mail(20, 20));
    assert!(count(&mut brake, flood, 9 * DAY).is_some());
    count(&mut brake, mail(9_000, 9_000), 9 * DAY);
    brake.release();
    assert!(count(&mut brake, flood, 10 * DAY).is_some());
}

#[test]
fn what_ends_by_itself() {
    let tripped = || {
        let mut brake = known(9, mail(20, 20));
        assert!(count(&mut brake, mail(300, 300), 9 * DAY).is_some());
        brake
    };
    let hour = BrakeRules { release: Some(Duration::from_secs(3_600)), ..RULES };
    let mut brake = tripped();
    assert_eq!(brake.tick(BrakeMode::On, &RULES, at(10 * DAY)), None);
    assert_eq!(brake.tick(BrakeMode::On, &hour, at(9 * DAY + HOUR - 1)), None);
    assert_eq!(brake.ends_at(&hour), Some(at(9 * DAY + HOUR)));
    assert_eq!(brake.tick(BrakeMode::On, &hour, at(9 * DAY + HOUR)), Some(ReleaseCause::Time));
    assert_eq!(brake.tick(BrakeMode::On, &hour, at(9 * DAY + HOUR)), None);
    let mut brake = tripped();
    assert_eq!(brake.tick(BrakeMode::Alarm, &RULES, at(9 * DAY + 9 * MINUTE)), None);
    assert_eq!(brake.tick(BrakeMode::Alarm, &RULES, at(9 * DAY + 10 * MINUTE)), Some(ReleaseCause::Calm));
    assert_eq!(tripped().tick(BrakeMode::Off, &RULES, at(9 * DAY)), Some(ReleaseCause::Off));
}

#[test]
fn a_clock_that_was_ahead_is_no_flood_and_no_history() {
    let mut brake = known(9, mail(20, 20));
    // For a while it is the year 2100; what was known is too old there, so the floors hold.
    assert_eq!(count(&mut brake, mail(40, 40), 26_000 * DAY), None);
    for minute in 0..200 {
        assert_eq!(count(&mut brake, mail(20, 20), 10 * DAY + minute * 10 * MINUTE), None);
    }
    // A small step back goes on with the minute that was counted last.
    let mut brake = known(9, mail(20, 20));
    assert_eq!(count(&mut brake, mail(150, 150), 9 * DAY + 5 * MINUTE), None);
    assert!(count(&mut brake, mail(51, 51), 9 * DAY).is_some());
}

fn some_mail() -> impl Strategy<Value = (i64, MailCounts)> {
    let step = prop_oneof![
        6 => 0..20 * MINUTE,
        2 => 0..3 * DAY,
        1 => -2 * DAY..0,
        1 => Just(-40_000 * DAY),
        1 => Just(40_000 * DAY),
    ];
    let number = prop_oneof![5 => 0..200_u32, 1 => Just(u32::MAX)];
    (step, number.clone(), number.clone(), number).prop_map(|(step, messages, recipients, refused)| {
        (step, MailCounts { messages, recipients, refused })
    })
}

proptest! {
    #[test]
    fn whatever_comes_it_stays_small_and_reads_back(
        mail in prop::collection::vec((some_mail(), 0..20_u8), 1..200),
    ) {
        let mut brake = Brake::new(at(0));
        let mut now = START;
        for ((step, more), deed) in mail {
            now = now.saturating_add(step);
            match deed {
                0 => brake.release(),
                1 => brake.accept(UnixMillis(now)),
                2 => { brake.tick(BrakeMode::Alarm, &RULES, UnixMillis(now)); }
                _ => { brake.count(more, (&RULES, UnixMillis(now)), String::new); }
            }
            let text = serde_json::to_string(&brake).expect("JSON");
            prop_assert!(text.len() < 8_000, "{}", text.len());
            prop_assert_eq!(&serde_json::from_str::<Brake>(&text).expect("the same"), &brake);
        }
    }

    /// Less than the floors never trips, in whatever order it comes, and whatever the clock does.
    #[test]
    fn what_stays_below_the_floors_never_trips(steps in prop::collection::vec(some_mail(), 1..200)) {
        let mut brake = known(9, mail(1, 1));
        let mut now = START + 9 * DAY;
        for (step, _) in steps {
            // At most one message in two minutes of real time, however the clock is set meanwhile.
            now = now.saturating_add(if step < 0 { step } else { step.max(10 * MINUTE) });
            prop_assert_eq!(brake.count(mail(1, 1), (&RULES, UnixMillis(now)), String::new), None);
        }
    }

    /// More than the floor, and more than ten times any day before, trips at once after the first days.
    #[test]
    fn what_is_far_above_everything_before_trips(days in prop::collection::vec(0..500_u32, 8..30)) {
        let mut brake = Brake::new(at(0));
        let mut highest = 0;
        for (day, messages) in (0..).zip(&days) {
            let known = highest.max(5);
            let messages = (*messages).min(known * 10);
            prop_assert_eq!(count(&mut brake, mail(messages, 0), day * DAY), None);
            highest = highest.max(messages);
        }
        let day = i64::try_from(days.len()).expect("few");
        let flood = (highest * 10).max(50) + 1;
        prop_assert!(count(&mut brake, mail(flood, 0), day * DAY).is_some());
    }
}
