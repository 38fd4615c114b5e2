//! An independent scanner, sslscan, against a listener of each profile: what it finds is exactly what is expected, and
//! the expectations are kept in tests/data/profiles (`UPDATE_GOLDEN=1` writes them).

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::peer::daemon::{Daemon, NAME};
use crate::peer::one_thing::{Leaf, Leaves, valid_for};
use crate::peer::site::{ANYONE, Site};
use crate::peer::{LONG, left_out, tools, within};
use crate::profiles::PROFILES;

#[tokio::test(flavor = "multi_thread")]
async fn a_scanner_finds_what_the_profile_allows_and_nothing_else() {
    let Some(sslscan) = tools::program("sslscan") else {
        let test = "profile_scan::a_scanner_finds_what_the_profile_allows_and_nothing_else";
        return left_out(test, "sslscan was not unpacked; tests/run does it");
    };
    let (site, leaves) = (Site::new(), Leaves::new());
    let mut config = String::new();
    for (id, leaf) in [("ec", Leaf::Strong), ("rsa", Leaf::StrongRsa)] {
        let key = rcgen::KeyPair::from_pem(&leaves.shown(leaf).key).unwrap();
        let own = leaves.strong_authority.made(&[NAME], &key, |params| valid_for(params, 365));
        config += &site.home.certificate(id, &own);
    }
    for profile in PROFILES {
        config += &format!(
            "[[listener]]\nname = \"{profile}\"\naddress = \"127.0.0.1:0\"\ntls = \"starttls\"\n\
             certificate = [\"ec\", \"rsa\"]\nprofile = \"{profile}\"\n\n"
        );
    }
    site.configure_all(&format!("[limits]\nerrors = 1000\n\n{config}{ANYONE}"));
    let daemon = Daemon::start(&site.home).await;
    for profile in PROFILES {
        let mut command = Command::new(&sslscan);
        command.args(["--starttls-smtp", "--no-colour", "--no-check-certificate", "--xml=-"]);
        command.args([format!("--sni-name={NAME}"), daemon.at(profile).to_string()]);
        command.env("LD_LIBRARY_PATH", tools::libraries()).stdin(Stdio::null());
        let output = within("sslscan", LONG, tools::run(command)).await;
        let found = found(&String::from_utf8_lossy(&output.stdout));
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/data/profiles/{profile}.txt"));
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&file, &found).unwrap();
        }
        let expected = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(found == expected, "{profile}:\n{found}\nexpected:\n{expected}{}", tools::said(&output));
    }
}

/// What was found, one a line, in the scanner's order: its preferred suites come first.
fn found(xml: &str) -> String {
    let mut found = String::new();
    for line in xml.lines().map(str::trim) {
        let value = |key: &str| {
            let (_, rest) = line.split_once(&format!(" {key}=\""))?;
            rest.split_once('"').map(|(value, _)| value)
        };
        let name = line.trim_start_matches('<').split(' ').next().unwrap_or_default();
        let words = match name {
            "protocol" => [value("type"), value("version"), value("enabled")],
            "renegotiation" => [value("supported"), value("secure"), None],
            "cipher" => [value("status"), value("sslversion"), value("cipher")],
            "group" => [value("sslversion"), value("name"), None],
            _ => continue,
        };
        let words: Vec<&str> = words.into_iter().flatten().collect();
        let _ = writeln!(found, "{name} {}", words.join(" "));
    }
    found
}
