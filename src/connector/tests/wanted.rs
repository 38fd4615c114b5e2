//! Tests of `unassessed`: which trust anchor sets a client's chain must be assessed by, and who is asked for one.

use super::super::samples::*;
use super::super::*;
use crate::mail::ReversePath;

fn partner(name: &str, from: &str, set: &str, network: Option<&str>) -> Inbound {
    let forced = Forced::new(Require::Identity {
        trust: vec![trust(set)],
        names: vec![PeerName::parse(&format!("mail.{name}.example")).expect("a name")],
    });
    let from_networks = network.into_iter().map(|network| network.parse().expect("a network")).collect();
    Inbound { from_networks, ..inbound(name, &[from], InboundTls::Forced(forced)) }
}

fn table(mode: Mode) -> Table {
    Table::new(
        Generation(1),
        vec![
            partner("a", "a.example", "a-set", None),
            partner("b", "b.example", "b-set", Some("192.0.2.0/24")),
            Inbound { mode, ..partner("sub", "*.example", "sub-set", Some("203.0.113.0/24")) },
            partner("all", "*", "all-set", None),
            inbound("open", &["*"], InboundTls::Opportunistic),
        ],
        Vec::new(),
    )
}

/// What is assessed for a client that presents this name, and was assessed by `done` before.
#[track_caller]
fn check(mode: Mode, (name, done): (&str, &[&str]), from: &str, expected: &[&str]) {
    let mut certificate = certificate(&[name], ChainVerdict::Trusted);
    certificate.chain = done.iter().map(|set| (trust(set), ChainVerdict::Trusted)).collect();
    let tls = facts(tls(TlsVersion::V13, PeerCertificate::Shown(Box::new(certificate))));
    let channel = Channel { tls, ..Channel::new([203, 0, 113, 9].into()) };
    let path = ReversePath::parse(from).expect("a reverse-path");
    let expected: Vec<TrustId> = expected.iter().map(|set| trust(set)).collect();
    assert_eq!(unassessed(&table(mode), &channel, &path), expected, "{mode:?} <{from}>");
    let clear = Channel { tls: None, ..channel };
    assert_eq!(unassessed(&table(mode), &clear, &path), []);
}

#[test]
fn a_chain_is_assessed_only_by_the_sets_of_candidates() {
    let stranger = ("mail.stranger.example", &[][..]);
    check(Mode::Enforce, stranger, "x@a.example", &["a-set"]);
    check(Mode::Enforce, stranger, "x@c.example", &["sub-set"]);
    check(Mode::Enforce, stranger, "x@other.test", &["all-set"]);
    // Its network rules b out, which still binds the domain.
    check(Mode::Enforce, stranger, "x@b.example", &[]);
    // A rehearsal does not bind: the next level may be asked too.
    check(Mode::Audit, stranger, "x@c.example", &["all-set", "sub-set"]);
    check(Mode::Off, stranger, "x@c.example", &["all-set"]);
    check(Mode::Enforce, ("mail.stranger.example", &["a-set"]), "x@a.example", &[]);
}

#[test]
fn the_null_reverse_path_asks_about_whom_the_certificate_names() {
    check(Mode::Enforce, ("mail.a.example", &[]), "", &["a-set", "sub-set"]);
    check(Mode::Enforce, ("mail.a.example", &["a-set", "sub-set"]), "", &[]);
}

#[test]
fn the_null_reverse_path_asks_about_whom_has_logged_in() {
    let mut staff = partner("staff", "contoso.example", "staff-set", None);
    let Inbound { tls: InboundTls::Forced(forced), .. } = &mut staff else { unreachable!("it is forced") };
    forced.require = Require::Chain { trust: vec![trust("staff-set")] };
    staff.users = Some(std::sync::Arc::new(Users::parse("staff-users", "ann:$argon2id$x").expect("users")));
    let table = Table::new(Generation(1), vec![staff], Vec::new());
    let asked = |file: Option<&str>, done: &[&str]| {
        let user = file.map(|file| {
            let logins = vec![VerifiedLogin { file: file.into(), hash: "$argon2id$x".into() }];
            std::sync::Arc::new(User { name: "ann".into(), logins })
        });
        let mut certificate = certificate(&["laptop.example"], ChainVerdict::Trusted);
        certificate.chain = done.iter().map(|set| (trust(set), ChainVerdict::Trusted)).collect();
        let tls = facts(tls(TlsVersion::V13, PeerCertificate::Shown(Box::new(certificate))));
        let channel = Channel { tls, user, ..Channel::new([203, 0, 113, 9].into()) };
        let null = ReversePath::parse("").expect("a reverse-path");
        (
            unassessed(&table, &channel, &null),
            matches!(admit(&table, &channel, &null), Admission::Admitted(_)),
        )
    };
    assert_eq!(asked(Some("staff-users"), &[]), (vec![trust("staff-set")], false));
    assert_eq!(asked(Some("staff-users"), &["staff-set"]), (vec![], true));
    assert_eq!(asked(Some("other-users"), &[]), (vec![], false));
    assert_eq!(asked(None, &[]), (vec![], false));
}

#[test]
fn a_client_is_asked_only_where_a_connector_wants_its_certificate() {
    let asks = |inbound: Vec<Inbound>, peer: [u8; 4]| {
        Table::new(Generation(1), inbound, Vec::new()).wants_certificate_of("in", peer.into())
    };
    let b = || partner("b", "b.example", "b-set", Some("192.0.2.0/24"));
    assert!(asks(vec![b()], [192, 0, 2, 7]) && !asks(vec![b()], [203, 0, 113, 9]));
    assert!(!asks(vec![Inbound { listeners: vec!["other".into()], ..b() }], [192, 0, 2, 7]));
    assert!(!asks(vec![Inbound { mode: Mode::Off, ..b() }], [192, 0, 2, 7]));
    let sealed = || inbound("sealed", &["*"], InboundTls::Forced(Forced::encryption()));
    assert!(!asks(vec![sealed()], [192, 0, 2, 7]));
}
