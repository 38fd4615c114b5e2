//! Revocation lists in a running relay: those that have ended are reported, and those at URLs are fetched.

use serde_json::Value;

use rcgen::{CrlDistributionPoint, KeyPair, SerialNumber};
use std::sync::Arc;
use tokio::sync::Notify;

use crate::peer::client::Client;
use crate::peer::daemon::{Daemon, NAME};
use crate::peer::dns::Dns;
use crate::peer::mint::{Authority, Pair};
use crate::peer::mix;
use crate::peer::sink::{Manner, Sink};
use crate::peer::site::{ANYONE, LISTENER, OPPORTUNISTIC, PARTNER, QUICK, REVOKED, Site, outbound};
use crate::peer::source::Source;
use crate::peer::tools;
use crate::peer::web::{Page, Web};
use crate::peer::{LONG, eventually, left_out};
use crate::routes::silent;

const HARD: &str = "tls = \"forced\"\nrequire = \"identity\"\npeer_names = [\"mail.partner.test\"]\n\
     trust = [\"partners\"]\nrevocation = \"hard\"\n";
const SOFT: &str = "tls = \"forced\"\nrequire = \"identity\"\npeer_names = [\"mail.partner.test\"]\n\
     trust = [\"partners\"]\n";
const PRIVATE: &str = "crl_private_addresses = true\n";

/// Every alarm of a log in JSON.
fn alarms(log: &str) -> Vec<String> {
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let alarms = lines.filter(|line| line["message"] == "alarm");
    alarms.filter_map(|line| line["what"].as_str().map(str::to_owned)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_and_an_anchor_that_have_ended_are_alarms() {
    let site = Site::new();
    let ended = Authority::new_until("ended root", 2026);
    let write = |name: &str, text: String| std::fs::write(site.home.path().join(name), text).unwrap();
    write("partners.pem", site.partners.pem.clone() + &ended.pem);
    write("partners.crl", site.partners.revocation_list_until(2026, &[]));
    let address = "127.0.0.1:9".parse().unwrap();
    let forced = outbound(
        "forced",
        "partner.test",
        address,
        "tls = \"forced\"\nrequire = \"chain\"\ntrust = [\"partners\"]\n",
    );
    let other = outbound("other", "other.test", address, OPPORTUNISTIC);
    let daemon = site.start(&format!("[log]\nformat = \"json\"\n\n{forced}{other}")).await;
    let told = eventually("both alarms", LONG, async || {
        let told = alarms(&daemon.log());
        (told.len() >= 2).then_some(told)
    })
    .await;
    let has = |words: &[&str]| told.iter().any(|one| words.iter().all(|word| one.contains(word)));
    assert!(has(&["[trust.partners]", "anchor CN=ended root ended on 2026-01-01"]), "{told:#?}");
    assert!(has(&["partners.crl ended on 2026-01-01", "fetch a new one"]), "{told:#?}");
    let lasting = daemon.ask(&["connectors"]).await;
    let concerned = &lasting["alarms"][0]["connectors"];
    assert_eq!(concerned[0], "forced", "{lasting}");
    assert_eq!(concerned.as_array().map(Vec::len), Some(1));

    // A newer list of the same key beside it, and there is nothing more to say of the old one.
    write("newer.crl", site.partners.revocation_list(&[]));
    let config = std::fs::read_to_string(site.home.config()).unwrap();
    std::fs::write(site.home.config(), config.replace("\"partners.crl\"", "\"partners.crl\", \"newer.crl\""))
        .unwrap();
    daemon.ask(&["reload"]).await;
    let lasting = daemon.ask(&["connectors"]).await;
    assert_eq!(lasting["alarms"].as_array().map(Vec::len), Some(1), "{lasting}");
}

/// A relay whose `trust.partners` has these keys beside its anchors.
async fn relay(site: &Site, trust: &str, rest: &str) -> Daemon {
    configure(site, trust, rest);
    Daemon::start(&site.home).await
}

fn configure(site: &Site, trust: &str, rest: &str) {
    let trust = format!("[trust.partners]\nanchors = \"partners.pem\"\n{trust}\n");
    let settings = format!("[log]\nformat = \"json\"\n\n[crl]\nretry = \"1s\"\n{QUICK}");
    let ours = site.ours.pair(&[crate::peer::daemon::NAME], crate::peer::mint::Kind::Good);
    let certificate = site.home.certificate("gw", &ours);
    site.home.configure(&format!("{certificate}{trust}{settings}{LISTENER}{ANYONE}{rest}"));
}

fn list(authority: &Authority, serials: &[u64]) -> Page {
    Page::Body(authority.revocation_list(serials).into_bytes())
}

/// A partner's certificate with this serial number, whose lists are there.
fn pair(authority: &Authority, serial: u64, url: Option<&str>) -> Pair {
    authority.made(&[PARTNER], &KeyPair::generate().unwrap(), |params| {
        params.serial_number = Some(SerialNumber::from(serial));
        let uris = url.iter().map(|url| (*url).to_owned()).collect();
        params.crl_distribution_points = url.map(|_| CrlDistributionPoint { uris }).into_iter().collect();
    })
}

async fn send(daemon: &Daemon, id: &str, to: &str) {
    Source::clear(daemon.at("in"), 1).send_all(mix::plain(id, 1, 200, "ada@a.test", to)).await;
}

/// The alarms that last, once some do.
async fn lasting(daemon: &Daemon) -> Vec<String> {
    let told = daemon.ask(&["connectors"]).await;
    let alarms = told["alarms"].as_array().unwrap().iter();
    alarms.map(|alarm| alarm["what"].as_str().unwrap().to_owned()).collect()
}

async fn fetched(daemon: &Daemon, count: usize) {
    eventually("a fetched list", LONG, async || {
        (daemon.log().matches("a revocation list was fetched").count() >= count).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hard_waits_for_the_list_that_is_fetched_and_goes_by_the_next_one() {
    let (site, web) = (Site::new(), Web::start().await);
    let sink = Sink::start(Manner::sealed(pair(&site.partners, 7, None).server())).await;
    let trust = format!("crl = [\"{}\"]\n{PRIVATE}", web.url("/root.crl"));
    let out = outbound("out", "partner.test", sink.address, HARD);
    let daemon = relay(&site, &trust, &out).await;
    send(&daemon, "one", "bob@partner.test").await;
    let deferred = daemon.deferred("bob@partner.test").await.to_string();
    assert!(deferred.contains("has not been fetched yet"), "{deferred}");
    let alarms = eventually("an alarm", LONG, async || {
        Some(lasting(&daemon).await).filter(|alarms| !alarms.is_empty())
    })
    .await;
    assert!(
        alarms[0].contains("can't be fetched: it was answered 404 Not Found; there is none yet"),
        "{alarms:?}"
    );
    sink.assert_nothing_in_clear();

    web.page("/root.crl", list(&site.partners, &[8]));
    daemon.queue_empty().await;
    assert_eq!(sink.arrived().len(), 1);
    eventually("the end of the alarm", LONG, async || lasting(&daemon).await.is_empty().then_some(())).await;

    // The authority revokes it, and an operator who knows of that reloads.
    web.page("/root.crl", list(&site.partners, &[7, 8]));
    daemon.ask(&["reload"]).await;
    fetched(&daemon, 2).await;
    // The session that was judged before may be kept for a while.
    eventually("a refusal", LONG, async || {
        send(&daemon, "next", "bob@partner.test").await;
        daemon.log().contains("\"token\":\"certificate-revoked\"").then_some(())
    })
    .await;

    // Whoever is on the way can't put another list in its place: unsigned, or older.
    web.page("/root.crl", list(&site.renewed, &[]));
    daemon.ask(&["reload"]).await;
    eventually("a list that is not taken", LONG, async || {
        daemon.log().contains("no authority known by that name signed it").then_some(())
    })
    .await;
    web.page("/root.crl", Page::Body(site.partners.revocation_list_until(2026, &[]).into_bytes()));
    daemon.ask(&["reload"]).await;
    eventually("an older list that is not taken", LONG, async || {
        daemon.log().contains("older than the last one").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_that_chains_name_are_fetched_behind_the_mail_and_outlive_a_restart() {
    let (site, web) = (Site::new(), Web::start().await);
    web.page("/named.crl", list(&site.partners, &[REVOKED]));
    let (named, foreign) = (web.url("/named.crl"), web.url("/foreign.crl"));
    let sink = async |pair: Pair| Sink::start(Manner::sealed(pair.server())).await;
    let revoked = sink(pair(&site.partners, REVOKED, Some(&named))).await;
    let good = sink(pair(&site.partners, 7, Some(&named))).await;
    let stranger = sink(pair(&Authority::new("stranger"), 7, Some(&foreign))).await;
    let out = [
        outbound("soft", "soft.test", revoked.address, SOFT),
        outbound("hard", "hard.test", good.address, HARD),
        outbound("stranger", "stranger.test", stranger.address, SOFT),
    ]
    .concat();
    let trust = format!("crl_fetch = true\n{PRIVATE}");
    let daemon = relay(&site, &trust, &out).await;
    send(&daemon, "stranger", "bob@stranger.test").await;
    daemon.deferred("bob@stranger.test").await;
    assert_eq!(web.asked("/named.crl"), 0);
    // The first one goes before its list is there: mail never waits for it.
    send(&daemon, "first", "bob@soft.test").await;
    eventually("the first message", LONG, async || (!revoked.arrived().is_empty()).then_some(())).await;
    fetched(&daemon, 1).await;
    assert_eq!(web.asked("/foreign.crl"), 0, "a chain that was not verified caused a fetch");
    daemon.stop().await;

    // The server is gone, and what it said is not.
    web.page("/named.crl", Page::Status("503 Service Unavailable"));
    let daemon = relay(&site, &trust, &out).await;
    send(&daemon, "second", "bob@soft.test").await;
    let deferred = daemon.deferred("bob@soft.test").await.to_string();
    assert!(deferred.contains("revoked"), "{deferred}");
    send(&daemon, "third", "bob@hard.test").await;
    eventually("mail under hard", LONG, async || (!good.arrived().is_empty()).then_some(())).await;
    // explain reads what was fetched, too.
    let chain = pair(&site.partners, REVOKED, Some(&named)).write(site.home.path(), "revoked").0;
    let told =
        site.home.run(&["explain"], &["--to", "bob@soft.test", "--peer-cert", chain.to_str().unwrap()]);
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(told.contains("is revoked"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_can_not_be_fetched_says_why() {
    let (site, web) = (Site::new(), Web::start().await);
    let inner = web.url("/inner.crl");
    web.page("/large.crl", Page::Endless);
    web.page("/slow.crl", Page::Silence);
    web.page("/moved.crl", Page::Redirect(inner.clone()));
    web.page("/garbage.crl", Page::Body(b"<html>".to_vec()));
    web.page("/pem.crl", Page::Body(b"-----BEGIN X509 CRL-----\n?".to_vec()));
    let paths = ["large", "slow", "moved", "garbage", "pem", "gone"];
    let urls: Vec<String> =
        paths.iter().map(|path| format!("\"{}\"", web.url(&format!("/{path}.crl")))).collect();
    let trust = format!("crl = [{}]\n{PRIVATE}", urls.join(", "));
    let other = format!("[trust.outside]\nanchors = \"partners.pem\"\ncrl = [\"{inner}\"]\n\n");
    let address = "127.0.0.1:9".parse().unwrap();
    let out = outbound("a", "a.example", address, SOFT)
        + &outbound("b", "b.example", address, &SOFT.replace("partners", "outside"));
    configure(&site, &trust, &format!("{other}{out}"));
    let config = std::fs::read_to_string(site.home.config()).unwrap();
    let limits = "[crl]\nsize = \"64KiB\"\ntimeout = \"2s\"\n";
    std::fs::write(site.home.config(), config.replace("[crl]\n", limits)).unwrap();
    let daemon = Daemon::start(&site.home).await;
    let told = eventually("all alarms", LONG, async || {
        Some(lasting(&daemon).await).filter(|alarms| alarms.len() == paths.len() + 1)
    })
    .await;
    for (path, why) in [
        ("large", "it has more than 65536 octets"),
        ("slow", "it was not complete in 2 s"),
        ("moved", "it redirects to http://127.0.0.1"),
        ("garbage", "what came back can't be used: it is not a certificate revocation list"),
        ("pem", "what came back can't be used"),
        ("gone", "it was answered 404 Not Found"),
        (
            "inner",
            "127.0.0.1 has the address 127.0.0.1, which is not public; allow it by crl_private_addresses",
        ),
    ] {
        let path = format!("/{path}.crl can't be fetched: ");
        assert!(told.iter().any(|one| one.contains(&path) && one.contains(why)), "{path}{why}: {told:#?}");
    }
    assert_eq!(web.asked("/inner.crl"), 0, "a redirect was followed, or an inner address was dialled");
}

/// A connector of the partner, whose clients' certificates must be good by a current list.
const HARD_IN: &str = "[[inbound]]\nname = \"bank\"\nfrom_domains = [\"bank.test\"]\nto_domains = [\"*\"]\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_client_is_deferred_until_its_list_is_there_and_goes_by_each_next_one_in_the_same_session() {
    let (site, web) = (Site::new(), Web::start().await);
    let urls: Vec<String> =
        ["/one.crl", "/two.crl", "/three.crl"].map(|path| format!("\"{}\"", web.url(path))).to_vec();
    let trust = format!("crl = [{}]\n{PRIVATE}", urls.join(", "));
    let out = outbound("out", "*", "127.0.0.1:9".parse().unwrap(), OPPORTUNISTIC);
    let daemon = relay(&site, &trust, &format!("{HARD_IN}{HARD}\n{out}")).await;
    let certificate = |serial| site.ours.client(Some(&pair(&site.partners, serial, None)));
    let mut client = Client::sealed(daemon.at("in"), &certificate(7), NAME).await;
    let mut other = Client::sealed(daemon.at("in"), &certificate(9), NAME).await;
    let deferred = client.say("MAIL FROM:<ada@bank.test>").await;
    assert!(
        deferred.text.starts_with("451 4.7.5 ") && deferred.text.contains("has not been fetched yet"),
        "{deferred:?}"
    );

    web.page("/one.crl", list(&site.partners, &[8]));
    fetched(&daemon, 1).await;
    assert_eq!(client.say("MAIL FROM:<ada@bank.test>").await.code, 250);
    assert_eq!(other.say("MAIL FROM:<ada@bank.test>").await.code, 250);

    web.page("/two.crl", list(&site.partners, &[7]));
    fetched(&daemon, 2).await;
    // In one piece: the next MAIL goes by the list, wherever the transaction before it ended.
    client.write(b"RSET\r\nMAIL FROM:<ada@bank.test>\r\n").await.unwrap();
    assert_eq!(client.reply().await.code, 250);
    let refused = client.reply().await;
    assert!(refused.text.starts_with("550 5.7.1 ") && refused.text.contains("revoked"), "{refused:?}");
    assert_eq!(other.say("RSET").await.code, 250);
    assert_eq!(other.say("MAIL FROM:<ada@bank.test>").await.code, 250);

    // After a reload the lists are those of another set, and the session has the one before.
    daemon.ask(&["reload"]).await;
    web.page("/three.crl", list(&site.partners, &[9]));
    fetched(&daemon, 3).await;
    assert_eq!(other.say("RSET").await.code, 250);
    // A session that a reload outlived ends where it is refused.
    assert_eq!(other.say("MAIL FROM:<ada@bank.test>").await.code, 421);
    daemon.logged_times("\"token\":\"certificate-revoked\"", 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_comes_during_a_reload_counts() {
    // With the same sources after the reload, and with others: then the list is fetched once more.
    for other in [None, Some("/other.crl")] {
        let (site, web) = (Site::new(), Web::start().await);
        let sink = Sink::start(Manner::sealed(pair(&site.partners, 7, None).server())).await;
        let out = outbound("out", "partner.test", sink.address, HARD);
        let trust = |other: Option<&str>| {
            let paths = ["/root.crl", "/beat.crl"].into_iter().chain(other);
            let urls: Vec<String> = paths.map(|path| format!("\"{}\"", web.url(path))).collect();
            format!("crl = [{}]\n{PRIVATE}", urls.join(", "))
        };
        let gate = Arc::new(Notify::new());
        let body = site.partners.revocation_list(&[]).into_bytes();
        web.page("/root.crl", Page::Held(Arc::clone(&gate), body.clone()));
        let daemon = relay(&site, &trust(None), &out).await;
        eventually("a fetch", LONG, async || (web.asked("/root.crl") >= 1).then_some(())).await;
        configure(&site, &trust(other), &out);
        daemon.ask(&["reload"]).await;
        web.page("/root.crl", Page::Body(body));
        // Another list is asked for twice: the plan is that of the new set.
        let beats = web.asked("/beat.crl");
        eventually("two turns", LONG, async || (web.asked("/beat.crl") >= beats + 2).then_some(())).await;
        gate.notify_one();
        send(&daemon, "one", "bob@partner.test").await;
        daemon.queue_empty().await;
        assert_eq!(sink.arrived().len(), 1, "{other:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_that_do_not_answer_leave_time_for_one_that_does() {
    let (site, web, dns) = (Site::new(), Web::start().await, Dns::start().await);
    let port = web.address.port();
    let _dead = ["[::1]", "127.0.0.2", "127.0.0.3"].map(|host| silent(&format!("{host}:{port}")));
    dns.aaaa("crl.test", std::net::Ipv6Addr::LOCALHOST);
    dns.a("crl.test", [127, 0, 0, 2].into()).a("crl.test", [127, 0, 0, 3].into());
    dns.a("crl.test", [127, 0, 0, 1].into());
    web.page("/root.crl", list(&site.partners, &[]));
    let trust = format!("crl = [\"http://crl.test:{port}/root.crl\"]\n{PRIVATE}");
    let out = outbound("out", "partner.test", "127.0.0.1:9".parse().unwrap(), SOFT);
    configure(&site, &trust, &format!("[dns]\nservers = [\"{}\"]\n\n{out}", dns.address));
    let config = std::fs::read_to_string(site.home.config()).unwrap();
    std::fs::write(site.home.config(), config.replace("[crl]\n", "[crl]\ntimeout = \"4s\"\n")).unwrap();
    let daemon = Daemon::start(&site.home).await;
    fetched(&daemon, 1).await;
}

/// An OCSP response of this authority about its certificate with this serial number, made by openssl.
fn ocsp_response(site: &Site, serial: u64, status: &str) -> Vec<u8> {
    let file = |name: &str| site.home.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(file("ocsp.crt"), &site.partners.pem).unwrap();
    std::fs::write(file("ocsp.key"), &site.partners.key_pem).unwrap();
    let revoked = if status == "R" { "260101000000Z" } else { "" };
    let serial = format!("{serial:02X}");
    std::fs::write(file("index"), format!("{status}\t400101000000Z\t{revoked}\t{serial}\tunknown\t/CN=x\n"))
        .unwrap();
    let run = |arguments: &[&str]| {
        let mut command = std::process::Command::new(tools::program("openssl").unwrap());
        let output = command.arg("ocsp").args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", tools::said(&output));
    };
    let (ca, key, index) = (file("ocsp.crt"), file("ocsp.key"), file("index"));
    let (request, response) = (file("ocsp.req"), file("ocsp.resp"));
    run(&["-issuer", &ca, "-serial", &format!("0x{serial}"), "-no_nonce", "-reqout", &request]);
    run(&[
        "-index", &index, "-CA", &ca, "-rsigner", &ca, "-rkey", &key, "-reqin", &request, "-respout",
        &response, "-ndays", "7",
    ]);
    std::fs::read(response).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_retrieves_and_verifies_what_certificates_refer_to() {
    if tools::program("openssl").is_none() {
        return left_out("revocation::doctor_retrieves", "openssl is not installed");
    }
    let (site, web) = (Site::new(), Web::start().await);
    web.page("/good.crl", list(&site.partners, &[8]));
    web.page("/forged.crl", list(&site.renewed, &[]));
    web.page("/root.crt", Page::Body(site.partners.pem.clone().into_bytes()));
    web.page("/wrong.crt", Page::Body(site.renewed.pem.clone().into_bytes()));
    web.page("/ocsp", Page::Body(ocsp_response(&site, 7, "V")));
    web.page("/ocsp-revoked", Page::Body(ocsp_response(&site, 7, "R")));
    web.page("/ocsp-other", Page::Body(ocsp_response(&site, 9, "V")));
    web.page("/ocsp-refuses", Page::Body(vec![0x30, 3, 0x0a, 1, 6]));
    let partner = site.partners.made(&[PARTNER], &KeyPair::generate().unwrap(), |params| {
        params.serial_number = Some(SerialNumber::from(7_u64));
        let uris = ["/good.crl", "/forged.crl", "/gone.crl"].map(|path| web.url(path)).to_vec();
        params.crl_distribution_points = vec![CrlDistributionPoint { uris }];
        let octet = |length: usize| u8::try_from(length).unwrap();
        let access = |oid: u8, path: &str| {
            let url = web.url(path);
            let method =
                [&[6, 8, 0x2b, 6, 1, 5, 5, 7, 0x30, oid][..], &[0x86, octet(url.len())], url.as_bytes()]
                    .concat();
            [&[0x30, octet(method.len())][..], &method].concat()
        };
        let all = ["/ocsp", "/ocsp-revoked", "/ocsp-other", "/ocsp-refuses"].map(|path| access(1, path));
        let all = [all.concat(), access(2, "/root.crt"), access(2, "/wrong.crt")].concat();
        let length = u16::try_from(all.len()).unwrap().to_be_bytes();
        let content = [&[0x30, 0x82][..], &length, &all].concat();
        params
            .custom_extensions
            .push(rcgen::CustomExtension::from_oid_content(&[1, 3, 6, 1, 5, 5, 7, 1, 1], content));
    });
    let sink = Sink::start(Manner::sealed(partner.server())).await;
    let trust = format!("crl = [\"{}\"]\n{PRIVATE}", web.url("/good.crl"));
    configure(&site, &trust, &outbound("out", "partner.test", sink.address, SOFT));
    let output = site.home.run(&["doctor"], &["--json", "--timeout", "5"]);
    let checks: Value = serde_json::from_slice(&output.stdout).unwrap();
    for (what, path, state, words) in [
        ("trust partners: list", "/good.crl", "ok", "OK: "),
        ("revocation list", "/good.crl", "ok", "OK: a list of 1 certificates, signed by the issuer"),
        ("revocation list", "/forged.crl", "warn", "is not signed by the certificate's issuer"),
        ("revocation list", "/gone.crl", "warn", "it was answered 404 Not Found"),
        ("issuer", "/root.crt", "ok", "OK: the certificate of CN=partners, which signed this one"),
        ("issuer", "/wrong.crt", "warn", "which did not sign this one"),
        ("OCSP", "/ocsp", "ok", "OK: the certificate is good"),
        ("OCSP", "/ocsp-revoked", "warn", "the certificate is revoked"),
        ("OCSP", "/ocsp-other", "warn", "the response is about another certificate"),
        ("OCSP", "/ocsp-refuses", "warn", "the responder refuses: unauthorised"),
    ] {
        let what = format!("{what} {}", web.url(path));
        let found = checks.as_array().unwrap().iter().find(|check| check["what"] == what.as_str());
        let found = found.unwrap_or_else(|| panic!("{what} is missing: {checks:#}"));
        assert_eq!(found["state"], state, "{found}");
        assert!(found["words"].as_str().unwrap().contains(words), "{found}");
    }
}
