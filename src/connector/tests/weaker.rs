//! Tests of `compare` and `weaker`: what counts as weaker, case by case and over random tables.

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::sample::select;

use super::super::samples::*;
use super::super::*;
use super::any::{
    DOMAINS, PEERS, a_forced, an_arrival, an_inbound, an_observation, an_outbound, recipient, shuffled,
    some_facts,
};
use crate::mail::{Domain, ReversePath, UnixMillis};

/// Both trust sets of the samples: different anchors, each with a list.
fn sets() -> TrustSets {
    let contents = |anchor: u8| TrustContents {
        digest: anchor.to_string(),
        anchors: BTreeSet::from([[anchor; 32]]),
        lists: BTreeSet::from([format!("CN=CA {anchor}")]),
    };
    TrustSets::from([(trust("system"), contents(1)), (trust("partners"), contents(2))])
}

fn table(inbound: &[Inbound], outbound: &[Outbound]) -> Table {
    Table::new(Generation(1), inbound.to_vec(), outbound.to_vec()).trusting(sets())
}

fn told(losses: &BTreeSet<Loss>) -> String {
    losses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn told_outbound(old: &[Outbound], new: &[Outbound]) -> Vec<String> {
    let found = weaker_outbound(&table(&[], old), &table(&[], new), &[]);
    let words = |one: &Weakening<Outbound>| {
        let domains: Vec<_> = one.domains.iter().map(ToString::to_string).collect();
        let by = one.arrives_by.as_ref().map(|by| format!(" by {by}")).unwrap_or_default();
        format!("{}{by}: {} -> {}: {}", domains.join(" "), one.was.name, one.now.name, told(&one.losses))
    };
    found.iter().map(words).collect()
}

fn told_inbound(old: &[Inbound], new: &[Inbound]) -> Vec<String> {
    let found = weaker_inbound(&table(old, &[]), &table(new, &[]));
    let words = |one: &Weakening<Inbound>| {
        let domains: Vec<_> = one.domains.iter().map(ToString::to_string).collect();
        format!("{}: {} -> {}: {}", domains.join(" "), one.was.name, one.now.name, told(&one.losses))
    };
    found.iter().map(words).collect()
}

fn to(name: &str, domains: &[&str], tls: OutboundTls) -> Outbound {
    Outbound { tls, ..outbound(name, domains, 10) }
}

fn from(name: &str, domains: &[&str], tls: InboundTls) -> Inbound {
    let to_domains = vec![DomainPattern::parse("contoso.example").expect("a pattern")];
    Inbound { to_domains, ..inbound(name, domains, tls) }
}

#[test]
fn what_a_domain_gets_counts_and_not_the_connector_it_gets_it_by() {
    let forced = || OutboundTls::Forced(identity(&["mail.p.example"]));
    let rest = || to("rest", &["*"], OutboundTls::Opportunistic(None));
    let partner = || to("partner", &["*.p.example"], forced());
    let old = [partner(), rest()];
    assert_eq!(told_outbound(&old, &old), Vec::<String>::new());
    // The same under other names, in another order, and beside others.
    let renamed = [rest(), to("other", &["q.example", "*.p.example"], forced())];
    assert_eq!(told_outbound(&old, &renamed), Vec::<String>::new());
    let hole = to("legacy", &["legacy.p.example"], OutboundTls::Opportunistic(None));
    assert_eq!(
        told_outbound(&old, &[partner(), rest(), hole]),
        ["legacy.p.example: partner -> legacy: level"]
    );
    assert_eq!(told_outbound(&old, &[rest()]), ["*.p.example: partner -> rest: level"]);
    assert_eq!(told_outbound(&old, &[partner()]), Vec::<String>::new(), "no connector sends no mail");
    let audited = Outbound { mode: Mode::Audit, ..partner() };
    assert_eq!(told_outbound(&old, &[audited, rest()]), ["*.p.example: partner -> partner: level"]);
    let queued = [domain("a.p.example"), domain("else.example")];
    let found = weaker_outbound(&table(&[], &old), &table(&[], &[rest()]), &queued);
    assert_eq!(found.len(), 1);
    let names: Vec<_> = found[0].domains.iter().map(ToString::to_string).collect();
    assert_eq!(names, ["*.p.example", "a.p.example"], "domains with queued mail are named");
}

#[test]
fn mail_of_one_arrival_may_go_by_less_although_other_mail_does_not() {
    let rest = || to("rest", &["*"], OutboundTls::Opportunistic(None));
    let central = |by: &[&str]| Outbound {
        from_connectors: by.iter().map(|name| (*name).into()).collect(),
        ..to("central", &["*"], OutboundTls::Forced(identity(&["mail.p.example"])))
    };
    let old = [rest(), central(&["cloud-in", "app-in"])];
    assert_eq!(told_outbound(&old, &old), Vec::<String>::new());
    assert_eq!(
        told_outbound(&old, &[rest(), central(&["app-in"])]),
        ["* by cloud-in: central -> rest: level"]
    );
    assert_eq!(
        told_outbound(&old, &[rest()]),
        ["* by app-in: central -> rest: level", "* by cloud-in: central -> rest: level"]
    );
    assert_eq!(told_outbound(&[rest()], &old), Vec::<String>::new());
    // What is said of all mail is not said of each arrival.
    let strict = || Outbound { name: "rest".into(), from_connectors: Vec::new(), ..central(&[]) };
    assert_eq!(told_outbound(&[strict()], &[rest()]), ["*: rest -> rest: level"]);
    let hole = Outbound { from_connectors: vec!["cloud-in".into()], ..to("hole", &["*"], OutboundTls::Off) };
    assert_eq!(told_outbound(&[strict()], &[strict(), hole]), ["* by cloud-in: rest -> hole: level"]);
}

#[test]
fn where_mail_may_be_handed_counts() {
    let bank = |rule: OnFailure| Outbound {
        on_failure: rule,
        ..to("bank", &["p.example"], OutboundTls::Forced(identity(&["mail.p.example"])))
    };
    let portal = || to("portal", &[], OutboundTls::Forced(Forced::encryption()));
    let handing = || bank(OnFailure::Reroute("portal".into()));
    let (waiting, both) = ([bank(OnFailure::Defer), portal()], [handing(), portal()]);
    assert_eq!(told_outbound(&waiting, &both), ["p.example: bank -> portal: require"]);
    assert_eq!(told_outbound(&both, &both), Vec::<String>::new());
    assert_eq!(told_outbound(&both, &waiting), Vec::<String>::new());
    // One that does not force TLS is never handed anything.
    let open = to("portal", &[], OutboundTls::Opportunistic(None));
    assert_eq!(told_outbound(&waiting, &[handing(), open]), Vec::<String>::new());
}

/// What `change` makes weaker of a strict connector.
#[track_caller]
fn check(change: impl FnOnce(&mut Forced), expected: &str) {
    let pin = |sha256| Pin { sha256: [sha256; 32], from: None, until: Some(UnixMillis(9)) };
    let strict = Forced {
        min_version: TlsVersion::V13,
        key_exchange: KeyExchange::Any,
        pins: vec![pin(7), pin(8)],
        subject: SubjectRules { organisation: vec!["Org".to_owned()], ..SubjectRules::default() },
        revocation: Revocation::Soft,
        purpose: Purpose::Client,
        ..identity(&["mail.p.example", "*.q.example"])
    };
    let mut changed = strict.clone();
    change(&mut changed);
    for (old, new, expected) in [(&strict, &changed, expected), (&strict, &strict, "")] {
        let one = |forced: &Forced| [to("x", &["p.example"], OutboundTls::Forced(forced.clone()))];
        let lines: Vec<_> =
            (!expected.is_empty()).then(|| format!("p.example: x -> x: {expected}")).into_iter().collect();
        assert_eq!(told_outbound(&one(old), &one(new)), lines);
        let one = |forced: &Forced| [from("x", &["p.example"], InboundTls::Forced(forced.clone()))];
        assert_eq!(told_inbound(&one(old), &one(new)), lines);
    }
}

fn names(forced: &mut Forced, trust_sets: &[&str], names: &[&str]) {
    let names = names.iter().map(|name| PeerName::parse(name).expect("a name")).collect();
    forced.require = Require::Identity { trust: trust_sets.iter().map(|id| trust(id)).collect(), names };
}

#[test]
fn each_part_of_a_requirement_counts() {
    check(|forced| forced.min_version = TlsVersion::V12, "TLS version");
    check(|forced| forced.key_exchange = KeyExchange::Classic, "key exchange");
    check(|forced| forced.key_exchange = KeyExchange::PostQuantum, "");
    check(|forced| forced.pins.clear(), "pins");
    check(|forced| forced.pins[0].until = None, "pins");
    check(|forced| forced.pins[0].until = Some(UnixMillis(8)), "");
    check(|forced| forced.pins.truncate(1), "");
    check(|forced| forced.subject.organisation.push("Other".to_owned()), "subject or issuer");
    check(|forced| forced.subject.issuer.push("Some CA".to_owned()), "");
    check(|forced| forced.revocation = Revocation::Off, "revocation");
    check(|forced| forced.revocation = Revocation::Hard, "");
    check(|forced| forced.purpose = Purpose::Either, "purpose");
    check(|forced| forced.allow_cn = true, "allow_cn");
    check(|forced| forced.require = Require::Encryption, "require");
    check(|forced| forced.require = Require::Chain { trust: vec![trust("system")] }, "require");
    check(|forced| names(forced, &["system"], &["mail.p.example"]), "");
    check(|forced| names(forced, &["system"], &["mail.p.example", "a.q.example"]), "");
    check(|forced| names(forced, &["system"], &["mail.p.example", "a.b.q.example"]), "peer names");
    check(|forced| names(forced, &["system", "partners"], &["mail.p.example"]), "trust anchors");
    check(|forced| names(forced, &["partners"], &["mail.p.example"]), "trust anchors, revocation");
}

#[test]
fn the_anchors_count_and_not_the_name_of_their_set() {
    let old = table(&[], &[to("x", &["p.example"], OutboundTls::Forced(identity(&["a.p.example"])))]);
    let with = |anchors: &[u8], id: &str| {
        let mut forced = identity(&[]);
        names(&mut forced, &[id], &["a.p.example"]);
        let contents = TrustContents {
            anchors: anchors.iter().map(|one| [*one; 32]).collect(),
            lists: BTreeSet::from(["CN=CA 1".to_owned()]),
            ..TrustContents::default()
        };
        let trust = TrustSets::from([(trust(id), contents)]);
        let x = to("x", &["p.example"], OutboundTls::Forced(forced));
        Table::new(Generation(1), Vec::new(), vec![x]).trusting(trust)
    };
    let count = |old: &Table, new: &Table| weaker_outbound(old, new, &[]).len();
    assert_eq!(
        count(&old, &with(&[1], "partners")),
        0,
        "one of the system's anchors is less than all of them"
    );
    assert_eq!(count(&old, &with(&[2], "partners")), 1);
    let (one, two) = (with(&[3], "partners"), with(&[3, 4], "others"));
    assert_eq!((count(&one, &two), count(&two, &one)), (1, 0));
    assert_eq!(count(&one, &with(&[3], "others")), 0);
    assert_eq!(count(&one, &old), 1);
    // The operating system's updates are not ours to tell.
    assert_eq!(count(&with(&[1], "system"), &with(&[1, 5], "system")), 0);
}

#[test]
fn names_that_follow_from_the_next_hop_count_too() {
    let host = |name: &str| SmartHost { name: SmartHostName::Name(domain(name)), port: 25 };
    let by = |next_hop: NextHop, list: &[&str]| {
        let forced = OutboundTls::Forced(identity(list));
        [Outbound { next_hop, ..to("x", &["p.example"], forced) }]
    };
    let hosts = |names: &[&str]| NextHop::SmartHosts(names.iter().map(|name| host(name)).collect());
    let (mx, own) = (|| NextHop::Mx { port: 25 }, || by(hosts(&["a.example"]), &[]));
    let is_weaker = |old: &[Outbound], new: &[Outbound]| !told_outbound(old, new).is_empty();
    assert!(!is_weaker(&own(), &by(hosts(&["b.example"]), &[])), "another host proves its own name");
    assert!(!is_weaker(&own(), &by(hosts(&["b.example"]), &["a.example"])));
    assert!(is_weaker(&own(), &by(hosts(&["a.example"]), &["b.example"])));
    assert!(is_weaker(&by(mx(), &[]), &own()));
    assert!(is_weaker(&own(), &by(mx(), &[])));
    assert!(is_weaker(&by(mx(), &["a.example"]), &by(mx(), &[])));
}

#[test]
fn what_opportunistic_promises_counts() {
    let promising = || Outbound {
        on_handshake_failure: OnHandshakeFailure::Defer,
        remember_tls: true,
        ..to("x", &["p.example"], OutboundTls::Opportunistic(None))
    };
    let later = Outbound { on_handshake_failure: OnHandshakeFailure::ClearLater, ..promising() };
    assert_eq!(told_outbound(&[promising()], &[later]), ["p.example: x -> x: fallback to plaintext"]);
    let off = to("x", &["p.example"], OutboundTls::Off);
    let all = "p.example: x -> x: level, fallback to plaintext, remember_tls";
    assert_eq!(told_outbound(&[promising()], &[off]), [all]);
    let forced = to("x", &["p.example"], OutboundTls::Forced(Forced::encryption()));
    assert_eq!(told_outbound(&[promising()], &[forced]), Vec::<String>::new());
}

#[test]
fn what_admits_a_sender_counts() {
    let forced = || InboundTls::Forced(identity(&["mail.p.example"]));
    let anyone = || from("anyone", &["*"], InboundTls::Opportunistic);
    let partner = |domains: &[&str]| from("partner", domains, forced());
    let old = [partner(&["p.example", "q.example"]), anyone()];
    assert_eq!(told_inbound(&old, &old), Vec::<String>::new());
    assert_eq!(
        told_inbound(&old, &[partner(&["p.example"]), anyone()]),
        ["q.example: partner -> anyone: level"],
        "a domain that is taken out of a forced connector"
    );
    assert_eq!(told_inbound(&[anyone()], &old), Vec::<String>::new(), "a forced connector more");
    let twin = from("twin", &["p.example"], InboundTls::Forced(Forced::encryption()));
    let with_twin = [partner(&["p.example", "q.example"]), anyone(), twin];
    assert_eq!(told_inbound(&old, &with_twin), ["p.example: partner -> twin: require"]);

    let network = |text: &str| text.parse().expect("a network");
    let device = |networks: &[&str]| Inbound {
        from_networks: networks.iter().map(|text| network(text)).collect(),
        ..from("devices", &["d.example"], InboundTls::Off)
    };
    let wide = [device(&["192.0.2.0/24", "198.51.100.0/24"])];
    assert_eq!(told_inbound(&wide, &[device(&["192.0.2.128/25"])]), Vec::<String>::new());
    assert_eq!(
        told_inbound(&wide, &[device(&["192.0.0.0/16"])]),
        ["d.example: devices -> devices: networks"]
    );
    assert_eq!(told_inbound(&wide, &[device(&[])]), ["d.example: devices -> devices: networks"]);
    // Two connectors made one admit what they did.
    let (mut one, mut two) = (device(&["192.0.2.0/24"]), device(&["198.51.100.0/24"]));
    (one.name, two.name) = ("one".into(), "two".into());
    assert_eq!(told_inbound(&[one, two], &wide), Vec::<String>::new());

    let staff = |file: Option<&str>| Inbound {
        users: file.map(|file| Arc::new(Users::parse(file, "ann:$argon2id$x").expect("users"))),
        ..from("staff", &["s.example"], InboundTls::Opportunistic)
    };
    assert_eq!(told_inbound(&[staff(Some("u"))], &[staff(None)]), ["s.example: staff -> staff: login"]);
    assert_eq!(told_inbound(&[staff(None)], &[staff(Some("u"))]), Vec::<String>::new());

    let relays = |texts: &[&str]| Inbound {
        to_domains: texts.iter().map(|text| DomainPattern::parse(text).expect("a pattern")).collect(),
        onward: Onward::Sealed,
        ..from("x", &["x.example"], InboundTls::Off)
    };
    let some = || [relays(&["a.example", "*.b.example"])];
    assert_eq!(told_inbound(&some(), &[relays(&["c.b.example"])]), Vec::<String>::new());
    assert_eq!(told_inbound(&some(), &[relays(&["b.example"])]), ["x.example: x -> x: to_domains"]);
    let onward = Inbound { onward: Onward::Any, bare_lf: BareLf::Normalize, ..relays(&["a.example"]) };
    assert_eq!(told_inbound(&some(), &[onward]), ["x.example: x -> x: onward, bare_lf"]);
}

#[test]
fn rules_and_firewalls_that_go_are_weaker() {
    let rule = |to| RaiseRule {
        name: "r".into(),
        marker: MessageMarker::SubjectTag("[secure]".into()),
        to,
        remove: false,
    };
    let with = |onward, raise: &[RaiseRule]| {
        [Inbound { onward, raise: raise.to_vec(), ..from("x", &["x.example"], InboundTls::Off) }]
    };
    let (sealed, identity) = (rule(Onward::Sealed), rule(Onward::Identity));
    let one = with(Onward::Any, std::slice::from_ref(&sealed));
    let renamed = RaiseRule { name: "other".into(), remove: true, ..identity.clone() };
    assert_eq!(told_inbound(&one, &with(Onward::Any, &[renamed])), Vec::<String>::new());
    assert_eq!(told_inbound(&one, &with(Onward::Any, &[])), ["x.example: x -> x: [[raise]]"]);
    assert_eq!(told_inbound(&one, &with(Onward::Sealed, &[])), Vec::<String>::new(), "all mail must");
    let more = with(Onward::Sealed, &[identity]);
    assert_eq!(told_inbound(&more, &with(Onward::Sealed, &[sealed])), ["x.example: x -> x: [[raise]]"]);

    let handling = |headers| [Inbound { headers, ..from("x", &["x.example"], InboundTls::Off) }];
    let sending = |headers| {
        let sending = SendingSettings { headers, ..SendingSettings::default() };
        [Outbound { sending, ..to("x", &["x.example"], OutboundTls::Opportunistic(None)) }]
    };
    let (firewall, promote) = (HeaderHandling::Firewall, HeaderHandling::Promote);
    assert_eq!(told_inbound(&handling(firewall), &handling(promote)), ["x.example: x -> x: headers"]);
    assert_eq!(told_inbound(&handling(promote), &handling(firewall)), Vec::<String>::new());
    assert_eq!(
        told_outbound(&sending(firewall), &sending(HeaderHandling::Preserve)),
        ["x.example: x -> x: headers"]
    );
}

#[test]
fn protection_of_header_fields_that_goes_is_weaker() {
    let with = |headers, originators: &[&str], arrival_header| {
        let originators =
            originators.iter().map(|text| DomainPattern::parse(text).expect("a pattern")).collect();
        [Inbound { headers, originators, arrival_header, ..from("x", &["x.example"], InboundTls::Off) }]
    };
    let promote = |originators: &[&str]| with(HeaderHandling::Promote, originators, true);
    let preserve = |arrival_header| with(HeaderHandling::Preserve, &[], arrival_header);
    let told = |old: &[Inbound], new: &[Inbound]| {
        told_inbound(old, new).join("; ").replace("x.example: x -> x: ", "")
    };
    let (one, two) = (promote(&["a.example"]), promote(&["a.example", "b.example"]));
    assert_eq!(told(&one, &two), "originators");
    assert_eq!(told(&two, &one), "");
    assert_eq!(told(&one, &promote(&[])), "originators");
    assert_eq!(told(&one, &promote(&["*"])), "originators");
    assert_eq!(told(&promote(&["*.a.example"]), &promote(&["b.a.example"])), "");
    assert_eq!(told(&promote(&[]), &one), "");
    assert_eq!(told(&one, &preserve(true)), "headers");
    assert_eq!(told(&preserve(true), &preserve(false)), "arrival_header");
    assert_eq!(told(&preserve(false), &two), "", "promotion removes what is forged");
    let sending = |headers| {
        let sending = SendingSettings { headers, ..SendingSettings::default() };
        [Outbound { sending, ..to("x", &["x.example"], OutboundTls::Opportunistic(None)) }]
    };
    assert_eq!(
        told_outbound(&sending(HeaderHandling::Promote), &sending(HeaderHandling::Preserve)),
        ["x.example: x -> x: headers"]
    );
}

fn a_handling() -> impl Strategy<Value = Inbound> {
    let headers = select(vec![HeaderHandling::Firewall, HeaderHandling::Preserve, HeaderHandling::Promote]);
    let originators =
        prop::sample::subsequence(vec!["a.example", "*.a.example", "b.a.example", "c.example", "*"], 0..4);
    (headers, originators, any::<bool>()).prop_map(|(headers, originators, arrival_header)| {
        let patterns = originators.iter().map(|text| DomainPattern::parse(text).expect("a pattern"));
        let originators = if headers == HeaderHandling::Promote { patterns.collect() } else { Vec::new() };
        Inbound { headers, originators, arrival_header, ..from("x", &["x.example"], InboundTls::Off) }
    })
}

/// What reaches the next hop of fields that say who somebody is, of mail of this organisation.
fn passed(connector: &Inbound, originator: Option<&Domain>) -> BTreeSet<String> {
    let own = domain("gw.example");
    let section = "X-MS-Exchange-Organization-A: 1\r\nX-MS-Exchange-Forest-A: 1\r\nX-MS-Exchange-CrossPremises-B: 1\r\n\
                   Authentication-Results: gw.example; x-tls=pass\r\n\r\n";
    let found = connector.find(section.as_bytes(), &own, connector.handling(originator));
    let after = crate::mail::edited(section.as_bytes(), &found.edits);
    let names = String::from_utf8(after).expect("text");
    let kinds = ["Organization-A", "Organization-B", "Forest-", "CrossPremises-", "Authentication-Results"];
    kinds
        .into_iter()
        .filter(|kind| names.contains(kind))
        .map(|kind| kind.replace("-A", "").replace("-B", ""))
        .collect()
}

/// The same requirement, with one part of it stricter.
fn tightened(forced: &Forced, part: usize) -> Forced {
    let mut tight = forced.clone();
    match part {
        0 => tight.min_version = TlsVersion::V13,
        1 => tight.key_exchange = KeyExchange::PostQuantum,
        2 => tight.pins.truncate(1),
        3 => tight.revocation = Revocation::Hard,
        4 => tight.purpose = Purpose::Client,
        5 => tight.allow_cn = false,
        6 if tight.subject.issuer.is_empty() => tight.subject.issuer.push("Some CA".to_owned()),
        _ => {
            if let Require::Chain { trust } = &tight.require {
                let names = vec![PeerName::parse("mail.p.example").expect("a name")];
                tight.require = Require::Identity { trust: trust.clone(), names };
            }
        }
    }
    tight
}

fn to_everyone(inbound: Inbound) -> Inbound {
    Inbound { to_domains: vec![DomainPattern::Any], ..inbound }
}

proptest! {
    #[test]
    fn what_a_session_may_not_have_carried_before_is_told(
        (old, _) in shuffled(an_outbound(), |c, name| c.name = name),
        (new, _) in shuffled(an_outbound(), |c, name| c.name = name),
        to in recipient(),
        arrival in an_arrival(),
        observed in an_observation(),
    ) {
        let may_carry = |connector: &Outbound| {
            let requirement = connector.requirement(to.as_ref(), None);
            matches!(
                judge(&requirement, &observed, SessionId::new(), connector.revision, Generation(1)),
                Verdict::Proceed(_)
            )
        };
        let carries = |table: &Table, connector: &Outbound| {
            let other = reroute_target(table, connector);
            may_carry(connector) || other.is_some_and(|other| may_carry(&other))
        };
        let (old, new) = (table(&[], &old), table(&[], &new));
        let others: Vec<Domain> = to.iter().cloned().collect();
        let found = weaker_outbound(&old, &new, &others);
        prop_assert_eq!(weaker_outbound(&old, &old, &others), vec![]);
        if let (Some(was), Some(now)) = (choose(&old, to.as_ref(), arrival), choose(&new, to.as_ref(), arrival))
            && !carries(&old, &was.connector) && carries(&new, &now.connector)
        {
            let label = to.map_or(DomainPattern::Any, DomainPattern::Exact);
            let of_it = |one: &&Weakening<Outbound>| {
                one.arrives_by.as_deref().is_none_or(|by| arrival == Arrival::By(by))
            };
            let named = found.iter().filter(of_it).any(|one| one.domains.contains(&label));
            prop_assert!(named, "{label} by {} and {}: {found:?}", was.connector.name, now.connector.name);
        }
    }

    #[test]
    fn who_was_not_admitted_before_is_told(
        (old, _) in shuffled(an_inbound(), |c, name| c.name = name),
        (new, turned) in shuffled(an_inbound(), |c, name| c.name = name),
        from in select(DOMAINS.to_vec()),
        peer in select(PEERS.to_vec()),
        tls in prop::option::weighted(0.8, some_facts()),
    ) {
        let all = |all: Vec<Inbound>| table(&all.into_iter().map(to_everyone).collect::<Vec<_>>(), &[]);
        let (old, new, turned) = (all(old), all(new), all(turned));
        let found = weaker_inbound(&old, &new);
        prop_assert_eq!(weaker_inbound(&old, &old), vec![]);
        prop_assert_eq!(&weaker_inbound(&old, &turned), &found);
        let path = ReversePath::parse(&format!("a@{from}")).expect("a reverse-path");
        let channel = Channel { tls: tls.map(Arc::new), ..Channel::new(peer.parse().expect("an address")) };
        let admitted = |table: &Table| matches!(admit(table, &channel, &path), Admission::Admitted(_));
        let domain = domain(from);
        let covered = old.inbound.iter().any(|c| {
            c.mode != Mode::Off && c.covers(Some(&domain)).is_some()
        });
        if covered && !admitted(&old) && admitted(&new) {
            let named = found.iter().flat_map(|one| &one.domains).any(|pattern| pattern.covers(Some(&domain)).is_some());
            prop_assert!(named, "{from}: {found:?}");
        }
    }

    #[test]
    fn fields_that_pass_more_than_before_are_told_and_no_others(old in a_handling(), new in a_handling()) {
        let of: Vec<_> = ["a.example", "x.a.example", "b.a.example", "c.example", "d.example"].map(domain).into();
        let more = of.iter().map(Some).chain([None]).any(|one| !passed(&new, one).is_subset(&passed(&old, one)));
        let told = told_inbound(&[old], &[new]);
        prop_assert_eq!(!told.is_empty(), more, "{:?}", told);
    }

    #[test]
    fn what_is_only_stricter_is_not_told(
        forced in a_forced(),
        part in 0..8_usize,
        (mut rest, _) in shuffled(an_outbound(), |c, name| c.name = name),
    ) {
        let one = |forced: &Forced| to("one", &["p.example", "*.a.p.example"], OutboundTls::Forced(forced.clone()));
        let mut tight = rest.clone();
        for connector in &mut tight {
            if let OutboundTls::Forced(forced) = &mut connector.tls {
                *forced = tightened(forced, part);
            }
        }
        let mut before = vec![one(&forced)];
        before.append(&mut rest);
        let mut after = vec![one(&tightened(&forced, part))];
        after.append(&mut tight);
        prop_assert_eq!(told_outbound(&before, &after), Vec::<String>::new());
    }
}
