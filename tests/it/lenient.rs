//! Old printers and scanners, and who may talk like them.

use crate::peer::client::Client;
use crate::peer::daemon::{Daemon, NAME};
use crate::peer::sink::{Manner, Sink};
use crate::peer::site::{LISTENER, OPPORTUNISTIC, Site, outbound};

const DEVICES: &str = "[[inbound]]\nname = \"devices\"\nfrom_domains = [\"a.test\", \"gw.sealpost.test\"]\n\
    from_networks = [\"127.0.0.1/32\"]\nlenient = true\ntls = \"off\"\nto_domains = [\"*\"]\n\n\
    [[inbound]]\nname = \"others\"\nfrom_domains = [\"*\"]\ntls = \"off\"\nto_domains = [\"b.test\"]\n\n";

async fn office() -> (Sink, Daemon, Site) {
    let (site, sink) = (Site::new(), Sink::start(Manner::clear()).await);
    let out = outbound("out", "*", sink.address, OPPORTUNISTIC);
    site.configure_all(&format!("{LISTENER}{DEVICES}{out}"));
    let daemon = Daemon::start(&site.home).await;
    (sink, daemon, site)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_is_understood_where_its_connector_is_lenient() {
    let (sink, daemon, _site) = office().await;
    let mut device = Client::connect(daemon.at("in")).await;
    assert_eq!(device.say("HELO").await.code, 250);
    assert_eq!(device.say("MAIL FROM: scan@a.test").await.code, 250);
    assert_eq!(device.say("RCPT TO:bob@b.test").await.code, 250);
    assert_eq!(device.say("RCPT TO : <root>").await.code, 250);
    assert_eq!(device.say("DATA").await.code, 354);
    assert_eq!(device.say("Subject: scan\r\n\r\nx\r\n.").await.code, 250);
    let arrived = sink.messages(1).await.remove(0);
    assert_eq!(arrived.mail, "scan@a.test");
    assert_eq!(arrived.recipients, ["bob@b.test".to_owned(), format!("root@{NAME}")]);
    let text = String::from_utf8(arrived.content).unwrap();
    assert!(text.starts_with("Received: from [127.0.0.1] ([127.0.0.1])"), "{text}");
    assert_eq!(device.say("MAIL FROM:<root>").await.code, 250);
    assert_eq!(device.say("RCPT TO:\"a b\"@b.test").await.code, 501, "what leaves a doubt is refused");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_else_is() {
    let (_sink, daemon, _site) = office().await;
    let at = daemon.at("in");
    // Its network rules the lenient connector out.
    let mut stranger = Client::try_connect_from([127, 0, 0, 2].into(), at).await.unwrap();
    assert_eq!(stranger.say("HELO").await.code, 501);
    assert_eq!(stranger.say("HELO stranger.test").await.code, 250);
    for line in ["MAIL FROM:eve@c.test", "MAIL FROM:<root>", "MAIL FROM : <eve@c.test>"] {
        assert_eq!(stranger.say(line).await.code, 501, "{line}");
    }
    // Another connector is attributed, whose word counts for MAIL and for RCPT.
    let mut device = Client::hello(at).await;
    let refused = device.say("MAIL FROM:eve@c.test").await;
    assert!(refused.text.starts_with("501 5.5.4 syntax: MAIL FROM:<address>"), "{refused:?}");
    assert_eq!(device.say("MAIL FROM:<eve@c.test>").await.code, 250);
    assert_eq!(device.say("RCPT TO:bob@b.test").await.code, 501);
    assert_eq!(device.say("RCPT TO:<bob@b.test>").await.code, 250);
}
