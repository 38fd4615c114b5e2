//! Revocation lists and the status they give a chain.

use rcgen::{
    CertificateRevocationListParams, CrlDistributionPoint, CrlIssuingDistributionPoint, CrlScope,
    KeyIdMethod, KeyUsagePurpose, RevokedCertParams, SerialNumber, SigningKey as _, date_time_ymd,
};

use super::*;
use crate::connector::RevocationStatus;
use crate::tls::crl::RevocationList;

type Ca = CertifiedIssuer<'static, KeyPair>;

fn list_params(revoked: &[u64], stale: bool) -> CertificateRevocationListParams {
    let until = if stale { 2025 } else { 2040 };
    CertificateRevocationListParams {
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
    }
}

/// The list of an authority: which serial numbers it names, and whether its time is over.
pub(super) fn list(ca: &Ca, revoked: &[u64], stale: bool) -> String {
    list_params(revoked, stale).signed_by(ca).unwrap().pem().unwrap()
}

/// One for a part of an authority's certificates.
fn part(ca: &Ca, revoked: &[u64], uri: &str, scope: Option<CrlScope>) -> String {
    let distribution_point = CrlDistributionPoint { uris: vec![uri.to_owned()] };
    let mut params = list_params(revoked, false);
    params.issuing_distribution_point = Some(CrlIssuingDistributionPoint { distribution_point, scope });
    params.signed_by(ca).unwrap().pem().unwrap()
}

pub(super) fn authority(name: &str) -> Ca {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A certificate with the serial number 7, and something changed about it.
fn seven(ca: &Ca, change: impl FnOnce(&mut CertificateParams)) -> CertificateDer<'static> {
    let params = params(|p| {
        p.serial_number = Some(SerialNumber::from(7_u64));
        change(p);
    });
    params.signed_by(&KeyPair::generate().unwrap(), ca).unwrap().der().clone()
}

/// What the lists of a set with these anchors say of a chain that it trusts.
fn said(anchors: &[&Ca], lists: &[String], chain: &[CertificateDer<'_>]) -> RevocationStatus {
    let mint = Mint::new();
    let pem: String = anchors.iter().map(|ca| ca.pem()).collect();
    let mut set = TrustSet::load(&mint.file("listed.pem", &pem)).unwrap();
    for text in lists {
        set.add_lists(&mint.file("listed.crl", text)).unwrap();
    }
    let listed = [TrustId("listed".into())];
    let sets = [(listed[0].clone(), Arc::new(set))];
    let peer = assess(chain, true, &sets, Usage::Server, NOW);
    let PeerCertificate::Shown(facts) = peer else { panic!("a certificate") };
    assert_eq!(facts.chain_to(&listed), ChainVerdict::Trusted);
    facts.revocation_by(&listed)
}

#[test]
fn a_list_is_good_revoked_stale_or_silent() {
    let (ca, other) = (authority("Listed root"), authority("Other root"));
    let leaf = seven(&ca, as_is);
    let check = |lists: &[String], expected| {
        assert_eq!(said(&[&ca], lists, std::slice::from_ref(&leaf)), expected, "{} lists", lists.len());
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
fn every_list_of_an_issuer_is_read_in_whatever_order() {
    let ca = authority("Listed root");
    let leaf = seven(&ca, as_is);
    let check = |one: String, two: String, expected| {
        for lists in [[one.clone(), two.clone()], [two, one]] {
            assert_eq!(said(&[&ca], &lists, std::slice::from_ref(&leaf)), expected);
        }
    };
    check(list(&ca, &[], false), list(&ca, &[7], false), RevocationStatus::Revoked);
    check(list(&ca, &[], true), list(&ca, &[7], false), RevocationStatus::Revoked);
    check(list(&ca, &[], true), list(&ca, &[8], false), RevocationStatus::Good);
    check(list(&ca, &[], true), list(&ca, &[8], true), RevocationStatus::Stale);
}

/// As AD CS does it: the name stays, the key is another one, and each key has its list.
#[test]
fn a_renewed_key_of_the_same_name_has_its_own_list() {
    let (old, new) = (authority("Contoso CA"), authority("Contoso CA"));
    for (issuer, other) in [(&old, &new), (&new, &old)] {
        let leaf = seven(issuer, as_is);
        let check = |lists: &[String], expected| {
            let (mut forth, mut back) = (lists.to_vec(), lists.to_vec());
            back.reverse();
            for lists in [&mut forth, &mut back] {
                assert_eq!(said(&[&old, &new], lists, std::slice::from_ref(&leaf)), expected);
            }
        };
        check(&[list(other, &[], false), list(issuer, &[7], false)], RevocationStatus::Revoked);
        check(&[list(other, &[7], false), list(issuer, &[], false)], RevocationStatus::Good);
        check(&[list(other, &[], false)], RevocationStatus::Unknown);
        check(&[list(other, &[], false), list(issuer, &[], true)], RevocationStatus::Stale);
    }
}

#[test]
fn each_certificate_of_a_path_needs_a_list_and_none_may_be_named() {
    let root = authority("Listed root");
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "Between");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.serial_number = Some(SerialNumber::from(70_u64));
    let mut silent = params.clone();
    let between = CertifiedIssuer::signed_by(params, KeyPair::generate().unwrap(), &root).unwrap();
    let chain = [seven(&between, as_is), between.der().clone()];
    let check =
        |lists: &[String], expected| assert_eq!(said(&[&root], lists, &chain), expected, "{}", lists.len());
    check(&[list(&root, &[], false)], RevocationStatus::Unknown);
    check(&[list(&between, &[], false)], RevocationStatus::Unknown);
    check(&[list(&root, &[], false), list(&between, &[], false)], RevocationStatus::Good);
    check(&[list(&root, &[], false), list(&between, &[7], false)], RevocationStatus::Revoked);
    check(&[list(&root, &[70], false), list(&between, &[], false)], RevocationStatus::Revoked);
    check(&[list(&root, &[70], false)], RevocationStatus::Revoked);
    check(&[list(&root, &[], false), list(&between, &[], true)], RevocationStatus::Stale);
    // An authority that may not sign lists does not speak by one.
    silent.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let silent = CertifiedIssuer::signed_by(silent, KeyPair::generate().unwrap(), &root).unwrap();
    let chain = [seven(&silent, as_is), silent.der().clone()];
    let mut signing = CertificateParams::default();
    signing.distinguished_name.push(DnType::CommonName, "Between");
    signing.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let lists = [list(&root, &[], false), {
        let issuer = rcgen::Issuer::from_params(&signing, silent.key());
        list_params(&[], false).signed_by(&issuer).unwrap().pem().unwrap()
    }];
    assert_eq!(said(&[&root], &lists, &chain), RevocationStatus::Unknown);
}

#[test]
fn a_list_for_some_certificates_vouches_for_these_alone() {
    let ca = authority("Listed root");
    let here = |p: &mut CertificateParams| {
        let uris = vec!["ldap://ca.example/".to_owned(), "http://ca.example/1.crl".to_owned()];
        p.crl_distribution_points = vec![CrlDistributionPoint { uris }];
    };
    let (with, without) = (seven(&ca, here), seven(&ca, as_is));
    let check = |leaf: &CertificateDer<'static>, list: String, expected| {
        assert_eq!(said(&[&ca], &[list], std::slice::from_ref(leaf)), expected);
    };
    let one = |revoked: &[u64], scope| part(&ca, revoked, "http://ca.example/1.crl", scope);
    let two = |revoked: &[u64]| part(&ca, revoked, "http://ca.example/2.crl", None);
    check(&with, one(&[], None), RevocationStatus::Good);
    check(&with, two(&[]), RevocationStatus::Unknown);
    check(&with, two(&[7]), RevocationStatus::Revoked);
    check(&without, two(&[]), RevocationStatus::Good);
    check(&with, one(&[], Some(CrlScope::UserCertsOnly)), RevocationStatus::Good);
    check(&with, one(&[], Some(CrlScope::CaCertsOnly)), RevocationStatus::Unknown);
}

fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let length = u16::try_from(content.len()).unwrap().to_be_bytes();
    [&[tag, 0x82][..], &length, &content].concat()
}

/// ECDSA with SHA-256.
const ALGORITHM: [u8; 12] = [0x30, 10, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];

/// A list without version and extensions as `openssl ca -gencrl` makes it, with more at its end.
fn by_hand(ca: &Ca, head: &[u8], dates: &[&str], revoked: &[u8], more: &[u8]) -> Vec<u8> {
    let (_, root) = x509_parser::parse_x509_certificate(ca.der()).unwrap();
    let dates: Vec<u8> = dates.iter().flat_map(|date| tlv(0x17, &[date.as_bytes()])).collect();
    let entries: Vec<u8> = revoked
        .iter()
        .flat_map(|serial| tlv(0x30, &[&[2, 1, *serial], &tlv(0x17, &[b"240601000000Z"])]))
        .collect();
    let entries = if entries.is_empty() { Vec::new() } else { tlv(0x30, &[&entries]) };
    let body = tlv(0x30, &[head, &ALGORITHM, root.subject().as_raw(), &dates, &entries, more]);
    let signature = ca.key().sign(&body).unwrap();
    tlv(0x30, &[&body, &ALGORITHM, &tlv(3, &[&[0], &signature])])
}

#[test]
fn a_version_1_list_is_read() {
    let ca = authority("Listed root");
    let leaf = seven(&ca, as_is);
    let mint = Mint::new();
    let check = |list: Vec<u8>, expected| {
        let mut set = TrustSet::load(&mint.file("root.pem", &ca.pem())).unwrap();
        let file = mint.folder.path().join("v1.crl");
        fs::write(&file, list).unwrap();
        let added = set.add_lists(&file).unwrap();
        assert!(set.signed(&added[0]) && added[0].issuer() == "CN=Listed root");
        let sets = [(TrustId("listed".into()), Arc::new(set))];
        let peer = assess(std::slice::from_ref(&leaf), true, &sets, Usage::Server, NOW);
        let PeerCertificate::Shown(facts) = peer else { panic!("a certificate") };
        assert_eq!(facts.revocation_by(&[TrustId("listed".into())]), expected);
    };
    let dates = ["240101000000Z", "400101000000Z"];
    check(by_hand(&ca, &[], &dates, &[], &[]), RevocationStatus::Good);
    check(by_hand(&ca, &[], &dates, &[8], &[]), RevocationStatus::Good);
    check(by_hand(&ca, &[], &dates, &[8, 7], &[]), RevocationStatus::Revoked);
    check(by_hand(&ca, &[2, 1, 1], &dates, &[], &[]), RevocationStatus::Good);
    // Without the date of the next one it can't vouch for anything.
    check(by_hand(&ca, &[], &dates[..1], &[8], &[]), RevocationStatus::Stale);
    check(by_hand(&ca, &[], &dates[..1], &[7], &[]), RevocationStatus::Revoked);
    check(by_hand(&ca, &[], &["390101000000Z", "400101000000Z"], &[], &[]), RevocationStatus::Stale);
}

#[test]
fn a_list_that_can_not_be_used_says_why() {
    let ca = authority("Listed root");
    let dates = ["240101000000Z", "400101000000Z"];
    let extended = |oid: &[u8], critical: bool, value: &[u8]| {
        let flag: &[u8] = if critical { &[1, 1, 0xff] } else { &[] };
        let one = tlv(0x30, &[&tlv(6, &[oid]), flag, &tlv(4, &[value])]);
        let more = tlv(0xa0, &[&tlv(0x30, &[&one])]);
        RevocationList::parse(&by_hand(&ca, &[2, 1, 1], &dates, &[7], &more))
            .map_or_else(|fault| fault.to_string(), |list| format!("{list:?}"))
    };
    let check = |told: String, expected: &str| assert!(told.starts_with(expected), "{told}");
    check(extended(&[0x55, 0x1d, 27], true, &[2, 1, 1]), "it is a delta list");
    check(extended(&[0x55, 0x1d, 28], true, &[0x30, 3, 0x84, 1, 0xff]), "it is an indirect list");
    check(extended(&[0x55, 0x1d, 28], true, &[0x30, 4, 0x83, 2, 6, 0x40]), "it covers only some reasons");
    check(extended(&[0x55, 0x1d, 28], true, &[0x30, 3, 0x85, 1, 0xff]), "it covers only attribute");
    check(extended(&[0x2b, 9], true, &[5, 0]), "it has the critical extension 1.3.9");
    check(extended(&[0x2b, 9], false, &[5, 0]), "RevocationList(CN=Listed root, 1 entries)");
    check(extended(&[0x55, 0x1d, 20], false, &[2, 1, 9]), "RevocationList(");
    let whole = by_hand(&ca, &[], &dates, &[7], &[]);
    for cut in 0..whole.len() {
        assert!(RevocationList::parse(&whole[..cut]).is_err(), "{cut} octets");
    }
    assert!(RevocationList::parse(&[&whole[..], &[0]].concat()).is_err());
}

/// One octet of a list that was changed: whatever is read, nobody has signed it.
#[test]
fn a_changed_list_is_signed_by_nobody() {
    let ca = authority("Listed root");
    let mint = Mint::new();
    let set = TrustSet::load(&mint.file("root.pem", &ca.pem())).unwrap();
    let whole = by_hand(&ca, &[], &["240101000000Z", "400101000000Z"], &[7], &[]);
    assert!(set.signed(&RevocationList::parse(&whole).unwrap()));
    for at in 0..whole.len() {
        let mut changed = whole.clone();
        changed[at] ^= 1;
        if let Ok(list) = RevocationList::parse(&changed) {
            assert!(!set.signed(&list), "octet {at}");
        }
    }
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
