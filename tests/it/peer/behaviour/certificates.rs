//! Partners that differ in what they show.

use rcgen::{
    BasicConstraints, CustomExtension, ExtendedKeyUsagePurpose as Eku, GeneralSubtree, IsCa, KeyPair,
    NameConstraints, RsaKeySize, SerialNumber, date_time_ymd,
};

use super::{Behaviour, shows, weak};
use crate::peer::mint::{Authority, Kind, Pair, named};
use crate::peer::site::{PARTNER, REVOKED, REVOKED_SINCE, REVOKED_TOO};
use crate::peer::workshop::Workshop;

/// What is shown first is the good certificate.
const GOOD_ITSELF: &str = "sealed; pin subject: sealed";
/// Its issuer is not the one asked for, and no list of its own speaks for what it issued.
const THROUGH: &str = "sealed; issuer: subject-mismatch; hard: revocation-unknown";
const WRONG_NAME: &str = "sealed; @name: name-mismatch";
const UNKNOWN: &str = "sealed; @chain: unknown-issuer";
const INVALID: &str = "sealed; @chain: chain-invalid";
/// Forced TLS breaks the handshake off; other TLS only doesn't know with whom it is.
const UNPROVED: &str = "sealed; @forced: handshake-broken";

pub(super) fn names() -> Vec<Behaviour> {
    vec![
        shows("good", "a certificate with everything in order", |w| w.good(), "sealed"),
        shows("wildcard", "a wildcard one label above the name", |w| w.named(&["*.partner.test"]), "sealed"),
        shows(
            "wildcard-below",
            "a wildcard for one label below the name",
            |w| w.named(&["*.mail.partner.test"]),
            WRONG_NAME,
        ),
        shows("wildcard-above", "a wildcard two labels above the name", |w| w.named(&["*.test"]), WRONG_NAME),
        shows(
            "wildcard-partial",
            "a wildcard for part of the label",
            |w| w.named(&["ma*.partner.test"]),
            WRONG_NAME,
        ),
        shows("wrong-name", "a certificate for another host", |w| w.named(&["mx.other.test"]), WRONG_NAME),
        shows(
            "second-name",
            "the name is the second of three",
            |w| w.named(&["mx.other.test", PARTNER, "www.other.test"]),
            "sealed",
        ),
        shows("address", "only an address in the certificate", |w| w.named(&["127.0.0.1"]), WRONG_NAME),
        shows(
            "common-name",
            "the name only in the subject (CN)",
            |w| w.changed(|p| p.subject_alt_names.clear()),
            "sealed; @name: name-mismatch; allow-cn: sealed",
        ),
        shows(
            "common-name-beside",
            "the name in the subject (CN), another one in the subjectAltName",
            |w| {
                w.partners.made(&["mx.other.test"], &KeyPair::generate().unwrap(), |p| {
                    p.distinguished_name = named(PARTNER);
                })
            },
            WRONG_NAME,
        ),
        shows(
            "empty-names",
            "a subjectAltName without any name",
            |w| {
                w.changed(|p| {
                    p.subject_alt_names.clear();
                    let empty = CustomExtension::from_oid_content(&[2, 5, 29, 17], vec![0x30, 0]);
                    p.custom_extensions.push(empty);
                })
            },
            "sealed; @name: name-mismatch; allow-cn: sealed",
        ),
        shows("upper-case", "the name in upper case", |w| w.named(&["MAIL.PARTNER.TEST"]), "sealed"),
        shows("final-dot", "the name with a dot at its end", |w| w.named(&["mail.partner.test."]), "sealed"),
        shows(
            "a-label",
            "an internationalised name (A-label) before the name",
            |w| w.named(&["xn--mller-kva.test", PARTNER]),
            "sealed",
        ),
    ]
}

pub(super) fn times_and_chains() -> Vec<Behaviour> {
    vec![
        shows(
            "expired",
            "an expired certificate",
            |w| w.partners.pair(&[PARTNER], Kind::Expired),
            "sealed; @chain: certificate-expired",
        ),
        shows(
            "not-yet",
            "a certificate that is not valid yet",
            |w| w.partners.pair(&[PARTNER], Kind::NotYet),
            "sealed; @chain: certificate-not-yet-valid",
        ),
        shows("intermediate", "issued by an intermediate that is shown", |w| w.through(|_| ()), THROUGH),
        shows(
            "intermediate-expired",
            "issued by an expired intermediate",
            |w| w.through(|p| p.not_after = date_time_ymd(2021, 1, 1)),
            "sealed; @chain: certificate-expired",
        ),
        shows(
            "intermediate-missing",
            "issued by an intermediate that is not shown",
            |w| w.partners.below("between", |_| ()).pair(&[PARTNER], Kind::Good),
            UNKNOWN,
        ),
        shows("disordered", "two intermediates, shown in the wrong order", |w| two_between(w, true), THROUGH),
        shows("two-intermediates", "two intermediates, in order", |w| two_between(w, false), THROUGH),
        shows(
            "unrelated",
            "a certificate in the chain that has nothing to do with it",
            |w| w.good().followed_by(&[&w.stranger]),
            GOOD_ITSELF,
        ),
        shows("root-shown", "the root is shown too", |w| w.good().followed_by(&[w.partners]), GOOD_ITSELF),
        shows("self-signed", "a self-signed certificate", |_| Pair::self_signed(&[PARTNER]), UNKNOWN),
        shows(
            "self-signed-authority",
            "the same, marked as an authority (CA:TRUE)",
            |_| Authority::new(PARTNER).as_leaf(),
            "sealed; @chain: ca-as-end-entity",
        ),
        shows(
            "authority",
            "the trusted authority's own certificate",
            |w| w.partners.as_leaf(),
            // It is trusted as it stands; and it names no host.
            WRONG_NAME,
        ),
        shows(
            "anchor",
            "a self-signed certificate, marked as an authority, that is itself in `trust`",
            |w| w.anchor.clone(),
            "sealed; issuer: subject-mismatch; hard: revocation-unknown",
        ),
        shows(
            "unknown-authority",
            "issued by an authority that is not trusted",
            |w| w.stranger.pair(&[PARTNER], Kind::Good),
            UNKNOWN,
        ),
        shows(
            "same-name-authority",
            "issued by an authority that has the trusted one's name and another key",
            |_| Authority::new("partners").pair(&[PARTNER], Kind::Good),
            "sealed; @chain: chain-bad-signature",
        ),
        shows(
            "name-constraints",
            "issued by an intermediate that may only issue for another domain",
            |w| {
                w.through(|p| {
                    let permitted_subtrees = vec![GeneralSubtree::DnsName("other.test".to_owned())];
                    p.name_constraints =
                        Some(NameConstraints { permitted_subtrees, excluded_subtrees: Vec::new() });
                })
            },
            INVALID,
        ),
        shows(
            "path-length",
            "more intermediates than the upper one allows",
            |w| {
                let short = |p: &mut rcgen::CertificateParams| {
                    p.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
                };
                let upper = w.partners.below("upper", short);
                let lower = upper.below("lower", |_| ());
                lower.pair(&[PARTNER], Kind::Good).followed_by(&[&lower, &upper])
            },
            INVALID,
        ),
        shows(
            "issuer-no-authority",
            "issued by a host's certificate, which may not issue any",
            |w| w.through(|p| p.is_ca = IsCa::ExplicitNoCa),
            INVALID,
        ),
        shows(
            "critical-extension",
            "an unknown critical extension",
            |w| {
                w.changed(|p| {
                    let mut odd =
                        CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99999, 1], vec![5, 0]);
                    odd.set_criticality(true);
                    p.custom_extensions.push(odd);
                })
            },
            INVALID,
        ),
    ]
}

fn two_between(w: &Workshop<'_>, disordered: bool) -> Pair {
    let upper = w.partners.below("upper", |_| ());
    let lower = upper.below("lower", |_| ());
    let leaf = lower.pair(&[PARTNER], Kind::Good);
    if disordered { leaf.followed_by(&[&upper, &lower]) } else { leaf.followed_by(&[&lower, &upper]) }
}

pub(super) fn revocation() -> Vec<Behaviour> {
    const REVOKED_BY_A_LIST: &str = "sealed; @chain: certificate-revoked";
    vec![
        shows(
            "revoked",
            "a certificate that its authority's list names, behind one that has ended",
            |w| w.changed(|p| p.serial_number = Some(SerialNumber::from(REVOKED))),
            REVOKED_BY_A_LIST,
        ),
        shows(
            "revoked-too",
            "a certificate that only its authority's second list names",
            |w| w.changed(|p| p.serial_number = Some(SerialNumber::from(REVOKED_TOO))),
            REVOKED_BY_A_LIST,
        ),
        shows(
            "renewed",
            "issued by the authority's renewed key, which has a list of its own",
            |w| w.renewed.pair(&[PARTNER], Kind::Good),
            "sealed",
        ),
        shows("renewed-revoked", "the same, and that list names it", |w| since(w.renewed), REVOKED_BY_A_LIST),
        shows(
            "renewed-elsewhere",
            "issued by the old key, with a serial number that the renewed key's list names",
            |w| since(w.partners),
            "sealed",
        ),
    ]
}

fn since(authority: &Authority) -> Pair {
    authority.made(&[PARTNER], &KeyPair::generate().unwrap(), |p| {
        p.serial_number = Some(SerialNumber::from(REVOKED_SINCE));
    })
}

pub(super) fn purposes() -> Vec<Behaviour> {
    const WRONG: &str = "sealed; @chain: wrong-purpose";
    vec![
        shows(
            "for-servers",
            "only for servers",
            |w| w.partners.pair(&[PARTNER], Kind::ServerOnly),
            "sealed; client: not-for-clients",
        ),
        shows("for-clients", "only for clients", |w| w.partners.pair(&[PARTNER], Kind::ClientOnly), WRONG)
            .inbound("sealed"),
        shows(
            "no-purpose",
            "without extended key usage",
            |w| w.changed(|p| p.extended_key_usages.clear()),
            "sealed",
        ),
        shows(
            "any-purpose",
            "for any purpose (anyExtendedKeyUsage)",
            |w| w.changed(|p| p.extended_key_usages = vec![Eku::Any]),
            WRONG,
        ),
        shows(
            "for-mail",
            "only for signing mail (emailProtection)",
            |w| w.changed(|p| p.extended_key_usages = vec![Eku::EmailProtection]),
            WRONG,
        ),
    ]
}

pub(super) fn keys() -> Vec<Behaviour> {
    vec![
        shows(
            "rsa-2048",
            "an RSA key of 2048 bits",
            |w| w.rsa(RsaKeySize::_2048),
            "sealed; profile: profile-key",
        ),
        shows("rsa-4096", "an RSA key of 4096 bits", |w| w.rsa(RsaKeySize::_4096), "sealed"),
        shows("p-384", "an ECDSA key on P-384", |w| w.keyed(&rcgen::PKCS_ECDSA_P384_SHA384), "sealed"),
        shows(
            "ed25519",
            "an Ed25519 key",
            |w| w.keyed(&rcgen::PKCS_ED25519),
            "sealed; profile: handshake-broken",
        ),
        shows(
            "wrong-key",
            "a good certificate and the key of another",
            |w| Pair { key: w.named(&[PARTNER]).key, ..w.good() },
            UNPROVED,
        )
        .inbound("handshake-broken"),
        weak(
            "rsa-1024",
            "an RSA key of 1024 bits",
            |w| w.by_openssl(&["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"], &["-sha256"], true),
            UNPROVED,
        )
        .inbound("handshake-broken"),
        weak(
            "sha-1",
            "signed by its issuer with SHA-1",
            |w| w.by_openssl(&["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"], &["-sha1"], true),
            INVALID,
        ),
        weak(
            "version-1",
            "an X.509 version 1 certificate",
            |w| {
                w.by_openssl(
                    &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
                    &["-sha256"],
                    false,
                )
            },
            INVALID,
        ),
    ]
}
