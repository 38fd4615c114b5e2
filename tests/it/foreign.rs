//! Exim and OpenSMTPD at both ends, each with the quirks of its own client and server.

use std::time::Duration;

use crate::peer::daemon::{Daemon, NAME, free_address};
use crate::peer::foreign::{Foreign, Kind};
use crate::peer::mint;
use crate::peer::mix::{self, Message};
use crate::peer::postfix::Relay;
use crate::peer::sink::{Manner, Sink};
use crate::peer::site::{ANYONE, IDENTITY, LISTENER, OPPORTUNISTIC, PARTNER, QUICK, Site, outbound};
use crate::peer::source::Source;
use crate::peer::{LONG, left_out};

/// Lines as they are in mail: dots, long ones, nothing at all.
fn messages(count: usize) -> Vec<Message> {
    let mut all = mix::plain("foreign", count, 2_000, "ada@a.test", "bob@b.test");
    for message in &mut all {
        message.content.extend_from_slice(b".\r\n..dots\r\n\r\n");
        message.content.extend_from_slice(&[b'x'; 900]);
        message.content.extend_from_slice(b"\r\nend\r\n");
    }
    all
}

/// Each message came once, and its body as it was sent.
fn assert_all_came(sink: &Sink, sent: &[Message]) {
    let arrived = sink.arrived();
    assert_eq!(arrived.len(), sent.len());
    for message in sent {
        let body = message.content.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
        let copy = arrived.iter().filter(|a| mix::id_of(&a.content).as_deref() == Some(&message.id));
        let copies: Vec<_> = copy.collect();
        assert_eq!(copies.len(), 1, "{}", message.id);
        assert!(copies[0].content.ends_with(&message.content[body..]), "{}", message.id);
    }
}

async fn into(kind: Kind, tls: &str, test: &str) {
    if let Some(why) = kind.missing() {
        return left_out(test, why);
    }
    let site = Site::new();
    let sink = Sink::start(Manner::clear()).await;
    let relay = Relay { to: sink.address, verify: None };
    let peer = Foreign::start(kind, &site.partners.pair(&[PARTNER], mint::Kind::Good), relay).await;
    let daemon = site.start(&(QUICK.to_owned() + &outbound("out", "b.test", peer.address, tls))).await;
    let sent = messages(50);
    site.source(daemon.at("in"), 5).send_all(sent.clone()).await;
    sink.until("all messages", LONG * 2, |log| log.arrived.len() >= sent.len()).await;
    daemon.queue_empty().await;
    assert_all_came(&sink, &sent);
    let text = String::from_utf8_lossy(&sink.arrived()[0].content).into_owned();
    // Ours tells of the session with the source; theirs, if it was sealed, of the session with us.
    let sealed = text.matches("TLS1.3").count() + text.matches("TLSv1.3").count();
    assert_eq!(sealed, if tls == IDENTITY { 2 } else { 1 }, "{text}");
}

async fn from(kind: Kind, test: &str) {
    if let Some(why) = kind.missing() {
        return left_out(test, why);
    }
    let site = Site::new();
    let sink = site.good_sink().await;
    let address = free_address();
    let listener = LISTENER.replace("127.0.0.1:0", &address.to_string());
    site.configure_all(&format!("{listener}{ANYONE}{}", outbound("out", "b.test", sink.address, IDENTITY)));
    let daemon = Daemon::start(&site.home).await;
    let relay = Relay { to: address, verify: Some((&site.ours, NAME)) };
    let peer = Foreign::start(kind, &site.partners.pair(&["peer.test"], mint::Kind::Good), relay).await;
    let sent = messages(50);
    Source { pipelined: false, ..Source::clear(peer.address, 5) }.send_all(sent.clone()).await;
    sink.until("all messages", Duration::from_secs(120), |log| log.arrived.len() >= sent.len()).await;
    daemon.queue_empty().await;
    assert_all_came(&sink, &sent);
    let text = String::from_utf8_lossy(&sink.arrived()[0].content).into_owned();
    assert!(text.contains("with ESMTPS id") && text.contains("version=TLSv1.3"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn exim_takes_our_mail_over_verified_tls() {
    into(Kind::Exim, IDENTITY, "foreign::exim_takes_our_mail_over_verified_tls").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn exim_hands_us_mail_over_verified_tls() {
    from(Kind::Exim, "foreign::exim_hands_us_mail_over_verified_tls").await;
}

/// The OpenSMTPD of Debian 12 can't sign a handshake with the OpenSSL there is: with nobody, and with no key. So it
/// shows what becomes of mail to a host whose TLS is broken, where the connector allows it.
#[tokio::test(flavor = "multi_thread")]
async fn opensmtpd_takes_our_mail_though_its_tls_breaks() {
    into(Kind::OpenSmtpd, OPPORTUNISTIC, "foreign::opensmtpd_takes_our_mail_though_its_tls_breaks").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn opensmtpd_hands_us_mail_over_verified_tls() {
    from(Kind::OpenSmtpd, "foreign::opensmtpd_hands_us_mail_over_verified_tls").await;
}
