//! Changes outside on a known date: warned of where this configuration is concerned, and nowhere else.

use std::process::{Command, Stdio};

use rcgen::{CustomExtension, KeyPair};
use serde_json::Value;

use crate::peer::daemon::{NAME, PROGRAM};
use crate::peer::dns::Dns;
use crate::peer::mint::Kind;
use crate::peer::sink::{Manner, Sink};
use crate::peer::site::{OPPORTUNISTIC, Site, outbound};
use crate::peer::tools::said;

/// What `check` says if the operating system trusts the authorities in this file.
fn checked(site: &Site, trusted: &str) -> String {
    let mut command = Command::new(PROGRAM);
    command.args(["check", "--config"]).arg(site.home.config());
    command.env("SSL_CERT_FILE", site.home.path().join(trusted)).env_remove("SSL_CERT_DIR");
    said(&command.stdin(Stdio::null()).output().unwrap())
}

#[test]
fn a_public_certificate_is_measured_by_what_its_successor_can_be() {
    let site = Site::new();
    let shown = format!("{OPPORTUNISTIC}client_certificate = \"gw\"\n");
    site.configure(&outbound("out", "*", ([127, 0, 0, 1], 25).into(), &shown));
    std::fs::write(site.home.path().join("public.pem"), &site.ours.pem).unwrap();
    std::fs::write(site.home.path().join("other.pem"), &site.renewed.pem).unwrap();
    let (lifetime, clients) = ("its successor can be for 47 at most", "is for clients too (clientAuth)");
    let public = checked(&site, "public.pem");
    assert!(public.contains(lifetime) && public.contains("as of 2029-03-15 (CA/Browser Forum"), "{public}");
    assert!(public.contains(clients) && public.contains("as of 2026-06-15 (Chrome Root Program"), "{public}");
    // An authority of our own may do as it likes.
    let own = checked(&site, "other.pem");
    assert!(!own.contains(lifetime) && !own.contains(clients), "{own}");
    // For servers only, and the successor is at hand.
    site.ours.pair(&[NAME], Kind::ServerOnly).write(site.home.path(), "gw");
    let text = std::fs::read_to_string(site.home.config()).unwrap();
    let next = "key = \"gw.key\"\nnext_chain = \"gw.crt\"\nnext_key = \"gw.key\"\nnext_from = \"2089-01-01\"";
    std::fs::write(site.home.config(), text.replace("key = \"gw.key\"", next)).unwrap();
    let staged = checked(&site, "public.pem");
    assert!(!staged.contains(lifetime) && !staged.contains(clients), "{staged}");
}

/// AuthorityInfoAccess with one OCSP responder.
fn responder(url: &str) -> CustomExtension {
    let octet = |length: usize| u8::try_from(length).unwrap();
    let method =
        [&[6, 8, 0x2b, 6, 1, 5, 5, 7, 0x30, 1][..], &[0x86, octet(url.len())], url.as_bytes()].concat();
    let one = [&[0x30, octet(method.len())][..], &method].concat();
    let all = [&[0x30, octet(one.len())][..], &one].concat();
    CustomExtension::from_oid_content(&[1, 3, 6, 1, 5, 5, 7, 1, 1], all)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_responder_that_is_switched_off_is_not_asked() {
    let site = Site::new();
    let made = |authority: &crate::peer::mint::Authority, names: &[&str]| {
        authority.made(names, &KeyPair::generate().unwrap(), |params| {
            params.custom_extensions.push(responder("http://r3.o.lencr.org"));
        })
    };
    made(&site.ours, &[NAME]).write(site.home.path(), "gw");
    let sink = Sink::start(Manner::sealed(made(&site.partners, &["mail.partner.test"]).server())).await;
    let forced = "tls = \"forced\"\npeer_names = [\"mail.partner.test\"]\ntrust = [\"partners\"]\n";
    site.configure(&outbound("out", "partner.test", sink.address, forced));
    let words = "Let's Encrypt has answered no OCSP questions since 2025-08-06";
    let check = said(&site.home.run(&["check"], &[]));
    assert!(
        check.contains("[certificate.gw] names the OCSP responder http://r3.o.lencr.org, but Let's Encrypt"),
        "{check}"
    );
    let output = site.home.run(&["doctor"], &["--json", "--timeout", "5"]);
    let checks: Value = serde_json::from_slice(&output.stdout).unwrap();
    let asked = checks.as_array().unwrap().iter().filter(|one| one["what"] == "OCSP http://r3.o.lencr.org");
    let asked: Vec<&Value> = asked.collect();
    assert_eq!(asked.len(), 2, "{checks}");
    assert!(asked.iter().all(|one| one["words"].as_str().unwrap().starts_with(words)), "{asked:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_knows_exchangers_that_have_moved() {
    let site = Site::new();
    let dns = Dns::start().await;
    let exchanger = "partner-test.e-v1.mx.microsoft";
    dns.mx("partner.test", 10, exchanger);
    dns.a(exchanger, [127, 0, 0, 1].into());
    let sink = site.good_sink().await;
    let diagnosed = |names: &str| {
        site.configure(&format!(
            "[dns]\nservers = [\"{}\"]\n\n[[outbound]]\nname = \"out\"\ndomains = [\"partner.test\"]\nnext_hop = \"mx\"\n\
             port = {}\ntls = \"forced\"\npeer_names = [{names}]\ntrust = [\"partners\"]\n",
            dns.address,
            sink.address.port()
        ));
        said(&site.home.run(&["doctor"], &["--timeout", "5"]))
    };
    let old = diagnosed("\"*.mail.protection.outlook.com\"");
    let words = format!("its exchanger is {exchanger}, and no name of peer_names is below mx.microsoft");
    assert!(old.contains(&words) && old.contains("as of 2026-07-01"), "{old}");
    let new = diagnosed("\"*.mail.protection.outlook.com\", \"*.e-v1.mx.microsoft\"");
    assert!(!new.contains("no name of peer_names is below"), "{new}");
}
