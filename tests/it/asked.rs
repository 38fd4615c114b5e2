//! Recipients that the next hop is asked about at RCPT.

use crate::peer::client::Client;
use crate::peer::daemon::{Daemon, free_address};
use crate::peer::mint::Kind;
use crate::peer::sink::{Manner, Sink};
use crate::peer::site::{ANYONE, IDENTITY, LISTENER, OPPORTUNISTIC, PARTNER, Site, outbound};

fn asking() -> String {
    ANYONE.trim_end().to_owned() + "\nverify_recipients = true\n\n"
}

async fn begin(daemon: &Daemon) -> Client {
    let mut client = Client::hello(daemon.at("in")).await;
    assert_eq!(client.say("MAIL FROM:<ada@a.test>").await.code, 250);
    client
}

#[tokio::test(flavor = "multi_thread")]
async fn whom_the_next_hop_refuses_is_refused_at_rcpt_and_asked_about_once() {
    let site = Site::new();
    let server = site.partners.pair(&[PARTNER], Kind::Good).server();
    let manner = Manner::sealed(server)
        .replying("tls:rcpt to:<gone@", "550 5.1.1 nobody of that name")
        .replying("tls:rcpt to:<later@", "450 4.2.1 later");
    let sink = Sink::start(manner).await;
    let (dead, out) = (free_address(), outbound("out", "b.test", sink.address, IDENTITY));
    let out = out + &outbound("dead", "c.test", dead, OPPORTUNISTIC);
    site.configure_all(&(LISTENER.to_owned() + &asking() + &out));
    let daemon = Daemon::start(&site.home).await;
    let mut client = begin(&daemon).await;
    for _ in 0..2 {
        let refused = client.say("RCPT TO:<gone@b.test>").await.text;
        assert!(refused.starts_with("550 5.1.1 ") && refused.contains("nobody of that name"), "{refused}");
    }
    let mut other = begin(&daemon).await;
    assert_eq!(other.say("RCPT TO:<Gone@b.test>").await.code, 550);
    for taken in ["bob@b.test", "later@b.test", "postmaster@b.test", "x@c.test"] {
        let reply = client.say(&format!("RCPT TO:<{taken}>")).await;
        assert_eq!(reply.code, 250, "{taken}: {reply:?}");
    }
    let rcpts = |log: &crate::peer::sink::Log| {
        let asked = log.commands.iter().filter(|c| c.to_ascii_lowercase().starts_with("rcpt"));
        asked.cloned().collect::<Vec<_>>()
    };
    let asked = sink.read(rcpts);
    assert_eq!(asked, ["RCPT TO:<gone@b.test>", "RCPT TO:<bob@b.test>", "RCPT TO:<later@b.test>"]);
    assert!(sink.read(|log| log.arrived.is_empty()), "no content follows a question");
    let sessions = sink.read(|log| log.commands.iter().filter(|c| c.as_str() == "STARTTLS").count());
    assert_eq!(sessions, 1, "questions share a connection");

    // A group of commands waits for its answers, and loses none of what follows.
    let mut group = Client::hello(daemon.at("in")).await;
    group
        .write(b"MAIL FROM:<ada@a.test>\r\nRCPT TO:<new@b.test>\r\nRCPT TO:<gone@b.test>\r\nDATA\r\n")
        .await
        .unwrap();
    let mut codes = Vec::new();
    for _ in 0..4 {
        codes.push(group.reply().await.code);
    }
    assert_eq!(codes, [250, 250, 550, 354]);
    assert_eq!(group.say("Subject: group\r\n\r\nx\r\n.").await.code, 250);
    sink.messages(1).await;

    // And the mail itself goes over it, with nothing of a question left.
    let mut client = begin(&daemon).await;
    assert_eq!(client.say("RCPT TO:<bob@b.test>").await.code, 250);
    assert_eq!(client.say("DATA").await.code, 354);
    assert_eq!(client.say("Subject: x\r\n\r\nx\r\n.").await.code, 250);
    let arrived = sink.messages(2).await.remove(1);
    assert_eq!((arrived.mail.as_str(), arrived.recipients), ("ada@a.test", vec!["bob@b.test".to_owned()]));
    sink.assert_nothing_in_clear();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_is_not_asked_where_mail_would_not_go() {
    let site = Site::new();
    let sink = Sink::start(Manner::clear()).await;
    let out = outbound("out", "b.test", sink.address, IDENTITY);
    site.configure_all(&(LISTENER.to_owned() + &asking() + &out));
    let daemon = Daemon::start(&site.home).await;
    let mut client = begin(&daemon).await;
    assert_eq!(client.say("RCPT TO:<bob@b.test>").await.code, 250, "it waits in the queue then");
    sink.assert_nothing_in_clear();
}
