//! `sealpost init`: a first configuration from flags or from a person, right from the start or not written at all.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;

use crate::config_files::repository;
use crate::peer::browser::WebRequest;
use crate::peer::client::Client;
use crate::peer::daemon::{Daemon, Home, PROGRAM};
use crate::peer::mint::Pair;
use crate::peer::sink::{Manner, Sink};
use crate::peer::tools::said;
use crate::peer::{LONG, eventually};

/// Every answer; the server with the mailboxes is named by the test.
const ANSWERS: [&str; 9] = [
    "--name",
    "gw1.contoso.test",
    "--domain",
    "contoso.test,eu.contoso.test",
    "--own-network",
    "127.0.0.2",
    "--next-hop",
    "mx",
    "--self-signed",
];

/// `sealpost init` into a folder, without a terminal.
fn init(folder: &Path, answers: &[&str], more: &[&str]) -> Output {
    let mut command = Command::new(PROGRAM);
    command.arg("init").args(answers).args(more).arg("--dir").arg(folder);
    command.arg("--data-dir").arg(folder.join("data")).stdin(Stdio::null());
    command.output().unwrap()
}

fn mode(path: PathBuf) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

/// The names in a folder, in order.
fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// A client that trusts this certificate and nothing else.
fn trusting(chain: &Path) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(chain).unwrap()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    Arc::new(builder.with_root_certificates(roots).with_no_client_auth())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_starts_from_the_first_configuration_and_proves_the_first_mail() {
    let mailboxes = Sink::start(Manner::sealed(Pair::self_signed(&["mail.contoso.test"]).server())).await;
    let home = Home::new();
    let host = mailboxes.address.to_string();
    let more = ["--mailbox-host", &host, "--listen", "127.0.0.1:0", "--console", "127.0.0.1:0"];
    let done = init(home.path(), &ANSWERS, &more);
    assert!(done.status.success(), "{}", said(&done));
    let checked = home.run(&["check", "--strict"], &[]);
    assert!(checked.status.success(), "{}", said(&checked));
    assert_eq!(names(home.path()), ["sealpost.toml", "tls", "tokens"], "nothing is left of the preparation");
    let written = ["sealpost.toml", "tls/gw.crt", "tls/gw.key", "tokens"];
    let modes = written.map(|name| mode(home.path().join(name)));
    assert_eq!(modes, [0o640, 0o644, 0o600, 0o600]);

    let daemon = Daemon::start(&home).await;
    let client = trusting(&home.path().join("tls/gw.crt"));
    let mut session = Client::sealed(daemon.at("smtp"), &client, "gw1.contoso.test").await;
    for (line, code) in [
        ("MAIL FROM:<ann@contoso.test>", 550),
        ("MAIL FROM:<joe@world.test>", 250),
        ("RCPT TO:<bob@elsewhere.test>", 550),
        ("RCPT TO:<postmaster@contoso.test>", 250),
        ("DATA", 354),
        ("Subject: first\r\n\r\nHello\r\n.", 250),
    ] {
        let reply = session.say(line).await;
        assert_eq!(reply.code, code, "{line}: {}", reply.text);
    }
    let arrived = mailboxes.messages(1).await.remove(0);
    assert!(arrived.sealed && arrived.recipients == ["postmaster@contoso.test"], "{arrived:?}");
    mailboxes.assert_nothing_in_clear();
    let way = async || {
        let output = daemon.command(&["trace", "postmaster@contoso.test"]).await;
        let text = String::from_utf8(output.stdout).unwrap();
        let mut events = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        events.find(|event| event["event"] == "delivered")
    };
    let delivered = eventually("the delivery in the trace", LONG, way).await;
    assert_eq!(delivered["decision"]["tls"]["version"], "TLSv1.3", "{delivered}");
    // The same proof on the console, for whoever has the token.
    let tokens = std::fs::read_to_string(home.path().join("tokens")).unwrap();
    let token = tokens.lines().last().unwrap().strip_prefix("operator admin ").unwrap();
    let form = WebRequest::new("POST", "/login").form(&[("token", token), ("next", "/")]);
    let cookie = form.to(daemon.at("admin")).await.header("set-cookie").unwrap().to_owned();
    let page = format!("/trace/{}", delivered["id"].as_str().unwrap());
    let page = WebRequest::new("GET", &page).header("Cookie", cookie.split(';').next().unwrap());
    let page = page.to(daemon.at("admin")).await.body;
    assert!(page.contains("delivered &lt;postmaster@contoso.test&gt;") && page.contains("TLSv1.3"), "{page}");
    daemon.stop().await;
}

#[test]
fn our_own_servers_send_anywhere_and_strangers_only_to_us() {
    let home = Home::new();
    let done = init(home.path(), &ANSWERS, &["--mailbox-host", "mail.contoso.test:2525"]);
    assert!(done.status.success(), "{}", said(&done));
    let explained = |arguments: &[&str], expected: &str| {
        let output = said(&home.run(&["explain"], arguments));
        assert!(output.contains(expected), "{arguments:?}: {output}");
    };
    explained(&["--from", "ann@contoso.test", "--peer-ip", "127.0.0.2"], "admitted by own-in");
    explained(&["--from", "joe@world.test", "--peer-ip", "203.0.113.1"], "admitted by internet-in");
    explained(&["--from", "ann@eu.contoso.test", "--peer-ip", "203.0.113.1"], "refused: 550 5.7.1");
    explained(&["--to", "ann@eu.contoso.test"], "connector own-out");
    explained(&["--to", "joe@world.test"], "connector internet-out");
}

#[test]
fn nothing_is_overwritten_unless_it_is_forced_or_the_packages_own() {
    let home = Home::new();
    let more = ["--mailbox-host", "mail.contoso.test"];
    // What the package installs says nothing about this site, and gives way.
    let starting = repository().join("src/cli/init/starting.toml");
    std::fs::copy(&starting, home.config()).unwrap();
    let done = init(home.path(), &ANSWERS, &more);
    assert!(done.status.success(), "{}", said(&done));
    let first = std::fs::read_to_string(home.config()).unwrap();
    assert!(first.contains("gw1.contoso.test"), "{first}");

    let changed = first.replace("postmaster@contoso.test", "admin@contoso.test");
    std::fs::write(home.config(), &changed).unwrap();
    let key = std::fs::read(home.path().join("tls/gw.key")).unwrap();
    let refused = init(home.path(), &ANSWERS, &more);
    assert_eq!(refused.status.code(), Some(1), "{}", said(&refused));
    assert!(said(&refused).contains("--force"), "{}", said(&refused));
    // Without the configuration, its certificate is still somebody's.
    std::fs::remove_file(home.config()).unwrap();
    let refused = init(home.path(), &ANSWERS, &more);
    assert_eq!(refused.status.code(), Some(1), "{}", said(&refused));
    assert!(said(&refused).contains("--certificate and --key"), "{}", said(&refused));
    assert_eq!(std::fs::read(home.path().join("tls/gw.key")).unwrap(), key);

    std::fs::write(home.config(), &changed).unwrap();
    let done = init(home.path(), &ANSWERS, &[&more[..], &["--force"]].concat());
    assert!(done.status.success(), "{}", said(&done));
    let (after, tokens) = (std::fs::read_to_string(home.config()).unwrap(), home.path().join("tokens"));
    let named = format!("token_file = \"{}\"", tokens.display());
    assert_eq!(after.replace(&named, "token_file = \"tokens\""), first, "tokens that others have stay");
    assert_ne!(std::fs::read(home.path().join("tls/gw.key")).unwrap(), key);
    assert!(home.run(&["check"], &[]).status.success());
}

#[test]
fn what_would_not_work_is_not_written() {
    let home = Home::new();
    let folder = home.path().join("etc");
    let wrong = |more: &[&str], exit: i32, expected: &str| {
        let more = [&["--mailbox-host", "mail.contoso.test"], more].concat();
        let answers: &[&str] = if more.contains(&"--certificate") { &ANSWERS[..8] } else { &ANSWERS };
        let output = init(&folder, answers, &more);
        assert_eq!(output.status.code(), Some(exit), "{}", said(&output));
        assert!(said(&output).contains(expected), "{}", said(&output));
        assert!(!folder.exists(), "{more:?} left {:?}", names(&folder));
    };
    wrong(&["--postmaster", "nobody"], 78, "nothing was written");
    wrong(&["--listen", "127.0.0.1:25,127.0.0.1:25"], 78, "sealpost.toml: line");
    let missing = home.path().join("missing.crt");
    let missing = missing.to_str().unwrap();
    wrong(&["--certificate", missing, "--key", missing], 78, "missing.crt");
    wrong(&["--console", "0.0.0.0:9925"], 2, "only an address of this machine");
    wrong(&["--own-network", "0.0.0.0/0"], 2, "is every address");
    wrong(&["--certificate", missing], 2, "--key");

    // A link to nothing is neither written through nor replaced, and nothing else is put in place beside it.
    for link in ["tokens", "sealpost.toml", "tls/gw.crt"] {
        let folder = home.path().join(link.replace('/', "-"));
        let place = folder.join(link);
        std::fs::create_dir_all(place.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(home.path().join("nowhere"), &place).unwrap();
        let output = init(&folder, &ANSWERS, &["--mailbox-host", "mail.contoso.test"]);
        let words = format!("{}: is a link to a file that does not exist", place.display());
        assert!(output.status.code() == Some(1) && said(&output).contains(&words), "{}", said(&output));
        assert_eq!(names(&folder), [link.split('/').next().unwrap()]);
        assert!(!folder.join("tls/gw.key").exists());
    }
}

#[test]
fn a_given_certificate_stays_where_it_is() {
    let home = Home::new();
    let renewed = home.path().join("renewed \"here\"");
    std::fs::create_dir(&renewed).unwrap();
    let (chain, key) = Pair::self_signed(&["gw1.contoso.test"]).write(&renewed, "gw");
    let files = ["--certificate", chain.to_str().unwrap(), "--key", key.to_str().unwrap()];
    let more = [&["--mailbox-host", "mail.contoso.test", "--json"][..], &files].concat();
    let done = init(home.path(), &ANSWERS[..8], &more);
    assert!(done.status.success(), "{}", said(&done));
    let answer: Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(answer["written"], serde_json::json!([home.path().join("tokens"), home.config()]));
    assert_eq!(answer["console"]["url"], "http://127.0.0.1:9925/");
    assert!(
        answer["self_signed_until"].is_null() && answer["next"].as_array().unwrap().len() == 4,
        "{answer}"
    );
    assert!(home.run(&["check", "--strict"], &[]).status.success());
    assert!(!home.path().join("tls").exists());
}

#[test]
fn a_port_that_is_not_known_yet_is_not_an_address_of_the_console() {
    let home = Home::new();
    let more = ["--mailbox-host", "mail.contoso.test", "--console", "127.0.0.1:0"];
    let done = init(home.path(), &ANSWERS, &more);
    assert!(done.status.success() && !said(&done).contains("The console is at"), "{}", said(&done));
    let done = init(home.path(), &ANSWERS, &[&more[..], &["--force", "--json"]].concat());
    let answer: Value = serde_json::from_slice(&done.stdout).unwrap();
    assert!(answer["console"].is_null() && answer["written"].is_array(), "{answer}");
}

#[test]
fn the_console_may_be_a_socket() {
    let home = Home::new();
    let socket = home.path().join("admin.sock");
    let more = ["--mailbox-host", "mail.contoso.test", "--console", socket.to_str().unwrap()];
    let done = init(home.path(), &ANSWERS, &more);
    let words = format!("The console is at the socket {}", socket.display());
    assert!(done.status.success() && said(&done).contains(&words), "{}", said(&done));
    let config = std::fs::read_to_string(home.config()).unwrap();
    assert!(config.contains(&format!("socket = \"{}\"\ntoken_file = ", socket.display())), "{config}");
    let done = init(home.path(), &ANSWERS, &[&more[..], &["--force", "--json"]].concat());
    let answer: Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(answer["console"]["socket"], socket.to_str().unwrap(), "{answer}");
    assert!(answer["console"]["url"].is_null(), "{answer}");
}

#[test]
fn a_socket_of_the_console_is_a_path_that_a_shell_and_the_daemon_take() {
    let home = Home::new();
    let with =
        |path: &str| init(home.path(), &ANSWERS, &["--mailbox-host", "mail.contoso.test", "--console", path]);
    for path in ["/", "/run/sealpost/", &home.path().join("data/control.sock").display().to_string()] {
        let done = with(path);
        assert_eq!(done.status.code(), Some(78), "{path}: {}", said(&done));
        assert!(
            said(&done).contains("nothing was written") && names(home.path()).is_empty(),
            "{}",
            said(&done)
        );
    }
    let path = home.path().join("my admin.sock").display().to_string();
    let done = with(&path);
    let words = format!("`ssh -L '9925:{path}' root@HOST` brings it");
    assert!(done.status.success() && said(&done).contains(&words), "{}", said(&done));
    let spaced = home.path().join("a b");
    let done = init(&spaced, &ANSWERS, &["--mailbox-host", "mail.contoso.test"]);
    let words = format!("sealpost check --config '{}'", spaced.join("sealpost.toml").display());
    assert!(done.status.success() && said(&done).contains(&words), "{}", said(&done));
}

#[test]
fn the_answers_of_the_installation_page_make_a_configuration() {
    let home = Home::new();
    let page = std::fs::read_to_string(repository().join("docs/install.md")).unwrap();
    let commands = page.split("```console\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let line = commands.lines().find_map(|line| line.strip_prefix("sealpost init ")).unwrap();
    let done = init(home.path(), &line.split(' ').collect::<Vec<_>>(), &[]);
    assert!(done.status.success(), "{}", said(&done));
    assert!(home.run(&["check", "--strict"], &[]).status.success());
    // Ten commands at most, from a bare machine to the proof.
    assert!((5..=10).contains(&commands.lines().count()), "{commands}");
    assert!(commands.lines().any(|line| line.starts_with("sealpost trace ")), "{commands}");
}

#[test]
fn the_package_is_of_this_version_and_its_configuration_is_in_order() {
    let home = Home::new();
    let starting = repository().join("src/cli/init/starting.toml");
    std::fs::copy(&starting, home.config()).unwrap();
    let checked = home.run(&["check", "--strict"], &[]);
    assert!(checked.status.success(), "{}", said(&checked));
    let changelog = std::fs::read_to_string(repository().join("deploy/debian/changelog")).unwrap();
    let version = format!("sealpost ({}-1) ", env!("CARGO_PKG_VERSION"));
    assert!(changelog.starts_with(&version), "{changelog}");
}

#[test]
fn without_a_terminal_the_missing_flags_are_named() {
    let home = Home::new();
    let output = init(home.path(), &["--name", "gw1.contoso.test"], &[]);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    for flag in ["--domain", "--mailbox-host", "--own-network", "--next-hop", "--self-signed"] {
        assert!(said(&output).contains(flag), "{flag}: {}", said(&output));
    }
    assert!(!said(&output).contains("--name"), "{}", said(&output));
    assert!(names(home.path()).is_empty());
}

#[test]
fn a_person_is_asked_for_what_no_flag_says() {
    let home = Home::new();
    let folder = home.path().display();
    let command = format!("{PROGRAM} init --next-hop mx --dir {folder} --data-dir {folder}/data");
    let mut child = Command::new("script")
        .args(["-qec", &command, "/dev/null"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The third is asked again; the last two are answered by what is proposed.
    let typed = "gw1.contoso.test\ncontoso.test\nmx\nmail.contoso.test\n\n\n";
    child.stdin.take().unwrap().write_all(typed.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let shown = said(&output);
    assert!(output.status.success(), "{shown}");
    assert!(shown.contains("name the server itself") && !shown.contains("all other domains"), "{shown}");
    let text = std::fs::read_to_string(home.config()).unwrap();
    assert!(text.contains("from_networks = [\"127.0.0.0/8\", \"::1\"]"), "{text}");
    assert!(text.contains("next_hop = [\"mail.contoso.test:25\"]"), "{text}");
    assert!(home.run(&["check", "--strict"], &[]).status.success());
}
