//! The protocol log: dialogues in files, without secrets and content, bounded on disk.

use std::path::Path;

use crate::logins::{USERS, line_of_user};
use crate::peer::client::Client;
use crate::peer::daemon::{Daemon, NAME};
use crate::peer::mint::{Authority, Kind};
use crate::peer::sink::{End, Manner, Sink};
use crate::peer::site::{ANYONE, IDENTITY, LISTENER, OPPORTUNISTIC, PARTNER, QUICK, Site, outbound};
use crate::peer::{LONG, eventually};

/// One row: connector, session, event, data.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Row {
    connector: String,
    session: String,
    event: String,
    data: String,
}

/// The rows of all files of a direction, in order. Each must have all eight fields.
fn rows(site: &Site, direction: &str) -> Vec<Row> {
    let folder = site.home.path().join("data/protocol");
    let mut files: Vec<_> =
        std::fs::read_dir(folder).into_iter().flatten().map(|file| file.unwrap().path()).collect();
    files.sort_by_key(|path| {
        path.to_str().unwrap().rsplit('-').next().unwrap().trim_end_matches(".csv").parse::<u32>().unwrap()
    });
    let of_direction =
        |path: &&std::path::PathBuf| path.file_name().unwrap().to_str().unwrap().starts_with(direction);
    let mut rows = Vec::new();
    for path in files.iter().filter(of_direction) {
        let text = std::fs::read_to_string(path).unwrap();
        let mut lines = text.lines();
        assert_eq!(lines.next().map(|line| fields(line).len()), Some(8));
        for line in lines {
            let fields = fields(line);
            assert_eq!(fields.len(), 8, "{line}");
            rows.push(Row {
                connector: fields[1].clone(),
                session: fields[2].clone(),
                event: fields[6].clone(),
                data: fields[7].clone(),
            });
        }
    }
    rows
}

/// The fields of a line by RFC 4180.
fn fields(line: &str) -> Vec<String> {
    let (mut fields, mut field, mut quoted) = (Vec::new(), String::new(), false);
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => field.push(chars.next().unwrap()),
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(std::mem::take(&mut field)),
            other => field.push(other),
        }
    }
    assert!(!quoted, "{line}");
    fields.push(field);
    fields
}

/// Waits for a row of this kind.
async fn row(site: &Site, direction: &str, event: &str, data: &str) -> Row {
    let what = format!("{event} {data} in {direction}");
    eventually(&what, LONG, async || {
        rows(site, direction).into_iter().find(|row| row.event == event && row.data.contains(data))
    })
    .await
}

fn assert_nowhere(folder: &Path, secrets: &[&str]) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            assert_nowhere(&path, secrets);
        } else if path.file_name().is_some_and(|name| name != "control.sock") {
            let octets = std::fs::read(&path).unwrap();
            for secret in secrets {
                let found = octets.windows(secret.len()).any(|piece| piece == secret.as_bytes());
                assert!(!found, "{} has {secret}", path.display());
            }
        }
    }
}

fn logged(section: &str, how: &str) -> String {
    format!("{}\nprotocol_log = \"{how}\"\n\n", section.trim_end())
}

/// "\0ada\0open sesame", "ada", "open sesame", "\0ada\0wrong", "\0ada\0theirs", "theirs".
const SECRETS: &[&str] = &[
    "AGFkYQBvcGVuIHNlc2FtZQ==",
    "b3BlbiBzZXNhbWU=",
    "open sesame",
    "AGFkYQB3cm9uZw==",
    "AGFkYQB0aGVpcnM=",
    "dGhlaXJz",
    "theirs",
];

#[tokio::test(flavor = "multi_thread")]
async fn logins_of_both_directions_leave_no_secret_behind() {
    let site = Site::new();
    let server = site.partners.pair(&[PARTNER], Kind::Good).server();
    let manner = Manner::sealed(server)
        .replying("tls:ehlo", "250-sink.test\r\n250 AUTH PLAIN LOGIN")
        .replying("tls:auth login", "334 VXNlcm5hbWU6")
        .replying("tls:ywrh", "334 UGFzc3dvcmQ6")
        .replying("tls:dghlaxjz", "235 2.7.0 welcome")
        .replying("tls:auth plain agfkyqb0agvpcnm=", "235 2.7.0 AGFkYQB0aGVpcnM=, welcome");
    let partner = Sink::start(manner).await;
    std::fs::write(site.home.path().join("users"), line_of_user()).unwrap();
    std::fs::write(site.home.path().join("secret"), "theirs\n").unwrap();
    let login = format!("{IDENTITY}auth_user = \"ada\"\nauth_secret = \"secret\"\n");
    let plain = outbound("plain", "b.test", partner.address, &logged(&login, "full"));
    let word = logged(&format!("{login}auth_mechanism = \"login\"\n"), "full");
    let word = outbound("word", "c.test", partner.address, &word);
    site.configure_all(&format!("{LISTENER}{}{plain}{word}", logged(USERS, "full")));
    let daemon = Daemon::start(&site.home).await;
    let (at, config) = (daemon.at("in"), site.ours.client(None));
    // Not inside TLS: refused, and the client says its secret all the same.
    let mut clear = Client::hello(at).await;
    assert_eq!(clear.say("AUTH LOGIN").await.code, 538);
    assert_eq!(clear.say("b3BlbiBzZXNhbWU=").await.code, 500);
    assert_eq!(clear.say("AUTH AGFkYQBvcGVuIHNlc2FtZQ==").await.code, 538);
    assert_eq!(clear.say("AUTHPLAIN AGFkYQBvcGVuIHNlc2FtZQ==").await.code, 500);
    assert_eq!(clear.say("AUTH PLAIN AGFkYQBvcGVuIHNlc2FtZQ== x").await.code, 501);
    assert_eq!(clear.say("QUIT").await.code, 221);
    let mut client = Client::sealed(at, &config, NAME).await;
    assert_eq!(client.say("AUTH PLAIN AGFkYQB3cm9uZw==").await.code, 535);
    assert_eq!(client.say("AUTH LOGIN").await.code, 334);
    assert_eq!(client.say("YWRh").await.code, 334);
    assert_eq!(client.say("b3BlbiBzZXNhbWU=").await.code, 235);
    for to in ["bob@b.test", "carl@c.test"] {
        assert_eq!(client.say("MAIL FROM:<ada@a.test>").await.code, 250);
        assert_eq!(client.say(&format!("RCPT TO:<{to}>")).await.code, 250);
        assert_eq!(client.say("DATA").await.code, 354);
        assert_eq!(client.say("Subject: in\r\n\r\nnot in the log\r\n.").await.code, 250);
    }
    assert_eq!(client.say("QUIT").await.code, 221);
    partner.messages(2).await;
    daemon.queue_empty().await;
    row(&site, "receive", "<", "AUTH LOGIN").await;
    daemon.stop().await;
    let (received, sent) = (rows(&site, "receive"), rows(&site, "send"));
    let said = |rows: &[Row], connector: &str| -> Vec<String> {
        let rows = rows.iter().filter(|row| row.connector == connector);
        rows.map(|row| format!("{} {}", row.event, row.data)).collect()
    };
    let by_login = said(&sent, "word");
    let at = by_login.iter().position(|row| row == "> AUTH LOGIN").expect("a login");
    assert_eq!(
        by_login[at..at + 6],
        ["> AUTH LOGIN", "< 334 ***", "> ***", "< 334 ***", "> ***", "< 235 2.7.0 ***"]
    );
    assert!(by_login.iter().any(|row| row.starts_with("* content sent: ")), "{by_login:?}");
    assert!(by_login.iter().any(|row| row.starts_with("* TLS version=TLSv1.3")), "{by_login:?}");
    assert!(said(&sent, "plain").contains(&"> AUTH PLAIN ***".to_owned()), "{sent:?}");
    // What failed before MAIL was written then, without a connector.
    let session =
        received.iter().find(|row| row.connector == "users").expect("a transaction").session.clone();
    let of_session = received.iter().filter(|row| row.session == session);
    let inbound: Vec<String> = of_session.map(|row| format!("{} {}", row.event, row.data)).collect();
    let at = inbound.iter().position(|row| row == "< AUTH PLAIN ***").expect("a login");
    assert_eq!(inbound[at + 1], "> 535 5.7.8 name or password is wrong");
    assert_eq!(inbound[at + 2..at + 6], ["< AUTH LOGIN", "> 334 ***", "< ***", "> 334 ***"]);
    assert!(inbound.iter().any(|row| row.starts_with("* content received: ")), "{inbound:?}");
    // In the session without a transaction no connector is known, and it is logged as the only one asks.
    assert!(received.iter().any(|row| row.connector.is_empty() && row.data.starts_with('(')), "{received:?}");
    let protocol = site.home.path().join("data/protocol");
    assert_nowhere(&protocol, &["not in the log"]);
    assert_nowhere(&protocol, SECRETS);
    assert_nowhere(&site.home.path().join("data"), &SECRETS[..4]);
}

/// What a host repeats of our login is nowhere: not in a reply to it, nor in a later one.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_host_repeats_of_our_login_is_left_out() {
    let site = Site::new();
    let server = || site.partners.pair(&[PARTNER], Kind::Good).server();
    let ehlo = "250-sink.test\r\n250 AUTH PLAIN LOGIN";
    let echo = "AUTH PLAIN AGFkYQB0aGVpcnM=, name ada, password theirs";
    let refusing = Manner::sealed(server()).replying("tls:ehlo", ehlo);
    let refusing = refusing.replying("tls:auth plain", &format!("535-5.7.8 wrong\r\n535 5.7.8 {echo}"));
    let talkative = Manner::sealed(server())
        .replying("tls:ehlo", ehlo)
        .replying("tls:auth plain", "235 2.7.0 welcome")
        .replying("tls:rcpt to:<dora@", &format!("550 5.1.1 nobody, {echo}"))
        .ending(End::Reply("250 2.0.0 taken, after AUTH PLAIN agfkyqb0agvpcnm="));
    let (refusing, talkative) = (Sink::start(refusing).await, Sink::start(talkative).await);
    std::fs::write(site.home.path().join("secret"), "theirs\n").unwrap();
    let login = format!("{IDENTITY}auth_user = \"ada\"\nauth_secret = \"secret\"\n");
    let logging = logged(&login, "full");
    let both = outbound("refusing", "b.test", refusing.address, &logging)
        + &outbound("talkative", "c.test", talkative.address, &logging);
    let daemon = site.start(&both).await;
    let mut client = Client::hello(daemon.at("in")).await;
    for to in ["bob@b.test", "carl@c.test", "dora@c.test"] {
        assert_eq!(client.say("MAIL FROM:<ada@a.test>").await.code, 250);
        assert_eq!(client.say(&format!("RCPT TO:<{to}>")).await.code, 250);
        assert_eq!(client.say("DATA").await.code, 354);
        assert_eq!(client.say("Subject: in\r\n\r\nx\r\n.").await.code, 250);
    }
    let refused = daemon.deferred("bob@b.test").await;
    assert!(refused.to_string().contains("AUTH PLAIN ***"), "{refused}");
    row(&site, "send", "<", "nobody, AUTH PLAIN ***").await;
    row(&site, "send", "<", "taken, after AUTH PLAIN ***").await;
    eventually("both ends", LONG, async || {
        let log = daemon.log();
        (log.contains("delivered id=") && log.contains(" failed id=")).then_some(())
    })
    .await;
    daemon.logged("nobody, AUTH PLAIN ***").await;
    let log = daemon.log();
    let words = ["AGFkYQB0aGVpcnM", "agfkyqb0agvpcnm", "dGhlaXJz", "theirs"];
    assert!(words.iter().all(|word| !log.contains(word)), "{log}");
    daemon.stop().await;
    assert_nowhere(&site.home.path().join("data"), &words);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_written_where_nobody_asks() {
    let site = Site::new();
    let sink = Sink::start(Manner::clear()).await;
    let daemon = site.start(&outbound("out", "b.test", sink.address, OPPORTUNISTIC)).await;
    let mut client = Client::hello(daemon.at("in")).await;
    assert_eq!(client.say("XYZZY").await.code, 500);
    assert_eq!(client.say("MAIL FROM:<ada@a.test>").await.code, 250);
    assert_eq!(client.say("RCPT TO:<x@nowhere.test>").await.code, 550);
    assert_eq!(client.say("RCPT TO:<bob@b.test>").await.code, 250);
    assert_eq!(client.say("DATA").await.code, 354);
    assert_eq!(client.say("Subject: x\r\n\r\nx\r\n.").await.code, 250);
    assert_eq!(client.say("QUIT").await.code, 221);
    sink.messages(1).await;
    daemon.stop().await;
    assert!(!site.home.path().join("data/protocol").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_bring_their_session_and_others_nothing() {
    let site = Site::new();
    let sink = Sink::start(Manner::clear()).await;
    let quiet = "[[inbound]]\nname = \"quiet\"\nfrom_domains = [\"quiet.test\"]\nfrom_networks = [\"127.0.0.0/8\"]\n\
         tls = \"opportunistic\"\nto_domains = [\"b.test\"]\n\n";
    let out = outbound("out", "b.test", sink.address, OPPORTUNISTIC);
    let forced = outbound("forced", "c.test", sink.address, &logged(IDENTITY, "errors"));
    site.configure_all(&format!("{QUICK}{LISTENER}{}{quiet}{out}{forced}", logged(ANYONE, "errors")));
    let daemon = Daemon::start(&site.home).await;
    let at = daemon.at("in");
    let mut good = Client::hello(at).await;
    assert_eq!(good.say("MAIL FROM:<good@a.test>").await.code, 250);
    assert_eq!(good.say("RCPT TO:<bob@b.test>").await.code, 250);
    assert_eq!(good.say("QUIT").await.code, 221);
    // A connector that asks for nothing, on the same listener.
    let mut other = Client::hello(at).await;
    assert_eq!(other.say("MAIL FROM:<hush@quiet.test>").await.code, 250);
    assert_eq!(other.say("RCPT TO:<x@d.test>").await.code, 550);
    assert_eq!(other.say("QUIT").await.code, 221);
    // A peer that would like to write rows of its own.
    let mut peer = Client::hello(at).await;
    assert_eq!(peer.say("MAIL FROM:<ada@a.test>").await.code, 250);
    assert_eq!(peer.say("2026-01-01T00:00:00Z,bank,\"1\",1,,,<,\"x\"").await.code, 500);
    assert_eq!(peer.say("a\rb\u{2028}c").await.code, 500);
    assert_eq!(peer.say("RCPT TO:<\"a,b\"@nowhere.test>").await.code, 550);
    assert_eq!(peer.say("RCPT TO:<carl@c.test>").await.code, 250);
    assert_eq!(peer.say("DATA").await.code, 354);
    assert_eq!(peer.say("Subject: x\r\n\r\nx\r\n.").await.code, 250);
    assert_eq!(peer.say("QUIT").await.code, 221);
    row(&site, "receive", "<", "QUIT").await;
    // A client that does not trust our certificate.
    let stranger = Authority::new("stranger").client(None);
    assert!(Client::try_sealed(at, &stranger, NAME).await.is_err());
    let failed = row(&site, "receive", "*", "TLS handshake: ").await;
    assert_eq!(failed.connector, "");
    row(&site, "send", "*", "not used: ").await;
    let withheld = row(&site, "send", "*", "not used: ").await;
    assert_eq!(withheld.connector, "forced");
    daemon.stop().await;
    let received = rows(&site, "receive");
    assert!(
        !received.iter().any(|row| row.data.contains("good@") || row.data.contains("hush@")),
        "{received:?}"
    );
    let of_peer: Vec<_> = received.iter().filter(|row| row.connector == "anyone").collect();
    assert!(of_peer.iter().all(|row| row.session == of_peer[0].session), "{of_peer:?}");
    let data: Vec<&str> = of_peer.iter().map(|row| row.data.as_str()).collect();
    for expected in [
        "EHLO client.test",
        "MAIL FROM:<ada@a.test>",
        "2026-01-01T00:00:00Z,bank,\"1\",1,,,<,\"x\"",
        "a\\rb\\u{2028}c",
        "RCPT TO:<\"a,b\"@nowhere.test>",
        "content received: 20 octets",
        "QUIT",
    ] {
        assert!(data.contains(&expected), "{expected}: {data:?}");
    }
    let sent = rows(&site, "send");
    assert!(sent.iter().all(|row| row.connector == "forced"), "{sent:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn its_files_stay_within_their_bound() {
    let site = Site::new();
    let sink = Sink::start(Manner::clear()).await;
    let out = outbound("out", "*", sink.address, OPPORTUNISTIC);
    site.configure_all(&format!(
        "[log]\nprotocol_size = \"1MiB\"\n\n{LISTENER}{}{out}",
        logged(ANYONE, "full")
    ));
    let daemon = Daemon::start(&site.home).await;
    let domain = vec!["d".repeat(50); 3].join(".");
    for round in 0..5 {
        let mut client = Client::hello(daemon.at("in")).await;
        assert_eq!(client.say(&format!("MAIL FROM:<round{round}@a.test>")).await.code, 250);
        for group in 0..20 {
            let lines: String =
                (0..50).map(|n| format!("RCPT TO:<user{group}.{n}@{domain}.test>\r\n")).collect();
            client.write(lines.as_bytes()).await.unwrap();
            for _ in 0..50 {
                assert_eq!(client.reply().await.code, 250);
            }
        }
        assert_eq!(client.say("QUIT").await.code, 221);
    }
    daemon.stop().await;
    let folder = site.home.path().join("data/protocol");
    let sizes = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().metadata().unwrap().len());
    let total: u64 = sizes.sum();
    assert!((700_000..=1 << 20).contains(&total), "{total}");
    let received = rows(&site, "receive");
    let has = |what: &str| received.iter().any(|row| row.data.contains(what));
    assert!(has("round4@") && !has("round0@"));
    assert_eq!(received.last().map(|row| row.event.as_str()), Some("-"));
}
