//! `sealpost import`: exports and configurations of other programs, what is made of them, and whether it decides as they
//! do. Each folder of tests/data/import has the source, `arguments`, and what is expected.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::peer::daemon::{Daemon, PROGRAM, free_address};
use crate::peer::mint::{Authority, Kind, Pair};
use crate::peer::postfix::{PolicyTable, Postfix, Relay};
use crate::peer::sink::{Manner, Sink};
use crate::peer::site::{PARTNER, Site};
use crate::peer::source::Source;
use crate::peer::{LONG, eventually, left_out, mix, tools};

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
        let here = site.display().to_string();
        let text = String::from_utf8(made.stdout).unwrap().replace(&here, "/SITE");
        let said = said.replace(&here, "/SITE");
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

#[test]
fn a_policy_table_of_postfix_is_as_strict_here() {
    let site = Imported::of("postfix-policy", &[]);
    site.answers(&[
        ("--to a@none.example", &["tls       off"]),
        ("--to a@may.example", &["connector internet-out by *", "opportunistic"]),
        (
            "--to a@encrypt.example --starttls not-offered",
            &["connector encrypt-example", "starttls-not-offered"],
        ),
        ("--to a@encrypt.example --tls", &["(met)"]),
        // A dot before a domain: all below it, and TLS 1.3 only.
        ("--to a@x.y.encrypt.example --tls --tls-version 1.2", &["connector encrypt-example-out", "version"]),
        ("--to a@dane.example", &["connector dane-example", "opportunistic"]),
        ("--to a@daneonly.example --peer-cert cert=mx.elsewhere.example", &["name-mismatch"]),
        ("--to a@finger.example --peer-cert cert=mx.finger.example", &["connector finger-example", "pin"]),
        ("--to a@sha1.example --peer-cert cert=mx.sha1.example", &["pin"]),
        ("--to a@verify.example --peer-cert cert=mx.elsewhere.example", &["name-mismatch"]),
        // nexthop, dot-nexthop.
        ("--to a@secure.example --peer-cert cert=secure.example", &["(met)"]),
        ("--to a@secure.example --peer-cert cert=mx.secure.example", &["(met)"]),
        ("--to a@secure.example --peer-cert cert=mx.elsewhere.example", &["name-mismatch"]),
        ("--to a@named.example --peer-cert cert=m1.pool.named.example", &["(met)"]),
        ("--to a@named.example --peer-cert cert=named.example", &["name-mismatch"]),
        ("--to a@x.below.example --peer-cert cert=x.below.example", &["(met)"]),
        ("--to a@below.example", &["connector internet-out by *"]),
        // The policy of a next hop is looked up as it is written.
        ("--to a@hop.example --peer-cert cert=mail.hop.example", &["mail.hop.example:587", "(met)"]),
        ("--to a@hop.example --starttls not-offered", &["starttls-not-offered"]),
        ("--to a@contoso.example", &["exchange.contoso.example:25"]),
        ("--to a@sub.contoso.example", &["exchange.contoso.example:25"]),
        ("--to a@sister.example", &["[192.0.2.40]:2525"]),
        ("--to a@fax.example", &["not-yet-written.invalid"]),
        ("--from x@y.example --to ann@contoso.example", &["admitted by internet"]),
        ("--from x@y.example --to eve@contoso.example", &["not among internet's recipients"]),
        ("--from x@y.example --to any@sister.example", &["admitted by internet"]),
        ("--from x@y.example --to a@world.example", &["does not relay to world.example"]),
        ("--from x@y.example --to a@world.example --peer-ip 10.1.8.1", &["admitted by mynetworks"]),
        ("--from x@y.example --to a@world.example --peer-ip 10.1.9.1", &["does not relay to world.example"]),
    ]);
}

#[test]
fn a_relayhost_and_client_certificates_of_postfix_are_as_strict_here() {
    Imported::of("postfix-relayhost", &[]).answers(&[
        (
            "--to a@world.example --peer-cert cert=smtp.provider.example",
            &["connector relayhost by *", "smtp.provider.example:587", "(met)"],
        ),
        ("--to a@world.example --peer-cert cert=mx.elsewhere.example", &["name-mismatch"]),
        ("--from x@y.example --to a@world.example --peer-ip 127.0.0.1", &["admitted by mynetworks"]),
        ("--from x@y.example --to a@world.example --peer-ip 192.0.2.1", &["does not relay to world.example"]),
    ]);
    let branch = Imported::of("postfix-ccert", &[]);
    branch.answers(&[
        (
            "--from x@y.example --to a@world.example --listener smtp --peer-ip 10.9.9.9",
            &["admitted by mynetworks"],
        ),
        // A certificate whose key is not among relay_clientcerts relays nowhere.
        (
            "--from x@y.example --to a@world.example --listener smtp --peer-cert cert=office9.example",
            &["does not relay to world.example"],
        ),
        ("--from x@y.example --to a@contoso.example --listener smtp", &["admitted by internet"]),
        ("--from x@y.example --to a@contoso.example --listener submission", &["refused"]),
        ("--from x@bank.example --to a@contoso.example --listener smtp", &["refused", "550 5.7.10"]),
        ("--from x@sub.bank.example --to a@contoso.example --listener smtp", &["refused", "550 5.7.10"]),
        (
            "--from x@bank.example --to a@contoso.example --listener smtp --tls",
            &["admitted by from-bank-example"],
        ),
        (
            "--to a@sub.partner.example --starttls not-offered",
            &["connector partner-example", "starttls-not-offered"],
        ),
        ("--to a@clear.example", &["tls       off"]),
        ("--to a@mustno.example --tls", &["any certificate", "(met)"]),
        ("--to a@must.example --peer-cert cert=mx.elsewhere.example", &["connector must-example", "forced"]),
        ("--to a@world.example", &["connector internet-out by *", "opportunistic"]),
    ]);
}

/// How a next hop of the comparison is set up, and who delivers there.
const LEVELS: &[(&str, &str)] = &[
    ("none", "none"),
    ("may", "may"),
    ("encrypt", "encrypt"),
    ("verify", "verify match=mail.partner.test"),
    ("secure", "secure match=mail.partner.test"),
    ("dotted", "secure match=.partner.test"),
    ("finger", "fingerprint match=@PIN"),
    (
        "stranger",
        "fingerprint match=00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF",
    ),
    ("newest", "encrypt protocols=>=TLSv1.3"),
];

/// Each level meets a host that does all well, one with another name, one of a strange authority, and one without TLS.
/// Postfix itself delivers by its table, and Sealpost by what was imported from it: both must take the same way.
#[tokio::test(flavor = "multi_thread")]
async fn postfix_and_the_imported_table_deliver_to_the_same_hosts() {
    if let Some(why) = Postfix::missing() {
        return left_out("imports::postfix_and_the_imported_table", why);
    }
    let site = Site::new();
    let good = site.partners.pair(&[PARTNER], Kind::Good);
    let pin = fingerprint(&good);
    let hosts = [
        ("good", Manner::sealed(good.server())),
        ("other", Manner::sealed(site.partners.pair(&["mail.other.test"], Kind::Good).server())),
        ("strange", Manner::sealed(site.renewed.pair(&[PARTNER], Kind::Good).server())),
        ("clear", Manner::clear()),
    ];
    let (mut sinks, mut transport, mut policy) = (Vec::new(), String::new(), String::new());
    for (level, value) in LEVELS {
        for (host, manner) in &hosts {
            let sink = Sink::start(manner.clone()).await;
            let (domain, port) = (format!("{level}-{host}.test"), sink.address.port());
            transport += &format!("{domain} smtp:[127.0.0.1]:{port}\n");
            policy += &format!("[127.0.0.1]:{port} {}\n", value.replace("@PIN", &pin));
            sinks.push((domain, sink));
        }
    }
    let nowhere = Relay { to: free_address(), verify: None };
    let policy = Some(PolicyTable { text: &policy, anchors: &site.partners });
    let postfix = Postfix::start_with_policy(
        &site.partners.pair(&["postfix.test"], Kind::Good),
        nowhere,
        &transport,
        policy,
    )
    .await;
    for (domain, _) in &sinks {
        let mut source = postfix.tool("smtp-source");
        source.args(["-f", "ada@a.test", "-t", &format!("bob@{domain}"), &postfix.address.to_string()]);
        let output = tools::run(source).await;
        assert!(output.status.success(), "{}", tools::said(&output));
    }
    eventually("Postfix tried all", LONG, async || {
        let log = postfix.log();
        sinks.iter().all(|(domain, _)| outcome_of(&log, domain).is_some()).then_some(())
    })
    .await;
    let log = postfix.log();
    let by_postfix: Vec<(String, bool, bool)> = sinks
        .iter()
        .map(|(domain, sink)| (domain.clone(), outcome_of(&log, domain) == Some("sent"), was_sealed(sink)))
        .collect();
    let daemon = imported_daemon(&postfix, &site).await;
    let messages = sinks.iter().enumerate().map(|(at, (domain, _))| {
        mix::plain(&format!("m{at}"), 1, 10, "ada@a.test", &format!("bob@{domain}")).remove(0)
    });
    Source::clear(daemon.at("in"), 1).send_all(messages.collect()).await;
    for ((domain, sink), (_, sent, sealed)) in sinks.iter().zip(&by_postfix) {
        let before = usize::from(*sent);
        if *sent {
            sink.until(&format!("Sealpost delivers to {domain}, as Postfix did"), LONG, |log| {
                log.arrived.len() > before
            })
            .await;
        } else {
            daemon.deferred(&format!("bob@{domain}")).await;
            assert_eq!(sink.arrived().len(), 0, "{domain}: Postfix kept it back");
        }
        assert_eq!(was_sealed(sink), *sealed, "{domain}: encrypted or not");
    }
    // Each level sends somewhere, and only the ones without requirements everywhere.
    let count = |level: &str| {
        by_postfix.iter().filter(|(domain, sent, _)| *sent && domain.starts_with(level)).count()
    };
    let counts: Vec<(&str, usize)> = LEVELS.iter().map(|(level, _)| (*level, count(level))).collect();
    assert_eq!(
        counts,
        [
            ("none", 4),
            ("may", 4),
            ("encrypt", 3),
            ("verify", 1),
            ("secure", 1),
            ("dotted", 1),
            ("finger", 1),
            ("stranger", 0),
            ("newest", 3)
        ]
    );
}

/// What Postfix says became of the message for a domain.
fn outcome_of(log: &str, domain: &str) -> Option<&'static str> {
    let to = format!("to=<bob@{domain}>");
    let line = log.lines().find(|line| line.contains(&to) && line.contains("status="))?;
    ["sent", "deferred", "bounced"].into_iter().find(|word| line.contains(&format!("status={word}")))
}

fn was_sealed(sink: &Sink) -> bool {
    sink.arrived().last().is_some_and(|message| message.sealed)
}

/// A fingerprint of a public key, as Postfix writes it.
fn fingerprint(pair: &Pair) -> String {
    use rcgen::PublicKeyData as _;
    use sha2::Digest as _;
    let key = rcgen::KeyPair::from_pem(&pair.key).unwrap();
    sha2::Sha256::digest(key.subject_public_key_info())
        .iter()
        .map(|octet| format!("{octet:02X}"))
        .collect::<Vec<_>>()
        .join(":")
}

/// A daemon with what was imported from a running Postfix; only its port is another one.
async fn imported_daemon(postfix: &Postfix, site: &Site) -> Daemon {
    let config = site.home.config();
    let data = site.home.path().join("data");
    fs::create_dir_all(&data).unwrap();
    let made = sealpost(&[
        "import",
        "postfix",
        postfix.configuration().to_str().unwrap(),
        "--output",
        config.to_str().unwrap(),
        "--data-dir",
        data.to_str().unwrap(),
    ]);
    assert!(made.status.success(), "{}", tools::said(&made));
    let port = postfix.address.port();
    let text = fs::read_to_string(&config).unwrap();
    let text = text.replace(&format!("name = \"port-{port}\""), "name = \"in\"");
    fs::write(&config, text.replace(&postfix.address.to_string(), "127.0.0.1:0")).unwrap();
    Daemon::start(&site.home).await
}
