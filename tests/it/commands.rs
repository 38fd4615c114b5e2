//! The verbs say what is true, and work when they matter most: a broken file, a misspelt name, a paused connector, a
//! program that reads the answer.

use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::peer::client::Client;
use crate::peer::daemon::{Daemon, PROGRAM, free_address};
use crate::peer::sink::{Manner, Sink};
use crate::peer::site::{IDENTITY, OPPORTUNISTIC, Site, outbound};
use crate::peer::{LONG, mix, tools};

/// The program with these words and no configuration but the one they name.
async fn sealpost(words: &[&str], socket: Option<&str>) -> Output {
    let mut command = Command::new(PROGRAM);
    command.args(words).stdin(Stdio::null());
    if let Some(socket) = socket {
        command.env("SEALPOST_SOCKET", socket);
    }
    tools::run(command).await
}

#[track_caller]
fn check(output: &Output, code: i32, said: &str) {
    let all = tools::said(output);
    assert_eq!(output.status.code(), Some(code), "{all}");
    assert!(all.contains(said), "{said:?} is not in {all}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_file_takes_no_command_from_the_operator_of_a_running_daemon() {
    let site = Site::usual();
    let daemon = Daemon::start(&site.home).await;
    let good = std::fs::read_to_string(site.home.config()).unwrap();
    let broken = [
        good.replace("[[outbound]]", "[[outbound"),
        format!("{good}\n[server]\nname = \"again.test\"\n"),
        good.replace("postmaster = \"", "postmaster = "),
        good.replacen("name = ", "nmae = ", 1),
    ];
    for text in broken {
        std::fs::write(site.home.config(), &text).unwrap();
        let run = |verb: &[&str], rest: &[&str]| site.home.run(verb, rest);
        check(&run(&["queue", "list"], &[]), 0, "0 messages");
        check(&run(&["queue", "pause"], &["partner"]), 0, "paused: partner");
        check(&run(&["connectors"], &[]), 0, "enforce, paused");
        check(&run(&["queue", "resume"], &["partner"]), 0, "no connector is paused");
        // The daemon has read it, and says what is wrong where.
        check(&run(&["reload"], &[]), 78, "nothing has changed, generation 1 stays in effect");
        check(&run(&["reload"], &[]), 78, "sealpost.toml: line ");
    }
    std::fs::remove_file(site.home.config()).unwrap();
    check(&site.home.run(&["queue", "list"], &[]), 78, "--socket PATH");
    let socket = site.home.path().join("data/control.sock").display().to_string();
    check(&sealpost(&["queue", "list", "--socket", &socket], None).await, 0, "0 messages");
    check(&sealpost(&["connectors"], Some(&socket)).await, 0, "partner");
    daemon.stop().await;
    // Nor from whoever repairs the spool of one that is stopped.
    std::fs::write(site.home.config(), good.replace("[[outbound]]", "[[outbound")).unwrap();
    check(&site.home.run(&["spool", "check"], &[]), 0, "nothing is wrong");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_under_json_is_said_in_json() {
    let site = Site::usual();
    let answer = |output: &Output, code: i32| {
        assert_eq!(output.status.code(), Some(code), "{}", tools::said(output));
        let read: Value =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|f| panic!("{f}: {output:?}"));
        assert!(read["error"].as_str().is_some_and(|error| !error.is_empty()), "{read}");
        read
    };
    let run = |verb: &[&str], rest: &[&str]| site.home.run(verb, &[rest, &["--json"]].concat());
    answer(&run(&["queue", "list"], &[]), 69);
    answer(&run(&["reload"], &[]), 69);
    answer(&run(&["queue", "hold"], &[]), 2);
    answer(&run(&["queue", "list"], &["--limit", "many"]), 2);
    answer(&run(&["validate"], &["partnr"]), 1);
    answer(&run(&["explain"], &["--to", "nobody at all"]), 1);
    answer(&run(&["cert", "show"], &["nothing"]), 1);
    std::fs::write(site.home.config(), "[server]\nname = 7\n").unwrap();
    for verb in
        [&["check"][..], &["validate", "x"], &["doctor"], &["explain", "--to", "a@b.test"], &["connectors"]]
    {
        let read = answer(&run(verb, &[]), 78);
        if verb != ["connectors"] {
            assert_eq!(read["faults"][0]["line"], 2, "{verb:?}: {read}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_nothing_has_fails_and_the_nearest_is_suggested() {
    let site = Site::usual();
    let daemon = Daemon::start(&site.home).await;
    let run = |verb: &[&str], rest: &[&str]| site.home.run(verb, rest);
    let meant = "did you mean \"partner\"?";
    check(&run(&["queue", "pause"], &["partnr"]), 1, meant);
    check(&run(&["queue", "resume"], &["partnr"]), 1, meant);
    check(&run(&["validate"], &["partnr"]), 1, meant);
    check(&run(&["queue", "list"], &["--connector", "partnr"]), 1, meant);
    check(&run(&["queue", "hold"], &["--connector", "partnr"]), 1, meant);
    check(&run(&["queue", "list"], &["--connector", "partner"]), 1, "no queued message matches");
    check(&run(&["queue", "remove"], &["--sender", "<>"]), 1, "no queued message matches");
    check(&run(&["cert", "show"], &["gv"]), 1, "did you mean \"gw\"?");
    // Without a filter, an empty queue is an answer like any other.
    check(&run(&["queue", "list"], &[]), 0, "0 messages");
    daemon.ask(&["queue", "pause", "partner"]).await;
    let message = mix::plain("one", 1, 100, "ada@a.test", "bob@partner.test").remove(0);
    assert_eq!(Client::hello(daemon.at("in")).await.transact(&message).await.unwrap().code, 250);
    check(&run(&["queue", "list"], &["--domain", "partner.test"]), 0, "1 shown");
    check(&run(&["queue", "list"], &["--domain", "partnr.test"]), 1, "did you mean \"partner.test\"?");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_under_pause_says_that_nothing_is_tried() {
    let site = Site::usual();
    let daemon = Daemon::start(&site.home).await;
    daemon.ask(&["queue", "pause", "partner"]).await;
    let message = mix::plain("one", 1, 100, "ada@a.test", "bob@partner.test").remove(0);
    assert_eq!(Client::hello(daemon.at("in")).await.transact(&message).await.unwrap().code, 250);
    let id = daemon.queue().await[0]["id"].as_str().unwrap().to_owned();
    let run = |verb: &[&str], rest: &[&str]| site.home.run(verb, rest);
    let waits = "nothing is tried now; 1 recipient waits until connector partner is resumed (`sealpost queue resume \
                 partner`)";
    check(&run(&["queue", "retry"], &[&id]), 0, waits);
    check(&run(&["queue", "retry"], &["--all"]), 0, waits);
    check(&run(&["queue", "retry"], &["--connector", "partner"]), 0, "until connector partner is resumed");
    run(&["queue", "hold"], &[&id]);
    check(&run(&["queue", "release"], &[&id]), 0, waits);
    let answer = daemon.ask(&["queue", "retry", &id]).await;
    assert_eq!(
        (&answer["paused"][0], &answer["paused_recipients"]),
        (&"partner".into(), &1.into()),
        "{answer}"
    );
    daemon.ask(&["queue", "resume", "partner"]).await;
    check(&run(&["queue", "retry"], &["--connector", "partner"]), 0, "1 message is tried again now");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_in_another_form_come_with_the_command_that_converts_them() {
    use crate::peer::mint::Kind;
    use rustls::pki_types::pem::PemObject as _;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    let site = Site::usual();
    let pair = site.ours.pair(&["gw.sealpost.test"], Kind::Good);
    let chain = CertificateDer::from_pem_slice(pair.chain.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
    let file = |name: &str| site.home.path().join(name);
    std::fs::write(file("gw.crt"), &chain).unwrap();
    let line = format!("openssl x509 -inform DER -in {0}.crt -out {0}.pem", file("gw").display());
    check(&site.home.run(&["check"], &[]), 78, &line);
    check(&site.home.run(&["cert", "show"], &[file("gw.crt").to_str().unwrap()]), 1, &line);
    std::fs::write(file("gw.crt"), &pair.chain).unwrap();
    std::fs::write(file("gw.key"), key.secret_der()).unwrap();
    let line = format!("openssl pkey -inform DER -in {0}.key -out {0}.pem", file("gw").display());
    check(&site.home.run(&["check"], &[]), 78, &line);
    if let Some(openssl) = tools::program("openssl") {
        // The command does what it says.
        let mut command = Command::new(openssl);
        command.args(["pkey", "-inform", "DER", "-in"]).arg(file("gw.key")).arg("-out").arg(file("gw.pem"));
        assert!(tools::run(command).await.status.success());
        std::fs::rename(file("gw.pem"), file("gw.key")).unwrap();
        check(&site.home.run(&["check"], &[]), 0, "in order");
    }
    std::fs::write(file("gw.key"), &pair.chain).unwrap();
    std::fs::write(file("gw.crt"), &pair.key).unwrap();
    check(&site.home.run(&["check"], &[]), 78, "chain and key are swapped");
}

#[tokio::test(flavor = "multi_thread")]
async fn cert_show_asks_for_no_starttls_that_is_not_offered() {
    let sink = Sink::start(Manner::clear()).await;
    let shown = sealpost(&["cert", "show", &sink.address.to_string()], None).await;
    check(&shown, 1, "it does not offer STARTTLS");
    sink.until("its QUIT", LONG, |log| log.commands.iter().any(|c| c == "QUIT")).await;
    assert!(sink.read(|log| !log.commands.iter().any(|c| c.eq_ignore_ascii_case("starttls"))));
    check(&sealpost(&["cert", "show", "2001:db8::7:25"], None).await, 1, "can be read in two ways");
    check(&sealpost(&["probe", "2001:db8::7:25"], None).await, 2, "can be read in two ways");
}

#[test]
fn check_shows_what_is_in_effect_with_what_is_inherited() {
    let site = Site::new();
    let own = format!("{OPPORTUNISTIC}max_recipients = 900\nmessages_per_connection = 5\n");
    site.configure(
        &("[limits]\nmessage_size = \"30MiB\"\nrecipients = 120\nrecipients_per_transaction = 60\n\n"
            .to_owned()
            + &outbound("own", "own.test", free_address(), &own)
            + &outbound("rest", "*", free_address(), OPPORTUNISTIC)),
    );
    let output = site.home.run(&["check"], &["--json"]);
    let shown: Value = serde_json::from_slice(&output.stdout).unwrap();
    let shown = &shown["in_force"];
    let of = |section: &str, name: &str, key: &str| {
        let all = shown[section].as_array().unwrap();
        all.iter().find(|one| one["name"] == name).unwrap()[key].clone()
    };
    assert_eq!(of("inbound", "anyone", "message_size"), 30 << 20);
    assert_eq!(of("inbound", "anyone", "recipients"), 120);
    // The limit for all is lower than its own.
    assert_eq!(of("outbound", "own", "max_recipients"), 60);
    assert_eq!(of("outbound", "own", "messages_per_connection"), 5);
    assert_eq!(of("outbound", "rest", "max_recipients"), 60);
    assert_eq!(of("outbound", "rest", "ehlo_name"), "gw.sealpost.test");
}

#[test]
fn explain_takes_what_rcpt_takes() {
    let site = Site::usual();
    let explain = |words: &[&str]| site.home.run(&["explain"], words);
    check(&explain(&["--to", "<@relay.test:bob@partner.test>"]), 0, "connector partner by partner.test");
    check(&explain(&["--to", "bob@[192.0.2.1]"]), 0, "connector rest by *");
    check(&explain(&["--to", "\"bob > ann\"@partner.test"]), 0, "connector partner");
    let both = ["--from", "jürgen@a.test", "--peer-ip", "127.0.0.1", "--to", "Postmaster"];
    check(&explain(&both), 0, "to <postmaster@sealpost.test>");
    check(&explain(&["--to", "bob@"]), 1, "RCPT TO would be answered 501 5.1.3");
}

#[tokio::test(flavor = "multi_thread")]
async fn validate_asks_for_no_recipient_that_another_connector_serves() {
    let site = Site::new();
    let clear = Sink::start(Manner::clear()).await;
    let off = format!("{OPPORTUNISTIC}mode = \"off\"\n");
    site.configure(
        &(outbound("strict", "partner.test", clear.address, IDENTITY)
            + &outbound("off", "partner.test", clear.address, &off)
            + &outbound("unused", "unused.test", clear.address, &off)
            + &outbound("loose", "*", clear.address, OPPORTUNISTIC)
                .replace("[\"*\"]", "[\"*\", \"*.partner.test\"]")),
    );
    let validate = |words: &[&str]| site.home.run(&["validate"], words);
    let envelopes =
        || clear.read(|log| log.commands.iter().filter(|c| c.to_uppercase().starts_with("MAIL")).count());
    for name in ["loose", "off"] {
        let refused = validate(&[name, "--to", "bob@partner.test"]);
        check(&refused, 1, "mail to partner.test goes by connector strict (by partner.test)");
    }
    // The one that serves it is forced, and this host has no TLS.
    check(&validate(&["strict", "--to", "bob@partner.test"]), 1, "STARTTLS is not offered");
    // Without a recipient nothing is asked for.
    check(&validate(&["off"]), 0, "all 1 addresses meet");
    assert_eq!(envelopes(), 0);
    check(&validate(&["loose", "--to", "bob@sub.partner.test"]), 0, "all 1 addresses meet");
    check(&validate(&["loose", "--to", "<@relay.test:bob@elsewhere.test>"]), 0, "all 1 addresses meet");
    assert_eq!(envelopes(), 2);
    // Nobody serves what only a connector that is off would serve.
    let all = std::fs::read_to_string(site.home.config()).unwrap();
    std::fs::write(site.home.config(), all.replace("[\"*\", \"*.partner.test\"]", "[\"*.partner.test\"]"))
        .unwrap();
    check(&validate(&["unused", "--to", "bob@unused.test"]), 0, "all 1 addresses meet");
    assert_eq!(envelopes(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn validate_knows_our_own_listeners_and_says_if_another_table_is_in_effect() {
    let site = Site::usual();
    let daemon = Daemon::start(&site.home).await;
    let text = std::fs::read_to_string(site.home.config()).unwrap();
    // The file says port 0: only the daemon knows which one it took.
    let other = site.home.path().join("other.toml");
    std::fs::write(&other, text + &outbound("loop", "loop.test", daemon.at("in"), OPPORTUNISTIC)).unwrap();
    let validated = sealpost(&["validate", "loop", "--config", other.to_str().unwrap()], None).await;
    check(&validated, 1, "it is this host");
    check(&validated, 1, "has another table in effect than");
    check(&validated, 1, "the result is not kept: there is no outbound connector \"loop\"");
    daemon.stop().await;
    let address = free_address();
    let text = std::fs::read_to_string(&other).unwrap();
    let text = text.replace("127.0.0.1:0\"", &format!("{address}\""));
    std::fs::write(&other, text + &outbound("self", "self.test", address, OPPORTUNISTIC)).unwrap();
    let validated = sealpost(&["validate", "self", "--config", other.to_str().unwrap()], None).await;
    check(&validated, 78, &format!("[127.0.0.1]:{} is our own listener in", address.port()));
}

#[tokio::test(flavor = "multi_thread")]
async fn results_of_validate_are_kept_by_the_daemon_for_each_address_asked() {
    let site = Site::new();
    let sink = Sink::start(Manner::clear().replying("rcpt to:<no@", "550 5.1.1 no such user")).await;
    let daemon = site.start(&outbound("out", "b.test", sink.address, OPPORTUNISTIC)).await;
    let validate = |words: &[&str]| site.home.run(&["validate", "out"], words);
    check(&validate(&[]), 0, "all 1 addresses meet");
    check(&validate(&["--to", "no@b.test"]), 1, "no such user");
    check(&validate(&["--to", "yes@b.test"]), 0, "all 1 addresses meet");
    let shown = daemon.ask(&["connectors"]).await;
    let all = shown["connectors"].as_array().unwrap();
    let out = all.iter().find(|one| one["name"] == "out").unwrap();
    assert_eq!((&out["validated"]["ok"], &out["validated"]["to"]), (&true.into(), &Value::Null), "{out}");
    let kept: Vec<_> =
        out["validated_to"].as_array().unwrap().iter().map(|one| (&one["to"], &one["ok"])).collect();
    assert_eq!(kept, [(&"yes@b.test".into(), &true.into()), (&"no@b.test".into(), &false.into())]);
    check(&site.home.run(&["connectors"], &[]), 0, "out validated for no@b.test");
    daemon.stop().await;
    // Nobody but the daemon's user leaves a file there.
    let data = site.home.path().join("data");
    std::fs::remove_dir_all(data.join("validated")).unwrap();
    if tools::am_root() {
        std::os::unix::fs::chown(&data, Some(65_534), Some(65_534)).unwrap();
        check(&validate(&[]), 0, "the result is not kept");
        assert!(!data.join("validated").exists());
        std::os::unix::fs::chown(&data, Some(0), Some(0)).unwrap();
    }
    check(&validate(&[]), 0, "all 1 addresses meet");
    assert!(data.join("validated/out.json").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verb_that_waits_says_for_what() {
    let site = Site::new();
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = silent.local_addr().unwrap();
    site.configure(&outbound("silent", "silent.test", address, OPPORTUNISTIC));
    let waits = format!("sealpost: waiting for [127.0.0.1]:{} (2 s)", address.port());
    let (config, target) = (site.home.config().display().to_string(), address.to_string());
    let validate = ["validate", "silent", "--timeout", "3", "--json", "--config", &config];
    let output = sealpost(&validate, None).await;
    check(&output, 1, &waits);
    assert!(serde_json::from_slice::<Value>(&output.stdout).is_ok(), "{}", tools::said(&output));
    check(&sealpost(&["probe", &target, "--timeout", "3"], None).await, 1, &waits);
    check(
        &sealpost(&["cert", "show", &target, "--timeout", "3"], None).await,
        1,
        "waiting for the certificate of",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_fit_the_terminal_and_are_lines_for_programs() {
    let site = Site::usual();
    let daemon = Daemon::start(&site.home).await;
    let plain = site.home.run(&["connectors"], &[]);
    let wide = String::from_utf8(plain.stdout).unwrap();
    let longest = wide.lines().map(|line| line.chars().count()).max().unwrap();
    assert!(longest > 60 && wide.contains(" partner "), "{wide}");
    let verb = format!("{PROGRAM} connectors --config {}", site.home.config().display());
    let command = format!("stty cols 60 rows 40; {verb}");
    let shown =
        Command::new("script").args(["-qec", &command, "/dev/null"]).stdin(Stdio::null()).output().unwrap();
    let narrow = String::from_utf8(shown.stdout).unwrap();
    let table = narrow.lines().take_while(|line| !line.trim().is_empty()).collect::<Vec<_>>();
    assert!(table.len() > 3 && table.iter().all(|line| line.trim_end().chars().count() <= 60), "{narrow}");
    daemon.stop().await;
}
