//! Every configuration file of the repository: the one with every key, the examples, and one
//! for each kind of mistake.
#![cfg(test)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, IsCa, KeyIdMethod,
    KeyPair, SerialNumber, date_time_ymd,
};
use sealpost::config::{self, Config};
use tempfile::TempDir;

pub(crate) fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// A folder with `tls/`, whose certificates come from a root of its own.
pub(crate) fn minted() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let tls = folder.path().join("tls");
    fs::create_dir(&tls).expect("tls/");
    let mut root = CertificateParams::new(Vec::new()).expect("parameters");
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root = CertifiedIssuer::self_signed(root, KeyPair::generate().expect("a key")).expect("a root");
    let (key, other) = (KeyPair::generate().expect("a key"), KeyPair::generate().expect("a key"));
    let names = ["gw1.contoso.example", "relay.contoso.example", "gw.lab.test"];
    let current = CertificateParams::new(names.map(str::to_owned)).expect("parameters");
    let mut expired = current.clone();
    expired.not_before = date_time_ymd(2020, 1, 1);
    expired.not_after = date_time_ymd(2021, 1, 1);
    let signed = |params: CertificateParams| params.signed_by(&key, &root).expect("signed").pem();
    write_private(&tls.join("gw.crt"), &signed(current));
    write_private(&tls.join("expired.crt"), &signed(expired));
    write_private(&tls.join("gw.key"), &key.serialize_pem());
    let ended = CertificateRevocationListParams {
        this_update: date_time_ymd(2020, 1, 1),
        next_update: date_time_ymd(2020, 2, 1),
        crl_number: SerialNumber::from(1_u64),
        issuing_distribution_point: None,
        revoked_certs: Vec::new(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    write_private(&tls.join("ended.crl"), &ended.signed_by(&root).expect("signed").pem().expect("PEM"));
    let stranger = CertificateParams::new(Vec::new()).expect("parameters");
    let stranger =
        CertifiedIssuer::self_signed(stranger, KeyPair::generate().expect("a key")).expect("an issuer");
    let strange = CertificateRevocationListParams { next_update: date_time_ymd(4095, 1, 1), ..ended };
    write_private(
        &tls.join("strange.crl"),
        &strange.signed_by(&stranger).expect("signed").pem().expect("PEM"),
    );
    fs::write(folder.path().join("users"), "ann:$argon2id$v=19$m=19456,t=2,p=1$JJzD/EwEPELLAcRd7KYYWg$bBE1BNOk5wjrJ7FGcmx9isKL71Kv1FdVnmpitQLDLiY\n").expect("written");
    fs::write(folder.path().join("users-cut"), "ann:$argon2id$v=19$m=19456,t=2,p=1$JJzD/EwEPELLAcRd7KYYWg\n")
        .expect("written");
    fs::write(folder.path().join("recipients"), "ann@contoso.example\n").expect("written");
    write_private(
        &folder.path().join("networks.txt"),
        "# devices\n192.0.2.0/24 # the first\n\n2001:db8::/32\n",
    );
    write_private(&folder.path().join("odd.txt"), "192.0.2.0/24\n192.0.2.1/24\nnobody\n");
    write_private(&folder.path().join("none.txt"), "# nothing yet\n");
    write_private(
        &folder.path().join("domains.txt"),
        "woodgrove.example # the first\n\n*.woodgrove.example\n",
    );
    write_private(&folder.path().join("odd-domains.txt"), "odd.example\na@odd.example\n*.*.odd.example\n*\n");
    write_private(&tls.join("other.key"), &other.serialize_pem());
    for name in ["root.pem", "fabrikam-root.pem"] {
        write_private(&tls.join(name), &root.pem());
    }
    folder
}

fn write_private(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::write(path, text).expect("written");
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("made private");
}

fn load_in(folder: &TempDir, text: &str) -> Result<Config, config::Faults> {
    let path = folder.path().join("input.toml");
    fs::write(&path, text).expect("written");
    config::load(&path)
}

/// What an operator reads: the faults, or else what nobody can meet today, and the warnings.
pub(crate) fn told(folder: &TempDir, text: &str) -> String {
    let told = match load_in(folder, text) {
        Err(faults) => faults.to_string(),
        Ok(config) => {
            let unmet = config.unmet.iter().map(|one| format!("unmet: {}", one.fault));
            let warnings = config.warnings.iter().map(|w| format!("warning: {w}"));
            unmet.chain(warnings).collect::<Vec<_>>().join("\n")
        }
    };
    format!("{}\n", told.replace(&format!("{}/", folder.path().display()), ""))
}

#[test]
fn each_mistake_is_told_with_its_place_and_its_remedy() {
    let folder = minted();
    let mut cases: Vec<PathBuf> = fs::read_dir(repository().join("tests/data/bad-config"))
        .expect("the folder of mistakes")
        .map(|entry| entry.expect("a case").path())
        .collect();
    cases.sort();
    assert!(cases.len() >= 30, "{} cases", cases.len());
    let rewrite = std::env::var_os("UPDATE_GOLDEN").is_some();
    let mut wrong = Vec::new();
    for case in cases {
        let input = fs::read_to_string(case.join("input.toml")).expect("input.toml");
        let got = told(&folder, &input);
        if rewrite {
            fs::write(case.join("expected.txt"), &got).expect("written");
        }
        let expected = fs::read_to_string(case.join("expected.txt")).unwrap_or_default();
        if got != expected || got.trim().is_empty() {
            wrong.push(format!("{}\nexpected:\n{expected}got:\n{got}", case.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(!folder.path().join("data").exists(), "loading creates nothing");
}

#[test]
fn folders_of_the_spool_stay_on_its_file_system() {
    use std::os::unix::fs::{MetadataExt as _, symlink};
    let folder = minted();
    // A file system in memory, which every Linux has; without one there is nothing to compare.
    let Ok(elsewhere) = tempfile::tempdir_in("/dev/shm") else { return };
    let device = |path: &Path| fs::metadata(path).expect("a folder").dev();
    if device(elsewhere.path()) == device(folder.path()) {
        return;
    }
    let text = "[server]\nname = \"gw1.contoso.example\"\ndata_dir = \"data\"\npostmaster = \"postmaster@contoso.example\"\n";
    let data = folder.path().join("data");
    fs::create_dir(&data).expect("data/");
    fs::create_dir(data.join("tmp")).expect("data/tmp/");
    assert!(load_in(&folder, text).is_ok());
    symlink(elsewhere.path(), data.join("body")).expect("a link");
    let told = told(&folder, text);
    assert!(told.starts_with("input.toml: line 3, column 12: data/body is on another file system"), "{told}");
    // All of it elsewhere is as good as any other place.
    fs::remove_file(data.join("body")).expect("removed");
    fs::remove_dir_all(&data).expect("removed");
    symlink(elsewhere.path(), &data).expect("a link");
    fs::create_dir(data.join("body")).expect("data/body/");
    assert!(load_in(&folder, text).is_ok());
}

#[test]
fn faults_name_the_file_and_can_show_the_line() {
    let folder = minted();
    let faults = load_in(&folder, "[server]\nnmae = 1\n").expect_err("a fault");
    let [fault] = faults.list() else { panic!("one fault, not {faults}") };
    assert_eq!((fault.line, fault.column), (2, 1));
    assert!(fault.message.contains("did you mean \"name\"?"), "{fault}");
    assert!(format!("{fault:#}").ends_with("\n    nmae = 1\n    ^"), "{fault:#}");
}

#[test]
fn a_file_beyond_the_limit_or_without_utf8_is_refused() {
    let folder = minted();
    let long = format!("#{}\n", "x".repeat(1 << 20));
    assert!(told(&folder, &long).contains("more than 1048576 octets"));
    let path = folder.path().join("latin1.toml");
    fs::write(&path, b"# \xe4\n").expect("written");
    assert!(config::load(&path).expect_err("a fault").to_string().contains("not UTF-8"));
    let gone = config::load(&folder.path().join("gone.toml")).expect_err("a fault");
    assert!(gone.to_string().contains("gone.toml: can't be read"), "{gone}");
}

#[test]
fn the_shipped_file_loads_and_creates_nothing() {
    let path = repository().join("config/sealpost.toml");
    let config = match config::load(&path) {
        Ok(config) => config,
        Err(faults) => panic!("{faults}"),
    };
    assert_eq!(config.warnings, []);
    assert_eq!(config.control, Path::new("/var/lib/sealpost/control.sock"));
    assert!(config.trust.is_empty(), "no connector of it judges a chain");
}

/// A file that is made from the declared keys.
#[track_caller]
fn check_made(path: &str, made: &str) {
    let path = repository().join(path);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, made).expect("written");
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    let words = "differs from the declared keys in src/config/keys; UPDATE_GOLDEN=1 writes it";
    assert!(kept == made, "{} {words}", path.display());
}

#[test]
fn the_shipped_file_is_made_from_the_declared_keys() {
    check_made("config/sealpost.toml", &config::sample_file());
}

#[test]
fn the_reference_page_is_made_from_the_declared_keys() {
    check_made("docs/configuration.md", &config::reference_page());
}

#[test]
fn a_revision_follows_settings_and_files() {
    let folder = minted();
    let text = |expire: &str| {
        format!(
            "[server]\nname = \"gw1.contoso.example\"\ndata_dir = \"data\"\n\
             postmaster = \"postmaster@contoso.example\"\n[trust.a]\nanchors = \"tls/root.pem\"\n\
             [[outbound]]\nname = \"out\"\ndomains = [\"*\"]\nnext_hop = \"mx\"\ntls = \"forced\"\n\
             trust = [\"a\"]\nexpire = \"{expire}\"\n"
        )
    };
    let revision = |text: &str| match load_in(&folder, text) {
        Ok(config) => config.outbound.first().expect("a connector").revision,
        Err(faults) => panic!("{faults}"),
    };
    let first = revision(&text("24h"));
    assert_eq!(revision(&text("1d")), first, "the same, written otherwise");
    assert_ne!(revision(&text("23h")), first, "another setting");
    let other = minted();
    fs::copy(other.path().join("tls/root.pem"), folder.path().join("tls/root.pem")).expect("copied");
    let other_anchor = revision(&text("24h"));
    assert_ne!(other_anchor, first, "another trust anchor of the same name");
    let shown = |text: &str| {
        let server = "[certificate.gw]\nchain = \"tls/gw.crt\"\nkey = \"tls/gw.key\"\n[[outbound]]\n";
        revision(
            &text.replace("[[outbound]]\n", server).replace("expire", "client_certificate = \"gw\"\nexpire"),
        )
    };
    let own = shown(&text("24h"));
    assert_ne!(own, other_anchor, "a certificate of ours");
    for file in ["gw.crt", "gw.key"] {
        fs::copy(other.path().join("tls").join(file), folder.path().join("tls").join(file)).expect("copied");
    }
    assert_ne!(shown(&text("24h")), own, "another certificate of ours of the same name");
}

#[test]
fn the_revision_of_an_inbound_connector_follows_its_files() {
    let folder = minted();
    let text = "[server]\nname = \"gw1.contoso.example\"\ndata_dir = \"data\"\n\
        postmaster = \"postmaster@contoso.example\"\n\
        [[inbound]]\nname = \"in\"\nfrom_domains = [\"*\"]\ntls = \"opportunistic\"\nto_domains = [\"*\"]\n\
        users_file = \"users\"\nrecipients_file = \"recipients\"\nfrom_networks_file = \"networks.txt\"\n";
    let revision = || match load_in(&folder, text) {
        Ok(config) => config.inbound.first().expect("a connector").revision,
        Err(faults) => panic!("{faults}"),
    };
    let mut seen = BTreeSet::from([revision()]);
    for (file, line) in [("recipients", "bob@contoso.example\n"), ("networks.txt", "198.51.100.0/24\n")] {
        let path = folder.path().join(file);
        fs::write(&path, fs::read_to_string(&path).expect("read") + line).expect("written");
        assert!(seen.insert(revision()), "{file}");
    }
    let users = fs::read_to_string(folder.path().join("users")).expect("users");
    fs::write(folder.path().join("users"), users.replace("JJzD", "JJzE")).expect("written");
    assert!(seen.insert(revision()), "another password of the same user");
}
