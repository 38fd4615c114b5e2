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
    let choice = choose(&table, domain.as_ref()).expect("a connector");
    assert_eq!(format!("{} by {}", choice.connector.name, choice.pattern), expected, "{recipient}");
    let considered = Choice::considered(&table, domain.as_ref());
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
    assert!(choose(&table, Some(&domain("q.example"))).is_none());
    assert!(choose(&table, None).is_none());
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
    connector.tls = OutboundTls::Opportunistic;
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
        let chosen = |d: &str| choose(&table, Some(&domain(d))).map(|c| c.connector.name.to_string());
        assert_eq!(chosen("x.p.example").as_deref(), Some("c"));
        assert_eq!(chosen("p.example").as_deref(), Some("a"));
        assert_eq!(chosen("q.example").as_deref(), Some("b"));
    }
}
