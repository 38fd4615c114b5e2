//! Revocation lists and the status they give a chain.

use rcgen::{
    CertificateRevocationListParams, KeyIdMethod, KeyUsagePurpose, RevokedCertParams, SerialNumber,
    date_time_ymd,
};

use super::*;
use crate::connector::RevocationStatus;

/// A revocation list of an authority: the serial numbers it revokes, and whether it has expired.
fn list(ca: &CertifiedIssuer<'static, KeyPair>, revoked: &[u64], stale: bool) -> String {
    let until = if stale { 2025 } else { 2040 };
    let params = CertificateRevocationListParams {
        this_update: date_time_ymd(2024, 1, 1),
        next_update: date_time_ymd(until, 1, 1),
        crl_number: SerialNumber::from(1_u64),
        issuing_distribution_point: None,
        revoked_certs: revoked
            .iter()
            .map(|serial| RevokedCertParams {
                serial_number: SerialNumber::from(*serial),
                revocation_time: date_time_ymd(2024, 6, 1),
                reason_code: None,
                invalidity_date: None,
            })
            .collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    params.signed_by(ca).unwrap().pem().unwrap()
}

fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

#[test]
fn a_list_is_good_revoked_stale_or_silent() {
    let mint = Mint::new();
    let (ca, other) = (authority("Listed root"), authority("Other root"));
    let key = KeyPair::generate().unwrap();
    let leaf = params(|p| p.serial_number = Some(SerialNumber::from(7_u64))).signed_by(&key, &ca).unwrap();
    let check = |lists: &[String], expected| {
        let mut set = TrustSet::load(&mint.file("listed.pem", &ca.pem())).unwrap();
        for text in lists {
            set.add_lists(&mint.file("listed.crl", text)).unwrap();
        }
        let sets = [(TrustId("listed".into()), Arc::new(set))];
        let peer = assess(&[leaf.der().clone()], true, &sets, Usage::Server, NOW);
        let PeerCertificate::Shown(facts) = peer else { panic!("a certificate") };
        assert_eq!(facts.chain_to(&[TrustId("listed".into())]), ChainVerdict::Trusted);
        assert_eq!(facts.root.as_deref(), Some("CN=Listed root"));
        assert_eq!(facts.revocation_by(&[TrustId("listed".into())]), expected, "{} lists", lists.len());
    };
    check(&[], RevocationStatus::NoList);
    check(&[list(&ca, &[], false)], RevocationStatus::Good);
    check(&[list(&ca, &[8], false)], RevocationStatus::Good);
    check(&[list(&ca, &[7], false)], RevocationStatus::Revoked);
    check(&[list(&ca, &[], true)], RevocationStatus::Stale);
    // An expired list that revokes the certificate is still enough.
    check(&[list(&ca, &[7], true)], RevocationStatus::Revoked);
    check(&[list(&other, &[7], false)], RevocationStatus::Unknown);
}

#[test]
fn a_file_that_is_no_list_is_told() {
    let mint = Mint::new();
    let mut set = TrustSet::load(&mint.file("root.pem", &mint.ca.pem())).unwrap();
    for content in [mint.ca.pem(), "nothing".to_owned()] {
        let told = set.add_lists(&mint.file("bad.crl", &content)).unwrap_err().to_string();
        assert!(told.contains("bad.crl: it is not a certificate revocation list"), "{told}");
    }
}
