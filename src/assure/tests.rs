//! Senders that are right, and senders that are not, against the hostile servers.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::evidence::{Evidence, EvidenceVerdict};
use super::manner::HostManner;
use super::outbound::SenderTrial;
use super::sender::TrialDestination;
use crate::connector::{
    DomainPattern, Forced, Handshake, KeyExchange, NextHop, Outbound, OutboundTls, PeerName, Pin, Profile,
    Require, Revision, Revocation, SubjectRules, TlsVersion, TrustId,
};
use crate::daemon::within;
use crate::deliver::settings::Settings;
use crate::mail::Domain;
use crate::tls::{ClientSettings, TrustSet};

fn domain(text: &str) -> Domain {
    Domain::parse(text).expect("a domain")
}

fn identity() -> Forced {
    let names = ["mail.bank.example", "*.mx.bank.example"];
    let names = names.iter().map(|name| PeerName::parse(name).expect("a name")).collect();
    Forced::new(Require::Identity { trust: vec![TrustId("ca".into())], names })
}

/// A trust set of some authority.
fn authority() -> Arc<TrustSet> {
    let mut params = rcgen::CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let key = rcgen::KeyPair::generate().expect("a key");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("ca.pem");
    std::fs::write(&file, params.self_signed(&key).expect("a certificate").pem()).expect("a file");
    Arc::new(TrustSet::load(&file).expect("a trust set"))
}

/// A sender that does what `tls` says, tested for what `required` says.
async fn tested(required: &Forced, tls: OutboundTls, handshake: Handshake) -> Vec<Evidence> {
    let next_hop = NextHop::Mx { port: 25 };
    let connector = Outbound {
        tls,
        handshake,
        revision: Revision([7; 8]),
        ..Outbound::new("bank-out", vec![DomainPattern::Any], next_hop)
    };
    let forced = connector.forced();
    let settings = ClientSettings {
        judged: connector.is_enforced(),
        min_version: forced.map_or(TlsVersion::V12, |forced| forced.min_version),
        key_exchange: forced.map_or(KeyExchange::Any, |forced| forced.key_exchange),
        profile: connector.profile(),
        trust: vec![(TrustId("ca".into()), authority())],
        identity: None,
        rehearsed: None,
    };
    let destination = TrialDestination { connector, domain: domain("bank.example"), smart: None };
    let trial = SenderTrial { required: required.clone(), destination, tls: settings };
    let limits = Settings::single(domain("gw.example"), within(Duration::from_secs(8)));
    trial.run(limits, Arc::new(Semaphore::new(8))).await
}

#[track_caller]
fn only(evidence: &[Evidence], verdict: EvidenceVerdict) {
    let other: Vec<&Evidence> = evidence.iter().filter(|one| one.verdict != verdict).collect();
    assert!(other.is_empty(), "{other:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_that_judges_sends_nothing_to_any_of_them_and_mail_to_the_right_one() {
    let trust = || vec![TrustId("ca".into())];
    let pin = Pin { sha256: [1; 32], from: None, until: None };
    let subject = SubjectRules {
        organisation: vec!["Bank AG".to_owned()],
        common_name: Vec::new(),
        issuer: vec!["Bank CA".to_owned()],
    };
    let with = |profile| Forced { profile: Some(profile), ..identity() };
    let cases = [
        Forced::encryption(),
        Forced { pins: vec![pin.clone()], ..Forced::encryption() },
        Forced::new(Require::Chain { trust: trust() }),
        identity(),
        Forced { pins: vec![pin], allow_cn: true, ..identity() },
        Forced { subject, ..identity() },
        Forced { revocation: Revocation::Hard, ..identity() },
        Forced { min_version: TlsVersion::V13, key_exchange: KeyExchange::PostQuantum, ..identity() },
        with(Profile::Nl2025),
        with(Profile::BsiTr021022Of2025),
        with(Profile::NistSp80052r2),
        with(Profile::Cnsa1),
    ];
    for required in cases {
        for handshake in [Handshake::StartTls, Handshake::Implicit] {
            let evidence = tested(&required, OutboundTls::Forced(required.clone()), handshake).await;
            only(&evidence, EvidenceVerdict::Held);
            assert_eq!(evidence.len(), HostManner::tested(&required, handshake).len());
        }
    }
    // The name is that of the recipient domain.
    let names = vec![PeerName::parse("bank.example").expect("a name")];
    let required = Forced::new(Require::Identity { trust: trust(), names });
    let nameless = Forced::new(Require::Identity { trust: trust(), names: Vec::new() });
    let evidence = tested(&required, OutboundTls::Forced(nameless), Handshake::StartTls).await;
    only(&evidence, EvidenceVerdict::Held);
}

/// The sentences of what was done where there is a finding.
fn found(evidence: &[Evidence]) -> Vec<&str> {
    let findings = evidence.iter().filter(|one| one.verdict == EvidenceVerdict::Finding);
    findings.map(|one| one.done.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_that_judges_less_is_found_out_by_what_it_sends() {
    let starttls = Handshake::StartTls;
    // A judge that looks at no name.
    let chain = Forced::new(Require::Chain { trust: vec![TrustId("ca".into())] });
    let evidence = tested(&identity(), OutboundTls::Forced(chain), starttls).await;
    let expected = [
        "shows a certificate of the right authority for other names",
        "shows a certificate with the right name only as its common name",
    ];
    assert_eq!(found(&evidence), expected, "{evidence:#?}");
    // One that looks at no certificate.
    let evidence = tested(&identity(), OutboundTls::Forced(Forced::encryption()), starttls).await;
    assert_eq!(found(&evidence).len(), 11, "{evidence:#?}");
    // One that does without TLS.
    let evidence = tested(&identity(), OutboundTls::Opportunistic(None), starttls).await;
    let in_plaintext =
        evidence.iter().filter(|one| one.seen.starts_with("the envelope was sent in plaintext"));
    assert!(in_plaintext.count() >= 8, "{evidence:#?}");
    let evidence = tested(&identity(), OutboundTls::Off, starttls).await;
    only(&evidence, EvidenceVerdict::Finding);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_that_sends_to_nobody_passes_no_test_of_its_own() {
    let nobody = Forced { pins: vec![Pin { sha256: [1; 32], from: None, until: None }], ..identity() };
    // It requires a key that the control does not have, since the requirement that is tested has no pins.
    let trust = vec![TrustId("other".into())];
    let nobody = Forced { require: Require::Identity { trust, names: Vec::new() }, ..nobody };
    let evidence = tested(&identity(), OutboundTls::Forced(nobody), Handshake::StartTls).await;
    assert_eq!(evidence[0].verdict, EvidenceVerdict::Untested, "{evidence:#?}");
}
