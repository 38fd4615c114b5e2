//! Extensions on both sides: what is said of a message comes out as it came in, or the sender is told why not.

use mail_parser::MessageParser;

use crate::peer::LONG;
use crate::peer::client::Client;
use crate::peer::daemon::Daemon;
use crate::peer::sink::{Arrived, Manner, Sink};
use crate::peer::site::{ANYONE, IDENTITY, LISTENER, OPPORTUNISTIC, Site, outbound};

/// A next hop in clear that offers these, and nothing else.
async fn sink(offers: &[&str]) -> Sink {
    Sink::start(offering(Manner::clear(), offers)).await
}

fn offering(manner: Manner, offers: &[&str]) -> Manner {
    let lines: String = offers.iter().map(|offer| format!("250-{offer}\r\n")).collect();
    manner.replying("ehlo", &format!("250-sink.test\r\n{lines}250 ENHANCEDSTATUSCODES"))
}

/// Mail for b.test to one hop, reports for a.test to another.
async fn started(site: &Site, partner: &Sink, home: &Sink, more: &str) -> Daemon {
    let config = outbound("out", "b.test", partner.address, &format!("{OPPORTUNISTIC}{more}"))
        + &outbound("home", "a.test", home.address, OPPORTUNISTIC);
    site.start(&config).await
}

/// Says the lines, each of which must be answered 2yz or 354.
async fn say_all(client: &mut Client, lines: &[&str]) {
    for line in lines {
        let reply = client.say(line).await;
        assert!(reply.code < 400, "{line}: {}", reply.text);
    }
}

fn said<'a>(commands: &'a [String], verb: &str) -> &'a str {
    commands.iter().find(|c| c.starts_with(verb)).map_or("", String::as_str)
}

fn text(arrived: &Arrived) -> String {
    String::from_utf8_lossy(&arrived.content).into_owned()
}

const MESSAGE: &[&str] = &["DATA", "Subject: one\r\n\r\nbody\r\n."];

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_of_reports_is_passed_on_unchanged() {
    let site = Site::new();
    let (partner, home) = (sink(&["DSN", "PIPELINING"]).await, sink(&[]).await);
    let daemon = started(&site, &partner, &home, "").await;
    let mut client = Client::hello(daemon.at("in")).await;
    say_all(
        &mut client,
        &[
            "MAIL FROM:<ada@a.test> RET=FULL ENVID=QQ+2B3",
            "RCPT TO:<bob@b.test> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;Bob+2BX@B.test",
            "RCPT TO:<eve@b.test> NOTIFY=NEVER",
        ],
    )
    .await;
    say_all(&mut client, MESSAGE).await;
    partner.messages(1).await;
    let commands = partner.read(|log| log.commands.clone());
    assert_eq!(said(&commands, "MAIL"), "MAIL FROM:<ada@a.test> RET=FULL ENVID=QQ+2B3");
    let asked = "RCPT TO:<bob@b.test> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;Bob+2BX@B.test";
    assert_eq!(said(&commands, "RCPT TO:<bob"), asked);
    assert_eq!(said(&commands, "RCPT TO:<eve"), "RCPT TO:<eve@b.test> NOTIFY=NEVER");
    daemon.queue_empty().await;
    assert!(home.arrived().is_empty(), "the next hop makes the reports");
}

#[tokio::test(flavor = "multi_thread")]
async fn success_at_a_host_without_reports_is_told_as_relayed() {
    let site = Site::new();
    let (partner, home) = (sink(&[]).await, sink(&[]).await);
    let daemon = started(&site, &partner, &home, "").await;
    let mut client = Client::hello(daemon.at("in")).await;
    say_all(
        &mut client,
        &[
            "MAIL FROM:<ada@a.test> ENVID=QQ+2B3",
            "RCPT TO:<bob@b.test> NOTIFY=SUCCESS ORCPT=rfc822;Bob+2BX@B.test",
            "RCPT TO:<eve@b.test>",
        ],
    )
    .await;
    say_all(&mut client, MESSAGE).await;
    let report = text(&home.messages(1).await[0]);
    for field in [
        "Original-Envelope-Id: QQ+3",
        "Original-Recipient: rfc822; Bob+X@B.test",
        "Final-Recipient: rfc822; bob@b.test",
        "Action: relayed",
        "Status: 2.0.0",
        "Auto-Submitted: auto-replied",
    ] {
        assert!(report.contains(field), "{field:?} is missing in {report}");
    }
    assert!(!report.contains("eve@b.test"), "nobody asked about her: {report}");
    assert_eq!(said(&partner.read(|log| log.commands.clone()), "RCPT TO:<bob"), "RCPT TO:<bob@b.test>");
    daemon.queue_empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn never_suppresses_a_report_and_full_returns_the_message() {
    let site = Site::new();
    let partner = Sink::start(offering(Manner::clear(), &[]).replying("rcpt", "550 5.1.1 nobody")).await;
    let home = sink(&[]).await;
    let daemon = started(&site, &partner, &home, "").await;
    let mut client = Client::hello(daemon.at("in")).await;
    say_all(&mut client, &["MAIL FROM:<ada@a.test> RET=FULL", "RCPT TO:<no@b.test> NOTIFY=NEVER"]).await;
    say_all(&mut client, &["RCPT TO:<bob@b.test> NOTIFY=SUCCESS", "RCPT TO:<eve@b.test>"]).await;
    say_all(&mut client, &["DATA", "Subject: one\r\n\r\nbody\r\n..dot\r\n."]).await;
    let report = text(&home.messages(1).await[0]);
    assert!(report.contains("eve@b.test"), "{report}");
    assert!(!report.contains("no@b.test") && !report.contains("bob@b.test"), "{report}");
    assert!(report.contains("Content-Type: message/rfc822\r\n\r\nReceived: "), "{report}");
    assert!(report.contains("\r\nbody\r\n.dot\r\n"), "{report}");
    daemon.queue_empty().await;
    assert_eq!(home.arrived().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_in_utf8_go_where_they_are_understood_and_nowhere_else() {
    let site = Site::new();
    let (partner, home) = (sink(&["SMTPUTF8", "8BITMIME"]).await, sink(&["SMTPUTF8", "8BITMIME"]).await);
    let plain = sink(&["8BITMIME"]).await;
    let also = outbound("plain", "plain.test", plain.address, OPPORTUNISTIC);
    let daemon = started(&site, &partner, &home, &format!("\n{also}")).await;
    let mut client = Client::hello(daemon.at("in")).await;
    let envelope = ["MAIL FROM:<jürgen@a.test> BODY=8BITMIME SMTPUTF8", "RCPT TO:<bärbel@b.test>"];
    say_all(&mut client, &envelope).await;
    say_all(&mut client, &["DATA", "Subject: Grüße\r\n\r\nbody\r\n."]).await;
    let message = text(&partner.messages(1).await[0]);
    assert!(message.contains("with UTF8SMTP id") && message.contains("for <bärbel@b.test>"), "{message}");
    let mail = partner.read(|log| said(&log.commands, "MAIL").to_owned());
    assert!(mail.contains("<jürgen@a.test>") && mail.contains(" SMTPUTF8"), "{mail}");

    // Not understood: told, in a report that is itself for an address in UTF-8.
    let mut client = Client::hello(daemon.at("in")).await;
    say_all(&mut client, &[envelope[0], "RCPT TO:<bärbel@plain.test>"]).await;
    say_all(&mut client, MESSAGE).await;
    let report = text(&home.messages(1).await[0]);
    assert!(report.contains("Status: 5.6.7"), "{report}");
    assert!(report.contains("Final-Recipient: utf-8; b\\x{E4}rbel@plain.test"), "{report}");
    assert!(report.contains("To: <jürgen@a.test>"), "{report}");
    assert!(MessageParser::default().parse(report.as_bytes()).is_some());
    let mail = home.read(|log| said(&log.commands, "MAIL").to_owned());
    assert!(mail.contains("MAIL FROM:<>") && mail.contains(" SMTPUTF8"), "{mail}");
    daemon.queue_empty().await;

    // Declared without need: it goes as any other.
    let mut client = Client::hello(daemon.at("in")).await;
    say_all(&mut client, &["MAIL FROM:<ada@a.test> SMTPUTF8", "RCPT TO:<bob@plain.test>"]).await;
    say_all(&mut client, MESSAGE).await;
    plain.messages(1).await;
    assert_eq!(plain.read(|log| said(&log.commands, "MAIL").to_owned()), "MAIL FROM:<ada@a.test>");
}

#[tokio::test(flavor = "multi_thread")]
async fn binary_content_passes_in_chunks_octet_by_octet() {
    let site = Site::new();
    let (partner, home) = (sink(&["CHUNKING", "BINARYMIME"]).await, sink(&[]).await);
    let plain = sink(&["CHUNKING"]).await;
    let listener = LISTENER.trim_end().to_owned() + "\nwithhold = []\n\n";
    site.configure_all(
        &(listener
            + ANYONE
            + &outbound("out", "b.test", partner.address, OPPORTUNISTIC)
            + &outbound("plain", "plain.test", plain.address, OPPORTUNISTIC)
            + &outbound("home", "a.test", home.address, OPPORTUNISTIC)),
    );
    let daemon = Daemon::start(&site.home).await;
    let mut client = Client::hello(daemon.at("in")).await;
    say_all(&mut client, &["MAIL FROM:<ada@a.test> BODY=BINARYMIME", "RCPT TO:<bob@b.test>"]).await;
    assert_eq!(client.say("DATA").await.code, 503, "lines would spoil it");
    let content = b"Subject: one\r\n\r\n\0\r.\n\n.\r\n\xff no end";
    let (first, second) = content.split_at(20);
    client.write(b"BDAT 20\r\n").await.unwrap();
    client.write(first).await.unwrap();
    assert_eq!(client.reply().await.code, 250);
    client.write(format!("BDAT {} LAST\r\n", second.len()).as_bytes()).await.unwrap();
    client.write(second).await.unwrap();
    assert_eq!(client.reply().await.code, 250);
    let arrived = partner.messages(1).await.remove(0);
    assert!(arrived.content.starts_with(b"Received: ") && arrived.content.ends_with(content));
    assert!(partner.read(|log| said(&log.commands, "MAIL").contains("BODY=BINARYMIME")));

    // A host that takes lines alone: never a changed message, but a report.
    let mut client = Client::hello(daemon.at("in")).await;
    say_all(&mut client, &["MAIL FROM:<ada@a.test> BODY=BINARYMIME", "RCPT TO:<bob@plain.test>"]).await;
    client.write(b"BDAT 5 LAST\r\n\r\n\0\n\xff").await.unwrap();
    assert_eq!(client.reply().await.code, 250);
    let report = text(&home.messages(1).await[0]);
    assert!(report.contains("Status: 5.6.3") && report.contains("BINARYMIME"), "{report}");
    daemon.queue_empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn text_in_chunks_goes_on_as_any_text() {
    let site = Site::new();
    let (partner, home) = (sink(&["CHUNKING"]).await, sink(&[]).await);
    let daemon = started(&site, &partner, &home, "").await;
    let mut client = Client::hello(daemon.at("in")).await;
    say_all(&mut client, &["MAIL FROM:<ada@a.test>", "RCPT TO:<bob@b.test>"]).await;
    client.write(b"BDAT 24 LAST\r\nSubject: x\r\n\r\n.\r\n..\r\nend").await.unwrap();
    assert_eq!(client.reply().await.code, 250);
    let arrived = partner.messages(1).await.remove(0);
    assert!(arrived.content.ends_with(b"Subject: x\r\n\r\n.\r\n..\r\nend\r\n"), "{}", text(&arrived));
    daemon.queue_empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_of_the_next_hop_and_of_the_connector_are_kept() {
    let site = Site::new();
    let partner = sink(&["PIPELINING", "LIMITS RCPTMAX=3 MAILMAX=2", "DSN"]).await;
    let home = sink(&[]).await;
    let more = "max_recipients = 2\nignore_extensions = [\"PIPELINING\", \"DSN\"]\n";
    let daemon = started(&site, &partner, &home, more).await;
    let mut client = Client::hello(daemon.at("in")).await;
    say_all(&mut client, &["MAIL FROM:<ada@a.test> RET=HDRS"]).await;
    for n in 0..5 {
        say_all(&mut client, &[&format!("RCPT TO:<r{n}@b.test>")]).await;
    }
    say_all(&mut client, MESSAGE).await;
    let arrived = partner.messages(3).await;
    let sizes: Vec<usize> = arrived.iter().map(|a| a.recipients.len()).collect();
    assert_eq!(sizes, [2, 2, 1]);
    let (sessions, mail) = partner.read(|log| (log.sessions, said(&log.commands, "MAIL").to_owned()));
    assert_eq!(sessions, 2, "MAILMAX=2");
    assert_eq!(mail, "MAIL FROM:<ada@a.test>", "DSN is passed over");
    daemon.queue_empty().await;
    // Whoever is done says so.
    daemon.stop().await;
    partner
        .until("QUIT of each session", LONG, |log| {
            log.commands.iter().filter(|command| *command == "QUIT").count() >= 2
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_host_is_asked_before_an_address_in_utf8_fails() {
    let site = Site::new();
    let (plain, knowing) = (sink(&[]).await, sink(&["SMTPUTF8", "8BITMIME"]).await);
    let both = outbound("out", "b.test", plain.address, OPPORTUNISTIC);
    let hosts = |sink: &Sink| format!("\"[127.0.0.1]:{}\"", sink.address.port());
    let both = both.replace(&hosts(&plain), &format!("{}, {}", hosts(&plain), hosts(&knowing)));
    let daemon = site.start(&both).await;
    let mut client = Client::hello(daemon.at("in")).await;
    say_all(&mut client, &["MAIL FROM:<ada@a.test> SMTPUTF8", "RCPT TO:<bärbel@b.test>"]).await;
    say_all(&mut client, MESSAGE).await;
    assert_eq!(knowing.messages(1).await[0].recipients, ["bärbel@b.test"]);
    assert!(plain.arrived().is_empty() && plain.read(|log| log.sessions) == 1);
    daemon.queue_empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_at_a_smart_host_is_made_inside_proven_tls_alone() {
    let site = Site::new();
    let server = site.partners.pair(&[crate::peer::site::PARTNER], crate::peer::mint::Kind::Good).server();
    let manner = Manner::sealed(server)
        .replying("tls:ehlo", "250-sink.test\r\n250 AUTH PLAIN LOGIN")
        .replying("tls:auth plain agfkyqbzzxnhbq==", "235 2.7.0 welcome")
        .replying("tls:auth", "535 5.7.8 no");
    let partner = Sink::start(manner).await;
    std::fs::write(site.home.path().join("secret"), "wrong\n").unwrap();
    let login = format!("{IDENTITY}auth_user = \"ada\"\nauth_secret = \"secret\"\nretry = [\"1s\"]\n");
    let daemon = site.start(&outbound("out", "b.test", partner.address, &login)).await;
    let mut client = Client::hello(daemon.at("in")).await;
    say_all(&mut client, &["MAIL FROM:<ada@a.test>", "RCPT TO:<bob@b.test>"]).await;
    say_all(&mut client, MESSAGE).await;
    let deferred = daemon.deferred("bob@b.test").await;
    assert!(deferred.to_string().contains("4.7.8"), "{deferred}");
    // The secret is read again for the next session.
    std::fs::write(site.home.path().join("secret"), "sesam\n").unwrap();
    partner.messages(1).await;
    let commands = partner.read(|log| log.commands.clone());
    let login = commands.iter().position(|c| c == "AUTH PLAIN AGFkYQBzZXNhbQ==").expect("a login");
    assert!(commands[login..].iter().any(|c| c.starts_with("MAIL")), "{commands:?}");
    partner.assert_nothing_in_clear();
}
