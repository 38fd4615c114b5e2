//! Tests of `admit`: which inbound connector takes a transaction.

use std::net::IpAddr;

use super::super::samples::*;
use super::super::*;
use crate::mail::ReversePath;

const INSIDE: [u8; 4] = [192, 0, 2, 7];
const OUTSIDE: [u8; 4] = [203, 0, 113, 9];

/// A forced partner with its old certificate beside the new one, a device network and an open domain.
fn table() -> Table {
    let mut devices = inbound("devices", &["contoso.example"], InboundTls::Off);
    devices.from_networks = networks(&["192.0.2.0/24"]);
    let mut sealed_net = inbound("sealed-net", &["bank.example"], InboundTls::Forced(Forced::encryption()));
    sealed_net.from_networks = networks(&["192.0.2.0/24"]);
    let partner = |name: &str, peer: &str| {
        inbound(name, &["fabrikam.example", "*.fabrikam.example"], InboundTls::Forced(identity(&[peer])))
    };
    Table::new(
        Generation(1),
        vec![
            partner("fabrikam-new", "mail2.fabrikam.example"),
            partner("fabrikam-old", "mail.fabrikam.example"),
            devices,
            sealed_net,
            inbound("open", &["*.fabrikam.example", "fabrikam.example", "news.example"], InboundTls::Off),
        ],
        Vec::new(),
    )
}

fn clear(peer: [u8; 4]) -> Channel {
    Channel { listener: None, peer: IpAddr::from(peer), tls: None, user: None }
}

fn with(peer: [u8; 4], seen: TlsFacts) -> Channel {
    Channel { listener: None, peer: IpAddr::from(peer), tls: facts(seen), user: None }
}

fn good(names: &[&str]) -> Channel {
    with(OUTSIDE, shown(names, ChainVerdict::Trusted))
}

fn networks(texts: &[&str]) -> ClientNetworks {
    texts.iter().map(|text| text.parse::<ipnet::IpNet>().expect("a network")).collect()
}

#[track_caller]
fn check_in(table: &Table, channel: &Channel, from: &str, expected: &str) {
    let path = ReversePath::parse(from).expect("a reverse-path");
    let got = match admit(table, channel, &path) {
        Admission::Admitted(admitted) => format!("{} {}", admitted.connector.name, admitted.decision.token()),
        Admission::Refused(refused) => format!(
            "{} {} [{}] {}",
            refused.reply.code,
            refused.reply.enhanced.expect("an enhanced code"),
            refused.decision.connector.as_deref().unwrap_or("none"),
            refused.decision.token()
        ),
    };
    assert_eq!(got, expected, "<{from}>");
}

#[track_caller]
fn check(channel: &Channel, from: &str, expected: &str) {
    check_in(&table(), channel, from, expected);
}

#[test]
fn a_forced_connector_is_never_rescued_by_a_looser_one() {
    check(&clear(OUTSIDE), "a@fabrikam.example", "550 5.7.10 [fabrikam-old] tls-required");
    check(&clear(OUTSIDE), "a@sub.fabrikam.example", "550 5.7.10 [fabrikam-old] tls-required");
    let no_certificate = with(OUTSIDE, tls(TlsVersion::V13, PeerCertificate::NotShown));
    check(&no_certificate, "a@fabrikam.example", "550 5.7.1 [fabrikam-old] no-certificate");
    check(&good(&["evil.example"]), "a@fabrikam.example", "550 5.7.1 [fabrikam-old] name-mismatch");
    let expired = with(OUTSIDE, shown(&["mail.fabrikam.example"], ChainVerdict::Faulty(ChainFault::Expired)));
    check(&expired, "a@fabrikam.example", "550 5.7.1 [fabrikam-old] certificate-expired");
    let expired =
        with(OUTSIDE, shown(&["mail2.fabrikam.example"], ChainVerdict::Faulty(ChainFault::Expired)));
    check(&expired, "a@fabrikam.example", "550 5.7.1 [fabrikam-new] certificate-expired");
}

#[test]
fn two_forced_connectors_side_by_side_for_a_rotation() {
    check(&good(&["mail.fabrikam.example"]), "a@fabrikam.example", "fabrikam-old by-certificate");
    check(&good(&["mail2.fabrikam.example"]), "a@fabrikam.example", "fabrikam-new by-certificate");
    check(&good(&["mail2.fabrikam.example"]), "a@x.fabrikam.example", "fabrikam-new by-certificate");
}

#[test]
fn all_conditions_of_a_connector_must_hold() {
    check(&clear(INSIDE), "a@contoso.example", "devices by-network");
    check(&clear(OUTSIDE), "a@contoso.example", "550 5.7.1 [none] no-connector");
    check(&clear(INSIDE), "a@bank.example", "550 5.7.10 [sealed-net] tls-required");
    let sealed = tls(TlsVersion::V12, PeerCertificate::NotShown);
    check(&with(INSIDE, sealed.clone()), "a@bank.example", "sealed-net by-network");
    check(&with(OUTSIDE, sealed), "a@bank.example", "550 5.7.1 [sealed-net] wrong-network");
}

#[test]
fn nobody_relays_who_was_not_let_in() {
    check(&clear(OUTSIDE), "a@stranger.example", "550 5.7.1 [none] no-connector");
    check(&good(&["mail.fabrikam.example"]), "a@stranger.example", "550 5.7.1 [none] no-connector");
    check(&clear(OUTSIDE), "a@[192.0.2.1]", "550 5.7.1 [none] no-connector");
    check(&clear(OUTSIDE), "a@news.example", "open by-domain");
}

#[test]
fn the_null_reverse_path_is_bound_by_certificate_or_network() {
    check(&good(&["mail.fabrikam.example"]), "", "fabrikam-old by-certificate");
    let expired = with(OUTSIDE, shown(&["mail.fabrikam.example"], ChainVerdict::Faulty(ChainFault::Expired)));
    check(&expired, "", "550 5.7.1 [fabrikam-old] certificate-expired");
    check(&clear(INSIDE), "", "550 5.7.10 [sealed-net] tls-required");
    check(&clear(OUTSIDE), "", "550 5.7.1 [none] no-connector");
    let mut connectors: Vec<Inbound> = table().inbound.iter().map(|c| (**c).clone()).collect();
    connectors.push(inbound("all", &["*"], InboundTls::Off));
    let with_any = Table::new(Generation(1), connectors, Vec::new());
    check_in(&with_any, &clear(OUTSIDE), "", "all by-domain");
    check_in(&with_any, &clear(INSIDE), "", "550 5.7.10 [sealed-net] tls-required");
    check_in(&with_any, &expired, "", "550 5.7.1 [fabrikam-old] certificate-expired");
    check_in(&with_any, &clear(OUTSIDE), "a@[192.0.2.1]", "all by-domain");
}

#[test]
fn a_level_without_forced_connectors_is_passed_over() {
    let mut near = inbound("near", &["p.example"], InboundTls::Off);
    near.from_networks = networks(&["192.0.2.0/24"]);
    let far = inbound("far", &["*"], InboundTls::Opportunistic);
    let table = Table::new(Generation(1), vec![far, near], Vec::new());
    check_in(&table, &clear(INSIDE), "a@p.example", "near by-network");
    check_in(&table, &clear(OUTSIDE), "a@p.example", "far by-domain");
}

#[test]
fn an_address_mapped_into_ipv6_is_its_ipv4_self() {
    let mapped = Channel {
        listener: None,
        peer: "::ffff:192.0.2.7".parse().expect("an address"),
        tls: None,
        user: None,
    };
    check(&mapped, "a@contoso.example", "devices by-network");
}

#[test]
fn only_the_attributed_connectors_recipients_count() {
    let mut connector = inbound("in", &["*"], InboundTls::Off);
    connector.to_domains = vec![DomainPattern::parse("contoso.example").expect("a pattern")];
    assert!(connector.relays_to(Some(&domain("contoso.example"))));
    assert!(!connector.relays_to(Some(&domain("sub.contoso.example"))));
    assert!(!connector.relays_to(None));
    connector.to_domains.clear();
    assert!(!connector.relays_to(Some(&domain("contoso.example"))));
}

#[test]
fn a_null_reverse_path_relays_no_further_than_it_is_tied() {
    let cloud = inbound("cloud", &["contoso.example"], InboundTls::Forced(identity(&["mail.cloud.example"])));
    let ours = Inbound {
        to_domains: vec![DomainPattern::parse("contoso.example").expect("a pattern")],
        ..inbound("internet", &["*"], InboundTls::Opportunistic)
    };
    let (near, far) = (domain("contoso.example"), domain("elsewhere.example"));
    let reach = |connector: &Inbound| {
        let table = Table::new(Generation(1), vec![connector.clone(), ours.clone()], Vec::new());
        [(true, &near), (true, &far), (false, &far)]
            .map(|(is_null, to)| connector.relays(&table, is_null, Some(to)))
    };
    assert_eq!(reach(&cloud), [true, false, true]);
    assert_eq!(reach(&Inbound { kind: ClientKind::Own, ..cloud.clone() }), [true, true, true]);
    let from_networks = networks(&["192.0.2.0/24"]);
    assert_eq!(reach(&Inbound { from_networks, ..cloud.clone() }), [true, true, true]);
    let pinned = Forced {
        pins: vec![Pin { sha256: [7; 32], from: None, until: None }],
        ..identity(&["mail.cloud.example"])
    };
    assert_eq!(reach(&Inbound { tls: InboundTls::Forced(pinned), ..cloud }), [true, true, true]);
}

#[test]
fn the_order_of_the_file_never_matters() {
    let base = table();
    let mut connectors: Vec<Inbound> = base.inbound.iter().map(|c| (**c).clone()).collect();
    for _ in 0..connectors.len() {
        connectors.rotate_left(1);
        let turned = Table::new(Generation(1), connectors.clone(), Vec::new());
        check_in(
            &turned,
            &good(&["mail.fabrikam.example"]),
            "a@fabrikam.example",
            "fabrikam-old by-certificate",
        );
        check_in(&turned, &clear(OUTSIDE), "a@fabrikam.example", "550 5.7.10 [fabrikam-old] tls-required");
    }
}

#[test]
fn audit_waives_tls_only_where_its_network_holds() {
    let mut audited =
        inbound("bank", &["bank.example"], InboundTls::Forced(identity(&["mail.bank.example"])));
    audited.mode = Mode::Audit;
    audited.from_networks = networks(&["192.0.2.0/24"]);
    let table = |bank: Inbound| Table::new(Generation(1), vec![bank], Vec::new());
    check_in(&table(audited.clone()), &clear(INSIDE), "a@bank.example", "bank audit-tls-required");
    check_in(&table(audited.clone()), &clear(OUTSIDE), "a@bank.example", "550 5.7.1 [none] no-connector");
    audited.from_networks = ClientNetworks::default();
    check_in(&table(audited.clone()), &clear(INSIDE), "a@bank.example", "550 5.7.1 [none] no-connector");
    audited.mode = Mode::Off;
    check_in(
        &table(audited),
        &good(&["mail.bank.example"]),
        "a@bank.example",
        "550 5.7.1 [none] no-connector",
    );
}

#[test]
fn a_refusal_says_no_more_than_the_connector_lets_it() {
    let mut bank = inbound("bank", &["bank.example"], InboundTls::Forced(identity(&["mail.bank.example"])));
    bank.reveal = Reveal::Code;
    let table = Table::new(Generation(1), vec![bank], Vec::new());
    let path = ReversePath::parse("a@bank.example").expect("a reverse-path");
    let Admission::Refused(refused) = admit(&table, &good(&["evil.example"]), &path) else {
        panic!("a refusal")
    };
    assert_eq!(refused.reply.to_string(), "550 5.7.1 not accepted from you; ask our administrator");
    assert!(refused.decision.sentence().contains("evil.example"));
}

fn audited(name: &str, names: &[&str]) -> Inbound {
    let mut connector = inbound(name, &["bank.example"], InboundTls::Forced(identity(names)));
    connector.mode = Mode::Audit;
    connector.from_networks = networks(&["192.0.2.0/24"]);
    connector
}

#[test]
fn a_rehearsal_that_holds_comes_before_one_that_is_waived() {
    let table = Table::new(
        Generation(1),
        vec![audited("a-first", &["other.bank.example"]), audited("b-holds", &["mail.bank.example"])],
        Vec::new(),
    );
    let channel = with(INSIDE, shown(&["mail.bank.example"], ChainVerdict::Trusted));
    check_in(&table, &channel, "a@bank.example", "b-holds by-certificate");
    check_in(&table, &clear(INSIDE), "a@bank.example", "a-first audit-tls-required");
}

#[test]
fn an_audited_partners_reports_come_in() {
    let table = Table::new(Generation(1), vec![audited("bank", &["mail.bank.example"])], Vec::new());
    let good = |peer| with(peer, shown(&["mail.bank.example"], ChainVerdict::Trusted));
    check_in(&table, &good(INSIDE), "", "bank by-certificate");
    check_in(&table, &clear(INSIDE), "", "bank audit-tls-required");
    check_in(&table, &good(OUTSIDE), "", "550 5.7.1 [none] no-connector");
}

#[test]
fn every_other_connector_is_told_with_its_reason() {
    let mut connectors: Vec<Inbound> = table().inbound.iter().map(|c| (**c).clone()).collect();
    let mut off = inbound("off", &["fabrikam.example"], InboundTls::Off);
    off.mode = Mode::Off;
    connectors.extend([off, inbound("all", &["*"], InboundTls::Off)]);
    let table = Table::new(Generation(1), connectors, Vec::new());
    let path = ReversePath::parse("a@fabrikam.example").expect("a reverse-path");
    let told = |channel: &Channel| -> Vec<String> {
        let answer = admit(&table, channel, &path);
        let all = UnchosenConnector::all(&table, channel, &path, &answer);
        all.iter().map(|p| format!("{} {}", p.connector, p.why.token())).collect()
    };
    assert_eq!(
        told(&good(&["mail.fabrikam.example"])),
        [
            "all farther",
            "devices not-covering",
            "fabrikam-new name-mismatch",
            "off connector-off",
            "open bound",
            "sealed-net not-covering"
        ]
    );
    assert_eq!(
        told(&clear(OUTSIDE)),
        [
            "all farther",
            "devices not-covering",
            "fabrikam-new tls-required",
            "fabrikam-old tls-required",
            "off connector-off",
            "open bound",
            "sealed-net not-covering"
        ]
    );
}

fn user_ann(file: &str, hash: &str) -> User {
    User { name: "ann".into(), logins: vec![VerifiedLogin { file: file.into(), hash: hash.into() }] }
}

#[test]
fn a_login_is_a_condition_like_any_other() {
    let mut staff = inbound("staff", &["contoso.example"], InboundTls::Opportunistic);
    staff.users = Some(std::sync::Arc::new(Users::parse("staff-users", "ann:$argon2id$x").expect("users")));
    let mut devices = inbound("devices", &["contoso.example"], InboundTls::Off);
    devices.from_networks = networks(&["192.0.2.0/24"]);
    let table = Table::new(Generation(1), vec![devices, staff], Vec::new());
    let user = |file: &str| Some(std::sync::Arc::new(user_ann(file, "$argon2id$x")));
    check_in(&table, &clear(OUTSIDE), "a@contoso.example", "530 5.7.0 [staff] login-required");
    check_in(&table, &clear(INSIDE), "a@contoso.example", "devices by-network");
    let ann = Channel { user: user("staff-users"), ..clear(OUTSIDE) };
    check_in(&table, &ann, "a@contoso.example", "staff by-user");
    let inside = Channel { user: user("staff-users"), ..clear(INSIDE) };
    check_in(&table, &inside, "a@contoso.example", "staff by-user");
    let other = Channel { user: user("other-users"), ..clear(OUTSIDE) };
    check_in(&table, &other, "a@contoso.example", "530 5.7.0 [staff] login-required");
    // A password that was changed since is another one.
    let changed = Some(std::sync::Arc::new(user_ann("staff-users", "$argon2id$y")));
    let changed = Channel { user: changed, ..clear(OUTSIDE) };
    check_in(&table, &changed, "a@contoso.example", "530 5.7.0 [staff] login-required");
    check_in(&table, &clear(OUTSIDE), "a@else.example", "550 5.7.1 [none] no-connector");
}

#[test]
fn a_rehearsal_of_tls_spares_nobody_the_login() {
    let mut staff = inbound("staff", &["contoso.example"], InboundTls::Forced(Forced::encryption()));
    staff.users = Some(std::sync::Arc::new(Users::parse("staff-users", "ann:$argon2id$x").expect("users")));
    staff.from_networks = networks(&["192.0.2.0/24"]);
    staff.mode = Mode::Audit;
    let table = Table::new(Generation(1), vec![staff], Vec::new());
    check_in(&table, &clear(INSIDE), "a@contoso.example", "550 5.7.1 [none] no-connector");
    let user = Some(std::sync::Arc::new(user_ann("staff-users", "$argon2id$x")));
    let ann = Channel { user, ..clear(INSIDE) };
    check_in(&table, &ann, "a@contoso.example", "staff audit-tls-required");
}

#[test]
fn a_login_admits_the_null_reverse_path() {
    let mut staff = inbound("staff", &["contoso.example"], InboundTls::Opportunistic);
    staff.users = Some(std::sync::Arc::new(Users::parse("staff-users", "ann:$argon2id$x").expect("users")));
    let table = Table::new(Generation(1), vec![staff], Vec::new());
    check_in(&table, &clear(OUTSIDE), "", "550 5.7.1 [none] no-connector");
    let user = Some(std::sync::Arc::new(user_ann("staff-users", "$argon2id$x")));
    check_in(&table, &Channel { user, ..clear(OUTSIDE) }, "", "staff by-user");
}

#[test]
fn whom_an_enforced_connector_names_by_network() {
    let named = |listed: &[&str], mode: Mode, connections_max: Option<usize>| {
        let from_networks = self::networks(listed);
        let limits = crate::connector::InboundLimits { connections_max, ..Default::default() };
        Inbound { from_networks, mode, limits, ..inbound("in", &["*"], InboundTls::Opportunistic) }
    };
    let table = Table::new(
        crate::connector::Generation(1),
        vec![
            named(&["192.0.2.0/24"], Mode::Enforce, Some(5)),
            named(&["192.0.2.64/26", "2001:db8::/32"], Mode::Enforce, Some(7)),
            named(&["198.51.100.7/32"], Mode::Enforce, None),
            named(&["203.0.113.0/24"], Mode::Audit, None),
            named(&["0.0.0.0/0"], Mode::Enforce, None),
            named(&[], Mode::Enforce, None),
        ],
        Vec::new(),
    );
    let check = |peer: &str, expected: Option<usize>| {
        assert_eq!(table.sessions_of_named(peer.parse().expect("an address")), expected, "{peer}");
    };
    check("192.0.2.1", Some(5));
    check("192.0.2.65", Some(7));
    check("::ffff:192.0.2.1", Some(5));
    check("2001:db8:1::1", Some(7));
    check("198.51.100.7", Some(usize::MAX));
    check("203.0.113.1", None);
    check("8.8.8.8", None);
}

/// A client with the certificate of one of our own systems, which can't be accepted now.
#[test]
fn who_means_one_of_our_own_connectors_hears_why_it_is_not_taken() {
    let own = |mode| Inbound {
        kind: ClientKind::Own,
        mode,
        ..inbound("cloud-in", &[], InboundTls::Forced(identity(&["mail.cloud.example"])))
    };
    let excepting = Inbound {
        except_domains: vec![DomainPattern::parse("contoso.example").expect("a pattern")],
        ..inbound("internet-in", &["*"], InboundTls::Opportunistic)
    };
    let partner = inbound("bank-in", &["bank.example"], InboundTls::Forced(identity(&["mail.bank.example"])));
    let table =
        |mode| Table::new(Generation(1), vec![own(mode), excepting.clone(), partner.clone()], Vec::new());
    let shows = |name: &str, verdict| with(OUTSIDE, shown(&[name], verdict));
    let untrusted = shows("mail.cloud.example", ChainVerdict::Faulty(ChainFault::UnknownIssuer));
    let good = shows("mail.cloud.example", ChainVerdict::Trusted);
    let stranger = shows("mail.other.example", ChainVerdict::Trusted);
    let enforced = table(Mode::Enforce);
    check_in(&enforced, &good, "ann@contoso.example", "cloud-in by-certificate");
    for from in ["ann@contoso.example", "ann@bank.example"] {
        check_in(&enforced, &untrusted, from, "550 5.7.1 [cloud-in] unknown-issuer");
    }
    check_in(&enforced, &untrusted, "ann@anywhere.example", "internet-in by-domain");
    check_in(&enforced, &stranger, "ann@contoso.example", "550 5.7.1 [internet-in] excepted-domain");
    check_in(
        &table(Mode::Audit),
        &untrusted,
        "ann@contoso.example",
        "550 5.7.1 [internet-in] excepted-domain",
    );
    let alone = Table::new(Generation(1), vec![own(Mode::Enforce)], Vec::new());
    check_in(&alone, &untrusted, "ann@contoso.example", "550 5.7.1 [cloud-in] unknown-issuer");
    check_in(&alone, &stranger, "ann@contoso.example", "550 5.7.1 [none] no-connector");
}
