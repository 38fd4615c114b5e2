//! Chains that are made to cost much, and long ones that are in order.

use rcgen::{Issuer, KeyUsagePurpose};

use super::*;
use crate::tls::issuers::relevant;

/// An authority of this name, by itself or below another one.
struct Signer {
    issuer: Issuer<'static, KeyPair>,
    der: CertificateDer<'static>,
}

fn signer(name: &str, above: Option<&Signer>) -> Signer {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let key = KeyPair::generate().unwrap();
    let certificate = match above {
        Some(above) => params.signed_by(&key, &above.issuer).unwrap(),
        None => params.self_signed(&key).unwrap(),
    };
    Signer { der: certificate.der().clone(), issuer: Issuer::new(params, key) }
}

fn leaf(above: &Signer) -> CertificateDer<'static> {
    let key = KeyPair::generate().unwrap();
    params(as_is).signed_by(&key, &above.issuer).unwrap().der().clone()
}

fn assessed(mint: &Mint, root: &Signer, chain: &[CertificateDer<'static>]) -> String {
    let pem = pem(&root.der);
    let set = TrustSet::load(&mint.file("long.pem", &pem)).unwrap();
    let peer = assess(chain, true, &[(TrustId("root".into()), Arc::new(set))], Usage::Server, NOW);
    let PeerCertificate::Shown(facts) = peer else { panic!("a certificate") };
    match facts.chain_to(&[TrustId("root".into())]) {
        ChainVerdict::Trusted => "trusted".to_owned(),
        ChainVerdict::Faulty(fault) => fault.in_words(&facts),
    }
}

fn pem(der: &CertificateDer<'_>) -> String {
    let text = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, der);
    format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
}

#[test]
fn of_many_namesakes_only_those_that_signed_are_kept() {
    let root = signer("X", None);
    let crowd: Vec<_> = (0..40).map(|_| signer("X", Some(&root)).der).collect();
    let own = leaf(&root);
    assert!(relevant(&own, &crowd).is_empty(), "none of them made its signature");
    // Few are left to the path check, which says more about what is wrong.
    assert_eq!(relevant(&own, &crowd[..3]).len(), 3);
    let stranger = signer("Y", None);
    let mint = Mint::new();
    let chain: Vec<_> = std::iter::once(own).chain(crowd).collect();
    let told = assessed(&mint, &stranger, &chain);
    assert!(told.contains("no more are considered"), "{told}");
    assert_eq!(assessed(&mint, &root, &chain), "trusted", "the root made the signature itself");
}

#[test]
fn a_line_of_namesakes_is_as_long_as_a_path_may_be() {
    let mut line = vec![signer("X", None)];
    for _ in 0..9 {
        line.push(signer("X", line.last()));
    }
    let own = leaf(line.last().unwrap());
    let beside: Vec<_> = line.iter().map(|one| one.der.clone()).collect();
    assert_eq!(relevant(&own, &beside).len(), 6);
}

#[test]
fn a_long_chain_in_any_order_among_strangers_is_trusted() {
    let mint = Mint::new();
    let root = signer("Root", None);
    let mut line = vec![signer("one", Some(&root))];
    for name in ["two", "three", "four", "five"] {
        line.push(signer(name, line.last()));
    }
    let own = leaf(line.last().unwrap());
    let mut chain = vec![own];
    chain.extend(line.iter().map(|one| one.der.clone()));
    chain.extend((0..5).map(|_| signer("two", None).der));
    assert_eq!(chain.len(), 11);
    assert_eq!(assessed(&mint, &root, &chain), "trusted");
    // An eleventh is not considered.
    chain.insert(1, signer("two", None).der);
    chain.swap(2, 11);
    let told = assessed(&mint, &root, &chain);
    assert!(told.contains("no more are considered"), "{told}");
}
