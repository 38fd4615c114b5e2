//! What counts as a change between looks, as tables.

use std::time::Duration;

use super::*;

const RULES: LookRules =
    LookRules { turns: Duration::from_secs(24 * 60 * 60), addresses: Duration::from_secs(30 * 24 * 60 * 60) };

fn hosts(seen: &[(&str, &str, Sight)]) -> LookResult {
    let list = seen.iter().map(|(name, address, sight)| (key(name, address), sight.clone())).collect();
    LookResult::Hosts(list, 0)
}

fn one(sight: Sight) -> LookResult {
    hosts(&[("mx", "192.0.2.1:25", sight)])
}

/// Looks six hours apart, and what each of them changed.
#[track_caller]
fn check(looks: Vec<(LookResult, &[&str])>) {
    let mut record = None;
    for (number, (result, expected)) in looks.into_iter().enumerate() {
        let at = UnixMillis(START + i64::try_from(number).unwrap() * 6 * HOUR);
        let (next, changes) = TargetRecord::after(record, result, at, RULES);
        let words: Vec<String> =
            changes.iter().map(|one| format!("{} {}", one.host, one.change.word())).collect();
        assert_eq!(words, expected, "look {number}");
        // What is kept is what is read back.
        let text = serde_json::to_string(&next).unwrap();
        record = Some(serde_json::from_str(&text).unwrap());
        assert_eq!(record.as_ref(), Some(&next));
    }
}

fn refused(sha256: &str) -> Sight {
    Sight {
        ok: false,
        reason: "TLS is required, and the chain has expired".to_owned(),
        token: Some("certificate-expired".to_owned()),
        ..sealed(sha256, 400)
    }
}

fn plaintext(ok: bool) -> Sight {
    let reason = "STARTTLS is not offered".to_owned();
    Sight { ok, reason, token: None, session: SessionSight::Plaintext, ..sealed("a", 400) }
}

fn tls(change: impl FnOnce(&mut TlsSight)) -> Sight {
    let mut sight = sealed("a", 400);
    if let SessionSight::Tls(tls) = &mut sight.session {
        change(tls);
    }
    sight
}

#[test]
fn the_first_look_and_the_same_again_are_no_change() {
    check(vec![(one(sealed("a", 400)), &[]), (one(sealed("a", 400)), &[])]);
    check(vec![(one(dead()), &[]), (one(dead()), &[]), (one(dead()), &[])]);
    check(vec![(LookResult::Lost("no such domain".to_owned()), &[]), (one(refused("a")), &[])]);
}

#[test]
fn another_certificate_is_one_change_for_all_addresses_of_a_host() {
    let both = |sha256| {
        hosts(&[("mx", "192.0.2.1:25", sealed(sha256, 400)), ("mx", "192.0.2.2:25", sealed(sha256, 400))])
    };
    check(vec![(both("a"), &[]), (both("b"), &["mx 192.0.2.1:25 certificate"]), (both("b"), &[])]);
    // Machines that take turns are told once.
    check(vec![
        (one(sealed("a", 400)), &[]),
        (one(sealed("b", 400)), &["mx 192.0.2.1:25 certificate"]),
        (one(sealed("a", 400)), &[]),
        (one(sealed("b", 400)), &[]),
    ]);
    // One that comes back after more than a day is another one again.
    let mut looks: Vec<(LookResult, &[&str])> = vec![(one(sealed("a", 400)), &[])];
    looks.push((one(sealed("b", 400)), &["mx 192.0.2.1:25 certificate"]));
    looks.extend((0..6).map(|_| (one(sealed("b", 400)), &[][..])));
    looks.push((one(sealed("a", 400)), &["mx 192.0.2.1:25 certificate"]));
    check(looks);
}

#[test]
fn one_failure_is_none_and_two_are_a_change() {
    check(vec![
        (one(sealed("a", 400)), &[]),
        (one(dead()), &[]),
        (one(sealed("a", 400)), &[]),
        (one(dead()), &[]),
        (one(dead()), &["mx 192.0.2.1:25 unanswered"]),
        (one(dead()), &[]),
        (one(sealed("b", 400)), &["mx 192.0.2.1:25 answered", "mx 192.0.2.1:25 certificate"]),
    ]);
    // It never answered, and then does.
    check(vec![
        (one(dead()), &[]),
        (one(dead()), &[]),
        (one(sealed("a", 400)), &["mx 192.0.2.1:25 answered"]),
    ]);
}

#[test]
fn a_verdict_changes_with_its_reason() {
    check(vec![
        (one(sealed("a", 400)), &[]),
        (one(refused("a")), &["mx 192.0.2.1:25 unmet"]),
        (one(refused("a")), &[]),
        (one(sealed("a", 400)), &["mx 192.0.2.1:25 met"]),
    ]);
    check(vec![
        (one(sealed("a", 400)), &[]),
        (one(plaintext(false)), &["mx 192.0.2.1:25 tls-gone", "mx 192.0.2.1:25 unmet"]),
        (one(sealed("a", 400)), &["mx 192.0.2.1:25 tls-offered", "mx 192.0.2.1:25 met"]),
    ]);
    // Opportunistic TLS: mail goes on, in plaintext.
    check(vec![(one(sealed("a", 400)), &[]), (one(plaintext(true)), &["mx 192.0.2.1:25 tls-gone"])]);
    // While nobody answered TLS went away.
    check(vec![
        (one(sealed("a", 400)), &[]),
        (one(dead()), &[]),
        (one(dead()), &["mx 192.0.2.1:25 unanswered"]),
        (one(plaintext(true)), &["mx 192.0.2.1:25 answered", "mx 192.0.2.1:25 tls-gone"]),
    ]);
}

#[test]
fn another_version_suite_or_group_is_told_once() {
    let old = || tls(|tls| (tls.version, tls.suite) = (TlsVersion::V12, "other".to_owned()));
    check(vec![
        (one(sealed("a", 400)), &[]),
        (one(old()), &["mx 192.0.2.1:25 version"]),
        (one(sealed("a", 400)), &[]),
        (one(old()), &[]),
    ]);
    let suite = || tls(|tls| tls.suite = "other".to_owned());
    let group = || tls(|tls| tls.group = "X25519".to_owned());
    check(vec![
        (one(sealed("a", 400)), &[]),
        (one(suite()), &["mx 192.0.2.1:25 suite"]),
        (one(group()), &["mx 192.0.2.1:25 suite"]),
    ]);
    check(vec![(one(sealed("a", 400)), &[]), (one(group()), &["mx 192.0.2.1:25 group"])]);
}

#[test]
fn hosts_and_addresses_come_and_go() {
    let good = || sealed("a", 400);
    let first = || ("mx", "192.0.2.1:25", good());
    check(vec![
        (hosts(&[first()]), &[]),
        (hosts(&[first(), ("mx", "192.0.2.2:25", good())]), &["mx 192.0.2.2:25 address-added"]),
        // One of its addresses is not listed for a moment.
        (hosts(&[first()]), &[]),
        (hosts(&[first(), ("mx", "192.0.2.2:25", good())]), &[]),
        (hosts(&[first(), ("mx2", "192.0.2.3:25", good())]), &["mx2 192.0.2.3:25 host-added"]),
        (hosts(&[first()]), &[]),
        (hosts(&[first()]), &["mx2 host-gone"]),
        (hosts(&[first()]), &[]),
        (hosts(&[("", "192.0.2.9:25", good())]), &["192.0.2.9:25 host-added"]),
        (hosts(&[("", "192.0.2.9:25", good())]), &["mx host-gone"]),
    ]);
    // A smart host that has lost its address.
    check(vec![
        (hosts(&[first()]), &[]),
        (hosts(&[("mx", "", dead())]), &[]),
        (hosts(&[("mx", "", dead())]), &["mx unanswered"]),
        (hosts(&[first()]), &[]),
    ]);
    let lost = || LookResult::Lost("no answer from DNS".to_owned());
    check(vec![
        (hosts(&[first()]), &[]),
        (lost(), &[]),
        (hosts(&[first()]), &[]),
        (lost(), &[]),
        (lost(), &["- hosts-unknown"]),
        (lost(), &[]),
        (hosts(&[first()]), &["- hosts-known"]),
    ]);
}

#[test]
fn each_threshold_before_the_end_is_told_once() {
    let days = |number: i64, days: i64| (number, one(sealed("a", days)));
    let (mut record, mut told) = (None, Vec::new());
    for (day, result) in (0..40).map(|day| days(day, 35)) {
        let at = UnixMillis(START + day * DAY);
        let (next, changes) = TargetRecord::after(record, result, at, RULES);
        told.extend(changes.iter().map(|one| format!("day {day}: {}", one.change.word())));
        record = Some(next);
    }
    assert_eq!(
        told,
        ["day 6: ending", "day 22: ending", "day 29: ending", "day 35: ending", "day 36: ending"]
    );
}

#[test]
fn the_check_recipient_counts_for_itself() {
    let asked = |taken: bool, passing: bool| Sight {
        recipient: Some(RecipientSight { taken, reply: (!taken).then(|| "550 no".to_owned()) }),
        passing,
        ..sealed("a", 400)
    };
    check(vec![
        (one(sealed("a", 400)), &[]),
        // It is asked about from now on.
        (one(asked(true, false)), &[]),
        (one(asked(false, false)), &["mx 192.0.2.1:25 recipient-refused"]),
        (one(asked(true, false)), &["mx 192.0.2.1:25 recipient-taken"]),
        // Greylisting is over in a moment.
        (one(asked(false, true)), &[]),
        (one(asked(true, false)), &[]),
    ]);
}

#[test]
fn what_is_remembered_is_bounded() {
    let mut record = None;
    for round in 0..40_u8 {
        let seen = (0..30_u8).map(|host| {
            (key("mx", &format!("192.0.{round}.{host}:25")), sealed(&format!("{round}-{host}"), 400))
        });
        let result = LookResult::Hosts(seen.collect(), 0);
        let at = UnixMillis(START + i64::from(round) * HOUR);
        record = Some(TargetRecord::after(record, result, at, RULES).0);
    }
    let record = record.unwrap();
    assert_eq!(record.hosts.len(), 256);
    assert!(serde_json::to_string(&record).unwrap().len() < 1 << 20);
}
