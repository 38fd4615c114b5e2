//! Properties of the state machine, and single courses of events.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const START: UnixMillis = UnixMillis(1_700_000_000_000);
const WINDOW: Duration = Duration::from_secs(600);

fn at(seconds: u64) -> UnixMillis {
    START.plus(Duration::from_secs(seconds))
}

fn book() -> EpisodeBook {
    let mut book = EpisodeBook::default();
    book.rule(BTreeSet::new(), WINDOW);
    book
}

fn incident(kind: AlertKind, about: &str, group: &str) -> Incident {
    Incident {
        kind,
        about: about.to_owned(),
        connector: Some(about.to_owned()),
        partner: None,
        contact: None,
        words: "no".to_owned(),
        hint: None,
        group: group.to_owned(),
        patience: Duration::ZERO,
        message: None,
        once: false,
    }
}

fn failing(about: &str, group: &str) -> AlertInput {
    AlertInput::Failing(incident(AlertKind::PartnerTls, about, group))
}

fn delivered(about: &str, group: &str) -> AlertInput {
    AlertInput::Delivered { connector: about.to_owned(), group: group.to_owned(), sealed: true }
}

/// The mails that are waiting, each in a line.
fn mails(book: &mut EpisodeBook) -> Vec<String> {
    let mut lines = Vec::new();
    while let Some(mail) = book.next_mail().cloned() {
        let item = |one: &MailedEpisode| format!("{} {}", one.episode.about, one.occasion.word());
        lines.push(mail.items.iter().map(item).collect::<Vec<_>>().join(", "));
        book.mailed(mail.number);
    }
    lines
}

#[test]
fn an_episode_is_mailed_once_and_its_end_once() {
    let mut book = book();
    book.take(failing("bank", "a.test"), at(0));
    assert_eq!(mails(&mut book), ["bank began"]);
    for second in 1..3_000 {
        book.take(failing("bank", "a.test"), at(second));
    }
    assert_eq!(mails(&mut book), Vec::<String>::new());
    // Another domain of the connector works, and this one does not yet.
    book.take(failing("bank", "b.test"), at(3_100));
    book.take(delivered("bank", "b.test"), at(3_200));
    assert_eq!(mails(&mut book), Vec::<String>::new());
    book.take(delivered("bank", "a.test"), at(3_300));
    book.take(delivered("bank", "a.test"), at(3_301));
    assert_eq!(mails(&mut book), ["bank ended"]);
    let ended: Vec<_> = book.ended().collect();
    assert_eq!(
        (ended.len(), ended[0].failures, ended[0].ended),
        (1, 3_001, Some((at(3_300), Mending::Recovered)))
    );
}

#[test]
fn what_comes_and_goes_is_mailed_at_most_once_an_hour() {
    let mut book = book();
    for minute in 0..59 {
        book.take(failing("bank", ""), at(minute * 60));
        book.take(delivered("bank", ""), at(minute * 60 + 30));
    }
    assert_eq!(mails(&mut book), ["bank began", "bank ended"]);
    book.take(failing("bank", ""), at(59 * 60));
    assert_eq!(book.due_at(), Some(at(3_600)));
    book.tick(at(3_600));
    assert_eq!(mails(&mut book), ["bank began"]);
}

#[test]
fn a_flood_is_a_digest_and_so_is_its_end() {
    let mut book = book();
    let names: Vec<String> = (0..50).map(|number| format!("p{number:02}")).collect();
    names.iter().for_each(|name| book.take(failing(name, ""), at(1)));
    assert_eq!(mails(&mut book).len(), SINGLES_MAX);
    assert_eq!(book.due_at(), Some(at(6)));
    book.tick(at(6));
    let digest = mails(&mut book);
    assert_eq!((digest.len(), digest[0].split(", ").count()), (1, 45));
    names.iter().for_each(|name| book.take(delivered(name, ""), at(20)));
    assert_eq!(mails(&mut book), Vec::<String>::new());
    book.tick(at(606));
    let digest = mails(&mut book);
    assert_eq!((digest.len(), digest[0].split(", ").count()), (1, 50));
    assert_eq!(book.posts().len(), 100);
}

#[test]
fn what_begins_after_a_digest_is_mailed_within_a_minute() {
    let mut book = book();
    (0..10).for_each(|number| book.take(failing(&format!("p{number}"), ""), at(1)));
    book.tick(at(6));
    assert_eq!(mails(&mut book).len(), SINGLES_MAX + 1);
    // Recoveries wait for the next digest; what is new takes them along.
    book.take(delivered("p0", ""), at(10));
    assert_eq!(book.due_at(), Some(at(606)));
    book.take(failing("late", ""), at(20));
    assert_eq!(book.due_at(), Some(at(66)));
    book.tick(at(66));
    assert_eq!(mails(&mut book), ["p0 ended, late began"]);
    // Where nothing was sent for a minute, it waits only for what happens together.
    book.take(failing("later", ""), at(300));
    book.tick(at(305));
    assert_eq!(mails(&mut book), ["later began"]);
    // A clock that is set back keeps to that.
    book.take(failing("last", ""), at(310));
    book.tick(at(100));
    assert_eq!(book.due_at(), Some(at(160)));
}

#[test]
fn an_episode_is_reported_once_somebody_has_got_the_mail() {
    let mut book = book();
    book.take(failing("bank", ""), at(0));
    let reported = |book: &EpisodeBook| book.open().next().and_then(|one| one.reported);
    let number = book.next_mail().expect("a mail").number;
    let id = |number| QueueId::from_number(number);
    book.queued(number, AlertPassage::begin("a@a.test", (id(1), "via"), at(1)));
    book.queued(number, AlertPassage::begin("b@b.test", (id(2), "rest"), at(1)));
    book.mailed(number);
    assert_eq!((reported(&book), book.mails(), book.due_at()), (None, 0, Some(at(31))));
    assert!(!book.hear(id(9), &AlertMailEnd::Delivered(String::new()), at(2)), "another message");
    assert!(book.hear(id(1), &AlertMailEnd::Deferred("no".to_owned()), at(3)));
    assert_eq!((reported(&book), book.restless().len()), (None, 1));
    // Over a restart, too.
    let text = serde_json::to_string(&book).expect("JSON");
    let mut book: EpisodeBook = serde_json::from_str(&text).expect("the same");
    book.handed_on(id(1), (id(3), "rest"), at(4));
    assert!(book.hear(id(3), &AlertMailEnd::Delivered(String::new()), at(5)));
    assert!(book.hear(id(2), &AlertMailEnd::Delivered(String::new()), at(6)));
    assert_eq!((reported(&book), book.mail_of(number)), (Some(at(5)), None));
}

#[test]
fn a_restart_repeats_nothing_and_loses_no_recovery() {
    let mut book = book();
    book.take(failing("bank", "a.test"), at(0));
    book.take(AlertInput::Failing(incident(AlertKind::Brake, "apps", "")), at(1));
    book.take(AlertInput::Failing(incident(AlertKind::Disk, "disk", "")), at(1));
    assert_eq!(mails(&mut book).len(), 3);
    let text = serde_json::to_string(&book).expect("JSON");
    let mut book: EpisodeBook = serde_json::from_str(&text).expect("the same");
    book.rule(BTreeSet::new(), WINDOW);
    book.resume(at(100));
    book.take(failing("bank", "a.test"), at(101));
    book.take(AlertInput::Failing(incident(AlertKind::Brake, "apps", "")), at(102));
    assert_eq!(mails(&mut book), Vec::<String>::new());
    // The disk has room since: nothing raised that alarm again.
    book.tick(at(100 + 600));
    assert_eq!(mails(&mut book), ["disk ended"]);
    book.take(delivered("bank", "a.test"), at(800));
    let group = String::new();
    book.take(AlertInput::Cleared { kind: AlertKind::Brake, about: "apps".to_owned(), group }, at(801));
    assert_eq!(mails(&mut book), ["bank ended", "apps ended"]);
}

#[test]
fn reminders_come_daily_and_what_nobody_tries_is_let_go() {
    let mut book = book();
    book.take(failing("bank", ""), at(0));
    mails(&mut book);
    book.take(failing("bank", ""), at(80_000));
    book.tick(at(86_399));
    assert_eq!(mails(&mut book), Vec::<String>::new());
    book.tick(at(86_400));
    assert_eq!(mails(&mut book), ["bank ongoing"]);
    book.tick(at(2 * 86_400));
    assert_eq!(mails(&mut book), ["bank ended"]);
    assert_eq!(book.ended().next().expect("one").ended, Some((at(2 * 86_400), Mending::Quiet)));
}

#[test]
fn an_end_that_comes_closer_is_reported_again_and_its_renewal_once() {
    let mut book = book();
    let expiry = |words: &str| {
        AlertInput::Failing(Incident { words: words.to_owned(), ..incident(AlertKind::Expiry, "gw", words) })
    };
    let cleared = |words: &str| AlertInput::Cleared {
        kind: AlertKind::Expiry,
        about: "gw".to_owned(),
        group: words.to_owned(),
    };
    book.take(expiry("30 days"), at(0));
    // The next threshold takes the place of this one.
    book.take(expiry("14 days"), at(90_000));
    book.take(cleared("30 days"), at(90_000));
    assert_eq!(mails(&mut book), ["gw began", "gw began"]);
    book.take(cleared("14 days"), at(90_001));
    assert_eq!(mails(&mut book), ["gw ended"]);
}

#[test]
fn patience_and_muting_keep_quiet() {
    let mut book = book();
    book.rule(BTreeSet::from([AlertKind::Log]), WINDOW);
    book.take(AlertInput::Failing(incident(AlertKind::Log, "log", "")), at(0));
    let slow = Incident {
        patience: Duration::from_secs(3_600),
        ..incident(AlertKind::PartnerConnection, "shop", "")
    };
    book.take(AlertInput::Failing(slow.clone()), at(0));
    book.take(delivered("shop", ""), at(3_000));
    assert_eq!((mails(&mut book), book.posts()), (Vec::new(), Vec::new()));
    book.take(AlertInput::Failing(slow.clone()), at(3_100));
    book.tick(at(6_700));
    assert_eq!(mails(&mut book), Vec::<String>::new(), "a single failure");
    assert!(book.due_at().is_some_and(|due| due > at(6_700)));
    // The retry comes later than the time that it may fail for.
    book.take(AlertInput::Failing(slow.clone()), at(8_000));
    assert_eq!(mails(&mut book), ["shop began"]);
    book.take(AlertInput::Connectors(BTreeSet::new()), at(10_500));
    assert_eq!(mails(&mut book), ["shop ended"]);
    // Nothing is tried any more.
    book.take(AlertInput::Failing(slow), at(20_000));
    book.tick(at(20_000 + 86_400));
    assert!(book.open().all(|one| one.kind == AlertKind::Log));
    assert_eq!(mails(&mut book), Vec::<String>::new());
}

#[test]
fn a_failure_that_is_an_alert_at_once_does_not_wait_for_one_that_is_not() {
    let mut book = book();
    let urgent = incident(AlertKind::PartnerConnection, "shop", "");
    let slow = Incident { patience: Duration::from_secs(3_600), ..urgent.clone() };
    book.take(AlertInput::Failing(slow.clone()), at(0));
    book.take(AlertInput::Failing(slow), at(10));
    assert_eq!(mails(&mut book), Vec::<String>::new());
    book.take(AlertInput::Failing(urgent), at(20));
    assert_eq!(mails(&mut book), ["shop began"]);
}

#[test]
fn a_refusal_is_an_alert_once_another_message_is_refused_too() {
    let mut book = book();
    let refused = |number| {
        AlertInput::Failing(Incident {
            message: Some(QueueId::from_number(number)),
            ..incident(AlertKind::PartnerRefusal, "bank", "")
        })
    };
    // One message for three recipients, and then mail is delivered.
    (0..3).for_each(|_| book.take(refused(1), at(0)));
    book.take(delivered("bank", ""), at(10));
    book.take(refused(2), at(20));
    assert_eq!(mails(&mut book), Vec::<String>::new());
    book.take(refused(3), at(30));
    assert_eq!(mails(&mut book), ["bank began"]);
    book.take(delivered("bank", ""), at(40));
    assert_eq!(mails(&mut book), ["bank ended"]);
}

#[test]
fn a_clock_that_is_set_back_delays_nothing() {
    let mut book = book();
    (0..7).for_each(|number| book.take(failing(&format!("p{number}"), ""), at(10_000_000)));
    mails(&mut book);
    book.take(delivered("p0", ""), at(1_000));
    book.tick(at(1_005 + 600));
    assert_eq!(mails(&mut book).len(), 1, "the digest");
    book.take(failing("p0", ""), at(1_700));
    assert!(book.due_at().is_some_and(|due| due <= at(1_700 + 3_600)), "{:?}", book.due_at());
    book.tick(at(1_700 + 3_600));
    assert_eq!(mails(&mut book), ["p0 began"]);
}

#[derive(Debug, Clone)]
enum Step {
    Fails(u8, u8),
    Works(u8, u8),
    Gone(u8),
    Restart,
}

fn a_step() -> impl Strategy<Value = (u64, Step)> {
    let step = prop_oneof![
        6 => (0..12_u8, 0..3_u8).prop_map(|(who, group)| Step::Fails(who, group)),
        4 => (0..12_u8, 0..3_u8).prop_map(|(who, group)| Step::Works(who, group)),
        1 => (0..12_u8).prop_map(Step::Gone),
        1 => Just(Step::Restart),
    ];
    (prop_oneof![0..3_u64, 0..900_u64, 0..100_000_u64], step)
}

proptest! {
    #[test]
    fn whatever_happens_nobody_is_flooded_and_each_end_is_reported_once(steps in prop::collection::vec(a_step(), 1..200)) {
        let (mut book, mut now) = (book(), START);
        let mut sent: Vec<(UnixMillis, AlertMail)> = Vec::new();
        for (wait, step) in steps {
            // What is due meanwhile is done when it is due.
            let until = now.plus(Duration::from_secs(wait));
            while let Some(due) = book.due_at().filter(|due| *due <= until) {
                now = now.max(due);
                book.tick(now);
                collect(&mut book, now, &mut sent);
                prop_assert!(book.due_at().is_none_or(|next| next > now), "it is never late twice");
            }
            now = until;
            match step {
                Step::Fails(who, group) => book.take(failing(&format!("c{who}"), &group.to_string()), now),
                Step::Works(who, group) => book.take(delivered(&format!("c{who}"), &group.to_string()), now),
                Step::Gone(who) => {
                    let rest = (0..12_u8).filter(|one| *one != who).map(|one| format!("c{one}")).collect();
                    book.take(AlertInput::Connectors(rest), now);
                }
                Step::Restart => {
                    let text = serde_json::to_string(&book).expect("JSON");
                    book = serde_json::from_str(&text).expect("the same");
                    book.rule(BTreeSet::new(), WINDOW);
                    book.resume(now);
                }
            }
            collect(&mut book, now, &mut sent);
        }
        // Never more than this in any ten minutes: those about one episode, and a digest a minute.
        for (at, _) in &sent {
            let within = sent.iter().filter(|(other, _)| other >= at && other.since(*at) < WINDOW).count();
            prop_assert!(within <= SINGLES_MAX + 10, "{within} mails");
        }
        for (at, mail) in &sent {
            let began = mail.items.iter().filter(|item| item.occasion == AlertOccasion::Began);
            for told in began.filter_map(|item| item.episode.told) {
                prop_assert!(at.since(told) <= NEWS_WAIT_MAX, "{at:?} {told:?}");
            }
        }
        let mut began: BTreeMap<String, Vec<UnixMillis>> = BTreeMap::new();
        let mut ends: BTreeMap<u64, usize> = BTreeMap::new();
        for (_, mail) in &sent {
            for MailedEpisode { occasion, episode } in &mail.items {
                match occasion {
                    AlertOccasion::Began => began.entry(episode.about.clone()).or_default().extend(episode.told),
                    AlertOccasion::Ended => {
                        prop_assert!(episode.told.is_some());
                        *ends.entry(episode.number).or_default() += 1;
                    }
                    AlertOccasion::Ongoing | AlertOccasion::Test => {}
                }
            }
        }
        prop_assert!(ends.values().all(|count| *count == 1));
        for times in began.values() {
            prop_assert!(times.windows(2).all(|pair| pair[1].since(pair[0]) >= HOUR));
        }
    }
}

fn collect(book: &mut EpisodeBook, now: UnixMillis, sent: &mut Vec<(UnixMillis, AlertMail)>) {
    while let Some(mail) = book.next_mail().cloned() {
        book.mailed(mail.number);
        sent.push((now, mail));
    }
}
