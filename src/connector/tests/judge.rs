//! Tests of `judge`: what a session showed against what is required.

use std::sync::Arc;

use proptest::prelude::*;

use super::super::samples::*;
use super::super::*;
use crate::mail::{Enhanced, Reply};

fn observed_refused() -> Observed {
    Observed::Refused(Reply::new(454, Enhanced(4, 7, 0), "no"))
}

fn broken() -> SecuringFault {
    SecuringFault::Handshake(HandshakeFault::new("the peer sent the alert HandshakeFailure"))
}

/// Every other way in which an attempt to secure a session ends it, with what is said of it.
fn other_faults() -> [(SecuringFault, &'static str, &'static str); 2] {
    [
        (
            SecuringFault::Refused(Reply::new(421, Enhanced(4, 7, 0), "no")),
            "4.7.4 starttls-refused: STARTTLS was refused with 421 4.7.0 no",
            "clear: STARTTLS was refused with 421 4.7.0 no",
        ),
        (
            SecuringFault::SessionLost("closed".to_owned()),
            "4.7.5 tls-session-lost: the session was lost inside TLS before its first reply: closed",
            "clear: every host lost the session inside TLS before its first reply: closed",
        ),
    ]
}

fn established(facts: TlsFacts) -> Observed {
    Observed::Established(Arc::new(facts))
}

fn decide(requirement: &Requirement, observed: &Observed) -> Verdict {
    judge(requirement, observed, SessionId::new(), Revision::default(), Generation(1))
}

#[track_caller]
fn check(requirement: &Requirement, observed: &Observed, expected: &str) {
    let got = match decide(requirement, observed) {
        Verdict::Proceed(permit) => match permit.attained() {
            Attained::Sealed(facts) => format!("sealed: {}", facts.version),
            Attained::Clear(cause) => format!("clear: {cause}"),
        },
        Verdict::Withhold(shortfall) => {
            format!("{} {}: {shortfall}", shortfall.enhanced(), shortfall.token())
        }
    };
    assert_eq!(got, expected);
}

const WORDS: &str = "the TLS handshake failed: the peer sent the alert HandshakeFailure";

#[test]
fn forced_never_falls_back() {
    for forced in [Forced::encryption(), chain(), identity(&["mail.p.example"])] {
        let forced = Requirement::Forced(forced);
        check(&forced, &Observed::NotOffered, "4.7.4 starttls-not-offered: STARTTLS is not offered");
        check(&forced, &observed_refused(), "4.7.4 starttls-refused: STARTTLS was refused with 454 4.7.0 no");
        check(&forced, &Observed::Broken(broken()), &format!("4.7.5 handshake-broken: {WORDS}"));
        check(&forced, &Observed::ClearAfterBroken(broken()), &format!("4.7.5 handshake-broken: {WORDS}"));
        for (fault, withheld, _) in other_faults() {
            check(&forced, &Observed::Broken(fault.clone()), withheld);
            check(&forced, &Observed::ClearAfterBroken(fault), withheld);
        }
    }
}

#[test]
fn opportunistic_takes_what_it_gets_and_says_so() {
    let wanted = Requirement::Opportunistic(None);
    check(&wanted, &Observed::NotOffered, "clear: STARTTLS is not offered");
    check(&wanted, &observed_refused(), "clear: STARTTLS was refused with 454 4.7.0 no");
    check(&wanted, &Observed::Broken(broken()), &format!("4.7.5 handshake-broken: {WORDS}"));
    let clear = "clear: the TLS handshake failed with every host: the peer sent the alert HandshakeFailure";
    check(&wanted, &Observed::ClearAfterBroken(broken()), clear);
    for (fault, withheld, clear) in other_faults() {
        check(&wanted, &Observed::Broken(fault.clone()), withheld);
        check(&wanted, &Observed::ClearAfterBroken(fault), clear);
    }
    let bad = shown(&["wrong.example"], ChainVerdict::Faulty(ChainFault::Expired));
    check(&wanted, &established(bad), "sealed: TLSv1.3");
    check(&wanted, &established(tls(TlsVersion::V12, PeerCertificate::NotShown)), "sealed: TLSv1.2");
}

#[test]
fn identity_wants_chain_and_name() {
    let wanted = Requirement::Forced(identity(&["mail.p.example", "*.mx.p.example"]));
    let ok = |names: &[&str]| established(shown(names, ChainVerdict::Trusted));
    check(&wanted, &ok(&["mail.p.example"]), "sealed: TLSv1.3");
    check(&wanted, &ok(&["other.example", "a.mx.p.example"]), "sealed: TLSv1.3");
    check(
        &wanted,
        &ok(&["evil.example"]),
        "4.7.5 name-mismatch: the certificate presents evil.example, not mail.p.example or *.mx.p.example",
    );
    check(
        &wanted,
        &ok(&[]),
        "4.7.5 name-mismatch: the certificate presents no subjectAltName, not mail.p.example or *.mx.p.example",
    );
    check(
        &wanted,
        &established(shown(&["mail.p.example"], ChainVerdict::Faulty(ChainFault::Expired))),
        "4.7.5 certificate-expired: the chain has expired; the certificate is valid until 2027-01-15T08:00:00Z",
    );
    check(
        &wanted,
        &established(shown(&["mail.p.example"], ChainVerdict::Faulty(ChainFault::UnknownIssuer))),
        "4.7.5 unknown-issuer: no trust anchor is known for its issuer (CN=Some CA)",
    );
    check(
        &wanted,
        &established(tls(TlsVersion::V13, PeerCertificate::NotShown)),
        "4.7.5 no-certificate: no certificate was shown",
    );
    let mut unproved = certificate(&["mail.p.example"], ChainVerdict::Trusted);
    unproved.proved = false;
    check(
        &wanted,
        &established(tls(TlsVersion::V13, PeerCertificate::Shown(Box::new(unproved)))),
        "4.7.5 key-not-proved: the peer did not prove that it holds the certificate's key",
    );
}

#[test]
fn chain_asks_no_name_and_encryption_no_chain() {
    let bad_name = established(shown(&["evil.example"], ChainVerdict::Trusted));
    check(&Requirement::Forced(chain()), &bad_name, "sealed: TLSv1.3");
    let bad_chain = established(shown(&["evil.example"], ChainVerdict::Faulty(ChainFault::UnknownIssuer)));
    check(&Requirement::Forced(Forced::encryption()), &bad_chain, "sealed: TLSv1.3");
    let mut tls13 = Forced::encryption();
    tls13.min_version = TlsVersion::V13;
    check(
        &Requirement::Forced(tls13),
        &established(tls(TlsVersion::V12, PeerCertificate::NotShown)),
        "4.7.5 version-too-old: only TLSv1.2 was negotiated",
    );
}

#[test]
fn a_permit_is_good_for_its_session_revision_and_generation_alone() {
    let session = SessionId::new();
    let wanted = Requirement::Opportunistic(None);
    let Verdict::Proceed(permit) =
        judge(&wanted, &Observed::NotOffered, session, Revision([1; 8]), Generation(1))
    else {
        panic!("a permit")
    };
    let covers = |s, r: &Requirement, v, g| permit.covers(s, r, Revision([v; 8]), Generation(g));
    assert_eq!(covers(session, &wanted, 1, 1), Ok(()));
    assert_eq!(covers(SessionId::new(), &wanted, 1, 1), Err(NotCovered::OtherSession));
    assert_eq!(covers(session, &wanted, 1, 2), Err(NotCovered::Stale));
    assert_eq!(covers(session, &wanted, 2, 1), Err(NotCovered::OtherRevision));
    let forced = Requirement::Forced(Forced::encryption());
    assert_eq!(covers(session, &forced, 1, 1), Err(NotCovered::Short(Shortfall::NotOffered)));
}

#[test]
fn a_permit_for_one_name_does_not_cover_another() {
    let session = SessionId::new();
    let seen = established(shown(&["a.example"], ChainVerdict::Trusted));
    let wanted = Requirement::Forced(identity(&["a.example"]));
    let Verdict::Proceed(permit) = judge(&wanted, &seen, session, Revision::default(), Generation(1)) else {
        panic!("a permit")
    };
    let other = Requirement::Forced(identity(&["b.example"]));
    assert!(matches!(
        permit.covers(session, &other, Revision::default(), Generation(1)),
        Err(NotCovered::Short(Shortfall::Name { .. }))
    ));
}

fn any_verdict() -> impl Strategy<Value = ChainVerdict> {
    prop_oneof![
        Just(ChainVerdict::Trusted),
        Just(ChainVerdict::Faulty(ChainFault::Expired)),
        Just(ChainVerdict::Faulty(ChainFault::UnknownIssuer)),
    ]
}

fn any_observed() -> impl Strategy<Value = Observed> {
    let name = prop_oneof![Just("a.example"), Just("*.example.org"), Just("evil.example")];
    let version = prop_oneof![Just(TlsVersion::V12), Just(TlsVersion::V13)];
    prop_oneof![
        Just(Observed::NotOffered),
        Just(observed_refused()),
        Just(Observed::Broken(broken())),
        Just(Observed::ClearAfterBroken(broken())),
        (name, any_verdict(), version).prop_map(|(name, verdict, version)| {
            let peer = PeerCertificate::Shown(Box::new(certificate(&[name], verdict)));
            established(tls(version, peer))
        }),
    ]
}

fn any_forced() -> impl Strategy<Value = Forced> {
    let require = prop_oneof![Just(Forced::encryption()), Just(chain()), Just(identity(&["a.example"]))];
    (require, prop_oneof![Just(TlsVersion::V12), Just(TlsVersion::V13)])
        .prop_map(|(forced, min_version)| Forced { min_version, ..forced })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_clear_permit_under_forced(forced in any_forced(), observed in any_observed()) {
        let wanted = Requirement::Forced(forced.clone());
        if let Verdict::Proceed(permit) = decide(&wanted, &observed) {
            let Attained::Sealed(facts) = permit.attained() else { panic!("a clear permit under forced") };
            prop_assert_eq!(forced.unmet_by(facts), None);
        }
    }

    #[test]
    fn a_clear_permit_covers_nothing_forced(forced in any_forced(), observed in any_observed()) {
        let session = SessionId::new();
        let verdict = judge(&Requirement::Opportunistic(None), &observed, session, Revision::default(), Generation(1));
        if let Verdict::Proceed(permit) = verdict {
            let covered = permit
                .covers(session, &Requirement::Forced(forced.clone()), Revision::default(), Generation(1))
                .is_ok();
            let sealed = matches!(permit.attained(), Attained::Sealed(facts) if forced.unmet_by(facts).is_none());
            prop_assert_eq!(covered, sealed);
        }
    }
}

#[track_caller]
fn token(change: impl FnOnce(&mut Forced), certificate: CertificateFacts, expected: &str) {
    let mut forced = identity(&["mail.p.example"]);
    change(&mut forced);
    let facts = tls(TlsVersion::V13, PeerCertificate::Shown(Box::new(certificate)));
    assert_eq!(forced.unmet_by(&facts).map_or("met", |shortfall| shortfall.token()), expected);
}

fn right() -> CertificateFacts {
    certificate(&["mail.p.example"], ChainVerdict::Trusted)
}

#[test]
fn a_pin_is_one_condition_more_and_has_its_days() {
    let pin = |first: u8, from: Option<i64>, until: Option<i64>| Pin {
        sha256: [first; 32],
        from: from.map(crate::mail::UnixMillis),
        until: until.map(crate::mail::UnixMillis),
    };
    let (past, future) = (Some(1), Some(i64::MAX));
    token(|f| f.pins = vec![pin(7, None, None)], right(), "met");
    token(|f| f.pins = vec![pin(8, None, None)], right(), "pin-mismatch");
    token(|f| f.pins = vec![pin(8, None, None), pin(7, past, future)], right(), "met");
    token(|f| f.pins = vec![pin(7, None, past)], right(), "pin-out-of-date");
    token(|f| f.pins = vec![pin(7, future, None)], right(), "pin-out-of-date");
    token(
        |f| f.pins = vec![pin(7, None, None)],
        certificate(&["x.example"], ChainVerdict::Trusted),
        "name-mismatch",
    );
    // On its own it needs no chain, but proof of the key.
    let alone = |f: &mut Forced| {
        f.require = Require::Encryption;
        f.pins = vec![pin(7, None, None)];
    };
    let stranger = || certificate(&[], ChainVerdict::Faulty(ChainFault::UnknownIssuer));
    token(alone, stranger(), "met");
    token(alone, CertificateFacts { proved: false, ..stranger() }, "key-not-proved");
}

#[test]
fn subject_issuer_purpose_and_common_name() {
    token(|f| f.subject.issuer = vec!["SOME ca".to_owned()], right(), "met");
    token(|f| f.subject.issuer = vec!["Other CA".to_owned()], right(), "subject-mismatch");
    token(|f| f.subject.organisation = vec!["P".to_owned()], right(), "subject-mismatch");
    token(|f| f.subject.common_name = vec!["x".to_owned(), "mail".to_owned()], right(), "met");
    token(
        |f| f.purpose = Purpose::Client,
        CertificateFacts { for_clients: false, ..right() },
        "not-for-clients",
    );
    let by_cn =
        || CertificateFacts { names: vec![], common_name: Some("mail.p.example".to_owned()), ..right() };
    token(|_| {}, by_cn(), "name-mismatch");
    token(|f| f.allow_cn = true, by_cn(), "met");
    // RFC 9525 §2: the common name is ignored if there is a subjectAltName.
    let both = CertificateFacts { names: vec![PresentedName::from_dns("x.example")], ..by_cn() };
    token(|f| f.allow_cn = true, both, "name-mismatch");
}

#[test]
fn revocation_off_soft_and_hard() {
    use RevocationStatus as S;
    let listed = |status| CertificateFacts { revocation: [(trust("system"), status)].into(), ..right() };
    for (status, soft, hard) in [
        (S::Good, "met", "met"),
        (S::Revoked, "certificate-revoked", "certificate-revoked"),
        (S::NoList, "met", "revocation-unknown"),
        (S::Unknown, "met", "revocation-unknown"),
        (S::Stale, "met", "revocation-unknown"),
    ] {
        token(|f| f.revocation = Revocation::Off, listed(status), "met");
        token(|f| f.revocation = Revocation::Soft, listed(status), soft);
        token(|f| f.revocation = Revocation::Hard, listed(status), hard);
    }
}

#[test]
fn audit_delivers_as_opportunistic_would_and_says_what_it_waived() {
    let wanted = Requirement::Audit(identity(&["mail.p.example"]));
    let waived = |observed: &Observed| match decide(&wanted, observed) {
        Verdict::Proceed(permit) => {
            assert!(!permit.is_enforced());
            permit.waived().map_or("nothing", |shortfall| shortfall.token())
        }
        Verdict::Withhold(_) => "withheld",
    };
    assert_eq!(waived(&Observed::NotOffered), "starttls-not-offered");
    assert_eq!(waived(&observed_refused()), "starttls-refused");
    assert_eq!(waived(&Observed::Broken(broken())), "withheld");
    assert_eq!(waived(&Observed::ClearAfterBroken(broken())), "handshake-broken");
    let after = |names: &[&str]| {
        let facts = Arc::new(shown(names, ChainVerdict::Trusted));
        Observed::EstablishedAfter(HandshakeFault::new("nothing in common"), facts)
    };
    assert_eq!(waived(&after(&["mail.p.example"])), "handshake-broken", "enforced there is no such session");
    let forced = Requirement::Forced(identity(&["mail.p.example"]));
    check(
        &forced,
        &after(&["mail.p.example"]),
        "4.7.5 handshake-broken: the TLS handshake failed: nothing in common",
    );
    assert_eq!(waived(&established(shown(&["x.example"], ChainVerdict::Trusted))), "name-mismatch");
    assert_eq!(waived(&established(shown(&["mail.p.example"], ChainVerdict::Trusted))), "nothing");
}
