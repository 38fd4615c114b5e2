//! `check --profile`: a verdict on a whole configuration, for people and for programs, and `probe --profile`.

use std::net::Ipv4Addr;
use std::process::{Command, Output};

use serde_json::Value;

use crate::peer::daemon::{NAME, PROGRAM};
use crate::peer::dns::Dns;
use crate::peer::one_thing::{Leaf, Leaves, valid_for};
use crate::peer::sink::{Manner, Sink};
use crate::peer::site::{PARTNER, Site};
use crate::peer::tools;

/// A site whose certificate conforms to every profile, and its configuration for this profile.
fn conforming(profile: &str, leaves: &Leaves) -> (Site, String) {
    let site = Site::new();
    let key = rcgen::KeyPair::from_pem(&leaves.shown(Leaf::Strong).key).unwrap();
    let own = leaves.strong_authority.made(&[NAME], &key, |params| valid_for(params, 365));
    std::fs::write(site.home.path().join("roots.pem"), leaves.anchors()).unwrap();
    let text = format!(
        "{}[trust.roots]\nanchors = \"roots.pem\"\n\n\
         [[listener]]\nname = \"mx\"\naddress = \"127.0.0.1:0\"\ntls = \"required\"\ncertificate = \"own\"\n\
         profile = \"{profile}\"\n\n\
         [[listener]]\nname = \"local\"\naddress = \"127.0.0.1:0\"\ntls = \"off\"\n\n\
         [[inbound]]\nname = \"partner-in\"\nfrom_domains = [\"p.test\"]\ntls = \"forced\"\n\
         peer_names = [\"mail.partner.test\"]\ntrust = [\"roots\"]\nprofile = \"{profile}\"\nto_domains = [\"p.test\"]\n\n\
         [[outbound]]\nname = \"partner-out\"\ndomains = [\"p.test\", \"*.p.test\"]\n\
         next_hop = [\"mail.partner.test\"]\n\
         tls = \"forced\"\ntrust = [\"roots\"]\nclient_certificate = \"own\"\nprofile = \"{profile}\"\n\n\
         [[outbound]]\nname = \"home\"\ndomains = [\"sealpost.test\"]\nnext_hop = [\"mail.partner.test\"]\n\
         tls = \"forced\"\ntrust = [\"roots\"]\nprofile = \"{profile}\"\n",
        site.home.certificate("own", &own)
    );
    (site, text)
}

#[track_caller]
fn judged(site: &Site, text: &str, profile: &str) -> (Option<i32>, Value) {
    site.home.configure(text);
    let output = site.home.run(&["check"], &["--json", "--profile", profile]);
    let said = String::from_utf8_lossy(&output.stdout);
    (output.status.code(), serde_json::from_str(&said).unwrap_or_else(|_| panic!("{}", tools::said(&output))))
}

/// What each part comes to: its name and `conforms`.
fn parts(verdict: &Value) -> Vec<String> {
    let one = |part: &Value| format!("{}: {}", part["part"].as_str().unwrap(), part["conforms"]);
    verdict["parts"].as_array().unwrap().iter().map(one).collect()
}

#[test]
fn a_configuration_that_conforms_to_every_profile_in_turn() {
    let leaves = Leaves::new();
    for profile in crate::profiles::PROFILES {
        let (site, text) = conforming(profile, &leaves);
        let (code, verdict) = judged(&site, &text, profile);
        assert_eq!((code, &verdict["conforms"]), (Some(0), &Value::Bool(true)), "{verdict:#}");
        let expected = [
            "listener mx: true",
            "listener local: null",
            "inbound connector partner-in: true",
            "outbound connector partner-out: true",
            "outbound connector home: true",
        ];
        assert_eq!(parts(&verdict), expected);
        assert_eq!(verdict["plaintext"], serde_json::json!([]), "{verdict:#}");
        assert!(!verdict["unclaimed"].as_array().unwrap().is_empty());
    }
}

/// Where TLS is not required, what is negotiated conforms, and no more is claimed.
#[test]
fn plaintext_is_part_of_the_headline() {
    let leaves = Leaves::new();
    let (site, text) = conforming("nist-sp-800-52r2", &leaves);
    let text = text.replace("tls = \"required\"", "tls = \"starttls\"")
        + "\n[[inbound]]\nname = \"anyone\"\nfrom_domains = [\"*\"]\ntls = \"opportunistic\"\nlisteners = [\"mx\"]\n\
           to_domains = [\"sealpost.test\"]\n\n\
           [[outbound]]\nname = \"rest\"\ndomains = [\"*\"]\nnext_hop = \"mx\"\ntls = \"opportunistic\"\n\
           profile = \"nist-sp-800-52r2\"\n";
    let (code, verdict) = judged(&site, &text, "nist-sp-800-52r2");
    assert_eq!((code, &verdict["conforms"]), (Some(0), &Value::Bool(true)), "{verdict:#}");
    let expected = ["listener mx", "inbound connector anyone", "outbound connector rest"];
    assert_eq!(verdict["plaintext"], serde_json::json!(expected), "{verdict:#}");
    let open = |part: &&Value| part["plaintext"] == true;
    let open: Vec<&Value> = verdict["parts"].as_array().unwrap().iter().filter(open).collect();
    assert_eq!(open.len(), 3, "{verdict:#}");
    let rest = open.last().unwrap()["unclaimed"].to_string();
    assert!(rest.contains("extended master secret"), "{rest}");
    let output = site.home.run(&["check"], &["--profile", "nist-sp-800-52r2"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let headline = "what is negotiated conforms; mail may also travel in plaintext: see listener mx, inbound connector \
                    anyone, outbound connector rest\n";
    assert!(said.contains(headline) && !said.contains("the configuration conforms"), "{said}");
}

#[test]
fn each_part_that_does_not_conform_has_its_line_and_what_to_write() {
    let leaves = Leaves::new();
    let (site, text) = conforming("bsi-tr-02102-2-2025", &leaves);
    let weak =
        site.ours.made(&[NAME], &rcgen::KeyPair::generate().unwrap(), |params| valid_for(params, 4 * 365));
    let text = site.home.certificate("weak", &weak)
        + &text.replace(
            "certificate = \"own\"\nprofile = \"bsi-tr-02102-2-2025\"\n\n",
            "certificate = \"weak\"\n\n",
        )
        + "\n[[outbound]]\nname = \"rehearsal\"\ndomains = [\"q.test\"]\nnext_hop = [\"mail.q.test\"]\n\
           tls = \"forced\"\nmode = \"audit\"\nprofile = \"nl-2025\"\n\n\
           [[outbound]]\nname = \"rest\"\ndomains = [\"*\"]\nnext_hop = \"mx\"\ntls = \"opportunistic\"\n";
    let (code, verdict) = judged(&site, &text, "nist-sp-800-52r2");
    assert_eq!(code, Some(1), "{verdict:#}");
    let found: Vec<String> = verdict["parts"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|part| part["findings"].as_array().unwrap())
        .map(|finding| {
            let line = usize::try_from(finding["line"].as_u64().unwrap()).unwrap();
            let written = std::fs::read_to_string(site.home.config()).unwrap();
            format!("{} | {}", written.lines().nth(line - 1).unwrap(), finding["message"].as_str().unwrap())
        })
        .collect();
    let weak =
        "[certificate.weak] does not conform: the certificate is valid for 1460 days, and 1096 is the limit";
    let expected = [
        "tls = \"required\" | nothing limits it to nist-sp-800-52r2; write profile = \"nist-sp-800-52r2\"",
        &format!("certificate = \"weak\" | {weak}"),
        "profile = \"bsi-tr-02102-2-2025\" | bsi-tr-02102-2-2025 allows what nist-sp-800-52r2 does not",
        "tls = \"forced\" | nothing limits it to nist-sp-800-52r2; write profile = \"nist-sp-800-52r2\"",
        &format!("client_certificate = \"weak\" | {weak}"),
        "profile = \"bsi-tr-02102-2-2025\" | bsi-tr-02102-2-2025 allows what nist-sp-800-52r2 does not",
        "mode = \"audit\" | mode = \"audit\" enforces nothing",
        "profile = \"nl-2025\" | nl-2025 allows what nist-sp-800-52r2 does not",
        "tls = \"opportunistic\" | nothing limits it to nist-sp-800-52r2; write tls = \"forced\"",
    ];
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.starts_with(expected), "{found}\nexpected: {expected}");
    }
    let output = site.home.run(&["check"], &["--profile", "nist-sp-800-52r2"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("the configuration does not conform") && said.contains("FIPS 140"), "{said}");
    let Output { status, stderr, .. } = site.home.run(&["check"], &["--profile", "nist"]);
    assert_eq!(status.code(), Some(2), "{}", String::from_utf8_lossy(&stderr));
    assert!(String::from_utf8_lossy(&stderr).contains("nist-sp-800-52r2"));
}

#[tokio::test(flavor = "multi_thread")]
async fn probe_says_what_a_host_shows_outside_a_profile() {
    let (leaves, folder) = (Leaves::new(), tempfile::tempdir().unwrap());
    let anchors = folder.path().join("roots.pem");
    std::fs::write(&anchors, leaves.anchors()).unwrap();
    let dns = Dns::start().await;
    dns.mx("partner.test", 10, PARTNER).a(PARTNER, Ipv4Addr::LOCALHOST);
    for (leaf, code, said) in [
        (Leaf::Strong, 0, "could be forced with an identity and the profile bsi-tr-02102-2-2025 today"),
        (
            Leaf::Rsa2048,
            1,
            "the key of the certificate is RSA 2048 bits, which the profile bsi-tr-02102-2-2025 does not allow",
        ),
    ] {
        let sink = Sink::start(Manner::sealed(leaves.shown(leaf).server())).await;
        let mut probe = Command::new(PROGRAM);
        probe.args(["probe", "partner.test", "--profile", "bsi-tr-02102-2-2025", "--timeout", "10"]);
        probe.args(["--port", &sink.address.port().to_string(), "--dns", &dns.address.to_string()]);
        probe.arg("--trust").arg(&anchors);
        let output = tools::run(probe).await;
        assert!(tools::said(&output).contains(said), "{}", tools::said(&output));
        assert_eq!(output.status.code(), Some(code), "{}", tools::said(&output));
    }
}
