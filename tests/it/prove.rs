//! `validate` and `probe` against partners that behave well and badly.

use std::net::Ipv4Addr;
use std::process::{Command, Output};

use serde_json::Value;

use crate::peer::daemon::{NAME, PROGRAM, free_address};
use crate::peer::dns::Dns;
use crate::peer::mint::{Authority, Kind, Pair};
use crate::peer::postfix::{Postfix, Relay};
use crate::peer::sink::{Manner, Sink, SinkTls};
use crate::peer::site::{IDENTITY, OPPORTUNISTIC, PARTNER, Site, outbound};
use crate::peer::{left_out, tools};

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|f| panic!("{f}: {}", tools::said(output)))
}

/// The token of the first host, or why there is none.
fn token(answer: &Value) -> String {
    answer["hosts"][0]["decision"]["token"].as_str().unwrap_or("none").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn validate_says_of_each_partner_what_a_delivery_would_meet() {
    let (site, stranger) = (Site::new(), Authority::new("stranger"));
    let shows = |pair: Pair| Manner::sealed(pair.server());
    let partners = [
        ("good", shows(site.partners.pair(&[PARTNER], Kind::Good)), "met"),
        ("wrong-name", shows(site.partners.pair(&["mail.elsewhere.test"], Kind::Good)), "name-mismatch"),
        ("expired", shows(site.partners.pair(&[PARTNER], Kind::Expired)), "certificate-expired"),
        ("stranger", shows(stranger.pair(&[PARTNER], Kind::Good)), "unknown-issuer"),
        ("self-signed", shows(Pair::self_signed(&[PARTNER])), "unknown-issuer"),
        ("no-starttls", Manner::clear(), "starttls-not-offered"),
    ];
    let mut sinks = Vec::new();
    let mut config = String::new();
    for (name, manner, _) in &partners {
        let sink = Sink::start(manner.clone()).await;
        // One that is off, as a connector is before it is enforced.
        let off = format!("{IDENTITY}mode = \"off\"\n");
        config += &outbound(name, &format!("{name}.test"), sink.address, &off);
        sinks.push(sink);
    }
    config += &outbound("closed", "closed.test", free_address(), IDENTITY);
    site.configure(&config);
    for (name, _, expected) in &partners {
        let output = site.home.run(&["validate"], &[name, "--json"]);
        let answer = json(&output);
        assert_eq!(token(&answer), *expected, "{name}: {answer}");
        assert_eq!(answer["ok"], *expected == "met", "{name}: {answer}");
        assert_eq!(output.status.code(), Some(i32::from(*expected != "met")), "{name}");
        let kept = site.home.path().join("data/validated").join(format!("{name}.json"));
        assert!(std::fs::read_to_string(&kept).unwrap().contains("\"verdict\""), "{}", kept.display());
    }
    let closed = site.home.run(&["validate"], &["closed"]);
    assert_eq!(closed.status.code(), Some(1));
    assert!(tools::said(&closed).contains("0 of 1 addresses will do"), "{}", tools::said(&closed));
    for sink in &sinks {
        assert!(sink.arrived().is_empty());
        sink.assert_nothing_in_clear();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn validate_goes_in_clear_where_a_delivery_would_and_asks_about_the_recipient() {
    let site = Site::new();
    let garbage = Sink::start(Manner::new(SinkTls::Garbage)).await;
    let good = Sink::start(
        Manner::sealed(site.partners.pair(&[PARTNER], Kind::Good).server())
            .replying("rcpt to:<no@", "550 5.1.1 no such user"),
    )
    .await;
    let later = format!("{OPPORTUNISTIC}on_handshake_failure = \"defer\"\n");
    site.configure(&format!(
        "{}{}{}",
        outbound("clear", "clear.test", garbage.address, OPPORTUNISTIC),
        outbound("never", "never.test", garbage.address, &later),
        outbound("good", "good.test", good.address, IDENTITY),
    ));
    let validate = |rest: &[&str]| {
        let output = site.home.run(&["validate"], &[rest, &["--json"]].concat());
        (output.status.code(), json(&output))
    };
    let (code, answer) = validate(&["clear"]);
    assert_eq!((code, token(&answer).as_str()), (Some(0), "clear-handshake-broken"), "{answer}");
    let (code, answer) = validate(&["never"]);
    assert_eq!((code, token(&answer).as_str()), (Some(1), "handshake-broken"), "{answer}");
    let (code, answer) = validate(&["good", "--to", "yes@good.test"]);
    assert_eq!((code, &answer["hosts"][0]["recipient"]), (Some(0), &"taken".into()), "{answer}");
    assert!(answer["hosts"][0]["banner"].as_str().is_some_and(|banner| !banner.is_empty()), "{answer}");
    let (code, answer) = validate(&["good", "--to", "no@good.test"]);
    let said = "550 5.1.1 no such user";
    assert_eq!((code, &answer["hosts"][0]["recipient"]), (Some(1), &said.into()), "{answer}");
    assert!(good.read(|log| !log.commands.iter().any(|c| c.eq_ignore_ascii_case("data"))));
    let other = site.home.run(&["validate"], &["good", "--to", "bob@elsewhere.test"]);
    assert_eq!(other.status.code(), Some(1));
    assert!(tools::said(&other).contains("does not serve elsewhere.test"), "{}", tools::said(&other));

    // What was kept is shown for as long as the connector stays what it was.
    let shown = |site: &Site| {
        let output = site.home.run(&["connectors"], &["--json"]);
        let answer = json(&output);
        let all = answer["connectors"].as_array().unwrap().clone();
        all.into_iter().find(|one| one["name"] == "good").unwrap()["validated"].clone()
    };
    assert!(shown(&site)["verdict"].as_str().is_some(), "{}", shown(&site));
    site.configure(&outbound("good", "good.test", good.address, OPPORTUNISTIC));
    assert_eq!(shown(&site), Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn validate_creates_no_data_dir_and_names_who_never_greets() {
    let site = Site::new();
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    site.configure(&outbound("silent", "silent.test", silent.local_addr().unwrap(), IDENTITY));
    std::fs::remove_dir(site.home.path().join("data")).unwrap();
    let output = site.home.run(&["validate"], &["silent", "--timeout", "1", "--json"]);
    let answer = json(&output);
    let reason = answer["hosts"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("did not answer in time before the greeting"), "{reason}");
    assert!(!site.home.path().join("data").exists());
}

/// Asks `probe` about a host by its name, with the partners' authority as the only anchor.
async fn probed(site: &Site, dns: &Dns, target: &str, port: u16) -> Output {
    let root = site.home.path().join("partners.pem");
    std::fs::write(&root, &site.partners.pem).unwrap();
    let mut command = Command::new(PROGRAM);
    command.args(["probe", target, "--json", "--timeout", "10", "--port", &port.to_string()]);
    command.args(["--dns", &dns.address.to_string(), "--trust"]).arg(&root);
    tools::run(command).await
}

#[tokio::test(flavor = "multi_thread")]
async fn probe_prints_a_connector_that_can_be_pasted() {
    let site = Site::new();
    let dns = Dns::start().await;
    dns.mx("partner.test", 10, PARTNER).a(PARTNER, Ipv4Addr::LOCALHOST);
    let sink = site.good_sink().await;
    let output = probed(&site, &dns, "partner.test", sink.address.port()).await;
    let answer = json(&output)[0].clone();
    assert_eq!(output.status.code(), Some(0), "{answer}");
    assert_eq!(answer["could_be_forced"], true, "{answer}");
    let paste = answer["connector"].as_str().unwrap();
    assert!(paste.contains("peer_names = [\"mail.partner.test\"]"), "{paste}");
    assert!(paste.starts_with("[trust.own]\nanchors = \"/"), "{paste}");
    site.configure(&paste.replace("\"own\"", "\"partners\""));
    let checked = site.home.run(&["check"], &[]);
    assert!(tools::said(&checked).contains("in order"), "{}", tools::said(&checked));
    assert!(sink.arrived().is_empty());

    let clear = Sink::start(Manner::clear()).await;
    let output = probed(&site, &dns, "partner.test", clear.address.port()).await;
    let answer = json(&output)[0].clone();
    assert_eq!(
        (output.status.code(), &answer["could_be_forced"]),
        (Some(1), &Value::Bool(false)),
        "{answer}"
    );
    assert!(answer["connector"].as_str().unwrap().contains("tls = \"opportunistic\""), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn probe_and_posttls_finger_agree_on_a_postfix() {
    if let Some(why) = Postfix::missing() {
        return left_out("prove::probe_and_posttls_finger", why);
    }
    let (site, stranger) = (Site::new(), Authority::new("stranger"));
    let dns = Dns::start().await;
    dns.a(PARTNER, Ipv4Addr::LOCALHOST);
    let nowhere = Sink::start(Manner::clear()).await;
    for (kind, pair, good) in [
        ("private authority", site.partners.pair(&[PARTNER], Kind::Good), true),
        ("wrong name", site.partners.pair(&["other.test"], Kind::Good), false),
        ("expired", site.partners.pair(&[PARTNER], Kind::Expired), false),
        ("self-signed", Pair::self_signed(&[PARTNER]), false),
        ("unknown authority", stranger.pair(&[PARTNER], Kind::Good), false),
    ] {
        let postfix = Postfix::start(&pair, Relay { to: nowhere.address, verify: None }).await;
        let port = postfix.address.port();
        let output = probed(&site, &dns, &format!("{PARTNER}:{port}"), port).await;
        let ours = json(&output)[0]["could_be_forced"] == true;
        let mut finger = postfix.tool("posttls-finger");
        finger.args(["-t", "10", "-c", "-l", "secure", "-F"]).arg(site.home.path().join("partners.pem"));
        finger.arg(format!("[127.0.0.1]:{port}")).arg(PARTNER);
        let said = tools::said(&tools::run(finger).await);
        let theirs = said.contains("Verified TLS connection established");
        assert_eq!((ours, theirs), (good, good), "{kind}: {}\n{said}", tools::said(&output));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cert_show_tells_the_same_of_a_file_an_id_and_a_host() {
    let site = Site::new();
    let pair = site.partners.pair(&[PARTNER], Kind::Good);
    let (file, _) = pair.write(site.home.path(), "shown");
    let sink = Sink::start(Manner::sealed(pair.server())).await;
    site.configure("");
    let show = |target: String| {
        let mut command = Command::new(PROGRAM);
        command.args(["cert", "show", &target, "--json", "--config"]).arg(site.home.config());
        tools::run(command)
    };
    let of_file = json(&show(file.to_string_lossy().into_owned()).await);
    let of_host = json(&show(sink.address.to_string()).await);
    assert_eq!(of_file, of_host);
    assert_eq!(of_file["certificates"][0]["names"][0], PARTNER);
    assert_eq!(of_file["certificates"][0]["key"], "ECDSA 256 bits, P-256");
    let pin = of_file["certificates"][0]["pin"].as_str().unwrap().to_owned();
    // A pin as it is printed is a pin as it is read.
    let forced = format!("tls = \"forced\"\nrequire = \"encryption\"\npins = [\"{pin}\"]\n");
    site.configure(&outbound("pinned", "p.test", sink.address, &forced));
    let validated = site.home.run(&["validate"], &["pinned", "--json"]);
    assert_eq!(token(&json(&validated)), "met");
    let of_id = json(&show("gw".to_owned()).await);
    assert_ne!(of_id["certificates"][0]["sha_256"], of_file["certificates"][0]["sha_256"]);
    assert!(of_file["root"].is_null() && of_file["fault"].is_string(), "{of_file}");
    let nobody = show(free_address().to_string()).await;
    assert_eq!(nobody.status.code(), Some(1), "{}", tools::said(&nobody));
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_names_what_is_wrong_around_a_configuration() {
    let site = Site::new();
    let dns = Dns::start().await;
    let good = site.good_sink().await;
    dns.a(NAME, Ipv4Addr::LOCALHOST).mx("hosted.test", 10, "mx.elsewhere.test");
    dns.a("mx.elsewhere.test", Ipv4Addr::LOCALHOST);
    let hosted = format!(
        "[[outbound]]\nname = \"hosted\"\ndomains = [\"hosted.test\"]\nnext_hop = \"mx\"\nport = {}\ntls = \"forced\"\n\
         trust = [\"partners\"]\n\n",
        good.address.port()
    );
    site.configure(&format!(
        "[dns]\nservers = [\"{}\"]\n\n{}{}{hosted}",
        dns.address,
        outbound("good", "good.test", good.address, IDENTITY),
        outbound("closed", "closed.test", free_address(), IDENTITY),
    ));
    let output = site.home.run(&["doctor"], &["--json", "--timeout", "5"]);
    let answer = json(&output);
    let state = |what: &str, words: &str| {
        let all = answer.as_array().unwrap();
        let has = |check: &&Value| check["what"] == what && check["words"].as_str().unwrap().contains(words);
        all.iter()
            .find(has)
            .map_or_else(|| "none".to_owned(), |check| check["state"].as_str().unwrap().to_owned())
    };
    assert_eq!(state("connector good", "takes connections"), "ok", "{answer}");
    assert_eq!(state("connector closed", "none of its hosts takes a connection"), "fail", "{answer}");
    assert_eq!(state("connector hosted", "peer_names = [\"mx.elsewhere.test\"]"), "warn", "{answer}");
    assert_eq!(state("certificate gw", "valid until"), "ok", "{answer}");
    assert_eq!(state("trust partners", "1 anchors"), "ok", "{answer}");
    assert_eq!(state("resolver", "has 1 addresses"), "ok", "{answer}");
    assert_eq!(state("disk", "a flush took"), "ok", "{answer}");
    assert_eq!(state("clock", "it is"), "ok", "{answer}");
    assert_eq!(output.status.code(), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn validate_names_hosts_that_it_could_not_try() {
    let site = Site::new();
    let dns = Dns::start().await;
    let good = site.good_sink().await;
    dns.a(PARTNER, Ipv4Addr::LOCALHOST);
    let port = good.address.port();
    site.configure(&format!(
        "[dns]\nservers = [\"{}\"]\n\n[[outbound]]\nname = \"two\"\ndomains = [\"b.test\"]\n\
         next_hop = [\"{PARTNER}:{port}\", \"gone.test:{port}\"]\n{IDENTITY}",
        dns.address
    ));
    let answer = json(&site.home.run(&["validate"], &["two", "--json"]));
    assert_eq!((&answer["hosts"][0]["ok"], &answer["hosts"][1]["host"]), (&true.into(), &"gone.test".into()));
    let verdict = answer["verdict"].as_str().unwrap();
    assert!(verdict.starts_with("1 of 2 addresses will do: it has no address"), "{verdict}");
}
