//! Configuration, certificates and trust anchors changed while mail flows: what was in effect stays
//! in effect or is replaced whole, and no session is refused for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;

use crate::peer::client::Client;
use crate::peer::daemon::{Daemon, NAME, PROGRAM};
use crate::peer::mint::{Authority, Kind, Pair};
use crate::peer::mix;
use crate::peer::sink::{Manner, Sink};
use crate::peer::site::{ANYONE, LISTENER, OPPORTUNISTIC, Site, outbound};
use crate::peer::source::Source;
use crate::peer::tools;
use crate::peer::{LONG, eventually, within};

/// Less than the minute for which a lane is blocked.
const SOON: Duration = Duration::from_secs(30);
const ENCRYPTION: &str = "tls = \"forced\"\nrequire = \"encryption\"\n";

#[tokio::test(flavor = "multi_thread")]
async fn queued_mail_does_not_leave_in_clear_once_tls_is_forced() {
    let site = Site::new();
    let sink = Sink::start(Manner::clear().greeting("421 4.3.2 not now")).await;
    let rest = |tls: &str| outbound("out", "partner.test", sink.address, tls);
    let daemon = site.start(&rest(OPPORTUNISTIC)).await;
    let messages = mix::plain("wait", 100, 1_000, "a@sender.test", "b@partner.test");
    Source::clear(daemon.at("in"), 5).send_all(messages).await;
    daemon.deferred_any().await;

    // From here on the partner would take everything, in clear.
    sink.behave(Manner::clear());
    site.configure(&rest(ENCRYPTION));
    let answer = daemon.ask(&["reload"]).await;
    assert_eq!(answer["generation"], 2, "{answer}");
    assert_eq!(answer["changes"][0]["connector"], "out", "{answer}");
    let mails = |sink: &Sink| {
        sink.read(|log| log.commands.iter().filter(|c| c.to_lowercase().starts_with("mail from")).count())
    };
    let then = mails(&sink);
    // The lane was blocked for a minute: it is judged again without waiting for that.
    eventually("a judgement by the new connector", SOON, async || {
        let status = daemon.ask(&["connectors"]).await;
        let queue = daemon.ask(&["queue", "list", "--limit", "1000"]).await;
        let blocked = queue["messages"][0]["blocked"][0]["reason"].as_str().unwrap_or_default().to_owned();
        assert_eq!(status["generation"], 2);
        blocked.contains("STARTTLS").then_some(())
    })
    .await;
    assert_eq!(mails(&sink), then, "an envelope left in clear after the reload returned");
    assert!(sink.arrived().is_empty());
    assert_eq!(daemon.queue().await.len(), 100);

    // And back: TLS is not enforced any more, which is told.
    site.configure(&rest(OPPORTUNISTIC));
    let answer = daemon.ask(&["reload"]).await;
    let loosened = &answer["loosened"][0];
    assert_eq!((&loosened["domains"][0], &loosened["weaker"][0]), (&"partner.test".into(), &"level".into()));
    assert_eq!(loosened["was"]["required"], "TLSv1.2 or later, any certificate", "{answer}");
    assert_eq!(loosened["now"]["required"], "TLS if offered", "{answer}");
    sink.messages(1).await;
    eventually("its alarm", LONG, async || {
        let log = daemon.log();
        let told =
            |line: &str| line.contains(" alarm ") && line.contains("now TLS if offered by connector out");
        log.lines().any(told).then_some(())
    })
    .await;
    daemon.stop().await;
}

/// A site whose mail goes to a sink, with everything that can break on disk.
async fn whole() -> (Site, Sink, String) {
    let site = Site::new();
    let sink = site.good_sink().await;
    let rest = outbound(
        "out",
        "*",
        sink.address,
        "tls = \"forced\"\npeer_names = [\"mail.partner.test\"]\ntrust = [\"partners\"]\n",
    );
    (site, sink, rest)
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_files_refuse_no_session_and_are_told_with_their_place() {
    let (site, sink, rest) = whole().await;
    let path = |name: &str| site.home.path().join(name);
    let next = site.ours.pair(&[NAME], Kind::Good);
    next.write(site.home.path(), "next");
    site.ours.pair(&[NAME], Kind::Good).write(site.home.path(), "first");
    std::fs::write(path("networks.txt"), "192.0.2.0/24\n").unwrap();
    let rest = format!(
        "{rest}[certificate.next]\nchain = \"first.crt\"\nkey = \"first.key\"\nnext_chain = \"next.crt\"\n\
         next_key = \"next.key\"\nnext_from = \"2999-01-01\"\n\n[[inbound]]\nname = \"devices\"\n\
         from_domains = [\"devices.test\"]\nfrom_networks_file = \"networks.txt\"\ntls = \"off\"\nto_domains = []\n\n"
    );
    let daemon = site.start(&rest).await;
    let over = Arc::new(AtomicBool::new(false));
    let load = tokio::spawn(load(site.source(daemon.at("in"), 4), Arc::clone(&over)));
    let config = std::fs::read_to_string(site.home.config()).unwrap();
    let chain = std::fs::read_to_string(path("gw.crt")).unwrap();
    let anchors = std::fs::read_to_string(path("partners.pem")).unwrap();
    let list = std::fs::read_to_string(path("partners.crl")).unwrap();
    let other = site.ours.pair(&[NAME], Kind::Good);
    // Named, since the verb would look it up in the broken file.
    let socket = path("data/control.sock");
    let damaged: String = anchors.replace("MII", "M?I");

    let line = |what: &str| {
        let at = config.lines().position(|line| line.starts_with(what)).unwrap();
        format!("line {}, column", at + 1)
    };
    let breaks = [
        (
            "a syntax error",
            "sealpost.toml",
            Some(config.replacen("[server]", "[server", 1)),
            "line 1, column".to_owned(),
        ),
        (
            "an unknown key",
            "sealpost.toml",
            Some(config.replacen("postmaster =", "postmistress =", 1)),
            "line 4, column 1".to_owned(),
        ),
        ("a missing certificate", "gw.crt", None, line("chain = ")),
        ("a key that does not fit", "gw.crt", Some(other.chain.clone()), line("key = ")),
        ("damaged anchors", "partners.pem", Some(damaged), line("anchors = ")),
        (
            "a damaged list",
            "partners.crl",
            Some(list.replacen("MII", "M?I", 1).replace("\nMI", "\nM?")),
            line("crl = "),
        ),
        ("no network", "networks.txt", Some("# none\n".to_owned()), line("from_networks_file")),
        ("a bad network", "networks.txt", Some("192.0.2.1/24\n".to_owned()), line("from_networks_file")),
        ("a successor that is gone", "next.crt", None, line("next_chain")),
    ];
    for (case, file, text, place) in breaks {
        match &text {
            Some(text) => std::fs::write(path(file), text).unwrap(),
            None => std::fs::remove_file(path(file)).unwrap(),
        }
        let output = daemon.command(&["reload", "--socket", socket.to_str().unwrap()]).await;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(78), "{case}: {said}");
        assert!(said.contains("sealpost.toml: ") && said.contains(&place), "{case}: {said}");
        assert!(said.contains("stays in effect"), "{case}: {said}");
        eventually(&format!("an alarm for {case}"), LONG, async || {
            let log = daemon.log();
            let alarm = log
                .lines()
                .rev()
                .find(|line| line.contains(" alarm ") && !line.contains(" alarm cleared "))?;
            (alarm.contains("sealpost.toml: ") && alarm.contains(&place)).then_some(())
        })
        .await;
        let fixed = match file {
            "sealpost.toml" => config.as_str(),
            "gw.crt" => &chain,
            "partners.crl" => &list,
            "networks.txt" => "192.0.2.0/24\n",
            "next.crt" => &next.chain,
            _ => &anchors,
        };
        if file != "sealpost.toml" {
            let alarms = daemon.ask(&["connectors"]).await["alarms"].clone();
            assert!(alarms[0]["what"].as_str().unwrap_or_default().contains(&place), "{case}: {alarms}");
        }
        std::fs::write(path(file), fixed).unwrap();
    }
    let answer = daemon.ask(&["reload"]).await;
    assert_eq!(answer["changes"], Value::Array(Vec::new()), "{answer}");
    assert_eq!(daemon.ask(&["connectors"]).await["alarms"], Value::Array(Vec::new()));

    over.store(true, Ordering::SeqCst);
    let sent = load.await.unwrap();
    assert!(sent > 0);
    assert!(sink.messages(sent).await.iter().all(|arrived| arrived.sealed));
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reloads_under_load_refuse_nobody() {
    let site = Site::new();
    let sink = site.good_sink().await;
    // Attributed by certificate alone: table and trust anchors must change in one step.
    let rest = |name: &str| {
        let trust = site.home.trust(name, &site.partners);
        let inbound = format!(
            "[[inbound]]\nname = \"{name}\"\nfrom_domains = [\"sender.test\"]\ntls = \"forced\"\n\
             peer_names = [\"client.test\"]\ntrust = [\"{name}\"]\nto_domains = [\"*\"]\n\n"
        );
        let out = outbound("out", "*", sink.address, OPPORTUNISTIC);
        format!("{trust}{LISTENER}{inbound}{out}")
    };
    site.configure_all(&rest("first"));
    let daemon = Daemon::start(&site.home).await;
    let over = Arc::new(AtomicBool::new(false));
    let shown = site.partners.pair(&["client.test"], Kind::Good);
    let source = Source::sealed(daemon.at("in"), 4, site.ours.client(Some(&shown)), NAME);
    let load = tokio::spawn(load(source, Arc::clone(&over)));
    for round in 0..20 {
        let name = if round % 2 == 0 { "second" } else { "first" };
        site.configure_all(&rest(name));
        site.ours.pair(&[NAME], Kind::Good).write(site.home.path(), "gw");
        let answer = daemon.ask(&["reload"]).await;
        assert!(answer["certificates"][0].as_str().unwrap().contains("[certificate.gw]"), "{answer}");
    }
    over.store(true, Ordering::SeqCst);
    let sent = load.await.unwrap();
    assert!(sent > 0);
    sink.messages(sent).await;
    daemon.stop().await;
}

/// Sessions one after the other until told to end; each must be served. How many messages they sent.
async fn load(source: Source, over: Arc<AtomicBool>) -> usize {
    let mut sent = 0;
    while !over.load(Ordering::SeqCst) {
        let messages = mix::plain(&format!("load{sent}"), 40, 500, "a@sender.test", "b@partner.test");
        sent += source.send_all(messages).await.len();
    }
    sent
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_certificate_is_shown_after_a_signal_and_after_a_change() {
    let (site, _sink, rest) = whole().await;
    let daemon = site.start(&rest).await;
    let mut before = Client::sealed(daemon.at("in"), &site.ours.client(None), NAME).await;

    let second = Authority::new("second");
    second.pair(&[NAME], Kind::Good).write(site.home.path(), "gw");
    daemon.signal("HUP");
    shows(&daemon, &second).await;

    // Half a renewal is no alarm while it is not whole; whole, it is taken without a signal.
    let third = Authority::new("third");
    let pair = third.pair(&[NAME], Kind::Good);
    let key = std::fs::read_to_string(site.home.path().join("gw.key")).unwrap();
    Pair { chain: pair.chain.clone(), key }.write(site.home.path(), "gw");
    eventually("the half that is refused", LONG, async || {
        daemon.log().contains("the files have changed, but have errors so far").then_some(())
    })
    .await;
    pair.write(site.home.path(), "gw");
    shows(&daemon, &third).await;
    assert!(!daemon.log().contains(" alarm "), "half a renewal is no alarm: {}", daemon.log());

    // A session from before goes on.
    let reply =
        before.transact(&mix::plain("old", 1, 10, "a@sender.test", "b@partner.test")[0]).await.unwrap();
    assert_eq!(reply.code, 250, "{}", reply.text);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_manager_is_told_of_a_reload() {
    let (site, _sink, rest) = whole().await;
    let path = site.home.path().join("notify");
    let manager = tokio::net::UnixDatagram::bind(&path).unwrap();
    let told = async || {
        let mut text = vec![0; 512];
        let length = within("a notification", LONG, manager.recv(&mut text)).await.unwrap();
        String::from_utf8_lossy(&text[..length]).into_owned()
    };
    site.configure(&rest);
    let mut command = std::process::Command::new(PROGRAM);
    command.env("NOTIFY_SOCKET", &path);
    let daemon = Daemon::start_by(&site.home, command).await;
    assert_eq!(told().await.trim(), "READY=1");
    daemon.signal("HUP");
    let reloading = told().await;
    assert!(reloading.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{reloading:?}");
    assert_eq!(told().await.trim(), "READY=1");
    daemon.stop().await;
}

/// Waits until new sessions are shown a certificate of this authority.
async fn shows(daemon: &Daemon, authority: &Authority) {
    let trusting = authority.client(None);
    eventually("the renewed certificate", LONG, async || {
        Client::try_sealed(daemon.at("in"), &trusting, NAME).await.ok().map(drop)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn half_a_renewal_that_stays_is_an_alarm() {
    let (site, _sink, rest) = whole().await;
    let daemon = site.start(&rest).await;
    let (good, other) = (site.home.path().join("gw.crt"), site.ours.pair(&[NAME], Kind::Good));
    let chain = std::fs::read_to_string(&good).unwrap();
    std::fs::write(&good, &other.chain).unwrap();
    let alarms = eventually("an alarm", LONG, async || {
        let alarms = daemon.ask(&["connectors"]).await["alarms"].clone();
        (alarms.as_array().unwrap().len() == 1).then_some(alarms)
    })
    .await;
    assert!(alarms[0]["what"].as_str().unwrap().contains("sealpost.toml: line 8, column"), "{alarms}");
    // The last good pair serves.
    Client::sealed(daemon.at("in"), &site.ours.client(None), NAME).await;
    std::fs::write(&good, chain).unwrap();
    eventually("the end of the alarm", LONG, async || {
        daemon.ask(&["connectors"]).await["alarms"].as_array().unwrap().is_empty().then_some(())
    })
    .await;
    daemon.logged_times(" alarm kind=reload", 1).await;
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connectors_are_shown_with_and_without_a_daemon() {
    let (site, _sink, rest) = whole().await;
    let expired = site.ours.pair(&[NAME], Kind::Expired);
    let ours = site.home.certificate("client", &expired);
    let rest =
        ours + &rest.replace("tls = \"forced\"\n", "tls = \"forced\"\nclient_certificate = \"client\"\n");
    let daemon = site.start(&rest).await;
    let folder = site.home.path().join("data/validated");
    std::fs::create_dir_all(&folder).unwrap();
    let find = |answer: &Value| {
        let all = answer["connectors"].as_array().unwrap().clone();
        all.into_iter().find(|one| one["name"] == "out").unwrap()
    };
    let before = find(&daemon.ask(&["connectors"]).await);
    let verdict = serde_json::json!({
        "at": "2026-01-01T00:00:00Z", "revision": before["revision"], "verdict": "it would do", "ok": true,
    });
    std::fs::write(folder.join("out.json"), verdict.to_string()).unwrap();
    let running = daemon.ask(&["connectors"]).await;
    let out = find(&running);
    assert_eq!(
        (&out["direction"], &out["tls"], &out["mode"]),
        (&"outbound".into(), &"forced".into(), &"enforce".into())
    );
    assert_eq!(out["validated"]["verdict"], "it would do");
    assert!(out["alarms"][0].as_str().unwrap().contains("[certificate.client] expired on 2021"), "{out}");
    assert_eq!(running["generation"], 1);
    daemon.stop().await;
    let output = site.home.run(&["connectors", "--json"], &[]);
    let file = find(&serde_json::from_slice(&output.stdout).unwrap());
    assert_eq!((&file["revision"], &file["requirement"]), (&out["revision"], &out["requirement"]));
    assert_eq!(file["lanes"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_staged_certificate_takes_over_on_its_day_without_a_reload() {
    let site = Site::new();
    let next = site.ours.pair(&[NAME, "successor.test"], Kind::Good);
    next.write(site.home.path(), "next");
    let day = jiff::Timestamp::now() + Duration::from_secs(4);
    let from = day.strftime("%Y-%m-%dT%H:%M:%SZ");
    let first = site.ours.pair(&[NAME], Kind::Good);
    let certificate = site.home.certificate("gw", &first).replace(
        "key = \"gw.key\"\n",
        &format!(
            "key = \"gw.key\"\nnext_chain = \"next.crt\"\nnext_key = \"next.key\"\nnext_from = \"{from}\"\n"
        ),
    );
    site.home.configure(&format!("{certificate}{LISTENER}{ANYONE}"));
    let daemon = Daemon::start(&site.home).await;
    let shown = async || {
        let address = daemon.at("in").to_string();
        let output = tools::run({
            let mut command = std::process::Command::new(PROGRAM);
            command.args(["cert", "show", &address, "--json"]);
            command
        })
        .await;
        tools::said(&output)
    };
    let before = shown().await;
    // The file has whole seconds. On a machine that was too slow there is no "before" to look at.
    if jiff::Timestamp::now() + Duration::from_secs(1) < day {
        assert!(!before.contains("successor.test"), "before its day");
    }
    eventually("the successor", SOON, async || shown().await.contains("successor.test").then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn networks_of_a_file_count_and_are_read_again() {
    let site = Site::new();
    let file = site.home.path().join("networks.txt");
    std::fs::write(&file, "192.0.2.0/24\n").unwrap();
    let inbound = "[[inbound]]\nname = \"devices\"\nfrom_domains = [\"*\"]\nfrom_networks_file = \"networks.txt\"\n\
                   tls = \"off\"\nto_domains = [\"*\"]\n\n";
    site.configure_all(&format!("{LISTENER}{inbound}"));
    let daemon = Daemon::start(&site.home).await;
    let code = async || Client::hello(daemon.at("in")).await.say("MAIL FROM:<a@b.test>").await.code;
    assert_eq!(code().await, 550);
    std::fs::write(&file, "192.0.2.0/24\n127.0.0.0/8 # here\n").unwrap();
    eventually("the new networks", SOON, async || (code().await == 250).then_some(())).await;
    std::fs::write(&file, "# nothing\n").unwrap();
    let refused = site.home.run(&["reload"], &[]);
    assert_eq!(refused.status.code(), Some(78), "{}", tools::said(&refused));
    assert!(tools::said(&refused).contains("none would mean anywhere"), "{}", tools::said(&refused));
    assert_eq!(code().await, 250, "the last good networks stay");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_change_that_needs_a_restart_is_told() {
    let site = Site::new();
    let daemon = site.start("").await;
    let told = async || daemon.ask(&["reload"]).await["needs_restart"].clone();
    let listener = LISTENER
        .replace("tls = \"starttls\"", "tls = \"starttls\"\nwithhold = [\"DSN\"]\ngreeting_delay = \"1s\"");
    site.configure_all(&format!("[limits]\nhops = 7\n\n[timeouts]\nreuse = \"9s\"\n\n{listener}{ANYONE}"));
    assert_eq!(
        told().await,
        serde_json::json!([
            "[limits] hops has changed, which needs a restart",
            "greeting_delay of listener in has changed, which needs a restart",
            "withhold of listener in has changed, which needs a restart",
            "[timeouts] reuse has changed, which needs a restart",
        ])
    );
    site.configure("");
    assert_eq!(told().await, serde_json::json!([]), "what is as at the start needs none");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_domain_loses_is_told_whichever_connectors_that_takes() {
    let site = Site::new();
    let out = |name: &str, domains: &str, tls: &str| {
        outbound(name, "X", "127.0.0.1:9".parse().unwrap(), tls).replace("\"X\"", domains)
    };
    let forced = "tls = \"forced\"\npeer_names = [\"mail.partner.test\"]\ntrust = [\"partners\"]\n";
    let from = |domains: &str| {
        let inbound = ANYONE.replace("\"anyone\"", "\"bank-in\"").replace("\"a.test\", \"*\"", domains);
        inbound.replace("tls = \"opportunistic\"\n", "tls = \"forced\"\nrequire = \"encryption\"\n")
    };
    let rest = out("rest", "\"*\"", OPPORTUNISTIC);
    let partner = |tls: &str| out("partner", "\"*.fabrikam.test\"", tls);
    let both = from("\"bank.test\", \"*.bank.test\"");
    let start = format!("{both}{}{rest}", partner(forced));
    let daemon = site.start(&start).await;
    let chain = forced.replace("peer_names = [\"mail.partner.test\"]", "require = \"chain\"");
    let legacy = out("legacy", "\"legacy.fabrikam.test\"", OPPORTUNISTIC);
    for (case, rest, expected) in [
        (
            "a hole",
            format!("{both}{}{legacy}{rest}", partner(forced)),
            "legacy.fabrikam.test partner legacy level",
        ),
        ("lowered", format!("{both}{}{rest}", partner(&chain)), "*.fabrikam.test partner partner require"),
        (
            "a domain less",
            format!("{}{}{rest}", from("\"*.bank.test\""), partner(forced)),
            "bank.test bank-in anyone level",
        ),
    ] {
        site.configure(&rest);
        let answer = daemon.ask(&["reload"]).await;
        let found: Vec<String> = answer["loosened"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| {
                let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                let (was, now) = (text(&one["was"]["connector"]), text(&one["now"]["connector"]));
                format!("{} {was} {now} {}", text(&one["domains"][0]), text(&one["weaker"][0]))
            })
            .collect();
        assert_eq!(found, [expected], "{case}: {answer}");
        let what = answer["loosened"][0]["what"].as_str().unwrap().to_owned();
        eventually(&format!("an alarm for {case}"), LONG, async || {
            daemon.log().lines().any(|line| line.contains(" alarm ") && line.contains(&what)).then_some(())
        })
        .await;
        site.configure(&start);
        assert_eq!(daemon.ask(&["reload"]).await["loosened"], serde_json::json!([]), "back from {case}");
    }
    daemon.stop().await;
}
