//! Mail with 8-bit octets for a host that does not offer 8BITMIME: it arrives as it was meant, or the sender is told why not.

use mail_parser::{MessageParser, MimeHeaders as _};

use crate::peer::client::{Client, wire};
use crate::peer::daemon::Daemon;
use crate::peer::sink::{Arrived, Manner, Sink};
use crate::peer::site::{OPPORTUNISTIC, Site, outbound};

/// A next hop that offers these, and nothing else.
async fn sink(offers: &[&str]) -> Sink {
    let lines: String = offers.iter().map(|offer| format!("250-{offer}\r\n")).collect();
    let answer = format!("250-sink.test\r\n{lines}250 ENHANCEDSTATUSCODES");
    Sink::start(Manner::clear().replying("ehlo", &answer)).await
}

/// Mail for b.test to one hop over one connection, reports for a.test to another.
async fn started(site: &Site, partner: &Sink, home: &Sink, more: &str) -> Daemon {
    let only = format!("{OPPORTUNISTIC}connections = 1\n{more}");
    let config = outbound("out", "b.test", partner.address, &only)
        + &outbound("home", "a.test", home.address, OPPORTUNISTIC);
    site.start(&config).await
}

/// Hands over content in wire form, declared like this.
async fn hand(client: &mut Client, body: &str, content: &[u8]) {
    for line in [&format!("MAIL FROM:<ada@a.test>{body}"), "RCPT TO:<bob@b.test>", "DATA"] {
        let reply = client.say(line).await;
        assert!(reply.code < 400, "{line}: {}", reply.text);
    }
    client.write(content).await.unwrap();
    assert_eq!(client.say(".").await.code, 250);
}

fn latin(text: &str) -> Vec<u8> {
    text.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect()
}

/// The text of a message that has only 7-bit octets.
fn text(arrived: &Arrived) -> String {
    assert!(arrived.content.is_ascii(), "{}", String::from_utf8_lossy(&arrived.content));
    MessageParser::new().parse(&arrived.content).unwrap().body_text(0).unwrap().replace("\r\n", "|")
}

const LATIN: &str = "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=iso-8859-1\r\n";
const TEXT: &str = "Grüße = 10 %\r\n..x\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn eight_bit_mail_reaches_a_host_without_8bitmime_decodable() {
    let site = Site::new();
    let (partner, home) = (sink(&["PIPELINING", "SIZE 0"]).await, sink(&[]).await);
    let daemon = started(&site, &partner, &home, "").await;
    let mut client = Client::hello(daemon.at("in")).await;
    let long = format!("{LATIN}Content-Transfer-Encoding: 8bit\r\n\r\n{}", TEXT.repeat(5_000));
    let mut sent = 0;
    for body in ["", " BODY=8BITMIME"] {
        // The second has no label at all, and the third is in a file of its own.
        hand(&mut client, body, &latin(&format!("{LATIN}Subject: latin\r\n\r\n{TEXT}"))).await;
        hand(&mut client, body, format!("Subject: unlabelled\r\n\r\n{TEXT}").as_bytes()).await;
        hand(&mut client, body, &latin(&format!("Subject: long\r\n{long}"))).await;
        hand(&mut client, body, b"Subject: ascii\r\n\r\nbody\r\n..x\r\n").await;
        sent += 4;
    }
    let arrived = partner.messages(sent).await;
    for message in &arrived {
        let read = text(message);
        let message = MessageParser::new().parse(&message.content).unwrap();
        let expected = TEXT.replace("\r\n..", "|.").replace("\r\n", "|");
        match message.subject().unwrap() {
            "latin" => assert_eq!(read, expected),
            "long" => assert_eq!(read, expected.repeat(5_000)),
            "unlabelled" => {
                assert_eq!(read, expected);
                assert_eq!(message.content_type().unwrap().attribute("charset"), Some("utf-8"));
            }
            other => {
                assert_eq!((other, read.as_str()), ("ascii", "body|.x|"));
                assert!(message.content_type().is_none(), "what needs nothing is not changed");
            }
        }
    }
    let declared: Vec<String> = partner
        .read(|log| log.commands.iter().filter(|command| command.starts_with("MAIL")).cloned().collect());
    let mut sizes: Vec<String> =
        arrived.iter().map(|a| (wire(&a.content).len() - ".\r\n".len()).to_string()).collect();
    sizes.sort_unstable();
    let mut told: Vec<String> =
        declared.iter().map(|mail| mail.replace("MAIL FROM:<ada@a.test> SIZE=", "")).collect();
    told.sort_unstable();
    assert_eq!(told, sizes, "the size is that of the converted form, and nothing else is declared");
    daemon.queue_empty().await;
    assert!(home.arrived().is_empty());
    daemon.logged_times("converted", 6).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_bit_mail_that_cannot_be_converted_is_reported() {
    let site = Site::new();
    let (partner, home) = (sink(&["PIPELINING"]).await, sink(&[]).await);
    let daemon = started(&site, &partner, &home, "").await;
    let mut client = Client::hello(daemon.at("in")).await;
    let signed = format!("DKIM-Signature: v=1; d=a.test\r\n{LATIN}\r\n{TEXT}");
    let cases = [
        ("", signed.as_str(), "because it is signed"),
        (" BODY=8BITMIME", signed.as_str(), "because it is signed"),
        ("", "Subject: ü\r\n\r\nbody\r\n", "as in header fields"),
    ];
    for (count, (body, content, reason)) in cases.into_iter().enumerate() {
        hand(&mut client, body, &latin(content)).await;
        let report = home.messages(count + 1).await.pop().unwrap();
        let report = String::from_utf8(report.content).unwrap();
        let words = report.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(report.contains("Status: 5.6.3") && words.contains(reason), "{reason}: {report}");
    }
    daemon.queue_empty().await;
    assert!(partner.arrived().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connector_may_report_eight_bit_mail_instead() {
    let site = Site::new();
    let (partner, home) = (sink(&[]).await, sink(&[]).await);
    let daemon = started(&site, &partner, &home, "eight_bit = \"report\"\n").await;
    let mut client = Client::hello(daemon.at("in")).await;
    for (count, body) in ["", " BODY=8BITMIME"].into_iter().enumerate() {
        hand(&mut client, body, TEXT.replace("Grü", "A: b\r\n\r\nGrü").as_bytes()).await;
        let report = home.messages(count + 1).await.pop().unwrap();
        assert!(String::from_utf8(report.content).unwrap().contains("Status: 5.6.3"));
    }
    hand(&mut client, " BODY=8BITMIME", b"A: b\r\n\r\nbody\r\n").await;
    assert!(text(&partner.messages(1).await[0]).contains("body"));
    daemon.queue_empty().await;
}
