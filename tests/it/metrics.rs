//! The admin listener of the shipped program: what it counts, whom it serves, and what it refuses.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::monitoring::lint;
use crate::peer::client::Client;
use crate::peer::daemon::Daemon;
use crate::peer::mint::Kind;
use crate::peer::sink::{Manner, Sink, SinkTls};
use crate::peer::site::{ADMIN, IDENTITY, OPPORTUNISTIC, QUICK, Site, outbound};
use crate::peer::tools::said;
use crate::peer::{LONG, eventually, mix, within};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// Sends a request as it is. What comes back, status line and all.
async fn exchange(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    within("the answer", LONG, stream.read_to_end(&mut answer)).await.unwrap();
    String::from_utf8(answer).unwrap()
}

async fn get(daemon: &Daemon, path: &str, headers: &str) -> String {
    exchange(daemon.at("admin"), &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n")).await
}

fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}\r\n")
}

/// The samples of a page, by name and labels.
type Samples = BTreeMap<String, f64>;

async fn scrape(daemon: &Daemon) -> Samples {
    let answer = get(daemon, "/metrics", &bearer(TOKEN)).await;
    let (head, page) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert!(head.contains("content-type: text/plain; version=0.0.4; charset=utf-8"), "{head}");
    let lines = page.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (sample, value) = line.rsplit_once(' ').unwrap();
            (sample.to_owned(), value.parse().unwrap())
        })
        .collect()
}

/// Scrapes until a sample has this value; all of them.
async fn until(daemon: &Daemon, sample: &str, value: f64) -> Samples {
    eventually(&format!("{sample} {value}"), LONG, async || {
        let found = scrape(daemon).await;
        (found.get(sample) == Some(&value)).then_some(found)
    })
    .await
}

#[track_caller]
fn check(samples: &Samples, expected: &[(&str, f64)]) {
    for (sample, value) in expected {
        assert_eq!(samples.get(*sample), Some(value), "{sample}\n{samples:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_is_counted_exactly_by_connector_version_and_reason() {
    let site = Site::new();
    site.write_tokens(&format!("# monitoring\n{TOKEN}\n"));
    let good = site.good_sink().await;
    let plain = Sink::start(Manner::new(SinkTls::Absent)).await;
    let wrong = site.partners.pair(&["elsewhere.test"], Kind::Good);
    let bad = Sink::start(Manner::sealed(wrong.server())).await;
    let partner = "[[partner]]\nname = \"bank\"\ndomains = [\"good.test\"]\n\n";
    let forced = outbound("good", "good.test", good.address, IDENTITY)
        .replace("domains = [\"good.test\"]", "partner = \"bank\"");
    let config = format!(
        "{ADMIN}{QUICK}{partner}{forced}{}{}",
        outbound("plain", "plain.test", plain.address, OPPORTUNISTIC),
        outbound("bad", "bad.test", bad.address, IDENTITY),
    );
    let daemon = site.start(&config).await;
    let before = scrape(&daemon).await;
    check(
        &before,
        &[
            ("sealpost_accepted_messages_total{connector=\"anyone\",partner=\"\",version=\"TLSv1.3\"}", 0.0),
            ("sealpost_deliveries_total{connector=\"good\",partner=\"bank\",version=\"TLSv1.3\"}", 0.0),
            (
                "sealpost_plaintext_fallbacks_total{connector=\"plain\",partner=\"\",reason=\"clear-not-offered\"}",
                0.0,
            ),
            ("sealpost_queue_messages", 0.0),
            ("sealpost_queue_oldest_age_seconds", 0.0),
            ("sealpost_config_generation", 1.0),
            ("sealpost_config_last_reload_successful", 1.0),
            ("sealpost_intake{state=\"open\"}", 1.0),
        ],
    );

    let three = mix::plain("sealed", 3, 100, "a@a.test", "b@good.test");
    assert_eq!(site.source(daemon.at("in"), 1).send_all(three).await.len(), 3);
    let mut client = Client::hello(daemon.at("in")).await;
    for to in ["b@plain.test", "b@bad.test"] {
        let message = mix::plain("clear", 1, 100, "a@a.test", to).remove(0);
        assert_eq!(client.transact(&message).await.unwrap().code, 250);
    }
    // Nobody covers the domain.
    assert_eq!(client.say("MAIL FROM:<a@a.test>").await.code, 250);
    assert_eq!(client.say("RCPT TO:<b@nowhere.test>").await.code, 550);
    good.messages(3).await;
    plain.messages(1).await;
    daemon.deferred("b@bad.test").await;
    let failing = "sealpost_failing_lanes{connector=\"bad\",partner=\"\",reason=\"name-mismatch\"}";
    until(&daemon, failing, 1.0).await;
    let done = "sealpost_waiting_recipients{connector=\"good\",partner=\"bank\"}";
    let after = until(&daemon, done, 0.0).await;
    check(
        &after,
        &[
            ("sealpost_accepted_messages_total{connector=\"anyone\",partner=\"\",version=\"TLSv1.3\"}", 3.0),
            ("sealpost_accepted_messages_total{connector=\"anyone\",partner=\"\",version=\"none\"}", 2.0),
            ("sealpost_accepted_recipients_total{connector=\"anyone\",partner=\"\"}", 5.0),
            ("sealpost_accept_seconds_count{connector=\"anyone\"}", 5.0),
            ("sealpost_deliveries_total{connector=\"good\",partner=\"bank\",version=\"TLSv1.3\"}", 3.0),
            ("sealpost_delivery_seconds_count{connector=\"good\"}", 3.0),
            ("sealpost_deliveries_total{connector=\"plain\",partner=\"\",version=\"none\"}", 1.0),
            ("sealpost_deliveries_total{connector=\"bad\",partner=\"\",version=\"TLSv1.3\"}", 0.0),
            (
                "sealpost_plaintext_fallbacks_total{connector=\"plain\",partner=\"\",reason=\"clear-not-offered\"}",
                1.0,
            ),
            (
                "sealpost_inbound_handshakes_total{listener=\"in\",version=\"TLSv1.3\",result=\"completed\"}",
                1.0,
            ),
            ("sealpost_refusals_total{connector=\"anyone\",partner=\"\",reason=\"rcpt-550\"}", 1.0),
            ("sealpost_queue_messages", 1.0),
            ("sealpost_waiting_recipients{connector=\"bad\",partner=\"\"}", 1.0),
            ("sealpost_inbound_sessions{listener=\"in\"}", 1.0),
            ("sealpost_lanes{connector=\"bad\",partner=\"\",state=\"failing\"}", 1.0),
            (
                "sealpost_connector_info{direction=\"outbound\",connector=\"good\",partner=\"bank\",tls=\"forced\",mode=\"enforce\"}",
                1.0,
            ),
        ],
    );
    for name in [
        "sealpost_deferrals_total{connector=\"bad\",partner=\"\",reason=\"name-mismatch\"}",
        "sealpost_outbound_handshakes_total{connector=\"good\",partner=\"bank\",version=\"TLSv1.3\",result=\"completed\"}",
        "sealpost_certificate_expiry_timestamp_seconds{certificate=\"gw\"}",
        "sealpost_crl_expiry_timestamp_seconds{trust=\"partners\"}",
        "sealpost_partner_certificate_expiry_timestamp_seconds{connector=\"good\",partner=\"bank\"}",
        "sealpost_disk_free_bytes",
        "process_open_fds",
    ] {
        assert!(after.get(name).is_some_and(|value| *value > 0.0), "{name}\n{after:#?}");
    }
    let page = get(&daemon, "/metrics", &bearer(TOKEN)).await;
    let (_, text) = page.split_once("\r\n\r\n").unwrap();
    lint(text, "metrics::mail_is_counted_exactly_by_connector_version_and_reason");
    for foreign in ["127.0.0.", "mail.partner.test", "elsewhere.test", "a.test", "@"] {
        assert!(!page.contains(foreign), "{foreign} is in\n{page}");
    }
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_that_removes_a_connector_removes_its_series_and_new_tokens_take_effect() {
    let site = Site::new();
    site.write_tokens(TOKEN);
    let sink = site.good_sink().await;
    let stays = outbound("stays", "*", sink.address, OPPORTUNISTIC);
    let both = format!("{ADMIN}{}{stays}", outbound("leaves", "leaves.test", sink.address, IDENTITY));
    let daemon = site.start(&both).await;
    let sent = mix::plain("reload", 2, 100, "a@a.test", "b@leaves.test");
    assert_eq!(site.source(daemon.at("in"), 1).send_all(sent).await.len(), 2);
    let gone = "sealpost_deliveries_total{connector=\"leaves\",partner=\"\",version=\"TLSv1.3\"}";
    until(&daemon, gone, 2.0).await;

    let other = TOKEN.replace('0', "f");
    site.write_tokens(&format!("{TOKEN}\n{other}\n"));
    site.configure(&format!("{ADMIN}{stays}"));
    assert!(daemon.command(&["reload"]).await.status.success());
    let after = until(&daemon, "sealpost_config_generation", 2.0).await;
    assert!(!after.keys().any(|sample| sample.contains("\"leaves\"")), "{after:#?}");
    assert!(get(&daemon, "/metrics", &bearer(&other)).await.starts_with("HTTP/1.1 200 "));

    std::fs::write(site.home.config(), "[server]\n").unwrap();
    assert!(!daemon.command(&["reload"]).await.status.success());
    let refused = until(&daemon, "sealpost_config_last_reload_successful", 0.0).await;
    check(&refused, &[("sealpost_config_generation", 2.0)]);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_token_only_health_is_told() {
    let site = Site::new();
    site.write_tokens(TOKEN);
    let daemon = site.start(ADMIN).await;
    let health = get(&daemon, "/health", "").await;
    assert!(health.starts_with("HTTP/1.1 200 ") && health.ends_with("\r\n\r\nok\n"), "{health}");
    let short = &TOKEN[..31];
    for headers in [String::new(), bearer(short), bearer(""), format!("Authorization: Basic {TOKEN}\r\n")] {
        let refused = get(&daemon, "/metrics", &headers).await;
        assert!(refused.starts_with("HTTP/1.1 401 "), "{headers:?}: {refused}");
        assert!(refused.contains("www-authenticate: Bearer"), "{refused}");
        assert!(!refused.contains("sealpost_"), "{refused}");
    }
    let elsewhere = get(&daemon, "/elsewhere", &bearer(TOKEN)).await;
    assert!(elsewhere.starts_with("HTTP/1.1 404 "), "{elsewhere}");
    let modern = format!("{}Accept: application/openmetrics-text;version=1.0.0\r\n", bearer(TOKEN));
    let modern = get(&daemon, "/metrics", &modern).await;
    assert!(modern.contains("content-type: application/openmetrics-text; version=1.0.0; charset=utf-8"));
    assert!(modern.ends_with("# EOF\n"));
    check(&scrape(&daemon).await, &[("sealpost_admin_requests_refused_total", 4.0)]);
    daemon.stop().await;
}

/// Clients that are slow in either direction take every place, and are cut off; mail does not notice them.
#[tokio::test(flavor = "multi_thread")]
async fn slow_clients_are_cut_off_and_mail_goes_on() {
    let site = Site::new();
    site.write_tokens(TOKEN);
    let sink = site.good_sink().await;
    let daemon = site.start(&format!("{ADMIN}{}", outbound("out", "*", sink.address, OPPORTUNISTIC))).await;
    let address = daemon.at("admin");
    let mut slow = Vec::new();
    for _ in 0..64 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nX-Slow: ").await.unwrap();
        slow.push(stream);
    }
    let sent = mix::plain("slow", 2, 100, "a@a.test", "b@b.test");
    assert_eq!(site.source(daemon.at("in"), 1).send_all(sent).await.len(), 2);
    sink.messages(2).await;
    for mut stream in slow {
        let mut rest = Vec::new();
        // Cut off with or without a reply.
        let _ = within("the end of a slow client", LONG, stream.read_to_end(&mut rest)).await;
    }
    let long = format!("X-Long: {}\r\n", "x".repeat(20_000));
    let refused = get(&daemon, "/metrics", &long).await;
    assert!(refused.is_empty() || refused.starts_with("HTTP/1.1 431 "), "{refused}");
    check(
        &scrape(&daemon).await,
        &[("sealpost_deliveries_total{connector=\"out\",partner=\"\",version=\"TLSv1.3\"}", 2.0)],
    );
    daemon.stop().await;
}

/// However many say nothing, or drip their requests: whoever asks is answered, and whoever is being answered stays.
#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_keep_nobody_out_of_the_admin_listener() {
    let site = Site::new();
    site.write_tokens(TOKEN);
    let daemon = site.start(ADMIN).await;
    let address = daemon.at("admin");
    let crowd = async |count: usize, begun: &str| {
        let mut all = Vec::new();
        for _ in 0..count {
            let mut stream = TcpStream::connect(address).await.unwrap();
            // One that has given way already can't be written to.
            let _ = stream.write_all(begun.as_bytes()).await;
            all.push(stream);
        }
        all
    };
    let mut wrong = TcpStream::connect(address).await.unwrap();
    wrong.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    until(&daemon, "sealpost_admin_requests_refused_total", 1.0).await;
    let dripping = "POST /login HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 9\r\n\r\nt";
    let mut crowds = Vec::new();
    for (count, begun) in [(64, ""), (200, "GET / HTTP/1.1\r\nX-Slow: "), (64, dripping), (64, "")] {
        crowds.push(crowd(count, begun).await);
        let door = get(&daemon, "/login", "").await;
        assert!(door.starts_with("HTTP/1.1 200 ") && door.contains("Log in"), "{count} {begun}: {door}");
    }
    let mut answer = String::new();
    within("the answer", LONG, wrong.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 401 "), "whoever is being answered gave way: {answer}");
    let mut rest = Vec::new();
    // It may have been reset.
    let _ = within("the end of the first", LONG, crowds[0][0].read_to_end(&mut rest)).await;
    assert_eq!(rest, b"", "who says nothing is told nothing");
    let closed = scrape(&daemon).await.get("sealpost_admin_connections_closed_total").copied();
    assert!(closed.is_some_and(|count| count > 0.0), "{closed:?}");
    daemon.stop().await;
}

#[test]
fn what_the_admin_listener_needs_is_checked() {
    let site = Site::new();
    let checked = |admin: &str, tokens: Option<(&str, u32)>| {
        let file = site.home.path().join("tokens");
        let _ = std::fs::remove_file(&file);
        if let Some((text, mode)) = tokens {
            std::fs::write(&file, text).unwrap();
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        }
        site.configure(admin);
        let output = site.home.run(&["check"], &[]);
        let text =
            String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
        (output.status.success(), text)
    };
    let good = Some((TOKEN, 0o640));
    let (ok, text) = checked(ADMIN, good);
    assert!(ok, "{text}");
    let long = format!("socket = \"{}.sock\"", "a".repeat(100));
    for (admin, tokens, words) in [
        (ADMIN.replace("127.0.0.1:0", "0.0.0.0:9925"), good, "put a proxy with TLS or a tunnel in front"),
        (ADMIN.replace("127.0.0.1:0", "192.0.2.1:9925"), good, "can be reached from other hosts"),
        (ADMIN.replace("token_file", "# token_file"), good, "needs token_file"),
        (ADMIN.replace("listen", "# listen"), good, "would be ignored"),
        (ADMIN.replace("\"127.0.0.1:0\"", "\"127.0.0.1:0\"\nsocket = \"\""), good, "socket is empty"),
        (ADMIN.replace("listen = \"127.0.0.1:0\"", &long), good, "write a shorter one"),
        ("[admin]\nsocket = \"one.sock\"\n".to_owned(), good, "needs token_file"),
        (socket("/"), good, "socket = \"/\" names a folder"),
        (socket("run/"), good, "names a folder; write the path of the socket in it, as \"run/admin.sock\""),
        (socket("run/.."), good, "names a folder"),
        (socket("a\\u0000b"), good, "has a NUL"),
        (socket("data/control.sock"), good, "is the control socket"),
        (socket("./data//control.sock"), good, "is the control socket"),
        (ADMIN.to_owned(), None, "can't be read"),
        (ADMIN.to_owned(), Some((TOKEN, 0o644)), "chmod 640"),
        (ADMIN.to_owned(), Some(("secret", 0o600)), "at least 30 characters"),
        (ADMIN.to_owned(), Some(("# none\n", 0o600)), "has no token"),
    ] {
        let (ok, text) = checked(&admin, tokens);
        assert!(!ok && text.contains(words), "{words}: {text}");
        assert!(!text.contains("secret\"") && !text.contains(TOKEN), "a token is shown: {text}");
    }
}

/// An admin listener on a socket.
fn socket(path: &str) -> String {
    format!("[admin]\nsocket = \"{path}\"\ntoken_file = \"tokens\"\n\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_that_can_not_be_made_as_things_are_is_a_warning() {
    let site = Site::new();
    site.write_tokens(&format!("{TOKEN}\n"));
    let home = site.home.path();
    std::fs::create_dir(home.join("folder")).unwrap();
    std::fs::write(home.join("file"), "mine").unwrap();
    std::os::unix::fs::symlink("nowhere", home.join("link")).unwrap();
    std::os::unix::fs::symlink("data", home.join("alias")).unwrap();
    std::fs::create_dir(home.join("data")).unwrap();
    drop(std::os::unix::net::UnixListener::bind(home.join("left.sock")).unwrap());
    for (path, words) in [
        ("folder", "something that is no socket is there"),
        ("file", "something that is no socket is there"),
        ("link", "something that is no socket is there"),
        ("none/admin.sock", "none is not a folder"),
        ("file/admin.sock", "file is not a folder"),
        ("left.sock", ""),
        ("data/other-control.sock", ""),
        ("folder/new.sock", ""),
        // Made by the service manager at the start.
        ("/run/none-such-as-this/admin.sock", ""),
    ] {
        site.configure(&socket(path));
        let checked = site.home.run(&["check"], &[]);
        let told = said(&checked);
        assert!(checked.status.success(), "{path}: {told}");
        let told: Vec<&str> = told.lines().filter(|line| line.contains("warning: ")).collect();
        let told = told.join("\n");
        assert_eq!(told.contains("socket"), !words.is_empty(), "{path}: {told}");
        assert!(told.contains(words), "{path}: {told}");
        // A draft looks at no file.
        let text = std::fs::read_to_string(site.home.config()).unwrap();
        let config = sealpost::config::load(&site.home.config()).unwrap();
        let draft = config.draft(&text, std::path::Path::new("draft")).unwrap();
        assert!(!draft.warnings.iter().any(|one| one.message.contains("socket")), "{:?}", draft.warnings);
    }
    site.configure(&socket("alias/control.sock"));
    let text = said(&site.home.run(&["check"], &[]));
    assert!(text.contains("is the control socket"), "{text}");
}
