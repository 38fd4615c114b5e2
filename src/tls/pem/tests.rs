//! Chains, keys and their faults, loaded from files that each test writes.

use std::fs;

use rcgen::{CertificateParams, KeyPair};

use super::*;
use crate::tls::TrustSet;

fn pair() -> (String, String) {
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(["mx.example".to_owned()]).expect("parameters");
    (params.self_signed(&key).expect("a certificate").pem(), key.serialize_pem())
}

/// Writes the given files, loads them, and prints the result with file names without their folder.
#[track_caller]
fn check(chain: Option<&str>, key: Option<&str>, expected: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, content: Option<&str>| {
        let path = folder.path().join(name);
        if let Some(content) = content {
            fs::write(&path, content).expect("written");
        }
        path
    };
    let loaded = Identity::load(&write("c", chain), &write("k", key));
    let told = loaded.map_or_else(|fault| fault.to_string(), |_| "loaded".to_owned());
    assert_eq!(told.replace(&format!("{}/", folder.path().display()), ""), expected);
}

#[test]
fn a_mistake_names_the_file_and_what_to_do() {
    let ((chain, key), (other, other_key)) = (pair(), pair());
    let ok = Some(chain.as_str());
    let with = |text: &str| check(ok, Some(&key), text);
    with("loaded");
    check(Some(&format!("{chain}{key}")), Some(&format!("{chain}{key}")), "loaded");
    check(Some(&format!("{chain}{other}")), Some(&key), "loaded");
    let missing = "there is no such file; write the path as seen from the configuration file";
    check(None, Some(&key), &format!("c: {missing}"));
    check(ok, None, &format!("k: {missing}"));
    check(
        Some("nothing"),
        Some(&key),
        "c: no certificate in it; it must hold PEM (-----BEGIN CERTIFICATE-----)",
    );
    check(ok, Some("nothing"), "k: no private key in it; it must hold PEM (-----BEGIN PRIVATE KEY-----)");
    check(
        ok,
        Some(&format!("{key}{other_key}")),
        "k: 2 private keys in it; leave only the one that belongs to the certificate",
    );
    check(
        ok,
        Some(&other_key),
        "k: the private key does not belong to the first certificate of c; a renewal may have replaced only one of them",
    );
    check(
        Some(&format!("{other}{chain}")),
        Some(&key),
        "c: the private key belongs to certificate number 2; put that one first, then its issuer, and so on",
    );
}

#[test]
fn damaged_and_encrypted_files_are_told_apart() {
    let (chain, key) = pair();
    let encrypted =
        "k: the private key is encrypted; take the passphrase off (openssl pkey -in OLD -out NEW)";
    check(Some(&chain), Some(&key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY")), encrypted);
    let old = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nAAAA\n\
               -----END RSA PRIVATE KEY-----\n";
    check(Some(&chain), Some(old), encrypted);
    let advice = "copy it again, from BEGIN line to END line";
    let cut = chain.replace("-----END CERTIFICATE-----", "");
    let missing = "it is damaged (the line -----END CERTIFICATE----- is missing)";
    check(Some(&cut), Some(&key), &format!("c: {missing}; {advice}"));
    let odd = chain.replacen("MII", "M!I", 1);
    let odd = if odd == chain { chain.replacen("\nMI", "\nM!", 1) } else { odd };
    check(Some(&odd), Some(&key), &format!("c: it is damaged (a section is not base64); {advice}"));
    let none = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("c");
    fs::write(&file, format!("{chain}{none}")).expect("written");
    let told = Identity::load(&file, &file).expect_err("no certificate").to_string();
    assert!(told.contains("certificate number 2 can't be read: "), "{told}");
    let told = TrustSet::load(&file).expect_err("no anchor").to_string();
    assert!(told.contains("certificate number 2 can't be a trust anchor: "), "{told}");
    let told = TrustSet::load(folder.path()).expect_err("a folder").to_string();
    assert!(told.contains("it can't be read: "), "{told}");
}

#[test]
fn what_still_works_is_a_warning() {
    let (chain, key) = pair();
    let folder = tempfile::tempdir().expect("a folder");
    let (chain_file, key_file) = (folder.path().join("c"), folder.path().join("k"));
    fs::write(&chain_file, chain).expect("written");
    fs::write(&key_file, key).expect("written");
    let warnings = |mode, now| {
        fs::set_permissions(&key_file, fs::Permissions::from_mode(mode)).expect("a mode");
        let identity = Identity::load(&chain_file, &key_file).expect("loaded");
        let texts: Vec<_> = identity.warnings(now).iter().map(ToString::to_string).collect();
        texts.join("\n").replace(&format!("{}/", folder.path().display()), "")
    };
    let now = UnixMillis(1_800_000_000_000);
    assert_eq!(warnings(0o600, now), "");
    assert_eq!(warnings(0o644, now), "k: other users may read the private key (mode 0644); chmod 0600 it");
    let soon = "c: the certificate expires on 4096-01-01T00:00:00Z; renew it";
    assert_eq!(warnings(0o600, UnixMillis(67_090_118_400_000 - 864_000_000)), soon);
    assert!(warnings(0o600, UnixMillis(i64::MAX)).starts_with("c: the certificate expired on "));
    assert!(warnings(0o600, UnixMillis(0)).starts_with("c: the certificate is valid only from 1975-01-01"));
}
