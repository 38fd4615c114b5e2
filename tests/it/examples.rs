//! The examples: each is complete, has nothing to be warned of, and starts as it is installed.

use std::fs;
use std::path::PathBuf;

use crate::config_files::{minted, repository, told};
use crate::peer::daemon::{Daemon, Home};
use crate::peer::tools::said;

/// Every set-up that there is an example of.
const EXAMPLES: [&str; 6] = [
    "centralised-transport.toml",
    "hybrid-gateway.toml",
    "lab.toml",
    "partner-relay.toml",
    "small-gateway.toml",
    "smart-host.toml",
];

fn example(name: &str) -> String {
    fs::read_to_string(repository().join("config/examples").join(name)).expect("an example")
}

/// A home with this example, whose certificates are made, and which changes nothing outside: another folder for the spool, and
/// free ports.
fn installed(name: &str) -> Home {
    let home = Home::new();
    let tls = home.path().join("tls");
    let made = minted();
    fs::create_dir(&tls).expect("tls/");
    for entry in fs::read_dir(made.path().join("tls")).expect("tls/") {
        let from = entry.expect("a file").path();
        fs::copy(&from, tls.join(from.file_name().expect("a name"))).expect("copied");
    }
    let spool = home.path().join("spool");
    let mut replaced = 0;
    let line = |line: &str| {
        if let Some(folder) = line.strip_prefix("data_dir = ") {
            assert!(folder.starts_with("\"/var/"), "{name}: {folder}");
            replaced += 1;
            return format!("data_dir = \"{}\"", spool.display());
        }
        if line.starts_with("address = ") {
            replaced += 1;
            return "address = [\"127.0.0.1:0\", \"[::1]:0\"]".to_owned();
        }
        line.to_owned()
    };
    let text: Vec<String> = example(name).lines().map(line).collect();
    assert!(replaced >= 2, "{name}");
    fs::write(home.config(), text.join("\n") + "\n").expect("written");
    home
}

#[test]
fn there_is_an_example_of_each_set_up() {
    let folder = fs::read_dir(repository().join("config/examples")).expect("the examples");
    let mut found: Vec<PathBuf> = folder.map(|entry| entry.expect("an example").path()).collect();
    found.sort();
    let names = found.iter().map(|path| path.file_name().expect("a name").to_string_lossy().into_owned());
    assert_eq!(names.collect::<Vec<_>>(), EXAMPLES);
    // As they are, paths included.
    let folder = minted();
    for name in EXAMPLES {
        assert_eq!(told(&folder, &example(name)), "\n", "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_example_is_in_order_and_starts_as_it_is_installed() {
    for name in EXAMPLES {
        let home = installed(name);
        let checked = home.run(&["check", "--strict"], &[]);
        assert!(checked.status.success(), "{name}: {}", said(&checked));
        let daemon = Daemon::start(&home).await;
        let shown = daemon.ask(&["connectors"]).await;
        assert!(shown["connectors"].as_array().is_some_and(|all| all.len() >= 2), "{name}: {shown}");
        daemon.stop().await;
    }
}

#[test]
fn the_gateway_of_the_readme_is_the_small_gateway() {
    let readme = fs::read_to_string(repository().join("README.md")).expect("the README");
    let text = readme.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a gateway");
    let path = repository().join("config/examples/small-gateway.toml");
    assert_eq!(text, example("small-gateway.toml"), "{} and the README differ", path.display());
}

#[track_caller]
fn check(home: &Home, arguments: &[&str], expected: &str) {
    let output = said(&home.run(&["explain"], arguments));
    assert!(output.contains(expected), "{arguments:?}: {output}");
}

#[test]
fn the_small_gateway_loses_no_mail_and_admits_no_pretender() {
    let home = installed("small-gateway.toml");
    let from = |path: &'static str, peer: &'static str| ["--from", path, "--peer-ip", peer];
    // Reports of the own server, which have the null reverse-path, and the internet's mail.
    check(&home, &from("<>", "192.0.2.9"), "admitted by exchange-in");
    check(&home, &from("ann@contoso.example", "192.0.2.9"), "admitted by exchange-in");
    check(&home, &from("joe@stranger.example", "203.0.113.1"), "admitted by internet-in");
    check(&home, &from("<>", "203.0.113.1"), "admitted by internet-in");
    check(&home, &from("bob@fabrikam.example", "203.0.113.1"), "refused: 550 5.7.10");
    check(&home, &from("ann@contoso.example", "203.0.113.1"), "refused: 550 5.7.1 ");
}

#[test]
fn centralised_transport_takes_the_clouds_mail_by_our_own_servers() {
    let home = installed("centralised-transport.toml");
    check(&home, &["--to", "joe@world.example"], "connector internet-out by *");
    check(&home, &["--to", "joe@world.example", "--arrives-by", "cloud-in"], "connector central by *");
    check(&home, &["--to", "ann@contoso.mail.onmicrosoft.com"], "connector cloud-out");
    // Without the cloud's certificate nobody sends in our name.
    check(&home, &["--from", "ann@contoso.example", "--peer-ip", "203.0.113.1"], "refused: 550 5.7.10");
}
