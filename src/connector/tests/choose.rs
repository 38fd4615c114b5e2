//! Tests of `choose`: which outbound connector serves a domain.

use super::super::samples::*;
use super::super::*;

fn table() -> Table {
    let outbound = vec![
        outbound("any", &["*"], 10),
        outbound("below", &["*.p.example"], 10),
        outbound("deep", &["*.eu.p.example"], 10),
        outbound("exact", &["p.example", "mail.eu.p.example"], 10),
        outbound("cheap", &["*.p.example"], 5),
    ];
    Table::new(Generation(1), Vec::new(), outbound)
}

#[track_caller]
fn check(recipient: &str, expected: &str) {
    let table = table();
    let domain = (!recipient.is_empty()).then(|| domain(recipient));
    let choice = choose(&table, domain.as_ref(), Arrival::Ours).expect("a connector");
    assert_eq!(format!("{} by {}", choice.connector.name, choice.pattern), expected, "{recipient}");
    let considered = Choice::considered(&table, domain.as_ref(), Arrival::Ours);
    assert_eq!(considered.len(), 5);
    assert_eq!(considered.iter().filter(|c| c.chosen).count(), 1);
    assert_eq!(considered.first().map(|c| c.connector.as_str()), Some(&*choice.connector.name));
}

#[test]
fn exact_then_longest_suffix_then_any_then_cost() {
    check("p.example", "exact by p.example");
    check("P.Example.", "exact by p.example");
    check("a.p.example", "cheap by *.p.example");
    check("eu.p.example", "cheap by *.p.example");
    check("a.eu.p.example", "deep by *.eu.p.example");
    check("mail.eu.p.example", "exact by mail.eu.p.example");
    check("other.example", "any by *");
    check("notp.example", "any by *");
    check("", "any by *");
}

#[test]
fn no_connector_is_no_choice() {
    let table = Table::new(Generation(1), Vec::new(), vec![outbound("one", &["p.example"], 10)]);
    assert!(choose(&table, Some(&domain("q.example")), Arrival::Ours).is_none());
    assert!(choose(&table, None, Arrival::Ours).is_none());
}

#[test]
fn a_reference_identifier_is_a_peer_name_else_the_smart_host_else_the_recipient_domain() {
    let mut connector = outbound("forced", &["*"], 10);
    let names = |connector: &Outbound, smart_host: Option<&SmartHostName>| {
        let requirement = connector.requirement(Some(&domain("p.example")), smart_host);
        requirement.to_string()
    };
    let host = SmartHostName::Name(domain("relay.example"));
    connector.tls = OutboundTls::Forced(identity(&[]));
    assert_eq!(names(&connector, None), "TLSv1.2 or later, a chain to system, the name p.example");
    assert_eq!(names(&connector, Some(&host)), "TLSv1.2 or later, a chain to system, the name relay.example");
    connector.tls = OutboundTls::Forced(identity(&["mail.p.example"]));
    assert_eq!(
        names(&connector, Some(&host)),
        "TLSv1.2 or later, a chain to system, the name mail.p.example"
    );
    connector.tls = OutboundTls::Opportunistic(None);
    assert_eq!(names(&connector, Some(&host)), "TLS if offered");
}

#[test]
fn the_order_of_the_file_never_matters() {
    let mut connectors = vec![
        outbound("b", &["*.p.example", "*"], 10),
        outbound("a", &["p.example"], 10),
        outbound("c", &["*.p.example"], 3),
    ];
    for _ in 0..connectors.len() {
        connectors.rotate_left(1);
        let table = Table::new(Generation(1), Vec::new(), connectors.clone());
        let chosen =
            |d: &str| choose(&table, Some(&domain(d)), Arrival::Ours).map(|c| c.connector.name.to_string());
        assert_eq!(chosen("x.p.example").as_deref(), Some("c"));
        assert_eq!(chosen("p.example").as_deref(), Some("a"));
        assert_eq!(chosen("q.example").as_deref(), Some("b"));
    }
}

#[test]
fn of_equal_patterns_one_that_names_the_arrival_comes_first_then_the_lowest_cost() {
    let from = |by: &[&str], connector: Outbound| Outbound {
        from_connectors: by.iter().map(|name| (*name).into()).collect(),
        ..connector
    };
    let table = Table::new(
        Generation(1),
        Vec::new(),
        vec![
            outbound("internet", &["*"], 1),
            outbound("bank", &["bank.example"], 10),
            from(&["cloud-in"], outbound("central", &["*", "shop.example"], 20)),
            from(&["cloud-in", "app-in"], outbound("dear", &["*"], 30)),
            outbound("shop", &["shop.example"], 1),
            from(&["app-in"], outbound("apps", &["*.only.example"], 1)),
        ],
    );
    let check = |to: &str, arrival: Arrival<'_>, expected: &str| {
        let to = domain(to);
        let choice = choose(&table, Some(&to), arrival).expect("a connector");
        assert_eq!(*choice.connector.name, *expected, "{to} {arrival:?}");
        let considered = Choice::considered(&table, Some(&to), arrival);
        let chosen: Vec<_> = considered.iter().filter(|one| one.chosen).collect();
        assert_eq!(chosen.len(), 1);
        assert_eq!(chosen[0].connector, expected);
    };
    let (cloud, app, other) = (Arrival::By("cloud-in"), Arrival::By("app-in"), Arrival::By("exchange-in"));
    for arrival in [cloud, app, other, Arrival::Ours] {
        check("bank.example", arrival, "bank");
    }
    check("world.example", cloud, "central");
    check("world.example", app, "dear");
    check("world.example", other, "internet");
    check("world.example", Arrival::Ours, "internet");
    check("shop.example", cloud, "central");
    check("shop.example", app, "shop");
    // A closer pattern that is not for this mail leaves it to the next one.
    check("a.only.example", app, "apps");
    check("a.only.example", cloud, "central");
    check("a.only.example", Arrival::Ours, "internet");

    let why = |to: &str, arrival, name: &str| {
        let all = Choice::considered(&table, Some(&domain(to)), arrival);
        all.into_iter().find(|one| one.connector == name).expect("a connector").reason
    };
    let expected = "* covers the recipient, but only for mail that arrives by cloud-in or app-in";
    assert_eq!(why("world.example", other, "dear"), expected);
    assert_eq!(
        why("world.example", cloud, "internet"),
        "* covers the recipient, but central names the arrival"
    );
    assert_eq!(why("world.example", cloud, "dear"), "* covers the recipient, but central has the lower cost");
    assert_eq!(
        why("world.example", cloud, "central"),
        "* is the closest pattern, for mail that arrives by cloud-in"
    );
    assert_eq!(why("bank.example", cloud, "central"), "* covers the recipient, but bank.example is closer");
}
