//! Addresses as they are: long ones, quoted ones, and those whose domain is none.

use crate::peer::client::Client;
use crate::peer::daemon::Daemon;
use crate::peer::sink::{Manner, Sink};
use crate::peer::site::{ANYONE, LISTENER, OPPORTUNISTIC, Site, outbound};

#[tokio::test(flavor = "multi_thread")]
async fn long_local_parts_pass() {
    let (site, sink) = (Site::new(), Sink::start(Manner::clear()).await);
    let daemon = site.start(&outbound("out", "*", sink.address, OPPORTUNISTIC)).await;
    let srs = format!("bounces+SRS0=Ab1C=XY={}=customer.name@a.test", "list-name.".repeat(10));
    let confirm = format!("list-confirm+{}@b.test", "0123456789abcdef".repeat(14));
    let mut client = Client::hello(daemon.at("in")).await;
    assert_eq!(client.say(&format!("MAIL FROM:<{srs}>")).await.code, 250);
    assert_eq!(client.say(&format!("RCPT TO:<{confirm}>")).await.code, 250);
    assert_eq!(client.say("DATA").await.code, 354);
    assert_eq!(client.say("Subject: long\r\n\r\nx\r\n.").await.code, 250);
    let arrived = sink.messages(1).await.remove(0);
    assert_eq!((arrived.mail, arrived.recipients), (srs, vec![confirm]));
    let over = client.say(&format!("MAIL FROM:<{}@b.test>", "x".repeat(250))).await;
    assert!(over.text.starts_with("501 5.1.7 ") && over.text.contains("256 octets"), "{over:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_label_has_no_hyphen_at_its_ends() {
    let (site, sink) = (Site::new(), Sink::start(Manner::clear()).await);
    let daemon = site.start(&outbound("out", "*", sink.address, OPPORTUNISTIC)).await;
    let mut client = Client::hello(daemon.at("in")).await;
    for (domain, mail, rcpt) in [
        ("x-y.test", 250, 250),
        ("3com.test", 250, 250),
        ("a--b.test", 250, 250),
        ("-x.test", 501, 501),
        ("x-.test", 501, 501),
        ("x.test--", 501, 501),
        ("x.-test", 501, 501),
    ] {
        let said = client.say(&format!("MAIL FROM:<a@{domain}>")).await;
        assert_eq!(said.code, mail, "{domain}: {said:?}");
        client.say("RSET").await;
        client.say("MAIL FROM:<ada@a.test>").await;
        let said = client.say(&format!("RCPT TO:<a@{domain}>")).await;
        assert_eq!(said.code, rcpt, "{domain}: {said:?}");
        client.say("RSET").await;
        client = Client::hello(daemon.at("in")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_knows_an_address_however_it_is_quoted() {
    let (site, sink) = (Site::new(), Sink::start(Manner::clear()).await);
    std::fs::write(site.home.path().join("known"), "ann@b.test\n\"Bob\"@b.test\n\"a b\"@b.test\n").unwrap();
    let known = ANYONE.trim_end().to_owned() + "\nrecipients_file = \"known\"\n\n";
    let out = outbound("out", "b.test", sink.address, OPPORTUNISTIC);
    site.configure_all(&(LISTENER.to_owned() + &known + &out));
    let daemon = Daemon::start(&site.home).await;
    let mut client = Client::hello(daemon.at("in")).await;
    client.say("MAIL FROM:<ada@a.test>").await;
    let taken = ["\"ann\"@b.test", "bob@b.test", "\"a\\ b\"@b.test", "\"postmaster\"@b.test"];
    for path in taken {
        assert_eq!(client.say(&format!("RCPT TO:<{path}>")).await.code, 250, "{path}");
    }
    for path in ["\"eve\"@b.test", "\"ann \"@b.test"] {
        assert_eq!(client.say(&format!("RCPT TO:<{path}>")).await.code, 550, "{path}");
    }
    assert_eq!(client.say("DATA").await.code, 354);
    assert_eq!(client.say("Subject: quoted\r\n\r\nx\r\n.").await.code, 250);
    let arrived = sink.messages(1).await.remove(0);
    assert_eq!(arrived.recipients, taken, "each goes on as it came");
}
