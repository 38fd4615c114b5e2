//! Tests of `transit` and `live`: which transactions another table does not allow, and what a reload makes of them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::super::samples::*;
use super::super::*;
use crate::mail::ReversePath;

/// A table of one inbound and one outbound connector, both for p.example, with these demands.
fn table(generation: u64, demand: Option<Forced>, anchors: &[u8]) -> Table {
    let mut out = outbound("out", &["p.example"], 10);
    let tls = |forced: &Forced| InboundTls::Forced(forced.clone());
    out.tls = demand.clone().map_or(OutboundTls::Opportunistic(None), OutboundTls::Forced);
    out.revision = Revision([u8::from(demand.is_some()); 8]);
    let inbound = inbound("in", &["p.example"], demand.as_ref().map_or(InboundTls::Opportunistic, tls));
    let contents = TrustContents {
        digest: format!("{anchors:?}"),
        anchors: anchors.iter().map(|one| [*one; 32]).collect::<BTreeSet<_>>(),
        lists: BTreeSet::new(),
    };
    let trust = TrustSets::from([(trust("system"), contents)]);
    Table::new(Generation(generation), vec![inbound], vec![out]).trusting(trust)
}

fn from_partner(tls: Option<TlsFacts>) -> Transit {
    let channel = Channel { tls: tls.map(Arc::new), ..Channel::new([203, 0, 113, 9].into()) };
    Transit::Inbound { channel, reverse_path: ReversePath::parse("a@p.example").expect("a path") }
}

fn to_partner(observed: Observed) -> Transit {
    Transit::Outbound(OutboundTransit {
        connector: "out".into(),
        revision: Revision::default(),
        domains: vec![(Some(domain("p.example")), None)],
        arrived_by: None,
        host: None,
        address: [192, 0, 2, 1].into(),
        observed,
    })
}

/// What does not allow a transaction that began under an opportunistic connector.
#[track_caller]
fn check(transit: &Transit, now: &Table, expected: Option<&str>) {
    assert_eq!(transit.outdated_by(&table(1, None, &[1, 2]), now).as_deref(), expected, "{transit:?}");
}

#[test]
fn a_transaction_is_allowed_by_what_its_session_attained() {
    let good = || shown(&["p.example"], ChainVerdict::Trusted);
    let bad = || shown(&["p.example"], ChainVerdict::Faulty(ChainFault::UnknownIssuer));
    let established = |facts: TlsFacts| to_partner(Observed::Established(Arc::new(facts)));
    let same = table(2, None, &[1, 2]);
    let encryption = table(2, Some(Forced::encryption()), &[1, 2]);
    let identity = table(2, Some(identity(&["p.example"])), &[1, 2]);
    for (clear, sealed_bad, sealed_good, name) in [
        (from_partner(None), from_partner(Some(bad())), from_partner(Some(good())), "in"),
        (to_partner(Observed::NotOffered), established(bad()), established(good()), "out"),
    ] {
        check(&clear, &same, None);
        check(&clear, &encryption, Some(name));
        check(&clear, &identity, Some(name));
        check(&sealed_bad, &encryption, None);
        check(&sealed_bad, &identity, Some(name));
        check(&sealed_good, &identity, None);
    }
    // An anchor more is no reason, and one less is: it may be the one.
    let with = |anchors: &[u8]| table(2, Some(super::super::samples::identity(&["p.example"])), anchors);
    check(&from_partner(Some(good())), &with(&[1, 2, 3]), None);
    check(&from_partner(Some(good())), &with(&[1]), Some("in"));
    check(&established(good()), &with(&[1]), Some("out"));
    // Nobody serves the domain: its mail waits, and what is under way goes on.
    check(&to_partner(Observed::NotOffered), &Table::new(Generation(2), Vec::new(), Vec::new()), None);
}

#[test]
fn what_a_client_proved_does_not_outlive_what_it_was_proved_by() {
    let sealed = |one: TlsFacts| Channel { tls: facts(one), ..Channel::new([203, 0, 113, 9].into()) };
    let client = sealed(shown(&["p.example"], ChainVerdict::Trusted));
    let path = |text: &str| ReversePath::parse(text).expect("a path");
    let first = table(1, Some(identity(&["p.example"])), &[1]);
    let check = |channel: &Channel, from: &str, now: &Table, expected: Option<StaleProof>| {
        assert_eq!(channel.stale_proof(&path(from), &first, now), expected, "{from}");
    };
    let (same, other) =
        (table(2, Some(identity(&["p.example"])), &[1]), table(2, Some(identity(&["p.example"])), &[1, 2]));
    check(&client, "a@p.example", &same, None);
    check(&client, "a@p.example", &other, Some(StaleProof::Certificate));
    check(&client, "", &other, Some(StaleProof::Certificate));
    check(&client, "a@else.example", &other, None);
    check(&sealed(tls(TlsVersion::V13, PeerCertificate::NotShown)), "a@p.example", &other, None);
    check(&client, "a@p.example", &table(2, None, &[]), None);

    let users = |hash: &str| {
        let mut staff = inbound("staff", &["p.example"], InboundTls::Opportunistic);
        let users = Users::parse("users", &format!("ann:$argon2id${hash}")).expect("users");
        staff.users = Some(Arc::new(users));
        Table::new(Generation(2), vec![staff], Vec::new())
    };
    let login = VerifiedLogin { file: "users".into(), hash: "$argon2id$x".into() };
    let user = Some(Arc::new(User { name: "ann".into(), logins: vec![login] }));
    let ann = Channel { user, ..Channel::new([203, 0, 113, 9].into()) };
    check(&ann, "a@p.example", &users("x"), None);
    check(&ann, "a@p.example", &users("y"), Some(StaleProof::Login));
    check(&ann, "a@p.example", &same, Some(StaleProof::Login));
}

#[tokio::test]
async fn each_transaction_is_one_reloads_affair_and_is_cut_by_the_table_in_effect() {
    let moment = Duration::from_millis(1);
    let live = LiveTable::new(table(1, None, &[1]));
    let cut = CancellationToken::new();
    let enter = |cut: &CancellationToken| live.enter(from_partner(None), live.table(), cut.clone());
    let first = enter(&cut);
    assert_eq!(live.outdated().count(), 0);
    live.replace(table(2, Some(Forced::encryption()), &[1]));
    let mine = live.outdated();
    assert_eq!((mine.count(), mine.connectors()), (1, vec![Arc::from("in")]));
    assert_eq!(live.outdated().count(), 0, "another reload has it already");
    // What the table in effect allows again at the end of the time is not cut, and the next reload may have it.
    live.replace(table(3, None, &[1]));
    let tally = mine.drain(&live, moment).await;
    assert_eq!((tally, cut.is_cancelled()), (DrainTally { ended: 1, cut: 0, answering: 0 }, false));
    live.replace(table(4, Some(Forced::encryption()), &[1]));
    let mine = live.outdated();
    assert_eq!(mine.count(), 1);
    let over = cut.clone();
    let session = async move {
        over.cancelled().await;
        drop(first);
    };
    let (tally, ()) = tokio::join!(mine.drain(&live, moment), session);
    assert_eq!(tally, DrainTally { ended: 0, cut: 1, answering: 0 });
}
