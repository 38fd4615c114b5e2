//! Properties over random tables and facts: every mode and requirement, with connectors in any order.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::super::samples::*;
use super::super::*;
use crate::mail::{Domain, Enhanced, Reply, ReversePath, UnixMillis};

pub(super) const DOMAINS: &[&str] = &["p.example", "a.p.example", "b.a.p.example", "q.example"];
const NAMES: &[&str] = &["mail.p.example", "*.p.example", "mail.q.example"];
const NETWORKS: &[&str] = &["192.0.2.0/24", "2001:db8::/32"];
pub(super) const PEERS: &[&str] = &["192.0.2.7", "203.0.113.9", "2001:db8::1", "::ffff:192.0.2.9"];
const AT: i64 = 1_750_000_000_000;

fn some_of<T: Clone + std::fmt::Debug + 'static>(all: Vec<T>) -> impl Strategy<Value = Vec<T>> {
    let most = all.len();
    subsequence(all, 0..=most)
}

fn a_trust() -> impl Strategy<Value = Vec<TrustId>> {
    subsequence(vec![trust("system"), trust("partners")], 1..=2)
}

fn a_require() -> impl Strategy<Value = Require> {
    let names: Vec<PeerName> = NAMES.iter().map(|n| PeerName::parse(n).expect("a name")).collect();
    prop_oneof![
        Just(Require::Encryption),
        a_trust().prop_map(|trust| Require::Chain { trust }),
        (a_trust(), some_of(names)).prop_map(|(trust, names)| Require::Identity { trust, names }),
    ]
}

fn a_pin() -> impl Strategy<Value = Pin> {
    let date = || prop_oneof![Just(None), Just(Some(UnixMillis(AT - 1))), Just(Some(UnixMillis(AT + 1)))];
    (select(vec![[7; 32], [8; 32]]), date(), date()).prop_map(|(sha256, from, until)| Pin {
        sha256,
        from,
        until,
    })
}

fn texts(words: &[&str]) -> impl Strategy<Value = Vec<String>> + use<> {
    some_of(words.iter().map(|word| (*word).to_owned()).collect())
}

pub(super) fn a_forced() -> impl Strategy<Value = Forced> {
    let channel = (
        select(vec![TlsVersion::V12, TlsVersion::V13]),
        select(vec![KeyExchange::Any, KeyExchange::PostQuantum, KeyExchange::Classic]),
        prop_oneof![3 => Just(None), 1 => select(Profile::ALL.to_vec()).prop_map(Some)],
    );
    let subject = (texts(&["Org"]), texts(&["mail"]), texts(&["Some CA", "Other CA"]));
    let rest = (
        any::<bool>(),
        select(vec![Revocation::Off, Revocation::Soft, Revocation::Hard]),
        select(vec![Purpose::Either, Purpose::Client]),
    );
    (a_require(), channel, prop::collection::vec(a_pin(), 0..3), subject, rest).prop_map(
        |(require, (min_version, key_exchange, profile), pins, subject, (allow_cn, revocation, purpose))| {
            let (organisation, common_name, issuer) = subject;
            let subject = SubjectRules { organisation, common_name, issuer };
            Forced {
                require,
                min_version,
                key_exchange,
                profile,
                pins,
                subject,
                allow_cn,
                revocation,
                purpose,
            }
        },
    )
}

fn a_verdict() -> impl Strategy<Value = ChainVerdict> {
    select(vec![
        ChainVerdict::Trusted,
        ChainVerdict::Trusted,
        ChainVerdict::Faulty(ChainFault::Expired),
        ChainVerdict::Faulty(ChainFault::UnknownIssuer),
    ])
}

fn a_status() -> impl Strategy<Value = RevocationStatus> {
    select(vec![
        RevocationStatus::NoList,
        RevocationStatus::Good,
        RevocationStatus::Revoked,
        RevocationStatus::Unknown,
        RevocationStatus::Stale,
        RevocationStatus::NotFetched,
    ])
}

fn a_certificate() -> impl Strategy<Value = CertificateFacts> {
    let names: Vec<PresentedName> = NAMES.iter().map(|name| PresentedName::from_dns(name)).collect();
    let texts =
        (texts(&["Org"]), texts(&["Some CA"]), select(vec![None, Some("mail"), Some("mail.p.example")]));
    let judged = (a_verdict(), a_verdict(), a_status(), a_status());
    let flags = (any::<bool>(), prop::bool::weighted(0.8), select(vec![[7; 32], [8; 32], [9; 32]]));
    let strong = prop::bool::weighted(0.7);
    (some_of(names), texts, judged, flags, strong).prop_map(
        |(names, (organisation, issuer_names, common_name), judged, (for_clients, proved, spki), strong)| {
            let (system, partners, by_system, by_partners) = judged;
            let sets = |one, two| BTreeMap::from([(trust("system"), one), (trust("partners"), two)]);
            let verdicts = [("system", &system), ("partners", &partners)];
            let trusting = verdicts.into_iter().filter(|(_, verdict)| **verdict == ChainVerdict::Trusted);
            let paths = trusting.map(|(set, _)| (trust(set), AnchorPath::Through(Vec::new()))).collect();
            CertificateFacts {
                strength: if strong { strong_for_all() } else { CertificateStrength::default() },
                paths,
                not_after: UnixMillis(1_790_000_000_000),
                names,
                organisation,
                issuer_names,
                common_name: common_name.map(str::to_owned),
                for_clients,
                proved,
                spki,
                chain: sets(system, partners),
                revocation: BTreeMap::from([(trust("system"), by_system), (trust("partners"), by_partners)]),
                ..certificate(&[], ChainVerdict::Trusted)
            }
        },
    )
}

pub(super) fn some_facts() -> impl Strategy<Value = TlsFacts> {
    let peer = prop_oneof![
        1 => Just(PeerCertificate::NotShown),
        1 => Just(PeerCertificate::Unreadable("no DER".to_owned())),
        6 => a_certificate().prop_map(|c| PeerCertificate::Shown(Box::new(c))),
    ];
    let version = select(vec![TlsVersion::V12, TlsVersion::V13, TlsVersion::V13]);
    let suite = select(vec!["TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"]);
    (version, select(vec!["X25519", "secp384r1", "X25519MLKEM768"]), suite, peer).prop_map(
        |(version, group, suite, peer)| TlsFacts {
            group: group.to_owned(),
            suite: suite.to_owned(),
            ..tls(version, peer)
        },
    )
}

/// A key and a signature that every profile allows.
fn strong_for_all() -> CertificateStrength {
    CertificateStrength {
        key: PublicKeyKind::Curve("P-384".to_owned()),
        signature: SignatureKind::Known(SignatureFamily::Ecdsa, HashFunction::Sha384),
    }
}

pub(super) fn an_observation() -> impl Strategy<Value = Observed> {
    let handshake =
        any::<bool>().prop_map(|o| HandshakeFault { over_certificate: o, ..HandshakeFault::new("broken") });
    let fault = prop_oneof![
        2 => handshake.prop_map(SecuringFault::Handshake),
        1 => Just(SecuringFault::Refused(Reply::new(421, Enhanced(4, 7, 0), "no"))),
        1 => Just(SecuringFault::SessionLost("closed".to_owned())),
    ];
    prop_oneof![
        6 => some_facts().prop_map(|facts| Observed::Established(Arc::new(facts))),
        1 => some_facts().prop_map(|facts| {
            Observed::EstablishedAfter(HandshakeFault::new("nothing in common"), Arc::new(facts))
        }),
        1 => Just(Observed::NotTried),
        1 => Just(Observed::NotOffered),
        1 => Just(Observed::Refused(Reply::new(454, Enhanced(4, 7, 0), "no"))),
        1 => fault.clone().prop_map(Observed::Broken),
        1 => fault.prop_map(Observed::ClearAfterBroken),
    ]
}

fn some_patterns() -> impl Strategy<Value = Vec<DomainPattern>> {
    let mut all = vec!["*".to_owned()];
    all.extend(DOMAINS.iter().flat_map(|d| [(*d).to_owned(), format!("*.{d}")]));
    let parsed = all.iter().map(|text| DomainPattern::parse(text).expect("a pattern")).collect::<Vec<_>>();
    subsequence(parsed, 1..=3)
}

fn a_mode() -> impl Strategy<Value = Mode> {
    select(vec![Mode::Enforce, Mode::Enforce, Mode::Audit, Mode::Off])
}

fn some_listeners() -> impl Strategy<Value = Vec<Arc<str>>> {
    select(vec![vec![], vec![], vec!["in".into()], vec!["other".into()], vec!["in".into(), "other".into()]])
}

pub(super) fn an_inbound() -> impl Strategy<Value = Inbound> {
    let demand = prop_oneof![
        1 => Just(InboundTls::Off),
        1 => Just(InboundTls::Opportunistic),
        4 => a_forced().prop_map(InboundTls::Forced),
    ];
    let networks = some_of(NETWORKS.iter().map(|n| n.parse::<ipnet::IpNet>().expect("a network")).collect());
    let conditions = (networks, demand, a_mode(), some_listeners());
    let kind = select(vec![ClientKind::Partner, ClientKind::Partner, ClientKind::Partner, ClientKind::Own]);
    let except = prop_oneof![3 => Just(Vec::new()), 1 => some_patterns()];
    (some_patterns(), except, conditions, kind).prop_map(
        |(from_domains, except_domains, (from_networks, demand, mode, listeners), kind)| {
            let from_domains = if kind == ClientKind::Own { Vec::new() } else { from_domains };
            let from_networks = from_networks.into_iter().collect();
            let fields = inbound("", &[], demand);
            Inbound { from_domains, except_domains, from_networks, mode, listeners, kind, ..fields }
        },
    )
}

pub(super) fn an_outbound() -> impl Strategy<Value = Outbound> {
    let demand = prop_oneof![
        1 => Just(OutboundTls::Off),
        1 => Just(OutboundTls::Opportunistic(None)),
        3 => a_forced().prop_map(OutboundTls::Forced),
    ];
    let arrivals = prop_oneof![
        2 => Just(Vec::new()),
        1 => subsequence(ARRIVALS.map(Arc::from).to_vec(), 1..=2),
    ];
    // Connectors are named by their places.
    let other = (0..6_u8).prop_map(|number| OnFailure::Reroute(format!("c{number}").into()));
    let on_failure = prop_oneof![1 => Just(OnFailure::Defer), 1 => Just(OnFailure::Bounce), 1 => other];
    let which = (some_patterns(), arrivals, on_failure);
    (which, 1_u16..4, demand, a_mode()).prop_map(|(which, cost, tls, mode)| Outbound {
        domains: which.0,
        from_connectors: which.1,
        on_failure: which.2,
        tls,
        mode,
        ..outbound("", &[], cost)
    })
}

/// A list in its original order, with items named by position, and the same list shuffled.
pub(super) fn shuffled<T: Clone + std::fmt::Debug + 'static>(
    item: impl Strategy<Value = T> + 'static,
    name: fn(&mut T, Arc<str>),
) -> impl Strategy<Value = (Vec<T>, Vec<T>)> {
    prop::collection::vec(item, 0..6).prop_flat_map(move |mut items| {
        for (number, item) in items.iter_mut().enumerate() {
            name(item, format!("c{number}").into());
        }
        (Just(items.clone()), Just(items).prop_shuffle())
    })
}

/// Inbound connectors that outbound ones may name.
const ARRIVALS: [&str; 2] = ["cloud-in", "app-in"];

const LEVELS: [OverrideLevel; 3] =
    [OverrideLevel::Opportunistic, OverrideLevel::Encryption, OverrideLevel::Chain];

/// An arrival: one that outbound connectors may name, or another.
pub(super) fn an_arrival() -> impl Strategy<Value = Arrival<'static>> {
    prop_oneof![
        1 => Just(Arrival::Ours),
        1 => Just(Arrival::By("other-in")),
        3 => select(ARRIVALS.to_vec()).prop_map(Arrival::By),
    ]
}

pub(super) fn recipient() -> impl Strategy<Value = Option<Domain>> {
    prop_oneof![1 => Just(None), 6 => select(DOMAINS.to_vec()).prop_map(|d| Some(domain(d)))]
}

/// What `forced` requires, restated independently condition by condition.
fn holds(forced: &Forced, facts: &TlsFacts) -> bool {
    let channel = facts.version >= forced.min_version
        && (forced.key_exchange != KeyExchange::PostQuantum || facts.group.contains("MLKEM"))
        && match forced.profile {
            None | Some(Profile::Nl2025) => true,
            Some(_) => facts.suite.contains("AES_256") && facts.group == "secp384r1",
        };
    let asks = !forced.pins.is_empty() || forced.require != Require::Encryption;
    if !asks {
        return channel;
    }
    let Some(certificate) = facts.certificate().filter(|c| c.proved) else { return false };
    let trusted: Vec<&TrustId> = forced
        .trust()
        .iter()
        .filter(|set| certificate.chain.get(*set) == Some(&ChainVerdict::Trusted))
        .collect();
    let named = match &forced.require {
        Require::Encryption => true,
        Require::Chain { .. } => !trusted.is_empty(),
        Require::Identity { names, .. } => {
            !trusted.is_empty()
                && first_match(names, &certificate.names_or_common_name(forced.allow_cn)).is_some()
        }
    };
    let revoked = forced.trust().iter().any(|set| {
        forced.revocation != Revocation::Off
            && certificate.revocation.get(set) == Some(&RevocationStatus::Revoked)
    });
    let pinned = forced.pins.is_empty()
        || forced.pins.iter().any(|p| p.sha256 == certificate.spki && p.counts_at(facts.at));
    let says =
        |wanted: &[String], got: &[String]| wanted.is_empty() || got.iter().any(|g| wanted.contains(g));
    let common_name: Vec<String> = certificate.common_name.iter().cloned().collect();
    channel
        && (forced.profile.is_none() || certificate.strength == strong_for_all())
        && named
        && !revoked
        && pinned
        && says(&forced.subject.organisation, &certificate.organisation)
        && says(&forced.subject.common_name, &common_name)
        && says(&forced.subject.issuer, &certificate.issuer_names)
        && (forced.purpose != Purpose::Client || certificate.for_clients)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn judge_never_lets_mail_go_in_clear_under_forced_and_enforced(
        connector in an_outbound(), observed in an_observation(), to in recipient()
    ) {
        let requirement = connector.requirement(to.as_ref(), None);
        let verdict = judge(&requirement, &observed, SessionId::new(), connector.revision, Generation(1));
        let enforced = matches!(connector.tls, OutboundTls::Forced(_)) && connector.mode != Mode::Audit;
        prop_assert_eq!(enforced, connector.is_enforced());
        match (verdict, &requirement) {
            (Verdict::Proceed(permit), Requirement::Forced(forced)) => {
                prop_assert!(enforced && permit.is_enforced() && permit.waived().is_none());
                let Attained::Sealed(facts) = permit.attained() else {
                    return Err(TestCaseError::fail("in clear"));
                };
                prop_assert!(holds(forced, facts));
            }
            (Verdict::Withhold(_), Requirement::Forced(forced)) => {
                let met = matches!(&observed, Observed::Established(facts)
                    if holds(forced, facts) && forced.revocation != Revocation::Hard);
                prop_assert!(!met, "withheld though all holds");
            }
            (Verdict::Proceed(permit), _) => prop_assert!(!enforced && !permit.is_enforced()),
            (Verdict::Withhold(_), _) => prop_assert!(matches!(observed, Observed::Broken(_))),
        }
    }

    #[test]
    fn choose_does_not_depend_on_the_order_of_the_file(
        (one, other) in shuffled(an_outbound(), |c, name| c.name = name), to in recipient(), arrival in an_arrival()
    ) {
        let chosen = |all: &[Outbound]| {
            choose(&Table::new(Generation(1), Vec::new(), all.to_vec()), to.as_ref(), arrival)
                .map(|choice| (choice.connector.name.to_string(), choice.pattern))
        };
        prop_assert_eq!(chosen(&one), chosen(&other));
        // The rule, restated independently.
        let best = one
            .iter()
            .filter(|c| c.mode != Mode::Off)
            .filter(|c| {
                let named = c.from_connectors.iter().any(|by| arrival == Arrival::By(by));
                c.from_connectors.is_empty() || named
            })
            .filter_map(|c| Some((DomainPattern::closest(&c.domains, to.as_ref())?, c)))
            .min_by_key(|(pattern, c)| {
                let is_open = c.from_connectors.is_empty();
                (std::cmp::Reverse(pattern.specificity()), is_open, c.cost, c.name.clone())
            });
        prop_assert_eq!(chosen(&one), best.map(|(pattern, c)| (c.name.to_string(), pattern.clone())));
    }

    #[test]
    fn mail_that_is_handed_on_stays_under_an_enforced_requirement(
        (all, _) in shuffled(an_outbound(), |c, name| c.name = name),
        to in recipient(),
        arrival in an_arrival(),
        from in 0..6_u8,
        observed in an_observation(),
    ) {
        let table = Table::new(Generation(1), Vec::new(), all);
        let from: Arc<str> = format!("c{from}").into();
        let rerouting = Rerouting {
            from: Arc::clone(&from),
            to: "any".into(),
            status: "5.7.4".to_owned(),
            reason: "no STARTTLS".to_owned(),
            alert: false,
        };
        let first = choose(&table, to.as_ref(), arrival).map(|choice| choice.connector);
        let again = choose_again(&table, (to.as_ref(), arrival), Some(&rerouting)).map(|choice| choice.connector);
        prop_assert_eq!(first.is_some(), again.is_some());
        if let (Some(first), Some(again)) = (first, again) && first.name != again.name {
            prop_assert_eq!(&first.name, &from);
            prop_assert_eq!(&first.on_failure, &OnFailure::Reroute(Arc::clone(&again.name)));
            prop_assert!(again.is_enforced() && again.mode == Mode::Enforce);
            let requirement = again.requirement(to.as_ref(), None);
            let verdict = judge(&requirement, &observed, SessionId::new(), again.revision, Generation(1));
            if let Verdict::Proceed(permit) = verdict {
                prop_assert!(matches!(permit.attained(), Attained::Sealed(_)));
            }
        }
    }

    #[test]
    fn an_override_goes_no_further_than_the_floor(
        connector in an_outbound(), client in an_inbound(), observed in an_observation(),
        facts in some_facts(), to in recipient(),
        floor in prop::option::of(select(LEVELS.to_vec())), level in select(LEVELS.to_vec()),
    ) {
        let connector = Outbound { override_floor: floor, ..connector };
        let client = Inbound { override_floor: floor, ..client };
        let carries = |connector: &Outbound| {
            let requirement = connector.requirement(to.as_ref(), None);
            let verdict = judge(&requirement, &observed, SessionId::new(), connector.revision, Generation(1));
            matches!(verdict, Verdict::Proceed(_))
        };
        if let Ok(lowered) = connector.lowered(level) {
            let floor = floor.expect("a floor");
            prop_assert!(level >= floor && connector.is_enforced());
            prop_assert!(lowered.revision != connector.revision);
            prop_assert!(carries(&lowered) || !carries(&connector), "stricter than before");
            // At its floor it is as loose as it can be.
            let lowest = connector.lowered(floor).expect("the floor itself");
            prop_assert!(carries(&lowest) || !carries(&lowered));
            if floor > OverrideLevel::Opportunistic {
                prop_assert!(lowered.is_enforced());
            }
            if let (OverrideLevel::Chain, Some(forced)) = (level, lowered.forced()) {
                prop_assert_eq!(forced.trust(), connector.forced().expect("forced").trust());
                prop_assert!(!forced.trust().is_empty());
            }
            prop_assert_eq!((&lowered.domains, &lowered.next_hop), (&connector.domains, &connector.next_hop));
        } else if floor.is_none() {
            prop_assert!(connector.lowered(level).is_err());
        }
        if let Ok(lowered) = client.lowered(level) {
            prop_assert!(lowered.is_enforced() && lowered.restricts_clients());
            prop_assert_eq!(
                (&lowered.from_networks, &lowered.from_domains, &lowered.to_domains),
                (&client.from_networks, &client.from_domains, &client.to_domains)
            );
            let channel = Channel { tls: Some(Arc::new(facts)), ..Channel::new([192, 0, 2, 7].into()) };
            prop_assert!(client.unmet_by(&channel).is_some() || lowered.unmet_by(&channel).is_none());
        }
    }

    #[test]
    fn admit_does_not_depend_on_the_order_of_the_file_and_is_never_looser_than_the_closest(
        (one, other) in shuffled(an_inbound(), |c, name| c.name = name),
        from in recipient(),
        listener in select(vec![None, Some("in"), Some("other")]),
        peer in select(PEERS.to_vec()),
        tls in prop::option::weighted(0.8, some_facts()),
    ) {
        let path = from.as_ref().map_or_else(String::new, |domain| format!("a@{domain}"));
        let path = ReversePath::parse(&path).expect("a reverse-path");
        let peer: IpAddr = peer.parse().expect("an address");
        let listener = listener.map(Arc::from);
        let channel = Channel { listener: listener.clone(), peer, tls: tls.map(Arc::new), user: None };
        let answer = |all: &[Inbound]| {
            let table = Table::new(Generation(1), all.to_vec(), Vec::new());
            let answer = admit(&table, &channel, &path);
            let passed = UnchosenConnector::all(&table, &channel, &path, &answer);
            match answer {
                Admission::Admitted(a) => (Some(a.connector), a.decision, None, passed),
                Admission::Refused(r) => (None, r.decision, Some(r.reply.to_string()), passed),
            }
        };
        let (taken, decision, reply, passed) = answer(&one);
        let turned = answer(&other);
        prop_assert_eq!((&taken, &decision, &reply, &passed), (&turned.0, &turned.1, &turned.2, &turned.3));
        prop_assert_eq!(passed.len(), one.len() - usize::from(taken.is_some()));
        // Restated independently: what covers the reverse-path, and what binds it.
        let covers = |patterns: &[DomainPattern]| {
            DomainPattern::closest(patterns, from.as_ref()).map(DomainPattern::specificity)
        };
        let closest = |c: &Inbound| if covers(&c.except_domains).is_some() { None } else { covers(&c.from_domains) };
        let binding: Vec<&Inbound> = one
            .iter()
            .filter(|c| c.kind == ClientKind::Partner && c.mode == Mode::Enforce)
            .filter(|c| matches!(c.tls, InboundTls::Forced(_)) && closest(c) > Some(Specificity::Any))
            .collect();
        let own = one.iter().any(|c| c.kind == ClientKind::Own && c.unmet_by(&channel).is_none());
        prop_assert!(!own || taken.as_ref().is_some_and(|c| c.kind == ClientKind::Own), "ours come first");
        if let Some(taken) = taken {
            // All its requirements hold; or it is in audit mode and its network matches.
            let by_network = taken.from_networks.name(peer);
            let rehearsed = taken.mode == Mode::Audit && by_network;
            prop_assert!(taken.mode != Mode::Off && (taken.unmet_by(&channel).is_none() || rehearsed));
            let here = |name: &Arc<str>| Some(name) == listener.as_ref();
            prop_assert!(taken.listeners.is_empty() || listener.is_none() || taken.listeners.iter().any(here));
            if from.is_some() && taken.kind == ClientKind::Partner {
                prop_assert!(closest(&taken).is_some(), "it does not cover the reverse-path");
                let closer = binding.iter().filter(|c| closest(c) > closest(&taken)).count();
                let level = binding.iter().any(|c| closest(c) == closest(&taken));
                let binds = taken.mode == Mode::Enforce && matches!(taken.tls, InboundTls::Forced(_));
                prop_assert!(closer == 0, "a closer forced connector was ignored");
                prop_assert!(!level || binds, "a looser connector accepted it instead");
            }
        }
    }
}
