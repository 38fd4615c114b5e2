//! Sessions and certificates against each profile, one row for what a peer offers.

use super::super::samples::{certificate, tls, trust};
use super::super::*;
use crate::mail::UnixMillis;

const P256: &str = "P-256";
const P384: &str = "P-384";

/// The answer of each profile, in the order nl, bsi, nist, cnsa: `yes`, or the token of what is missing.
#[track_caller]
fn check(facts: &TlsFacts, require: &Require, expected: [&str; 4]) {
    let answers = Profile::ALL.map(|profile| {
        let forced = Forced { profile: Some(profile), ..Forced::new(require.clone()) };
        forced.unmet_by(facts).map_or("yes", |shortfall| shortfall.token())
    });
    assert_eq!(answers, expected, "{} {}", facts.suite, facts.group);
}

fn session(version: TlsVersion, suite: &str, group: &str) -> TlsFacts {
    let facts = tls(version, PeerCertificate::NotShown);
    TlsFacts { suite: suite.to_owned(), group: group.to_owned(), ..facts }
}

#[test]
fn sessions_by_what_was_negotiated() {
    let check = |version, suite: &str, group: &str, expected| {
        check(&session(version, suite, group), &Require::Encryption, expected);
    };
    let (suite, group) = ("profile-suite", "profile-group");
    use TlsVersion::{V12, V13};
    check(V13, "TLS_AES_128_GCM_SHA256", "secp256r1", ["yes", "yes", "yes", suite]);
    check(V13, "TLS_AES_256_GCM_SHA384", "secp384r1", ["yes"; 4]);
    check(V13, "TLS_CHACHA20_POLY1305_SHA256", "X25519", ["yes", suite, suite, suite]);
    check(V13, "TLS_AES_256_GCM_SHA384", "X25519", ["yes", group, group, group]);
    check(V13, "TLS_AES_256_GCM_SHA384", "X25519MLKEM768", ["yes", group, group, group]);
    check(V13, "TLS_AES_256_GCM_SHA384", "secp256r1MLKEM768", ["yes", group, group, group]);
    check(V13, "TLS_AES_256_GCM_SHA384", "MLKEM1024", [group; 4]);
    check(V13, "TLS_AES_128_CCM_8_SHA256", "secp256r1", [suite; 4]);
    check(V12, "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "secp256r1", ["yes", "yes", "yes", suite]);
    check(V12, "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "secp384r1", ["yes"; 4]);
    check(V12, "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", "secp256r1", ["yes", suite, suite, suite]);
    check(V12, "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256", "secp256r1", [suite; 4]);
    check(V12, "", "", [suite; 4]);
}

fn signed(family: SignatureFamily, hash: HashFunction) -> SignatureKind {
    SignatureKind::Known(family, hash)
}

fn strength(key: PublicKeyKind, signature: SignatureKind) -> CertificateStrength {
    CertificateStrength { key, signature }
}

fn curve(name: &str) -> PublicKeyKind {
    PublicKeyKind::Curve(name.to_owned())
}

/// A session that each profile allows, with a certificate of this strength, below issuers of these.
fn shown(own: &CertificateStrength, issuers: &[CertificateStrength], days: i64) -> TlsFacts {
    let mut facts = certificate(&["mail.p.example"], ChainVerdict::Trusted);
    facts.strength = own.clone();
    facts.not_after = UnixMillis(facts.not_before.0 + days * 86_400_000);
    let issuers = issuers.iter().map(|one| IssuerStrength { subject: "CN=I".into(), strength: one.clone() });
    facts.paths.insert(trust("system"), AnchorPath::Through(issuers.collect()));
    let session = session(TlsVersion::V13, "TLS_AES_256_GCM_SHA384", "secp384r1");
    TlsFacts {
        peer: PeerCertificate::Shown(Box::new(facts)),
        client_certificate: Some(ClientCertificate::NotAskedFor),
        ..session
    }
}

fn chain() -> Require {
    Require::Chain { trust: vec![trust("system")] }
}

#[test]
fn certificates_by_key_and_signature() {
    use HashFunction::{Sha1, Sha256, Sha384};
    use SignatureFamily::{Ecdsa, RsaPkcs1, RsaPss};
    let check = |key: PublicKeyKind, signature: SignatureKind, expected| {
        check(&shown(&strength(key, signature), &[], 90), &chain(), expected);
    };
    let (key, sig) = ("profile-key", "profile-signature");
    check(PublicKeyKind::Rsa(2047), signed(RsaPkcs1, Sha256), [key; 4]);
    check(PublicKeyKind::Rsa(2048), signed(RsaPkcs1, Sha256), ["yes", key, "yes", key]);
    check(PublicKeyKind::Rsa(3072), signed(RsaPkcs1, Sha256), ["yes", sig, "yes", sig]);
    check(PublicKeyKind::Rsa(3072), signed(RsaPkcs1, Sha384), ["yes", sig, "yes", "yes"]);
    check(PublicKeyKind::Rsa(3000), signed(RsaPss, Sha256), ["yes", "yes", "yes", key]);
    check(PublicKeyKind::Rsa(4096), signed(RsaPss, Sha384), ["yes"; 4]);
    check(PublicKeyKind::Rsa(4096), signed(RsaPkcs1, Sha1), [sig; 4]);
    check(curve(P256), signed(Ecdsa, Sha256), ["yes", "yes", "yes", key]);
    check(curve(P384), signed(Ecdsa, Sha384), ["yes"; 4]);
    check(curve(P384), signed(Ecdsa, Sha256), ["yes", "yes", "yes", sig]);
    check(curve("Ed25519"), SignatureKind::Edwards("Ed25519".into()), ["yes", key, key, key]);
    check(curve("P-224"), signed(Ecdsa, Sha256), [key; 4]);
    check(PublicKeyKind::default(), SignatureKind::default(), [key; 4]);
}

#[test]
fn the_whole_chain_counts_but_not_the_anchor() {
    use HashFunction::{Sha256, Sha384};
    use SignatureFamily::{Ecdsa, RsaPkcs1};
    let good = strength(curve(P384), signed(Ecdsa, Sha384));
    let by_rsa = strength(curve(P384), signed(RsaPkcs1, Sha384));
    let small = strength(PublicKeyKind::Rsa(2048), signed(Ecdsa, Sha384));
    let sig = "profile-signature";
    check(&shown(&good, &[good.clone(), by_rsa.clone()], 90), &chain(), ["yes", sig, "yes", "yes"]);
    check(&shown(&good, &[small], 90), &chain(), ["yes", "profile-key", "yes", "profile-key"]);
    let weak = strength(curve(P256), signed(RsaPkcs1, Sha256));
    // Nobody relies on the signature where no chain is required, or where the certificate itself is the anchor.
    check(&shown(&weak, &[], 90), &Require::Encryption, ["yes", "yes", "yes", "profile-key"]);
    let mut itself = shown(&by_rsa, &[], 90);
    if let PeerCertificate::Shown(certificate) = &mut itself.peer {
        certificate.paths.insert(trust("system"), AnchorPath::Itself);
    }
    check(&itself, &chain(), ["yes"; 4]);
    // Without a path there is nothing that conforms.
    let mut lost = shown(&by_rsa, &[], 90);
    if let PeerCertificate::Shown(certificate) = &mut lost.peer {
        certificate.paths.clear();
    }
    check(&lost, &chain(), ["yes", sig, "yes", "yes"]);
    // Of two ways to an anchor, one that conforms is enough.
    let mut two = shown(&good, &[by_rsa], 90);
    if let PeerCertificate::Shown(certificate) = &mut two.peer {
        certificate.chain.insert(trust("partners"), ChainVerdict::Trusted);
        certificate.paths.insert(trust("partners"), AnchorPath::Through(vec![]));
    }
    check(&two, &Require::Chain { trust: vec![trust("system"), trust("partners")] }, ["yes"; 4]);
}

#[test]
fn validity_is_limited_where_the_guideline_says_so() {
    let good = strength(curve(P384), signed(SignatureFamily::Ecdsa, HashFunction::Sha384));
    check(&shown(&good, &[], 1096), &chain(), ["yes"; 4]);
    check(&shown(&good, &[], 1097), &chain(), ["yes", "yes", "profile-validity", "yes"]);
}

#[test]
fn a_client_is_judged_by_a_certificate_only_if_it_must_show_one() {
    let weak = strength(PublicKeyKind::Rsa(1024), signed(SignatureFamily::RsaPkcs1, HashFunction::Sha1));
    let client = TlsFacts { client_certificate: None, ..shown(&weak, &[], 90) };
    check(&client, &Require::Encryption, ["yes"; 4]);
    check(&client, &chain(), ["profile-key"; 4]);
}

#[test]
fn profiles_are_ordered_by_what_they_allow() {
    let includes = |wide: Profile, narrow: Profile| wide.includes(narrow);
    for profile in Profile::ALL {
        assert!(includes(profile, profile), "{profile}");
        assert_eq!(Profile::named(profile.table().name), Some(profile));
    }
    use Profile::{BsiTr021022Of2025, Cnsa1, NistSp80052r2, Nl2025};
    assert!(!includes(BsiTr021022Of2025, NistSp80052r2) && !includes(Cnsa1, NistSp80052r2));
    // It demands the extended master secret and a limited validity, which these do not.
    assert!(!includes(NistSp80052r2, Cnsa1) && !includes(NistSp80052r2, BsiTr021022Of2025));
    assert!(!includes(Nl2025, NistSp80052r2), "SHA-224 is being phased out there");
    assert!(!includes(BsiTr021022Of2025, Cnsa1), "RSA PKCS#1 v1.5");
    assert!(!Nl2025.excludes_usual_peers() && Nl2025.has_hybrid());
    for stricter in [BsiTr021022Of2025, NistSp80052r2, Cnsa1] {
        assert!(stricter.excludes_usual_peers() && !stricter.has_hybrid(), "{stricter}");
    }
}
