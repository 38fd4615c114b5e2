//! The plan in virtual time, the comparison of looks, and the database.

mod changing;
mod planning;
mod storing;

use super::*;
use crate::connector::TlsVersion;
use crate::mail::{Domain, UnixMillis};

const HOUR: i64 = 60 * 60 * 1_000;
const DAY: i64 = 24 * HOUR;
const START: i64 = 1_795_469_756_000;

fn target(number: usize) -> LookTarget {
    LookTarget { connector: format!("partner-{number}").into(), domain: Domain::parse("partner.test").ok() }
}

fn key(name: &str, address: &str) -> LookHost {
    LookHost { name: name.to_owned(), address: address.to_owned() }
}

/// A host over TLS, with a certificate of this fingerprint that ends after so many days.
fn sealed(sha256: &str, days: i64) -> Sight {
    let certificate = CertificateSight {
        names: vec!["mail.partner.test".to_owned()],
        names_count: 1,
        issuer: "CN=partners".to_owned(),
        root: None,
        pin: format!("sha256/{sha256}"),
        sha256: sha256.to_owned(),
        not_after: UnixMillis(START + days * DAY),
    };
    let tls = TlsSight {
        version: TlsVersion::V13,
        suite: "TLS_AES_256_GCM_SHA384".to_owned(),
        group: "X25519MLKEM768".to_owned(),
        certificate: Some(certificate),
    };
    Sight {
        at: UnixMillis(START),
        ok: true,
        reason: "the session meets the requirement".to_owned(),
        token: Some("met".to_owned()),
        session: SessionSight::Tls(Box::new(tls)),
        recipient: None,
        passing: false,
    }
}

fn dead() -> Sight {
    Sight::failed(UnixMillis(START), "connection refused")
}
