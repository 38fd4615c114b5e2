//! Our own reports: they reach a sender who can be reached, whatever the next hop demands, and disclose no content of
//! mail that is to stay encrypted.

use mail_parser::MessageParser;

use crate::peer::LONG;
use crate::peer::client::Client;
use crate::peer::mint::Kind;
use crate::peer::sink::{End, Log, Manner, Sink};
use crate::peer::site::{IDENTITY, OPPORTUNISTIC, PARTNER, Site, outbound};

/// A next hop in plaintext that offers this and nothing else.
fn offering(offers: &str) -> Manner {
    Manner::clear().replying("ehlo", &format!("250-sink.test\r\n{offers}250 ENHANCEDSTATUSCODES"))
}

/// Hands in a message from ada@a.test and waits until it was accepted.
async fn hand(client: &mut Client, mail: &str, to: &str, content: &[u8]) {
    for line in [&format!("MAIL FROM:<ada@a.test>{mail}"), &format!("RCPT TO:<{to}>"), "DATA"] {
        let reply = client.say(line).await;
        assert!(reply.code < 400, "{line}: {}", reply.text);
    }
    client.write(&[content, b".\r\n"].concat()).await.unwrap();
    assert_eq!(client.reply().await.code, 250);
}

/// The report, which must be 7-bit and have lines that pass everywhere.
#[track_caller]
fn checked(content: &[u8]) -> String {
    let text = String::from_utf8(content.to_vec()).unwrap();
    assert!(text.is_ascii() && text.lines().all(|line| line.len() < 998), "{text}");
    assert!(MessageParser::default().parse(content).is_some());
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_reaches_a_host_without_any_extension() {
    let site = Site::new();
    let partner = offering("250-8BITMIME\r\n250-SMTPUTF8\r\n");
    let partner = Sink::start(partner.replying("rcpt", "550 5.1.1 Bo\u{ee}te pleine")).await;
    let home = Sink::start(offering("")).await;
    let config = outbound("out", "b.test", partner.address, OPPORTUNISTIC)
        + &outbound("home", "a.test", home.address, OPPORTUNISTIC);
    let daemon = site.start(&config).await;
    let mut client = Client::hello(daemon.at("in")).await;
    hand(&mut client, "", "one@b.test", b"Subject: plain\r\n\r\nx\r\n").await;
    hand(&mut client, "", "two@b.test", b"Subject: caf\xe9\r\n\r\nx\r\n").await;
    hand(&mut client, " RET=FULL", "three@b.test", b"Subject: x\r\n\r\n\xe9\r\n").await;
    let utf8 = "Subject: caf\u{e9}\r\n\r\nx\r\n".as_bytes();
    hand(&mut client, " BODY=8BITMIME SMTPUTF8", "b\u{e4}r@b.test", utf8).await;
    let reports = home.messages(4).await;
    let reports: Vec<String> = reports.iter().map(|arrived| checked(&arrived.content)).collect();
    let all = reports.concat();
    assert_eq!(all.matches("quoted-printable").count(), 4 + 2, "four explanations, two headers: {all}");
    assert!(all.contains("Subject: caf=E9\r\n") && all.contains("Subject: caf=C3=A9\r\n"), "{all}");
    assert!(all.contains("Final-Recipient: utf-8; b\\x{E4}r@b.test"), "{all}");
    assert!(!all.contains("message/rfc822"), "8-bit content is not returned: {all}");
    daemon.queue_empty().await;
}

/// What a host like this takes of a report that returns a whole message; nothing if it takes none of its forms.
async fn taken_by(home: Manner) -> String {
    let site = Site::new();
    let partner = Sink::start(offering("").replying("rcpt", "550 5.1.1 nobody")).await;
    let home = Sink::start(home).await;
    let config = outbound("out", "b.test", partner.address, OPPORTUNISTIC)
        + &outbound("home", "a.test", home.address, OPPORTUNISTIC);
    let daemon = site.start(&config).await;
    let mut client = Client::hello(daemon.at("in")).await;
    let long = [b"Subject: x\r\n\r\n".to_vec(), b"secret\r\n".repeat(1000)].concat();
    hand(&mut client, " RET=FULL", "one@b.test", &long).await;
    let tried = |log: &Log| log.commands.iter().filter(|line| *line == "DATA").count();
    home.until("the last form", LONG, |log| !log.arrived.is_empty() || tried(log) >= 3).await;
    daemon.queue_empty().await;
    home.arrived().pop().map_or_else(String::new, |arrived| checked(&arrived.content))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_that_is_too_large_or_disliked_goes_again_in_a_smaller_form() {
    let whole = taken_by(offering("250-SIZE 40000\r\n")).await;
    assert!(whole.contains("Content-Type: message/rfc822\r\n") && whole.contains("secret"), "{whole}");
    let smaller = taken_by(offering("250-SIZE 4000\r\n")).await;
    assert!(smaller.contains("It said: 550") && !smaller.contains("secret"), "{smaller}");
    let smallest = taken_by(offering("250-SIZE 1200\r\n")).await;
    assert!(smallest.contains("This report was shortened"), "{smallest}");
    let fields = "Final-Recipient: rfc822; one@b.test\r\nAction: failed\r\nStatus: 5.1.1";
    assert!(smallest.contains(fields), "{smallest}");
    // A host may refuse by what it reads; after the smallest form there is none.
    let disliked = End::Reply("554 5.7.1 no such content here");
    assert_eq!(taken_by(Manner { end: disliked, ..offering("") }).await, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_to_leave_sealed_is_not_returned_as_content() {
    let site = Site::new();
    let server = site.partners.pair(&[PARTNER], Kind::Good).server();
    let partner = Sink::start(Manner::sealed(server).replying("rcpt", "550 5.1.1 nobody")).await;
    let home = Sink::start(offering("")).await;
    let config = outbound("out", "b.test", partner.address, IDENTITY)
        + &outbound("home", "a.test", home.address, OPPORTUNISTIC);
    let daemon = site.start(&config).await;
    let mut client = Client::hello(daemon.at("in")).await;
    for content in [
        &b"Subject: x\r\n\r\nsecret\r\n"[..],
        b"secret without a header\r\n",
        b"Subject: x\r\nthe secret without a blank line\r\nSecret: too\r\n",
        b"Subject: x\r\nSecret: one\r\n",
        b" secret\r\nsecret\r\n\r\nsecret\r\n",
    ] {
        hand(&mut client, " RET=FULL", "one@b.test", content).await;
    }
    for arrived in home.messages(5).await {
        let report = checked(&arrived.content);
        assert!(!report.to_lowercase().contains("secret"), "{report}");
        assert!(report.contains("Remote-MTA: dns; [127.0.0.1]\r\n"), "{report}");
        assert!(report.contains("\r\n\r\nReceived: "), "{report}");
    }
    daemon.queue_empty().await;
}

/// One recipient is reached under forced TLS, or waits to be; mail to another is refused.
#[tokio::test(flavor = "multi_thread")]
async fn what_goes_sealed_to_one_is_not_returned_for_another() {
    let site = Site::new();
    let server = site.partners.pair(&[PARTNER], Kind::Good).server();
    let partner = Sink::start(Manner::sealed(server)).await;
    let other = Sink::start(offering("")).await;
    let home = Sink::start(offering("")).await;
    let config = outbound("out", "b.test", partner.address, IDENTITY)
        + &outbound("other", "c.test", other.address, OPPORTUNISTIC)
        + &outbound("home", "a.test", home.address, OPPORTUNISTIC);
    let daemon = site.start(&config).await;
    let mut client = Client::hello(daemon.at("in")).await;
    let later = "451 4.2.0 later";
    for to_other in [later, "550 5.1.1 nobody"] {
        if to_other != later {
            let server = site.partners.pair(&[PARTNER], Kind::Good).server();
            partner.behave(Manner::sealed(server).replying("rcpt", later));
        }
        other.behave(offering("").replying("rcpt", to_other));
        let both =
            ["MAIL FROM:<ada@a.test> RET=FULL", "RCPT TO:<one@b.test>", "RCPT TO:<two@c.test>", "DATA"];
        for line in both {
            assert!(client.say(line).await.code < 400, "{line}");
        }
        client.write(b"Subject: x\r\n\r\nsecret\r\n.\r\n").await.unwrap();
        assert_eq!(client.reply().await.code, 250);
        if to_other == later {
            partner.messages(1).await;
            daemon.idle().await;
            other.behave(offering("").replying("rcpt", "550 5.1.1 nobody"));
            assert!(daemon.command(&["queue", "retry", "--all"]).await.status.success());
            daemon.queue_empty().await;
        }
    }
    for arrived in home.messages(2).await {
        let report = checked(&arrived.content);
        assert!(report.contains("Final-Recipient: rfc822; two@c.test"), "{report}");
        assert!(!report.contains("secret"), "{report}");
    }
}
