//! Recipients that the next hop is asked about at RCPT.

use crate::peer::LONG;
use crate::peer::client::Client;
use crate::peer::daemon::{Daemon, free_address};
use crate::peer::mint::Kind;
use crate::peer::sink::{Manner, SILENCE, Sink};
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
    for same in ["Gone@b.test", "\"gone\"@b.test", "\"go\\ne\"@B.test"] {
        assert_eq!(other.say(&format!("RCPT TO:<{same}>")).await.code, 550, "{same}");
    }
    for taken in ["bob@b.test", "later@b.test", "\"postmaster\"@b.test", "x@c.test"] {
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

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_connector_is_not_asked() {
    let site = Site::new();
    let sink = Sink::start(Manner::clear().replying("rcpt to:<gone", "550 5.1.1 nobody")).await;
    let out = outbound("out", "b.test", sink.address, OPPORTUNISTIC);
    site.configure_all(&(LISTENER.to_owned() + &asking() + &out));
    let daemon = Daemon::start(&site.home).await;
    daemon.ask(&["queue", "pause", "out"]).await;
    let mut client = begin(&daemon).await;
    assert_eq!(
        client.say("RCPT TO:<gone1@b.test>").await.code,
        250,
        "its mail waits, like all of the connector"
    );
    assert_eq!(sink.read(|log| log.sessions), 0);
    daemon.ask(&["queue", "resume", "out"]).await;
    assert_eq!(client.say("RCPT TO:<gone2@b.test>").await.code, 550);
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_keep_to_the_connections_of_their_connector() {
    let site = Site::new();
    let sink = Sink::start(Manner::clear().replying("rcpt to:<gone", "550 5.1.1 nobody")).await;
    let out =
        outbound("out", "b.test", sink.address, OPPORTUNISTIC).trim_end().to_owned() + "\nconnections = 2\n";
    site.configure_all(&(LISTENER.to_owned() + &asking() + &out));
    let daemon = Daemon::start(&site.home).await;
    let mut clients = tokio::task::JoinSet::new();
    for number in 0..40 {
        let mut client = begin(&daemon).await;
        clients.spawn(async move { client.say(&format!("RCPT TO:<gone{number}@b.test>")).await.code });
    }
    assert_eq!(clients.join_all().await, vec![550; 40]);
    let most = sink.read(|log| log.hosts.values().map(|host| host.most).max());
    assert!(most <= Some(2), "{most:?} connections");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_domain_that_gives_no_answer_keeps_no_other_waiting() {
    let site = Site::new();
    let mute = Sink::start(Manner::clear().greeting(SILENCE)).await;
    let sink = Sink::start(Manner::clear().replying("rcpt to:<gone", "550 5.1.1 nobody")).await;
    let out = outbound("mute", "mute.test", mute.address, OPPORTUNISTIC);
    let out = out + &outbound("out", "b.test", sink.address, OPPORTUNISTIC);
    site.configure_all(&(LISTENER.to_owned() + &asking() + &out));
    let daemon = Daemon::start(&site.home).await;
    let mut kept_waiting = Vec::new();
    for number in 0..80 {
        let mut client = begin(&daemon).await;
        client.write(format!("RCPT TO:<x{number}@mute.test>\r\n").as_bytes()).await.unwrap();
        kept_waiting.push(client);
    }
    mute.until("a question", LONG, |log| log.sessions > 0).await;
    let mut client = begin(&daemon).await;
    assert_eq!(client.say("RCPT TO:<gone@b.test>").await.code, 550, "it was asked about");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dictionary_is_not_passed_on_to_the_next_hop() {
    let site = Site::new();
    let sink = Sink::start(Manner::clear().replying("rcpt to:<gone", "550 5.1.1 nobody")).await;
    let out = outbound("out", "b.test", sink.address, OPPORTUNISTIC);
    let limits = "[limits]\nunknown_recipients = 5\n\n";
    site.configure_all(&(limits.to_owned() + LISTENER + &asking() + &out));
    let daemon = Daemon::start(&site.home).await;
    let mut client = begin(&daemon).await;
    assert_eq!(client.say("RCPT TO:<bob@b.test>").await.code, 250);
    for number in 0..5 {
        assert_eq!(client.say(&format!("RCPT TO:<gone{number}@b.test>")).await.code, 550);
    }
    let mut client = begin(&daemon).await;
    let deferred = client.say("RCPT TO:<gone5@b.test>").await.text;
    assert!(deferred.starts_with("450 4.7.1 too many unknown recipients"), "{deferred}");
    assert_eq!(client.say("RCPT TO:<bob@b.test>").await.code, 250, "who is remembered needs no question");
    let asked = sink.read(|log| log.commands.iter().filter(|c| c.starts_with("RCPT")).count());
    assert_eq!(asked, 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_refusal_of_the_address_says_that_it_is_unknown() {
    let site = Site::new();
    let manner = Manner::clear()
        .replying("rcpt to:<full@", "552 5.2.2 mailbox full")
        .replying("rcpt to:<blocked@", "550 5.7.1 host blocked")
        .replying("rcpt to:<login@", "530 5.7.0 authentication required")
        .replying("rcpt to:<order@", "503 5.5.1 out of order")
        .replying("rcpt to:<bare@", "550 no such user")
        .replying("rcpt to:<online@", "550 5.4.1 Recipient address rejected: Access denied");
    let sink = Sink::start(manner.clone()).await;
    let other = Sink::start(manner.replying("mail from:<>", "550 5.7.1 no reports here")).await;
    let out = outbound("out", "b.test", sink.address, OPPORTUNISTIC);
    let out = out + &outbound("other", "c.test", other.address, OPPORTUNISTIC);
    site.configure_all(&(LISTENER.to_owned() + &asking() + &out));
    let daemon = Daemon::start(&site.home).await;
    let mut client = begin(&daemon).await;
    for (mailbox, code) in [
        ("full@b.test", 250),
        ("blocked@b.test", 250),
        ("login@b.test", 250),
        ("order@b.test", 250),
        ("bare@b.test", 550),
        ("online@b.test", 550),
        ("bare@c.test", 250),
    ] {
        let reply = client.say(&format!("RCPT TO:<{mailbox}>")).await;
        assert_eq!(reply.code, code, "{mailbox}: {reply:?}");
    }
}
