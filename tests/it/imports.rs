//! `sealpost import`: exports and configurations of other programs, what is made of them, and whether it decides as they
//! do. Each folder of tests/data/import has the source, `arguments`, and what is expected.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::peer::daemon::PROGRAM;
use crate::peer::mint::{Authority, Kind};
use crate::peer::tools;

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/import")
}

fn sites() -> Vec<PathBuf> {
    let mut sites: Vec<PathBuf> = fs::read_dir(data()).unwrap().map(|entry| entry.unwrap().path()).collect();
    sites.sort();
    sites
}

/// `sealpost import` of one site, in its folder, so that files are named as they are there.
fn import(site: &Path, more: &[&str]) -> Output {
    let mut command = Command::new(PROGRAM);
    command.current_dir(site).arg("import");
    if name(site).starts_with("postfix") {
        command.args(["postfix", "etc"]);
    } else {
        let mut files: Vec<String> = fs::read_dir(site)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        files.retain(|file| file.ends_with(".json") || file.ends_with(".csv"));
        files.sort();
        command.arg("exchange").args(files);
    }
    let arguments = fs::read_to_string(site.join("arguments")).unwrap_or_default();
    command.args(arguments.split_whitespace()).args(more).output().unwrap()
}

fn name(site: &Path) -> String {
    site.file_name().unwrap().to_str().unwrap().to_owned()
}

fn golden(path: &Path, got: &str, wrong: &mut Vec<String>) {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(path, got).unwrap();
    }
    let expected = fs::read_to_string(path).unwrap_or_default();
    if expected != got {
        wrong.push(format!("{}\nexpected:\n{expected}\ngot:\n{got}", path.display()));
    }
}

#[test]
fn each_site_becomes_a_configuration_that_passes_check() {
    let sites = sites();
    assert!(sites.len() >= 3, "{sites:?}");
    let mut wrong = Vec::new();
    for site in sites {
        let made = import(&site, &["--certificate-dir", "/nowhere/tls"]);
        let said = String::from_utf8(made.stderr.clone()).unwrap();
        assert_eq!(made.status.code(), Some(0), "{}: {}", site.display(), tools::said(&made));
        let text = String::from_utf8(made.stdout).unwrap();
        // Whatever standard error names, the text names at its place.
        let remarked = said.lines().filter(|line| line.contains("not imported: ")).count();
        assert_eq!(text.matches("NOT IMPORTED: ").count(), remarked, "{text}\n{said}");
        golden(&site.join("expected.toml"), &text, &mut wrong);
        golden(&site.join("expected.txt"), &said, &mut wrong);
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("sealpost.toml");
        let written =
            import(&site, &["--certificate-dir", "/nowhere/tls", "--output", file.to_str().unwrap()]);
        assert_eq!(written.status.code(), Some(0), "{}", tools::said(&written));
        let check = sealpost(&["check", "--config", file.to_str().unwrap()]);
        assert_eq!(check.status.code(), Some(0), "{}: {}", site.display(), tools::said(&check));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn sealpost(arguments: &[&str]) -> Output {
    Command::new(PROGRAM).args(arguments).output().unwrap()
}

/// A site imported with the certificates that it names, so that nothing is a comment.
struct Imported {
    folder: tempfile::TempDir,
    authority: Authority,
}

impl Imported {
    fn of(site: &str, certificates: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new("The system's authority");
        for id in certificates {
            authority.pair(&["gw.contoso.example"], Kind::Good).write(folder.path(), id);
        }
        let imported = Self { folder, authority };
        let (tls, output) = (imported.at("").display().to_string(), imported.at("sealpost.toml"));
        let made =
            import(&data().join(site), &["--certificate-dir", &tls, "--output", output.to_str().unwrap()]);
        assert!(made.status.success(), "{}", tools::said(&made));
        imported
    }

    fn at(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    /// Puts a file with a certificate of these names there, for `--peer-cert`.
    fn shown(&self, names: &[&str]) -> String {
        let (chain, _) = self.authority.pair(names, Kind::Good).write(self.folder.path(), "shown");
        chain.to_str().unwrap().to_owned()
    }

    /// What `explain` says.
    fn explain(&self, arguments: &str) -> String {
        let config = self.at("sealpost.toml");
        let mut command = Command::new(PROGRAM);
        // The imported trust is the system's, which is our authority here.
        let anchors = self.at("system.pem");
        fs::write(&anchors, &self.authority.pem).unwrap();
        command.env("SSL_CERT_FILE", &anchors).args(["explain", "--config", config.to_str().unwrap()]);
        let words = arguments.split(' ').map(|word| match word.strip_prefix("cert=") {
            Some(names) => self.shown(&names.split('+').collect::<Vec<_>>()),
            None => word.trim_matches('\'').to_owned(),
        });
        tools::said(&command.args(words).output().unwrap())
    }

    /// The answers that Exchange or Postfix documents, one a line: arguments, and words of the answer.
    #[track_caller]
    fn answers(&self, cases: &[(&str, &[&str])]) {
        let mut wrong = Vec::new();
        for (arguments, words) in cases {
            let said = self.explain(arguments);
            for word in words.iter().filter(|word| !said.contains(**word)) {
                wrong.push(format!("{arguments}\n  lacks {word:?}:\n{said}"));
            }
        }
        let config = fs::read_to_string(self.at("sealpost.toml")).unwrap();
        assert!(wrong.is_empty(), "{}\n{config}", wrong.join("\n"));
    }
}

#[test]
fn a_hybrid_site_decides_as_exchange_does() {
    let site = Imported::of("exchange-hybrid", &["mail-contoso-example"]);
    site.answers(&[
        // Exchange Online by its certificate, with any reverse-path, but only for our own domains.
        (
            "--from eve@anywhere.example --to a@contoso.example --listener smtp --peer-cert cert=mail.protection.outlook.com",
            &["admitted by default-frontend-ex1-cloud"],
        ),
        (
            "--from eve@anywhere.example --to a@elsewhere.example --listener smtp --peer-cert cert=mail.protection.outlook.com",
            &["does not relay to elsewhere.example"],
        ),
        // Our own server by the certificate that Exchange Online knows it by.
        (
            "--from '<>' --to a@elsewhere.example --listener smtp --peer-cert cert=mail.contoso.example",
            &["admitted by inbound-from-3a5e7f4c"],
        ),
        // ExternalAuthoritative relays anywhere; its neighbour does not.
        ("--from x@y.example --to a@world.example --listener smtp --peer-ip 10.1.9.11", &["admitted by crm-ex1"]),
        ("--from x@y.example --to a@world.example --listener smtp --peer-ip 10.1.9.13", &["does not relay to world.example"]),
        ("--from x@y.example --to a@contoso.example --listener smtp --peer-ip 10.1.2.9", &["admitted by scanners-ex1"]),
        ("--from x@y.example --to a@contoso.example --listener smtp", &["admitted by default-frontend-ex1"]),
        ("--from x@y.example --to a@contoso.example --listener submission", &["refused"]),
        ("--to a@contoso.mail.onmicrosoft.com", &["connector outbound-to-office-365-3a5e7f4c", "forced", "mail.protection.outlook.com"]),
        ("--to a@contoso.mail.onmicrosoft.com --starttls not-offered", &["starttls-not-offered"]),
        ("--to a@contoso.example --peer-cert cert=mail.contoso.example", &["connector outbound-to-3a5e7f4c", "attained"]),
        ("--to a@world.example", &["connector internet by *", "next hop  mx", "opportunistic"]),
    ]);
}

#[test]
fn centralised_transport_takes_what_arrives_from_the_cloud() {
    let site = Imported::of("exchange-central", &["gateway"]);
    site.answers(&[
        ("--to a@world.example --arrives-by edge-cloud", &["connector everything-to-on-premises"]),
        ("--to a@fabrikam.example --arrives-by edge-cloud", &["connector everything-to-on-premises"]),
        ("--to a@world.example --arrives-by from-on-premises", &["connector world by *"]),
        (
            "--to a@fabrikam.example --arrives-by from-on-premises",
            &["connector fabrikam", "mail.fabrikam.example"],
        ),
        ("--from x@fabrikam.example --to a@contoso.example", &["refused", "550 5.7.10"]),
    ]);
    let text = fs::read_to_string(site.at("sealpost.toml")).unwrap();
    assert_eq!(text.matches("partner = \"fabrikam-example\"").count(), 2, "{text}");
}

#[test]
fn partners_of_exchange_online_are_restricted_as_there() {
    let site = Imported::of("exchange-partners", &["gateway"]);
    let of_fabrikam = "--to a@contoso.example --peer-cert cert=out.mail.fabrikam.example";
    site.answers(&[
        // *.fabrikam.example is the domain itself and every one below it.
        (&format!("--from x@fabrikam.example {of_fabrikam}"), &["admitted by fabrikam-by-certificate"]),
        (&format!("--from x@a.b.fabrikam.example {of_fabrikam}"), &["admitted by fabrikam-by-certificate"]),
        ("--from x@fabrikam.example --to a@contoso.example --peer-cert cert=mail.elsewhere.example", &["refused", "550 5.7.1"]),
        ("--from x@fabrikam.example --to a@contoso.example", &["refused", "550 5.7.10"]),
        // By address, without TLS: nobody else may use the domain.
        ("--from x@tailspin.example --to a@contoso.example --peer-ip 203.0.113.77", &["admitted by tailspin-by-address"]),
        ("--from x@tailspin.example --to a@contoso.example --peer-ip 203.0.113.78", &["refused", "5.7.1"]),
        // TLS from anywhere; the addresses restrict nobody there.
        ("--from x@woodgrove.example --to a@contoso.example --tls", &["admitted by woodgrove-over-tls"]),
        ("--from x@woodgrove.example --to a@contoso.example", &["refused"]),
        // Certificate and address together.
        (
            "--from x@northwind.example --to a@contoso.example --peer-ip 192.0.2.200 --peer-cert cert=northwind.example",
            &["admitted by northwind-by-both"],
        ),
        ("--from x@northwind.example --to a@contoso.example --peer-cert cert=northwind.example", &["refused"]),
        // Turned off: as everybody.
        ("--from x@adatum.example --to a@contoso.example", &["admitted by internet-in"]),
        ("--from x@adatum.example --to a@elsewhere.example", &["does not relay to elsewhere.example"]),
        // The four levels of TlsSettings.
        ("--to a@fabrikam.example --peer-cert cert=mx1.mail.fabrikam.example", &["connector to-fabrikam", "(met)"]),
        ("--to a@x.fabrikam.example --peer-cert cert=mx1.other.example", &["connector to-fabrikam", "name-mismatch"]),
        ("--to a@tailspin.example --starttls not-offered", &["connector to-tailspin", "[203.0.113.5]:25", "starttls-not-offered"]),
        ("--to a@woodgrove.example", &["connector to-woodgrove", "chain"]),
        ("--to a@northwind.example --peer-cert cert=northwind.example", &["connector to-northwind", "mode enforce"]),
        ("--to a@dane.example", &["connector strict-dane", "opportunistic"]),
        ("--to a@archive.example", &["connector internet-out by *", "opportunistic"]),
    ]);
}

#[test]
fn an_edge_server_sends_as_its_connectors_do() {
    let site = Imported::of("exchange-edge", &["gateway", "certificate-0a1b2c3d"]);
    site.answers(&[
        // A domain itself comes before the apex of a star.
        ("--to a@fabrikam.example", &["connector fabrikam-apex", "mail.fabrikam.example:2525", "forced"]),
        ("--to a@b.fabrikam.example", &["connector fabrikam by *.fabrikam.example", "chain"]),
        ("--to a@print.example", &["connector legacy-printer-host", "tls       off"]),
        // Without RequireTLS nothing is required, whatever TlsAuthLevel says.
        ("--to a@half.example --starttls not-offered", &["connector half-secure", "plaintext"]),
        ("--to a@contoso.example", &["connector mailboxes", "[10.0.0.5]:25"]),
        ("--to a@x.lab.contoso.example", &["connector mailboxes"]),
        (
            "--from x@y.example --to a@sub.relay.example",
            &["admitted by default-internal-receive-connector-edge1"],
        ),
        // Exchange takes the connector with the closest range, so these clients can't do without TLS.
        (
            "--from x@y.example --to a@contoso.example --peer-ip 192.0.2.9 --tls",
            &["admitted by fabrikam-network"],
        ),
        ("--from x@y.example --to a@contoso.example --peer-ip 192.0.2.9", &["refused"]),
        ("--from x@y.example --to a@contoso.example --peer-ip 192.0.3.9", &["admitted by default-internal"]),
        (
            "--from x@y.example --to a@contoso.example --peer-ip 2001:db8::9",
            &["admitted by default-internal"],
        ),
    ]);
}

#[test]
fn nothing_is_overwritten_and_each_broken_file_says_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let export = data().join("exchange-partners/connectors.json");
    fs::write(at("there.toml"), "mine").unwrap();
    let refused = sealpost(&["import", "exchange", export.to_str().unwrap(), "--output", &at("there.toml")]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        tools::said(&refused).contains("exists already, and nothing is overwritten"),
        "{}",
        tools::said(&refused)
    );
    assert_eq!(fs::read_to_string(at("there.toml")).unwrap(), "mine");
    let whole = fs::read(&export).unwrap();
    fs::write(at("cut.json"), &whole[..whole.len() / 2]).unwrap();
    fs::write(at("latin1.csv"), b"Name,SenderDomains\nM\xFCller,a.example\n").unwrap();
    fs::write(at("picture.png"), b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR").unwrap();
    fs::write(at("users.csv"), "DisplayName,Alias\nAnn,ann\n").unwrap();
    fs::write(at("huge.json"), vec![b' '; 10 * 1024 * 1024]).unwrap();
    for (file, words) in [
        ("cut.json", "not JSON"),
        ("latin1.csv", "line 2: is neither UTF-8 nor UTF-16"),
        ("picture.png", "line 1: is neither UTF-8 nor UTF-16"),
        ("users.csv", "is not from Get-InboundConnector"),
        ("huge.json", "has more than 8 MiB"),
        ("missing.json", "can't be read"),
    ] {
        let output = sealpost(&["import", "exchange", &at(file)]);
        let said = tools::said(&output);
        assert_eq!(output.status.code(), Some(1), "{file}: {said}");
        assert!(said.contains(words) && said.contains(file), "{file}: {said}");
        assert!(output.stdout.is_empty(), "{file}: {said}");
    }
}

#[test]
fn json_of_an_import_has_what_was_not_imported() {
    let site = data().join("exchange-partners");
    let made: serde_json::Value = serde_json::from_slice(&import(&site, &["--json"]).stdout).unwrap();
    let settings: Vec<&str> =
        made["not_imported"].as_array().unwrap().iter().map(|one| one["setting"].as_str().unwrap()).collect();
    assert!(settings.contains(&"EFSkipLastIP") && settings.contains(&"TestMode"), "{settings:?}");
    assert!(made["configuration"].as_str().unwrap().contains("[[inbound]]"));
}
